//! Where an actor's log is.

use selvedge_engine::log::{LogState, ThreadLog};
use selvedge_engine::{Error, Result};
use tokio::sync::oneshot;

use super::ThreadActor;
use super::ephemeral::Ephemeral;
use crate::live_thread::CLOSED_THREAD;

/// Where an actor's log is. While a job has it, the way it comes back is kept here rather than in
/// the future that waits: when the actor is killed, its end still waits for the job.
#[derive(Debug)]
pub(super) enum LogSlot {
    /// There is none and never will be. Boxed: there are more threads that have one.
    Ephemeral(Box<Ephemeral>),
    /// With the actor. Boxed: it moves into jobs and back.
    Here(Box<ThreadLog>),
    /// In a job, which gives it back, or loses it by a panic. With the state in which it went.
    Away(oneshot::Receiver<Box<ThreadLog>>, LogState),
    /// A panic lost it, when it was in this state.
    Lost(LogState),
    /// It was closed.
    Closed,
}

impl LogSlot {
    pub(super) fn new(log: Option<Box<ThreadLog>>) -> Self {
        match log {
            Some(log) => Self::Here(log),
            None => Self::Ephemeral(Box::default()),
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// Whether the actor has nothing more to do.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Closed)
    }

    pub(super) fn here(&self) -> Option<&ThreadLog> {
        match self {
            Self::Here(log) => Some(log),
            _ => None,
        }
    }

    /// Takes the log out, to lose it should what is done with it panic.
    pub(super) fn take(&mut self) -> Option<Box<ThreadLog>> {
        match std::mem::replace(self, Self::Closed) {
            Self::Here(log) => {
                *self = Self::Lost(log.state());
                Some(log)
            }
            other => {
                *self = other;
                None
            }
        }
    }

    /// Waits until no job has the log.
    pub(super) async fn come_back(&mut self) {
        if let Self::Away(back, state) = self {
            *self = match back.await {
                Ok(log) => Self::Here(log),
                Err(_panicked) => Self::Lost(*state),
            };
        }
    }
}

impl ThreadActor {
    /// Moves the log into a job on the I/O pool, and waits until it is back.
    pub(super) async fn off_runtime<T, F>(&mut self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut ThreadLog) -> Result<T> + Send + 'static,
    {
        let Some(mut log) = self.log.take() else {
            return Err(CLOSED_THREAD);
        };
        let (give_back, back) = oneshot::channel();
        self.log = LogSlot::Away(back, log.state());
        let job = self.env.pool.submit(move || {
            let result = work(&mut log);
            // An actor that is gone wants nothing back: the log is dropped here.
            drop(give_back.send(log));
            result
        });
        let result = job.await.await;
        self.log.come_back().await;
        if self.log.is_lost() {
            self.shared.set_ending();
        }
        result.and_then(|result| result)
    }

    /// Does something with the log that does not wait for the medium. Should it panic, the log is
    /// lost, and `ending` is set before the caller's locals are dropped, waiters among them.
    pub(super) fn here<T>(&mut self, work: impl FnOnce(&mut ThreadLog) -> Result<T>) -> Result<T> {
        let Some(mut log) = self.log.take() else {
            return Err(CLOSED_THREAD);
        };
        let ending = EndingOnPanic(&self.shared);
        let result = work(&mut log);
        drop(ending);
        self.log = LogSlot::Here(log);
        result
    }

    /// The error of whoever needs a log and finds the thread without one.
    pub(super) fn no_log(&self) -> Error {
        match self.log {
            LogSlot::Ephemeral(_) => {
                selvedge_engine::InvalidRequest::Ephemeral(self.shared.thread_id).into()
            }
            _ => CLOSED_THREAD,
        }
    }
}

struct EndingOnPanic<'a>(&'a crate::live_thread::ThreadShared);

impl Drop for EndingOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set_ending();
        }
    }
}
