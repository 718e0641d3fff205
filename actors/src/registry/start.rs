//! Start: a new thread.

use std::sync::Arc;

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_codec::{Item, ThreadId, UtcMicros};
use selvedge_engine::log::{NewThread, ThreadLog};
use selvedge_engine::store::Store;
use selvedge_engine::{Error, InvalidRequest, Result};

use super::queue::{Maker, State};
use super::{Event, Registry, send};
use crate::live_thread::ThreadRef;
use crate::spawn;

/// Starts a thread. Nothing is on disk before its first append or persist.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) thread_id: ThreadId,
    /// `None` for an ephemeral thread.
    pub(crate) log: Option<NewLog>,
}

/// What the log of a new thread begins with.
#[derive(Debug)]
pub(crate) struct NewLog {
    pub(crate) created_at: UtcMicros,
    pub(crate) meta: Item,
    /// Whether somebody chose the id, so that there may be such a thread already.
    pub(crate) may_exist: bool,
}

impl Message<Start> for Registry {
    type Reply = DelegatedReply<Result<Arc<ThreadRef>>>;

    async fn handle(&mut self, start: Start, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        let Start { thread_id, log } = start;
        if self.knows(thread_id) {
            send(reply, Err(InvalidRequest::ThreadExists(thread_id).into()));
            return delegated;
        }
        let Some(new) = log else {
            let thread = self.start_actor(thread_id, None);
            self.made(&thread, Maker::Start(reply));
            return delegated;
        };
        let may_exist = new.may_exist;
        let log = Box::new(ThreadLog::create(
            self.store.log_context().clone(),
            NewThread {
                thread_id,
                created_at: new.created_at,
                meta: new.meta,
            },
        ));
        if may_exist {
            let task = self.check_new(thread_id, log);
            let entry = self.threads.entry(thread_id).or_default();
            entry.state = State::Opening {
                task,
                maker: Some(Maker::Start(reply)),
            };
        } else {
            let thread = self.start_actor(thread_id, Some(log.into()));
            self.made(&thread, Maker::Start(reply));
        }
        delegated
    }
}

impl Registry {
    /// Looks whether the home has a thread of this id already.
    fn check_new(&mut self, thread_id: ThreadId, log: Box<ThreadLog>) -> tokio::task::Id {
        let (store, pool) = (Arc::clone(&self.store), self.env.pool.clone());
        let opening = spawn::owned_task(&mut self.tasks, async move {
            let checked = pool.run(move || check_new(&store, thread_id)).await;
            let log = checked.and_then(|checked| checked).map(|()| log.into());
            Event::Opened { thread_id, log }
        });
        opening.id()
    }
}

/// Refuses an id that a thread of the home has. Blocks.
pub(super) fn check_new(store: &Store, thread_id: ThreadId) -> Result<()> {
    match store.find(thread_id) {
        Ok(_) => Err(InvalidRequest::ThreadExists(thread_id).into()),
        Err(Error::ThreadNotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
