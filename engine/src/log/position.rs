//! Where a reader of a log stands, and what it may meet there.

use selvedge_codec::segment::{self, HEADER_BYTES};
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

impl LogPosition {
    /// Where the frames of a native segment begin whose first record has this ordinal.
    pub(crate) const fn at_first_frame(first_ordinal: Ordinal) -> Self {
        Self {
            offset: ByteOffset::new(HEADER_BYTES as u64),
            next_ordinal: first_ordinal,
            bad_since_record: 0,
        }
    }
}

/// Where a record's batch lies, or its line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordPlace {
    /// Where reading forwards begins with the batch. Its ordinal is that of the batch's first
    /// record.
    pub start: LogPosition,
    /// Right behind the batch: where reading backwards begins with it.
    pub end: LogPosition,
}

impl RecordPlace {
    /// Where the batch lies whose record a scan of a native segment gave last.
    pub(super) fn of_frames(scan: &segment::Scan) -> Self {
        let at = |offset, next_ordinal| LogPosition {
            offset,
            next_ordinal,
            bad_since_record: 0,
        };
        Self {
            start: at(scan.batch_start(), scan.batch_ordinal()),
            end: at(scan.whole_end(), scan.next_ordinal()),
        }
    }

    /// The same in a segment of which no more is inherited than up to this ordinal.
    pub(super) fn up_to(mut self, next_ordinal: Ordinal) -> Self {
        self.end.next_ordinal = self.end.next_ordinal.min(next_ordinal);
        self
    }
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
