//! How many log files the live threads hold open together.
//!
//! An actor takes a permit before its log opens a file, and gives both back when it has been idle
//! for a sync interval, or as soon as it is asked to because others wait. A waiting actor holds up
//! nobody but itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use selvedge_engine::{Error, Result};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The permits.
#[derive(Debug)]
pub(crate) struct HandlePermits {
    permits: Arc<Semaphore>,
    /// Wakes the holder that has been idle longest: holders register when they go idle, and are
    /// woken in that order. Remembers one wish while none is idle, so that whoever gets a permit
    /// repeats it for those who still wait.
    wanted: Notify,
    /// How many wait for a permit.
    waiting: AtomicUsize,
}

/// The right to hold one log file open. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct HandlePermit {
    _permit: OwnedSemaphorePermit,
}

impl HandlePermits {
    /// Permits for `count` open files.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS))),
            wanted: Notify::new(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Takes a permit; asks an idle holder for its one when there is none left.
    pub(crate) async fn acquire(&self) -> Result<HandlePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(HandlePermit { _permit: permit });
        }
        let waits = Waits::among(&self.waiting);
        self.wanted.notify_one();
        let acquired = Arc::clone(&self.permits).acquire_owned().await;
        drop(waits);
        self.pass_on();
        match acquired {
            Ok(permit) => Ok(HandlePermit { _permit: permit }),
            // Nothing closes the semaphore.
            Err(_closed) => Err(Error::Closed { what: "the store" }),
        }
    }

    /// Asks a holder for its permit if anybody waits for one: called by who was asked, or could
    /// have been, and does not give one back.
    pub(crate) fn pass_on(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.wanted.notify_one();
        }
    }

    /// Waits until this holder should give its permit back.
    pub(crate) async fn asked_back(&self) {
        self.wanted.notified().await;
    }
}

/// Counts one who waits, for as long as it does.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn among(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_holder_is_asked_for_its_permit_when_none_is_left() {
        let permits = Arc::new(HandlePermits::new(1));
        let held = permits.acquire().await.unwrap();
        let (asked, got) = tokio::join!(
            async {
                permits.asked_back().await;
                drop(held);
                true
            },
            permits.acquire()
        );
        assert!(asked && got.is_ok());
    }

    /// Two had waited, and their wishes counted as one, which the holder had heard when it gave
    /// the permit to the first of them. The second waited for as long as the first wanted.
    #[tokio::test]
    async fn each_holder_is_asked_while_anybody_waits() {
        let permits = Arc::new(HandlePermits::new(1));
        let mut held = permits.acquire().await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let permits = Arc::clone(&permits);
            waiting.spawn(async move { permits.acquire().await });
        }
        tokio::task::yield_now().await;
        for _ in 0..3 {
            let is_asked = tokio::select! {
                biased;
                () = permits.asked_back() => true,
                () = tokio::task::yield_now() => false,
            };
            assert!(is_asked);
            drop(held);
            held = waiting.join_next().await.unwrap().unwrap().unwrap();
        }
        let is_asked = tokio::select! {
            biased;
            () = permits.asked_back() => true,
            () = tokio::task::yield_now() => false,
        };
        assert!(!is_asked, "nobody waits");
    }
}
