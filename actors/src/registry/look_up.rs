//! Look up: a thread that is live already.

use std::sync::Arc;

use kameo::message::{Context, Message};
use selvedge_codec::ThreadId;

use super::{Entry, Registry};
use crate::live_thread::ThreadRef;

/// Gives the thread of this id if it is live.
#[derive(Debug)]
pub(crate) struct LookUp {
    pub(crate) thread_id: ThreadId,
}

impl Message<LookUp> for Registry {
    type Reply = Option<Arc<ThreadRef>>;

    async fn handle(&mut self, asked: LookUp, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        match self.threads.get(&asked.thread_id) {
            Some(Entry::Live { thread, .. }) if !thread.shared.is_ending() => {
                Some(Arc::clone(thread))
            }
            _ => None,
        }
    }
}
