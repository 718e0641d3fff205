//! Append: queue a batch for the next group commit.

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_codec::{EventClass, Item};
use selvedge_engine::Result;

use super::ThreadActor;
use super::group_commit::{AckReply, Queued};
use selvedge_store::{Ack, AppendOptions, Durability};

/// One batch. It is answered by the group commit that writes it, or by the sync after that.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) items: Vec<Item>,
    pub(crate) options: AppendOptions,
}

impl Append {
    /// Whether it is acknowledged only once it is synced. A turn that was told to have ended stays
    /// ended, whatever happens to the machine.
    pub(super) fn waits_for_sync(&self) -> bool {
        self.options.durability == Durability::Synced
            || self
                .items
                .iter()
                .any(|item| item.event.is_some_and(EventClass::ends_turn))
    }
}

impl Message<Append> for ThreadActor {
    type Reply = DelegatedReply<Result<Ack>>;

    async fn handle(
        &mut self,
        append: Append,
        ctx: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        let reply = AckReply::Append(reply);
        self.group.push(Queued { append, reply });
        delegated
    }
}
