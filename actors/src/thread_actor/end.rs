//! The end of an actor, however it came: nothing of the log is in use when this is over.

use std::sync::Arc;

use kameo::error::{ActorStopReason, PanicError};

use super::ThreadActor;
use super::log_slot::LogSlot;
use crate::live_thread::CLOSED_THREAD;

/// Waits until no job has the log of an actor that has ended, and lets go of it. An actor that was
/// merely left by all its handles closes its log as a shutdown does.
pub(crate) async fn end_of(outcome: Result<(ThreadActor, ActorStopReason), PanicError>) {
    // An actor that did not start never had more than its arguments.
    let Ok((mut actor, reason)) = outcome else {
        return;
    };
    let feed = Arc::clone(&actor.shared.feed);
    actor.shared.set_ending();
    actor.log.come_back().await;
    if matches!(reason, ActorStopReason::Normal)
        && let Err(error) = actor.close_log().await
    {
        tracing::error!(
            thread_id = %actor.shared.thread_id,
            %error,
            "a thread ended with records that could not be synced"
        );
    }
    actor.fail_everybody(&CLOSED_THREAD);
    actor.await_sync().await;
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
}
