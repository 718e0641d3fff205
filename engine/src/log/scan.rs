//! The events of a log, read forwards.

use selvedge_codec::jsonl::{LineEvent, LineScan};
use selvedge_codec::segment::{self, ScanEnd, ScanEvent};
use selvedge_codec::{ByteLength, ByteOffset, CodecError, Ordinal, ThreadId};

use super::inherited::InheritedScan;
use super::{Damage, LogEvent, LogPosition, RecordPlace};
use crate::disk::FileStat;

/// The events of a log, from its start or from a [`LogPosition`], as slices of one buffer.
#[derive(Debug)]
pub struct LogScan {
    pub(super) stat: FileStat,
    pub(super) thread_id: Option<ThreadId>,
    pub(super) own_from: Ordinal,
    /// What comes before the log's own records.
    pub(super) inherited: InheritedScan,
    /// What comes between the two, where the header is damaged.
    pub(super) header_damage: Option<Damage>,
    pub(super) inner: Inner,
}

#[derive(Debug)]
pub(super) enum Inner {
    Native(segment::Scan),
    Lines(Box<Lines>),
}

/// A line scan whose damage says which ordinals are missing for it: the next record tells.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) scan: LineScan,
    /// The last bad line, until the line after it is known.
    pub(super) bad: Option<Damage>,
    /// The record after it.
    pub(super) record: Option<LogEvent>,
    /// The line of the record given last. It ends before its newline: whether there is one yet
    /// makes no difference.
    pub(super) line: RecordPlace,
    /// Where unpacking stopped, and why.
    pub(super) unpacking: Option<(ByteOffset, CodecError)>,
}

impl LogScan {
    /// Where reading goes on; what it is in the middle of a scan says nothing. While it goes on
    /// among inherited segments, the offset is one of the segment that holds the next record.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        if let Some(position) = self.inherited.position() {
            return position;
        }
        match &self.inner {
            Inner::Native(scan) => LogPosition {
                offset: scan.whole_end(),
                next_ordinal: scan.next_ordinal(),
                bad_since_record: 0,
            },
            Inner::Lines(lines) => {
                let state = lines.scan.state();
                LogPosition {
                    offset: state.offset,
                    next_ordinal: state.next_ordinal,
                    bad_since_record: state.bad_since_record,
                }
            }
        }
    }

    /// Where the batch lies that the record given last belongs to. What it is after damage says
    /// nothing.
    #[must_use]
    pub fn record_place(&self) -> RecordPlace {
        if let Some(place) = self.inherited.record_place() {
            return place;
        }
        match &self.inner {
            Inner::Native(scan) => RecordPlace::of_frames(scan),
            Inner::Lines(lines) => lines.line,
        }
    }

    /// Where reading goes on with the batch that the record given last belongs to.
    #[must_use]
    pub fn record_position(&self) -> LogPosition {
        self.record_place().start
    }

    /// What the log ends with beyond its last whole batch or line, once the scan is exhausted. It
    /// may be what a writer is just writing.
    #[must_use]
    pub fn torn_tail(&self) -> Option<Damage> {
        let next_ordinal = self.position().next_ordinal;
        let torn = |offset, length, why| Damage {
            offset,
            length,
            first_ordinal: next_ordinal,
            next_ordinal,
            why,
        };
        match &self.inner {
            Inner::Native(scan) => match scan.end()? {
                ScanEnd::Clean => None,
                ScanEnd::TornTail { start, length, why } => Some(torn(start, length, why)),
            },
            Inner::Lines(lines) => {
                let (offset, length) = lines.scan.torn_tail()?;
                let why = CodecError::NotARecordLine {
                    why: "the last line is cut short".to_owned(),
                };
                Some(torn(offset, length, why))
            }
        }
    }

    /// Whether the last line is a record that lacks its newline.
    #[must_use]
    pub fn is_unterminated(&self) -> bool {
        matches!(&self.inner, Inner::Lines(lines) if lines.scan.is_unterminated())
    }

    /// Whether a record so far carried its ordinal in its line.
    #[must_use]
    pub fn has_explicit_ordinals(&self) -> bool {
        matches!(&self.inner, Inner::Lines(lines) if lines.scan.has_explicit_ordinals())
    }

    /// The thread that a native log's header names.
    #[must_use]
    pub const fn thread_id(&self) -> Option<ThreadId> {
        self.thread_id
    }

    /// The ordinal of the log's own first record: those before are inherited.
    #[must_use]
    pub const fn own_from(&self) -> Ordinal {
        self.own_from
    }

    /// What the file's metadata said before it was read.
    #[must_use]
    pub const fn stat(&self) -> FileStat {
        self.stat
    }
}

impl Iterator for LogScan {
    type Item = LogEvent;

    fn next(&mut self) -> Option<LogEvent> {
        if let Some(event) = self.inherited.next() {
            return Some(event);
        }
        if let Some(damage) = self.header_damage.take() {
            return Some(LogEvent::Damage(damage));
        }
        match &mut self.inner {
            Inner::Native(scan) => scan.next().map(|event| match event {
                ScanEvent::Record(record) => LogEvent::Record(record),
                ScanEvent::Gap(gap) => LogEvent::Damage(Damage {
                    offset: gap.start,
                    length: ByteLength::new(gap.end.get().saturating_sub(gap.start.get())),
                    first_ordinal: gap.first_ordinal,
                    next_ordinal: gap.next_ordinal,
                    why: gap.why,
                }),
            }),
            Inner::Lines(lines) => lines.next(),
        }
    }
}

impl Lines {
    fn next(&mut self) -> Option<LogEvent> {
        if let Some(record) = self.record.take() {
            return Some(record);
        }
        loop {
            let next_ordinal = self.scan.state().next_ordinal;
            match self.scan.next() {
                Some(LineEvent::Record { record, offset }) => {
                    let at = |offset, next_ordinal| LogPosition {
                        offset,
                        next_ordinal,
                        bad_since_record: 0,
                    };
                    let end = offset.plus(record.body.len() as u64);
                    self.line = RecordPlace {
                        start: at(offset, record.ordinal),
                        end: at(end, record.ordinal.next()),
                    };
                    let Some(mut bad) = self.bad.take() else {
                        return Some(LogEvent::Record(record));
                    };
                    bad.next_ordinal = record.ordinal;
                    self.record = Some(LogEvent::Record(record));
                    return Some(LogEvent::Damage(bad));
                }
                Some(LineEvent::BadLine {
                    offset,
                    length,
                    why,
                }) => {
                    let bad = Damage {
                        offset,
                        length,
                        first_ordinal: next_ordinal,
                        next_ordinal,
                        why,
                    };
                    if let Some(before) = self.bad.replace(bad) {
                        return Some(LogEvent::Damage(before));
                    }
                }
                None => return self.last(),
            }
        }
    }

    /// What is left to tell once there are no more lines.
    fn last(&mut self) -> Option<LogEvent> {
        let bad = self.bad.take().or_else(|| {
            let (offset, why) = self.unpacking.take()?;
            let next_ordinal = self.scan.state().next_ordinal;
            Some(Damage {
                offset,
                length: ByteLength::ZERO,
                first_ordinal: next_ordinal,
                next_ordinal,
                why,
            })
        })?;
        Some(LogEvent::Damage(bad))
    }
}
