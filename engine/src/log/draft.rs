//! From items to records: ordinals, times and turns, before anything is written.

use selvedge_codec::{
    BatchPosition, EventClass, Item, Ordinal, Record, RecordType, TurnId, UtcMicros,
};

use super::Appended;

/// What an append would do. It counts once its bytes are written.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) next_ordinal: Ordinal,
    pub(super) turn: Option<TurnId>,
    pub(super) appended: Vec<Appended>,
    now: UtcMicros,
}

impl Draft {
    pub(super) fn new(next_ordinal: Ordinal, turn: Option<TurnId>, now: UtcMicros) -> Self {
        Self {
            next_ordinal,
            turn,
            appended: Vec::new(),
            now,
        }
    }

    /// Makes room for so many records that somebody else has written before these.
    pub(super) fn give_way(&mut self, records: u64) {
        self.next_ordinal = self.next_ordinal.plus(records);
        for appended in &mut self.appended {
            appended.first_ordinal = appended.first_ordinal.plus(records);
            appended.last_ordinal = appended.last_ordinal.plus(records);
        }
    }

    /// The records of one batch.
    pub(super) fn records(&mut self, batch: Vec<Item>) -> Vec<Record> {
        let first_ordinal = self.next_ordinal;
        let records: Vec<Record> = batch
            .into_iter()
            .map(|item| {
                let ordinal = self.next_ordinal;
                self.next_ordinal = ordinal.next();
                self.record(item, ordinal)
            })
            .collect();
        if let Some(last) = records.last() {
            self.appended.push(Appended {
                first_ordinal,
                last_ordinal: last.ordinal,
                ends_turn: records.iter().any(ends_turn),
            });
        }
        records
    }

    fn record(&mut self, item: Item, ordinal: Ordinal) -> Record {
        // What starts a turn does not belong to the one before, should that never have ended.
        let item = if item.event == Some(EventClass::TurnStarted) {
            item
        } else {
            item.in_turn(self.turn.as_ref())
        };
        let record = item.into_record(ordinal, self.now, BatchPosition::WHOLE);
        follow_turn(&mut self.turn, &record);
        record
    }
}

fn ends_turn(record: &Record) -> bool {
    record.event.is_some_and(EventClass::ends_turn)
}

/// The turn that the record after this one belongs to, unless that says otherwise itself.
pub(super) fn follow_turn(turn: &mut Option<TurnId>, record: &Record) {
    if ends_turn(record) {
        *turn = None;
    } else if record.event == Some(EventClass::TurnStarted)
        || record.record_type == RecordType::TurnContext && record.turn_id.is_some()
    {
        turn.clone_from(&record.turn_id);
    }
}
