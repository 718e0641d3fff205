//! Look up: a thread that has an actor already.

use std::sync::Arc;

use kameo::message::{Context, Message};
use selvedge_codec::ThreadId;

use super::Registry;
use crate::live_thread::ThreadRef;

/// Gives the thread of this id if it has an actor, live for whoever asks or not.
#[derive(Debug)]
pub(crate) struct LookUp {
    pub(crate) thread_id: ThreadId,
}

impl Message<LookUp> for Registry {
    type Reply = Option<Arc<ThreadRef>>;

    async fn handle(&mut self, asked: LookUp, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        self.live(asked.thread_id)
            .map(|live| Arc::clone(&live.thread))
    }
}
