//! Changes of whole threads: metadata, archive, delete, fork and rollback, of live and cold
//! threads alike.

use std::pin::pin;
use std::sync::Arc;

use selvedge_codec::view::MetadataPatch;
use selvedge_codec::{Ordinal, ThreadId};
use selvedge_engine::log::NewThread;
use selvedge_engine::store::ForkSource;
use selvedge_engine::thread::ThreadSummary;
use selvedge_engine::{Error, InvalidRequest, Result};
use selvedge_store::{ForkThread, ResumeThread, RolledBackThread};

use crate::feed::Feed;
use crate::live_thread::{LiveThread, ThreadRef, ThreadState};
use crate::registry::{
    Delete, Fork, Forked, Move, MoveTo, ResumeWith, RollBack, UpdateMetadata, registry_error,
};
use crate::selvedge::Selvedge;

impl Selvedge {
    /// Makes a thread live, if it is not that already, records what has changed about it, and
    /// gives what is known of it then. When the change can't be recorded, a thread that was not
    /// live is not live afterwards.
    ///
    /// # Errors
    /// As [`Selvedge::resume_thread`] and [`Selvedge::update_metadata`].
    pub async fn resume_with(&self, resume: ResumeThread) -> Result<(LiveThread, ThreadSummary)> {
        self.core.check_open()?;
        let resumed = self.core.registry.ask(ResumeWith(resume)).await;
        let (thread, summary) = resumed.map_err(registry_error)?;
        let live = LiveThread::new(thread, Arc::clone(&self.core));
        Ok((live, summary))
    }

    /// Starts a thread that begins with another one's history, and makes it live. Of a live
    /// thread's history that is what it has acknowledged, all of it, which is synced first. The fork
    /// itself is there for this process's death at once, and synced within the sync interval, like an
    /// append.
    ///
    /// # Errors
    /// [`Error::ThreadNotFound`], also for a new thread of which nothing is on disk yet;
    /// [`InvalidRequest::NoSuchTurn`] and [`InvalidRequest::OrdinalPastEnd`] for a point that the
    /// source has not; [`InvalidRequest::ThreadExists`] when there is a thread of the chosen id;
    /// [`InvalidRequest::Ephemeral`] when one of the two has no log; [`Error::Io`] and
    /// [`Error::OutOfSpace`], also when a live source can't be synced; [`Error::Closed`] after a
    /// shutdown.
    pub async fn fork_thread(&self, fork: ForkThread) -> Result<LiveThread> {
        let forked = self.fork(fork, false).await?;
        Ok(LiveThread::new(forked.thread, Arc::clone(&self.core)))
    }

    /// Starts a detached review of a thread: a fork of all of its stored history, whose own
    /// metadata say that it is a review.
    ///
    /// # Errors
    /// As [`Selvedge::fork_thread`].
    pub async fn review_thread(&self, thread_id: ThreadId) -> Result<LiveThread> {
        self.fork_thread(ForkThread::review(thread_id)).await
    }

    pub(crate) async fn fork(&self, fork: ForkThread, with_summary: bool) -> Result<Forked> {
        self.core.check_open()?;
        let may_exist = fork.start.thread_id.is_some();
        let thread_id = fork.start.thread_id.unwrap_or_else(ThreadId::generate);
        if fork.start.ephemeral {
            return Err(InvalidRequest::Ephemeral(thread_id).into());
        }
        let source = self.fork_source(fork.source).await?;
        let parent = self.read_thread(fork.source).await?;
        let originator = match fork.start.originator.as_str() {
            "" => {
                let parent = fork.source;
                self.read_of(move |store| store.originator(parent)).await?
            }
            said => said.to_owned(),
        };
        let point = fork.point.clone();
        let created_at = self.core.clock.now();
        let start = fork.resolve(&parent, originator);
        let meta = start.session_meta(thread_id, created_at)?;
        let asked = Fork {
            source,
            point,
            new: NewThread {
                thread_id,
                created_at,
                meta,
            },
            may_exist,
            with_summary,
        };
        self.core.registry.ask(asked).await.map_err(registry_error)
    }

    /// Of what a fork of a thread is made: of what is acknowledged of a live one, which its actor
    /// makes durable first; of all that its log holds otherwise, as far as is known here.
    async fn fork_source(&self, thread_id: ThreadId) -> Result<ForkSource> {
        loop {
            let feed = self.core.feeds.of(thread_id);
            let mut woken = pin!(feed.woken());
            woken.as_mut().enable();
            let Some(thread) = self.thread_ref(thread_id).await else {
                break;
            };
            match durable_of(&thread, &feed).await {
                Ok(upto) => {
                    return Ok(ForkSource {
                        thread_id,
                        upto: Some(upto),
                        is_durable: true,
                    });
                }
                Err(Error::Closed { .. }) => self.core.check_open()?,
                Err(error) => return Err(error),
            }
            // Its actor ends, and the feed tells what that had acknowledged once it has.
            if !feed.is_live() {
                break;
            }
            woken.await;
        }
        let upto = self.core.feeds.of(thread_id).acknowledged_upto();
        Ok(ForkSource {
            thread_id,
            upto: (upto < Ordinal::new(u64::MAX)).then_some(upto),
            is_durable: false,
        })
    }

