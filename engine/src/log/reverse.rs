//! Reading a log backwards, from its tail.
//!
//! What must hold: the events are those that a forward scan gives, newest first. Wherever the
//! bytes alone do not tell them (at damage, or where nobody says how many lines lie before), the
//! forward scan is the judge: the log is read from its start then, and gone on with from there.
//! That is why somebody has to say that a native log has no damage: a batch that damage has put in
//! another place, or repeated, is as whole as any, and what comes before it may fit it.

use std::path::Path;

use selvedge_codec::jsonl::{self, LineScanStart};
use selvedge_codec::segment::FrameSeed;
use selvedge_codec::{ByteLength, ByteOffset, Ordinal};

use super::inherited::{OpenPart, Part, open_part};
use super::pieces::{FIRST_PIECE, FramesBack, larger};
use super::{LogEvent, LogPosition, LogScan, OpenLog, RecordPlace};
use crate::Result;
use crate::disk::Disk;
use crate::home::LogFormat;

/// The events of a log, newest first, read in pieces from the tail.
#[derive(Debug)]
pub struct ReverseReader<'d> {
    at: Place<'d>,
    /// The ordinal after the records that are still to be given, where that is known.
    before: Option<Ordinal>,
    way: Way,
    /// Whether anything was given yet of the file that is read.
    is_begun: bool,
    /// The inherited segments before the file that is read, the next one last.
    parts: Vec<Part>,
    /// Where the batch of the record given last lies.
    place: Option<RecordPlace>,
    /// Whether a native log is taken for one without damage.
    is_clean: bool,
}

/// The file that is read.
#[derive(Debug)]
enum Place<'d> {
    /// The log's own; for a native log with the ordinal of its first record.
    Own(OpenLog<'d>, Ordinal),
    Inherited(OpenPart<'d>, Part),
}

/// How the events before are found.
#[derive(Debug)]
enum Way {
    Frames(Frames),
    Lines(Lines),
    /// What a forward scan gave, oldest first.
    Scanned(Vec<LogEvent>),
}

/// What comes next.
enum Step {
    /// An event, and where its batch or line lies, where that is known.
    Event(LogEvent, Option<RecordPlace>),
    /// Nothing: the file's front was reached.
    Front,
    /// Only a forward scan tells.
    Unclear,
}

/// Reads a log backwards from where an earlier forward reader stopped that met no damage: in pieces,
/// no more than is asked for. Without such a position the log is read from its start first, to find
/// its tail and its damage.
///
/// # Errors
/// As [`super::read_log`].
pub fn read_log_backwards<'d>(
    disk: &'d dyn Disk,
    file: &Path,
    format: LogFormat,
    from: Option<LogPosition>,
) -> Result<ReverseReader<'d>> {
    ReverseReader::over(OpenLog::open(disk, file, format)?, (from, from.is_some()))
}

/// The log's first ordinal, the inherited parts that are asked for, and the way to begin with.
fn begin(
    log: &OpenLog<'_>,
    (from, is_clean): (Option<LogPosition>, bool),
) -> Result<(Ordinal, Vec<Part>, Way)> {
    Ok(match (log.format(), from) {
        (LogFormat::Native, from) => {
            let header = log.header()?;
            let (first, mut parts) = (header.first_ordinal, log.parts(&header)?);
            let way = match from.filter(|from| from.next_ordinal <= first) {
                Some(from) => {
                    parts.retain(|part| part.first_ordinal < from.next_ordinal);
                    Way::Scanned(Vec::new())
                }
                None if !is_clean => {
                    Way::Scanned(scanned(own_frames(log, first)?, from.map(Bound::of)))
                }
                None => {
                    let end = from.map_or(log.stat().len.get(), |from| from.offset.get());
                    let seed = header.seed();
                    Way::Frames(Frames::ending_at(log, seed, ByteOffset::new(end))?)
                }
            };
            (first, parts, way)
        }
        (LogFormat::JsonLines, Some(from)) => {
            let lines = Lines {
                end: from.offset,
                next_ordinal: from.next_ordinal,
                piece: FIRST_PIECE,
                found: Vec::new(),
                has_explicit_ordinals: false,
            };
            (Ordinal::ZERO, Vec::new(), Way::Lines(lines))
        }
        (_, from) => {
            let way = Way::Scanned(scanned(log.scan(None)?, from.map(Bound::of)));
            (Ordinal::ZERO, Vec::new(), way)
        }
    })
}

