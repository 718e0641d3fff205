//! The registry: the manager of a store's live threads, one actor.
//!
//! What must hold:
//! - A thread has at most one actor in this registry. Whoever asks for a thread that is being
//!   opened, or whose actor is ending, waits for that and gets the one that follows.
//! - Nothing here waits for the medium: logs are opened in jobs on the I/O pool, and the answers
//!   come back as events.
//! - A thread is forgotten only after its actor has ended, however it ended, with its log closed
//!   and its lock free.

mod list_loaded;
mod look_up;
mod remove;
mod resume;
mod shutdown;
mod start;

use std::collections::HashMap;
use std::sync::Arc;

use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::error::{ActorStopReason, Infallible};
use kameo::mailbox::{MailboxReceiver, Signal};
use kameo::reply::ReplySender;
use selvedge_codec::ThreadId;
use selvedge_engine::log::ThreadLog;
use selvedge_engine::store::Store;
use selvedge_engine::{Error, Result};
use tokio::task::{Id, JoinError, JoinSet};

use crate::live_thread::{CLOSED_THREAD, ThreadRef, ThreadShared};
use crate::spawn;
use crate::thread_actor::{ThreadArgs, ThreadEnv, end_of, prepare};
pub(crate) use list_loaded::ListLoaded;
pub(crate) use look_up::LookUp;
pub(crate) use remove::Remove;
pub(crate) use resume::Resume;
pub(crate) use shutdown::Shutdown;
pub(crate) use start::{NewLog, Start};

/// Who waits for a thread; `None` when nobody does.
type Waiter = Option<ReplySender<Result<Arc<ThreadRef>>>>;

/// The registry's actor.
#[derive(Debug)]
pub(crate) struct Registry {
    store: Arc<Store>,
    env: Arc<ThreadEnv>,
    threads: HashMap<ThreadId, Entry>,
    /// Every task that belongs to a thread: its opening, its actor, its shutdown. Dropping the
    /// registry ends them.
    tasks: JoinSet<Event>,
}

/// A thread that the registry knows.
#[derive(Debug)]
enum Entry {
    /// Its log is being opened.
    Opening { task: Id, waiters: Vec<Waiter> },
    /// It has an actor.
    Live {
        task: Id,
        thread: Arc<ThreadRef>,
        /// Who wants the thread again once its actor has ended.
        after_end: Vec<Waiter>,
    },
}

impl Entry {
    fn task(&self) -> Id {
        match self {
            Self::Opening { task, .. } | Self::Live { task, .. } => *task,
        }
    }
}

/// What a task of the registry came to.
#[derive(Debug)]
enum Event {
    /// A log was opened, or could not be.
    Opened {
        thread_id: ThreadId,
        log: Result<Box<ThreadLog>>,
    },
    /// An actor has ended, and its log is closed.
    Ended { thread_id: ThreadId },
    /// A thread was asked to shut down, and answered.
    ShutDown(Result<()>),
}

/// What a registry is made from.
#[derive(Debug)]
pub(crate) struct RegistryArgs {
    pub(crate) store: Arc<Store>,
    pub(crate) env: Arc<ThreadEnv>,
}

impl Actor for Registry {
    type Args = RegistryArgs;
    type Error = Infallible;

    async fn on_start(
        args: RegistryArgs,
        _: ActorRef<Self>,
    ) -> std::result::Result<Self, Infallible> {
        Ok(Self {
            store: args.store,
            env: args.env,
            threads: HashMap::new(),
            tasks: JoinSet::new(),
        })
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> std::result::Result<Option<Signal<Self>>, Infallible> {
        loop {
            tokio::select! {
                Some(ended) = self.tasks.join_next() => self.on_event(ended),
                signal = mailbox.recv() => return Ok(signal),
            }
        }
    }

    /// A registry that all handles have left shuts its threads down, like one that was told to.
    /// Nothing relies on it: what was acknowledged as synced is synced.
    async fn on_stop(
        &mut self,
        _: WeakActorRef<Self>,
        _: ActorStopReason,
    ) -> std::result::Result<(), Infallible> {
        if let Err(error) = self.close_all().await {
            tracing::error!(%error, "a store was left with records that could not be synced");
        }
        Ok(())
    }
}

impl Registry {
    fn on_event(&mut self, ended: std::result::Result<Event, JoinError>) {
        match ended {
            Ok(Event::Opened { thread_id, log }) => self.on_opened(thread_id, log),
            Ok(Event::Ended { thread_id }) => self.on_ended(thread_id),
            // Who asked for it was told.
            Ok(Event::ShutDown(_)) => {}
            Err(error) => self.on_lost_task(&error),
        }
    }

    fn on_opened(&mut self, thread_id: ThreadId, log: Result<Box<ThreadLog>>) {
        let Some(Entry::Opening { waiters, .. }) = self.threads.remove(&thread_id) else {
            return;
        };
        match log {
            Ok(log) => {
                let thread = self.start_actor(thread_id, Some(log));
                answer(waiters, &Ok(thread));
            }
            Err(error) => answer(waiters, &Err(error)),
        }
    }

    fn on_ended(&mut self, thread_id: ThreadId) {
        let Some(Entry::Live { after_end, .. }) = self.threads.remove(&thread_id) else {
            return;
        };
        if !after_end.is_empty() {
            self.open(thread_id, after_end);
        }
    }

    /// A task of ours panicked or was aborted, so nobody said which thread it was for.
    fn on_lost_task(&mut self, error: &JoinError) {
        tracing::error!(%error, "a task of the registry was lost");
        let lost = self
            .threads
            .iter()
            .find(|(_, entry)| entry.task() == error.id())
            .map(|(thread_id, _)| *thread_id);
        let Some(thread_id) = lost else { return };
        match self.threads.remove(&thread_id) {
            Some(Entry::Opening { waiters, .. }) => answer(waiters, &Err(CLOSED_THREAD)),
            Some(Entry::Live {
                thread, after_end, ..
            }) => {
                thread.shared.set_ending();
                answer(after_end, &Err(CLOSED_THREAD));
            }
            None => {}
        }
    }

    /// Starts a thread's actor, which takes the log over.
    fn start_actor(&mut self, thread_id: ThreadId, log: Option<Box<ThreadLog>>) -> Arc<ThreadRef> {
        let shared = Arc::new(ThreadShared::new(thread_id, log.is_none()));
        let (prepared, thread) = prepare(Arc::clone(&shared));
        let args = ThreadArgs {
            shared,
            env: Arc::clone(&self.env),
            log,
        };
        let task = spawn::owned_task(&mut self.tasks, async move {
            let outcome = prepared.run(args).await;
            Box::pin(end_of(outcome)).await;
            Event::Ended { thread_id }
        });
        self.threads.insert(
            thread_id,
            Entry::Live {
                task: task.id(),
                thread: Arc::clone(&thread),
                after_end: Vec::new(),
            },
        );
        thread
    }
}

/// Tells all waiters the same.
fn answer(waiters: Vec<Waiter>, outcome: &Result<Arc<ThreadRef>>) {
    for waiter in waiters.into_iter().flatten() {
        waiter.send(outcome.clone());
    }
}

/// The error of a registry whose actor has ended.
pub(crate) fn registry_error<M>(error: kameo::error::SendError<M, Error>) -> Error {
    match error {
        kameo::error::SendError::HandlerError(error) => error,
        _ => crate::indexer::CLOSED_STORE,
    }
}
