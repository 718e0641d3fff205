//! What the lanes of a worker share, and how they tell what they try and what comes of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use selvedge::{ConflictReason, Error, InvalidRequest, LiveThread, Result, Selvedge, ThreadId};

use super::said::{Doing, Line, Mouth, Order, Refusal, short};

/// What the lanes of a worker share.
pub(super) struct Shared {
    pub(super) selvedge: Selvedge,
    pub(super) mouth: Arc<Mouth>,
    pub(super) stop: Arc<AtomicBool>,
    /// Numbers the operations of all lanes.
    pub(super) operations: AtomicU64,
    /// Live threads that any lane may append to. Locked for a look or a change alone.
    pub(super) live: Mutex<HashMap<ThreadId, LiveThread>>,
    /// Threads that other workers have, or had.
    pub(super) others: Vec<ThreadId>,
    pub(super) order: Order,
}

impl Shared {
    pub(super) fn is_to_stop(&self) -> bool {
        let done = self.operations.load(Ordering::SeqCst);
        self.stop.load(Ordering::SeqCst) || self.order.max_operations.is_some_and(|max| done >= max)
    }

    pub(super) fn wrong(&self, what: String) {
        self.mouth.say(&Line::Wrong { what: short(what) });
    }

    pub(super) fn count(&self) -> u64 {
        self.operations.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) async fn pause(&self) {
        match self.order.pause_micros {
            0 => tokio::task::yield_now().await,
            micros => tokio::time::sleep(Duration::from_micros(micros)).await,
        }
    }

    /// Says that an operation begins; gives its number and its mark.
    pub(super) fn trying(&self, doing: Doing) -> (u64, String) {
        let op = self.count();
        self.mouth.say(&Line::Trying { op, doing });
        (op, format!("{}.{op}", self.order.tag))
    }

    /// Says what came of an operation. `may_be` tells whether a refusal is to be expected.
    pub(super) fn answered<T>(
        &self,
        op: u64,
        answer: Result<T>,
        (ordinals, may_be): (impl Fn(&T) -> Option<(u64, u64)>, &dyn Fn(Refusal) -> bool),
    ) -> Option<T> {
        match answer {
            Ok(done) => {
                let ordinals = ordinals(&done);
                self.mouth.say(&Line::Done { op, ordinals });
                Some(done)
            }
            Err(error) => {
                let refusal = refusal_of(&error);
                self.mouth.say(&Line::Refused {
                    op,
                    refusal,
                    fine: may_be(refusal) || self.is_among_others(refusal),
                    why: short(error),
                });
                None
            }
        }
    }

    /// Whether another process may be why.
    pub(super) fn is_among_others(&self, refusal: Refusal) -> bool {
        self.order.share.1 > 1 && refusal == Refusal::Writer
    }
}

pub(super) fn refusal_of(error: &Error) -> Refusal {
    match error {
        Error::Conflict {
            reason: ConflictReason::NextOrdinal { .. },
            ..
        } => Refusal::NextOrdinal,
        Error::Conflict {
            reason: ConflictReason::Writer { .. },
            ..
        } => Refusal::Writer,
        Error::Closed { .. } => Refusal::Closed,
        Error::ThreadNotFound { .. } => Refusal::NotFound,
        Error::InvalidRequest(
            InvalidRequest::RollbackTurns { .. } | InvalidRequest::OrdinalPastEnd { .. },
        ) => Refusal::Invalid,
        _ => Refusal::Other,
    }
}