/// What was given already, or is not asked for.
#[derive(Debug, Clone, Copy)]
struct Bound {
    /// Records from this one on; `None` when none was given.
    ordinal: Option<Ordinal>,
    /// Damage from here on.
    offset: ByteOffset,
}

impl Bound {
    const fn of(from: LogPosition) -> Self {
        Self {
            ordinal: Some(from.next_ordinal),
            offset: from.offset,
        }
    }

    fn is_to_come(&self, event: &LogEvent) -> bool {
        match event {
            LogEvent::Record(record) => self.ordinal.is_none_or(|end| record.ordinal < end),
            // A gap of no bytes lies right before the record that was given last.
            LogEvent::Damage(damage) => {
                damage.offset < self.offset
                    || damage.offset == self.offset
                        && damage.length == ByteLength::ZERO
                        && self.ordinal.is_some_and(|end| damage.next_ordinal <= end)
            }
        }
    }
}

/// What a forward scan gives up to the bound, oldest first.
fn scanned(scan: impl Iterator<Item = LogEvent>, bound: Option<Bound>) -> Vec<LogEvent> {
    let is_to_come = |event: &LogEvent| bound.is_none_or(|bound| bound.is_to_come(event));
    scan.take_while(is_to_come).collect()
}

/// What a forward scan of a log's own file alone gives.
fn own_frames(log: &OpenLog<'_>, first: Ordinal) -> Result<LogScan> {
    log.scan(Some(LogPosition::at_first_frame(first)))
}

impl<'d> Place<'d> {
    const fn log(&self) -> &OpenLog<'d> {
        match self {
            Self::Own(log, _) => log,
            Self::Inherited(open, _) => &open.log,
        }
    }

    /// The ordinal that the file's first record should have.
    const fn first_ordinal(&self) -> Ordinal {
        match self {
            Self::Own(_, first) => *first,
            Self::Inherited(_, part) => part.first_ordinal,
        }
    }

    /// What a forward scan of this file alone gives up to the bound, oldest first.
    fn scanned(&self, bound: Option<Bound>) -> Result<Vec<LogEvent>> {
        Ok(match self {
            Self::Own(log, first) if log.format() == LogFormat::Native => {
                scanned(own_frames(log, *first)?, bound)
            }
            Self::Own(log, _) => scanned(log.scan(None)?, bound),
            Self::Inherited(open, part) => scanned(open.scan(part.clone(), None)?, bound),
        })
    }
}

impl<'d> ReverseReader<'d> {
    /// Reads an open log backwards: in pieces, if a forward reader that came to `from` has met no
    /// damage.
    pub(crate) fn over(
        log: OpenLog<'d>,
        (from, is_clean): (Option<LogPosition>, bool),
    ) -> Result<Self> {
        let disk = log.disk();
        let (first, parts, way) = begin(&log, (from, is_clean))?;
        let mut reader = Self {
            at: Place::Own(log, first),
            before: from.map(|from| from.next_ordinal),
            way,
            is_begun: false,
            parts,
            place: None,
            is_clean,
        };
        if let Some(from) = from.filter(|from| from.next_ordinal <= first) {
            reader.enter_part(disk, Some(from))?;
        }
        Ok(reader)
    }

    /// Where the batch lies that the record given last belongs to; `None` where that is not
    /// known, and after damage.
    pub(crate) const fn record_place(&self) -> Option<RecordPlace> {
        self.place
    }

    fn step(&mut self) -> Result<Option<LogEvent>> {
        loop {
            let (step, offset) = match &mut self.way {
                Way::Frames(frames) => {
                    let step = frames.step(self.at.log(), self.before)?;
                    let lacks_records = self
                        .before
                        .is_some_and(|before| before != self.at.first_ordinal());
                    match step {
                        Step::Front if lacks_records => (Step::Unclear, frames.walk.whole_start()),
                        step => (step, frames.walk.whole_start()),
                    }
                }
                Way::Lines(lines) => (lines.step(self.at.log())?, lines.end),
                Way::Scanned(events) => {
                    let event = events.pop().map(|event| Step::Event(event, None));
                    (event.unwrap_or(Step::Front), ByteOffset::ZERO)
                }
            };
            match step {
                Step::Event(event, place) => {
                    self.place = match &self.at {
                        Place::Own(..) => place,
                        Place::Inherited(_, part) => place.map(|at| at.up_to(part.next_ordinal)),
                    };
                    return Ok(Some(event));
                }
                Step::Unclear => {
                    let ordinal = self.before;
                    // Of an inherited segment all is wanted as long as nothing was given.
                    let is_bounded = self.is_begun || matches!(self.at, Place::Own(..));
                    let bound = is_bounded.then_some(Bound { ordinal, offset });
                    self.way = Way::Scanned(self.at.scanned(bound)?);
                }
                Step::Front if self.parts.is_empty() => return Ok(None),
                Step::Front => self.enter_part(self.at.log().disk(), None)?,
            }
        }
    }

