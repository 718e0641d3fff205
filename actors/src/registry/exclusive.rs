//! Operations on a whole thread, while nobody has it live: its log is moved, or removed.

use std::sync::Arc;

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_codec::ThreadId;
use selvedge_engine::thread::ThreadSummary;
use selvedge_engine::{Error, InvalidRequest, Result};
use tokio::task::Id;

use super::queue::Wanted;
use super::{Event, Registry, Reply, send};
use crate::feed::Feeds;
use crate::live_thread::{ThreadRef, ThreadState, thread_error};
use crate::spawn;
use crate::thread_actor::{Snapshot, ThreadEnv};

/// Where a thread's log is to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MoveTo {
    /// Among the archived ones.
    Archived,
    /// Among the others.
    Sessions,
}

/// Moves a thread's log. A live thread is shut down first.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) thread_id: ThreadId,
    pub(crate) to: MoveTo,
}

/// Deletes a thread. A live one is shut down first.
#[derive(Debug)]
pub(crate) struct Delete {
    pub(crate) thread_id: ThreadId,
}

/// An operation that nobody may have the thread live for.
#[derive(Debug)]
pub(super) enum Exclusive {
    Move {
        to: MoveTo,
        reply: Reply<ThreadSummary>,
    },
    Delete {
        reply: Reply<()>,
    },
}

impl Message<Move> for Registry {
    type Reply = DelegatedReply<Result<ThreadSummary>>;

    async fn handle(&mut self, moved: Move, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        let to = moved.to;
        self.want(
            moved.thread_id,
            Wanted::Exclusive(Exclusive::Move { to, reply }),
        );
        delegated
    }
}

impl Message<Delete> for Registry {
    type Reply = DelegatedReply<Result<()>>;

    async fn handle(
        &mut self,
        delete: Delete,
        ctx: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        self.want(
            delete.thread_id,
            Wanted::Exclusive(Exclusive::Delete { reply }),
        );
        delegated
    }
}

impl Registry {
    /// Begins to work on a whole thread.
    pub(super) fn begin(&mut self, thread_id: ThreadId, exclusive: Exclusive) -> Id {
        let (env, feeds) = (Arc::clone(&self.env), Arc::clone(&self.feeds));
        let begun = spawn::owned_task(&mut self.tasks, async move {
            let answer = exclusive.run(&env, (&feeds, thread_id)).await;
            Event::Released { thread_id, answer }
        });
        begun.id()
    }
}

impl Exclusive {
    /// Whether the operation is one on the thread's log, which an ephemeral thread has not, and
    /// which ending a new one would leave it without.
    pub(super) fn needs_log(&self) -> bool {
        matches!(self, Self::Move { .. })
    }

    pub(super) fn fail(self, error: Error) {
        match self {
            Self::Move { reply, .. } => send(reply, Err(error)),
            Self::Delete { reply } => send(reply, Err(error)),
        }
    }

    async fn run(self, env: &ThreadEnv, (feeds, thread_id): (&Feeds, ThreadId)) -> Answer {
        match self {
            Self::Move { to, reply } => {
                let moved = move_log(env, thread_id, to).await;
                Answer::Moved(reply, Box::new(moved))
            }
            Self::Delete { reply } => {
                let deleted = delete(env, thread_id).await;
                if deleted.is_ok() {
                    feeds.deleted(thread_id);
                }
                Answer::Deleted(reply, deleted)
            }
        }
    }
}

/// What came of an operation. It is told once the thread is nobody's again: who hears that a thread
/// is deleted may make another one of its id.
#[derive(Debug)]
pub(super) enum Answer {
    Moved(Reply<ThreadSummary>, Box<Result<ThreadSummary>>),
    Deleted(Reply<()>, Result<()>),
}

impl Answer {
    pub(super) fn tell(self) {
        match self {
            Self::Moved(reply, moved) => send(reply, *moved),
            Self::Deleted(reply, deleted) => send(reply, deleted),
        }
    }
}

async fn move_log(env: &ThreadEnv, thread_id: ThreadId, to: MoveTo) -> Result<ThreadSummary> {
    env.settle().await?;
    env.read(move |store| match to {
        MoveTo::Archived => store.archive(thread_id),
        MoveTo::Sessions => store.unarchive(thread_id),
    })
    .await
}

async fn delete(env: &ThreadEnv, thread_id: ThreadId) -> Result<()> {
    env.settle().await?;
    env.read(move |store| store.delete(thread_id)).await
}

impl ThreadRef {
    /// Refuses a thread of which nothing is on disk.
    pub(super) async fn has_log(&self) -> Result<()> {
        let thread_id = self.shared.thread_id;
        match self.actor.ask(Snapshot).await.map_err(thread_error)?.state {
            ThreadState::Ephemeral => Err(InvalidRequest::Ephemeral(thread_id).into()),
            ThreadState::Deferred => Err(Error::ThreadNotFound { thread_id }),
            ThreadState::Live | ThreadState::Failed | ThreadState::Closed => Ok(()),
        }
    }
}
