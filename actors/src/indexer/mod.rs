//! The indexer: one actor, through which everything of this process that writes the index goes.
//!
//! Threads note that their logs have grown in [`GrownLogs`], and go on. The indexer takes what was
//! noted, at most every [`COALESCE`] unless a reader waits, and has it caught up with on the I/O
//! pool; it runs one such job at a time. A backfill may take long and commits in pieces, so it
//! runs beside them.

mod backfill;
mod grown;
mod reconcile;
mod settle;
mod shutdown;

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::error::{ActorStopReason, Infallible};
use kameo::mailbox::{MailboxReceiver, Signal};
use kameo::reply::ReplySender;
use selvedge_engine::store::Store;
use selvedge_engine::{Error, Result};
use tokio::time::{Sleep, sleep};

use crate::io_pool::{IoPool, Running};
pub(crate) use backfill::{Backfill, BackfillKind};
pub(crate) use grown::GrownLogs;
use grown::TakenLogs;
pub(crate) use reconcile::Reconcile;
pub(crate) use settle::Settle;
pub(crate) use shutdown::Shutdown;

/// How long noted logs gather before they are indexed while nobody waits for it.
const COALESCE: Duration = Duration::from_millis(50);
/// How long the indexer leaves the index alone after it failed and nobody waits.
const RETRY: Duration = Duration::from_secs(1);

/// Who waits for a job of the indexer; `None` when nobody does.
type Waiter<T = ()> = Option<ReplySender<Result<T>>>;

/// The indexer's actor.
#[derive(Debug)]
pub(crate) struct Indexer {
    store: Arc<Store>,
    pool: IoPool,
    grown: Arc<GrownLogs>,
    /// The one job that is running.
    job: Option<Job>,
    /// Who asked since it was started: what they want to see may not be in it.
    waiting: VecDeque<Wanted>,
    /// Set while noted logs gather.
    flush_at: Option<Pin<Box<Sleep>>>,
    backfill: backfill::Backfills,
}

/// What a reader waits for.
#[derive(Debug)]
enum Wanted {
    Settle(Waiter),
    Reconcile(Reconcile, Waiter),
}

#[derive(Debug)]
struct Job {
    running: Running<Result<()>>,
    /// What goes back when it fails.
    taken: Option<TakenLogs>,
    waiters: Vec<Waiter>,
}

/// What an indexer is made from.
#[derive(Debug)]
pub(crate) struct IndexerArgs {
    pub(crate) store: Arc<Store>,
    pub(crate) pool: IoPool,
    pub(crate) grown: Arc<GrownLogs>,
}

impl Actor for Indexer {
    type Args = IndexerArgs;
    type Error = Infallible;

    async fn on_start(
        args: IndexerArgs,
        _: ActorRef<Self>,
    ) -> std::result::Result<Self, Infallible> {
        Ok(Self {
            store: args.store,
            pool: args.pool,
            grown: args.grown,
            job: None,
            waiting: VecDeque::new(),
            flush_at: None,
            backfill: backfill::Backfills::default(),
        })
    }

    /// The last of a store's actors closes the index, where waiting for it harms nobody. After a
    /// shutdown it is closed again, which is nothing.
    async fn on_stop(
        &mut self,
        _: WeakActorRef<Self>,
        _: ActorStopReason,
    ) -> std::result::Result<(), Infallible> {
        let store = Arc::clone(&self.store);
        let closed = self.pool.run(move || store.close()).await;
        if let Err(error) = closed.and_then(|closed| closed) {
            tracing::warn!(%error, "the store could not be closed");
        }
        Ok(())
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> std::result::Result<Option<Signal<Self>>, Infallible> {
        loop {
            self.start_wanted().await;
            match self.wait(mailbox).await {
                Event::Signal(signal) => return Ok(signal.map(|signal| *signal)),
                Event::JobDone(outcome) => self.finish_job(outcome),
                Event::Backfill(step) => self.take_backfill_step(step).await,
                Event::Grown => self.gather(COALESCE),
                Event::FlushDue => {
                    self.flush_at = None;
                    self.waiting.push_back(Wanted::Settle(None));
                }
            }
        }
    }
}

enum Event {
    /// Boxed: a signal is much larger than the other events.
    Signal(Option<Box<Signal<Indexer>>>),
    JobDone(Result<()>),
    Backfill(backfill::Step),
    Grown,
    FlushDue,
}

impl Indexer {
    async fn wait(&mut self, mailbox: &mut MailboxReceiver<Self>) -> Event {
        let gathering = self.flush_at.is_some();
        let (job, flush_at) = (&mut self.job, &mut self.flush_at);
        tokio::select! {
            biased;
            outcome = optional(job.as_mut().map(|job| &mut job.running)) => {
                Event::JobDone(outcome.and_then(|done| done))
            }
            step = self.backfill.next() => Event::Backfill(step),
            () = optional(flush_at.as_mut()) => Event::FlushDue,
            signal = mailbox.recv() => Event::Signal(signal.map(Box::new)),
            () = self.grown.some(), if !gathering => Event::Grown,
        }
    }

    fn gather(&mut self, how_long: Duration) {
        self.flush_at = Some(Box::pin(sleep(how_long)));
    }

    /// Starts the next job, if none is running and somebody wants one.
    async fn start_wanted(&mut self) {
        while self.job.is_none() {
            match self.waiting.pop_front() {
                None => return,
                Some(Wanted::Settle(waiter)) => self.start_settle(waiter).await,
                Some(Wanted::Reconcile(what, waiter)) => {
                    let store = Arc::clone(&self.store);
                    self.job = Some(Job {
                        running: self
                            .pool
                            .submit(move || store.reconcile(&what.suspects))
                            .await,
                        taken: None,
                        waiters: vec![waiter],
                    });
                }
            }
        }
    }

    /// Indexes all noted logs, for this waiter and all others that wait for the same.
    async fn start_settle(&mut self, waiter: Waiter) {
        let mut waiters = vec![waiter];
        self.waiting.retain_mut(|wanted| match wanted {
            Wanted::Settle(waiter) => {
                waiters.push(waiter.take());
                false
            }
            Wanted::Reconcile(..) => true,
        });
        let taken = self.grown.take();
        if taken.is_empty() {
            answer(waiters, &Ok(()));
            return;
        }
        self.flush_at = None;
        let (store, logs) = (Arc::clone(&self.store), taken.paths());
        self.job = Some(Job {
            running: self.pool.submit(move || store.catch_up(&logs)).await,
            taken: Some(taken),
            waiters,
        });
    }

    fn finish_job(&mut self, outcome: Result<()>) {
        let Some(job) = self.job.take() else { return };
        if let (Err(error), Some(taken)) = (&outcome, job.taken) {
            tracing::warn!(%error, "the index could not be caught up: it is tried again");
            self.grown.put_back(taken);
            self.gather(RETRY);
        }
        answer(job.waiters, &outcome);
    }
}

/// Tells all waiters the same.
fn answer(waiters: Vec<Waiter>, outcome: &Result<()>) {
    for waiter in waiters.into_iter().flatten() {
        waiter.send(outcome.clone());
    }
}

/// Waits for what is there; for ever when nothing is.
pub(crate) async fn optional<F: Future + Unpin>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

/// The error of an index whose actor has ended.
pub(crate) const CLOSED_STORE: Error = Error::Closed { what: "the store" };
