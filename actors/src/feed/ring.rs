//! Rings: what the subscribers of a thread without a log are given.
//!
//! Each subscriber has its own, and a bounded one: who does not keep up is cut off, and told so.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use selvedge_codec::{Ordinal, Record};
use selvedge_engine::Result;
use selvedge_store::{EventSource, ThreadEvent};
use tokio::sync::Notify;

/// The most records that wait for a subscriber.
const MAX_RECORDS: usize = 1024;
/// The most bytes of payload that wait for a subscriber, unless they are one record's.
const MAX_BYTES: usize = 8 << 20;

#[derive(Debug, Default)]
struct Ring {
    /// A blocking mutex: it is held for a push or a pop.
    state: Mutex<RingState>,
    /// One waits: the subscriber.
    changed: Notify,
}

#[derive(Debug, Default)]
struct RingState {
    records: VecDeque<Record>,
    bytes: usize,
    /// Where the subscriber was cut off.
    cut_off: Option<Ordinal>,
    ended: bool,
}

impl Ring {
    fn lock(&self) -> MutexGuard<'_, RingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RingState {
    /// Takes the records, or none from the first on for which there is no room.
    fn push(&mut self, records: &[Record]) {
        for record in records {
            if self.cut_off.is_some() {
                return;
            }
            let bytes = self.bytes.saturating_add(record.body.len());
            let is_full = self.records.len() >= MAX_RECORDS
                || (bytes > MAX_BYTES && !self.records.is_empty());
            if is_full {
                self.cut_off = Some(record.ordinal);
            } else {
                self.bytes = bytes;
                self.records.push_back(record.clone());
            }
        }
    }
}

/// The rings of a thread's subscribers. Their subscriptions end when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Rings {
    rings: Vec<Arc<Ring>>,
}

impl Rings {
    /// A new subscriber, who gets what is pushed from now on.
    pub(crate) fn subscribe(&mut self) -> RingEvents {
        let ring = Arc::new(Ring::default());
        if self.rings.len() == self.rings.capacity() {
            // Those who have gone make room, also while nothing comes.
            self.rings.retain(|ring| Arc::strong_count(ring) > 1);
        }
        self.rings.push(Arc::clone(&ring));
        RingEvents {
            ring,
            is_over: false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rings.is_empty()
    }

    /// Gives every subscriber these records.
    pub(crate) fn push(&mut self, records: &[Record]) {
        self.rings.retain(|ring| {
            // Nobody else has it: its subscriber is gone.
            if Arc::strong_count(ring) == 1 {
                return false;
            }
            let mut state = ring.lock();
            state.push(records);
            let goes_on = state.cut_off.is_none();
            drop(state);
            ring.changed.notify_one();
            goes_on
        });
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        for ring in &self.rings {
            ring.lock().ended = true;
            ring.changed.notify_one();
        }
    }
}

/// A subscriber's end of a ring.
#[derive(Debug)]
pub(crate) struct RingEvents {
    ring: Arc<Ring>,
    is_over: bool,
}

impl RingEvents {
    /// The next event that is there; `Err` when one may follow.
    fn take(&mut self) -> std::result::Result<Option<ThreadEvent>, ()> {
        if self.is_over {
            return Ok(None);
        }
        let mut state = self.ring.lock();
        if let Some(record) = state.records.pop_front() {
            state.bytes = state.bytes.saturating_sub(record.body.len());
            return Ok(Some(ThreadEvent::Record(record)));
        }
        if let Some(next) = state.cut_off {
            self.is_over = true;
            return Ok(Some(ThreadEvent::CutOff { next }));
        }
        if state.ended { Ok(None) } else { Err(()) }
    }
}

#[async_trait]
impl EventSource for RingEvents {
    async fn next(&mut self) -> Result<Option<ThreadEvent>> {
        loop {
            if let Ok(event) = self.take() {
                return Ok(event);
            }
            self.ring.changed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_codec::{BatchPosition, Item, UtcMicros};

    fn record(ordinal: u64, bytes: usize) -> Record {
        Item::binary("blob", vec![0; bytes]).unwrap().into_record(
            Ordinal::new(ordinal),
            UtcMicros::EPOCH,
            BatchPosition::WHOLE,
        )
    }

    async fn drain(events: &mut RingEvents) -> (Vec<u64>, Option<u64>) {
        let (mut records, mut cut_off) = (Vec::new(), None);
        while let Some(event) = events.next().await.unwrap() {
            match event {
                ThreadEvent::Record(record) => records.push(record.ordinal.get()),
                ThreadEvent::CutOff { next } => cut_off = Some(next.get()),
                ThreadEvent::Damage(damage) => panic!("{damage:?}"),
            }
        }
        (records, cut_off)
    }

    #[tokio::test]
    async fn a_slow_subscriber_gets_what_there_was_room_for_and_is_told_where_it_was_cut_off() {
        let mut rings = Rings::default();
        let (mut slow, mut large) = (rings.subscribe(), rings.subscribe());
        for ordinal in 0..MAX_RECORDS as u64 + 5 {
            rings.push(&[record(ordinal, 0)]);
        }
        assert!(rings.is_empty(), "nothing is kept for who was cut off");
        let (records, cut_off) = drain(&mut slow).await;
        assert!(records.into_iter().eq(0..MAX_RECORDS as u64));
        assert_eq!(cut_off, Some(MAX_RECORDS as u64));
        drain(&mut large).await;

        let mut large = rings.subscribe();
        rings.push(&[record(0, MAX_BYTES + 1), record(1, 0), record(2, 1)]);
        assert_eq!(drain(&mut large).await, (vec![0], Some(1)));
    }

    #[tokio::test]
    async fn a_subscription_ends_with_its_thread_once_all_was_taken() {
        let mut rings = Rings::default();
        let mut events = rings.subscribe();
        rings.push(&[record(3, 1)]);
        drop(rings);
        assert_eq!(drain(&mut events).await, (vec![3], None));
        assert_eq!(events.next().await.unwrap(), None);
    }

    #[test]
    fn nothing_is_kept_for_a_subscriber_who_has_gone() {
        let mut rings = Rings::default();
        drop(rings.subscribe());
        rings.push(&[record(0, 1)]);
        assert!(rings.is_empty());
    }

    /// Only what came to the thread let go of those who had gone.
    #[test]
    fn who_comes_and_goes_leaves_nothing_behind_while_nothing_comes() {
        let mut rings = Rings::default();
        let stays = rings.subscribe();
        for _ in 0..1000 {
            drop(rings.subscribe());
        }
        assert!(rings.rings.len() < 10, "{}", rings.rings.len());
        rings.push(&[record(0, 1)]);
        assert_eq!(stays.ring.lock().records.len(), 1);
    }
}
