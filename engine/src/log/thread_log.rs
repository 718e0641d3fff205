//! One thread's log, open for writing.
//!
//! What must hold:
//! - An append is acknowledged once all of it is written, and not at all otherwise: of a failed or
//!   short write no byte counts, and none may surface later.
//! - The first failed write or sync latches the log. What was acknowledged and not synced stays in
//!   memory, and [`ThreadLog::recover`] writes it again, in place.
//! - Ordinals of the records are gapless from here on, and watermarks only grow.
//! - While the log is open its thread is locked and marked.

use std::path::PathBuf;
use std::sync::Arc;

use selvedge_codec::{ByteLength, Item, Ordinal, ThreadId, TurnId, UtcMicros};

use super::context::{Entries, LogContext};
use super::draft::Draft;
use super::handle::LogHandle;
use super::inheriting::Inheritance;
use super::native_writer;
use super::sync::{NewFile, Outcome, SyncDone, SyncJob, Work};
use super::tail::Tail;
use super::writer::Writer;
use crate::home::{Home, LogFormat, LogPath, WriterLock};
use crate::{Error, InvalidRequest, Result};

/// The most acknowledged bytes that may wait for a sync, since they are kept in memory until then.
/// An append that would exceed it waits for a sync first.
pub const MAX_UNSYNCED_BYTES: usize = 8 << 20;

/// What a record takes in a log beside its payload, at a guess.
const RECORD_OVERHEAD_BYTES: usize = 128;

/// A thread that is to be made.
#[derive(Debug, Clone)]
pub struct NewThread {
    /// Its id.
    pub thread_id: ThreadId,
    /// When it was started: its place in the home, and its meta's time.
    pub created_at: UtcMicros,
    /// Its first record, of type `session_meta`.
    pub meta: Item,
}

/// Where a log is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogState {
    /// Nothing is on disk yet.
    Deferred,
    /// It can be written.
    Live,
    /// A write or sync has failed; the next append recovers it first.
    Failed,
    /// It can't be used any more.
    Closed,
}

/// What became of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The ordinal of its first record.
    pub first_ordinal: Ordinal,
    /// The ordinal of its last record.
    pub last_ordinal: Ordinal,
    /// Whether one of its records ends a turn, and should be synced at once.
    pub ends_turn: bool,
}

/// One thread's log, open for writing. See the module for what holds.
#[derive(Debug)]
pub struct ThreadLog {
    pub(super) context: LogContext,
    pub(super) thread_id: ThreadId,
    pub(super) path: LogPath,
    pub(super) state: LogState,
    /// Why it failed.
    pub(super) failure: Option<Box<Error>>,
    /// The first record of a thread that is not on disk yet.
    pub(super) meta: Option<Box<Item>>,
    /// What a fork that is not on disk yet begins with.
    pub(super) inheritance: Option<Box<Inheritance>>,
    /// A file that was made for a thread, and could neither be filled nor removed.
    pub(super) is_left_over: bool,
    pub(super) lock: Option<WriterLock>,
    pub(super) is_marked: bool,
    pub(super) handle: Option<Arc<LogHandle>>,
    /// The file's identity: a replaced file is another log.
    pub(super) inode: u64,
    pub(super) writer: Writer,
    pub(super) tail: Tail,
    pub(super) turn: Option<TurnId>,
    pub(super) entries: Entries,
    /// The bytes of a failed write that may still be in the file.
    pub(super) unacknowledged: Vec<u8>,
}

impl ThreadLog {
    /// The log of a new thread. Nothing is on disk before the first [`ThreadLog::materialize`] or
    /// [`ThreadLog::append`].
    #[must_use]
    pub fn create(context: LogContext, new: NewThread) -> Self {
        let NewThread {
            thread_id,
            created_at,
            mut meta,
        } = new;
        meta.time.get_or_insert(created_at);
        Self {
            path: Home::new_log_path(thread_id, created_at, LogFormat::Native),
            writer: Writer::Native(native_writer::first_header(thread_id).seed()),
            state: LogState::Deferred,
            meta: Some(Box::new(meta)),
            ..Self::unopened(context, thread_id)
        }
    }

