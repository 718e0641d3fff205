//! Changes of whole threads: metadata, archive, delete, fork and rollback, of live and cold
//! threads alike.

use selvedge_codec::ThreadId;
use selvedge_codec::view::MetadataPatch;
use selvedge_engine::thread::ThreadSummary;
use selvedge_engine::{Error, Result};
use selvedge_store::{ForkThread, RolledBackThread};

use crate::live_thread::LiveThread;
use crate::selvedge::Selvedge;

/// Holds the place of what the engine does not have yet.
pub(crate) const NOT_WIRED: Error = Error::Closed {
    what: "not wired yet",
};

impl Selvedge {
    /// Starts a thread that begins with another one's history, and makes it live.
    ///
    /// # Errors
    /// As the storage boundary says.
    pub async fn fork_thread(&self, fork: ForkThread) -> Result<LiveThread> {
        drop(fork);
        Err(NOT_WIRED)
    }

    /// Starts a detached review of a thread: a fork of all of its stored history.
    ///
    /// # Errors
    /// As [`Selvedge::fork_thread`].
    pub async fn review_thread(&self, thread_id: ThreadId) -> Result<LiveThread> {
        self.fork_thread(ForkThread::review(thread_id)).await
    }

    /// Changes what is known of a thread.
    ///
    /// # Errors
    /// As the storage boundary says.
    pub async fn update_metadata(
        &self,
        _thread_id: ThreadId,
        patch: MetadataPatch,
    ) -> Result<ThreadSummary> {
        drop(patch);
        Err(NOT_WIRED)
    }

    /// Puts a thread among the archived ones.
    ///
    /// # Errors
    /// As the storage boundary says.
    pub async fn archive_thread(&self, _thread_id: ThreadId) -> Result<ThreadSummary> {
        Err(NOT_WIRED)
    }

    /// Takes a thread back from the archived ones.
    ///
    /// # Errors
    /// As [`Selvedge::archive_thread`].
    pub async fn unarchive_thread(&self, _thread_id: ThreadId) -> Result<ThreadSummary> {
        Err(NOT_WIRED)
    }

    /// Deletes a thread, for good.
    ///
    /// # Errors
    /// As the storage boundary says.
    pub async fn delete_thread(&self, _thread_id: ThreadId) -> Result<()> {
        Err(NOT_WIRED)
    }

    /// Drops the last turns of a thread.
    ///
    /// # Errors
    /// As the storage boundary says.
    pub async fn roll_back(&self, _thread_id: ThreadId, _turns: u32) -> Result<RolledBackThread> {
        Err(NOT_WIRED)
    }
}
