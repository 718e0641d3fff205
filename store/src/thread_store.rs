//! The storage boundary.

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use selvedge_codec::view::MetadataPatch;
use selvedge_codec::{Item, Ordinal, ThreadId};
use selvedge_engine::Result;
use selvedge_engine::listing::{ListQuery, Page};
use selvedge_engine::log::History;
use selvedge_engine::paging::{ItemPage, ItemQuery, ModelContext, TurnPage, TurnQuery};
use selvedge_engine::search::{OccurrencePage, OccurrenceQuery, SearchPage, SearchQuery};
use selvedge_engine::thread::ThreadSummary;

use crate::{
    Ack, AppendOptions, Flushed, ForkThread, ResumeThread, RolledBackThread, StartThread,
    Subscription,
};

/// Everything that an agent runtime asks of the store of its threads.
///
/// One process builds one store and shares it. What belongs to a thread travels in the parameters
/// that create or resume it. A thread is *live* from its creation, fork or resumption to its
/// shutdown, and only live threads are appended to; all other operations take live and cold
/// threads alike.
///
/// What every store keeps to is stated, as tests, by the conformance suite.
#[async_trait]
pub trait ThreadStore: Send + Sync + fmt::Debug {
    /// Starts a new thread, and makes it live. Nothing of it is kept before its first append or
    /// persist.
    ///
    /// # Errors
    /// `InvalidRequest::ThreadExists` when there is a thread of the chosen id,
    /// `InvalidRequest::Codec` when the source is no JSON.
    async fn create_thread(&self, start: StartThread) -> Result<ThreadId>;

    /// Makes a thread live, if it is not that already, and gives what is known of it.
    ///
    /// # Errors
    /// `ThreadNotFound`; `Conflict` while somebody else writes the thread.
    async fn resume_thread(&self, resume: ResumeThread) -> Result<ThreadSummary>;

    /// Appends a batch to a live thread: it is read whole or not at all.
    ///
    /// # Errors
    /// `ThreadNotFound` when the thread is not live; `Conflict` when another ordinal was expected;
    /// `InvalidRequest::Codec` for an empty or too large batch.
    async fn append_items(
        &self,
        thread_id: ThreadId,
        items: Vec<Item>,
        options: AppendOptions,
    ) -> Result<Ack>;

    /// Keeps a live thread, even without an append, as safely as the store can.
    ///
    /// # Errors
    /// `ThreadNotFound` when the thread is not live; `InvalidRequest::Ephemeral`.
    async fn persist_thread(&self, thread_id: ThreadId) -> Result<()>;

    /// Makes everything acknowledged so far as safe as the store can.
    ///
    /// # Errors
    /// `ThreadNotFound` when the thread is not live.
    async fn flush_thread(&self, thread_id: ThreadId) -> Result<Flushed>;

    /// Ends a live thread; what was acknowledged is safe when this returns. A thread of which
    /// nothing was kept yet is gone.
    ///
    /// # Errors
    /// `ThreadNotFound` when the thread is not live.
    async fn shutdown_thread(&self, thread_id: ThreadId) -> Result<()>;

    /// Ends a live thread of which nothing was kept yet.
    ///
    /// # Errors
    /// `ThreadNotFound` when the thread is not live; `InvalidRequest::ThreadExists` when something
    /// was kept: it stays live then.
    async fn discard_thread(&self, thread_id: ThreadId) -> Result<()>;

    /// The ids of all live threads, in their order.
    ///
    /// # Errors
    /// `Closed` after the store was shut down.
    async fn loaded_threads(&self) -> Result<Vec<ThreadId>>;

    /// All records of a thread.
    ///
    /// # Errors
    /// `ThreadNotFound`.
    async fn load_history(&self, thread_id: ThreadId) -> Result<History>;

    /// The end of a thread's history from which what the model sees can be rebuilt: the records
    /// that still count, from the newest compaction with a replacement history, or from the
    /// context of a completed turn before it; all of them where there is no such place.
    ///
    /// # Errors
    /// `ThreadNotFound`.
    async fn load_model_context(&self, thread_id: ThreadId) -> Result<ModelContext>;

