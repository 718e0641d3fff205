//! An ephemeral thread: ordinals are counted, and subscribers given the records. Nothing is kept.

use selvedge_codec::{Item, Ordinal, Record, UtcMicros};
use selvedge_engine::log::Numbering;

use crate::feed::{RingEvents, Rings};

/// What there is of a thread without a log.
#[derive(Debug)]
pub(super) struct Ephemeral {
    numbering: Numbering,
    /// Records whose appends are not answered yet.
    fresh: Vec<Record>,
    rings: Rings,
}

impl Default for Ephemeral {
    fn default() -> Self {
        Self {
            // As in a log, the thread's meta has ordinal 0.
            numbering: Numbering::starting_at(Ordinal::ZERO.next()),
            fresh: Vec::new(),
            rings: Rings::default(),
        }
    }
}

impl Ephemeral {
    pub(super) fn next_ordinal(&self) -> Ordinal {
        self.numbering.next_ordinal()
    }

    /// Takes batches in. Subscribers are given them by [`Ephemeral::publish`].
    pub(super) fn take(&mut self, batches: Vec<Vec<Item>>, now: UtcMicros) {
        for batch in batches {
            let records = self.numbering.batch(batch, now);
            if !self.rings.is_empty() {
                self.fresh.extend(records);
            }
        }
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
