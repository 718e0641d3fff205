//! Operations on a thread while it is live: those that append what they decide.
//!
//! What must hold: who asked is answered before any subscriber sees what was appended.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_codec::view::MetadataPatch;
use selvedge_codec::{Item, ThreadId};
use selvedge_engine::store::{MetadataChange, Store};
use selvedge_engine::thread::{ThreadSummary, TurnSummary};
use selvedge_engine::{Error, Result};
use selvedge_store::{ResumeThread, RolledBackThread, rollback_item};
use tokio::task::Id;

use super::queue::{ForkReply, State, Wanted};
use super::{Event, Forked, Registry, Reply, send};
use crate::feed::Gate;
use crate::indexer::CLOSED_STORE;
use crate::live_thread::{ThreadRef, is_closed_thread, thread_error};
use crate::spawn;
use crate::thread_actor::{Decide, DecideFn, ThreadEnv};

/// Changes what is known of a thread.
#[derive(Debug)]
pub(crate) struct UpdateMetadata {
    pub(crate) thread_id: ThreadId,
    pub(crate) patch: MetadataPatch,
}

/// Drops the last turns of a thread.
#[derive(Debug)]
pub(crate) struct RollBack {
    pub(crate) thread_id: ThreadId,
    pub(crate) turns: u32,
}

/// Makes a thread live, records what has changed about it, and gives what is known of it.
#[derive(Debug)]
pub(crate) struct ResumeWith(pub(crate) ResumeThread);

/// A thread that was made live, and what is known of it.
pub(crate) type Resumed = (Arc<ThreadRef>, ThreadSummary);

/// An operation that uses a live thread.
#[derive(Debug)]
pub(super) enum Operation {
    Resume {
        changes: MetadataPatch,
        reply: Reply<Resumed>,
    },
    Metadata {
        patch: MetadataPatch,
        reply: Reply<ThreadSummary>,
    },
    RollBack {
        turns: u32,
        reply: Reply<RolledBackThread>,
    },
    /// A fork that is live already: what is known of it is given.
    Forked(ForkReply),
}

/// An operation that is over.
#[derive(Debug)]
pub(super) struct Operated {
    thread: Arc<ThreadRef>,
    outcome: Outcome,
}

/// What came of an operation.
#[derive(Debug)]
enum Outcome {
    /// Its answer, which waits until the thread is what it was before.
    Answer(Answer),
    /// The operation itself: the thread ended before it had begun.
    Again(Box<Operation>),
}

/// The answer of an operation, to be sent. Only then do subscribers see what was appended.
pub(super) struct Answer(Box<dyn FnOnce() + Send>);

