//! A live thread: one actor that owns one log.
//!
//! What must hold:
//! - Batches are logged in the order in which the mailbox gave them, and acknowledged in that
//!   order. No acknowledgement is sent before what it says was reached.
//! - The log is in one place at a time: with the actor, or in one job on the I/O pool that gives
//!   it back. Whatever may wait for the medium runs there; only a small buffered write to an open
//!   native log stays in the actor.
//! - At most one sync is in flight. Writes go on meanwhile; who waits for them waits for the next,
//!   and a batch that needs no sync for the answers before its own.
//! - `ending` is set before any waiter can learn that the actor ends.
//! - What is written is held back from subscribers until its answer was sent.

mod append;
mod decide;
mod discard;
mod end;
mod ephemeral;
mod flush;
mod group_commit;
mod log_slot;
mod persist;
mod shutdown;
mod snapshot;
mod subscribe;
mod syncing;
mod waiters;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::error::{ActorStopReason, PanicError};
use kameo::mailbox::{MailboxReceiver, Signal};
use kameo::reply::ReplySender;
use selvedge_codec::Ordinal;
use selvedge_engine::log::{LogState, SyncDone, ThreadLog};
use selvedge_engine::store::Store;
use selvedge_engine::{Error, Result};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::{Sleep, sleep};

use crate::feed::Feeds;
use crate::handles::{HandlePermit, HandlePermits};
use crate::indexer::{GrownLogs, Indexer, Settle, optional};
use crate::io_pool::{IoPool, Running};
use crate::live_thread::{CLOSED_THREAD, ThreadRef, ThreadShared};
use crate::registry::registry_error;

pub(crate) use append::Append;
pub(crate) use decide::{Decide, DecideFn};
pub(crate) use discard::Discard;
pub(crate) use end::{end_of, sync_lost};
pub(crate) use flush::Flush;
pub(crate) use persist::Persist;
pub(crate) use shutdown::Shutdown;
pub(crate) use snapshot::Snapshot;
pub(crate) use subscribe::SubscribeEphemeral;

use group_commit::Group;
use log_slot::LogSlot;
use waiters::Waiters;

/// How many messages wait for a thread before its senders do. A mailbox allocates in blocks of
/// this many, so a larger one costs every idle thread.
pub(crate) const MAILBOX_CAPACITY: usize = 32;
/// The most messages that are taken from the mailbox before other events are looked at.
const MAX_DRAINED: u32 = 256;

/// The longest that a failed log waits to be mended again.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// What all threads of a store share.
#[derive(Debug)]
pub(crate) struct ThreadEnv {
    pub(crate) store: Arc<Store>,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) pool: IoPool,
    pub(crate) permits: HandlePermits,
    pub(crate) grown: Arc<GrownLogs>,
    /// `None` when no index is used.
    pub(crate) indexer: Option<ActorRef<Indexer>>,
    pub(crate) sync_interval: Duration,
}

impl ThreadEnv {
    /// Waits until the index has everything that was acknowledged before. Where it can't take it
    /// (another process holds it, the disk is full), the logs are asked instead.
    pub(crate) async fn settle(&self) -> Result<()> {
        let Some(indexer) = &self.indexer else {
            return Ok(());
        };
        match indexer.ask(Settle).await.map_err(registry_error) {
            Err(why) if self.store.is_of_index(&why) => Ok(()),
            settled => settled,
        }
    }

    /// Reads a thread on the I/O pool; once more where a move of its log may be why it was not
    /// found.
    pub(crate) async fn read_of<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Store) -> Result<T> + Send + 'static,
    {
        let feeds = Arc::clone(&self.feeds);
        self.read(move |store| feeds.moves().find(|| read(store)))
            .await
    }

    /// Looks for something in the store on the I/O pool, or does something that takes as long.
    pub(crate) async fn read<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T> + Send + 'static,
    {
        let store = Arc::clone(&self.store);
        self.pool.look(move || read(&store)).await?
    }
}

/// Answers one caller; `None` when nobody waits.
type Reply<T> = Option<ReplySender<Result<T>>>;

fn send<T: Send + 'static>(reply: Reply<T>, answer: Result<T>) {
    if let Some(reply) = reply {
        reply.send(answer);
    }
}

/// A live thread's actor.
#[derive(Debug)]
pub(crate) struct ThreadActor {
    shared: Arc<ThreadShared>,
    env: Arc<ThreadEnv>,
    log: LogSlot,
    /// Held while the log has, or may get, an open file.
    permit: Option<HandlePermit>,
    /// Appends taken from the mailbox and not written yet.
    group: Group,
    /// Who waits for a sync, or for the answers before his own.
    waiters: Waiters,
    /// Boxed: most threads are idle, and pay for every byte here.
    syncing: Option<Box<Running<SyncDone>>>,
    /// Runs while something is unsynced or a file is open.
    tick: Option<Pin<Box<Sleep>>>,
    wrote_since_tick: bool,
    /// How often in a row the log could not be mended.
    failed_mends: u8,
    drained: u32,
}

/// What a thread's actor begins with.
#[derive(Debug)]
pub(crate) struct ThreadArgs {
    pub(crate) shared: Arc<ThreadShared>,
    pub(crate) env: Arc<ThreadEnv>,
    /// `None` for an ephemeral thread.
    pub(crate) log: Option<Box<ThreadLog>>,
    /// Of a log that has its file open, and something in it that is not synced.
    pub(crate) permit: Option<HandlePermit>,
}

/// The actor can't go on: its log was lost to a panic.
#[derive(Debug)]
pub(crate) struct LogLost;

