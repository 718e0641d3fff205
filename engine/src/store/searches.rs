//! Searching the home for what the index does not know: once for all who want it at a time.
//!
//! What must hold: who asks for a search is given one that began after it asked. A search costs a
//! look at every folder that changed and a commit, so that many of them at once only wait for each
//! other, on threads that others need.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Store;
use super::around::Breadth;
use crate::index::{Database, Fault, Tables};

/// The searches of one store, numbered from 1 as they begin.
#[derive(Debug, Default)]
pub(super) struct Searches {
    begun: AtomicU64,
    /// How often a search was asked for.
    asked: AtomicU64,
    /// Held while one searches: the others wait for what it finds.
    ended: Mutex<Ended>,
}

#[derive(Debug, Default)]
struct Ended {
    /// The last one that went well.
    well: u64,
    /// The last one that failed.
    failed: u64,
}

impl Searches {
    /// Gives what `search` finds, or `true` when another one's search, which began after this was
    /// called, has ended meanwhile.
    fn once<E>(&self, search: &dyn Fn() -> Result<bool, E>) -> Result<bool, E> {
        let before = self.begun.load(Ordering::SeqCst);
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.well > before {
            return Ok(true);
        }
        if ended.failed > before {
            // Where each fails after a long wait, they had better wait at the same time.
            drop(ended);
            return search();
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let found = search();
        match &found {
            Ok(_) => ended.well = number,
            Err(_) => ended.failed = number,
        }
        found
    }
}

impl Store {
    /// Searches the folders of the home, and takes in what is found. Returns whether there may be
    /// something new.
    pub(super) fn search_home(&self, index: &Database) -> Result<bool, Fault> {
        self.searches.once(&|| {
            let mut suspects = self.look_around(index, (Breadth::Folders, None))?;
            // What the disk refused once may hold it.
            let failures = index.read(|txn| txn.failures())?;
            suspects.extend(self.changed_failures(failures));
            if suspects.is_empty() {
                return Ok(false);
            }
            self.reconcile_in(index, &suspects)?;
            Ok(true)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Some hundred tasks started threads with ids of their own, each of which searched a home of
    /// some thousand logs and committed what it found. They held all I/O threads for seconds, and
    /// appends waited behind them.
    #[test]
    fn those_who_come_during_a_search_share_the_next_one() {
        let (searches, searched) = (Searches::default(), AtomicU64::new(0));
        let search = || {
            // The first one is not over before all have come.
            while searches.asked.load(Ordering::SeqCst) < 9 {
                thread::yield_now();
            }
            searched.fetch_add(1, Ordering::SeqCst);
            Ok::<_, ()>(false)
        };
        let (began, has_begun) = mpsc::channel();
        let first = || {
            began.send(()).unwrap();
            search()
        };
        thread::scope(|scope| {
            scope.spawn(|| searches.once(&first));
            has_begun.recv().unwrap();
            for _ in 0..8 {
                scope.spawn(|| searches.once(&search));
            }
        });
        assert_eq!(searched.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_search_that_failed_is_not_waited_for_one_by_one() {
        let searches = Searches::default();
        let (began, has_begun) = mpsc::channel();
        let at_once = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                searches.once(&|| {
                    began.send(()).unwrap();
                    while searches.asked.load(Ordering::SeqCst) < 4 {
                        thread::yield_now();
                    }
                    Err::<bool, _>(())
                })
            });
            has_begun.recv().unwrap();
            for _ in 0..3 {
                // The first of them fails alone, in a search that all of them have come before;
                // the others are in theirs together.
                scope.spawn(|| {
                    searches.once(&|| {
                        let nth = at_once.fetch_add(1, Ordering::SeqCst);
                        while nth > 0 && at_once.load(Ordering::SeqCst) < 3 {
                            thread::yield_now();
                        }
                        Err::<bool, _>(())
                    })
                });
            }
        });
        assert_eq!(at_once.load(Ordering::SeqCst), 3);
    }
}
