//! Shutdown: index what is left, and end.

use kameo::message::{Context, Message};
use selvedge_engine::Result;

use super::{Indexer, Wanted};

/// Finishes what is running and what waits, indexes what is left, and ends the actor. A backfill
/// is not waited for: what it has committed stays, and the next one goes on from there.
#[derive(Debug)]
pub(crate) struct Shutdown;

impl Message<Shutdown> for Indexer {
    type Reply = Result<()>;

    async fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        ctx.stop();
        self.waiting.push_back(Wanted::Settle(None));
        let mut last = Ok(());
        loop {
            self.start_wanted().await;
            let Some(job) = &mut self.job else {
                return last;
            };
            last = (&mut job.running).await.and_then(|done| done);
            self.finish_job(last.clone());
        }
    }
}
