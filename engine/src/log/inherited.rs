//! Reading the segments that a fork inherits.
//!
//! What must hold: of the records before a log's first one each is given, or told as missing;
//! and whatever became of an inherited segment hides no record of the log's own.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use selvedge_codec::segment::{
    self, FrameSeed, HEADER_BYTES, ScanEnd, ScanEvent, ScanStart, SegmentHeader, SegmentNumber,
    checksum_of_frame_beginning, length_of_frame_ending,
};
use selvedge_codec::{ByteLength, ByteOffset, CodecError, Ordinal, ThreadId};

use super::head::{HEADER_LENGTH, Head};
use super::{Damage, LogEvent, LogPosition, OpenLog, RecordPlace};
use crate::disk::{Disk, FileKind};
use crate::home::{Home, InheritedName, LogFormat};
use crate::{Error, Result};

/// The ending of a file that becomes a segment once it is whole.
pub(super) const UNFINISHED: &str = ".new";
/// The name of records of JSON lines that are written down, until it is known what they come to.
pub(super) const WRITTEN_DOWN: &str = "records";

/// What a log inherits of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its place among the log's segments.
    pub(crate) segment: SegmentNumber,
    /// The ordinal of its first record.
    pub(crate) first_ordinal: Ordinal,
    /// The ordinal after its last record.
    pub(crate) next_ordinal: Ordinal,
    /// Where it lies; `None` when it is missing.
    pub(crate) file: Option<PartFile>,
}

/// The file of an inherited segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartFile {
    pub(crate) path: PathBuf,
    pub(crate) name: InheritedName,
}

impl Part {
    fn damage(&self, offset: ByteOffset, from: Ordinal, why: CodecError) -> Damage {
        Damage {
            offset,
            length: ByteLength::ZERO,
            first_ordinal: from,
            next_ordinal: self.next_ordinal,
            why: self.why(why),
        }
    }

    /// All of it, as what can't be read.
    pub(super) fn lost(&self, why: CodecError) -> Damage {
        self.damage(ByteOffset::ZERO, self.first_ordinal, why)
    }

    fn why(&self, why: CodecError) -> CodecError {
        CodecError::Inherited {
            segment: self.segment,
            why: Box::new(why),
        }
    }
}

/// What lies in the folder of a thread's inherited segments. A folder is one that lies there itself: a
/// symbolic link in its place leads to what is not the thread's, and is as none.
fn entries(disk: &dyn Disk, dir: &Path) -> Result<Vec<(String, FileKind)>> {
    let is_none = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    };
    let listed = match disk.stat(dir) {
        Ok(stat) if stat.kind == FileKind::Directory => disk.list(dir),
        Ok(_) => return Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let entries = match listed {
        Err(error) if is_none(&error) => return Ok(Vec::new()),
        entries => entries.map_err(|error| Error::io("list", dir, error))?,
    };
    Ok(entries
        .into_iter()
        .filter_map(|entry| Some((entry.name.ok()?, entry.kind)))
        .collect())
}

