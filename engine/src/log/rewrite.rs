//! What takes the place of a damaged log: a pure function of its bytes.
//!
//! What must hold:
//! - Every record that a reader of the damaged log is given is in the new one, with its ordinal and
//!   its bytes; and nothing else is, but for records that say what was lost.
//! - What is not damaged is copied as it lies there, frames and lines.
//! - A new log has no damage, so that rewriting it again finds nothing to do.
//!
//! Where ordinals are missing, each gets a record of the type `lost`: then all that goes by ordinals
//! (cursors, forks, subscriptions) stays true. In JSON lines ordinals are positions, and a damaged
//! line has one only if the lines after it say so; one that has none is left out.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use selvedge_codec::jsonl::{self, LineEvent, LineScanStart};
use selvedge_codec::segment::{
    self, HEADER_BYTES, ScanEnd, ScanEvent, ScanStart, SegmentHeader, encode_batch,
};
use selvedge_codec::view::Lost;
use selvedge_codec::{
    BatchPosition, ByteLength, ByteOffset, CodecError, LOST_TYPE, Ordinal, PayloadEncoding, Record,
    RecordType, ThreadId, UtcMicros,
};

use super::Damage;

/// The most records that a repair gives up in one log. More than that were never in one that has
/// lost them: a forged frame can name any ordinal.
pub(crate) const MAX_LOST_RECORDS: u64 = 1 << 20;

/// How much is written at once.
const PIECE_BYTES: usize = 1 << 20;

/// Takes the pieces of a new log.
pub(super) type Out<'a> = dyn FnMut(&[u8]) -> io::Result<()> + 'a;

/// Records that a repair could not save.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LostRun {
    /// What was wrong, where, and which ordinals are missing for it.
    damage: Damage,
    /// The time of a record beside them.
    time: UtcMicros,
}

/// A part of the new log.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Bytes of the damaged log.
    Kept(Range<usize>),
    /// In the place of bytes that are given up.
    Lost(LostRun),
}

/// What the bytes of a log are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Layout {
    /// A native segment with this header, which may be another one than its bytes have.
    Segment(SegmentHeader),
    /// JSON lines, not compressed.
    Lines,
}

impl Layout {
    const fn first_ordinal(&self) -> Ordinal {
        match self {
            Self::Segment(header) => header.first_ordinal,
            Self::Lines => Ordinal::ZERO,
        }
    }
}

/// A log that takes a damaged one's place.
#[derive(Debug)]
pub(crate) struct Rewrite {
    layout: Layout,
    source: Bytes,
    pieces: Vec<Piece>,
    /// How many records are kept.
    pub(crate) kept: u64,
    /// How many are lost, each of which the new log has a record of.
    pub(crate) lost: u64,
    /// What is given up, in its order.
    pub(crate) given_up: Vec<Damage>,
    /// The ordinal after the last record.
    pub(crate) next_ordinal: Ordinal,
}

impl Rewrite {
    /// Plans the log that takes the place of the one with these bytes.
    pub(crate) fn plan(source: Bytes, layout: Layout) -> Self {
        let mut plan = Planner {
            rewrite: Self {
                layout,
                source: source.clone(),
                pieces: Vec::new(),
                kept: 0,
                lost: 0,
                given_up: Vec::new(),
                next_ordinal: layout.first_ordinal(),
            },
            run: 0..0,
            gap: None,
            time: None,
        };
        match layout {
            Layout::Segment(header) => plan.segment(&source, &header),
            Layout::Lines => plan.lines(&source),
        }
        plan.rewrite
    }

    /// The thread that the log's header names.
    pub(crate) const fn thread_id(&self) -> Option<ThreadId> {
        match self.layout {
            Layout::Segment(header) => Some(header.thread_id),
            Layout::Lines => None,
        }
    }

    /// The ordinal of the log's own first record.
    pub(crate) const fn first_ordinal(&self) -> Ordinal {
        self.layout.first_ordinal()
    }

    /// Whether the log is as it should be.
    pub(crate) fn is_sound(&self) -> bool {
        self.given_up.is_empty()
    }

    /// Also gives up what lies behind the end of what could be unpacked.
    pub(crate) fn give_up(&mut self, damage: Damage) {
        self.given_up.push(damage);
    }

    /// Whether damage before the first record leaves no trace in the new log.
    pub(crate) fn forgets_its_head(&self) -> bool {
        let is_first = |damage: &Damage| damage.first_ordinal == Ordinal::ZERO;
        let is_told = |piece: &Piece| matches!(piece, Piece::Lost(run) if is_first(&run.damage));
        self.given_up.first().is_some_and(is_first) && !self.pieces.iter().any(is_told)
    }

