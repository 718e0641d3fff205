//! Shutdown: end all threads, then the registry.

use std::sync::Arc;

use kameo::message::{Context, Message};
use selvedge_engine::{Error, Result};

use super::{Entry, Event, Registry, answer};
use crate::indexer::CLOSED_STORE;
use crate::live_thread::ThreadRef;
use crate::spawn;
use crate::thread_actor;

/// How many threads are shut down at once.
const AT_ONCE: usize = 256;

/// Shuts all threads down and ends the registry. Answered once every actor has ended; with the
/// first error, if a thread had one.
#[derive(Debug)]
pub(crate) struct Shutdown;

impl Message<Shutdown> for Registry {
    type Reply = Result<()>;

    async fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        ctx.stop();
        self.close_all().await
    }
}

impl Registry {
    /// Ends all threads, and waits for whatever else the registry has begun. Messages that come
    /// meanwhile are refused when the actor stops.
    pub(super) async fn close_all(&mut self) -> Result<()> {
        let mut first_error = Ok(());
        let mut live: Vec<Arc<ThreadRef>> = self
            .threads
            .values()
            .filter_map(|entry| match entry {
                Entry::Live { thread, .. } => Some(Arc::clone(thread)),
                Entry::Opening { .. } => None,
            })
            .collect();
        let mut asked = 0;
        loop {
            while asked < AT_ONCE
                && let Some(thread) = live.pop()
            {
                asked += 1;
                self.shut_down(thread);
            }
            match self.tasks.join_next().await {
                None => return first_error,
                Some(Ok(Event::ShutDown(outcome))) => {
                    asked = asked.saturating_sub(1);
                    if !matches!(outcome, Err(Error::Closed { .. })) {
                        first_error = first_error.and(outcome);
                    }
                }
                Some(Ok(Event::Opened { thread_id, log })) => {
                    if let Some(Entry::Opening { waiters, .. }) = self.threads.remove(&thread_id) {
                        answer(waiters, &Err(CLOSED_STORE));
                    }
                    // Opened for nobody: its actor is what closes it.
                    if let Ok(log) = log {
                        let thread = self.start_actor(thread_id, Some(log));
                        live.push(thread);
                    }
                }
                Some(Ok(Event::Ended { thread_id })) => {
                    if let Some(Entry::Live { after_end, .. }) = self.threads.remove(&thread_id) {
                        answer(after_end, &Err(CLOSED_STORE));
                    }
                }
                Some(Err(error)) => self.on_lost_task(&error),
            }
        }
    }

    fn shut_down(&mut self, thread: Arc<ThreadRef>) {
        spawn::owned_task(&mut self.tasks, async move {
            Event::ShutDown(thread.shutdown(thread_actor::Shutdown::Final).await)
        });
    }
}
