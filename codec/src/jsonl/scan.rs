//! Reading lines forwards, past any that are damaged.

use bytes::Bytes;

use super::line;
use crate::{BatchPosition, ByteLength, ByteOffset, CodecError, Ordinal, PayloadEncoding, Record};

/// Where a scan begins: at the start of a file, or where an earlier scan left off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LineScanStart {
    /// The file offset of the buffer's first byte, where a line begins.
    pub offset: ByteOffset,
    /// The ordinal after the last record's.
    pub next_ordinal: Ordinal,
    /// How many lines since the last record were bad: so many ordinals a line's own may be ahead.
    pub bad_since_record: u64,
}

/// What a scan finds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LineEvent {
    /// A line that is a record.
    Record {
        /// The record. Its body is the whole line, a slice of the buffer.
        record: Record,
        /// The file offset where the line begins.
        offset: ByteOffset,
    },
    /// A line that is none. Reading goes on with the next.
    BadLine {
        /// The file offset where the line begins.
        offset: ByteOffset,
        /// Its length without the newline.
        length: ByteLength,
        /// What is wrong with it.
        why: CodecError,
    },
}

/// Reads the lines of `buf`, whose first byte begins a line.
#[must_use]
pub fn scan(buf: Bytes, start: LineScanStart) -> LineScan {
    LineScan {
        buf,
        start,
        at: 0,
        next_ordinal: start.next_ordinal,
        bad_since_record: start.bad_since_record,
        has_explicit_ordinals: false,
        is_unterminated: false,
        torn_tail: None,
    }
}

/// The lines of a file, in order. Made by [`scan`].
#[derive(Debug)]
pub struct LineScan {
    buf: Bytes,
    start: LineScanStart,
    /// The byte of `buf` after the last line that was consumed.
    at: usize,
    next_ordinal: Ordinal,
    bad_since_record: u64,
    has_explicit_ordinals: bool,
    is_unterminated: bool,
    torn_tail: Option<ByteLength>,
}

impl LineScan {
    /// Where a later scan goes on: after the last line that was consumed.
    #[must_use]
    pub fn state(&self) -> LineScanStart {
        LineScanStart {
            offset: self.offset_of(self.at),
            next_ordinal: self.next_ordinal,
            bad_since_record: self.bad_since_record,
        }
    }

    /// The file offset and length of a last line without a newline that is no record: one that
    /// was cut short, or is still being written. It is neither consumed nor counted.
    #[must_use]
    pub fn torn_tail(&self) -> Option<(ByteOffset, ByteLength)> {
        self.torn_tail
            .map(|length| (self.offset_of(self.at), length))
    }

    /// Whether a record so far carried its ordinal in its line.
    #[must_use]
    pub fn has_explicit_ordinals(&self) -> bool {
        self.has_explicit_ordinals
    }

    /// Whether the last record's line lacks its newline, which an append has to write first.
    #[must_use]
    pub fn is_unterminated(&self) -> bool {
        self.is_unterminated
    }

    fn offset_of(&self, at: usize) -> ByteOffset {
        self.start.offset.plus(at as u64)
    }

    /// The ordinal of the next record, whose line may carry one. It is believed where it can be
    /// true: each bad line since the last record may have been one record.
    fn ordinal(&self, explicit: Option<Ordinal>) -> Ordinal {
        let latest = self.next_ordinal.plus(self.bad_since_record);
        explicit
            .filter(|ordinal| (self.next_ordinal..=latest).contains(ordinal))
            .unwrap_or(self.next_ordinal)
    }

    fn record_of(&mut self, line: Bytes) -> Result<Record, CodecError> {
        let parsed = line::parse(&line)?;
        let ordinal = self.ordinal(parsed.ordinal);
        self.next_ordinal = ordinal.next();
        self.bad_since_record = 0;
        self.has_explicit_ordinals |= parsed.ordinal.is_some();
        Ok(Record {
            ordinal,
            time: parsed.time,
            record_type: parsed.record_type,
            event: parsed.head.event,
            turn_id: parsed.head.turn_id,
            batch: BatchPosition::WHOLE,
            encoding: PayloadEncoding::JsonLine,
            body: line,
        })
    }

    fn last_line(&mut self, line: Bytes) -> Option<LineEvent> {
        if is_blank(&line) {
            return None;
        }
        let offset = self.offset_of(self.at);
        let length = ByteLength::new(line.len() as u64);
        if let Ok(record) = self.record_of(line) {
            self.at = self.buf.len();
            self.is_unterminated = true;
            return Some(LineEvent::Record { record, offset });
        }
        self.torn_tail = Some(length);
        None
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

impl Iterator for LineScan {
    type Item = LineEvent;

    fn next(&mut self) -> Option<LineEvent> {
        if self.torn_tail.is_some() {
            return None;
        }
        loop {
            let rest = self.buf.get(self.at..).unwrap_or_default();
            let Some(length) = memchr::memchr(b'\n', rest) else {
                return self.last_line(self.buf.slice(self.at..));
            };
            let offset = self.offset_of(self.at);
            let line = self.buf.slice(self.at..self.at + length);
            self.at += length + 1;
            if is_blank(&line) {
                continue;
            }
            return Some(match self.record_of(line) {
                Ok(record) => LineEvent::Record { record, offset },
                Err(why) => {
                    self.bad_since_record = self.bad_since_record.saturating_add(1);
                    LineEvent::BadLine {
                        offset,
                        length: ByteLength::new(length as u64),
                        why,
                    }
                }
            });
        }
    }
}
