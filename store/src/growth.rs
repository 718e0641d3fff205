//! How far a thread is acknowledged, for those who follow it.

use std::collections::VecDeque;
use std::fmt;

use async_trait::async_trait;
use selvedge_codec::{Ordinal, Record};
use selvedge_engine::{InvalidRequest, Result};
use tokio::sync::watch;

use crate::{EventSource, Subscription, ThreadEvent};

/// How far a thread is acknowledged: for a store whose records can be read again. Subscribers read
/// them as slowly as they like, and are never cut off; their subscriptions end when this is
/// dropped.
#[derive(Debug)]
pub struct Growth(watch::Sender<Ordinal>);

impl Growth {
    /// Of a thread whose records below this ordinal may be told.
    #[must_use]
    pub fn upto(next_ordinal: Ordinal) -> Self {
        Self(watch::Sender::new(next_ordinal))
    }

    /// All records below this ordinal may be told now: the store reads them.
    pub fn reached(&self, next_ordinal: Ordinal) {
        self.0.send_replace(next_ordinal);
    }

    /// Subscribes to a thread whose next ordinal is `next`. `read` gives some of its records, from
    /// an ordinal on and at least one if there are any; `None` when the store is no more.
    ///
    /// # Errors
    /// [`InvalidRequest::OrdinalPastEnd`] when `from` is beyond `next`.
    pub fn follow(
        &self,
        (from, next): (Ordinal, Ordinal),
        read: impl FnMut(Ordinal) -> Result<Option<Vec<Record>>> + Send + 'static,
    ) -> Result<Subscription> {
        if from > next {
            return Err(InvalidRequest::OrdinalPastEnd { asked: from, next }.into());
        }
        Ok(Subscription::new(Following {
            next: from,
            taken: VecDeque::new(),
            grown: self.0.subscribe(),
            read: Some(Box::new(read)),
        }))
    }
}

type Read = Box<dyn FnMut(Ordinal) -> Result<Option<Vec<Record>>> + Send>;

/// A subscriber that reads what is kept.
struct Following {
    next: Ordinal,
    taken: VecDeque<Record>,
    /// Closed with the thread: one that is made anew under its id is another one.
    grown: watch::Receiver<Ordinal>,
    /// `None` after the last event.
    read: Option<Read>,
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl EventSource for Following {
    async fn next(&mut self) -> Result<Option<ThreadEvent>> {
        loop {
            if let Some(record) = self.taken.pop_front() {
                self.next = record.ordinal.next();
                return Ok(Some(ThreadEvent::Record(record)));
            }
            let more = self.take();
            match more {
                Ok(true) if !self.taken.is_empty() || self.grown.changed().await.is_ok() => {}
                _ => self.read = None,
            }
            if !more? || self.read.is_none() {
                return Ok(None);
            }
        }
    }
}

impl Following {
    /// Takes what is acknowledged, and returns whether anything may follow.
    fn take(&mut self) -> Result<bool> {
        let Some(read) = &mut self.read else {
            return Ok(false);
        };
        // What is acknowledged after this look wakes the wait that follows it.
        let acknowledged = *self.grown.borrow_and_update();
        if self.next < acknowledged {
            let Some(records) = read(self.next)? else {
                return Ok(false);
            };
            let known = records.into_iter();
            self.taken
                .extend(known.take_while(|record| record.ordinal < acknowledged));
        }
        // Read before the thread was gone, or of the one that was made anew under its id?
        if self.grown.has_changed().is_err() {
            self.taken.clear();
            return Ok(false);
        }
        Ok(true)
    }
}
