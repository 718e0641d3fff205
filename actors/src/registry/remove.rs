//! Remove: end a live thread.

use std::sync::Arc;

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_codec::ThreadId;
use selvedge_engine::{Error, Result};

use super::{Event, Registry, send};
use crate::spawn;
use crate::thread_actor::Shutdown;

/// Shuts the thread of this id down, if it is live. Its log stays.
#[derive(Debug)]
pub(crate) struct Remove {
    pub(crate) thread_id: ThreadId,
}

impl Message<Remove> for Registry {
    type Reply = DelegatedReply<Result<()>>;

    async fn handle(
        &mut self,
        remove: Remove,
        ctx: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        match self.live(remove.thread_id) {
            Some(live) if live.is_there() => {
                let thread = Arc::clone(&live.thread);
                spawn::owned_task(&mut self.tasks, async move {
                    let outcome = match thread.shutdown(Shutdown::Gentle).await {
                        // Somebody else has ended it meanwhile.
                        Err(Error::Closed { .. }) => Ok(()),
                        outcome => outcome,
                    };
                    send(reply, outcome.clone());
                    Event::ShutDown(outcome)
                });
            }
            _ => send(reply, Ok(())),
        }
        delegated
    }
}
