//! The words between a worker and whoever started it.
//!
//! What must hold: a line is one write of at most 4096 bytes to a pipe, so that a kill leaves it
//! whole or not said at all; [`Line::Trying`] is said before an operation begins, and
//! [`Line::Done`] only after it was acknowledged.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Mutex;

use selvedge::ThreadId;
use serde::{Deserialize, Serialize};

/// Where a worker finds its order.
pub const ORDER: &str = "SELVEDGE_RELIABILITY_ORDER";
/// What a line begins with: a test binary says other things on the same pipe.
const BEGIN: &str = "#said ";
/// What a pipe takes whole.
const MAX_LINE_BYTES: usize = 4096;

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It starts threads, and goes on with native ones.
    Native,
    /// It goes on with JSON-lines threads that are there, and forks them.
    JsonLines,
    /// Both.
    Mixed,
    /// It changes nothing: it lists, reads, searches and verifies.
    Reader,
}

/// What a worker is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// The home that it works on.
    pub home: PathBuf,
    /// Its name in payloads; no other worker on the home has ever had it.
    pub tag: String,
    /// What its choices follow from.
    pub seed: u64,
    /// What it does.
    pub role: Role,
    /// How many tasks work at once.
    pub lanes: usize,
    /// Which worker it is, of how many: threads that are there are shared out among them.
    pub share: (u64, u64),
    /// Whether the home is opened in the background; otherwise opening waits for the index.
    pub background: bool,
    /// How many threads that are there it goes on with, at most.
    pub max_threads: usize,
    /// After this many operations it stops by itself.
    pub max_operations: Option<u64>,
    /// How long each lane waits between two operations, in microseconds.
    pub pause_micros: u64,
}

impl Order {
    /// A lone worker of this role with four lanes, on a home of its own.
    pub fn new(home: impl Into<PathBuf>, tag: impl Into<String>, role: Role) -> Self {
        Self {
            home: home.into(),
            tag: tag.into(),
            seed: 0,
            role,
            lanes: 4,
            share: (0, 1),
            background: false,
            max_threads: 24,
            max_operations: None,
            pause_micros: 0,
        }
    }
}

impl Order {
    /// Whether a thread is this worker's, of all that share the home.
    pub fn is_mine(&self, thread: ThreadId) -> bool {
        let (share, shares) = self.share;
        let mixed = thread.as_bytes().iter().fold(0_u64, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
        });
        mixed % shares == share
    }

    /// The id of a new thread of this worker's: whoever comes after it, and shares the home as it
    /// did, goes on with it, and nobody else moves or deletes it.
    pub fn new_thread_id(&self) -> ThreadId {
        std::iter::repeat_with(ThreadId::generate)
            .find(|id| self.is_mine(*id))
            .unwrap()
    }
}

/// An operation. Its number in [`Line::Trying`] is part of the mark that its payloads and values
/// carry: `<tag>.<number>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Doing {
    /// A new thread, of which nothing is on disk yet.
    Start {
        /// The thread.
        thread: ThreadId,
        /// Whether it never has a log.
        ephemeral: bool,
    },
    /// A batch.
    Append {
        /// The thread.
        thread: ThreadId,
        /// How many records the batch has.
        records: u32,
        /// Whether it was to be synced before it was acknowledged.
        synced: bool,
        /// The ordinal that was expected.
        expected: Option<u64>,
    },
    /// A flush.
    Flush {
        /// The thread.
        thread: ThreadId,
    },
    /// A persist.
    Persist {
        /// The thread.
        thread: ThreadId,
    },
    /// One field of the metadata gets the operation's mark as its value.
    Patch {
        /// The thread.
        thread: ThreadId,
        /// `name`, `title` or `git_branch`.
        field: String,
    },
    /// The last turn is dropped.
    RollBack {
        /// The thread.
        thread: ThreadId,
    },
    /// A thread that begins with another one's history.
    Fork {
        /// Where the history comes from.
        source: ThreadId,
        /// The new thread.
        thread: ThreadId,
        /// How many records it inherits; all when it does not say.
        before: Option<u64>,
    },
    /// To the archive.
    Archive {
        /// The thread.
        thread: ThreadId,
    },
    /// Out of the archive.
    Unarchive {
        /// The thread.
        thread: ThreadId,
    },
    /// For good.
    Delete {
        /// The thread.
        thread: ThreadId,
    },
    /// The thread is live no longer.
    Shutdown {
        /// The thread.
        thread: ThreadId,
    },
    /// A new thread that leaves nothing.
    Discard {
        /// The thread.
        thread: ThreadId,
    },
    /// The thread is live again.
    Resume {
        /// The thread.
        thread: ThreadId,
    },
}

