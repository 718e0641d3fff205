//! Reads: what this process has acknowledged is in every answer.

use std::io;
use std::sync::Arc;

use kameo::actor::ActorRef;
use selvedge_codec::ThreadId;
use selvedge_engine::home::LogFormat;
use selvedge_engine::listing::{Coverage, ListQuery, Page, scan_list};
use selvedge_engine::log::{History, load_history};
use selvedge_engine::store::{
    FoundThread, RepairOptions, RepairReport, Store, StoreStats, UnreadableLog, VerifyReport,
};
use selvedge_engine::thread::{ThreadSummary, TurnSummary};
use selvedge_engine::{Error, Result};

use crate::indexer::{Indexer, Reconcile, Settle};
use crate::live_thread::ThreadState;
use crate::registry::registry_error;
use crate::selvedge::Selvedge;

/// How often a listing corrects the index and asks again. Each round is caused by files that
/// changed since the one before, so this is met only where they change all the time.
const MAX_RECONCILE_ROUNDS: usize = 4;

impl Selvedge {
    /// A page of the home's threads.
    ///
    /// # Errors
    /// [`InvalidRequest`](selvedge_engine::Error::InvalidRequest) for a bad cursor or page size;
    /// [`Io`](selvedge_engine::Error::Io); [`Closed`](selvedge_engine::Error::Closed) after a
    /// shutdown. An index that another process holds is no error: the logs are read instead.
    pub async fn list_threads(&self, query: ListQuery) -> Result<Page> {
        let Some(indexer) = self.core.indexer.clone() else {
            return self.read(move |store| store.list(&query)).await;
        };
        let query = Arc::new(query);
        match self.list_by_index(&indexer, &query).await {
            // Another process holds the index, or there is no room for it: the logs have the same
            // answers.
            Err(why) if self.core.store.is_of_index(&why) => self.scan(query).await,
            done => done,
        }
    }

    async fn list_by_index(
        &self,
        indexer: &ActorRef<Indexer>,
        query: &Arc<ListQuery>,
    ) -> Result<Page> {
        indexer.ask(Settle).await.map_err(registry_error)?;
        let asked = Arc::clone(query);
        let mut outcome = self.read(move |store| store.list_page(&asked)).await?;
        for _ in 0..MAX_RECONCILE_ROUNDS {
            if outcome.suspects.is_empty() {
                break;
            }
            let suspects = outcome.suspects;
            let corrected = indexer.ask(Reconcile { suspects }).await;
            corrected.map_err(registry_error)?;
            let asked = Arc::clone(query);
            outcome = self
                .read(move |store| store.list_page_again(&asked))
                .await?;
        }
        Ok(outcome.page)
    }

    async fn scan(&self, query: Arc<ListQuery>) -> Result<Page> {
        self.read(move |store| {
            let context = store.log_context();
            scan_list(&*context.disk, &context.home, &query)
        })
        .await
    }

