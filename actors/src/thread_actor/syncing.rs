//! Syncs: one in flight at a time, off the runtime, while writes go on.

use selvedge_codec::ByteLength;
use selvedge_engine::Result;
use selvedge_engine::log::{LogState, SyncDone, ThreadLog};

use super::ThreadActor;
use super::log_slot::LogSlot;
use crate::live_thread::CLOSED_THREAD;

impl ThreadActor {
    /// Starts a sync of everything written so far, unless one is in flight.
    pub(super) async fn start_sync(&mut self) {
        if self.syncing.is_some() {
            return;
        }
        let begun = match self.ready_to_sync().await {
            Ok(()) => self.here(|log| Ok(log.begin_sync())),
            Err(error) => Err(error),
        };
        match begun {
            Ok(Some(job)) => {
                let running = self.env.pool.submit(move || job.run()).await;
                self.syncing = Some(Box::new(running));
            }
            Ok(None) => {
                let durable = self.log.here().map(ThreadLog::durable_next_ordinal);
                self.waiters.synced(durable.unwrap_or_default());
                // A log that failed syncs nothing until it is mended.
                self.waiters.fail(&CLOSED_THREAD);
            }
            Err(error) => {
                tracing::debug!(thread_id = %self.shared.thread_id, %error, "no sync can be begun");
                self.waiters.fail(&error);
            }
        }
    }

    /// Sees to it that the log need not open its file to begin a sync: one that was opened and not
    /// written to since has none, and what it holds may never have been synced.
    async fn ready_to_sync(&mut self) -> Result<()> {
        let opens = |log: &ThreadLog| is_unproven(log) && !log.has_handle();
        if self.log.here().is_some_and(opens) {
            self.ready_to_write().await?;
            self.off_runtime(ThreadLog::open_handle).await?;
        }
        Ok(())
    }

    /// Takes note of a sync that has ended, and tells who waited for it.
    pub(super) fn finish_sync(&mut self, done: Result<SyncDone>) {
        self.syncing = None;
        let outcome = match done {
            Ok(done) => self.here(|log| log.finish_sync(done)),
            Err(panicked) => {
                // What the sync had of the log went with it, and nobody knows how far it came.
                self.shared.set_ending();
                self.log = LogSlot::Lost(LogState::Failed);
                Err(panicked)
            }
        };
        match outcome {
            Ok(durable) => self.waiters.synced(durable),
            Err(error) => {
                tracing::warn!(thread_id = %self.shared.thread_id, %error, "a sync failed");
                self.waiters.fail(&error);
            }
        }
    }

    /// Waits for the sync that is in flight, if one is.
    pub(super) async fn await_sync(&mut self) {
        if let Some(syncing) = &mut self.syncing {
            let done = syncing.await;
            self.finish_sync(done);
        }
    }

    /// Syncs everything that was acknowledged here and waits for it. A failed log is mended first.
    pub(super) async fn sync_all(&mut self) -> Result<()> {
        self.await_sync().await;
        let Some(log) = self.log.here() else {
            return Err(self.no_log());
        };
        match log.state() {
            LogState::Deferred => return Ok(()),
            LogState::Live if !is_dirty(log) => {}
            LogState::Live | LogState::Failed | LogState::Closed => {
                self.ready_to_write().await?;
                let outcome = self.off_runtime(ThreadLog::sync).await;
                if let Err(error) = outcome {
                    self.waiters.fail(&error);
                    return Err(error);
                }
            }
        }
        let durable = self.log.here().map(ThreadLog::durable_next_ordinal);
        self.waiters.synced(durable.unwrap_or_default());
        Ok(())
    }

    /// Once a sync interval while something is unsynced or a file is open: syncs what is
    /// unsynced, and gives the file back when nothing was written since the last time. What an earlier
    /// writer has left is synced once: where that fails, a later append or flush says so.
    pub(super) async fn on_tick(&mut self) {
        self.tick = None;
        let wrote = std::mem::take(&mut self.wrote_since_tick);
        let Some(log) = self.log.here() else { return };
        if log.state() == LogState::Failed {
            return self.mend().await;
        }
        let dirty = is_dirty(log);
        if dirty || is_unproven(log) {
            self.start_sync().await;
        }
        if dirty || wrote || self.syncing.is_some() {
            self.arm_tick();
        } else {
            self.release().await;
        }
    }

    /// Tries to mend a failed log, so that what was acknowledged does not stay in memory alone for
    /// longer than the medium is to blame for. Each attempt waits twice as long as the one before.
    async fn mend(&mut self) {
        self.await_sync().await;
        let mended = match self.ready_to_write().await {
            Ok(()) => self.off_runtime(ThreadLog::recover).await,
            Err(error) => Err(error),
        };
        self.tick = None;
        match mended {
            Ok(()) => self.note_growth(),
            Err(error) => {
                tracing::warn!(thread_id = %self.shared.thread_id, %error, "a log can't be mended");
                self.failed_mends = self.failed_mends.saturating_add(1);
                self.arm_tick();
                self.give_up_permit();
            }
        }
    }

    /// Gives the file back because others wait for one.
    pub(super) async fn give_back(&mut self) {
        if let Err(error) = self.sync_all().await {
            tracing::warn!(thread_id = %self.shared.thread_id, %error, "a sync failed");
        }
        self.release().await;
        if self.permit.is_some() {
            self.env.permits.pass_on();
        }
    }

    /// Closes the file and lets go of what an idle thread does not need.
    async fn release(&mut self) {
        if self.log.here().is_some_and(ThreadLog::has_handle)
            && let Err(error) = self.off_runtime(ThreadLog::release_handle).await
        {
            tracing::warn!(thread_id = %self.shared.thread_id, %error, "a log can't be closed");
        }
        self.tick = None;
        self.waiters.shrink_to_fit();
        self.give_up_permit();
        let failed = |log: &ThreadLog| log.state() == LogState::Failed;
        if self.permit.is_some() || self.log.here().is_some_and(failed) {
            // To be mended. Whoever holds a permit is not idle, and hears who wants it.
            self.arm_tick();
        }
    }

    /// Gives the permit back if the log has no file open. One that can't be mended has none, so
    /// that it keeps no other from its own.
    fn give_up_permit(&mut self) {
        if !self.log.here().is_some_and(ThreadLog::has_handle) {
            self.permit = None;
        }
    }
}

/// Whether a log holds something that was never synced here: that may be an earlier writer's.
pub(super) fn is_unproven(log: &ThreadLog) -> bool {
    log.state() == LogState::Live && log.durable_next_ordinal() < log.next_ordinal()
}

/// Whether something that was acknowledged here is not synced yet.
fn is_dirty(log: &ThreadLog) -> bool {
    log.unsynced_bytes() > ByteLength::ZERO
}
