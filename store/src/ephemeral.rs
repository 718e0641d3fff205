//! A thread without records: they pass, and only their number stays.

use async_trait::async_trait;
use selvedge_codec::{Item, Ordinal, Record, ThreadId, UtcMicros};
use selvedge_engine::log::Numbering;
use selvedge_engine::{InvalidRequest, Result};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::thread_records::check_expected;
use crate::{Ack, AppendOptions, Durability, EventSource, Subscription, ThreadEvent, check_batch};

/// How many records wait for a subscriber: it is cut off beyond.
const MAX_WAITING: usize = 1024;

/// An ephemeral thread: for a store that keeps none of its records, and passes them on to those
/// who are subscribed to it. Their subscriptions end when it is dropped.
#[derive(Debug)]
pub struct EphemeralThread {
    thread_id: ThreadId,
    numbering: Numbering,
    /// Made for the first subscriber: its room is taken at once.
    feed: Option<broadcast::Sender<Record>>,
}

impl EphemeralThread {
    /// A new one.
    #[must_use]
    pub const fn new(thread_id: ThreadId) -> Self {
        Self {
            thread_id,
            // As in a log, the thread's meta has ordinal 0.
            numbering: Numbering::starting_at(Ordinal::new(1)),
            feed: None,
        }
    }

    /// The ordinal that the next record gets.
    #[must_use]
    pub const fn next_ordinal(&self) -> Ordinal {
        self.numbering.next_ordinal()
    }

    /// Passes a batch on. Items without a time get `now`.
    ///
    /// # Errors
    /// As [`check_batch`]; [`selvedge_engine::Error::Conflict`] when another ordinal was expected.
    pub fn append(
        &mut self,
        items: Vec<Item>,
        options: AppendOptions,
        now: UtcMicros,
    ) -> Result<Ack> {
        let first_ordinal = self.next_ordinal();
        check_batch(&items)?;
        check_expected(self.thread_id, options, first_ordinal)?;
        for record in self.numbering.batch(items, now) {
            if let Some(feed) = &self.feed
                && feed.send(record).is_err()
            {
                // Nobody listens any more: nothing is lost that anybody wants.
                self.feed = None;
            }
        }
        Ok(Ack {
            thread_id: self.thread_id,
            first_ordinal,
            last_ordinal: Ordinal::new(self.next_ordinal().get().saturating_sub(1)),
            durability: Durability::Buffered,
        })
    }

    /// Subscribes to what follows.
    ///
    /// # Errors
    /// [`InvalidRequest::OrdinalPastEnd`] when `from` is beyond the next ordinal, and
    /// [`InvalidRequest::Ephemeral`] when it is before it.
    pub fn follow(&mut self, from: Ordinal) -> Result<Subscription> {
        let next = self.next_ordinal();
        if from > next {
            return Err(InvalidRequest::OrdinalPastEnd { asked: from, next }.into());
        }
        if from < next {
            return Err(InvalidRequest::Ephemeral(self.thread_id).into());
        }
        let feed = self
            .feed
            .get_or_insert_with(|| broadcast::Sender::new(MAX_WAITING));
        Ok(Subscription::new(Listening {
            next,
            feed: Some(feed.subscribe()),
        }))
    }
}

/// A subscriber that hears what passes.
#[derive(Debug)]
struct Listening {
    next: Ordinal,
    /// `None` after the last event.
    feed: Option<broadcast::Receiver<Record>>,
}

#[async_trait]
impl EventSource for Listening {
    async fn next(&mut self) -> Result<Option<ThreadEvent>> {
        let Some(feed) = &mut self.feed else {
            return Ok(None);
        };
        match feed.recv().await {
            Ok(record) => {
                self.next = record.ordinal.next();
                Ok(Some(ThreadEvent::Record(record)))
            }
            Err(RecvError::Closed) => {
                self.feed = None;
                Ok(None)
            }
            Err(RecvError::Lagged(_)) => {
                self.feed = None;
                Ok(Some(ThreadEvent::CutOff { next: self.next }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The room for what waits stayed taken for as long as the thread lived.
    #[tokio::test]
    async fn a_thread_that_nobody_listens_to_any_more_keeps_no_room() {
        let mut thread = EphemeralThread::new(ThreadId::generate());
        let item = Item::json("event_msg", "{}").unwrap();
        let append = |thread: &mut EphemeralThread| {
            let options = AppendOptions::default();
            thread
                .append(vec![item.clone()], options, UtcMicros::EPOCH)
                .unwrap()
        };
        let mut subscription = thread.follow(Ordinal::new(1)).unwrap();
        append(&mut thread);
        let event = subscription.next().await.unwrap();
        assert!(matches!(event, Some(ThreadEvent::Record(record)) if record.ordinal.get() == 1));
        drop(subscription);
        append(&mut thread);
        assert!(thread.feed.is_none());
        let mut subscription = thread.follow(Ordinal::new(3)).unwrap();
        append(&mut thread);
        let event = subscription.next().await.unwrap();
        assert!(matches!(event, Some(ThreadEvent::Record(record)) if record.ordinal.get() == 3));
    }
}