impl Answer {
    fn new<T: Send + 'static>(reply: Reply<T>, answer: Result<T>, gate: Option<Gate>) -> Self {
        Self(Box::new(move || {
            send(reply, answer);
            drop(gate);
        }))
    }

    pub(super) fn send(self) {
        (self.0)();
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

impl Operated {
    /// The store is being shut down: the operation is not tried again.
    pub(super) fn give_up(self) {
        match self.outcome {
            Outcome::Answer(answer) => answer.send(),
            Outcome::Again(operation) => operation.fail(CLOSED_STORE),
        }
    }
}

impl Message<UpdateMetadata> for Registry {
    type Reply = DelegatedReply<Result<ThreadSummary>>;

    async fn handle(
        &mut self,
        update: UpdateMetadata,
        ctx: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        let patch = update.patch;
        let operation = Operation::Metadata { patch, reply };
        self.want(update.thread_id, Wanted::Use(Box::new(operation)));
        delegated
    }
}

impl Message<RollBack> for Registry {
    type Reply = DelegatedReply<Result<RolledBackThread>>;

    async fn handle(
        &mut self,
        roll_back: RollBack,
        ctx: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        let turns = roll_back.turns;
        let operation = Operation::RollBack { turns, reply };
        self.want(roll_back.thread_id, Wanted::Use(Box::new(operation)));
        delegated
    }
}

impl Message<ResumeWith> for Registry {
    type Reply = DelegatedReply<Result<Resumed>>;

    async fn handle(
        &mut self,
        ResumeWith(resume): ResumeWith,
        ctx: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        let changes = resume.changes;
        let operation = Operation::Resume { changes, reply };
        self.want(resume.thread_id, Wanted::Use(Box::new(operation)));
        delegated
    }
}

impl Registry {
    /// Begins an operation on a live thread.
    pub(super) fn operate(&mut self, operation: Operation, thread: Arc<ThreadRef>) -> Id {
        let env = Arc::clone(&self.env);
        let task = spawn::owned_task(&mut self.tasks, async move {
            Event::Operated(operation.run(&env, thread).await)
        });
        task.id()
    }

    pub(super) fn on_operated(&mut self, task: Id, operated: Operated) {
        let thread_id = operated.thread.shared.thread_id;
        let entry = self.threads.entry(thread_id).or_default();
        let is_wanted = !entry.waiting.is_empty();
        let goes_on = match &mut entry.state {
            State::Live(live) if Arc::ptr_eq(&live.thread, &operated.thread) => {
                live.uses.retain(|used_by| *used_by != task);
                Some(live)
            }
            _ => None,
        };
        match (operated.outcome, goes_on) {
            // It is closed now. Whoever has the answer finds it free for any other store.
            (Outcome::Answer(answer), Some(live)) if !is_wanted && live.is_unused() => {
                live.parting.push(answer);
            }
            (Outcome::Answer(answer), _) => answer.send(),
            (Outcome::Again(operation), _) => entry.waiting.push_front(Wanted::Use(operation)),
        }
        self.serve(thread_id);
    }
}

/// What came of an operation: its answer, and what is held back until that is sent.
struct Done<T> {
    answer: T,
    gate: Option<Gate>,
}

/// Why it came to nothing.
enum Failed {
    /// The thread ended before anything was decided.
    NotBegun,
    Error(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Operation {
    pub(super) fn fail(self, error: Error) {
        match self {
            Self::Resume { reply, .. } => send(reply, Err(error)),
            Self::Metadata { reply, .. } => send(reply, Err(error)),
            Self::RollBack { reply, .. } => send(reply, Err(error)),
            Self::Forked(fork) => send(fork.reply, Err(error)),
        }
    }

    async fn run(self, env: &ThreadEnv, thread: Arc<ThreadRef>) -> Operated {
        let outcome = match self {
            Self::Resume { changes, reply } => {
                let done = change_metadata(env, &thread, &changes).await;
                let done = done.map(|done| Done {
                    answer: (Arc::clone(&thread), done.answer),
                    gate: done.gate,
                });
                if done.is_ok() {
                    thread.shared.keep();
                }
                answer(reply, done, |reply| Self::Resume { changes, reply })
            }
            Self::Metadata { patch, reply } => {
                let done = change_metadata(env, &thread, &patch).await;
                answer(reply, done, |reply| Self::Metadata { patch, reply })
            }
            Self::RollBack { turns, reply } => {
                let done = roll_back(env, &thread, turns).await;
                answer(reply, done, |reply| Self::RollBack { turns, reply })
            }
            Self::Forked(fork) => {
                let summary = read_settled(env, thread.shared.thread_id).await;
                let forked = summary.map(|summary| Forked {
                    thread: Arc::clone(&thread),
                    summary: Some(summary),
                });
                Outcome::Answer(Answer::new(fork.reply, forked, Some(fork.gate)))
            }
        };
        Operated { thread, outcome }
    }
}

/// The answer, or the operation again.
fn answer<T: Send + 'static>(
    reply: Reply<T>,
    done: Result<Done<T>, Failed>,
    again: impl FnOnce(Reply<T>) -> Operation,
) -> Outcome {
    match done {
        Ok(done) => Outcome::Answer(Answer::new(reply, Ok(done.answer), done.gate)),
        Err(Failed::Error(error)) => Outcome::Answer(Answer::new(reply, Err(error), None)),
        Err(Failed::NotBegun) => Outcome::Again(Box::new(again(reply))),
    }
}

/// Has the thread's actor decide what to append, and append it, with nothing in between.
async fn decide<T, F>(thread: &ThreadRef, decide: F) -> Result<Done<T>, Failed>
where
    T: Send + 'static,
    F: FnOnce(&Store, bool) -> Result<(Vec<Item>, T)> + Send + 'static,
{
    let begun = Arc::new(AtomicBool::new(false));
    let (tell, told) = tokio::sync::oneshot::channel();
    let begins = Arc::clone(&begun);
    let job: DecideFn = Box::new(move |store, is_new| {
        begins.store(true, Ordering::SeqCst);
        let (items, decided) = decide(store, is_new)?;
        // Who asked may be gone: it is appended all the same.
        drop(tell.send(decided));
        Ok(items)
    });
    match thread.actor.ask(Decide(job)).await {
        Ok(gate) => match told.await {
            Ok(answer) => Ok(Done {
                answer,
                gate: Some(gate),
            }),
            Err(_lost) => Err(Failed::Error(crate::live_thread::CLOSED_THREAD)),
        },
        Err(error) => match thread_error(error) {
            // Not so where the store is closed: it would be tried again without end.
            closed if is_closed_thread(&closed) && !begun.load(Ordering::SeqCst) => {
                Err(Failed::NotBegun)
            }
            error => Err(error.into()),
        },
    }
}

async fn change_metadata(
    env: &ThreadEnv,
    thread: &ThreadRef,
    patch: &MetadataPatch,
) -> Result<Done<ThreadSummary>, Failed> {
    let thread_id = thread.shared.thread_id;
    if patch.is_empty() {
        let answer = read_settled(env, thread_id).await?;
        return Ok(Done { answer, gate: None });
    }
    let patch = patch.clone();
    let feeds = Arc::clone(&env.feeds);
    let decided = decide(thread, move |store, is_new| {
        let change = match is_new {
            true => MetadataChange::for_new(&patch)?,
            false => feeds
                .moves()
                .find(|| store.prepare_metadata(thread_id, &patch))?,
        };
        Ok((change.items(), change))
    })
    .await?;
    let change = decided.answer;
    env.read(move |store| store.finish_metadata(thread_id, &change))
        .await?;
    Ok(Done {
        answer: read_settled(env, thread_id).await?,
        gate: decided.gate,
    })
}

async fn roll_back(
    env: &ThreadEnv,
    thread: &ThreadRef,
    asked: u32,
) -> Result<Done<RolledBackThread>, Failed> {
    let thread_id = thread.shared.thread_id;
    let feeds = Arc::clone(&env.feeds);
    let decided = decide(thread, move |store, is_new| {
        let turns = match is_new {
            true => Vec::new(),
            false => feeds.moves().find(|| counting_turns(store, thread_id))?,
        };
        let there = u32::try_from(turns.len()).unwrap_or(u32::MAX);
        Ok((vec![rollback_item(asked, there)?], ()))
    })
    .await?;
    env.settle().await?;
    let answer = env
        .read_of(move |store| {
            Ok(RolledBackThread {
                thread: store.read_thread(thread_id)?,
                turns: counting_turns(store, thread_id)?,
            })
        })
        .await?;
    Ok(Done {
        answer,
        gate: decided.gate,
    })
}

/// The turns that still count, oldest first.
fn counting_turns(store: &Store, thread_id: ThreadId) -> Result<Vec<TurnSummary>> {
    let mut turns = store.turns(thread_id)?;
    turns.retain(|turn| !turn.rolled_back);
    Ok(turns)
}

async fn read_settled(env: &ThreadEnv, thread_id: ThreadId) -> Result<ThreadSummary> {
    env.settle().await?;
    env.read_of(move |store| store.read_thread(thread_id)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Feeds;
    use crate::live_thread::ThreadShared;
    use crate::options::OpenOptions;
    use crate::registry::queue::{Entry, Live};
    use crate::selvedge::Selvedge;
    use crate::thread_actor::prepare;
    use selvedge_store::StartThread;
    use std::time::Duration;

    /// What said that the store is closed was taken for the thread's end, and tried again, at
    /// once and for ever.
    #[tokio::test]
    async fn an_operation_is_not_tried_again_when_it_is_not_the_thread_that_has_ended() {
        let home = tempfile::tempdir().unwrap();
        let store = Selvedge::open(OpenOptions::new(home.path()).create(true))
            .await
            .unwrap();
        let thread = store.start_thread(StartThread::default()).await.unwrap();
        thread.persist().await.unwrap();
        let indexer = store.core.indexer.as_ref().unwrap();
        indexer.kill();
        indexer.wait_for_shutdown().await;
        let name = MetadataPatch {
            name: selvedge_codec::view::Change::Set("name".into()),
            ..MetadataPatch::default()
        };
        let renamed = store.update_metadata(thread.thread_id(), name);
        let renamed = tokio::time::timeout(Duration::from_secs(30), renamed).await;
        assert!(matches!(renamed, Ok(Err(Error::Closed { .. }))));
    }

    /// They had been dropped, and those who waited were told that the store was closed.
    #[tokio::test]
    async fn operations_that_wait_for_the_end_of_an_actor_are_answered_when_it_is_lost() {
        let feeds = Feeds::default();
        let id = ThreadId::generate();
        let feed = feeds.of(id);
        feed.hold(selvedge_codec::Ordinal::new(3));
        let shared = Arc::new(ThreadShared::new(id, false, Arc::clone(&feed)));
        let (_prepared, thread) = prepare(shared);
        let actor = spawn::task(async {});
        let mut live = Live::new(actor.id(), thread);
        let is_answered = Arc::new(AtomicBool::new(false));
        let answered = Arc::clone(&is_answered);
        live.parting.push(Answer(Box::new(move || {
            answered.store(true, Ordering::SeqCst);
        })));
        let mut entry = Entry {
            state: State::Live(live),
            ..Entry::default()
        };
        assert!(entry.lose(actor.id()));
        assert!(is_answered.load(Ordering::SeqCst));
        assert_eq!(feed.acknowledged_upto().get(), u64::MAX, "nothing is held");
    }
}