impl Actor for ThreadActor {
    type Args = ThreadArgs;
    type Error = LogLost;

    async fn on_start(args: ThreadArgs, _: ActorRef<Self>) -> std::result::Result<Self, LogLost> {
        let mut this = Self {
            shared: args.shared,
            env: args.env,
            log: LogSlot::new(args.log),
            permit: args.permit,
            group: Group::default(),
            waiters: Waiters::default(),
            syncing: None,
            tick: None,
            wrote_since_tick: false,
            failed_mends: 0,
            drained: 0,
        };
        if this.permit.is_some() {
            this.note_growth();
        }
        if this.log.here().is_some_and(syncing::is_unproven) {
            this.arm_tick();
        }
        Ok(this)
    }

    async fn next(
        &mut self,
        _: WeakActorRef<Self>,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> std::result::Result<Option<Signal<Self>>, LogLost> {
        loop {
            self.publish();
            if !self.group.is_full() && self.drained < MAX_DRAINED {
                match mailbox.try_recv() {
                    Ok(signal) => {
                        self.drained += 1;
                        return Ok(Some(signal));
                    }
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
                }
            }
            self.drained = 0;
            if self.is_idle() {
                // The bare wait: an idle thread keeps no more than this.
                return Ok(mailbox.recv().await);
            }
            // Boxed: its state is large, and exists only while there is something to do.
            match Box::pin(self.work(mailbox)).await? {
                Event::Signal(signal) => return Ok(signal),
                Event::Worked => {}
            }
        }
    }

    async fn on_panic(
        &mut self,
        _: WeakActorRef<Self>,
        error: PanicError,
    ) -> std::result::Result<std::ops::ControlFlow<ActorStopReason>, LogLost> {
        tracing::error!(thread_id = %self.shared.thread_id, %error, "a thread's actor failed");
        self.shared.set_ending();
        self.fail_everybody(&CLOSED_THREAD);
        Ok(std::ops::ControlFlow::Break(ActorStopReason::Panicked(
            error,
        )))
    }
}

enum Event {
    Signal(Option<Signal<ThreadActor>>),
    Worked,
}

impl ThreadActor {
    fn is_idle(&self) -> bool {
        self.group.is_empty()
            && self.waiters.is_empty()
            && self.syncing.is_none()
            && self.tick.is_none()
            && !self.log.is_lost()
    }

    /// Writes what is queued, starts the sync that somebody waits for, and waits for whatever
    /// comes first.
    async fn work(
        &mut self,
        mailbox: &mut MailboxReceiver<Self>,
    ) -> std::result::Result<Event, LogLost> {
        if self.syncing.is_none() || !self.group.can_wait() {
            self.commit().await;
        }
        if !self.waiters.is_empty() {
            self.start_sync().await;
        }
        if self.log.is_lost() {
            return Err(LogLost);
        }
        self.publish();
        let holds_permit = self.permit.is_some();
        let (syncing, tick, env) = (&mut self.syncing, &mut self.tick, &self.env);
        tokio::select! {
            biased;
            done = optional(syncing.as_mut()) => self.finish_sync(done),
            () = optional(tick.as_mut()) => self.on_tick().await,
            () = env.permits.asked_back(), if holds_permit => self.give_back().await,
            signal = mailbox.recv() => return Ok(Event::Signal(signal)),
        }
        Ok(Event::Worked)
    }

    /// Starts the tick, if it does not run yet.
    fn arm_tick(&mut self) {
        if self.tick.is_none() {
            let backoff = 1_u32
                .checked_shl(self.failed_mends.into())
                .unwrap_or(u32::MAX);
            let longest = MAX_BACKOFF.max(self.env.sync_interval);
            let wait = self.env.sync_interval.saturating_mul(backoff).min(longest);
            self.tick = Some(Box::pin(sleep(wait)));
        }
    }

    /// Shows the thread's subscribers all that was answered.
    fn publish(&mut self) {
        let held = self.waiters.unanswered_from();
        let upto = match &mut self.log {
            LogSlot::Ephemeral(thread) => return thread.publish(),
            LogSlot::Away(..) | LogSlot::Lost(_) | LogSlot::Closed => return,
            // What a failed write has left in the file does not count.
            LogSlot::Here(log) if log.state() == LogState::Failed => {
                Some(held.unwrap_or_else(|| log.next_ordinal()))
            }
            LogSlot::Here(_) => held,
        };
        self.shared.feed.acknowledged(upto);
    }

    /// Holds back from subscribers what is written from now on.
    fn hold(&self) {
        if let Some(log) = self.log.here() {
            // A new thread's meta is written with its first batch.
            let from = match log.state() {
                LogState::Deferred => Ordinal::ZERO,
                _ => log.next_ordinal(),
            };
            self.shared.feed.hold(from);
        }
    }

    /// Tells all who wait for anything that it will not come.
    fn fail_everybody(&mut self, error: &Error) {
        self.group.fail(error);
        self.waiters.fail(error);
    }
}

/// Makes the handle and the actor of a thread. The actor does not run yet.
pub(crate) fn prepare(
    shared: Arc<ThreadShared>,
) -> (kameo::actor::PreparedActor<ThreadActor>, Arc<ThreadRef>) {
    use kameo::actor::Spawn as _;
    let prepared = ThreadActor::prepare_with_mailbox(kameo::mailbox::bounded(MAILBOX_CAPACITY));
    let thread = Arc::new(ThreadRef {
        actor: prepared.actor_ref().clone(),
        shared,
    });
    (prepared, thread)
}
