//! Decide: append what can only be decided with a look at the thread as it is, with nothing
//! appended in between.

use std::fmt;
use std::sync::Arc;

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_codec::Item;
use selvedge_engine::log::{LogState, ThreadLog};
use selvedge_engine::store::Store;
use selvedge_engine::{InvalidRequest, Result};
use selvedge_store::{Ack, AppendOptions, Durability};

use super::append::Append;
use super::group_commit::{AckReply, Queued};
use super::log_slot::LogSlot;
use super::{Reply, ThreadActor, send};
use crate::feed::Gate;

/// Looks at the thread and decides on a batch; an empty one stands for nothing. It runs on the I/O
/// pool; `true` says that nothing of the thread is on disk yet.
pub(crate) type DecideFn = Box<dyn FnOnce(&Store, bool) -> Result<Vec<Item>> + Send>;

/// Decides, and appends what was decided, synced. The answer keeps it from subscribers for as long
/// as the caller has not answered either.
pub(crate) struct Decide(pub(crate) DecideFn);

impl fmt::Debug for Decide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decide")
    }
}

/// Who is told that what was decided is in the log.
#[derive(Debug)]
pub(super) struct DecidedReply {
    reply: Reply<Gate>,
    gate: Gate,
}

impl DecidedReply {
    pub(super) fn answer(self, outcome: Result<Ack>) {
        send(self.reply, outcome.map(|_| self.gate));
    }
}

impl Message<Decide> for ThreadActor {
    type Reply = DelegatedReply<Result<Gate>>;

    async fn handle(
        &mut self,
        decide: Decide,
        ctx: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        match self.decide(decide.0).await {
            Err(error) => send(reply, Err(error)),
            Ok((items, gate)) if items.is_empty() => send(reply, Ok(gate)),
            Ok((items, gate)) => self.group.push(Queued {
                append: Append {
                    items,
                    options: AppendOptions {
                        durability: Durability::Synced,
                        expected_next: None,
                    },
                },
                reply: AckReply::Decided(Box::new(DecidedReply { reply, gate })),
            }),
        }
        delegated
    }
}

impl ThreadActor {
    /// Writes what is queued, so that it is looked at too, and decides.
    async fn decide(&mut self, decide: DecideFn) -> Result<(Vec<Item>, Gate)> {
        self.commit().await;
        self.publish();
        let thread_id = self.shared.thread_id;
        let state = match &self.log {
            LogSlot::Ephemeral(_) => return Err(InvalidRequest::Ephemeral(thread_id).into()),
            LogSlot::Here(log) => log.state(),
            LogSlot::Away(..) | LogSlot::Lost(_) | LogSlot::Closed => return Err(self.no_log()),
        };
        if state == LogState::Failed {
            self.ready_to_write().await?;
            self.off_runtime(ThreadLog::make_ready).await?;
            self.note_growth();
        }
        self.env.settle().await?;
        let store = Arc::clone(&self.env.store);
        let is_new = state == LogState::Deferred;
        let decided = self.env.pool.run(move || decide(&store, is_new)).await??;
        // A new thread's meta is written with what is decided.
        let next = self.log.here().filter(|_| !is_new);
        let from = next.map(ThreadLog::next_ordinal).unwrap_or_default();
        let gate = Gate::new(Arc::clone(&self.shared.feed), from);
        Ok((decided, gate))
    }
}
