//! Snapshot: where the thread stands.

use kameo::message::{Context, Message};
use selvedge_engine::Result;
use selvedge_engine::log::LogState;

use super::ThreadActor;
use super::log_slot::LogSlot;
use crate::live_thread::{ThreadSnapshot, ThreadState};

/// Answered with what the actor knows, without a look at the disk.
#[derive(Debug)]
pub(crate) struct Snapshot;

impl Message<Snapshot> for ThreadActor {
    type Reply = Result<ThreadSnapshot>;

    async fn handle(&mut self, _: Snapshot, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let thread_id = self.shared.thread_id;
        match &self.log {
            LogSlot::Here(log) => Ok(ThreadSnapshot {
                thread_id,
                state: match log.state() {
                    LogState::Deferred => ThreadState::Deferred,
                    LogState::Live => ThreadState::Live,
                    LogState::Failed => ThreadState::Failed,
                    LogState::Closed => ThreadState::Closed,
                },
                next_ordinal: log.next_ordinal(),
                durable_next_ordinal: log.durable_next_ordinal(),
                path: Some(log.path().clone()),
            }),
            LogSlot::Ephemeral(thread) => Ok(ThreadSnapshot {
                thread_id,
                state: ThreadState::Ephemeral,
                next_ordinal: thread.next_ordinal(),
                durable_next_ordinal: selvedge_codec::Ordinal::ZERO,
                path: None,
            }),
            LogSlot::Away(..) | LogSlot::Lost(_) | LogSlot::Closed => Err(self.no_log()),
        }
    }
}