    /// Goes on in the inherited segment before, from its end or from a position in it.
    fn enter_part(&mut self, disk: &'d dyn Disk, from: Option<LogPosition>) -> Result<()> {
        let Some(mut part) = self.parts.pop() else {
            return Ok(());
        };
        let from = from.filter(|from| from.next_ordinal < part.next_ordinal);
        if let Some(from) = from {
            part.next_ordinal = from.next_ordinal;
        }
        self.before = Some(part.next_ordinal);
        self.is_begun = false;
        self.way = match open_part(disk, &part)? {
            Err(why) => Way::Scanned(vec![LogEvent::Damage(part.lost(why))]),
            Ok(open) if !self.is_clean => {
                self.at = Place::Inherited(open, part);
                Way::Scanned(self.at.scanned(from.map(Bound::of))?)
            }
            Ok(open) => {
                let end = open.log.stat().len.get();
                let end = ByteOffset::new(from.map_or(end, |from| from.offset.get().min(end)));
                let frames = Frames::ending_at(&open.log, open.seed(), end)?;
                self.at = Place::Inherited(open, part);
                Way::Frames(frames)
            }
        };
        Ok(())
    }
}

impl Iterator for ReverseReader<'_> {
    type Item = Result<LogEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        let event = self.step();
        match &event {
            Ok(Some(LogEvent::Record(record))) => {
                self.before = Some(record.ordinal);
                self.is_begun = true;
            }
            Ok(_) => self.is_begun = true,
            // An error is told once.
            Err(_) => {
                self.way = Way::Scanned(Vec::new());
                self.parts = Vec::new();
            }
        }
        event.transpose()
    }
}

/// A walk over a native log's frames.
#[derive(Debug)]
struct Frames {
    walk: FramesBack,
    /// Whether a record was given.
    is_begun: bool,
}

impl Frames {
    fn ending_at(log: &OpenLog<'_>, seed: FrameSeed, end: ByteOffset) -> Result<Self> {
        Ok(Self {
            walk: FramesBack::ending_at(log, seed, end)?,
            is_begun: false,
        })
    }

    /// Where the batch of the record given last lies.
    fn place(&self) -> Option<RecordPlace> {
        let at = |offset, next_ordinal| LogPosition {
            offset,
            next_ordinal,
            bad_since_record: 0,
        };
        let (first, next) = self.walk.batch_ordinals()?;
        Some(RecordPlace {
            start: at(self.walk.whole_start(), first),
            end: at(self.walk.batch_end(), next),
        })
    }

    fn step(&mut self, log: &OpenLog<'_>, before: Option<Ordinal>) -> Result<Step> {
        loop {
            return Ok(match self.walk.next(log)? {
                Some(Ok(record)) => match before {
                    // The rest of a batch that is asked for in part.
                    Some(before) if record.ordinal >= before && !self.is_begun => continue,
                    Some(before) if record.ordinal.next() != before => Step::Unclear,
                    _ => {
                        self.is_begun = true;
                        Step::Event(LogEvent::Record(record), self.place())
                    }
                },
                Some(Err(_)) => Step::Unclear,
                None => Step::Front,
            });
        }
    }
}

/// A walk over lines, whose ordinals are counted down.
#[derive(Debug)]
struct Lines {
    /// Where the lines end that were not read yet.
    end: ByteOffset,
    /// The ordinal after the records before.
    next_ordinal: Ordinal,
    /// How much is read next.
    piece: ByteLength,
    /// What is left to give of the last piece, oldest first.
    found: Vec<(LogEvent, RecordPlace)>,
    /// Whether a later record carries its ordinal in its line: then a bad line before may have
    /// taken one.
    has_explicit_ordinals: bool,
}

