//! Start: a new thread.

use std::sync::Arc;

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_codec::{Item, ThreadId, UtcMicros};
use selvedge_engine::log::{NewThread, ThreadLog};
use selvedge_engine::store::Store;
use selvedge_engine::{Error, InvalidRequest, Result};

use super::queue::{Maker, Wanted};
use super::{Event, Registry, Reply};
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
        let thread_id = start.thread_id;
        self.want(thread_id, Wanted::Start(Box::new(start), reply));
        delegated
    }
}

impl Registry {
    /// Starts a thread that nobody uses.
    pub(super) fn start(&mut self, start: Start, reply: Reply<Arc<ThreadRef>>) {
        let Start { thread_id, log } = start;
        let maker = Maker::Start(reply);
        let Some(new) = log else {
            let thread = self.start_actor(thread_id, None);
            return self.made(&thread, maker);
        };
        let log = Box::new(ThreadLog::create(
            self.store.log_context().clone(),
            NewThread {
                thread_id,
                created_at: new.created_at,
                meta: new.meta,
            },
        ));
        if new.may_exist {
            let task = self.check_new(thread_id, log);
            self.set_opening(thread_id, (task, Some(maker)));
        } else {
            let thread = self.start_actor(thread_id, Some(log.into()));
            self.made(&thread, maker);
        }
    }
}

impl Registry {
    /// Looks whether the home has a thread of this id already.
    fn check_new(&mut self, thread_id: ThreadId, log: Box<ThreadLog>) -> tokio::task::Id {
        let (store, pool) = (Arc::clone(&self.store), self.env.pool.clone());
        let opening = spawn::owned_task(&mut self.tasks, async move {
            let checked = pool.look(move || check_new(&store, thread_id)).await;
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
