//! Reading a log forwards from a position, in pieces.
//!
//! What must hold: the records are those that a scan of the whole log gives from there on. Only
//! what follows a piece tells whether its last bytes are damaged, so that damage in a piece of a
//! native log is left to a scan of all that follows.

use std::collections::VecDeque;

use selvedge_codec::segment::{self, ScanEvent, SegmentHeader};
use selvedge_codec::{ByteLength, ByteOffset, Ordinal, Record};

use super::inherited::{OpenPart, Part, open_part};
use super::{LogEvent, LogPosition, LogScan, OpenLog, RecordPlace};
use crate::Result;
use crate::home::LogFormat;

/// Pieces grow twofold up to this length, or to what a batch or line needs.
const LARGEST_PIECE: u64 = 1 << 20;

/// The records of a log from a position on. Damage is passed over.
#[derive(Debug)]
pub(crate) struct ForwardReader<'a> {
    log: &'a OpenLog<'a>,
    /// Where reading began.
    begun: LogPosition,
    /// Nothing behind is asked for.
    until: LogPosition,
    /// How much is read of a file at first.
    first_piece: ByteLength,
    /// The inherited segment that is read; `None` for the log's own file.
    part: Option<(OpenPart<'a>, Part)>,
    /// The files after that, inherited segments first. `None` stands for the log's own.
    rest: VecDeque<Option<Part>>,
    /// The header of a native log.
    header: Option<SegmentHeader>,
    piece: Piece,
    /// Where the piece begins, and how long it is.
    from: LogPosition,
    length: ByteLength,
    /// Where the file ends, as far as it is asked for.
    end: ByteOffset,
    /// Right behind the last batch or line that was given whole.
    after: LogPosition,
}

/// A piece of a file.
#[derive(Debug)]
enum Piece {
    Frames(segment::Scan),
    Lines(LogScan),
}

/// What a piece gives.
enum Step {
    Record(Record, RecordPlace),
    /// Whether what follows may still make a record of it.
    Damage {
        is_doubtful: bool,
    },
    /// Nothing any more; where the next piece begins.
    Over(LogPosition),
}

impl Piece {
    fn step(&mut self, is_last: bool) -> Step {
        match self {
            Self::Frames(scan) => match scan.next() {
                Some(ScanEvent::Record(record)) => {
                    Step::Record(record, RecordPlace::of_frames(scan))
                }
                Some(ScanEvent::Gap(_)) => Step::Damage {
                    is_doubtful: !is_last,
                },
                None => Step::Over(RecordPlace::of_frames(scan).end),
            },
            Self::Lines(scan) => match scan.next() {
                // More of the line may follow in the next piece.
                Some(LogEvent::Record(_)) if scan.is_unterminated() && !is_last => {
                    Step::Damage { is_doubtful: true }
                }
                Some(LogEvent::Record(record)) => Step::Record(record, scan.record_place()),
                Some(LogEvent::Damage(_)) => Step::Damage { is_doubtful: false },
                None => Step::Over(LogScan::position(scan)),
            },
        }
    }
}

impl<'a> ForwardReader<'a> {
    /// Reads from one position up to another, both between batches or lines. `first_piece` is how
    /// much is read at first. JSON lines must not be compressed.
    ///
    /// # Errors
    /// As [`super::read_log`].
    pub(crate) fn between(
        log: &'a OpenLog<'a>,
        (from, until): (LogPosition, LogPosition),
        first_piece: ByteLength,
    ) -> Result<Self> {
        let mut rest = VecDeque::new();
        let header = match log.format() {
            LogFormat::Native => Some(log.header()?),
            LogFormat::JsonLines | LogFormat::CompressedJsonLines => None,
        };
        let own_from = header.map_or(Ordinal::ZERO, |header| header.first_ordinal);
        if let Some(header) = header.filter(|_| from.next_ordinal < own_from) {
            let parts = log.parts(&header)?.into_iter();
            let asked = parts.filter(|part| {
                part.next_ordinal > from.next_ordinal && part.first_ordinal < until.next_ordinal
            });
            rest.extend(asked.map(Some));
        }
        if until.next_ordinal > own_from || rest.is_empty() {
            rest.push_back(None);
        }
        let nothing = log.lines_at(from, ByteLength::ZERO)?;
        let mut reader = Self {
            log,
            begun: from,
            until,
            first_piece,
            part: None,
            rest,
            header,
            piece: Piece::Lines(nothing),
            from,
            length: ByteLength::ZERO,
            end: from.offset,
            after: from,
        };
        reader.enter_next()?;
        Ok(reader)
    }

