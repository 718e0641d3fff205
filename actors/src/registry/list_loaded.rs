//! List loaded: the ids of all live threads.

use kameo::message::{Context, Message};
use selvedge_codec::ThreadId;

use super::Registry;
use super::queue::State;

/// Gives the ids of all live threads, in the order of the ids.
#[derive(Debug)]
pub(crate) struct ListLoaded;

impl Message<ListLoaded> for Registry {
    type Reply = Vec<ThreadId>;

    async fn handle(&mut self, _: ListLoaded, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let mut loaded: Vec<ThreadId> = self
            .threads
            .iter()
            .filter(|(_, entry)| matches!(&entry.state, State::Live(live) if live.is_there()))
            .map(|(thread_id, _)| *thread_id)
            .collect();
        loaded.sort_unstable();
        loaded
    }
}
