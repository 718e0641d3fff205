//! The handle on a live thread, which hides its actor.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kameo::actor::ActorRef;
use kameo::error::SendError;
use selvedge_codec::{Item, Ordinal, ThreadId};
use selvedge_engine::home::LogPath;
use selvedge_engine::{Error, Result};
use selvedge_store::{Ack, AppendOptions, Flushed, check_batch};

use crate::feed::Feed;
use crate::selvedge::Core;
use crate::thread_actor::{Append, Discard, Flush, Persist, Shutdown, Snapshot, ThreadActor};

/// Where a live thread stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ThreadState {
    /// New, with nothing on disk until the first append or persist.
    Deferred,
    /// Its log can be written.
    Live,
    /// A write or sync failed. The next append, persist or flush first mends the log.
    Failed,
    /// It has no log and never will.
    Ephemeral,
    /// It was shut down.
    Closed,
}

/// A live thread at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadSnapshot {
    /// The thread.
    pub thread_id: ThreadId,
    /// Where it stands.
    pub state: ThreadState,
    /// The ordinal that the next record will get.
    pub next_ordinal: Ordinal,
    /// Every record below this ordinal is synced.
    pub durable_next_ordinal: Ordinal,
    /// Where its log lies, or will lie; `None` when it has none.
    pub path: Option<LogPath>,
}

/// What the registry and the handles share of a live thread.
#[derive(Debug)]
pub(crate) struct ThreadRef {
    pub(crate) actor: ActorRef<ThreadActor>,
    pub(crate) shared: Arc<ThreadShared>,
}

/// What a thread's actor shares with everybody who holds a [`ThreadRef`] on it.
#[derive(Debug)]
pub(crate) struct ThreadShared {
    pub(crate) thread_id: ThreadId,
    pub(crate) ephemeral: bool,
    /// Set before any waiter can learn that the actor ends, so that whoever was told so and
    /// resumes the thread at once is not given the old actor again.
    ending: AtomicBool,
    /// Whether somebody has started or resumed the thread; it is live for operations alone
    /// otherwise. Set before any waiter can learn that it is live.
    kept: AtomicBool,
    /// Whether the log is in the set of those that the indexer will look at.
    pub(crate) awaits_index: AtomicBool,
    /// Tells the thread's subscribers what they may see.
    pub(crate) feed: Arc<Feed>,
}

impl ThreadShared {
    pub(crate) fn new(thread_id: ThreadId, ephemeral: bool, feed: Arc<Feed>) -> Self {
        Self {
            feed,
            thread_id,
            ephemeral,
            ending: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            awaits_index: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::SeqCst)
    }

    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::SeqCst);
    }

    /// Whether it is live for whoever asks.
    pub(crate) fn is_there(&self) -> bool {
        self.is_kept() && !self.is_ending()
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    pub(crate) fn set_ending(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }
}

/// The error of a thread whose actor has ended, for whatever reason.
pub(crate) const CLOSED_THREAD: Error = Error::Closed { what: "the thread" };

/// Whether this says that a thread has ended, and not that its store has.
pub(crate) fn is_closed_thread(error: &Error) -> bool {
    matches!((error, &CLOSED_THREAD), (Error::Closed { what }, Error::Closed { what: thread }) if what == thread)
}

/// Tells a caller what became of its message: an actor that is gone answers like a closed thread.
pub(crate) fn thread_error<M>(error: SendError<M, Error>) -> Error {
    match error {
        SendError::HandlerError(error) => error,
        _ => CLOSED_THREAD,
    }
}

/// A handle on a live thread. Cheap to clone; the thread stays live when the last one is dropped.
///
/// Batches are logged in the order in which they reach the thread, and acknowledged in that order:
/// each once it has reached the durability that was asked for, and those before it were answered.
/// A batch is not undone when its caller goes away.
#[derive(Debug, Clone)]
pub struct LiveThread {
    thread: Arc<ThreadRef>,
    /// Keeps the home open: its last handle closes it.
    _core: Arc<Core>,
}

impl LiveThread {
    pub(crate) fn new(thread: Arc<ThreadRef>, core: Arc<Core>) -> Self {
        Self {
            thread,
            _core: core,
        }
    }

