//! Discard: end a new thread, and leave nothing on disk.

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_engine::log::{LogState, ThreadLog};
use selvedge_engine::{InvalidRequest, Result};

use super::log_slot::LogSlot;
use super::{ThreadActor, send};
use crate::live_thread::CLOSED_THREAD;

/// Ends a thread of which nothing is on disk; refused for any other.
#[derive(Debug)]
pub(crate) struct Discard;

impl Message<Discard> for ThreadActor {
    type Reply = DelegatedReply<Result<()>>;

    async fn handle(&mut self, _: Discard, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        let outcome = self.discard_log().await;
        if outcome.is_ok() || self.log.has_ended() {
            self.shared.set_ending();
            self.fail_everybody(&CLOSED_THREAD);
            ctx.stop();
        }
        // The guard of a session tells nobody to expect an answer, and wants no more than this.
        send(reply, outcome);
        delegated
    }
}

impl ThreadActor {
    async fn discard_log(&mut self) -> Result<()> {
        // Batches that came before bring the thread to the disk.
        self.commit().await;
        self.publish();
        match &self.log {
            LogSlot::Ephemeral(_) => {}
            LogSlot::Here(log) if log.state() == LogState::Deferred => {
                self.off_runtime(ThreadLog::discard).await?;
                self.env.feeds.deleted(self.shared.thread_id);
            }
            LogSlot::Here(_) => {
                return Err(InvalidRequest::ThreadExists(self.shared.thread_id).into());
            }
            LogSlot::Away(..) | LogSlot::Lost(_) | LogSlot::Closed => return Err(CLOSED_THREAD),
        }
        self.log = LogSlot::Closed;
        Ok(())
    }
}
