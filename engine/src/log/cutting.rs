//! Where a log is cut that a fork inherits the beginning of.

use std::path::Path;

use selvedge_codec::jsonl::item_from_line;
use selvedge_codec::segment::{self, FrameSeed, HEADER_BYTES, ScanEvent, ScanStart};
use selvedge_codec::{BatchPosition, ByteLength, ByteOffset, Ordinal, Record, ThreadId};

use super::inherited::{OpenPart, Part, PartFile, open_part};
use super::inheriting::{Inheritance, Sharing, Source, name_in};
use super::pieces::FramesBack;
use super::{LogContext, LogEvent, LogPosition, OpenLog};
use crate::disk::Disk;
use crate::home::LogFormat;
use crate::{Error, Result};

/// How much is read at first where a cut is looked for from the front.
const FIRST_BYTES: u64 = 1 << 20;

/// A log that a fork is to inherit the beginning of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CutLog<'a> {
    pub(crate) thread_id: ThreadId,
    pub(crate) disk: &'a dyn Disk,
    pub(crate) file: &'a Path,
    pub(crate) format: LogFormat,
    /// The end of a batch, not before the cut: the nearer, the less is read.
    pub(crate) known: LogPosition,
    /// Tells whether the home has a log of a thread: see [`Inheritance::has_log`].
    pub(crate) has_log: fn(&LogContext, ThreadId) -> Result<bool>,
}

impl CutLog<'_> {
    /// What a fork inherits of the log that begins with the records before `next_ordinal`.
    ///
    /// # Errors
    /// As [`super::read_log`].
    pub(crate) fn inheritance(
        &self,
        next_ordinal: Ordinal,
        sharing: Sharing,
    ) -> Result<Inheritance> {
        let sources = match self.format {
            LogFormat::Native => self.segments(next_ordinal)?,
            LogFormat::JsonLines | LogFormat::CompressedJsonLines => self.records(next_ordinal)?,
        };
        Ok(Inheritance {
            next_ordinal,
            sources,
            sharing,
            has_log: self.has_log,
        })
    }

    fn segments(&self, next_ordinal: Ordinal) -> Result<Vec<Source>> {
        let log = OpenLog::open(self.disk, self.file, LogFormat::Native)?;
        let header = log.intact_header()?;
        let mut sources = Vec::new();
        for part in log.parts(&header)? {
            if part.first_ordinal < next_ordinal {
                sources.extend(self.part(part, next_ordinal)?);
            }
        }
        if next_ordinal > header.first_ordinal {
            let stretch = Stretch {
                log: &log,
                seed: header.seed(),
                first_ordinal: header.first_ordinal,
                end: self.known,
            };
            let end = stretch.end_of(next_ordinal)?;
            sources.push(Source::Segment {
                file: self.file.to_path_buf(),
                inode: log.stat().inode,
                name: name_in(&log, (header.segment, next_ordinal, end))?,
                is_own: true,
            });
        }
        Ok(sources)
    }

    /// What is inherited of a segment that the log itself inherits; nothing of one that is missing.
    fn part(&self, part: Part, next_ordinal: Ordinal) -> Result<Option<Source>> {
        let (Some(PartFile { path, name }), Ok(open)) = (&part.file, open_part(self.disk, &part)?)
        else {
            return Ok(None);
        };
        let mut name = *name;
        if next_ordinal < part.next_ordinal {
            let OpenPart { log, header, .. } = &open;
            let end = LogPosition {
                offset: name.end,
                next_ordinal: part.next_ordinal,
                bad_since_record: 0,
            };
            // Where a segment ends, an offset may be one of the segment after.
            let is_known = self.known.next_ordinal < part.next_ordinal;
            let stretch = Stretch {
                log,
                seed: header.seed(),
                first_ordinal: part.first_ordinal,
                end: if is_known { self.known } else { end },
            };
            let end = stretch.end_of(next_ordinal)?;
            name = name_in(log, (part.segment, next_ordinal, end))?;
        }
        Ok(Some(Source::Segment {
            file: path.clone(),
            inode: open.log.stat().inode,
            name,
            is_own: false,
        }))
    }

    /// The records of a log of JSON lines, each with its line.
    fn records(&self, next_ordinal: Ordinal) -> Result<Vec<Source>> {
        let scan = OpenLog::open(self.disk, self.file, self.format)?.scan(None)?;
        let mut records = Vec::new();
        for event in scan {
            let LogEvent::Record(record) = event else {
                continue;
            };
            if record.ordinal >= next_ordinal {
                break;
            }
            records.push(self.with_line(record)?);
        }
        Ok(match records.is_empty() {
            true => Vec::new(),
            false => vec![Source::Records {
                thread_id: self.thread_id,
                records,
            }],
        })
    }

    fn with_line(&self, record: Record) -> Result<Record> {
        let item = item_from_line(record.body)
            .map_err(|why| Error::codec(self.file, ByteOffset::ZERO, why))?;
        Ok(item.into_record(record.ordinal, record.time, BatchPosition::WHOLE))
    }
}

/// The frames of one segment, up to a known end.
struct Stretch<'a, 'd> {
    log: &'a OpenLog<'d>,
    seed: FrameSeed,
    first_ordinal: Ordinal,
    end: LogPosition,
}

impl Stretch<'_, '_> {
    /// Where the batch ends that holds the record before `next_ordinal`; where that is missing, the
    /// last batch before.
    fn end_of(&self, next_ordinal: Ordinal) -> Result<ByteOffset> {
        let from_end = self
            .end
            .next_ordinal
            .get()
            .saturating_sub(next_ordinal.get());
        let from_start = next_ordinal.get().saturating_sub(self.first_ordinal.get());
        if from_end == 0 {
            return Ok(self.end.offset);
        }
        if from_end <= from_start
            && let Some(end) = self.walk_back_to(next_ordinal)?
        {
            return Ok(end);
        }
        self.scan_to(next_ordinal)
    }

    /// `None` where only a scan from the front tells.
    fn walk_back_to(&self, next_ordinal: Ordinal) -> Result<Option<ByteOffset>> {
        let mut walk = FramesBack::ending_at(self.log, self.seed, self.end.offset)?;
        let mut end = self.end.offset;
        loop {
            let batch_end = walk.whole_start();
            match walk.next(self.log)? {
                Some(Ok(record)) => {
                    if walk.whole_start() != batch_end {
                        end = batch_end;
                    }
                    if record.ordinal < next_ordinal {
                        return Ok((record.ordinal.next() == next_ordinal).then_some(end));
                    }
                }
                Some(Err(_)) | None => return Ok(None),
            }
        }
    }

    fn scan_to(&self, next_ordinal: Ordinal) -> Result<ByteOffset> {
        let offset = ByteOffset::new(HEADER_BYTES as u64);
        let mut length = FIRST_BYTES;
        loop {
            let bytes = self.log.read(offset, ByteLength::new(length))?;
            let is_all = (bytes.len() as u64) < length;
            let start = ScanStart {
                seed: self.seed,
                offset,
                next_ordinal: self.first_ordinal,
            };
            let mut frames = segment::scan(bytes, start);
            let mut end = offset;
            while let Some(event) = frames.next() {
                match event {
                    ScanEvent::Record(record) if record.ordinal.next() < next_ordinal => {}
                    ScanEvent::Record(_) => return Ok(frames.whole_end()),
                    ScanEvent::Gap(gap) if gap.next_ordinal >= next_ordinal => return Ok(end),
                    ScanEvent::Gap(_) => {}
                }
                end = frames.whole_end();
            }
            if is_all {
                return Ok(end);
            }
            length = length.saturating_mul(8);
        }
    }
}
