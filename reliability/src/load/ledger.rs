//! What one writer has appended to a thread, and what it was told of it: small, however much that
//! is, since what it costs counts as the load's own memory.
//!
//! A batch's serial tells all of its bytes, so that what a log holds can be compared with what was
//! written without keeping any of that.

use std::fmt::Write as _;

use selvedge::{Ack, History, Item, Record};

/// Bytes of what is said in a record that says nothing more.
const FILL: &str = "the quick brown fox jumps over the lazy dog, and nothing of it is lost. ";

/// What was appended under one key, and what was acknowledged of it.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    key: u64,
    next_serial: u64,
    /// The serials that were not acknowledged, in their order: each of these batches is there
    /// whole, or not at all.
    unsure: Vec<u64>,
    /// A sum over all acknowledged batches of where they lie.
    places: u64,
}

impl Ledger {
    /// The ledger of a thread; each has a key of its own.
    #[must_use]
    pub fn new(key: u64) -> Self {
        Self {
            key,
            ..Self::default()
        }
    }

    /// How many batches were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.next_serial - self.unsure.len() as u64
    }

    /// The next batch, with its serial. It is unsure until it is acknowledged.
    pub fn next_batch(&mut self) -> (u64, Vec<Item>) {
        let serial = self.next_serial;
        self.next_serial += 1;
        self.unsure.push(serial);
        (serial, batch(self.key, serial))
    }

    /// Takes note of an acknowledgement.
    ///
    /// # Errors
    /// When it tells of another number of records than the batch has.
    pub fn acknowledge(&mut self, serial: u64, ack: &Ack) -> Result<(), String> {
        let records = ack.last_ordinal.get() - ack.first_ordinal.get() + 1;
        if records != batch_length(serial) {
            return Err(format!("batch {serial} was acknowledged as {ack:?}"));
        }
        if let Some(at) = self.unsure.iter().rposition(|unsure| *unsure == serial) {
            self.unsure.remove(at);
        }
        self.places = self
            .places
            .wrapping_add(place(serial, ack.first_ordinal.get()));
        Ok(())
    }

    /// Holds a thread's records against what was written under this key.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self, history: &History) -> Result<(), String> {
        let mut places = 0_u64;
        let mut found = 0;
        let mut least = 0;
        let mut records = history.records.iter().peekable();
        while let Some(record) = records.next() {
            let Some((key, serial, 0)) = mark_of(record) else {
                continue;
            };
            if key != self.key {
                skip_rest(&mut records, (key, serial));
                continue;
            }
            if serial < least || serial >= self.next_serial {
                return Err(format!("batch {serial} at {}: unexpected", record.ordinal));
            }
            least = serial + 1;
            let mut wanted = batch(self.key, serial).into_iter();
            let whole = wanted.next().is_some_and(|item| item.body == record.body)
                && wanted.all(|item| {
                    records
                        .next()
                        .is_some_and(|record| record.body == item.body)
                });
            if !whole {
                return Err(format!("batch {serial} at {}: not whole", record.ordinal));
            }
            if self.unsure.binary_search(&serial).is_err() {
                found += 1;
                places = places.wrapping_add(place(serial, record.ordinal.get()));
            }
        }
        if found != self.acknowledged() {
            let acknowledged = self.acknowledged();
            return Err(format!("{found} of {acknowledged} acknowledged batches"));
        }
        if places != self.places {
            return Err("a batch lies elsewhere than it was acknowledged".to_owned());
        }
        Ok(())
    }
}

/// Passes the rest of somebody else's batch over.
fn skip_rest<'a>(
    records: &mut std::iter::Peekable<impl Iterator<Item = &'a Record>>,
    (key, serial): (u64, u64),
) {
    while records
        .next_if(|next| mark_of(next).is_some_and(|mark| (mark.0, mark.1) == (key, serial)))
        .is_some()
    {}
}

/// Whether a history is damaged, or holds a record that belongs to no whole batch of a writer.
///
/// # Errors
/// What is wrong, in words.
pub fn check_whole(history: &History) -> Result<(), String> {
    if !history.damage.is_empty() || history.torn_tail.is_some() {
        let torn = &history.torn_tail;
        return Err(format!("damage {:?}, tail {torn:?}", history.damage));
    }
    for (place, record) in history.records.iter().enumerate() {
        if record.ordinal.get() != place as u64 {
            return Err(format!("record {place} has ordinal {}", record.ordinal));
        }
    }
    Ok(())
}

