//! Everything that can go wrong, with what the reader needs to act on it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use selvedge_codec::{ByteLength, ByteOffset, CodecError, Ordinal, ThreadId};
use thiserror::Error;

/// The result of an operation of Selvedge.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation was not carried out. Cloneable, since one failed write is told to every
/// waiter.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum Error {
    /// No log under the home belongs to this thread.
    #[error("there is no thread {thread_id} in this home")]
    ThreadNotFound {
        /// The id that was asked for.
        thread_id: ThreadId,
    },
    /// The request itself can't be carried out, whatever the state of the home.
    #[error("invalid request: {0}")]
    InvalidRequest(InvalidRequest),
    /// Somebody else is in the way.
    #[error("conflict on thread {thread_id}: {reason}")]
    Conflict {
        /// The thread that was asked for.
        thread_id: ThreadId,
        /// Who or what is in the way.
        reason: ConflictReason,
    },
    /// This build can't do it.
    #[error("{path}: not supported: {what}", path = path.display())]
    Unsupported {
        /// The file concerned.
        path: PathBuf,
        /// What would be needed.
        what: CodecError,
    },
    /// Bytes on disk are not what was written.
    #[error("{path}: damaged at byte {offset}: {why}", path = path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where the damage begins.
        offset: ByteOffset,
        /// What is wrong.
        why: CorruptReason,
    },
    /// The operating system refused.
    #[error("{operation} {path}: {source}", path = path.display())]
    Io {
        /// What was tried, as a verb: "open", "sync", ...
        operation: &'static str,
        /// The file concerned.
        path: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The file system, quota or file size limit is full. Nothing acknowledged is lost, and the
    /// same operation works once there is room.
    #[error("no space left to {operation} {path}", path = path.display())]
    OutOfSpace {
        /// What was tried.
        operation: &'static str,
        /// The file concerned.
        path: PathBuf,
    },
    /// The thread or the store was shut down.
    #[error("closed: {what} was shut down")]
    Closed {
        /// What was closed: "the thread", "the store".
        what: &'static str,
    },
    /// A bounded wait ended first.
    #[error("timed out after {waited:?} waiting for {waiting_for}")]
    TimedOut {
        /// What was waited for.
        waiting_for: String,
        /// How long.
        waited: Duration,
    },
}

/// What is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// An item, id or time can't be encoded or parsed.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// A cursor is no cursor of this store.
    #[error("the cursor is damaged or not one of this store's")]
    BadCursor,
    /// A cursor was made for another query.
    #[error("the cursor belongs to another query (its sort order or filters differ)")]
    CursorOfAnotherQuery,
    /// A cursor was made for another thread.
    #[error("the cursor belongs to another thread")]
    CursorOfAnotherThread,
    /// A page size is out of bounds.
    #[error("a page has 1 to {limit} entries, not {asked}")]
    PageSize {
        /// What was asked for.
        asked: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// The home does not exist, and the operation does not make one.
    #[error("the home {} does not exist", .0.display())]
    NoHome(PathBuf),
    /// The home is not a directory.
    #[error("the home {} is not a directory", .0.display())]
    HomeNotADirectory(PathBuf),
    /// The log is only read by this build.
    #[error("{} can only be read", .0.display())]
    ReadOnlyLog(PathBuf),
    /// A file that was to be imported has not the name of a JSON-lines log.
    #[error("{} is no JSON-lines log (.jsonl or .jsonl.zst)", .0.display())]
    NotImportable(PathBuf),
    /// The thread has no log, so there is nothing on disk to work on.
    #[error("thread {0} is ephemeral: it has no log")]
    Ephemeral(ThreadId),
    /// Another log lies where a thread's log is to go.
    #[error("{} is in the way", .0.display())]
    LogInTheWay(PathBuf),
    /// A thread of this id is already there.
    #[error("thread {0} exists already")]
    ThreadExists(ThreadId),
    /// The thread has no turn of this id that still counts.
    #[error("thread {thread_id} has no turn {turn_id}")]
    NoSuchTurn {
        /// The thread that was asked for.
        thread_id: ThreadId,
        /// The turn that was asked for.
        turn_id: String,
    },
    /// An ordinal lies beyond the thread's end.
    #[error("ordinal {asked} is past the thread's end: its next one is {next}")]
    OrdinalPastEnd {
        /// What was asked for.
        asked: Ordinal,
        /// The ordinal after the thread's last record.
        next: Ordinal,
    },
    /// A rollback must drop at least one turn, and no more than still count.
    #[error("{}", rollback_refused(*.asked, *.there))]
    RollbackTurns {
        /// How many were to be dropped.
        asked: u32,
        /// How many there are.
        there: u32,
    },
    /// A search term is empty or too long.
    #[error("a search term has 1 to {limit} bytes, not {asked}")]
    SearchTerm {
        /// How many bytes it has.
        asked: usize,
        /// The most that it may have.
        limit: usize,
    },
    /// A value of a metadata change can't be stored.
    #[error("the new {field} {why}")]
    Metadata {
        /// The field, as a metadata patch calls it.
        field: &'static str,
        /// What is wrong with its value.
        why: MetadataReason,
    },
    /// A path leads to no log of this home.
    #[error("{} is no log of this home", .0.display())]
    NotALogOfTheHome(PathBuf),
    /// The store knows its threads by id alone.
    #[error("this store has no paths: ask by thread id")]
    NoPaths,
}

