//! The registry: the manager of a store's live threads, one actor.
//!
//! What must hold:
//! - A thread has at most one actor in this registry, and while it has one, or is worked on as a
//!   whole, nothing else begins with it. Who wants it waits in a queue of the thread's own, and is
//!   served in that order.
//! - A thread that an operation has made live is shut down after it, unless somebody has resumed
//!   it meanwhile.
//! - Nothing here waits for the medium: logs are opened in jobs on the I/O pool, and the answers
//!   come back as events.
//! - A thread is forgotten only after its actor has ended, however it ended, with its log closed
//!   and its lock free.

mod exclusive;
mod fork;
mod list_loaded;
mod look_up;
mod operate;
mod queue;
mod remove;
mod resume;
mod shutdown;
mod start;

use std::collections::{HashMap, HashSet};
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

use crate::feed::Life;
use crate::handles::HandlePermit;
use crate::live_thread::{ThreadRef, ThreadShared};
use crate::spawn;
use crate::thread_actor::{ThreadArgs, ThreadEnv, end_of, prepare};
pub(crate) use exclusive::{Delete, Move, MoveTo};
pub(crate) use fork::{Fork, Forked};
pub(crate) use list_loaded::ListLoaded;
pub(crate) use look_up::LookUp;
pub(crate) use operate::{ResumeWith, RollBack, UpdateMetadata};
use queue::{Entry, Live, State};
pub(crate) use remove::Remove;
pub(crate) use resume::Resume;
pub(crate) use shutdown::Shutdown;
pub(crate) use start::{NewLog, Start};

/// Who waits for an answer; `None` when nobody does.
type Reply<T> = Option<ReplySender<Result<T>>>;

fn send<T: Send + 'static>(reply: Reply<T>, answer: Result<T>) {
    if let Some(reply) = reply {
        reply.send(answer);
    }
}

/// The registry's actor.
#[derive(Debug)]
pub(crate) struct Registry {
    store: Arc<Store>,
    env: Arc<ThreadEnv>,
    threads: HashMap<ThreadId, Entry>,
    /// Threads that have ended with something that could not be synced, and that nobody has
    /// resumed since: the shutdown tries again.
    unsynced: HashSet<ThreadId>,
    /// Every task that belongs to a thread: its opening, its actor, operations on it, its
    /// shutdown. Dropping the registry ends them.
    tasks: JoinSet<Event>,
}

/// What a task of the registry came to.
#[derive(Debug)]
enum Event {
    /// A log was opened, or could not be.
    Opened {
        thread_id: ThreadId,
        log: Result<OpenedLog>,
    },
    /// An actor has ended, and its log is closed.
    Ended {
        thread_id: ThreadId,
        synced: Result<()>,
    },
    /// An operation on a live thread is over.
    Operated(operate::Operated),
    /// A thread was asked to end, for others that want it, and answered.
    Closed {
        thread_id: ThreadId,
        thread: Arc<ThreadRef>,
        outcome: Result<()>,
    },
    /// An operation on a whole thread is over.
    Released {
        thread_id: ThreadId,
        answer: exclusive::Answer,
    },
    /// A thread was asked to shut down, and answered.
    ShutDown(Result<()>),
}

/// A log to write on.
#[derive(Debug)]
struct OpenedLog {
    log: Box<ThreadLog>,
    /// Of a log that has its file open.
    permit: Option<HandlePermit>,
}

impl From<Box<ThreadLog>> for OpenedLog {
    fn from(log: Box<ThreadLog>) -> Self {
        Self { log, permit: None }
    }
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
            unsynced: HashSet::new(),
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
                biased;
                Some(ended) = self.tasks.join_next_with_id() => self.on_event(ended),
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
    fn on_event(&mut self, ended: std::result::Result<(Id, Event), JoinError>) {
        match ended {
            Ok((_, Event::Opened { thread_id, log })) => self.on_opened(thread_id, log),
            Ok((_, Event::Ended { thread_id, synced })) => {
                self.ended(thread_id, &synced);
                self.serve(thread_id);
            }
            Ok((task, Event::Operated(operated))) => self.on_operated(task, operated),
            Ok((
                _,
                Event::Closed {
                    thread_id,
                    thread,
                    outcome,
                },
            )) => {
                self.on_closed(thread_id, &thread, outcome);
            }
            Ok((_, Event::Released { thread_id, answer })) => {
                if let Some(entry) = self.threads.get_mut(&thread_id) {
                    entry.state = State::Idle;
                }
                answer.send();
                self.serve(thread_id);
            }
            // Who asked for it was told.
            Ok((_, Event::ShutDown(_))) => {}
            Err(error) => self.on_lost_task(&error),
        }
    }

    fn on_opened(&mut self, thread_id: ThreadId, log: Result<OpenedLog>) {
        let Some(entry) = self.threads.get_mut(&thread_id) else {
            return;
        };
        let State::Opening { maker, .. } = std::mem::replace(&mut entry.state, State::Idle) else {
            return;
        };
        match (log, maker) {
            (Ok(log), maker) => {
                let thread = self.start_actor(thread_id, Some(log));
                if let Some(maker) = maker {
                    self.made(&thread, maker);
                }
            }
            // It was not made. Who wants the thread of this id wants another one.
            (Err(error), Some(maker)) => maker.fail(error),
            (Err(error), None) => entry.fail_waiting(&error),
        }
        self.serve(thread_id);
    }

    /// An actor has ended: who has waited for that is answered.
    fn ended(&mut self, thread_id: ThreadId, synced: &Result<()>) {
        if synced.is_err() {
            self.unsynced.insert(thread_id);
        }
        if let Some(entry) = self.threads.get_mut(&thread_id)
            && let State::Live(mut live) = std::mem::take(&mut entry.state)
        {
            live.part();
        }
    }

    /// A task of ours panicked or was aborted, so nobody said which thread it was for. Whoever
    /// waited for it has heard of that by now.
    fn on_lost_task(&mut self, error: &JoinError) {
        tracing::error!(%error, "a task of the registry was lost");
        let lost = self
            .threads
            .iter_mut()
            .find_map(|(id, entry)| entry.lose(error.id()).then_some(*id));
        if let Some(thread_id) = lost {
            self.serve(thread_id);
        }
    }

    /// Starts a thread's actor, which takes the log over.
    fn start_actor(&mut self, thread_id: ThreadId, log: Option<OpenedLog>) -> Arc<ThreadRef> {
        let feed = self.env.feeds.of(thread_id);
        feed.set_life(Life::Live);
        self.unsynced.remove(&thread_id);
        let shared = Arc::new(ThreadShared::new(thread_id, log.is_none(), feed));
        let (prepared, thread) = prepare(Arc::clone(&shared));
        let (log, permit) = match log {
            Some(opened) => (Some(opened.log), opened.permit),
            None => (None, None),
        };
        let args = ThreadArgs {
            shared,
            env: Arc::clone(&self.env),
            permit,
            log,
        };
        let task = spawn::owned_task(&mut self.tasks, async move {
            let outcome = prepared.run(args).await;
            let synced = Box::pin(end_of(outcome)).await;
            Event::Ended { thread_id, synced }
        });
        let entry = self.threads.entry(thread_id).or_default();
        entry.state = State::Live(Live::new(task.id(), Arc::clone(&thread)));
        thread
    }
}

/// The error of a registry whose actor has ended.
pub(crate) fn registry_error<M>(error: kameo::error::SendError<M, Error>) -> Error {
    match error {
        kameo::error::SendError::HandlerError(error) => error,
        _ => crate::indexer::CLOSED_STORE,
    }
}
