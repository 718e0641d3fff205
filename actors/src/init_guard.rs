//! The guard of a session that is still being set up.

use std::ops::Deref;

use crate::live_thread::LiveThread;
use crate::thread_actor::Discard;

/// Discards a thread whose session failed to start: unless it is committed, dropping it ends a
/// new thread of which nothing is on disk, and leaves nothing there. A thread that has reached
/// the disk stays live.
#[derive(Debug)]
#[must_use = "dropping the guard discards the thread"]
pub struct InitGuard {
    thread: LiveThread,
    committed: bool,
}

impl InitGuard {
    /// Guards a thread.
    pub fn new(thread: LiveThread) -> Self {
        Self {
            thread,
            committed: false,
        }
    }

    /// Keeps the thread.
    #[must_use]
    pub fn commit(mut self) -> LiveThread {
        self.committed = true;
        self.thread.clone()
    }
}

impl Deref for InitGuard {
    type Target = LiveThread;

    fn deref(&self) -> &LiveThread {
        &self.thread
    }
}

impl Drop for InitGuard {
    fn drop(&mut self) {
        if !self.committed {
            // A full mailbox means that appends are on their way, and the first of them brings
            // the thread to the disk. An actor that has ended has nothing to discard.
            drop(self.thread.thread().actor.tell(Discard).try_send());
        }
    }
}
