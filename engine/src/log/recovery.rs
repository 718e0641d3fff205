//! What to do with a log that is opened for writing: a decision table.
//!
//! [`decide`] is a pure function of what was found; [`super::ThreadLog::open`] carries it out.
//!
//! | row | a native log ... | a writer |
//! |---|---|---|
//! | [`Row::Clean`] | ends with a whole batch | goes on at its end |
//! | [`Row::HeaderOnly`] | holds its header and nothing else | goes on behind it, from the first ordinal |
//! | [`Row::TornTail`] | ends with bytes that hold no whole batch | keeps these beside the log, cuts them off, goes on there |
//! | [`Row::Damaged`] | has a gap, and ends with a whole batch | changes nothing of it, goes on at its end |
//! | [`Row::DamagedAndTorn`] | has a gap, and a torn tail | as for a torn tail |
//! | [`Row::Empty`] | has no byte: its maker died | writes the header |
//! | [`Row::HeaderCut`] | holds the first bytes of its header: its maker died | keeps these, writes the header |
//! | [`Row::HeaderDamaged`] | has a header that does not match its checksum | refuses: corrupt |
//! | [`Row::NotALog`] | does not begin like a log | refuses: corrupt |
//! | [`Row::WrongThread`] | belongs to another thread | refuses: corrupt |
//! | [`Row::UnknownVersion`] | is of a later version | refuses: unsupported, saying which is needed |
//! | [`Row::Unsearched`] | has a tail too contrived to be searched for whole batches | refuses: corrupt |
//!
//! The header that is written is that of a fork where the thread has inherited segments. These are
//! never written: what is wrong with them concerns no writer. A log whose header is damaged is read
//! all the same, where its frames tell which header was theirs; it is written on once it is repaired.
//!
//! A JSON-lines log may be written by the tool that owns it as well. It is never cut:
//!
//! | row | a JSON-lines log ... | a writer |
//! |---|---|---|
//! | [`Row::Clean`] | holds records only | goes on at its end |
//! | [`Row::Damaged`] | holds lines that are no records | goes on at its end |
//! | [`Row::TornTail`] | ends with half a line | ends that line, goes on behind it |
//! | [`Row::DamagedAndTorn`] | both | as for half a line |
//! | [`Row::Empty`] | has no record and no bad line | goes on at its end |
//! | [`Row::NotALog`] | has no record among its lines | refuses: corrupt |
//! | [`Row::WrongThread`] | belongs to another thread, by its meta or else its name | refuses: corrupt |
//! | [`Row::NoThread`] | says nowhere which thread it belongs to | refuses: corrupt |
//!
//! A row that refuses changes nothing on disk.

use std::path::PathBuf;

use selvedge_codec::segment::SegmentHeader;
use selvedge_codec::{ByteLength, ByteOffset, CodecError, Ordinal, ThreadId};

use super::Damage;
use crate::CorruptReason;
use crate::home::LogPath;

/// A row of the table in this module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// Nothing is wrong.
    Clean,
    /// A header and no batch.
    HeaderOnly,
    /// Bytes behind the last whole batch or line.
    TornTail,
    /// Bytes before the last whole batch that could not be read, or lines that are no records.
    Damaged,
    /// Both.
    DamagedAndTorn,
    /// No byte, or no line.
    Empty,
    /// Less than a header, as far as it goes the right one.
    HeaderCut,
    /// A header that does not match its checksum.
    HeaderDamaged,
    /// Nothing that is a log of this format.
    NotALog,
    /// The log of another thread.
    WrongThread,
    /// A log of a later version.
    UnknownVersion,
    /// A tail in which the search for whole batches was given up.
    Unsearched,
    /// A log that names no thread.
    NoThread,
}

/// What was found in a file that is opened as the log of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// In a native log.
    Native(FoundSegment),
    /// In a JSON-lines log.
    Lines(FoundLines),
}

impl Found {
    /// What follows the last whole batch or line.
    #[must_use]
    pub const fn torn(&self) -> Option<&Torn> {
        match self {
            Self::Native(found) => found.torn.as_ref(),
            Self::Lines(found) => found.torn.as_ref(),
        }
    }
}

/// What was found in a native log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSegment {
    /// The thread that it is opened as.
    pub thread_id: ThreadId,
    /// The file's length.
    pub length: ByteLength,
    /// What it begins with.
    pub head: Head,
    /// Whether anything before the last whole batch could not be read.
    pub is_damaged: bool,
    /// What follows the last whole batch.
    pub torn: Option<Torn>,
    /// The ordinal after the last whole batch.
    pub next_ordinal: Ordinal,
}

/// What a native log begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// A header.
    Good(SegmentHeader),
    /// Less than a header, all of which is what the thread's header begins with.
    Begun,
    /// Something else.
    Bad(CodecError),
}

/// Bytes behind the last whole batch or line, up to the end of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// Where they begin.
    pub offset: ByteOffset,
    /// How many they are.
    pub length: ByteLength,
    /// Why they hold no whole batch.
    pub why: CodecError,
}