    /// Changes what is known of a thread, live or not, and gives what is known of it then. The
    /// change is in the thread's log, synced, and so are the names beside JSON-lines logs.
    ///
    /// # Errors
    /// [`Error::ThreadNotFound`]; [`InvalidRequest::Metadata`] for a value that can't be kept;
    /// [`InvalidRequest::Ephemeral`]; [`Error::Conflict`] while another process writes the
    /// thread; [`Error::Corrupt`] when the thread's own meta can't be read or is another
    /// thread's; [`Error::Io`] and [`Error::OutOfSpace`]; [`Error::Closed`] after a shutdown.
    pub async fn update_metadata(
        &self,
        thread_id: ThreadId,
        patch: MetadataPatch,
    ) -> Result<ThreadSummary> {
        self.core.check_open()?;
        let updated = self.core.registry.ask(UpdateMetadata { thread_id, patch });
        updated.await.map_err(registry_error)
    }

    /// Puts a thread among the archived ones, and gives what is known of it then. A live thread is
    /// shut down first; whoever resumes it meanwhile waits for the move. An archived one stays as
    /// it is.
    ///
    /// # Errors
    /// [`Error::ThreadNotFound`], also for a new thread of which nothing is on disk yet;
    /// [`InvalidRequest::Ephemeral`]; [`Error::Conflict`] while another process writes the
    /// thread; [`Error::Io`]; what kept a live thread from being shut down; [`Error::Closed`]
    /// after a shutdown.
    pub async fn archive_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        self.move_thread(thread_id, MoveTo::Archived).await
    }

    /// Takes a thread back from the archived ones. One that is not archived stays as it is.
    ///
    /// # Errors
    /// As [`Selvedge::archive_thread`].
    pub async fn unarchive_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        self.move_thread(thread_id, MoveTo::Sessions).await
    }

    async fn move_thread(&self, thread_id: ThreadId, to: MoveTo) -> Result<ThreadSummary> {
        self.core.check_open()?;
        let moved = self.core.registry.ask(Move { thread_id, to });
        moved.await.map_err(registry_error)
    }

    /// Deletes a thread, for good: its logs, its rows and its names. A live thread is shut down
    /// first; whoever resumes it meanwhile does not find it. Forks of it keep the history that
    /// they begin with. A thread that is not there (any more) is no error.
    ///
    /// # Errors
    /// [`Error::Conflict`] while another process writes the thread; [`Error::Io`]; what kept a
    /// live thread from being shut down; [`Error::Closed`] after a shutdown.
    pub async fn delete_thread(&self, thread_id: ThreadId) -> Result<()> {
        self.core.check_open()?;
        let deleted = self.core.registry.ask(Delete { thread_id });
        deleted.await.map_err(registry_error)
    }

    /// Drops the last turns of a thread, live or not: they stay in its history, and no longer
    /// count. The answer is read back from the store.
    ///
    /// # Errors
    /// [`Error::ThreadNotFound`]; [`InvalidRequest::RollbackTurns`] for 0 turns or more than still
    /// count; [`InvalidRequest::Ephemeral`]; [`Error::Conflict`] while another process writes the
    /// thread; [`Error::Io`] and [`Error::OutOfSpace`]; [`Error::Closed`] after a shutdown.
    pub async fn roll_back(&self, thread_id: ThreadId, turns: u32) -> Result<RolledBackThread> {
        self.core.check_open()?;
        let rolled_back = self.core.registry.ask(RollBack { thread_id, turns });
        rolled_back.await.map_err(registry_error)
    }
}

/// Below which ordinal the records of a live thread are acknowledged, once they are durable.
async fn durable_of(thread: &ThreadRef, feed: &Feed) -> Result<Ordinal> {
    let snapshot = thread.snapshot().await?;
    let thread_id = thread.shared.thread_id;
    match snapshot.state {
        ThreadState::Ephemeral => return Err(InvalidRequest::Ephemeral(thread_id).into()),
        ThreadState::Deferred => return Err(Error::ThreadNotFound { thread_id }),
        ThreadState::Live | ThreadState::Failed | ThreadState::Closed => {}
    }
    let upto = snapshot.next_ordinal.min(feed.acknowledged_upto());
    if snapshot.durable_next_ordinal < upto {
        thread.flush().await?;
    }
    Ok(upto)
}