    /// The records that are kept.
    pub(crate) fn kept_records(&self) -> impl Iterator<Item = Record> + use<> {
        records(&self.source, self.layout)
    }

    /// Writes the new log in pieces. `copy` is where the damaged one is kept, below the home.
    ///
    /// # Errors
    /// What `out` fails with, and [`io::ErrorKind::InvalidData`] for a record that can't be encoded.
    pub(crate) fn write(&self, copy: &str, out: &mut Out<'_>) -> io::Result<()> {
        let mut buffer = Vec::new();
        if let Layout::Segment(header) = self.layout {
            buffer.extend_from_slice(&header.encode());
        }
        for piece in &self.pieces {
            match piece {
                Piece::Kept(range) => {
                    out(&buffer)?;
                    buffer.clear();
                    out(self.source.get(range.clone()).unwrap_or_default())?;
                }
                Piece::Lost(run) => {
                    let payload = payload_of(run, copy)?;
                    let damage = &run.damage;
                    for ordinal in damage.first_ordinal.get()..damage.next_ordinal.get() {
                        self.encode(
                            lost_record(Ordinal::new(ordinal), run, &payload),
                            &mut buffer,
                        )
                        .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
                        if buffer.len() >= PIECE_BYTES {
                            out(&buffer)?;
                            buffer.clear();
                        }
                    }
                }
            }
        }
        out(&buffer)
    }

    fn encode(&self, record: Record, buffer: &mut Vec<u8>) -> Result<(), CodecError> {
        match self.layout {
            Layout::Segment(header) => encode_batch(header.seed(), &mut [record], buffer),
            Layout::Lines => {
                jsonl::render_line(&record, buffer)?;
                buffer.push(b'\n');
                Ok(())
            }
        }
    }

    /// Whether `new` is what a reader must find in the new log: no damage, all records of the damaged
    /// one, and no others but those that say what was lost.
    pub(crate) fn is_read_as(&self, new: &Bytes) -> bool {
        if !Self::plan(new.clone(), self.layout).is_sound() {
            return false;
        }
        let mut old = records(&self.source, self.layout);
        let mut lost = 0;
        let mut expected = old.next();
        for record in records(new, self.layout) {
            match &expected {
                Some(known) if *known == record => expected = old.next(),
                _ if *record.record_type.as_str() == *LOST_TYPE => lost += 1,
                _ => return false,
            }
        }
        expected.is_none() && lost == self.lost
    }

    /// The log's lines, compressed.
    ///
    /// # Errors
    /// As [`Rewrite::write`].
    pub(crate) fn compressed(&self, copy: &str) -> io::Result<Vec<u8>> {
        jsonl::compress(|out| self.write(copy, &mut |piece| out.write_all(piece)))
    }
}

fn payload_of(run: &LostRun, copy: &str) -> io::Result<Bytes> {
    let lost = Lost {
        reason: Some(run.damage.why.to_string().into()),
        copy: Some(copy.into()),
        offset: Some(run.damage.offset.get()),
        length: Some(run.damage.length.get()),
    };
    Ok(serde_json::to_vec(&lost)?.into())
}

fn lost_record(ordinal: Ordinal, run: &LostRun, payload: &Bytes) -> Record {
    Record {
        ordinal,
        time: run.time,
        record_type: RecordType::Other(LOST_TYPE.into()),
        event: None,
        turn_id: None,
        batch: BatchPosition::WHOLE,
        // The line carries the ordinal: without it the lines after it would not be believed theirs.
        encoding: PayloadEncoding::JsonWithOrdinal,
        body: payload.clone(),
    }
}

/// The records that a reader of a log's own bytes is given.
fn records(bytes: &Bytes, layout: Layout) -> Box<dyn Iterator<Item = Record>> {
    match layout {
        Layout::Segment(header) => {
            let frames = frames_of(bytes, &header);
            Box::new(frames.filter_map(|event| match event {
                ScanEvent::Record(record) => Some(record),
                ScanEvent::Gap(_) => None,
            }))
        }
        Layout::Lines => {
            let lines = jsonl::scan(bytes.clone(), LineScanStart::default());
            Box::new(lines.filter_map(|event| match event {
                LineEvent::Record { record, .. } => Some(record),
                LineEvent::BadLine { .. } => None,
            }))
        }
    }
}

fn frames_of(bytes: &Bytes, header: &SegmentHeader) -> segment::Scan {
    let start = ScanStart {
        seed: header.seed(),
        offset: ByteOffset::new(HEADER_BYTES as u64),
        next_ordinal: header.first_ordinal,
    };
    segment::scan(bytes.slice(HEADER_BYTES.min(bytes.len())..), start)
}

/// Whether any whole record lies in a segment under this header.
pub(crate) fn has_frames(bytes: &Bytes, header: &SegmentHeader) -> bool {
    frames_of(bytes, header).any(|event| matches!(event, ScanEvent::Record(_)))
}

