//! Fork: a new thread that begins with another one's history.

use std::sync::Arc;

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_codec::{Ordinal, ThreadId};
use selvedge_engine::Result;
use selvedge_engine::log::NewThread;
use selvedge_engine::store::ForkSource;
use selvedge_engine::thread::{ForkPoint, ThreadSummary};

use super::queue::{ForkReply, Maker, Wanted};
use super::start::check_new;
use super::{Event, OpenedLog, Registry, Reply, send};
use crate::feed::Gate;
use crate::live_thread::ThreadRef;
use crate::spawn;

/// Makes a fork, and makes it live.
#[derive(Debug)]
pub(crate) struct Fork {
    pub(crate) source: ForkSource,
    pub(crate) point: ForkPoint,
    pub(crate) new: NewThread,
    /// Whether somebody chose the id, so that there may be such a thread already.
    pub(crate) may_exist: bool,
    /// Whether to tell what is known of the fork. That takes another look at it.
    pub(crate) with_summary: bool,
}

/// A fork that is live.
#[derive(Debug)]
pub(crate) struct Forked {
    pub(crate) thread: Arc<ThreadRef>,
    /// What is known of it, if that was asked for.
    pub(crate) summary: Option<ThreadSummary>,
}

impl Message<Fork> for Registry {
    type Reply = DelegatedReply<Result<Forked>>;

    async fn handle(&mut self, fork: Fork, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        let thread_id = fork.new.thread_id;
        self.want(thread_id, Wanted::Fork(Box::new(fork), reply));
        delegated
    }
}

impl Registry {
    /// Makes a fork whose id nobody uses.
    pub(super) fn fork(&mut self, fork: Fork, reply: Reply<Forked>) {
        let thread_id = fork.new.thread_id;
        let reply = ForkReply {
            with_summary: fork.with_summary,
            reply,
            gate: Gate::new(self.env.feeds.of(thread_id), Ordinal::ZERO),
        };
        let task = self.make_fork(thread_id, fork);
        self.set_opening(thread_id, (task, Some(Maker::Fork(reply))));
    }
}

impl Registry {
    fn make_fork(&mut self, thread_id: ThreadId, fork: Fork) -> tokio::task::Id {
        let (store, env) = (Arc::clone(&self.store), Arc::clone(&self.env));
        let feeds = Arc::clone(&self.env.feeds);
        let making = spawn::owned_task(&mut self.tasks, async move {
            let make = move || {
                if fork.may_exist {
                    check_new(&store, thread_id)?;
                }
                feeds
                    .moves()
                    .find(|| store.fork(&fork.source, &fork.point, fork.new.clone()))
            };
            // The log comes with its file open.
            let log = match env.permits.acquire().await {
                Ok(permit) => env
                    .pool
                    .look(make)
                    .await
                    .and_then(|log| log)
                    .map(|log| OpenedLog {
                        log: Box::new(log),
                        permit: Some(permit),
                    }),
                Err(error) => Err(error),
            };
            Event::Opened { thread_id, log }
        });
        making.id()
    }

    /// A new thread is live: its maker is told.
    pub(super) fn made(&mut self, thread: &Arc<ThreadRef>, maker: Maker) {
        let thread_id = thread.shared.thread_id;
        thread.shared.keep();
        match maker {
            Maker::Start(reply) => send(reply, Ok(Arc::clone(thread))),
            Maker::Fork(fork) if fork.with_summary => {
                let operation = super::operate::Operation::Forked(fork);
                let task = self.operate(operation, Arc::clone(thread));
                if let Some(live) = self.live(thread_id) {
                    live.uses.push(task);
                }
            }
            Maker::Fork(fork) => {
                let forked = Forked {
                    thread: Arc::clone(thread),
                    summary: None,
                };
                send(fork.reply, Ok(forked));
                drop(fork.gate);
            }
        }
    }
}
