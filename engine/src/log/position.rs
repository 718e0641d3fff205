//! Where a reader of a log stands, and what it may meet there.

use selvedge_codec::{ByteLength, ByteOffset, CodecError, Ordinal, Record};
use serde::{Deserialize, Serialize};

/// Where reading a log goes on: a boundary between whole batches or lines, never inside one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// The first byte that was not consumed. Of a compressed log: in its unpacked bytes.
    pub offset: ByteOffset,
    /// The ordinal of the next record.
    pub next_ordinal: Ordinal,
    /// How many bad lines were met since the last record: a later explicit ordinal tells whether
    /// they were records.
    pub bad_since_record: u64,
}

/// What a reader meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEvent {
    /// A record.
    Record(Record),
    /// Bytes that are no record. Reading goes on behind them.
    Damage(Damage),
}

/// Bytes of a log that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where they begin: in the log's file, or in the inherited segment that `why` names.
    pub offset: ByteOffset,
    /// How many they are.
    pub length: ByteLength,
    /// The first ordinal that is missing for them.
    pub first_ordinal: Ordinal,
    /// The ordinal that reading went on with; the same as `first_ordinal` when none is known to
    /// be missing.
    pub next_ordinal: Ordinal,
    /// What is wrong with them.
    pub why: CodecError,
}
