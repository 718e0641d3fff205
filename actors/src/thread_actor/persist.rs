//! Persist: bring a new thread to the disk, and sync it.

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_codec::Ordinal;
use selvedge_engine::Result;
use selvedge_engine::log::{LogState, ThreadLog};

use super::{ThreadActor, send};

/// Answered once the thread's log is on disk and all of it is synced.
#[derive(Debug)]
pub(crate) struct Persist;

impl Message<Persist> for ThreadActor {
    type Reply = DelegatedReply<Result<()>>;

    async fn handle(&mut self, _: Persist, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        match self.materialize().await {
            Ok((true, up_to)) => self.waiters.made(reply, up_to),
            Ok((false, up_to)) => self.waiters.persisting(reply, up_to),
            Err(error) => send(reply, Err(error)),
        }
        delegated
    }
}

impl ThreadActor {
    /// Brings the log to the disk and in order. Tells whether it was not there, and which ordinal a
    /// sync is to reach.
    async fn materialize(&mut self) -> Result<(bool, Ordinal)> {
        self.commit().await;
        let Some(log) = self.log.here() else {
            return Err(self.no_log());
        };
        let is_new = log.state() == LogState::Deferred;
        if log.state() != LogState::Live {
            self.hold();
            self.ready_to_write().await?;
            self.off_runtime(ThreadLog::make_ready).await?;
            self.note_growth();
        }
        let up_to = self.log.here().map(ThreadLog::next_ordinal);
        Ok((is_new, up_to.unwrap_or_default()))
    }
}
