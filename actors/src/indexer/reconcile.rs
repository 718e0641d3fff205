//! Reconcile: correct what a read found wrong.

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_engine::Result;
use selvedge_engine::store::Suspect;

use super::{Indexer, Wanted};

/// Looks again at what a read did not believe, and corrects the index.
#[derive(Debug)]
pub(crate) struct Reconcile {
    pub(crate) suspects: Vec<Suspect>,
}

impl Message<Reconcile> for Indexer {
    type Reply = DelegatedReply<Result<()>>;

    async fn handle(
        &mut self,
        what: Reconcile,
        ctx: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let (delegated, waiter) = ctx.reply_sender();
        self.waiting.push_back(Wanted::Reconcile(what, waiter));
        delegated
    }
}
