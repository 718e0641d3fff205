//! The end of an actor, however it came: nothing of the log is in use when this is over, and what
//! it holds is synced.

use std::sync::Arc;

use kameo::error::{ActorStopReason, PanicError};
use selvedge_codec::ThreadId;
use selvedge_engine::log::{LogState, ThreadLog};
use selvedge_engine::{Error, Result};

use super::log_slot::LogSlot;
use super::{ThreadActor, ThreadEnv};
use crate::live_thread::CLOSED_THREAD;

/// Waits until no job has the log of an actor that has ended, and lets go of it. An actor that was
/// merely left by all its handles, or that a panic has ended, closes its log as a shutdown does:
/// nobody may come to resume the thread before the store is shut down.
///
/// # Errors
/// What kept something that was acknowledged from being synced.
pub(crate) async fn end_of(
    outcome: std::result::Result<(ThreadActor, ActorStopReason), PanicError>,
) -> Result<()> {
    // An actor that did not start never had more than its arguments.
    let Ok((mut actor, _)) = outcome else {
        return Ok(());
    };
    let feed = Arc::clone(&actor.shared.feed);
    actor.shared.set_ending();
    actor.log.come_back().await;
    let mut synced = Ok(());
    if actor.log.here().is_some() {
        synced = actor.close_log().await;
    }
    actor.fail_everybody(&CLOSED_THREAD);
    let had_sync = actor.syncing.is_some();
    actor.await_sync().await;
    if let LogSlot::Lost(was) = actor.log {
        synced = actor.sync_lost(was, had_sync).await;
    }
    if let Err(error) = &synced {
        tracing::error!(
            thread_id = %actor.shared.thread_id,
            %error,
            "a thread ended with records that could not be synced"
        );
    }
    if let LogSlot::Here(log) = std::mem::replace(&mut actor.log, LogSlot::Closed) {
        // Closing the file may wait for the medium. The log's lock is free after this.
        let dropped = actor.env.pool.run(move || drop(log)).await;
        if let Err(error) = dropped {
            tracing::error!(thread_id = %actor.shared.thread_id, %error, "a log was lost");
        }
    }
    // Everybody was answered, and what the log holds is what the next writer finds.
    feed.acknowledged(None);
    feed.ended();
    synced
}

impl ThreadActor {
    /// Syncs a log that a panic has lost in this state, maybe while a sync was in flight, of whose
    /// end nobody has taken note.
    async fn sync_lost(&self, mut was: LogState, had_sync: bool) -> Result<()> {
        if was == LogState::Deferred {
            // Nothing of it was acknowledged.
            return Ok(());
        }
        if had_sync {
            was = LogState::Failed;
        }
        let thread_id = self.shared.thread_id;
        sync_lost(&self.env, thread_id, was).await?;
        if self.is_indexed().await {
            let marks = Arc::clone(&self.env.store.log_context().marks);
            self.env.pool.run(move || marks.unmark(thread_id)).await?;
        }
        Ok(())
    }
}

/// Opens the log of a thread whose actor has ended without closing it, and closes it. Its mark
/// stays.
///
/// # Errors
/// What kept it from being synced.
pub(crate) async fn sync_lost(env: &ThreadEnv, thread_id: ThreadId, was: LogState) -> Result<()> {
    env.read_of(move |store| {
        let found = match store.find(thread_id) {
            Err(Error::ThreadNotFound { .. }) => return Ok(()),
            found => found?,
        };
        let context = store.log_context();
        let (mut log, _) = ThreadLog::open(context.clone(), thread_id, &found.path)?;
        // The mark of the log that was lost: this one has its own.
        context.marks.unmark(thread_id);
        if was != LogState::Live {
            log.distrust();
        }
        log.close_keeping_mark()
    })
    .await
}