    /// A log without a file.
    pub(super) fn unopened(context: LogContext, thread_id: ThreadId) -> Self {
        Self {
            context,
            thread_id,
            path: Home::new_log_path(thread_id, UtcMicros::EPOCH, LogFormat::Native),
            state: LogState::Closed,
            failure: None,
            meta: None,
            inheritance: None,
            is_left_over: false,
            lock: None,
            is_marked: false,
            handle: None,
            inode: 0,
            writer: Writer::Native(native_writer::first_header(thread_id).seed()),
            tail: Tail::default(),
            turn: None,
            entries: Entries::Durable,
            unacknowledged: Vec::new(),
        }
    }

    /// The thread.
    #[must_use]
    pub const fn thread_id(&self) -> ThreadId {
        self.thread_id
    }

    /// Where the log lies, or will lie once it is made.
    #[must_use]
    pub const fn path(&self) -> &LogPath {
        &self.path
    }

    /// The file's identity, once it is made.
    pub(crate) const fn inode(&self) -> u64 {
        self.inode
    }

    /// How its bytes are laid out.
    #[must_use]
    pub const fn format(&self) -> LogFormat {
        match self.writer {
            Writer::Native(_) => LogFormat::Native,
            Writer::Lines(_) => LogFormat::JsonLines,
        }
    }

    /// Where the log is in its life.
    #[must_use]
    pub const fn state(&self) -> LogState {
        self.state
    }

    /// Why the log failed, while its state is [`LogState::Failed`].
    #[must_use]
    pub fn failure(&self) -> Option<&Error> {
        self.failure.as_deref()
    }

    /// The ordinal that the next record gets. A thread that is not on disk yet begins with its
    /// meta: at 0, or a fork behind what it inherits.
    #[must_use]
    pub fn next_ordinal(&self) -> Ordinal {
        match self.state {
            LogState::Deferred => self.new_header().first_ordinal.next(),
            _ => self.tail.next_ordinal(),
        }
    }

    /// All records below this ordinal are durable. It is 0 for a log that was just opened: whoever
    /// wrote it may not have come to sync it.
    #[must_use]
    pub const fn durable_next_ordinal(&self) -> Ordinal {
        self.tail.durable()
    }

    /// How many acknowledged bytes wait for a sync.
    #[must_use]
    pub fn unsynced_bytes(&self) -> ByteLength {
        self.tail.unsynced()
    }

    /// The turn that an item without one of its own is appended to.
    #[must_use]
    pub const fn current_turn(&self) -> Option<&TurnId> {
        self.turn.as_ref()
    }

    /// Appends batches, all of them with one write or none of them. Once it returns they survive
    /// this process's death. A native batch is read whole or not at all; of JSON lines each counts
    /// for itself.
    ///
    /// A new thread is put on disk first, and a failed log is recovered first.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when an item can't be encoded: the log is as it was.
    /// [`Error::Io`] or [`Error::OutOfSpace`] when it can't be written: the log has failed.
    /// [`Error::Corrupt`] when the file is not the one that was written before;
    /// [`Error::Closed`]; and what [`ThreadLog::materialize`] and [`ThreadLog::recover`] tell.
    pub fn append(&mut self, batches: Vec<Vec<Item>>) -> Result<Vec<Appended>> {
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        if self.state == LogState::Deferred {
            self.check(batches.clone())?;
        }
        self.make_ready()?;
        let wanted = batches
            .iter()
            .flatten()
            .map(|item| item.body.len() + RECORD_OVERHEAD_BYTES)
            .fold(self.tail.kept().len(), usize::saturating_add);
        if wanted > MAX_UNSYNCED_BYTES && !self.tail.kept().is_empty() {
            self.sync()?;
        }
        self.write(batches)
    }

    /// Refuses what can't be encoded before a new thread is put on disk for it.
    fn check(&self, batches: Vec<Vec<Item>>) -> Result<()> {
        let mut draft = Draft::new(self.next_ordinal(), None, self.context.clock.now());
        self.writer
            .encode(batches, &mut draft, &mut Vec::new())
            .map_err(|why| InvalidRequest::Codec(why).into())
    }

