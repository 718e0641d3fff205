//! The handle on an open home.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kameo::actor::ActorRef;
use selvedge_codec::ThreadId;
use selvedge_engine::clock::Clock;
use selvedge_engine::store::{BackfillProgress, BackfillReport, IndexUse, Store, StoreOptions};
use selvedge_engine::{Error, Result};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::feed::Feeds;
use crate::handles::HandlePermits;
use crate::indexer::{self, Backfill, BackfillKind, CLOSED_STORE, GrownLogs, Indexer, IndexerArgs};
use crate::io_pool::IoPool;
use crate::live_thread::{LiveThread, ThreadRef};
use crate::options::{IndexMode, OpenOptions};
use crate::registry::{
    self, ListLoaded, LookUp, NewLog, Registry, RegistryArgs, Remove, Resume, Start, registry_error,
};
use crate::spawn;
use crate::thread_actor::ThreadEnv;
use selvedge_store::StartThread;

/// How long a backfill that somebody asked for waits for another process that is at it.
const BACKFILL_WAIT: Duration = Duration::from_secs(30);

/// An open home: its live threads, its index and its logs. Cheap to clone.
///
/// It needs a tokio runtime with its timer enabled, and works on both kinds. Every operation that
/// could wait for the medium waits on an I/O pool of its own. [`Selvedge::shutdown`] syncs
/// everything acknowledged; without it, what was written and not synced yet survives the
/// process's death all the same, though not a power loss.
#[derive(Debug, Clone)]
pub struct Selvedge {
    pub(crate) core: Arc<Core>,
}

