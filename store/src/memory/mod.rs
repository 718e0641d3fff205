//! A store in memory: the contract without a disk, for tests and for runtimes that keep nothing.

mod calls;
mod threads;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use selvedge_codec::view::MetadataPatch;
use selvedge_codec::{Item, Ordinal, ThreadId};
use selvedge_engine::clock::{Clock, SystemClock};
use selvedge_engine::listing::{ListQuery, Page};
use selvedge_engine::log::History;
use selvedge_engine::paging::{ItemPage, ItemQuery, ModelContext, TurnPage, TurnQuery};
use selvedge_engine::search::{OccurrencePage, OccurrenceQuery, SearchPage, SearchQuery};
use selvedge_engine::thread::ThreadSummary;
use selvedge_engine::{Error, InvalidRequest, Result};

pub use calls::{Call, Operation};

use crate::{
    Ack, AppendOptions, Durability, EphemeralThread, Flushed, ForkThread, ResumeThread,
    RolledBackThread, StartThread, Subscription, ThreadRecords, ThreadStore, list_of, search_of,
};
use threads::{Held, Lasting, Threads};

/// A store that keeps its threads in memory, and nothing anywhere else. It knows no paths, reaches
/// no more than [`Durability::Buffered`], and remembers what it was asked for.
#[derive(Debug)]
pub struct InMemoryThreadStore {
    clock: Arc<dyn Clock>,
    threads: Arc<Mutex<Threads>>,
}

impl Default for InMemoryThreadStore {
    fn default() -> Self {
        Self::new()
    }
}

impl InMemoryThreadStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store whose times are this clock's.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            threads: Arc::default(),
        }
    }

    /// Everything that the store was asked for so far, in order, whether it was carried out or
    /// refused.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.threads().calls.clone()
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        // What a thread is after a panic is what it was before it: nothing is done by halves.
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call, and gives what it works on.
    fn call(
        &self,
        operation: Operation,
        thread_id: impl Into<Option<ThreadId>>,
    ) -> MutexGuard<'_, Threads> {
        let mut threads = self.threads();
        threads.calls.push(Call {
            operation,
            thread_id: thread_id.into(),
        });
        threads
    }

    /// Appends what changes a thread, live or not.
    fn change(
        &self,
        threads: &mut Threads,
        thread_id: ThreadId,
        patch: &MetadataPatch,
    ) -> Result<ThreadSummary> {
        let items = ThreadRecords::patch(patch)?;
        if !items.is_empty() {
            let thread = threads.lasting(thread_id)?;
            thread.append(items, AppendOptions::default(), self.clock.now())?;
        }
        threads.kept(thread_id).map(ThreadRecords::summary)
    }

    fn move_to(
        &self,
        mut threads: MutexGuard<'_, Threads>,
        (thread_id, is_archived): (ThreadId, bool),
    ) -> Result<ThreadSummary> {
        threads.lasting(thread_id)?;
        threads.kept(thread_id)?;
        threads.end(thread_id);
        let thread = threads.lasting(thread_id)?;
        thread.records.set_archived(is_archived);
        Ok(thread.records.summary())
    }
}

#[async_trait]
impl ThreadStore for InMemoryThreadStore {
    async fn create_thread(&self, start: StartThread) -> Result<ThreadId> {
        let thread_id = start.thread_id.unwrap_or_else(ThreadId::generate);
        let mut threads = self.call(Operation::CreateThread, thread_id);
        threads.check_free(thread_id)?;
        let meta = start.session_meta(thread_id, self.clock.now())?;
        let held = if start.ephemeral {
            Held::Ephemeral(EphemeralThread::new(thread_id))
        } else {
            Held::Lasting(Lasting::new(ThreadRecords::begin(thread_id, &[], meta)?))
        };
        threads.by_id.insert(thread_id, held);
        Ok(thread_id)
    }

    async fn resume_thread(&self, resume: ResumeThread) -> Result<ThreadSummary> {
        let thread_id = resume.thread_id;
        let mut threads = self.call(Operation::ResumeThread, thread_id);
        let summary = self.change(&mut threads, thread_id, &resume.changes)?;
        threads.lasting(thread_id)?.is_live = true;
        Ok(summary)
    }

    async fn append_items(
        &self,
        thread_id: ThreadId,
        items: Vec<Item>,
        options: AppendOptions,
    ) -> Result<Ack> {
        let mut threads = self.call(Operation::AppendItems, thread_id);
        let now = self.clock.now();
        threads.live(thread_id)?.append(items, options, now)
    }

    async fn persist_thread(&self, thread_id: ThreadId) -> Result<()> {
        let mut threads = self.call(Operation::PersistThread, thread_id);
        threads.live(thread_id)?;
        threads.lasting(thread_id)?.keep();
        Ok(())
    }

    async fn flush_thread(&self, thread_id: ThreadId) -> Result<Flushed> {
        let mut threads = self.call(Operation::FlushThread, thread_id);
        Ok(Flushed {
            thread_id,
            next_ordinal: threads.live(thread_id)?.next_ordinal(),
            durability: Durability::Buffered,
        })
    }

    async fn shutdown_thread(&self, thread_id: ThreadId) -> Result<()> {
        let mut threads = self.call(Operation::ShutdownThread, thread_id);
        threads.live(thread_id)?;
        threads.end(thread_id);
        Ok(())
    }