impl Doing {
    /// The thread that is changed.
    pub fn thread(&self) -> ThreadId {
        match self {
            Self::Start { thread, .. }
            | Self::Append { thread, .. }
            | Self::Flush { thread }
            | Self::Persist { thread }
            | Self::Patch { thread, .. }
            | Self::RollBack { thread }
            | Self::Fork { thread, .. }
            | Self::Archive { thread }
            | Self::Unarchive { thread }
            | Self::Delete { thread }
            | Self::Shutdown { thread }
            | Self::Discard { thread }
            | Self::Resume { thread } => *thread,
        }
    }

    /// Whether it brings a thread of which nothing is on disk there.
    pub fn writes(&self) -> bool {
        matches!(
            self,
            Self::Append { .. }
                | Self::Persist { .. }
                | Self::Patch { .. }
                | Self::Fork { .. }
                | Self::RollBack { .. }
        )
    }
}

/// Why an operation was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Another next ordinal was expected: nothing was written.
    NextOrdinal,
    /// Another process writes the thread: nothing was written.
    Writer,
    /// The thread was shut down: it is not known whether it was carried out before.
    Closed,
    /// There is no such thread: nothing was written.
    NotFound,
    /// The request can't be carried out: nothing was written.
    Invalid,
    /// Anything else.
    Other,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Line {
    /// The home is open.
    Opened,
    /// An operation is about to begin. What is never answered may have been carried out, whole,
    /// or not.
    Trying {
        /// Its number.
        op: u64,
        /// What it is.
        doing: Doing,
    },
    /// It was acknowledged.
    Done {
        /// Its number.
        op: u64,
        /// The first and last ordinal of an acknowledged batch; of a flush the ordinal up to
        /// which everything is synced, twice.
        ordinals: Option<(u64, u64)>,
    },
    /// It was refused.
    Refused {
        /// Its number.
        op: u64,
        /// Why.
        refusal: Refusal,
        /// Whether that may be, as far as the worker knows.
        fine: bool,
        /// Why, in words.
        why: String,
    },
    /// The worker has seen what must not be.
    Wrong {
        /// What.
        what: String,
    },
    /// A look at the home that found nothing wrong.
    Looked,
    /// The home was shut down, and the process ends.
    Stopped,
}

impl Line {
    /// The line without its newline, as it is written; long words are cut.
    pub fn render(&self) -> String {
        let line = format!("{BEGIN}{}", serde_json::to_string(self).unwrap());
        assert!(line.len() < MAX_LINE_BYTES, "{line}");
        line
    }

    /// Reads a line; `None` when it is somebody else's.
    pub fn parse(line: &str) -> Option<Self> {
        let (_, said) = line.split_once(BEGIN)?;
        Some(serde_json::from_str(said).unwrap_or_else(|error| panic!("{error}: {said}")))
    }
}

/// What a worker speaks through.
pub struct Mouth {
    /// Not `Stdout`, which has a buffer: one line is one write. Locked for that write, so that
    /// lines come in the order in which they were said.
    pipe: Mutex<File>,
}

impl Mouth {
    /// The process's standard output.
    pub fn stdout() -> Self {
        let pipe = std::io::stdout().as_fd().try_clone_to_owned().unwrap();
        Self {
            pipe: Mutex::new(File::from(pipe)),
        }
    }

    /// Says a line.
    pub fn say(&self, line: &Line) {
        let mut text = line.render();
        text.push('\n');
        // Nobody listens any more: the worker is about to be told so.
        let _ = self.pipe.lock().unwrap().write_all(text.as_bytes());
    }
}

/// At most 1,000 bytes of a text, so that a line holds it.
pub fn short(text: impl ToString) -> String {
    let mut text = text.to_string();
    let mut end = text.len().min(1000);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_said_whatever_stands_before_it() {
        let line = Line::Refused {
            op: 7,
            refusal: Refusal::Other,
            fine: false,
            why: short("\u{1}é\n".repeat(2000)),
        };
        let said = line.render();
        assert!(said.len() < MAX_LINE_BYTES && !said.contains('\n'));
        assert_eq!(Line::parse(&format!("test worker ... {said}")), Some(line));
        assert_eq!(Line::parse("running 1 test"), None);
    }
}