/// What all handles on an open home share. Its last handle closes the home.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) store: Arc<Store>,
    pub(crate) pool: IoPool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) registry: ActorRef<Registry>,
    /// What the indexer will look at.
    pub(crate) grown: Arc<GrownLogs>,
    /// `None` when no index is used.
    pub(crate) indexer: Option<ActorRef<Indexer>>,
    pub(crate) feeds: Arc<Feeds>,
    /// Set once no thread of this store is live any more, and none will be: what is in the logs
    /// then is all that its subscribers are given.
    pub(crate) threads_ended: watch::Sender<bool>,
    /// Set by the first shutdown, before it does anything.
    closed: AtomicBool,
    /// An asynchronous mutex: it is taken once, by the shutdown, which awaits what it holds.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Selvedge {
    /// Opens a home.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when the home does not exist and is not to be made, or is not a
    /// directory; [`Error::TimedOut`] when the index is being completed by another process for
    /// longer than was to be waited; [`Error::Io`].
    pub async fn open(options: OpenOptions) -> Result<Self> {
        let pool = match options.is_inline {
            true => IoPool::inline(&options.home),
            false => IoPool::new(options.io_threads, &options.home)?,
        };
        let store_options = StoreOptions {
            disk: Arc::clone(&options.disk),
            clock: Arc::clone(&options.clock),
            index: match options.index {
                IndexMode::None => IndexUse::None,
                IndexMode::Wait(_) | IndexMode::Background | IndexMode::Existing => IndexUse::Use,
            },
            create_home: options.create,
            ..StoreOptions::new(&options.home)
        };
        let store = Arc::new(pool.run(move || Store::open(store_options)).await??);
        let this = Self {
            core: Arc::new(Core::start(store, pool, &options)),
        };
        match options.index {
            IndexMode::Wait(wait) => this.complete_index(wait).await?,
            IndexMode::Background => this.backfill_in_background().await?,
            IndexMode::Existing | IndexMode::None => {}
        }
        Ok(this)
    }

    /// Starts a new thread. Nothing of it is on disk before its first append or persist.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] when there is a thread of the chosen id, or the source is no
    /// JSON; [`Error::Closed`] after a shutdown.
    pub async fn start_thread(&self, start: StartThread) -> Result<LiveThread> {
        self.core.check_open()?;
        let thread_id = start.thread_id.unwrap_or_else(ThreadId::generate);
        let created_at = self.core.clock.now();
        // Of a thread that has no log, it is checked all the same.
        let meta = start.session_meta(thread_id, created_at)?;
        let log = (!start.ephemeral).then_some(NewLog {
            created_at,
            meta,
            may_exist: start.thread_id.is_some(),
        });
        let thread = self
            .core
            .registry
            .ask(Start { thread_id, log })
            .await
            .map_err(registry_error)?;
        Ok(LiveThread::new(thread, Arc::clone(&self.core)))
    }

    /// Makes a thread of the home live; gives the live thread when it is that already.
    ///
    /// # Errors
    /// [`Error::ThreadNotFound`]; [`Error::Conflict`] when another process, or another open
    /// handle on the home, writes the thread; [`Error::Corrupt`] and [`Error::Unsupported`] when
    /// its log can't be written to; [`Error::Io`]; [`Error::Closed`] after a shutdown.
    pub async fn resume_thread(&self, thread_id: ThreadId) -> Result<LiveThread> {
        let thread = self
            .core
            .registry
            .ask(Resume { thread_id })
            .await
            .map_err(registry_error)?;
        Ok(LiveThread::new(thread, Arc::clone(&self.core)))
    }

    /// The thread of this id, if it is live. After a shutdown none is.
    pub async fn live_thread(&self, thread_id: ThreadId) -> Option<LiveThread> {
        self.thread_ref(thread_id)
            .await
            .filter(|thread| thread.shared.is_there())
            .map(|thread| LiveThread::new(thread, Arc::clone(&self.core)))
    }

    /// The thread of this id if it has an actor, which may be about to end.
    pub(crate) async fn thread_ref(&self, thread_id: ThreadId) -> Option<Arc<ThreadRef>> {
        let found = self.core.registry.ask(LookUp { thread_id }).await;
        found.ok().flatten()
    }

    /// The ids of all live threads, in their order. After a shutdown there are none.
    pub async fn loaded_threads(&self) -> Vec<ThreadId> {
        self.core.registry.ask(ListLoaded).await.unwrap_or_default()
    }

    /// Shuts the thread of this id down if it is live, as [`LiveThread::shutdown`] does. Its log
    /// stays.
    ///
    /// # Errors
    /// What kept the log from being synced: the thread stays live then. [`Error::Closed`] after a
    /// shutdown of the store.
    pub async fn remove_thread(&self, thread_id: ThreadId) -> Result<()> {
        let removed = self.core.registry.ask(Remove { thread_id }).await;
        removed.map_err(registry_error)
    }

    /// Completes the index, and gives what was done. `progress` is called from a thread of the
    /// I/O pool.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when another process is at it for more than 30 seconds;
    /// [`Error::Io`]; [`Error::Closed`] after a shutdown.
    pub async fn backfill(
        &self,
        progress: impl Fn(BackfillProgress) + Send + Sync + 'static,
    ) -> Result<BackfillReport> {
        self.ask_backfill(BackfillKind::Complete, BACKFILL_WAIT, progress)
            .await
    }

    /// Empties the index and makes it anew from the logs.
    ///
    /// # Errors
    /// As [`Selvedge::backfill`].
    pub async fn rebuild(
        &self,
        progress: impl Fn(BackfillProgress) + Send + Sync + 'static,
    ) -> Result<BackfillReport> {
        self.ask_backfill(BackfillKind::Rebuild, BACKFILL_WAIT, progress)
            .await
    }

    /// Shuts everything down: the live threads, then the indexer, then the store. When it returns,
    /// everything acknowledged is synced. It goes on when the caller goes away, and waits for
    /// nothing but I/O. All other handles on the home get [`Error::Closed`] from now on.
    ///
    /// # Errors
    /// The first error that kept something from being synced; all else is shut down all the same.
    /// [`Error::Closed`] when a shutdown has begun before.
    pub async fn shutdown(self) -> Result<()> {
        if self.core.closed.swap(true, Ordering::SeqCst) {
            return Err(CLOSED_STORE);
        }
        let core = self.core;
        match spawn::task(async move { core.close().await }).await {
            Ok(outcome) => outcome,
            // Only a runtime that is going away ends the task early.
            Err(_lost) => Err(CLOSED_STORE),
        }
    }

    /// Completes the index before the home is used. Where it can't be written (there is no room,
    /// the file system is read-only), the logs are read instead, as they are when that happens later.
    async fn complete_index(&self, wait: Duration) -> Result<()> {
        let asked = self.ask_backfill(BackfillKind::Complete, wait, |_| {});
        match asked.await {
            Err(why @ Error::TimedOut { .. }) => Err(why),
            Err(why) if self.core.store.is_of_index(&why) => {
                tracing::warn!(%why, "the home is read without its index");
                Ok(())
            }
            done => done.map(drop),
        }
    }

    async fn ask_backfill(
        &self,
        kind: BackfillKind,
        wait: Duration,
        progress: impl Fn(BackfillProgress) + Send + Sync + 'static,
    ) -> Result<BackfillReport> {
        self.core.check_open()?;
        let backfill = Backfill {
            kind,
            wait,
            progress: Arc::new(progress),
        };
        match &self.core.indexer {
            Some(indexer) => indexer.ask(backfill).await.map_err(registry_error),
            None => {
                let store = Arc::clone(&self.core.store);
                let job = move || store.backfill(wait, &|step| (backfill.progress)(step));
                self.core.pool.run(job).await?
            }
        }
    }

    async fn backfill_in_background(&self) -> Result<()> {
        let backfill = Backfill {
            kind: BackfillKind::Complete,
            wait: BACKFILL_WAIT,
            progress: Arc::new(|_| {}),
        };
        match &self.core.indexer {
            Some(indexer) => indexer.tell(backfill).await.map_err(|_| CLOSED_STORE),
            None => Ok(()),
        }
    }
}

