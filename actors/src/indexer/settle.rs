//! Settle: index everything that was acknowledged before. Reads begin with it.

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_engine::Result;

use super::{Indexer, Wanted};

/// Answers once every log that was noted before is indexed as far as it had grown then.
#[derive(Debug)]
pub(crate) struct Settle;

impl Message<Settle> for Indexer {
    type Reply = DelegatedReply<Result<()>>;

    async fn handle(&mut self, _: Settle, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, waiter) = ctx.reply_sender();
        self.waiting.push_back(Wanted::Settle(waiter));
        delegated
    }
}