/// What was found in a JSON-lines log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLines {
    /// The thread that it is opened as.
    pub thread_id: ThreadId,
    /// The thread that its own meta names.
    pub meta: Option<ThreadId>,
    /// The thread that its file's name names.
    pub name: Option<ThreadId>,
    /// The file's length.
    pub length: ByteLength,
    /// How many records it holds.
    pub records: u64,
    /// How many of its lines are no records.
    pub bad_lines: u64,
    /// A last line that is no record and has no end.
    pub torn: Option<Torn>,
    /// The ordinal after its last record.
    pub next_ordinal: Ordinal,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Append at the end of the file, which stays as it is.
    GoOn,
    /// Keep the torn bytes beside the log, cut them off and append there.
    CutTail(Torn),
    /// Keep what there is beside the log, and write the header.
    WriteHeader,
    /// Change nothing.
    Refuse {
        /// Where the reason lies in the file.
        offset: ByteOffset,
        /// The reason.
        why: CorruptReason,
    },
}

/// Finds the row that fits, and what it says.
#[must_use]
pub fn decide(found: &Found) -> (Row, Decision) {
    match found {
        Found::Native(found) => decide_segment(found),
        Found::Lines(found) => decide_lines(found),
    }
}

fn refuse(row: Row, offset: ByteOffset, why: impl Into<CorruptReason>) -> (Row, Decision) {
    let why = why.into();
    (row, Decision::Refuse { offset, why })
}

fn wrong_thread(expected: ThreadId, found: ThreadId) -> (Row, Decision) {
    let why = CodecError::WrongThread { expected, found };
    refuse(Row::WrongThread, ByteOffset::ZERO, why)
}

fn decide_segment(found: &FoundSegment) -> (Row, Decision) {
    let header = match &found.head {
        Head::Begun if found.length == ByteLength::ZERO => {
            return (Row::Empty, Decision::WriteHeader);
        }
        Head::Begun => return (Row::HeaderCut, Decision::WriteHeader),
        Head::Bad(why) => {
            let row = match why {
                CodecError::UnknownVersion { .. } => Row::UnknownVersion,
                CodecError::HeaderChecksum => Row::HeaderDamaged,
                _ => Row::NotALog,
            };
            return refuse(row, ByteOffset::ZERO, why.clone());
        }
        Head::Good(header) => header,
    };
    if header.thread_id != found.thread_id {
        return wrong_thread(found.thread_id, header.thread_id);
    }
    match (&found.torn, found.is_damaged) {
        (Some(torn), _) if torn.why == CodecError::SearchGivenUp => {
            refuse(Row::Unsearched, torn.offset, torn.why.clone())
        }
        (Some(torn), false) => (Row::TornTail, Decision::CutTail(torn.clone())),
        (Some(torn), true) => (Row::DamagedAndTorn, Decision::CutTail(torn.clone())),
        (None, true) => (Row::Damaged, Decision::GoOn),
        (None, false) if found.next_ordinal == header.first_ordinal => {
            (Row::HeaderOnly, Decision::GoOn)
        }
        (None, false) => (Row::Clean, Decision::GoOn),
    }
}

fn decide_lines(found: &FoundLines) -> (Row, Decision) {
    if found.records == 0 && found.bad_lines > 0 {
        return refuse(Row::NotALog, ByteOffset::ZERO, CorruptReason::NoRecord);
    }
    match found.meta.or(found.name) {
        None => {
            return refuse(Row::NoThread, ByteOffset::ZERO, CorruptReason::NoThreadId);
        }
        Some(other) if other != found.thread_id => {
            return wrong_thread(found.thread_id, other);
        }
        Some(_) => {}
    }
    let row = match (found.torn.is_some(), found.bad_lines > 0) {
        (true, true) => Row::DamagedAndTorn,
        (true, false) => Row::TornTail,
        (false, true) => Row::Damaged,
        (false, false) if found.records == 0 => Row::Empty,
        (false, false) => Row::Clean,
    };
    (row, Decision::GoOn)
}