    /// What is known of a thread.
    ///
    /// # Errors
    /// `ThreadNotFound`.
    async fn read_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary>;

    /// What is known of the thread whose log lies at a path: absolute, or below the home.
    ///
    /// # Errors
    /// `InvalidRequest::NoPaths` from a store that knows no paths,
    /// `InvalidRequest::NotALogOfTheHome` for a path that leads to none.
    async fn read_thread_by_path(&self, path: &Path) -> Result<ThreadSummary>;

    /// A page of threads.
    ///
    /// # Errors
    /// `InvalidRequest` for a bad cursor or page size.
    async fn list_threads(&self, query: ListQuery) -> Result<Page>;

    /// A page of threads in which something was said.
    ///
    /// # Errors
    /// `InvalidRequest` for a bad term, cursor or page size.
    async fn search_threads(&self, query: SearchQuery) -> Result<SearchPage>;

    /// The places in one thread where something was said.
    ///
    /// # Errors
    /// `ThreadNotFound`; `InvalidRequest` for a bad term, cursor or page size.
    async fn search_occurrences(
        &self,
        thread_id: ThreadId,
        query: OccurrenceQuery,
    ) -> Result<OccurrencePage>;

    /// A page of a thread's turns.
    ///
    /// # Errors
    /// `ThreadNotFound`; `InvalidRequest` for a bad cursor or page size.
    async fn list_turns(&self, thread_id: ThreadId, query: TurnQuery) -> Result<TurnPage>;

    /// A page of a thread's items.
    ///
    /// # Errors
    /// `ThreadNotFound`; `InvalidRequest` for a bad cursor or page size, or an unknown turn.
    async fn list_items(&self, thread_id: ThreadId, query: ItemQuery) -> Result<ItemPage>;

    /// Changes what is known of a thread, and gives what is known of it then. The change is as
    /// safe as the store can make it.
    ///
    /// # Errors
    /// `ThreadNotFound`; `InvalidRequest::Metadata` for a value that can't be kept;
    /// `InvalidRequest::Ephemeral`; `Conflict` while somebody else writes the thread.
    async fn update_metadata(
        &self,
        thread_id: ThreadId,
        patch: MetadataPatch,
    ) -> Result<ThreadSummary>;

    /// Puts a thread among the archived ones, and gives what is known of it then. A live thread is
    /// shut down first. An archived one stays as it is.
    ///
    /// # Errors
    /// `ThreadNotFound`; `Conflict` while somebody else writes the thread.
    async fn archive_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary>;

    /// Takes a thread back from the archived ones. One that is not archived stays as it is.
    ///
    /// # Errors
    /// As [`ThreadStore::archive_thread`].
    async fn unarchive_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary>;

    /// Deletes a thread, for good. A live thread is shut down first. Forks of it keep the history
    /// that they begin with. A thread that is not there (any more) is no error.
    ///
    /// # Errors
    /// `Conflict` while somebody else writes the thread.
    async fn delete_thread(&self, thread_id: ThreadId) -> Result<()>;

    /// Starts a thread that begins with another one's history, makes it live, and gives what is
    /// known of it.
    ///
    /// # Errors
    /// `ThreadNotFound`; `InvalidRequest::NoSuchTurn`, `InvalidRequest::OrdinalPastEnd`,
    /// `InvalidRequest::ThreadExists`, `InvalidRequest::Ephemeral`.
    async fn fork_thread(&self, fork: ForkThread) -> Result<ThreadSummary>;

    /// Drops the last turns of a thread: they stay in its history, and no longer count.
    ///
    /// # Errors
    /// `ThreadNotFound`; `InvalidRequest::RollbackTurns` for 0 turns or more than still count;
    /// `InvalidRequest::Ephemeral`; `Conflict` while somebody else writes the thread.
    async fn roll_back(&self, thread_id: ThreadId, turns: u32) -> Result<RolledBackThread>;

    /// The records of a thread from an ordinal on: those that are there, and those that follow.
    ///
    /// # Errors
    /// `ThreadNotFound`; `InvalidRequest::OrdinalPastEnd` when `from` is beyond the next ordinal.
    async fn subscribe(&self, thread_id: ThreadId, from: Ordinal) -> Result<Subscription>;
}
