//! Backfill: complete the index, or make it anew.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kameo::message::{Context, Message};
use kameo::reply::DelegatedReply;
use selvedge_engine::store::{BackfillProgress, BackfillReport};
use selvedge_engine::{Error, Result};
use tokio::time::{Sleep, sleep};

use super::{Indexer, Waiter, optional};
use crate::io_pool::Running;

/// How long after a backfill in the background has failed it is tried again, at first; twice as long
/// after each further failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// No longer than this: whoever ended what was in the way waits for no more.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

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
#[derive(Clone)]
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

/// What the indexer has to see to next.
pub(super) enum Step {
    /// The backfill that was running has ended.
    Done(Outcome),
    /// One that failed is to be tried again.
    Due,
}

/// The backfill that is running, and those that wait.
#[derive(Debug, Default)]
pub(super) struct Backfills {
    running: Option<Started>,
    waiting: VecDeque<(Backfill, Waiter<BackfillReport>)>,
    /// One that failed with nobody to tell, until it is tried again.
    again: Option<(Backfill, Pin<Box<Sleep>>)>,
    /// How often those in the background have failed in a row.
    failures: u32,
}

#[derive(Debug)]
struct Started {
    backfill: Backfill,
    running: Running<Outcome>,
    /// `None` for one in the background.
    waiter: Waiter<BackfillReport>,
}

impl Backfills {
    /// Waits until the one that is running has ended, or one is to be tried again; for ever when
    /// there is neither.
    pub(super) async fn next(&mut self) -> Step {
        let (running, again) = (&mut self.running, &mut self.again);
        tokio::select! {
            biased;
            outcome = optional(running.as_mut().map(|started| &mut started.running)) => {
                Step::Done(outcome.and_then(|done| done))
            }
            () = optional(again.as_mut().map(|(_, due)| due)) => Step::Due,
        }
    }

    /// Waits for the one that is running; for ever when none is.
    async fn done(&mut self) -> Outcome {
        optional(self.running.as_mut().map(|started| &mut started.running))
            .await
            .and_then(|done| done)
    }

    /// What is in its way may go away without anybody asking again: another process that is stopped
    /// in the middle of its own, a full disk.
    fn try_again(&mut self, backfill: Backfill) {
        let pause = FIRST_RETRY.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.again = Some((backfill, Box::pin(sleep(pause.min(LONGEST_RETRY)))));
    }
}

impl Indexer {
    pub(super) async fn take_backfill_step(&mut self, step: Step) {
        match step {
            Step::Done(outcome) => self.finish_backfill(outcome).await,
            Step::Due => self.retry_backfill().await,
        }
    }

    /// Answers the backfill that ended, and starts the next.
    async fn finish_backfill(&mut self, outcome: Outcome) {
        if let Some(started) = self.backfill.running.take() {
            if outcome.is_ok() {
                // One covers the home for all.
                self.backfill.again = None;
                self.backfill.failures = 0;
            }
            match (started.waiter, outcome) {
                (Some(waiter), outcome) => waiter.send(outcome),
                (None, Ok(_) | Err(Error::Closed { .. })) => {}
                (None, Err(error)) => {
                    tracing::warn!(%error, "the index could not be completed: it is tried again");
                    self.backfill.try_again(started.backfill);
                }
            }
        }
        if let Some((backfill, waiter)) = self.backfill.waiting.pop_front() {
            self.start_backfill(backfill, waiter).await;
        }
    }

    /// Starts the one that was to be tried again.
    async fn retry_backfill(&mut self) {
        if let Some((backfill, _)) = self.backfill.again.take() {
            match self.backfill.running {
                Some(_) => self.backfill.waiting.push_back((backfill, None)),
                None => self.start_backfill(backfill, None).await,
            }
        }
    }

    /// Ends the backfill that is running, and begins no other: nothing touches the home after it.
    pub(super) async fn stop_backfills(&mut self) {
        self.store.stop_backfill();
        // Whoever waits is told that the store is closed.
        self.backfill.waiting.clear();
        self.backfill.again = None;
        if self.backfill.running.is_some() {
            let outcome = self.backfill.done().await;
            self.finish_backfill(outcome).await;
            self.backfill.again = None;
        }
    }

    async fn start_backfill(&mut self, backfill: Backfill, waiter: Waiter<BackfillReport>) {
        let store = Arc::clone(&self.store);
        let work = backfill.clone();
        let running = self
            .pool
            .submit(move || {
                let progress = |step| (work.progress)(step);
                match work.kind {
                    BackfillKind::Complete => store.backfill(work.wait, &progress),
                    BackfillKind::Rebuild => store.rebuild(work.wait, &progress),
                }
            })
            .await;
        self.backfill.running = Some(Started {
            backfill,
            running,
            waiter,
        });
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