/// What is wrong with a new value of a thread's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MetadataReason {
    /// It is longer than a thread's summary can keep.
    #[error("has {length} bytes, and {limit} is the most")]
    TooLong {
        /// How many bytes it has.
        length: usize,
        /// The most that it may have.
        limit: usize,
    },
    /// It is none of those that the field can have.
    #[error("is not one of {0}")]
    NotOneOf(&'static str),
    /// It must be JSON, and is not.
    #[error("is not JSON: {0}")]
    NotJson(String),
    /// It consists of white space.
    #[error("is blank")]
    Blank,
}

/// Who or what is in the way of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConflictReason {
    /// Another process, or another store of this process, writes the thread.
    #[error("it is being written by {holder}")]
    Writer {
        /// The process, as far as it is known: "process 1234".
        holder: String,
    },
    /// The caller expected another next ordinal.
    #[error("the next ordinal is {actual}, not {expected} as the append expected")]
    NextOrdinal {
        /// What the caller expected.
        expected: Ordinal,
        /// What it is.
        actual: Ordinal,
    },
    /// Another owner has taken the backfill lease over.
    #[error("the backfill was taken over by a later owner")]
    Fenced,
}

/// What is wrong with bytes on disk.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CorruptReason {
    /// The codec can't make sense of them.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// A log has no thread meta, and its name gives no id either.
    #[error("the log says nowhere which thread it belongs to")]
    NoThreadId,
    /// The meta in which the log describes its own thread is missing or can't be read.
    #[error("the log's own meta is missing or can't be read")]
    NoOwnMeta,
    /// The log describes another thread than the one whose log it is.
    #[error("the log's own meta is of thread {0}")]
    MetaOfAnotherThread(ThreadId),
    /// Nothing of the file is a record.
    #[error("the file holds no record")]
    NoRecord,
    /// The index is damaged; it is made again from the logs.
    #[error("the index is damaged: {0}")]
    Index(String),
    /// The file no longer holds what was read from it: a failed sync has lost it.
    #[error("bytes that were there before are lost")]
    Lost,
    /// The file is shorter than what was acknowledged.
    #[error("the log ends at {found} bytes, before its acknowledged end at {expected}")]
    Shorter {
        /// The length found.
        found: ByteLength,
        /// The length that was acknowledged.
        expected: ByteLength,
    },
}

impl Error {
    /// Wraps what the operating system said of `operation` on `path`.
    pub fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        // A full disk, an exhausted quota and a file size limit are one condition to a caller.
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::OutOfSpace {
                operation,
                path: path.to_path_buf(),
            },
            _ => Self::Io {
                operation,
                path: path.to_path_buf(),
                source: Arc::new(source),
            },
        }
    }

    /// Wraps what the codec said of the bytes at `offset` of `path`. An unknown version is
    /// [`Error::Unsupported`], all else [`Error::Corrupt`].
    pub fn codec(path: &Path, offset: ByteOffset, why: CodecError) -> Self {
        match why {
            CodecError::UnknownVersion { .. } => Self::Unsupported {
                path: path.to_path_buf(),
                what: why,
            },
            why => Self::Corrupt {
                path: path.to_path_buf(),
                offset,
                why: why.into(),
            },
        }
    }
}

impl From<InvalidRequest> for Error {
    fn from(why: InvalidRequest) -> Self {
        Self::InvalidRequest(why)
    }
}

/// Why a rollback can't drop that many turns.
fn rollback_refused(asked: u32, there: u32) -> String {
    match there {
        0 => "this thread has no turn that a rollback could drop".to_owned(),
        _ => format!("a rollback drops 1 to {there} turns of this thread, not {asked}"),
    }
}
