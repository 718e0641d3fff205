//! Subscribe: the records that come to a thread without a log. Of others the log is read.

use kameo::message::{Context, Message};
use selvedge_codec::Ordinal;
use selvedge_engine::{InvalidRequest, Result};

use super::ThreadActor;
use super::log_slot::LogSlot;
use crate::feed::RingEvents;

/// Subscribes from an ordinal on, which must be the next one: what came before is kept nowhere.
#[derive(Debug)]
pub(crate) struct SubscribeEphemeral {
    pub(crate) from: Ordinal,
}

impl Message<SubscribeEphemeral> for ThreadActor {
    type Reply = Result<RingEvents>;

    async fn handle(
        &mut self,
        asked: SubscribeEphemeral,
        _: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        // Batches that came before get their ordinals, and their answers.
        self.commit().await;
        let LogSlot::Ephemeral(thread) = &mut self.log else {
            return Err(self.no_log());
        };
        let next = thread.next_ordinal();
        if asked.from > next {
            let asked = asked.from;
            return Err(InvalidRequest::OrdinalPastEnd { asked, next }.into());
        }
        if asked.from < next {
            return Err(InvalidRequest::Ephemeral(self.shared.thread_id).into());
        }
        Ok(thread.subscribe())
    }
}