/// Goes through a log and gathers what is kept.
struct Planner {
    rewrite: Rewrite,
    /// What is kept since the last piece.
    run: Range<usize>,
    /// Missing ordinals, until the record behind them is met.
    gap: Option<Damage>,
    /// The time of the record met last.
    time: Option<UtcMicros>,
}

/// A file's offset as a place in the buffer that holds the file.
fn place(offset: ByteOffset) -> usize {
    usize::try_from(offset.get()).unwrap_or(usize::MAX)
}

impl Planner {
    fn segment(&mut self, source: &Bytes, header: &SegmentHeader) {
        let header_bytes = source.get(..HEADER_BYTES).unwrap_or(source);
        if *header_bytes != header.encode() {
            let why = SegmentHeader::decode(header_bytes).err();
            self.rewrite.given_up.push(Damage {
                offset: ByteOffset::ZERO,
                length: ByteLength::new(header_bytes.len() as u64),
                first_ordinal: header.first_ordinal,
                next_ordinal: header.first_ordinal,
                why: why.unwrap_or(CodecError::HeaderChecksum),
            });
        }
        self.run = HEADER_BYTES..HEADER_BYTES;
        let mut frames = frames_of(source, header);
        while let Some(event) = frames.next() {
            match event {
                ScanEvent::Record(record) => {
                    self.take(&record);
                    self.run.end = place(frames.whole_end());
                }
                ScanEvent::Gap(gap) => {
                    let length = gap.end.get().saturating_sub(gap.start.get());
                    self.skip(Damage {
                        offset: gap.start,
                        length: ByteLength::new(length),
                        first_ordinal: gap.first_ordinal,
                        next_ordinal: gap.next_ordinal,
                        why: gap.why,
                    });
                    self.run = place(gap.end)..place(gap.end);
                }
            }
        }
        let next_ordinal = self.rewrite.next_ordinal;
        self.finish_run();
        if let Some(ScanEnd::TornTail { start, length, why }) = frames.end() {
            self.rewrite.given_up.push(Damage {
                offset: start,
                length,
                first_ordinal: next_ordinal,
                next_ordinal,
                why,
            });
        }
    }

    fn lines(&mut self, source: &Bytes) {
        let mut lines = jsonl::scan(source.clone(), LineScanStart::default());
        while let Some(event) = lines.next() {
            let expected = self.rewrite.next_ordinal;
            match event {
                LineEvent::Record { record, .. } => {
                    if let Some(damage) = self.rewrite.given_up.last_mut()
                        && record.ordinal > expected
                    {
                        // The last of the bad lines before it tells for all of them.
                        damage.next_ordinal = record.ordinal;
                        self.gap = Some(damage.clone());
                    }
                    self.take(&record);
                    self.run.end = place(lines.state().offset);
                }
                LineEvent::BadLine {
                    offset,
                    length,
                    why,
                } => {
                    // Blank lines before it stay.
                    self.run.end = place(offset);
                    self.skip(Damage {
                        offset,
                        length,
                        first_ordinal: expected,
                        next_ordinal: expected,
                        why,
                    });
                    let behind = place(lines.state().offset);
                    self.run = behind..behind;
                }
            }
        }
        self.run.end = source.len();
        let expected = self.rewrite.next_ordinal;
        if let Some((offset, length)) = lines.torn_tail() {
            self.run.end = place(offset);
            self.rewrite.given_up.push(Damage {
                offset,
                length,
                first_ordinal: expected,
                next_ordinal: expected,
                why: CodecError::NotARecordLine {
                    why: "the last line is cut short".to_owned(),
                },
            });
        }
        self.finish_run();
    }

    /// Takes a record that is kept.
    fn take(&mut self, record: &Record) {
        if let Some(damage) = self.gap.take() {
            let missing = damage.next_ordinal.get() - damage.first_ordinal.get();
            self.rewrite.lost = self.rewrite.lost.saturating_add(missing);
            let time = self.time.unwrap_or(record.time);
            self.rewrite
                .pieces
                .push(Piece::Lost(LostRun { damage, time }));
        }
        self.rewrite.kept += 1;
        self.rewrite.next_ordinal = record.ordinal.next();
        self.time = Some(record.time);
    }

    /// Gives up what lies behind the run.
    fn skip(&mut self, damage: Damage) {
        self.finish_run();
        if damage.next_ordinal > damage.first_ordinal {
            self.gap = Some(damage.clone());
        }
        self.rewrite.given_up.push(damage);
    }

    fn finish_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        if !run.is_empty() {
            self.rewrite.pieces.push(Piece::Kept(run));
        }
    }
}