/// The names of the segments that lie in a folder, in their order.
pub(super) fn names(disk: &dyn Disk, dir: &Path) -> Result<Vec<InheritedName>> {
    let mut names: Vec<_> = entries(disk, dir)?
        .into_iter()
        .filter(|(_, kind)| *kind == FileKind::File)
        .filter_map(|(name, _)| InheritedName::parse(&name))
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// The files in a folder of inherited segments that a fork has put there: segments, and what was to
/// become one. Whatever else lies there is somebody else's.
pub(super) fn files(disk: &dyn Disk, dir: &Path) -> Result<Vec<PathBuf>> {
    let is_ours = |name: &str| {
        let name = name.strip_suffix(UNFINISHED).unwrap_or(name);
        name == WRITTEN_DOWN || InheritedName::parse(name).is_some()
    };
    Ok(entries(disk, dir)?
        .into_iter()
        .filter(|(name, kind)| *kind == FileKind::File && is_ours(name))
        .map(|(name, _)| dir.join(name))
        .collect())
}

/// What the log at `file`, which has this header, inherits: parts that follow each other, from
/// ordinal 0 to the log's own first one.
pub(crate) fn parts(disk: &dyn Disk, file: &Path, header: &SegmentHeader) -> Result<Vec<Part>> {
    if header.first_ordinal == Ordinal::ZERO {
        return Ok(Vec::new());
    }
    let dir =
        Home::of_log_file(file).map(|home| home.resolve(&Home::inherited_dir(header.thread_id)));
    let names = dir
        .as_deref()
        .map_or(Ok(Vec::new()), |dir| names(disk, dir))?;
    let mut first_ordinal = Ordinal::ZERO;
    let mut parts = Vec::new();
    for (dir, name) in dir
        .iter()
        .flat_map(|dir| names.iter().map(move |name| (dir, name)))
    {
        let is_of_log = name.segment < header.segment && name.next_ordinal <= header.first_ordinal;
        if is_of_log && name.next_ordinal > first_ordinal {
            let path = dir.join(name.to_string());
            parts.push(Part {
                segment: name.segment,
                first_ordinal,
                next_ordinal: name.next_ordinal,
                file: Some(PartFile { path, name: *name }),
            });
            first_ordinal = name.next_ordinal;
        }
    }
    if first_ordinal < header.first_ordinal {
        parts.push(Part {
            segment: SegmentNumber::new(header.segment.get().saturating_sub(1)),
            first_ordinal,
            next_ordinal: header.first_ordinal,
            file: None,
        });
    }
    Ok(parts)
}

/// The header that a log has whose own was cut off or damaged: what it inherits says which.
pub(crate) fn header_of(
    disk: &dyn Disk,
    home: &Home,
    thread_id: ThreadId,
) -> Result<SegmentHeader> {
    let last = names(disk, &home.resolve(&Home::inherited_dir(thread_id)))?.pop();
    Ok(SegmentHeader {
        thread_id,
        segment: last.map_or(SegmentNumber::FIRST, |last| {
            SegmentNumber::new(last.segment.get().saturating_add(1))
        }),
        first_ordinal: last.map_or(Ordinal::ZERO, |last| last.next_ordinal),
    })
}

/// An inherited segment, opened for reading as far as it is inherited.
#[derive(Debug)]
pub(super) struct OpenPart<'d> {
    pub(super) log: OpenLog<'d>,
    pub(super) header: SegmentHeader,
    /// What is wrong with the header's bytes.
    header_damage: Option<Damage>,
    /// The last record is another one than was inherited, and is left out.
    is_replaced: bool,
}

/// Opens a part; what is wrong with it where nothing of it can be read.
pub(super) fn open_part<'d>(
    disk: &'d dyn Disk,
    part: &Part,
) -> Result<Result<OpenPart<'d>, CodecError>> {
    let Some(PartFile { path, name }) = &part.file else {
        return Ok(Err(CodecError::SegmentMissing));
    };
    let mut log = match OpenLog::open(disk, path, LogFormat::Native) {
        Ok(log) => log,
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(Err(CodecError::SegmentMissing));
        }
        Err(error) => return Err(error),
    };
    log.limit(ByteLength::new(name.end.get()));
    let header = log.read(ByteOffset::ZERO, HEADER_LENGTH)?;
    let head = match Head::of_segment(&log, &header)? {
        Ok(head) => head,
        Err(why) => return Ok(Err(why)),
    };
    let header = head.header;
    // A segment tells its place among the others, and begins behind the one before.
    if header.segment != part.segment || header.first_ordinal < part.first_ordinal {
        return Ok(Err(CodecError::SegmentReplaced));
    }
    let mut open = OpenPart {
        header_damage: head.damage(part.first_ordinal).map(|damage| Damage {
            why: part.why(damage.why),
            ..damage
        }),
        log,
        header,
        is_replaced: false,
    };
    let other = match last_frame(&open.log, name.end)? {
        Some((_, checksum)) if checksum == name.last_frame => None,
        Some((start, _)) => Some(start),
        None => open.batch_ending_elsewhere(part, name.next_ordinal)?,
    };
    if let Some(start) = other {
        open.is_replaced = true;
        open.log.limit(ByteLength::new(start.get()));
    }
    Ok(Ok(open))
}