    /// Goes on with the next file. Returns whether there is one.
    fn enter_next(&mut self) -> Result<bool> {
        while let Some(next) = self.rest.pop_front() {
            let Some(part) = next else {
                self.part = None;
                self.enter_own()?;
                return Ok(true);
            };
            // What of the log can't be read hides nothing of the rest.
            let Ok(open) = open_part(self.log.disk(), &part)? else {
                continue;
            };
            let is_begun_here = self.begun.next_ordinal > part.first_ordinal;
            let from = if is_begun_here {
                self.begun
            } else {
                open.first_position(&part)
            };
            let length = ByteOffset::new(open.log.stat().len.get());
            // Where the part ends, the offset may be one of the file after it.
            self.end = match self.until.next_ordinal < part.next_ordinal {
                true => self.until.offset.min(length),
                false => length,
            };
            self.part = Some((open, part));
            self.read(from, self.first_piece)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn enter_own(&mut self) -> Result<()> {
        let from = match self.header {
            Some(header) if self.begun.next_ordinal <= header.first_ordinal => {
                LogPosition::at_first_frame(header.first_ordinal)
            }
            _ => self.begun,
        };
        self.end = self.until.offset;
        self.read(from, self.first_piece)
    }

    fn is_last_piece(&self) -> bool {
        self.from.offset.plus(self.length.get()) >= self.end
    }

    /// The next record, and where it lies.
    ///
    /// # Errors
    /// As [`super::read_log`].
    pub(crate) fn next(&mut self) -> Result<Option<(Record, RecordPlace)>> {
        loop {
            let is_last = self.is_last_piece();
            match self.piece.step(is_last) {
                Step::Record(record, place) => {
                    if let Some(found) = self.wanted(record, place) {
                        return Ok(Some(found));
                    }
                }
                Step::Damage { is_doubtful: false } => {}
                Step::Damage { is_doubtful: true } => match &self.piece {
                    Piece::Frames(_) => self.read(self.after, ByteLength::new(u64::MAX))?,
                    Piece::Lines(_) => self.read_more(self.after)?,
                },
                Step::Over(_) if is_last => {
                    if !self.enter_next()? {
                        return Ok(None);
                    }
                }
                Step::Over(position) => self.read_more(position)?,
            }
        }
    }

    /// The record, unless it is the rest of a batch that is inherited in part.
    fn wanted(&mut self, record: Record, place: RecordPlace) -> Option<(Record, RecordPlace)> {
        if record.batch.is_last {
            self.after = place.end;
        }
        let Some((_, part)) = &self.part else {
            return Some((record, place));
        };
        let next_ordinal = part.next_ordinal;
        (record.ordinal < next_ordinal).then(|| (record, place.up_to(next_ordinal)))
    }

    /// Reads the next piece: a larger one where the last one held nothing whole.
    fn read_more(&mut self, from: LogPosition) -> Result<()> {
        let twice = self.length.get().saturating_mul(2);
        let length = match from.offset == self.from.offset {
            true => twice,
            false => twice.min(LARGEST_PIECE.max(self.length.get())),
        };
        self.read(from, ByteLength::new(length))
    }

    /// Reads a piece of this length, if the file has so much.
    fn read(&mut self, from: LogPosition, length: ByteLength) -> Result<()> {
        let left = self.end.get().saturating_sub(from.offset.get());
        let length = ByteLength::new(length.get().min(left));
        self.piece = match (&self.part, &self.header) {
            (Some((open, _)), _) => Piece::Frames(open.piece(from, length)?),
            (None, Some(header)) => {
                Piece::Frames(self.log.frames_at(header.seed(), (from, length))?)
            }
            (None, None) => Piece::Lines(self.log.lines_at(from, length)?),
        };
        (self.from, self.length, self.after) = (from, length, from);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::disk::RealDisk;
    use crate::sample_home::*;

    /// Reads a log from its start and on from each of its records, in pieces that begin with this
    /// length, as a scan of all of it reads.
    fn check(name: &str, bytes: &[u8], first_piece: u64) {
        let place = SampleHome::new();
        place.write(name, bytes);
        let format = LogFormat::of_file_name(name).unwrap();
        let log = OpenLog::open(&RealDisk, &place.file(name), format).unwrap();
        let mut scan = log.scan(None).unwrap();
        let mut all = Vec::new();
        while let Some(event) = scan.next() {
            if let LogEvent::Record(record) = event {
                all.push((record, scan.record_place()));
            }
        }
        let first_piece = ByteLength::new(first_piece);
        let read = |from, until| {
            let mut reader = ForwardReader::between(&log, (from, until), first_piece).unwrap();
            std::iter::from_fn(|| reader.next().unwrap()).collect::<Vec<_>>()
        };
        let end = LogScan::position(&scan);
        assert_eq!(read(log.first_position(), end), all, "from the start");
        for (at, (record, place)) in all.iter().enumerate() {
            let from_here = &all[at - record.batch.index as usize..];
            assert_eq!(read(place.start, end), from_here, "on from {place:?}");
            let behind = from_here.iter().filter(|(_, other)| other != place);
            let behind: Vec<_> = behind.cloned().collect();
            assert_eq!(read(place.end, end), behind, "behind {place:?}");
            let batch = from_here.iter().filter(|(_, other)| other == place);
            let batch: Vec<_> = batch.cloned().collect();
            assert_eq!(read(place.start, place.end), batch, "only {place:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn pieces_give_what_a_scan_of_all_gives(
            samples in prop::collection::vec((0usize..40, 0u8..8, any::<bool>()), 1..14),
            damage in prop::option::of(48usize..4000),
            first_piece in prop::sample::select(vec![1u64, 60, 700, 1 << 16]),
        ) {
            let record = |size: usize| response(&"x".repeat(size * 9));
            let batches: Vec<_> = samples
                .iter()
                .map(|(size, many, _)| (0..many % 3 + 1).map(|_| record(*size)).collect())
                .collect();
            let mut frames = native(1, &batches);
            if let Some(byte) = damage.and_then(|at| frames.get_mut(at)) {
                *byte ^= 0x41;
            }
            check("a.rlog", &frames, first_piece);
            let mut text = Vec::new();
            for (at, (size, how, is_explicit)) in (0u64..).zip(&samples) {
                match how {
                    0 => text.extend(b"\xff\n"),
                    1 => text.extend(b"\n"),
                    // White space behind a record is part of its line.
                    2 => {
                        text.extend(line(0, &record(*size), None).trim_end().bytes());
                        text.extend(b"    \n");
                    }
                    _ => {
                        let own = is_explicit.then_some(at);
                        text.extend(line(0, &record(*size), own).bytes());
                    }
                }
            }
            check("a.jsonl", &text, first_piece);
            text.pop();
            check("a.jsonl", &text, first_piece);
        }
    }
}