    /// Makes the log ready for an append, as [`ThreadLog::append`] does itself: a new thread is put
    /// on disk, a failed log is recovered, the file is opened, and what other tools have appended
    /// to a log of JSON lines is read. [`ThreadLog::next_ordinal`] is what the next record gets
    /// after this.
    ///
    /// # Errors
    /// As [`ThreadLog::append`].
    pub fn make_ready(&mut self) -> Result<()> {
        match self.state {
            LogState::Live => {}
            LogState::Deferred => self.materialize()?,
            LogState::Failed => self.recover()?,
            LogState::Closed => return Err(self.closed()),
        }
        self.open_handle()?;
        match self.writer {
            Writer::Native(_) => Ok(()),
            Writer::Lines(_) => self.absorb_growth(),
        }
    }

    pub(super) fn closed(&self) -> Error {
        Error::Closed { what: "the thread" }
    }

    fn write(&mut self, batches: Vec<Vec<Item>>) -> Result<Vec<Appended>> {
        let Some(handle) = self.handle.clone() else {
            return Err(self.closed());
        };
        let (mark, end) = (self.tail.kept().len(), self.tail.end());
        let mut draft = Draft::new(
            self.tail.next_ordinal(),
            self.turn.clone(),
            self.context.clock.now(),
        );
        let encoded = self.writer.encode(batches, &mut draft, self.tail.buffer());
        if let Err(why) = encoded {
            self.tail.take_back(mark);
            return Err(InvalidRequest::Codec(why).into());
        }
        let written = match self.writer {
            Writer::Native(_) => handle.write(self.tail.since(mark), end),
            Writer::Lines(_) => self.append_lines(&handle, mark, &mut draft),
        };
        if let Err(error) = written {
            self.unacknowledged = self.tail.take_back(mark);
            let error = self.fail(error);
            // At once, if it can be: a reader would take whole batches for acknowledged ones.
            if let Err(later) = self.cut_unacknowledged(&handle) {
                tracing::debug!(%later, "an unacknowledged write can't be cut off yet");
            }
            return Err(error);
        }
        self.tail.acknowledge(draft.next_ordinal);
        self.turn = draft.turn;
        self.writer
            .written(self.tail.end(), self.tail.next_ordinal());
        Ok(draft.appended)
    }

    pub(super) fn fail(&mut self, error: Error) -> Error {
        self.state = LogState::Failed;
        self.failure = Some(Box::new(error.clone()));
        error
    }

    pub(super) fn file(&self) -> PathBuf {
        self.context.home.log_file(&self.path)
    }

    /// Begins a sync of all that was acknowledged so far; `None` when all of it is durable. The
    /// job may run on another thread while this log is written on; its result goes to
    /// [`ThreadLog::finish_sync`]. The job of a failed log tells why it failed: call
    /// [`ThreadLog::recover`] instead.
    pub fn begin_sync(&mut self) -> Option<SyncJob> {
        match self.state {
            LogState::Deferred | LogState::Closed => return None,
            LogState::Failed => {
                let why = self.failure.as_deref().cloned();
                return Some(SyncJob(Work::Tell(why.unwrap_or_else(|| self.closed()))));
            }
            LogState::Live => {}
        }
        if self.tail.is_durable() && matches!(self.entries, Entries::Durable) {
            return None;
        }
        if let Err(error) = self.open_handle() {
            return Some(SyncJob(Work::Tell(error)));
        }
        let handle = self.handle.clone()?;
        Some(SyncJob(Work::Sync {
            handle,
            upto: self.tail.written(),
            new: self.file_to_sync(),
        }))
    }

    pub(super) fn file_to_sync(&self) -> Option<NewFile> {
        (!matches!(self.entries, Entries::Durable)).then(|| NewFile {
            context: self.context.clone(),
            thread_id: self.thread_id,
            path: self.path.clone(),
            entries: self.entries.clone(),
        })
    }