impl Core {
    fn start(store: Arc<Store>, pool: IoPool, options: &OpenOptions) -> Self {
        let grown = Arc::new(GrownLogs::default());
        let feeds = Arc::new(Feeds::default());
        let mut tasks = Vec::new();
        let indexer = (options.index != IndexMode::None).then(|| {
            let spawned = spawn::actor::<Indexer>(IndexerArgs {
                store: Arc::clone(&store),
                pool: pool.clone(),
                grown: Arc::clone(&grown),
            });
            tasks.push(spawned.task);
            spawned.actor
        });
        let env = Arc::new(ThreadEnv {
            store: Arc::clone(&store),
            feeds: Arc::clone(&feeds),
            pool: pool.clone(),
            permits: HandlePermits::new(options.max_open_logs),
            grown: Arc::clone(&grown),
            indexer: indexer.clone(),
            sync_interval: options.sync_interval,
        });
        let registry = spawn::actor::<Registry>(RegistryArgs {
            store: Arc::clone(&store),
            env,
        });
        tasks.push(registry.task);
        Self {
            store,
            pool,
            clock: Arc::clone(&options.clock),
            registry: registry.actor,
            grown,
            indexer,
            feeds,
            threads_ended: watch::Sender::new(false),
            closed: AtomicBool::new(false),
            tasks: Mutex::new(tasks),
        }
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) {
            Err(CLOSED_STORE)
        } else {
            Ok(())
        }
    }

    /// Ends registry, threads, indexer and store, in this order, whatever fails.
    async fn close(&self) -> Result<()> {
        let threads = self.registry.ask(registry::Shutdown).await;
        let threads = threads.map_err(registry_error);
        self.threads_ended.send_replace(true);
        let index = match &self.indexer {
            Some(indexer) => indexer.ask(indexer::Shutdown).await.map_err(registry_error),
            None => Ok(()),
        };
        if let Err(error) = index {
            // Nothing is lost: what the index lacks is marked, and caught up with at the next
            // opening.
            tracing::warn!(%error, "the index could not be caught up before the shutdown");
        }
        for task in self.tasks.lock().await.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%error, "an actor of the store was lost");
            }
        }
        let store = Arc::clone(&self.store);
        let closed = self.pool.run(move || store.close()).await;
        threads.and(closed.and_then(|closed| closed))
    }
}