    /// What is known of a thread.
    ///
    /// # Errors
    /// [`ThreadNotFound`](selvedge_engine::Error::ThreadNotFound), also for a new thread of which
    /// nothing is on disk yet; otherwise as [`Selvedge::list_threads`].
    pub async fn read_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        self.settle().await?;
        self.read_of(move |store| store.read_thread(thread_id))
            .await
    }

    /// A thread's whole history, as slices of one buffer.
    ///
    /// # Errors
    /// As [`Selvedge::read_thread`];
    /// [`Corrupt`](selvedge_engine::Error::Corrupt) when nothing of the log can be read.
    pub async fn load_history(&self, thread_id: ThreadId) -> Result<History> {
        let found = match self.live_log(thread_id).await? {
            Some(found) => found,
            None => self.find_thread(thread_id).await?,
        };
        self.read_of(move |store| {
            let context = store.log_context();
            let file = context.home.log_file(&found.path);
            match load_history(&*context.disk, &file, found.format) {
                // It was moved since it was found.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    store.history(thread_id)
                }
                loaded => loaded,
            }
        })
        .await
    }

    /// Where a thread's log lies.
    ///
    /// # Errors
    /// As [`Selvedge::read_thread`].
    pub async fn find_thread(&self, thread_id: ThreadId) -> Result<FoundThread> {
        self.settle().await?;
        self.read_of(move |store| store.find(thread_id)).await
    }

    /// A thread's turns, in their order, those that were rolled back included.
    ///
    /// # Errors
    /// As [`Selvedge::read_thread`].
    pub async fn turns(&self, thread_id: ThreadId) -> Result<Vec<TurnSummary>> {
        self.settle().await?;
        self.read_of(move |store| store.turns(thread_id)).await
    }

    /// Whether the index is known to cover every log.
    ///
    /// # Errors
    /// As [`Selvedge::list_threads`]; [`TimedOut`](selvedge_engine::Error::TimedOut) when another
    /// process holds the index.
    pub async fn coverage(&self) -> Result<Coverage> {
        self.read(|store| store.coverage()).await
    }

    /// The logs that can't be read, as far as they were looked at, each with its reason.
    ///
    /// # Errors
    /// As [`Selvedge::list_threads`].
    pub async fn unreadable_logs(&self) -> Result<Vec<UnreadableLog>> {
        self.settle().await?;
        self.read(|store| store.unreadable_logs()).await
    }

    /// Reads every log and compares the index with them.
    ///
    /// # Errors
    /// As [`Selvedge::list_threads`]; damage is no error but in the report.
    pub async fn verify(&self) -> Result<VerifyReport> {
        self.settle().await?;
        self.read(|store| store.verify()).await
    }

    /// Verifies the home and repairs what is damaged: see
    /// [`Store::repair`](selvedge_engine::store::Store::repair). A thread that is live, here or in
    /// another process, is left as it is, and the report says so; one that is resumed while its log is
    /// repaired gets a [`Conflict`](selvedge_engine::Error::Conflict). Subscriptions go on.
    ///
    /// # Errors
    /// As [`Selvedge::verify`]; what keeps a log from being repaired is in the report.
    pub async fn repair(&self, options: RepairOptions) -> Result<RepairReport> {
        self.settle().await?;
        self.read(move |store| store.repair(options)).await
    }

    /// Counts and sizes.
    ///
    /// # Errors
    /// As [`Selvedge::list_threads`].
    pub async fn stats(&self) -> Result<StoreStats> {
        self.settle().await?;
        self.read(|store| store.stats()).await
    }

    /// The log of a live thread, for which nobody needs to ask the index: what is acknowledged
    /// is written.
    async fn live_log(&self, thread_id: ThreadId) -> Result<Option<FoundThread>> {
        let Some(live) = self.live_thread(thread_id).await else {
            return Ok(None);
        };
        // A thread that was shut down meanwhile is found like any other.
        let Ok(snapshot) = live.snapshot().await else {
            return Ok(None);
        };
        let format = snapshot
            .path
            .as_ref()
            .and_then(|path| LogFormat::of_file_name(path.file_name()));
        match (snapshot.state, snapshot.path, format) {
            (ThreadState::Live | ThreadState::Failed, Some(path), Some(format)) => {
                Ok(Some(FoundThread { path, format }))
            }
            _ => Err(Error::ThreadNotFound { thread_id }),
        }
    }

    /// Waits until the index has everything that was acknowledged before. Where it can't take it
    /// (another process holds it, the disk is full), reading one thread asks its log instead.
    pub(crate) async fn settle(&self) -> Result<()> {
        let Some(indexer) = &self.core.indexer else {
            return Ok(());
        };
        match indexer.ask(Settle).await.map_err(registry_error) {
            Err(why) if self.core.store.is_of_index(&why) => Ok(()),
            settled => settled,
        }
    }

    /// Reads a thread on the I/O pool; once more where a move of its log may be why it was not
    /// found.
    pub(crate) async fn read_of<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Store) -> Result<T> + Send + 'static,
    {
        let feeds = Arc::clone(&self.core.feeds);
        self.read(move |store| feeds.moves().find(|| read(store)))
            .await
    }

    /// Reads the store on the I/O pool.
    pub(crate) async fn read<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T> + Send + 'static,
    {
        self.core.check_open()?;
        let store = Arc::clone(&self.core.store);
        self.core.pool.look(move || read(&store)).await?
    }
}
