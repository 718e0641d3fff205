//! Resume: make a thread of the home live.

use std::sync::Arc;

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_codec::ThreadId;
use selvedge_engine::Result;
use selvedge_engine::log::ThreadLog;
use selvedge_engine::store::Store;

use super::{Entry, Event, Registry, Waiter};
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
        let (delegated, waiter) = ctx.reply_sender();
        let thread_id = resume.thread_id;
        match self.threads.get_mut(&thread_id) {
            None => self.open(thread_id, vec![waiter]),
            Some(Entry::Opening { waiters, .. }) => waiters.push(waiter),
            Some(Entry::Live {
                thread, after_end, ..
            }) => {
                if thread.shared.is_ending() {
                    after_end.push(waiter);
                } else {
                    let thread = Arc::clone(thread);
                    super::answer(vec![waiter], &Ok(thread));
                }
            }
        }
        delegated
    }
}

impl Registry {
    /// Begins to open a thread's log for these waiters.
    pub(super) fn open(&mut self, thread_id: ThreadId, waiters: Vec<Waiter>) {
        let (store, env) = (Arc::clone(&self.store), Arc::clone(&self.env));
        let opening = spawn::owned_task(&mut self.tasks, async move {
            let log = env.pool.run(move || open_log(&store, thread_id)).await;
            Event::Opened {
                thread_id,
                log: log.and_then(|log| log),
            }
        });
        self.threads.insert(
            thread_id,
            Entry::Opening {
                task: opening.id(),
                waiters,
            },
        );
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