    async fn discard_thread(&self, thread_id: ThreadId) -> Result<()> {
        let mut threads = self.call(Operation::DiscardThread, thread_id);
        threads.live(thread_id)?;
        if threads.kept(thread_id).is_ok() {
            return Err(InvalidRequest::ThreadExists(thread_id).into());
        }
        threads.end(thread_id);
        Ok(())
    }

    async fn loaded_threads(&self) -> Result<Vec<ThreadId>> {
        let threads = self.call(Operation::LoadedThreads, None);
        let live = threads.by_id.iter().filter(|(_, held)| held.is_live());
        Ok(live.map(|(id, _)| *id).collect())
    }

    async fn load_history(&self, thread_id: ThreadId) -> Result<History> {
        let threads = self.call(Operation::LoadHistory, thread_id);
        threads.kept(thread_id).map(ThreadRecords::history)
    }

    async fn load_model_context(&self, thread_id: ThreadId) -> Result<ModelContext> {
        let threads = self.call(Operation::LoadModelContext, thread_id);
        threads.kept(thread_id).map(ThreadRecords::model_context)
    }

    async fn read_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        let threads = self.call(Operation::ReadThread, thread_id);
        threads.kept(thread_id).map(ThreadRecords::summary)
    }

    async fn read_thread_by_path(&self, _path: &Path) -> Result<ThreadSummary> {
        drop(self.call(Operation::ReadThreadByPath, None));
        Err(InvalidRequest::NoPaths.into())
    }

    async fn list_threads(&self, query: ListQuery) -> Result<Page> {
        let threads = self.call(Operation::ListThreads, None);
        list_of(&threads.all_kept(), &query)
    }

    async fn search_threads(&self, query: SearchQuery) -> Result<SearchPage> {
        let threads = self.call(Operation::SearchThreads, None);
        search_of(&threads.all_kept(), &query)
    }

    async fn search_occurrences(
        &self,
        thread_id: ThreadId,
        query: OccurrenceQuery,
    ) -> Result<OccurrencePage> {
        let threads = self.call(Operation::SearchOccurrences, thread_id);
        threads.kept(thread_id)?.occurrences(&query)
    }

    async fn list_turns(&self, thread_id: ThreadId, query: TurnQuery) -> Result<TurnPage> {
        let threads = self.call(Operation::ListTurns, thread_id);
        threads.kept(thread_id)?.turn_page(&query)
    }

    async fn list_items(&self, thread_id: ThreadId, query: ItemQuery) -> Result<ItemPage> {
        let threads = self.call(Operation::ListItems, thread_id);
        threads.kept(thread_id)?.item_page(&query)
    }

    async fn update_metadata(
        &self,
        thread_id: ThreadId,
        patch: MetadataPatch,
    ) -> Result<ThreadSummary> {
        let mut threads = self.call(Operation::UpdateMetadata, thread_id);
        threads.lasting(thread_id)?;
        self.change(&mut threads, thread_id, &patch)
    }

    async fn archive_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        self.move_to(
            self.call(Operation::ArchiveThread, thread_id),
            (thread_id, true),
        )
    }

    async fn unarchive_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        self.move_to(
            self.call(Operation::UnarchiveThread, thread_id),
            (thread_id, false),
        )
    }

    async fn delete_thread(&self, thread_id: ThreadId) -> Result<()> {
        let mut threads = self.call(Operation::DeleteThread, thread_id);
        threads.by_id.remove(&thread_id);
        Ok(())
    }

    async fn fork_thread(&self, fork: ForkThread) -> Result<ThreadSummary> {
        let source_id = fork.source;
        let mut threads = self.call(Operation::ForkThread, source_id);
        threads.lasting(source_id)?;
        let source = threads.kept(source_id)?;
        let thread_id = fork.start.thread_id.unwrap_or_else(ThreadId::generate);
        threads.check_free(thread_id)?;
        if fork.start.ephemeral {
            return Err(InvalidRequest::Ephemeral(thread_id).into());
        }
        let inherited = source.before(&fork.point)?;
        let start = fork.resolve(&source.summary(), source.originator());
        let meta = start.session_meta(thread_id, self.clock.now())?;
        let mut thread = Lasting::new(ThreadRecords::begin(thread_id, inherited, meta)?);
        thread.keep();
        let summary = thread.records.summary();
        threads.by_id.insert(thread_id, Held::Lasting(thread));
        Ok(summary)
    }

    async fn roll_back(&self, thread_id: ThreadId, turns: u32) -> Result<RolledBackThread> {
        let mut threads = self.call(Operation::RollBack, thread_id);
        let thread = threads.lasting(thread_id)?;
        let rollback = thread.records.rollback(turns)?;
        thread.append(vec![rollback], AppendOptions::default(), self.clock.now())?;
        Ok(RolledBackThread {
            thread: thread.records.summary(),
            turns: thread.records.turns(),
        })
    }

    async fn subscribe(&self, thread_id: ThreadId, from: Ordinal) -> Result<Subscription> {
        let mut threads = self.call(Operation::Subscribe, thread_id);
        let held = threads.by_id.get_mut(&thread_id);
        let held = held.ok_or(Error::ThreadNotFound { thread_id })?;
        held.follow(Arc::downgrade(&self.threads), from)
    }
}
