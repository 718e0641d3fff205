//! The thread manager: what an agent runtime holds on to, whatever the store behind it.

use std::sync::Arc;

use selvedge_codec::view::MetadataPatch;
use selvedge_codec::{Item, Ordinal, ThreadId};
use selvedge_engine::thread::ThreadSummary;
use selvedge_engine::{Error, Result};
use selvedge_store::{
    Ack, AppendOptions, Flushed, ForkThread, ResumeThread, RolledBackThread, StartThread,
    Subscription, ThreadStore,
};

/// The live threads of a store, and all others by their ids. One process builds one store, and
/// shares a manager of it. Cheap to clone.
///
/// An operation that is given an id works on the live thread, if there is one, and on the stored
/// one otherwise: the answer is the same.
#[derive(Debug, Clone)]
pub struct ThreadManager {
    store: Arc<dyn ThreadStore>,
}

impl ThreadManager {
    /// The manager of a store's threads.
    #[must_use]
    pub const fn new(store: Arc<dyn ThreadStore>) -> Self {
        Self { store }
    }

    /// The store: for what needs no manager, such as listings, searches and histories.
    #[must_use]
    pub fn store(&self) -> &dyn ThreadStore {
        &*self.store
    }

    fn handle(&self, thread_id: ThreadId) -> ThreadHandle {
        ThreadHandle {
            thread_id,
            store: Arc::clone(&self.store),
        }
    }

    /// Starts a new thread.
    ///
    /// # Errors
    /// As [`ThreadStore::create_thread`].
    pub async fn start(&self, start: StartThread) -> Result<ThreadHandle> {
        let thread_id = self.store.create_thread(start).await?;
        Ok(self.handle(thread_id))
    }

    /// Makes a thread live, and gives what is known of it: a thread's id is enough.
    ///
    /// # Errors
    /// As [`ThreadStore::resume_thread`].
    pub async fn resume(
        &self,
        resume: impl Into<ResumeThread>,
    ) -> Result<(ThreadHandle, ThreadSummary)> {
        let summary = self.store.resume_thread(resume.into()).await?;
        Ok((self.handle(summary.thread_id), summary))
    }

    /// Starts a thread that begins with another one's history.
    ///
    /// # Errors
    /// As [`ThreadStore::fork_thread`].
    pub async fn fork(&self, fork: ForkThread) -> Result<(ThreadHandle, ThreadSummary)> {
        let summary = self.store.fork_thread(fork).await?;
        Ok((self.handle(summary.thread_id), summary))
    }

    /// Starts a detached review of a thread.
    ///
    /// # Errors
    /// As [`ThreadStore::fork_thread`].
    pub async fn review(&self, thread_id: ThreadId) -> Result<(ThreadHandle, ThreadSummary)> {
        self.fork(ForkThread::review(thread_id)).await
    }

    /// The thread of this id, if it is live.
    ///
    /// # Errors
    /// As [`ThreadStore::loaded_threads`].
    pub async fn look_up(&self, thread_id: ThreadId) -> Result<Option<ThreadHandle>> {
        let is_live = self.loaded().await?.binary_search(&thread_id).is_ok();
        Ok(is_live.then(|| self.handle(thread_id)))
    }

    /// The ids of all live threads, in their order.
    ///
    /// # Errors
    /// As [`ThreadStore::loaded_threads`].
    pub async fn loaded(&self) -> Result<Vec<ThreadId>> {
        self.store.loaded_threads().await
    }

    /// Shuts a thread down, if it is live. What was kept of it stays.
    ///
    /// # Errors
    /// As [`ThreadStore::shutdown_thread`], but for a thread that is not live.
    pub async fn remove(&self, thread_id: ThreadId) -> Result<()> {
        match self.store.shutdown_thread(thread_id).await {
            Err(Error::ThreadNotFound { .. }) => Ok(()),
            removed => removed,
        }
    }

    /// Changes what is known of a thread.
    ///
    /// # Errors
    /// As [`ThreadStore::update_metadata`].
    pub async fn update_metadata(
        &self,
        thread_id: ThreadId,
        patch: MetadataPatch,
    ) -> Result<ThreadSummary> {
        self.store.update_metadata(thread_id, patch).await
    }

