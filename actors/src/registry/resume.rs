//! Resume: make a thread of the home live.

use std::sync::Arc;

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_codec::ThreadId;
use selvedge_engine::Result;
use selvedge_engine::log::ThreadLog;
use selvedge_engine::store::Store;

use super::queue::Wanted;
use super::{Event, Registry};
use crate::live_thread::ThreadRef;
use crate::spawn;

/// Gives the live thread of this id; opens its log if it is not live.
#[derive(Debug)]
pub(crate) struct Resume {
    pub(crate) thread_id: ThreadId,
}

impl Message<Resume> for Registry {
    type Reply = DelegatedReply<Result<Arc<ThreadRef>>>;

    async fn handle(
        &mut self,
        resume: Resume,
        ctx: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let (delegated, reply) = ctx.reply_sender();
        self.want(resume.thread_id, Wanted::Thread(reply));
        delegated
    }
}

impl Registry {
    /// Begins to open a thread's log.
    pub(super) fn open(&mut self, thread_id: ThreadId) -> tokio::task::Id {
        let (store, env) = (Arc::clone(&self.store), Arc::clone(&self.env));
        let opening = spawn::owned_task(&mut self.tasks, async move {
            let log = env.pool.run(move || open_log(&store, thread_id)).await;
            Event::Opened {
                thread_id,
                log: log.and_then(|log| log).map(Into::into),
            }
        });
        opening.id()
    }
}

/// Finds a thread's log and opens it for writing. An idle live thread holds no file, so none is
/// kept open. Blocks.
fn open_log(store: &Store, thread_id: ThreadId) -> Result<Box<ThreadLog>> {
    let found = store.find(thread_id)?;
    let (mut log, report) = ThreadLog::open(store.log_context().clone(), thread_id, &found.path)?;
    tracing::debug!(%thread_id, ?report, "a log was opened");
    log.release_handle()?;
    Ok(Box::new(log))
}