/// One number for where a batch lies. Those of a thread are added up, so that no two shifted batches
/// may cancel out: each bit of the number hangs on all that went in (SplitMix64's finalizer).
fn place(serial: u64, first_ordinal: u64) -> u64 {
    let mixed = serial
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(first_ordinal);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// How many records a batch has.
fn batch_length(serial: u64) -> u64 {
    match serial % 8 {
        0 => 2,
        7 => 1,
        other => 1 + other % 3,
    }
}

/// Whether a batch ends a turn.
fn ends_turn(serial: u64) -> bool {
    serial % 8 == 7
}

fn batch(key: u64, serial: u64) -> Vec<Item> {
    let (turn, length) = (serial / 8, batch_length(serial));
    let items = (0..length).map(|index| {
        let (kind, said) = match (serial % 8, index) {
            (0, 0) => ("task_started", false),
            (0, _) => ("user_message", true),
            _ if ends_turn(serial) => ("task_complete", false),
            _ => ("agent_message", true),
        };
        // First, so that it is found without parsing.
        let mut payload = format!(r#"{{"load":"{key},{serial},{index}","type":"{kind}""#);
        let _ = match said {
            true => write!(payload, r#","message":"{}""#, text(key, serial)),
            false => write!(payload, r#","turn_id":"{key}-{turn}""#),
        };
        payload.push('}');
        Item::json("event_msg", payload).unwrap()
    });
    items.collect()
}

fn text(key: u64, serial: u64) -> String {
    let mut text = format!("{key} says {serial}: ");
    let length = text.len() + ((key ^ serial) % 400) as usize;
    while text.len() < length {
        text.push_str(FILL);
    }
    text
}

/// Key, serial and index of a record that a ledger made.
fn mark_of(record: &Record) -> Option<(u64, u64, u64)> {
    let body = std::str::from_utf8(&record.body).ok()?;
    let (mark, _) = body.strip_prefix(r#"{"load":""#)?.split_once('"')?;
    let mut numbers = mark.split(',').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some((next()?, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge::{BatchPosition, Durability, Ordinal, ThreadId, UtcMicros};

    fn history(batches: &[Vec<Item>]) -> History {
        let records = batches.iter().flatten().enumerate().map(|(at, item)| {
            let batch = BatchPosition {
                index: 0,
                is_last: true,
            };
            item.clone()
                .into_record(Ordinal::new(at as u64), UtcMicros::new(0), batch)
        });
        History {
            records: records.collect(),
            own_from: Ordinal::ZERO,
            damage: Vec::new(),
            torn_tail: None,
            position: selvedge::LogPosition::default(),
        }
    }

    fn ack(first: u64, length: u64) -> Ack {
        Ack {
            thread_id: ThreadId::from_bytes([0; 16]),
            first_ordinal: Ordinal::new(first),
            last_ordinal: Ordinal::new(first + length - 1),
            durability: Durability::Written,
        }
    }

    /// A checker that lets everything pass would call every load a success.
    #[test]
    fn a_ledger_notices_what_is_missing_torn_moved_doubled_or_invented() {
        let mut ledger = Ledger::new(7);
        let batches: Vec<_> = (0..9).map(|_| ledger.next_batch().1).collect();
        let mut at = 0;
        for (serial, batch) in batches.iter().enumerate() {
            let length = batch.len() as u64;
            if serial != 4 {
                ledger.acknowledge(serial as u64, &ack(at, length)).unwrap();
            }
            at += length;
        }
        assert_eq!(ledger.check(&history(&batches)), Ok(()));
        let without = |serial: usize| {
            let mut some = batches.clone();
            some.remove(serial);
            some
        };
        // It was not acknowledged, but what follows it was, elsewhere.
        assert!(ledger.check(&history(&without(4))).is_err());
        assert!(ledger.check(&history(&without(2))).is_err());
        let mut swapped = batches.clone();
        swapped.swap(5, 6);
        assert!(ledger.check(&history(&swapped)).is_err());
        let mut torn = batches.clone();
        torn[0].pop();
        assert!(ledger.check(&history(&torn)).is_err());
        let mut doubled = batches.clone();
        doubled.push(batches[8].clone());
        assert!(ledger.check(&history(&doubled)).is_err());
        let mut invented = batches;
        invented.push(batch(7, 9));
        assert!(ledger.check(&history(&invented)).is_err());
    }
}