/// What was found when a log was opened for writing, and done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The row of the table that fitted.
    pub row: Row,
    /// The ordinal that the next record gets.
    pub next_ordinal: Ordinal,
    /// What could not be read before the tail, and stays as it is.
    pub damage: Vec<Damage>,
    /// What followed the last whole batch or line.
    pub torn: Option<Torn>,
    /// Where the torn bytes of a native log were kept before they were cut off.
    pub kept_in: Option<PathBuf>,
    /// The compressed log that this one was unpacked from.
    pub unpacked_from: Option<LogPath>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_codec::segment::SegmentNumber;

    const ME: ThreadId = ThreadId::from_bytes([1; 16]);
    const OTHER: ThreadId = ThreadId::from_bytes([2; 16]);

    fn header(thread_id: ThreadId) -> Head {
        Head::Good(SegmentHeader {
            thread_id,
            segment: SegmentNumber::FIRST,
            first_ordinal: Ordinal::ZERO,
        })
    }

    fn torn(why: CodecError) -> Torn {
        Torn {
            offset: ByteOffset::new(90),
            length: ByteLength::new(10),
            why,
        }
    }

    fn segment(head: Head, is_damaged: bool, torn: Option<Torn>) -> Found {
        Found::Native(FoundSegment {
            thread_id: ME,
            length: ByteLength::new(100),
            head,
            is_damaged,
            torn,
            next_ordinal: Ordinal::new(3),
        })
    }

    fn refused(why: impl Into<CorruptReason>) -> Decision {
        Decision::Refuse {
            offset: ByteOffset::ZERO,
            why: why.into(),
        }
    }

    fn begun(length: u64) -> Found {
        Found::Native(FoundSegment {
            thread_id: ME,
            length: ByteLength::new(length),
            head: Head::Begun,
            is_damaged: false,
            torn: None,
            next_ordinal: Ordinal::ZERO,
        })
    }

    fn check(table: impl IntoIterator<Item = (Found, Row, Decision)>) {
        for (found, row, decision) in table {
            assert_eq!(decide(&found), (row, decision), "{found:?}");
        }
    }

    #[test]
    fn a_native_log_s_rows_that_let_a_writer_in_are_decided_as_the_table_says() {
        let cut = || torn(CodecError::FrameCutShort);
        let good = |is_damaged, torn| segment(header(ME), is_damaged, torn);
        let header_only = Found::Native(FoundSegment {
            thread_id: ME,
            length: ByteLength::new(48),
            head: header(ME),
            is_damaged: false,
            torn: None,
            next_ordinal: Ordinal::ZERO,
        });
        check([
            (good(false, None), Row::Clean, Decision::GoOn),
            (header_only, Row::HeaderOnly, Decision::GoOn),
            (
                good(false, Some(cut())),
                Row::TornTail,
                Decision::CutTail(cut()),
            ),
            (good(true, None), Row::Damaged, Decision::GoOn),
            (
                good(true, Some(cut())),
                Row::DamagedAndTorn,
                Decision::CutTail(cut()),
            ),
            (begun(0), Row::Empty, Decision::WriteHeader),
            (begun(20), Row::HeaderCut, Decision::WriteHeader),
        ]);
    }

    #[test]
    fn a_native_log_s_rows_that_refuse_are_decided_as_the_table_says() {
        let bad = |why| segment(Head::Bad(why), false, None);
        let version = CodecError::UnknownVersion {
            found: 2,
            supported: 1,
            features: 0,
        };
        let wrong = CodecError::WrongThread {
            expected: ME,
            found: OTHER,
        };
        let unsearched = Decision::Refuse {
            offset: ByteOffset::new(90),
            why: CodecError::SearchGivenUp.into(),
        };
        check([
            (
                bad(CodecError::HeaderChecksum),
                Row::HeaderDamaged,
                refused(CodecError::HeaderChecksum),
            ),
            (
                bad(CodecError::NotASegment),
                Row::NotALog,
                refused(CodecError::NotASegment),
            ),
            (
                segment(header(OTHER), true, Some(torn(CodecError::FrameCutShort))),
                Row::WrongThread,
                refused(wrong),
            ),
            (bad(version.clone()), Row::UnknownVersion, refused(version)),
            (
                segment(header(ME), false, Some(torn(CodecError::SearchGivenUp))),
                Row::Unsearched,
                unsearched,
            ),
        ]);
    }

    #[test]
    fn every_row_of_a_json_lines_log_is_decided_as_the_table_says() {
        let lines = |records, bad_lines, is_torn: bool| FoundLines {
            thread_id: ME,
            meta: None,
            name: Some(ME),
            length: ByteLength::new(100),
            records,
            bad_lines,
            torn: is_torn.then(|| torn(CodecError::FrameCutShort)),
            next_ordinal: Ordinal::new(records),
        };
        let named = |meta, name| FoundLines {
            meta,
            name,
            ..lines(3, 0, false)
        };
        let wrong = CodecError::WrongThread {
            expected: ME,
            found: OTHER,
        };
        let table = [
            (lines(3, 0, false), Row::Clean, Decision::GoOn),
            (lines(3, 1, false), Row::Damaged, Decision::GoOn),
            (lines(3, 0, true), Row::TornTail, Decision::GoOn),
            (lines(3, 1, true), Row::DamagedAndTorn, Decision::GoOn),
            (lines(0, 0, false), Row::Empty, Decision::GoOn),
            (lines(0, 0, true), Row::TornTail, Decision::GoOn),
            (
                lines(0, 2, false),
                Row::NotALog,
                refused(CorruptReason::NoRecord),
            ),
            // A log's own meta counts for more than its name.
            (named(Some(ME), Some(OTHER)), Row::Clean, Decision::GoOn),
            (
                named(Some(OTHER), Some(ME)),
                Row::WrongThread,
                refused(wrong.clone()),
            ),
            (named(None, Some(OTHER)), Row::WrongThread, refused(wrong)),
            (
                named(None, None),
                Row::NoThread,
                refused(CorruptReason::NoThreadId),
            ),
        ];
        check(table.map(|(found, row, decision)| (Found::Lines(found), row, decision)));
    }
}
