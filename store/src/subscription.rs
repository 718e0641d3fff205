//! A subscription: history, then what follows, without a gap and without a repeat.

use std::fmt;

use async_trait::async_trait;
use selvedge_codec::{Ordinal, Record};
use selvedge_engine::Result;
use selvedge_engine::log::Damage;

/// What a subscriber is told, in the order of the ordinals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThreadEvent {
    /// The next record.
    Record(Record),
    /// Records that could not be read. What follows them comes next.
    Damage(Damage),
    /// The subscriber was too slow, and the store kept no more for it: everything from `next` on
    /// was left out. It is the last event; whoever wants the rest subscribes again from there, unless
    /// the thread is ephemeral: its records are gone.
    CutOff {
        /// The ordinal to subscribe from again.
        next: Ordinal,
    },
}

/// Where a subscription's events come from: what a store implements.
#[async_trait]
pub trait EventSource: Send + fmt::Debug {
    /// Waits for the next event; `None` once nothing follows any more. A dropped call loses
    /// nothing: the next one gives what it would have given.
    ///
    /// # Errors
    /// What kept the store from reading, after which nothing follows.
    async fn next(&mut self) -> Result<Option<ThreadEvent>>;
}

/// A subscription to a thread, from one of its ordinals on.
#[derive(Debug)]
pub struct Subscription {
    source: Box<dyn EventSource>,
}

impl Subscription {
    /// A subscription that is fed by `source`.
    #[must_use]
    pub fn new(source: impl EventSource + 'static) -> Self {
        Self {
            source: Box::new(source),
        }
    }

    /// Waits for the next event; `None` once nothing follows any more: the thread was deleted, or
    /// the store was shut down. Cancel-safe.
    ///
    /// # Errors
    /// What kept the store from reading, after which nothing follows.
    pub async fn next(&mut self) -> Result<Option<ThreadEvent>> {
        self.source.next().await
    }
}