impl Lines {
    fn step(&mut self, log: &OpenLog<'_>) -> Result<Step> {
        loop {
            if let Some((event, place)) = self.found.pop() {
                return Ok(Step::Event(event, Some(place)));
            }
            if self.end == ByteOffset::ZERO {
                return Ok(Step::Front);
            }
            if !self.read_piece(log)? {
                return Ok(Step::Unclear);
            }
        }
    }

    /// Reads the lines before. `false` when their ordinals can't be told.
    fn read_piece(&mut self, log: &OpenLog<'_>) -> Result<bool> {
        let (offset, bytes) = self.lines_before(log)?;
        let start = LineScanStart {
            offset,
            ..LineScanStart::default()
        };
        let mut scan = log.lines(jsonl::scan(bytes, start), None);
        let mut found = Vec::new();
        while let Some(event) = scan.next() {
            found.push((event, scan.record_place()));
        }
        let records = scan.position().next_ordinal.get();
        let has_damage = found
            .iter()
            .any(|(event, _)| matches!(event, LogEvent::Damage(_)));
        self.has_explicit_ordinals |= scan.has_explicit_ordinals();
        let Some(first) = self.next_ordinal.get().checked_sub(records) else {
            return Ok(false);
        };
        if has_damage && self.has_explicit_ordinals || scan.torn_tail().is_some() {
            return Ok(false);
        }
        for (event, place) in &mut found {
            place.start.next_ordinal = place.start.next_ordinal.plus(first);
            place.end.next_ordinal = place.end.next_ordinal.plus(first);
            match event {
                LogEvent::Record(record) => record.ordinal = record.ordinal.plus(first),
                LogEvent::Damage(damage) => {
                    damage.first_ordinal = damage.first_ordinal.plus(first);
                    damage.next_ordinal = damage.next_ordinal.plus(first);
                }
            }
        }
        self.found = found;
        self.end = offset;
        self.piece = larger(self.piece);
        self.next_ordinal = Ordinal::new(first);
        Ok(true)
    }

