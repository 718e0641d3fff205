//! The local store: an open home behind the storage boundary.

use std::path::Path;

use async_trait::async_trait;
use selvedge_codec::view::MetadataPatch;
use selvedge_codec::{Item, Ordinal, ThreadId};
use selvedge_engine::listing::{ListQuery, Page};
use selvedge_engine::log::History;
use selvedge_engine::paging::{ItemPage, ItemQuery, ModelContext, TurnPage, TurnQuery};
use selvedge_engine::search::{OccurrencePage, OccurrenceQuery, SearchPage, SearchQuery};
use selvedge_engine::thread::ThreadSummary;
use selvedge_engine::{Error, Result};
use selvedge_store::{
    Ack, AppendOptions, Flushed, ForkThread, ResumeThread, RolledBackThread, StartThread,
    Subscription, ThreadStore,
};

use crate::indexer::CLOSED_STORE;
use crate::live_thread::LiveThread;
use crate::options::OpenOptions;
use crate::selvedge::Selvedge;

/// Threads in a home, on this machine's disk.
///
/// It adds nothing to [`Selvedge`] but the storage boundary's shape, in which a live thread is
/// addressed by its id. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LocalThreadStore {
    selvedge: Selvedge,
}

impl LocalThreadStore {
    /// Opens a home.
    ///
    /// # Errors
    /// As [`Selvedge::open`].
    pub async fn open(options: OpenOptions) -> Result<Self> {
        Selvedge::open(options).await.map(Self::new)
    }

    /// The store of an open home.
    #[must_use]
    pub const fn new(selvedge: Selvedge) -> Self {
        Self { selvedge }
    }

    /// The open home, for what the storage boundary does not have: its index, imports, shutdown.
    #[must_use]
    pub const fn selvedge(&self) -> &Selvedge {
        &self.selvedge
    }

    /// The live thread of this id.
    async fn live(&self, thread_id: ThreadId) -> Result<LiveThread> {
        self.selvedge.core.check_open()?;
        let live = self.selvedge.live_thread(thread_id).await;
        live.ok_or(Error::ThreadNotFound { thread_id })
    }

    /// What became of something that was asked of a live thread: one that has ended meanwhile is
    /// not live.
    fn of_live<T>(&self, thread_id: ThreadId, outcome: Result<T>) -> Result<T> {
        match outcome {
            Err(Error::Closed { .. }) => match self.selvedge.core.check_open() {
                Ok(()) => Err(Error::ThreadNotFound { thread_id }),
                Err(_) => Err(CLOSED_STORE),
            },
            outcome => outcome,
        }
    }
}

impl From<Selvedge> for LocalThreadStore {
    fn from(selvedge: Selvedge) -> Self {
        Self::new(selvedge)
    }
}

#[async_trait]
impl ThreadStore for LocalThreadStore {
    async fn create_thread(&self, start: StartThread) -> Result<ThreadId> {
        let thread = self.selvedge.start_thread(start).await?;
        Ok(thread.thread_id())
    }

    async fn resume_thread(&self, resume: ResumeThread) -> Result<ThreadSummary> {
        let (_, summary) = self.selvedge.resume_with(resume).await?;
        Ok(summary)
    }

    async fn append_items(
        &self,
        thread_id: ThreadId,
        items: Vec<Item>,
        options: AppendOptions,
    ) -> Result<Ack> {
        let thread = self.live(thread_id).await?;
        let appended = thread.append_with(items, options).await;
        self.of_live(thread_id, appended)
    }

    async fn persist_thread(&self, thread_id: ThreadId) -> Result<()> {
        let persisted = self.live(thread_id).await?.persist().await;
        self.of_live(thread_id, persisted)
    }

    async fn flush_thread(&self, thread_id: ThreadId) -> Result<Flushed> {
        let flushed = self.live(thread_id).await?.flush().await;
        self.of_live(thread_id, flushed)
    }

    async fn shutdown_thread(&self, thread_id: ThreadId) -> Result<()> {
        let ended = self.live(thread_id).await?.shutdown().await;
        self.of_live(thread_id, ended)
    }

    async fn discard_thread(&self, thread_id: ThreadId) -> Result<()> {
        let discarded = self.live(thread_id).await?.discard().await;
        self.of_live(thread_id, discarded)
    }

    async fn loaded_threads(&self) -> Result<Vec<ThreadId>> {
        self.selvedge.core.check_open()?;
        Ok(self.selvedge.loaded_threads().await)
    }

    async fn load_history(&self, thread_id: ThreadId) -> Result<History> {
        self.selvedge.load_history(thread_id).await
    }

    async fn load_model_context(&self, thread_id: ThreadId) -> Result<ModelContext> {
        self.selvedge.load_model_context(thread_id).await
    }

    async fn read_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        self.selvedge.read_thread(thread_id).await
    }

    async fn read_thread_by_path(&self, path: &Path) -> Result<ThreadSummary> {
        self.selvedge.read_thread_by_path(path).await
    }

    async fn list_threads(&self, query: ListQuery) -> Result<Page> {
        self.selvedge.list_threads(query).await
    }

    async fn search_threads(&self, query: SearchQuery) -> Result<SearchPage> {
        self.selvedge.search_threads(query).await
    }

    async fn search_occurrences(
        &self,
        thread_id: ThreadId,
        query: OccurrenceQuery,
    ) -> Result<OccurrencePage> {
        self.selvedge.search_occurrences(thread_id, query).await
    }

    async fn list_turns(&self, thread_id: ThreadId, query: TurnQuery) -> Result<TurnPage> {
        self.selvedge.list_turns(thread_id, query).await
    }

    async fn list_items(&self, thread_id: ThreadId, query: ItemQuery) -> Result<ItemPage> {
        self.selvedge.list_items(thread_id, query).await
    }

    async fn update_metadata(
        &self,
        thread_id: ThreadId,
        patch: MetadataPatch,
    ) -> Result<ThreadSummary> {
        self.selvedge.update_metadata(thread_id, patch).await
    }

    async fn archive_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        self.selvedge.archive_thread(thread_id).await
    }

    async fn unarchive_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        self.selvedge.unarchive_thread(thread_id).await
    }

    async fn delete_thread(&self, thread_id: ThreadId) -> Result<()> {
        self.selvedge.delete_thread(thread_id).await
    }

    async fn fork_thread(&self, fork: ForkThread) -> Result<ThreadSummary> {
        let forked = self.selvedge.fork(fork, true).await?;
        let thread_id = forked.thread.shared.thread_id;
        forked.summary.ok_or(Error::ThreadNotFound { thread_id })
    }

    async fn roll_back(&self, thread_id: ThreadId, turns: u32) -> Result<RolledBackThread> {
        self.selvedge.roll_back(thread_id, turns).await
    }

    async fn subscribe(&self, thread_id: ThreadId, from: Ordinal) -> Result<Subscription> {
        self.selvedge.subscribe(thread_id, from).await
    }
}
