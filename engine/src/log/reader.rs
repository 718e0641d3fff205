//! Reading a log forwards.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use selvedge_codec::jsonl::{self, LineEvent, LineScan, LineScanStart};
use selvedge_codec::segment::{self, HEADER_BYTES, ScanEnd, ScanEvent, ScanStart, SegmentHeader};
use selvedge_codec::{ByteLength, ByteOffset, CodecError, ThreadId};

use super::{Damage, LogEvent, LogPosition};
use crate::disk::{Disk, DiskFile, FileKind, FileStat, OpenMode, read_range};
use crate::home::LogFormat;
use crate::{CorruptReason, Error, Result};

/// The length of a native log's header, as a file has it.
const HEADER_LENGTH: ByteLength = ByteLength::new(HEADER_BYTES as u64);

/// A log's file, opened for reading.
#[derive(Debug)]
pub(crate) struct OpenLog {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    format: LogFormat,
    /// Before anything is read: what is appended meanwhile belongs to the next reader.
    stat: FileStat,
}

impl OpenLog {
    pub(crate) fn open(disk: &dyn Disk, path: &Path, format: LogFormat) -> Result<Self> {
        let fail = |operation| move |error| Error::io(operation, path, error);
        let file = disk.open(path, OpenMode::Read).map_err(fail("open"))?;
        let stat = file.stat().map_err(fail("look at"))?;
        match stat.kind {
            FileKind::File => Ok(Self {
                file,
                path: path.to_path_buf(),
                format,
                stat,
            }),
            FileKind::Directory => Err(fail("read")(io::ErrorKind::IsADirectory.into())),
            FileKind::Other => Err(fail("read")(io::ErrorKind::InvalidInput.into())),
        }
    }

    pub(crate) const fn stat(&self) -> FileStat {
        self.stat
    }

    pub(crate) const fn format(&self) -> LogFormat {
        self.format
    }

    pub(crate) fn error(&self, offset: ByteOffset, why: CodecError) -> Error {
        Error::codec(&self.path, offset, why)
    }

    pub(crate) fn corrupt(&self, why: CorruptReason) -> Error {
        Error::Corrupt {
            path: self.path.clone(),
            offset: ByteOffset::ZERO,
            why,
        }
    }

    /// Up to `length` bytes from `offset`, and none beyond the length that the file was found with.
    pub(crate) fn read(&self, offset: ByteOffset, length: ByteLength) -> Result<Bytes> {
        let there = self.stat.len.get().saturating_sub(offset.get());
        let length = ByteLength::new(length.get().min(there));
        read_range(&*self.file, offset, length)
            .map(Bytes::from)
            .map_err(|error| Error::io("read", &self.path, error))
    }

    /// A native log's header.
    pub(crate) fn header(&self) -> Result<SegmentHeader> {
        self.decode_header(&self.read(ByteOffset::ZERO, HEADER_LENGTH)?)
    }

    fn decode_header(&self, bytes: &[u8]) -> Result<SegmentHeader> {
        SegmentHeader::decode(bytes).map_err(|why| self.error(ByteOffset::ZERO, why))
    }

    /// Reads the whole log, or what follows `from`.
    pub(crate) fn scan(&self, from: Option<LogPosition>) -> Result<LogScan> {
        self.scan_some(from, self.stat.len)
    }

    /// Reads no more of the file than `length` bytes. What is cut off by that shows as a torn tail.
    pub(crate) fn scan_head(&self, length: ByteLength) -> Result<LogScan> {
        self.scan_some(None, length)
    }

    fn scan_some(&self, from: Option<LogPosition>, length: ByteLength) -> Result<LogScan> {
        match self.format {
            LogFormat::Native => self.scan_native(from, length),
            LogFormat::JsonLines => {
                let from = from.unwrap_or_default();
                self.check_reaches(from, self.stat.len)?;
                let bytes = self.read(from.offset, length)?;
                Ok(self.lines(jsonl::scan(bytes, line_start(from)), None))
            }
            LogFormat::CompressedJsonLines => self.scan_compressed(from, length),
        }
    }

    /// An earlier reader's position is in what the file has now.
    fn check_reaches(&self, from: LogPosition, length: ByteLength) -> Result<()> {
        if from.offset.get() <= length.get() {
            return Ok(());
        }
        Err(self.corrupt(CorruptReason::Shorter {
            found: length,
            expected: ByteLength::new(from.offset.get()),
        }))
    }