/// Where the frame begins that ends at `end` of a segment, and its checksum, as its bytes say;
/// `None` where its lengths do not agree that there is one.
pub(super) fn last_frame(log: &OpenLog<'_>, end: ByteOffset) -> Result<Option<(ByteOffset, u32)>> {
    let Some(at) = end.get().checked_sub(4) else {
        return Ok(None);
    };
    let trailing = log.read(ByteOffset::new(at), ByteLength::new(4))?;
    let length = trailing
        .first_chunk()
        .and_then(|trailing| length_of_frame_ending(*trailing));
    let start = length
        .and_then(|length| end.get().checked_sub(length.get()))
        .filter(|start| *start >= HEADER_BYTES as u64);
    let Some(start) = start.map(ByteOffset::new) else {
        return Ok(None);
    };
    let leading = log.read(start, ByteLength::new(8))?;
    let leading = leading.first_chunk().filter(|leading| {
        // A damaged length leads into an earlier frame, or between two of them.
        trailing.first_chunk() == leading.first_chunk::<4>()
    });
    Ok(leading.map(|leading| (start, checksum_of_frame_beginning(*leading))))
}

/// The events of one part, in order.
#[derive(Debug)]
pub(super) struct PartScan {
    part: Part,
    /// What is missing before the first frame, or instead of all of them.
    lost: Option<Damage>,
    frames: Option<segment::Scan>,
    is_replaced: bool,
}

impl PartScan {
    /// Reads a part from its start, or from a position in it.
    pub(super) fn open(disk: &dyn Disk, part: Part, from: Option<LogPosition>) -> Result<Self> {
        // Where it begins, the offset may be one of the segment before.
        let from = from.filter(|from| from.next_ordinal > part.first_ordinal);
        match open_part(disk, &part)? {
            Ok(open) => open.scan(part, from),
            Err(why) => {
                let first = from.map_or(part.first_ordinal, |from| from.next_ordinal);
                Ok(Self {
                    lost: Some(part.damage(ByteOffset::ZERO, first, why)),
                    part,
                    frames: None,
                    is_replaced: false,
                })
            }
        }
    }

    /// Where reading goes on in this part; `None` when it goes on behind it.
    pub(super) fn position(&self) -> Option<LogPosition> {
        if let Some(lost) = &self.lost {
            return Some(LogPosition {
                offset: ByteOffset::new(HEADER_BYTES as u64),
                next_ordinal: lost.first_ordinal,
                bad_since_record: 0,
            });
        }
        let frames = self.frames.as_ref()?;
        (frames.next_ordinal() < self.part.next_ordinal).then(|| LogPosition {
            offset: frames.whole_end(),
            next_ordinal: frames.next_ordinal(),
            bad_since_record: 0,
        })
    }

    /// Where the batch lies that the record given last belongs to.
    fn record_place(&self) -> Option<RecordPlace> {
        let frames = self.frames.as_ref()?;
        Some(RecordPlace::of_frames(frames).up_to(self.part.next_ordinal))
    }

    fn last(&mut self) -> Option<LogEvent> {
        let frames = self.frames.take()?;
        let reached = frames.next_ordinal();
        if reached >= self.part.next_ordinal {
            return None;
        }
        let mut damage = self
            .part
            .damage(frames.whole_end(), reached, CodecError::SegmentCutShort);
        if let Some(ScanEnd::TornTail { length, why, .. }) = frames.end() {
            damage.length = length;
            damage.why = self.part.why(why);
        }
        if self.is_replaced {
            damage.why = self.part.why(CodecError::SegmentReplaced);
        }
        Some(LogEvent::Damage(damage))
    }
}