    /// Drops the last turns of a thread.
    ///
    /// # Errors
    /// As [`ThreadStore::roll_back`].
    pub async fn roll_back(&self, thread_id: ThreadId, turns: u32) -> Result<RolledBackThread> {
        self.store.roll_back(thread_id, turns).await
    }

    /// Puts a thread among the archived ones.
    ///
    /// # Errors
    /// As [`ThreadStore::archive_thread`].
    pub async fn archive(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        self.store.archive_thread(thread_id).await
    }

    /// Takes a thread back from the archived ones.
    ///
    /// # Errors
    /// As [`ThreadStore::unarchive_thread`].
    pub async fn unarchive(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        self.store.unarchive_thread(thread_id).await
    }

    /// Deletes a thread, for good.
    ///
    /// # Errors
    /// As [`ThreadStore::delete_thread`].
    pub async fn delete(&self, thread_id: ThreadId) -> Result<()> {
        self.store.delete_thread(thread_id).await
    }

    /// The records of a thread from an ordinal on.
    ///
    /// # Errors
    /// As [`ThreadStore::subscribe`].
    pub async fn subscribe(&self, thread_id: ThreadId, from: Ordinal) -> Result<Subscription> {
        self.store.subscribe(thread_id, from).await
    }
}

/// A thread that was made live. Cheap to clone; dropping it does not end the thread. Once somebody
/// has ended it, operations on a live thread answer [`Error::ThreadNotFound`] until somebody
/// resumes it.
#[derive(Debug, Clone)]
pub struct ThreadHandle {
    thread_id: ThreadId,
    store: Arc<dyn ThreadStore>,
}

impl ThreadHandle {
    /// The thread's id.
    #[must_use]
    pub const fn thread_id(&self) -> ThreadId {
        self.thread_id
    }

    /// Appends one batch, which is read whole or not at all, and waits until it is written.
    ///
    /// # Errors
    /// As [`ThreadStore::append_items`].
    pub async fn append(&self, items: Vec<Item>) -> Result<Ack> {
        self.append_with(items, AppendOptions::default()).await
    }

    /// Appends one batch, which is read whole or not at all.
    ///
    /// # Errors
    /// As [`ThreadStore::append_items`].
    pub async fn append_with(&self, items: Vec<Item>, options: AppendOptions) -> Result<Ack> {
        let appended = self.store.append_items(self.thread_id, items, options);
        appended.await
    }

    /// Keeps the thread, even without an append.
    ///
    /// # Errors
    /// As [`ThreadStore::persist_thread`].
    pub async fn persist(&self) -> Result<()> {
        self.store.persist_thread(self.thread_id).await
    }

    /// Makes everything acknowledged so far as safe as the store can.
    ///
    /// # Errors
    /// As [`ThreadStore::flush_thread`].
    pub async fn flush(&self) -> Result<Flushed> {
        self.store.flush_thread(self.thread_id).await
    }

    /// Ends the thread; what was acknowledged is safe when this returns.
    ///
    /// # Errors
    /// As [`ThreadStore::shutdown_thread`].
    pub async fn shutdown(&self) -> Result<()> {
        self.store.shutdown_thread(self.thread_id).await
    }

    /// Ends the thread, of which nothing must have been kept yet.
    ///
    /// # Errors
    /// As [`ThreadStore::discard_thread`].
    pub async fn discard(&self) -> Result<()> {
        self.store.discard_thread(self.thread_id).await
    }

    /// The thread's records from an ordinal on: those that are there, and those that follow.
    ///
    /// # Errors
    /// As [`ThreadStore::subscribe`].
    pub async fn subscribe(&self, from: Ordinal) -> Result<Subscription> {
        self.store.subscribe(self.thread_id, from).await
    }

    /// Changes what is known of the thread.
    ///
    /// # Errors
    /// As [`ThreadStore::update_metadata`].
    pub async fn update_metadata(&self, patch: MetadataPatch) -> Result<ThreadSummary> {
        self.store.update_metadata(self.thread_id, patch).await
    }

    /// Drops the thread's last turns.
    ///
    /// # Errors
    /// As [`ThreadStore::roll_back`].
    pub async fn roll_back(&self, turns: u32) -> Result<RolledBackThread> {
        self.store.roll_back(self.thread_id, turns).await
    }
}
