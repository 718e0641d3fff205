//! Appends: what is asked of them, and what they reached.

use selvedge_codec::segment::{MAX_BATCH_RECORDS, MAX_BODY_BYTES, MAX_TURN_ID_BYTES};
use selvedge_codec::{ByteLength, CodecError, Item, Ordinal, RecordType, ThreadId, TurnId};
use selvedge_engine::{InvalidRequest, Result};

/// What a record survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing: it is in memory only. Ephemeral threads never reach more.
    Buffered,
    /// The process's death.
    Written,
    /// The loss of power.
    Synced,
}

/// How a batch is appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendOptions {
    /// What must be reached before the append is acknowledged: `Written` unless said otherwise.
    /// A batch that ends a turn is always synced first. Acknowledgements go out in the order of the
    /// log, so that a batch behind one that waits for its sync waits for that answer, too.
    pub durability: Durability,
    /// The ordinal that the batch's first record must get. When it would be another one, the
    /// append is refused with [`selvedge_engine::Error::Conflict`] and nothing is written.
    pub expected_next: Option<Ordinal>,
}

impl Default for AppendOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Written,
            expected_next: None,
        }
    }
}

/// The acknowledgement of a batch: where it lies, and what it survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The thread.
    pub thread_id: ThreadId,
    /// The ordinal of the batch's first record.
    pub first_ordinal: Ordinal,
    /// The ordinal of its last one.
    pub last_ordinal: Ordinal,
    /// What was reached.
    pub durability: Durability,
}

/// What a flush reached: every record below `next_ordinal` has this durability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flushed {
    /// The thread.
    pub thread_id: ThreadId,
    /// The ordinal after the last record.
    pub next_ordinal: Ordinal,
    /// What was reached: `Synced`, or `Buffered` where nothing is on disk.
    pub durability: Durability,
}

/// Refuses a batch that no log can hold: every store does, so that a thread can move between
/// them.
///
/// # Errors
/// [`InvalidRequest::Codec`] for an empty batch, one of too many records, or an item that is too
/// large or whose type or turn has too long a name.
pub fn check_batch(items: &[Item]) -> Result<()> {
    if items.is_empty() {
        return Err(InvalidRequest::Codec(CodecError::EmptyBatch).into());
    }
    if items.len() > MAX_BATCH_RECORDS {
        let too_long = CodecError::BatchTooLong {
            records: items.len(),
            limit: MAX_BATCH_RECORDS,
        };
        return Err(InvalidRequest::Codec(too_long).into());
    }
    for item in items {
        check_item(item).map_err(InvalidRequest::Codec)?;
    }
    Ok(())
}

fn check_item(item: &Item) -> Result<(), CodecError> {
    let length = item.body.len();
    if length > MAX_BODY_BYTES {
        return Err(CodecError::RecordTooLarge {
            length: ByteLength::new(length as u64),
            limit: ByteLength::new(MAX_BODY_BYTES as u64),
        });
    }
    if let RecordType::Other(name) = &item.record_type {
        RecordType::from_name(name)?;
    }
    if let Some(TurnId::Text(text)) = &item.turn_id
        && text.len() > MAX_TURN_ID_BYTES
    {
        return Err(CodecError::BadTurnId {
            length: text.len(),
            limit: MAX_TURN_ID_BYTES,
        });
    }
    Ok(())
}
