//! Persist: bring a new thread to the disk, and sync it.

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_codec::Ordinal;
use selvedge_engine::Result;
use selvedge_engine::log::{LogState, ThreadLog};

use super::syncing::{SyncWaiter, Synced};
use super::{ThreadActor, send};

/// Answered once the thread's log is on disk and all of it is synced.
#[derive(Debug)]
pub(crate) struct Persist;

impl Message<Persist> for ThreadActor {
    type Reply = DelegatedReply<Result<()>>;

    async fn handle(&mut self, _: Persist, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        match self.materialize().await {
            Ok((held_from, up_to)) => self.waiters.push_back(SyncWaiter {
                up_to,
                synced: Synced::Persist(reply, held_from),
            }),
            Err(error) => send(reply, Err(error)),
        }
        delegated
    }
}

impl ThreadActor {
    /// Brings the log to the disk and in order. Gives the ordinal from which subscribers are shown
    /// nothing meanwhile, and the one that a sync is to reach.
    async fn materialize(&mut self) -> Result<(Option<Ordinal>, Ordinal)> {
        self.commit().await;
        let Some(log) = self.log.here() else {
            return Err(self.no_log());
        };
        let held_from = (log.state() == LogState::Deferred).then_some(Ordinal::ZERO);
        if log.state() != LogState::Live {
            self.hold();
            self.ready_to_write().await?;
            self.off_runtime(ThreadLog::make_ready).await?;
            self.note_growth();
        }
        let up_to = self.log.here().map(ThreadLog::next_ordinal);
        Ok((held_from, up_to.unwrap_or_default()))
    }
}