    pub(crate) fn thread(&self) -> &ThreadRef {
        &self.thread
    }

    /// The thread's id.
    #[must_use]
    pub fn thread_id(&self) -> ThreadId {
        self.thread.shared.thread_id
    }

    /// Whether the thread has no log.
    #[must_use]
    pub fn is_ephemeral(&self) -> bool {
        self.thread.shared.ephemeral
    }

    /// Appends one batch, which is read whole or not at all, and waits until it is written. Behind a
    /// batch that waits for its sync, the end of a turn say, it is written at once and answered after
    /// that one.
    ///
    /// # Errors
    /// As [`LiveThread::append_with`].
    pub async fn append(&self, items: Vec<Item>) -> Result<Ack> {
        self.append_with(items, AppendOptions::default()).await
    }

    /// Appends one batch, which is read whole or not at all. The answer tells what was reached by
    /// then, which may be more than was asked for. Should the sync fail that a batch before this one
    /// waits for, this one is written all the same, and acknowledged as that.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another ordinal was expected or another process writes the
    /// thread; [`Error::Io`] and [`Error::OutOfSpace`] when the batch could not be written or
    /// synced, after which the next append first mends the log; [`Error::InvalidRequest`] for an
    /// empty batch or an item that is too large; [`Error::Closed`] after a shutdown.
    ///
    /// To a log of JSON lines another tool may append at the same moment. A batch that expected an
    /// ordinal is answered with [`Error::Conflict`] then although it is in the log, behind the
    /// other tool's lines: the ordinal that the error tells is that of its first record.
    pub async fn append_with(&self, items: Vec<Item>, options: AppendOptions) -> Result<Ack> {
        check_batch(&items)?;
        let append = Append { items, options };
        self.thread.actor.ask(append).await.map_err(thread_error)
    }

    /// Brings a new thread to the disk, with its meta as its first record, and syncs it. Of a
    /// thread that is there, what is unsynced is synced.
    ///
    /// # Errors
    /// As [`LiveThread::append_with`]; [`InvalidRequest::Ephemeral`](selvedge_engine::InvalidRequest::Ephemeral) for a thread without a log.
    pub async fn persist(&self) -> Result<()> {
        self.thread.actor.ask(Persist).await.map_err(thread_error)
    }

    /// Syncs everything acknowledged so far.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::OutOfSpace`] when that failed, [`Error::Closed`] after a
    /// shutdown.
    pub async fn flush(&self) -> Result<Flushed> {
        self.thread.flush().await
    }

    /// Where the thread stands.
    ///
    /// # Errors
    /// [`Error::Closed`] after a shutdown.
    pub async fn snapshot(&self) -> Result<ThreadSnapshot> {
        self.thread.snapshot().await
    }

    /// Syncs everything acknowledged, closes the log and ends the thread's actor; a new thread of
    /// which nothing is on disk leaves nothing there. The thread can be resumed at once.
    ///
    /// # Errors
    /// What kept the log from being synced: the thread stays live then. [`Error::Closed`] when it
    /// was shut down before.
    pub async fn shutdown(&self) -> Result<()> {
        self.thread.shutdown(Shutdown::Gentle).await
    }

    /// Ends a new thread of which nothing is on disk, and leaves nothing there.
    ///
    /// # Errors
    /// [`InvalidRequest::ThreadExists`](selvedge_engine::InvalidRequest::ThreadExists) when something is on disk already: the thread stays live
    /// then. [`Error::Closed`] after a shutdown.
    pub async fn discard(&self) -> Result<()> {
        self.thread.actor.ask(Discard).await.map_err(thread_error)
    }
}

impl ThreadRef {
    /// Where the thread stands. Whoever was answered before finds that the thread's feed says so.
    pub(crate) async fn snapshot(&self) -> Result<ThreadSnapshot> {
        self.actor.ask(Snapshot).await.map_err(thread_error)
    }

    /// Syncs everything acknowledged so far.
    pub(crate) async fn flush(&self) -> Result<Flushed> {
        self.actor.ask(Flush).await.map_err(thread_error)
    }

    /// Ends the thread's actor.
    pub(crate) async fn shutdown(&self, how: Shutdown) -> Result<()> {
        self.actor.ask(how).await.map_err(thread_error)
    }
}