    fn scan_native(&self, from: Option<LogPosition>, length: ByteLength) -> Result<LogScan> {
        let (header, from, bytes) = if let Some(from) = from {
            let header = self.header()?;
            self.check_reaches(from, self.stat.len)?;
            (header, from, self.read(from.offset, length)?)
        } else {
            let bytes = self.read(ByteOffset::ZERO, length)?;
            let header = self.decode_header(&bytes)?;
            let from = LogPosition {
                offset: ByteOffset::new(HEADER_LENGTH.get()),
                next_ordinal: header.first_ordinal,
                bad_since_record: 0,
            };
            (header, from, bytes.slice(HEADER_BYTES..))
        };
        let start = ScanStart {
            seed: header.seed(),
            offset: from.offset,
            next_ordinal: from.next_ordinal,
        };
        Ok(LogScan {
            stat: self.stat,
            thread_id: Some(header.thread_id),
            inner: Inner::Native(segment::scan(bytes, start)),
        })
    }

    fn scan_compressed(&self, from: Option<LogPosition>, length: ByteLength) -> Result<LogScan> {
        let from = from.unwrap_or_default();
        let packed = self.read(ByteOffset::ZERO, length)?;
        let (bytes, why) = jsonl::decompress_prefix(&packed);
        let unpacked = ByteLength::new(bytes.len() as u64);
        match why {
            Some(why) if bytes.is_empty() => return Err(self.error(ByteOffset::ZERO, why)),
            _ => self.check_reaches(from, unpacked)?,
        }
        let skipped = usize::try_from(from.offset.get()).unwrap_or(usize::MAX);
        let bytes = Bytes::from(bytes).slice(skipped..);
        let damage = why.map(|why| (ByteOffset::new(unpacked.get()), why));
        Ok(self.lines(jsonl::scan(bytes, line_start(from)), damage))
    }

    /// The events of a line scan of this log.
    pub(crate) fn lines(
        &self,
        scan: LineScan,
        unpacking: Option<(ByteOffset, CodecError)>,
    ) -> LogScan {
        LogScan {
            stat: self.stat,
            thread_id: None,
            inner: Inner::Lines(Lines {
                scan,
                bad: None,
                record: None,
                unpacking,
            }),
        }
    }
}

const fn line_start(from: LogPosition) -> LineScanStart {
    LineScanStart {
        offset: from.offset,
        next_ordinal: from.next_ordinal,
        bad_since_record: from.bad_since_record,
    }
}

/// The events of a log, from its start or from a [`LogPosition`], as slices of one buffer.
#[derive(Debug)]
pub struct LogScan {
    stat: FileStat,
    thread_id: Option<ThreadId>,
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Native(segment::Scan),
    Lines(Lines),
}

/// A line scan whose damage says which ordinals are missing for it: the next record tells.
#[derive(Debug)]
struct Lines {
    scan: LineScan,
    /// The last bad line, until the line after it is known.
    bad: Option<Damage>,
    /// The record after it.
    record: Option<LogEvent>,
    /// Where unpacking stopped, and why.
    unpacking: Option<(ByteOffset, CodecError)>,
}

impl LogScan {
    /// Where reading goes on; what it is in the middle of a scan says nothing.
    #[must_use]
    pub fn position(&self) -> LogPosition {
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

    /// What the file's metadata said before it was read.
    #[must_use]
    pub const fn stat(&self) -> FileStat {
        self.stat
    }
}

impl Iterator for LogScan {
    type Item = LogEvent;

    fn next(&mut self) -> Option<LogEvent> {
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
                Some(LineEvent::Record { record, .. }) => {
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

/// Reads a log from its start, or from where an earlier reader stopped, into one buffer.
///
/// # Errors
/// [`Error::Io`] when the file can't be opened or read, [`Error::Corrupt`] when nothing of it can
/// be made sense of or it ends before `from`, and [`Error::Unsupported`] for a later version.
pub fn read_log(
    disk: &dyn Disk,
    file: &Path,
    format: LogFormat,
    from: Option<LogPosition>,
) -> Result<LogScan> {
    OpenLog::open(disk, file, format)?.scan(from)
}
