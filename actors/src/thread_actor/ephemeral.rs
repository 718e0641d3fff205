//! An ephemeral thread: ordinals are counted, and subscribers given the records. Nothing is kept.

use selvedge_codec::{
    BatchPosition, EventClass, Item, Ordinal, Record, RecordType, TurnId, UtcMicros,
};

use crate::feed::{RingEvents, Rings};

/// What there is of a thread without a log.
#[derive(Debug)]
pub(super) struct Ephemeral {
    pub(super) next_ordinal: Ordinal,
    /// The turn that an item without one of its own belongs to.
    turn: Option<TurnId>,
    /// Records whose appends are not answered yet.
    fresh: Vec<Record>,
    rings: Rings,
}

impl Default for Ephemeral {
    fn default() -> Self {
        Self {
            // As in a log, the thread's meta has ordinal 0.
            next_ordinal: Ordinal::ZERO.next(),
            turn: None,
            fresh: Vec::new(),
            rings: Rings::default(),
        }
    }
}

impl Ephemeral {
    /// Takes batches in. Subscribers are given them by [`Ephemeral::publish`].
    pub(super) fn take(&mut self, batches: Vec<Vec<Item>>, now: UtcMicros) {
        for batch in batches {
            let last = batch.len().saturating_sub(1);
            for (index, item) in batch.into_iter().enumerate() {
                let batch = BatchPosition {
                    index: u32::try_from(index).unwrap_or(u32::MAX),
                    is_last: index == last,
                };
                self.take_item(item, (now, batch));
            }
        }
        if self.rings.is_empty() {
            self.fresh.clear();
        }
    }

    fn take_item(&mut self, item: Item, (now, batch): (UtcMicros, BatchPosition)) {
        // As in a log: what starts a turn does not belong to the one before.
        let item = if item.event == Some(EventClass::TurnStarted) {
            item
        } else {
            item.in_turn(self.turn.as_ref())
        };
        let record = item.into_record(self.next_ordinal, now, batch);
        self.next_ordinal = self.next_ordinal.next();
        if record.event.is_some_and(EventClass::ends_turn) {
            self.turn = None;
        } else if record.event == Some(EventClass::TurnStarted)
            || record.record_type == RecordType::TurnContext && record.turn_id.is_some()
        {
            self.turn.clone_from(&record.turn_id);
        }
        self.fresh.push(record);
    }

    /// Gives subscribers what was answered.
    pub(super) fn publish(&mut self) {
        if !self.fresh.is_empty() {
            self.rings.push(&std::mem::take(&mut self.fresh));
        }
    }

    /// A subscriber, who is given what is taken in from now on.
    pub(super) fn subscribe(&mut self) -> RingEvents {
        self.publish();
        self.rings.subscribe()
    }
}
