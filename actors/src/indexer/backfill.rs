//! Backfill: complete the index, or make it anew.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kameo::message::{Context, Message};
use kameo::reply::{DelegatedReply, ReplySender};
use selvedge_engine::store::{BackfillProgress, BackfillReport};
use selvedge_engine::{Error, Result};
use tokio::time::{Sleep, sleep};

use super::{Indexer, RETRY, Waiter, optional};
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

/// The backfill that is running, and those that wait.
#[derive(Debug, Default)]
pub(super) struct Backfills {
    running: Option<Running<Outcome>>,
    /// Who waits for it, or what it was when nobody does.
    asked: Option<Asked>,
    waiting: VecDeque<(Backfill, Waiter<BackfillReport>)>,
    /// One that nobody waits for and that failed: it is tried again.
    again: Option<(Pin<Box<Sleep>>, Backfill)>,
}

#[derive(Debug)]
enum Asked {
    ByWaiter(ReplySender<Outcome>),
    InBackground(Backfill),
}

/// What happens to backfills by itself.
pub(super) enum Turn {
    Done(Outcome),
    /// It is time for the one that failed.
    Again,
}

impl Backfills {
    /// Waits for the one that is running, and for the time to try another again.
    pub(super) async fn turn(&mut self) -> Turn {
        tokio::select! {
            biased;
            outcome = optional(self.running.as_mut()) => Turn::Done(outcome.and_then(|done| done)),
            () = optional(self.again.as_mut().map(|(due, _)| due)) => Turn::Again,
        }
    }
}

impl Indexer {
    pub(super) async fn take_turn(&mut self, turn: Turn) {
        match turn {
            Turn::Done(outcome) => self.finish_backfill(outcome).await,
            Turn::Again => {
                if let Some((_, backfill)) = self.backfill.again.take() {
                    self.begin_backfill(backfill, None).await;
                }
            }
        }
    }

    /// Answers the backfill that ended, and starts the next.
    async fn finish_backfill(&mut self, outcome: Outcome) {
        self.backfill.running = None;
        match (self.backfill.asked.take(), outcome) {
            (Some(Asked::ByWaiter(waiter)), outcome) => waiter.send(outcome),
            (None, _) | (Some(Asked::InBackground(_)), Ok(_) | Err(Error::Closed { .. })) => {}
            (Some(Asked::InBackground(backfill)), Err(error)) => {
                // Whatever it was passes: another process dies or goes on, there is room again.
                tracing::warn!(%error, "the index is not complete: it is tried again");
                self.backfill.again = Some((Box::pin(sleep(RETRY)), backfill));
            }
        }
        if let Some((backfill, waiter)) = self.backfill.waiting.pop_front() {
            self.start_backfill(backfill, waiter).await;
        }
    }

    /// Ends the backfill that is running, and begins no other: nothing touches the home after it.
    pub(super) async fn stop_backfills(&mut self) {
        self.store.stop_backfill();
        // Whoever waits is told that the store is closed.
        self.backfill.waiting.clear();
        self.backfill.again = None;
        if let Some(running) = self.backfill.running.as_mut() {
            let outcome = running.await.and_then(|done| done);
            self.finish_backfill(outcome).await;
        }
    }

    async fn begin_backfill(&mut self, backfill: Backfill, waiter: Waiter<BackfillReport>) {
        if self.backfill.running.is_some() {
            self.backfill.waiting.push_back((backfill, waiter));
        } else {
            self.start_backfill(backfill, waiter).await;
        }
    }

    async fn start_backfill(&mut self, backfill: Backfill, waiter: Waiter<BackfillReport>) {
        let store = Arc::clone(&self.store);
        let asked = match waiter {
            Some(waiter) => Asked::ByWaiter(waiter),
            None => Asked::InBackground(backfill.clone()),
        };
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
        self.backfill.running = Some(running);
        self.backfill.asked = Some(asked);
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
        self.begin_backfill(backfill, waiter).await;
        delegated
    }
}