    /// Whole lines before the end, about a piece of them, and where they begin.
    fn lines_before(&self, log: &OpenLog<'_>) -> Result<(ByteOffset, bytes::Bytes)> {
        let mut length = self.piece.get();
        loop {
            let from = self.end.get().saturating_sub(length);
            let there = ByteLength::new(self.end.get() - from);
            let bytes = log.read(ByteOffset::new(from), there)?;
            if from == 0 {
                return Ok((ByteOffset::ZERO, bytes));
            }
            // The last byte is the newline of the last line, and begins none of them.
            let before_last = bytes.get(..bytes.len().saturating_sub(1));
            if let Some(newline) = before_last.and_then(|bytes| memchr::memchr(b'\n', bytes)) {
                let skipped = newline + 1;
                let offset = ByteOffset::new(from).plus(skipped as u64);
                return Ok((offset, bytes.slice(skipped..)));
            }
            length = length.saturating_mul(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::log::{load_history, read_log};
    use crate::sample_home::*;
    use proptest::prelude::*;

    /// Reads a log both ways, from its end and from where the forward reader stopped.
    fn check(name: &str, bytes: &[u8]) {
        let place = SampleHome::new();
        place.write(name, bytes);
        let file = place.file(name);
        let format = LogFormat::of_file_name(name).unwrap();
        let mut scan = read_log(&RealDisk, &file, format, None).unwrap();
        let mut forward: Vec<_> = scan.by_ref().collect();
        forward.reverse();
        for from in [None, Some(scan.position())] {
            let reader = read_log_backwards(&RealDisk, &file, format, from).unwrap();
            let backward: Vec<_> = reader.map(|event| event.unwrap()).collect();
            assert_eq!(backward, forward, "from {from:?}");
        }
    }

    /// Records that take several pieces, with one larger than a piece among them.
    fn long() -> Vec<Sample> {
        let mut samples = vec![meta(1, "")];
        for size in [70_000, 600_000, 10, 90_000, 90_000, 90_000, 10] {
            samples.push(response(&"x".repeat(size)));
            samples.extend(turn("a"));
        }
        samples
    }

    #[test]
    fn a_long_log_is_read_in_pieces_from_its_tail() {
        check("a.jsonl", &lines(&long()));
        let batches: Vec<_> = long().chunks(3).map(<[Sample]>::to_vec).collect();
        check("a.rlog", &native(1, &batches));
        check("a.rlog", &native(1, &[long()]));
        check(
            "a.jsonl.zst",
            &zstd::encode_all(&lines(&long())[..], 0).unwrap(),
        );
    }

    #[test]
    fn damage_and_a_torn_tail_are_told_as_the_forward_scan_tells_them() {
        let batches: Vec<_> = long().chunks(2).map(<[Sample]>::to_vec).collect();
        let whole = native(1, &batches);
        for at in [60, whole.len() / 2, whole.len() - 60] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            check("a.rlog", &damaged);
            check("a.rlog", &damaged[..damaged.len() - 3]);
        }
        let mut bad = lines(&long());
        let text_at = bad.len() / 2;
        bad[text_at] = b'\n';
        check("a.jsonl", &bad);
        check("a.jsonl", &bad[..bad.len() - 3]);
        check("a.jsonl", &bad[..bad.len() - 1]);
    }

    /// A copy of an earlier batch behind the last one was taken for the newest: it was given first,
    /// and then those before it. The batches between were gone without a word.
    #[test]
    fn a_repeated_batch_hides_nothing_from_who_reads_backwards() {
        let batches: Vec<_> = (0..4).map(|at| vec![user(&format!("{at}"))]).collect();
        let good = native(1, &batches);
        let ends: Vec<_> = (0..=4).map(|to| native(1, &batches[..to]).len()).collect();
        let place = SampleHome::new();
        let file = place.file("a.rlog");
        for (first, last) in [(1, 2), (0, 3), (2, 4), (3, 4)] {
            for behind in last..=4 {
                let (front, back) = good.split_at(ends[behind]);
                let copy = &good[ends[first]..ends[last]];
                place.write("a.rlog", &[front, copy, back].concat());
                let forward = read_log(&RealDisk, &file, LogFormat::Native, None).unwrap();
                let forward: Vec<_> = forward.collect();
                let records = forward
                    .iter()
                    .filter(|event| matches!(event, LogEvent::Record(_)));
                assert_eq!(records.count(), 4);
                let reader = read_log_backwards(&RealDisk, &file, LogFormat::Native, None).unwrap();
                let mut backward: Vec<_> = reader.map(|event| event.unwrap()).collect();
                backward.reverse();
                assert_eq!(backward, forward, "{first}..{last} behind {behind}");
            }
        }
    }

    #[test]
    fn only_as_much_is_read_as_is_asked_for() {
        let place = SampleHome::new();
        let bytes = native(1, &[long(), long(), vec![user("last words")]]);
        place.write("a.rlog", &bytes);
        let file = place.file("a.rlog");
        let end = load_history(&RealDisk, &file, LogFormat::Native).unwrap();
        let from = Some(end.position);
        let mut reader = read_log_backwards(&RealDisk, &file, LogFormat::Native, from).unwrap();
        // What comes before the piece is damaged meanwhile, which nobody notices yet.
        let mut damaged = bytes;
        damaged[100] ^= 1;
        place.write("a.rlog", &damaged);
        let Some(Ok(LogEvent::Record(record))) = reader.next() else {
            panic!("the last record is intact");
        };
        assert!(record.payload_json().unwrap().get().contains("last words"));
    }

    #[test]
    fn a_log_without_a_record_has_nothing_to_read_backwards() {
        check("a.rlog", &native(1, &[]));
        check("a.jsonl", b"");
        check("a.jsonl", b"\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn backwards_is_forwards_the_other_way_round(
            samples in prop::collection::vec((0u32..60, 0u8..8, any::<bool>()), 1..20),
            explicit_from in 0u64..24,
        ) {
            let mut bytes = Vec::new();
            for (at, (kilobytes, how, skips)) in (0u64..).zip(samples) {
                let sample = response(&"x".repeat(kilobytes as usize * 1024));
                let own = (at >= explicit_from).then_some(if skips { at } else { at / 2 });
                match how {
                    0 => bytes.extend(b"\xff\n"),
                    1 => bytes.extend(b"\n"),
                    _ => bytes.extend(line(0, &sample, own).bytes()),
                }
            }
            check("a.jsonl", &bytes);
        }
    }
}
