//! Moves of logs by this store: a search that is overtaken by one may miss a log that is there all
//! the time, first where it is not yet and then where it is not any more, or open it where it was.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use selvedge_engine::{Error, Result};

/// How often a thread is looked for while logs are moved all the time.
const MAX_LOOKS: u32 = 64;

/// How many moves were begun, and how many of them are over.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    begun: AtomicU64,
    over: AtomicU64,
}

/// A moment, as to moves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    begun: u64,
    is_still: bool,
}

impl Moves {
    /// A log is moved until this is dropped.
    pub(crate) fn begin(&self) -> Moving<'_> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        Moving(self)
    }

    pub(crate) fn now(&self) -> Moment {
        // Those that are over first: none that goes on is taken for one that is over.
        let over = self.over.load(Ordering::SeqCst);
        let begun = self.begun.load(Ordering::SeqCst);
        Moment {
            begun,
            is_still: begun == over,
        }
    }

    /// Whether no log was moved between then and now.
    pub(crate) fn none_since(&self, then: Moment) -> bool {
        then.is_still && self.begun.load(Ordering::SeqCst) == then.begun
    }

    /// Looks for a thread, again where a move may be why it was not found. Each time another move
    /// must be to blame, so that the bound is met by none that is there.
    pub(crate) fn find<T>(&self, look: impl Fn() -> Result<T>) -> Result<T> {
        for _ in 1..MAX_LOOKS {
            let before = self.now();
            match look() {
                Err(why) if is_missing(&why) && !self.none_since(before) => {}
                found => return found,
            }
        }
        look()
    }
}

/// Whether nothing was found, or what was found was gone when it was opened.
fn is_missing(why: &Error) -> bool {
    match why {
        Error::ThreadNotFound { .. } => true,
        Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// A move that goes on.
#[derive(Debug)]
pub(crate) struct Moving<'a>(&'a Moves);

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.over.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_codec::ThreadId;
    use std::cell::Cell;

    /// A fork of a thread that was archived and taken back all the time failed: its log was moved between
    /// being found and being opened, more often than that was tried.
    #[test]
    fn a_log_that_is_moved_before_it_is_opened_is_looked_for_again() {
        let (moves, looks) = (Moves::default(), Cell::new(0));
        let log = std::path::Path::new("log");
        let gone = || Err::<u32, _>(Error::io("open", log, io::ErrorKind::NotFound.into()));
        let look = |moved: u32| {
            looks.set(looks.get() + 1);
            if looks.get() > moved {
                return gone();
            }
            drop(moves.begin());
            gone()
        };
        assert!(moves.find(|| look(9)).is_err());
        assert_eq!(
            looks.get(),
            10,
            "nothing was moved while it was looked for last"
        );
    }

    #[test]
    fn a_thread_is_looked_for_again_when_a_log_was_moved_meanwhile() {
        let (moves, looks) = (Moves::default(), Cell::new(0));
        let look = |moved: u32| {
            let missing = || {
                Err::<u32, _>(Error::ThreadNotFound {
                    thread_id: ThreadId::generate(),
                })
            };
            looks.set(looks.get() + 1);
            if looks.get() <= moved {
                drop(moves.begin());
            }
            missing()
        };
        assert!(moves.find(|| look(2)).is_err());
        assert_eq!(looks.get(), 3);
        let moving = moves.begin();
        assert!(!moves.none_since(moves.now()), "one goes on");
        drop(moving);
        assert!(moves.none_since(moves.now()));
    }
}
