//! Backfill: complete the index, or make it anew.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_engine::Result;
use selvedge_engine::store::{BackfillProgress, BackfillReport};

use super::{Indexer, Waiter, optional};
use crate::io_pool::Running;

/// Told how far a backfill is, from a thread of the I/O pool.
pub(crate) type ProgressFn = Arc<dyn Fn(BackfillProgress) + Send + Sync>;

/// What is done about the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackfillKind {
    /// What it does not cover is added.
    Complete,
    /// It is emptied first.
    Rebuild,
}

/// Completes the index. One runs at a time; those that come meanwhile wait for their turn.
pub(crate) struct Backfill {
    pub(crate) kind: BackfillKind,
    /// How long another process that is at it is waited for.
    pub(crate) wait: Duration,
    pub(crate) progress: ProgressFn,
}

impl fmt::Debug for Backfill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backfill")
            .field("kind", &self.kind)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

pub(super) type Outcome = Result<BackfillReport>;

/// The backfill that is running, and those that wait.
#[derive(Debug, Default)]
pub(super) struct Backfills {
    running: Option<(Running<Outcome>, Waiter<BackfillReport>)>,
    waiting: VecDeque<(Backfill, Waiter<BackfillReport>)>,
}

impl Backfills {
    /// Waits for the one that is running; for ever when none is.
    pub(super) async fn done(&mut self) -> Outcome {
        optional(self.running.as_mut().map(|(running, _)| running))
            .await
            .and_then(|done| done)
    }
}

impl Indexer {
    /// Answers the backfill that ended, and starts the next.
    pub(super) async fn finish_backfill(&mut self, outcome: Outcome) {
        if let Some((_, waiter)) = self.backfill.running.take() {
            match (waiter, outcome) {
                (Some(waiter), outcome) => waiter.send(outcome),
                (None, Ok(_report)) => {}
                (None, Err(error)) => {
                    tracing::warn!(%error, "the index could not be completed in the background");
                }
            }
        }
        if let Some((backfill, waiter)) = self.backfill.waiting.pop_front() {
            self.start_backfill(backfill, waiter).await;
        }
    }

    async fn start_backfill(&mut self, backfill: Backfill, waiter: Waiter<BackfillReport>) {
        let store = Arc::clone(&self.store);
        let running = self
            .pool
            .submit(move || {
                let progress = |step| (backfill.progress)(step);
                match backfill.kind {
                    BackfillKind::Complete => store.backfill(backfill.wait, &progress),
                    BackfillKind::Rebuild => store.rebuild(backfill.wait, &progress),
                }
            })
            .await;
        self.backfill.running = Some((running, waiter));
    }
}

impl Message<Backfill> for Indexer {
    type Reply = DelegatedReply<Outcome>;

    async fn handle(
        &mut self,
        backfill: Backfill,
        ctx: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let (delegated, waiter) = ctx.reply_sender();
        if self.backfill.running.is_some() {
            self.backfill.waiting.push_back((backfill, waiter));
        } else {
            self.start_backfill(backfill, waiter).await;
        }
        delegated
    }
}
