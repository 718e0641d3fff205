//! What all tasks of a load share: whether it goes on, what went wrong, and what was counted.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::task::Poll;
use std::time::{Duration, Instant};

use selvedge::{Error, Result};

/// No operation takes longer than this unless something hangs. An operation may wait for a search
/// through all logs, for hundreds of others' syncs, and for a machine that is busy with other
/// things.
pub const HANGS_AFTER: Duration = Duration::from_secs(120);

/// More than this are not worth reading.
const MAX_VIOLATIONS: usize = 50;

/// What all tasks share.
#[derive(Debug, Default)]
pub struct Watch {
    stopping: AtomicBool,
    violations: Mutex<Vec<String>>,
    worst: Mutex<BTreeMap<&'static str, Duration>>,
    /// Acknowledged batches.
    pub appends: AtomicU64,
    /// Futures that were dropped before they were done.
    pub cancelled: AtomicU64,
    /// Threads that were shut down, one by one.
    pub shutdowns: AtomicU64,
    /// Threads that were resumed after they had ended.
    pub resumes: AtomicU64,
    /// Handles that were dropped and looked up again.
    pub handles_dropped: AtomicU64,
    /// Threads that were deleted.
    pub deletes: AtomicU64,
    /// Threads that were moved to or from the archive.
    pub moves: AtomicU64,
    /// Threads that were forked.
    pub forks: AtomicU64,
    /// Listings, searches and other reads.
    pub reads: AtomicU64,
    /// Events that subscriptions gave.
    pub events: AtomicU64,
}

/// Why an operation did not give what it was asked for, where that is no violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The load is over.
    Stopping,
    /// The thread has ended: somebody shut it down, or the disk panicked.
    Ended,
    /// There is no such thread.
    NotFound,
}

impl Watch {
    /// Tells the tasks that the store is about to be shut down.
    pub fn stop(&self) {
        self.stopping.store(true, SeqCst);
    }

    /// Whether the tasks are to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    /// Takes note of something that must not happen.
    pub fn violated(&self, what: String) {
        let mut violations = self.violations.lock().unwrap();
        if violations.len() < MAX_VIOLATIONS {
            violations.push(what);
        }
    }

    /// What must not have happened, and did.
    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }

    /// The longest that each operation took.
    pub fn worst(&self) -> Vec<(&'static str, Duration)> {
        let worst = self.worst.lock().unwrap();
        worst.iter().map(|(what, took)| (*what, *took)).collect()
    }

    /// Waits for an operation, which must not hang.
    pub async fn bounded<T>(
        &self,
        what: &'static str,
        operation: impl Future<Output = T>,
    ) -> Option<T> {
        let begun = Instant::now();
        let done = tokio::time::timeout(HANGS_AFTER, operation).await;
        let took = begun.elapsed();
        let mut worst = self.worst.lock().unwrap();
        let longest = worst.entry(what).or_default();
        *longest = took.max(*longest);
        drop(worst);
        if done.is_err() {
            self.violated(format!("{what}: hangs for {took:?}"));
        }
        done.ok()
    }

    /// Waits for an operation, and tells apart what may come of it in the midst of a load.
    ///
    /// # Errors
    /// Why there is nothing; a violation is noted.
    pub async fn ask<T>(
        &self,
        what: &'static str,
        operation: impl Future<Output = Result<T>>,
    ) -> Result<T, Refused> {
        match self.bounded(what, operation).await {
            Some(Ok(done)) => Ok(done),
            Some(Err(error)) => Err(self.judge(what, &error)),
            None => Err(Refused::Stopping),
        }
    }

    /// What an error says of the load.
    pub fn judge(&self, what: &'static str, error: &Error) -> Refused {
        match error {
            Error::ThreadNotFound { .. } => Refused::NotFound,
            Error::Closed { .. } if self.is_stopping() => Refused::Stopping,
            Error::Closed { .. } => Refused::Ended,
            // The disk has panicked in the job.
            Error::Io { operation, .. } if *operation == "finish an I/O job on" => Refused::Ended,
            error => {
                self.violated(format!("{what}: {error}"));
                Refused::Ended
            }
        }
    }

    /// Begins an operation, and drops it before it is done, as a rule: at once, or a little later.
    pub async fn give_up<T>(
        &self,
        random: &mut fastrand::Rng,
        operation: impl Future<Output = T>,
    ) -> Option<T> {
        let done = if random.bool() {
            let mut operation = pin!(operation);
            poll_fn(|cx| match operation.as_mut().poll(cx) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending => Poll::Ready(None),
            })
            .await
        } else {
            let patience = Duration::from_micros(random.u64(0..3000));
            tokio::time::timeout(patience, operation).await.ok()
        };
        if done.is_none() {
            count(&self.cancelled);
        }
        done
    }
}

/// One more.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, SeqCst);
}
