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
/// Of a live thread of which nothing was kept yet nobody but its writer and its subscribers can
/// tell: it is neither read nor listed, and gone once it ends. An *ephemeral* thread is never
/// kept, so that its records reach nobody but those who are subscribed to it.
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

    /// Makes a thread live, if it is not that already, and gives what is known of it. An archived
    /// one stays archived.
    ///
    /// # Errors
    /// `ThreadNotFound`, also for a live thread of which nothing is kept, which stays live;
    /// `InvalidRequest::Metadata` for a change that can't be kept, with which nothing is made live;
    /// `Conflict` while somebody else writes the thread.
    async fn resume_thread(&self, resume: ResumeThread) -> Result<ThreadSummary>;

    /// Appends a batch to a live thread: it is read whole or not at all. A new thread's first
    /// batch follows its meta, which has ordinal 0.
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

    /// Ends a live thread of which nothing was kept yet, or an ephemeral one. Nothing is left of it,
    /// and its id is free.
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
    /// safe as the store can make it, and keeps a live thread of which nothing was kept yet. A thread
    /// that is not live is not live afterwards. An empty patch records nothing.
    ///
    /// # Errors
    /// `ThreadNotFound`; `InvalidRequest::Metadata` for a value that can't be kept, with which
    /// nothing of the patch is;
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
    /// `ThreadNotFound`, also for a live thread of which nothing is kept, which stays live;
    /// `InvalidRequest::Ephemeral`; `Conflict` while somebody else writes the
    /// thread.
    async fn archive_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary>;

    /// Takes a thread back from the archived ones; a live one is shut down first. One that is not
    /// archived stays as it is.
    ///
    /// # Errors
    /// As [`ThreadStore::archive_thread`].
    async fn unarchive_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary>;

    /// Deletes a thread, for good. A live thread is shut down first. Forks of it keep the history
    /// that they begin with, its sub-agents stay, its subscriptions end, and its id is free. A
    /// thread that is not there (any more) is no error.
    ///
    /// # Errors
    /// `Conflict` while somebody else writes the thread.
    async fn delete_thread(&self, thread_id: ThreadId) -> Result<()>;

    /// Starts a thread that begins with another one's history, makes it live, keeps it, and gives
    /// what is known of it.
    ///
    /// Its records are those it inherits, with the ordinals that they have in its source, then its
    /// own meta, then its own. What it inherits tells of its turns and its usage, and nothing of
    /// the thread itself: names, patches and metas are its source's.
    ///
    /// # Errors
    /// `ThreadNotFound`, also for a source of which nothing is kept; `InvalidRequest::NoSuchTurn`, `InvalidRequest::OrdinalPastEnd`,
    /// `InvalidRequest::ThreadExists`, `InvalidRequest::Ephemeral`.
    async fn fork_thread(&self, fork: ForkThread) -> Result<ThreadSummary>;

    /// Drops the last turns of a thread: they stay in its history, and no longer count. A turn that
    /// is in progress is one of them.
    ///
    /// # Errors
    /// `ThreadNotFound`; `InvalidRequest::RollbackTurns` for 0 turns or more than still count;
    /// `InvalidRequest::Ephemeral`; `Conflict` while somebody else writes the thread.
    async fn roll_back(&self, thread_id: ThreadId, turns: u32) -> Result<RolledBackThread>;

    /// The records of a thread from an ordinal on: those that are there, and those that follow,
    /// whoever has appended them. It outlives the thread's shutdown, and goes on when the thread is
    /// resumed. Of a live thread of which nothing was kept yet it gives nothing before something is.
    ///
    /// # Errors
    /// `ThreadNotFound`; `InvalidRequest::OrdinalPastEnd` when `from` is beyond the next ordinal;
    /// `InvalidRequest::Ephemeral` when it is before the next ordinal of an ephemeral thread.
    async fn subscribe(&self, thread_id: ThreadId, from: Ordinal) -> Result<Subscription>;
}
