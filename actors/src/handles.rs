//! How many log files the live threads hold open together.
//!
//! An actor takes a permit before its log opens a file, and gives both back when it has been idle
//! for a sync interval, or as soon as it is asked to because others wait. A waiting actor holds up
//! nobody but itself.

use std::sync::Arc;

use selvedge_engine::{Error, Result};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The permits.
#[derive(Debug)]
pub(crate) struct HandlePermits {
    permits: Arc<Semaphore>,
    /// Wakes the holder that has been idle longest: holders register when they go idle, and are
    /// woken in that order.
    wanted: Notify,
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
        }
    }

    /// Takes a permit; asks an idle holder for its one when there is none left.
    pub(crate) async fn acquire(&self) -> Result<HandlePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(HandlePermit { _permit: permit });
        }
        self.wanted.notify_one();
        match Arc::clone(&self.permits).acquire_owned().await {
            Ok(permit) => Ok(HandlePermit { _permit: permit }),
            // Nothing closes the semaphore.
            Err(_closed) => Err(Error::Closed { what: "the store" }),
        }
    }

    /// Waits until this holder should give its permit back.
    pub(crate) async fn asked_back(&self) {
        self.wanted.notified().await;
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
}