impl OpenPart<'_> {
    pub(super) fn scan(&self, part: Part, from: Option<LogPosition>) -> Result<PartScan> {
        let start = from.unwrap_or_else(|| self.first_position(&part));
        // Another part before this one is missing.
        let is_behind = from.is_none() && start.next_ordinal > part.first_ordinal;
        let lost = match is_behind {
            true => Some(Damage {
                next_ordinal: start.next_ordinal.min(part.next_ordinal),
                ..part.lost(CodecError::SegmentMissing)
            }),
            false => self.header_damage().filter(|_| from.is_none()),
        };
        let bytes = self.log.read(start.offset, self.log.stat().len)?;
        Ok(PartScan {
            frames: Some(self.frames(bytes, start)),
            part,
            lost,
            is_replaced: self.is_replaced,
        })
    }

    /// Where no frame ends where the inherited ones did: where the batch begins that has the last
    /// inherited ordinal all the same. It is another one.
    ///
    /// `last` is where the segment ends, of which `part` may be the beginning.
    fn batch_ending_elsewhere(&self, part: &Part, last: Ordinal) -> Result<Option<ByteOffset>> {
        let start = self.first_position(part);
        let bytes = self.log.read(start.offset, self.log.stat().len)?;
        let mut frames = self.frames(bytes, start);
        while let Some(event) = frames.next() {
            if matches!(event, ScanEvent::Record(record) if record.ordinal.next() >= last) {
                return Ok(Some(frames.batch_start()));
            }
        }
        Ok(None)
    }

    /// Reads the frames in so many bytes from `from` on.
    pub(super) fn piece(&self, from: LogPosition, length: ByteLength) -> Result<segment::Scan> {
        self.log.frames_at(self.seed(), (from, length))
    }

    /// Where the first frame of the part begins.
    pub(super) fn first_position(&self, part: &Part) -> LogPosition {
        LogPosition::at_first_frame(part.first_ordinal.max(self.header.first_ordinal))
    }

    fn frames(&self, bytes: Bytes, start: LogPosition) -> segment::Scan {
        let start = ScanStart {
            seed: self.seed(),
            offset: start.offset,
            next_ordinal: start.next_ordinal,
        };
        segment::scan(bytes, start)
    }

    /// What a reader is told before the part's first record, if its header is damaged.
    pub(super) fn header_damage(&self) -> Option<Damage> {
        self.header_damage.clone()
    }

    pub(super) fn seed(&self) -> FrameSeed {
        self.header.seed()
    }
}

impl Iterator for PartScan {
    type Item = LogEvent;

    fn next(&mut self) -> Option<LogEvent> {
        if let Some(lost) = self.lost.take() {
            return Some(LogEvent::Damage(lost));
        }
        let end = self.part.next_ordinal;
        match self.frames.as_mut()?.next() {
            Some(ScanEvent::Record(record)) if record.ordinal < end => {
                Some(LogEvent::Record(record))
            }
            Some(ScanEvent::Gap(gap)) if gap.first_ordinal < end => {
                Some(LogEvent::Damage(Damage {
                    offset: gap.start,
                    length: ByteLength::new(gap.end.get().saturating_sub(gap.start.get())),
                    first_ordinal: gap.first_ordinal,
                    next_ordinal: gap.next_ordinal.min(end),
                    why: self.part.why(gap.why),
                }))
            }
            // The rest of a batch that is inherited in part.
            Some(_) => {
                self.frames = None;
                None
            }
            None => self.last(),
        }
    }
}

/// The events of a log's inherited segments, in order.
#[derive(Debug, Default)]
pub(super) struct InheritedScan(VecDeque<PartScan>);

impl InheritedScan {
    /// Reads what the log at `file` inherits, from its start or from a position in it.
    pub(super) fn open(
        log: &OpenLog<'_>,
        header: &SegmentHeader,
        from: Option<LogPosition>,
    ) -> Result<Self> {
        let start = from.map_or(Ordinal::ZERO, |from| from.next_ordinal);
        if start >= header.first_ordinal {
            return Ok(Self::default());
        }
        let parts = log.parts(header)?.into_iter();
        let mut from = from;
        let scans = parts
            .filter(|part| part.next_ordinal > start)
            .map(|part| PartScan::open(log.disk(), part, from.take()));
        scans.collect::<Result<_>>().map(Self)
    }

    /// Where reading goes on, while it does so among the inherited segments.
    pub(super) fn position(&self) -> Option<LogPosition> {
        self.0.iter().find_map(PartScan::position)
    }

    /// Where the batch lies that the record given last belongs to; `None` once all were given.
    pub(super) fn record_place(&self) -> Option<RecordPlace> {
        self.0.front().and_then(PartScan::record_place)
    }
}

impl Iterator for InheritedScan {
    type Item = LogEvent;

    fn next(&mut self) -> Option<LogEvent> {
        while let Some(part) = self.0.front_mut() {
            let event = part.next();
            if event.is_some() {
                return event;
            }
            self.0.pop_front();
        }
        None
    }
}
