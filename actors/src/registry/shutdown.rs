//! Shutdown: end all threads, then the registry.

use std::sync::Arc;

use kameo::message::{Context, Message};
use selvedge_codec::ThreadId;
use selvedge_engine::log::LogState;
use selvedge_engine::{Error, Result};

use super::queue::State;
use super::{Event, OpenedLog, Registry};
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
        let mut live: Vec<Arc<ThreadRef>> = Vec::new();
        for entry in self.threads.values_mut() {
            for wanted in std::mem::take(&mut entry.waiting) {
                wanted.fail(CLOSED_STORE);
            }
            if let State::Live(thread) = &entry.state {
                live.push(Arc::clone(&thread.thread));
            }
        }
        let mut asked = 0;
        loop {
            while asked < AT_ONCE
                && let Some(thread) = live.pop()
            {
                asked += 1;
                self.shut_down(thread);
            }
            match self.tasks.join_next_with_id().await {
                None => return first_error.and(self.sync_rest().await),
                Some(Ok((_, Event::ShutDown(outcome)))) => {
                    asked = asked.saturating_sub(1);
                    if !matches!(outcome, Err(Error::Closed { .. })) {
                        first_error = first_error.and(outcome);
                    }
                }
                Some(Ok((_, Event::Opened { thread_id, log }))) => {
                    live.extend(self.opened_for_nobody(thread_id, log));
                }
                Some(Ok((_, Event::Ended { thread_id, synced }))) => {
                    self.ended(thread_id, &synced);
                    self.threads.remove(&thread_id);
                }
                Some(Ok((_, Event::Released { thread_id, answer }))) => {
                    self.threads.remove(&thread_id);
                    answer.send();
                }
                // What it has begun it has ended; nothing is begun again.
                Some(Ok((_, Event::Operated(operated)))) => operated.give_up(),
                Some(Ok((_, Event::Closed { .. }))) => {}
                Some(Err(error)) => self.on_lost_task(&error),
            }
        }
    }

    /// Tries once more to sync what threads have left behind that ended before.
    async fn sync_rest(&mut self) -> Result<()> {
        let mut first_error = Ok(());
        for thread_id in std::mem::take(&mut self.unsynced) {
            let synced = thread_actor::sync_lost(&self.env, thread_id, LogState::Failed).await;
            first_error = first_error.and(synced);
        }
        first_error
    }

    /// A log was opened, or made, for somebody who is told that the store is closed. Its actor is
    /// what closes it.
    fn opened_for_nobody(
        &mut self,
        thread_id: ThreadId,
        log: Result<OpenedLog>,
    ) -> Option<Arc<ThreadRef>> {
        if let Some(entry) = self.threads.remove(&thread_id)
            && let State::Opening {
                maker: Some(maker), ..
            } = entry.state
        {
            maker.fail(CLOSED_STORE);
        }
        log.ok().map(|log| self.start_actor(thread_id, Some(log)))
    }

    fn shut_down(&mut self, thread: Arc<ThreadRef>) {
        spawn::owned_task(&mut self.tasks, async move {
            Event::ShutDown(thread.shutdown(thread_actor::Shutdown::Final).await)
        });
    }
}
