//! Shutdown: sync everything acknowledged, close the log, and end the actor.

use std::sync::Arc;

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_codec::Ordinal;
use selvedge_engine::Result;
use selvedge_engine::log::{LogState, ThreadLog};

use super::log_slot::LogSlot;
use super::{ThreadActor, send};
use crate::indexer::Settle;
use crate::live_thread::CLOSED_THREAD;

/// How a thread is shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// A log that can't be synced keeps its thread live, with what is unsynced.
    Gentle,
    /// The actor ends whatever happens, and the error is told: the store is being shut down.
    Final,
}

impl Message<Shutdown> for ThreadActor {
    type Reply = DelegatedReply<Result<()>>;

    async fn handle(&mut self, how: Shutdown, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        let outcome = self.close_log().await;
        if outcome.is_ok() || how == Shutdown::Final || self.log.has_ended() {
            self.shared.set_ending();
            self.fail_everybody(&CLOSED_THREAD);
            ctx.stop();
        }
        send(reply, outcome);
        delegated
    }
}

impl ThreadActor {
    /// Writes what is queued, syncs and closes the log. Nothing is closed when that fails.
    pub(super) async fn close_log(&mut self) -> Result<()> {
        self.commit().await;
        // Of a thread without a log its end takes with it what was not shown.
        self.publish();
        match &self.log {
            LogSlot::Ephemeral(_) | LogSlot::Closed => {
                self.log = LogSlot::Closed;
                return Ok(());
            }
            LogSlot::Here(log) if log.state() == LogState::Deferred => {
                self.off_runtime(ThreadLog::discard).await?;
                self.env.feeds.deleted(self.shared.thread_id);
                self.log = LogSlot::Closed;
                return Ok(());
            }
            LogSlot::Here(_) | LogSlot::Away(..) | LogSlot::Lost(_) => {}
        }
        self.await_sync().await;
        if self
            .log
            .here()
            .is_some_and(|log| log.state() == LogState::Failed)
        {
            self.ready_to_write().await?;
        }
        if let Err(error) = self.off_runtime(ThreadLog::close_keeping_mark).await {
            self.waiters.fail(&error);
            return Err(error);
        }
        // Everything is synced now.
        self.waiters.synced(Ordinal::new(u64::MAX));
        self.log = LogSlot::Closed;
        self.permit = None;
        if self.is_indexed().await {
            let marks = Arc::clone(&self.env.store.log_context().marks);
            let thread_id = self.shared.thread_id;
            self.env.pool.run(move || marks.unmark(thread_id)).await?;
        }
        Ok(())
    }

    /// Whether the index has all of the log. The mark says that the log is to be looked at by
    /// whoever opens the home next, so a log that the index could not catch up with keeps it.
    pub(super) async fn is_indexed(&self) -> bool {
        let Some(indexer) = &self.env.indexer else {
            return false;
        };
        match indexer.ask(Settle).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(
                    thread_id = %self.shared.thread_id,
                    ?error,
                    "a closed log is not indexed yet: it is when the home is opened again"
                );
                false
            }
        }
    }
}
