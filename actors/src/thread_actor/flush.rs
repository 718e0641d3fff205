//! Flush: sync everything acknowledged so far.

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_engine::Result;
use selvedge_engine::log::{LogState, ThreadLog};

use super::log_slot::LogSlot;
use super::{ThreadActor, send};
use selvedge_store::{Durability, Flushed};

/// Answered once everything that was acknowledged before is synced. A thread of which nothing is
/// on disk stays so.
#[derive(Debug)]
pub(crate) struct Flush;

impl Message<Flush> for ThreadActor {
    type Reply = DelegatedReply<Result<Flushed>>;

    async fn handle(&mut self, _: Flush, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        match self.flushable().await {
            Ok(flushed) if flushed.durability == Durability::Buffered => send(reply, Ok(flushed)),
            Ok(flushed) => self.waiters.flushing(reply, flushed),
            Err(error) => send(reply, Err(error)),
        }
        delegated
    }
}

impl ThreadActor {
    /// Writes what is queued and mends the log if need be: what is left is a sync.
    async fn flushable(&mut self) -> Result<Flushed> {
        self.commit().await;
        if self
            .log
            .here()
            .is_some_and(|log| log.state() == LogState::Failed)
        {
            self.ready_to_write().await?;
            self.off_runtime(ThreadLog::make_ready).await?;
        }
        let (next_ordinal, durability) = match &self.log {
            LogSlot::Ephemeral(thread) => (thread.next_ordinal(), Durability::Buffered),
            LogSlot::Here(log) if log.state() == LogState::Deferred => {
                (log.next_ordinal(), Durability::Buffered)
            }
            LogSlot::Here(log) => (log.next_ordinal(), Durability::Written),
            LogSlot::Away(..) | LogSlot::Lost(_) | LogSlot::Closed => return Err(self.no_log()),
        };
        Ok(Flushed {
            thread_id: self.shared.thread_id,
            next_ordinal,
            durability,
        })
    }
}
