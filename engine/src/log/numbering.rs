//! From a batch to its records, for whoever keeps records elsewhere than in a log of this crate.

use selvedge_codec::{BatchPosition, Item, Ordinal, Record, TurnId, UtcMicros};

use super::draft::{Draft, follow_turn};

/// Gives a thread's records their ordinals, times, turns and places in their batches, as a
/// [`super::ThreadLog`] does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbering {
    next_ordinal: Ordinal,
    turn: Option<TurnId>,
}

impl Numbering {
    /// Begins at an ordinal, outside of any turn.
    #[must_use]
    pub const fn starting_at(next_ordinal: Ordinal) -> Self {
        Self {
            next_ordinal,
            turn: None,
        }
    }

    /// Goes on after records that are kept already.
    pub fn follow<'a>(&mut self, records: impl IntoIterator<Item = &'a Record>) {
        for record in records {
            follow_turn(&mut self.turn, record);
            self.next_ordinal = record.ordinal.next();
        }
    }

    /// The ordinal that the next record gets.
    #[must_use]
    pub const fn next_ordinal(&self) -> Ordinal {
        self.next_ordinal
    }

    /// The records of a batch. Items that have no time of their own get `now`.
    #[must_use]
    pub fn batch(&mut self, items: Vec<Item>, now: UtcMicros) -> Vec<Record> {
        let last = items.len().saturating_sub(1);
        let mut draft = Draft::new(self.next_ordinal, self.turn.take(), now);
        let mut records = draft.records(items);
        for (index, record) in (0_u32..).zip(&mut records) {
            record.batch = BatchPosition {
                index,
                is_last: index as usize == last,
            };
        }
        self.next_ordinal = draft.next_ordinal;
        self.turn = draft.turn;
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(payload: &str) -> Item {
        Item::json("event_msg", payload.to_owned()).unwrap()
    }

    #[test]
    fn a_batch_is_numbered_as_a_log_numbers_it() {
        let mut numbering = Numbering::starting_at(Ordinal::new(7));
        let now = UtcMicros::new(5);
        let begun = numbering.batch(
            vec![
                event(r#"{"type":"task_started","turn_id":"t"}"#),
                event(r#"{"type":"user_message","message":"hi"}"#),
            ],
            now,
        );
        let places: Vec<_> = begun
            .iter()
            .map(|record| {
                let batch = record.batch;
                (record.ordinal.get(), batch.index, batch.is_last)
            })
            .collect();
        assert_eq!(places, [(7, 0, false), (8, 1, true)]);
        assert_eq!(begun[1].turn_id, Some(TurnId::from_text("t")));
        assert_eq!(begun[1].time, now);

        let mut again = Numbering::default();
        again.follow(&begun);
        assert_eq!(again, numbering);
        let ended = again.batch(vec![event(r#"{"type":"task_complete"}"#)], now);
        assert_eq!(ended[0].turn_id, Some(TurnId::from_text("t")));
        let after = again.batch(vec![event(r#"{"type":"other"}"#)], now);
        assert_eq!(after[0].turn_id, None);
        assert_eq!(again.next_ordinal(), Ordinal::new(11));
    }
}