    /// Takes in how a sync went, and returns the ordinal below which all is durable. A job that
    /// ends after a later one changes nothing.
    ///
    /// # Errors
    /// What the sync met. The log has failed then, unless it was recovered since.
    pub fn finish_sync(&mut self, done: SyncDone) -> Result<Ordinal> {
        let is_current = |handle: &Arc<LogHandle>| {
            self.handle
                .as_ref()
                .is_some_and(|current| Arc::ptr_eq(current, handle))
        };
        match done.0 {
            Outcome::Synced { handle, upto } => {
                if is_current(&handle) {
                    self.tail.synced(upto);
                    self.entries = Entries::Durable;
                }
            }
            // A log that was recovered since then has synced all that the job was about.
            Outcome::Failed {
                handle: Some(handle),
                ..
            } if !is_current(&handle) && self.tail.is_durable() => {}
            Outcome::Failed { error, entries, .. } => {
                if let Some(entries) = entries {
                    self.entries = Entries::Made(entries);
                }
                return Err(match self.state {
                    LogState::Live => self.fail(error),
                    _ => error,
                });
            }
        }
        Ok(self.tail.durable())
    }

    /// Makes all that was acknowledged durable, and waits for it. A failed log is recovered.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::OutOfSpace`], with which the log has failed; [`Error::Closed`];
    /// and what [`ThreadLog::recover`] tells.
    pub fn sync(&mut self) -> Result<()> {
        match self.state {
            LogState::Closed => return Err(self.closed()),
            LogState::Failed => return self.recover(),
            LogState::Deferred | LogState::Live => {}
        }
        match self.begin_sync() {
            Some(job) => self.finish_sync(job.run()).map(drop),
            None => Ok(()),
        }
    }

    /// Whether the log holds a file handle.
    #[must_use]
    pub const fn has_handle(&self) -> bool {
        self.handle.is_some()
    }

    /// Gives the file handle back, as an idle log should. What was written through it is synced
    /// first, since only this handle is sure to hear of a failure. Writing opens another.
    ///
    /// # Errors
    /// As [`ThreadLog::sync`]; the handle stays then, unless it had failed before.
    pub fn release_handle(&mut self) -> Result<()> {
        if self.state == LogState::Live && !self.tail.kept().is_empty()
            || self.state == LogState::Failed
            || matches!(self.entries, Entries::Made(_))
        {
            self.sync()?;
        }
        self.handle = None;
        Ok(())
    }

    /// Ends the writing: syncs what was written, and gives lock and mark back. A thread that is
    /// not on disk leaves nothing. Closing twice is fine.
    ///
    /// The caller's index should have caught up with the log before: nothing tells a later process
    /// to look at a log that is no longer marked. Use [`ThreadLog::close_keeping_mark`] otherwise.
    ///
    /// # Errors
    /// As [`ThreadLog::sync`]; the log is not closed then.
    pub fn close(&mut self) -> Result<()> {
        self.release()?;
        self.unlock();
        Ok(())
    }

    /// Like [`ThreadLog::close`], and leaves the thread marked as open until the caller calls
    /// [`crate::home::OpenMarks::unmark`], once the index has caught up with the log.
    ///
    /// # Errors
    /// As [`ThreadLog::close`].
    pub fn close_keeping_mark(&mut self) -> Result<()> {
        self.release()?;
        self.is_marked = false;
        self.unlock();
        Ok(())
    }

    fn release(&mut self) -> Result<()> {
        if self.state != LogState::Closed {
            // What an earlier writer left unsynced as well: nobody else will.
            self.sync()?;
            self.release_handle()?;
            self.state = LogState::Closed;
            self.meta = None;
            self.inheritance = None;
        }
        Ok(())
    }

    pub(super) fn unlock(&mut self) {
        if std::mem::take(&mut self.is_marked) {
            self.context.marks.unmark(self.thread_id);
        }
        self.lock = None;
    }

    /// Forgets a thread that never came to the disk.
    ///
    /// # Errors
    /// [`InvalidRequest::ThreadExists`] when it is on disk.
    pub fn discard(&mut self) -> Result<()> {
        match self.state {
            LogState::Deferred | LogState::Closed => self.close(),
            LogState::Live | LogState::Failed => {
                Err(InvalidRequest::ThreadExists(self.thread_id).into())
            }
        }
    }
}
