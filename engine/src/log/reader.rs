//! Reading a log forwards.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use selvedge_codec::jsonl::{self, LineScan, LineScanStart};
use selvedge_codec::segment::{self, FrameSeed, HEADER_BYTES, ScanStart, SegmentHeader};
use selvedge_codec::{ByteLength, ByteOffset, CodecError, Ordinal};

use super::head::{HEADER_LENGTH, Head};
use super::inherited::{self, InheritedScan, Part};
use super::scan::{Inner, Lines, LogScan};
use super::{LogPosition, RecordPlace};
use crate::clock::{Clock as _, SystemClock};
use crate::disk::{Disk, DiskFile, FileKind, FileStat, OpenMode, read_range};
use crate::home::LogFormat;
use crate::{CorruptReason, Error, Result};

/// How often a file that has no whole header yet is looked at again, and how long lies between:
/// a maker writes it as soon as the file is there.
const MAX_LOOKS: u32 = 25;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);
/// Nobody is at a file that was left without a whole header for longer.
const RECENT_MICROS: i64 = 2_000_000;

/// A log's file, opened for reading.
#[derive(Debug)]
pub(crate) struct OpenLog<'d> {
    disk: &'d dyn Disk,
    file: Box<dyn DiskFile>,
    path: PathBuf,
    format: LogFormat,
    /// Before anything is read: what is appended meanwhile belongs to the next reader.
    stat: FileStat,
}

impl<'d> OpenLog<'d> {
    pub(crate) fn open(disk: &'d dyn Disk, path: &Path, format: LogFormat) -> Result<Self> {
        let fail = |operation| move |error| Error::io(operation, path, error);
        let file = disk.open(path, OpenMode::Read).map_err(fail("open"))?;
        let stat = once_begun(format, || file.stat()).map_err(fail("look at"))?;
        match stat.kind {
            FileKind::File => Ok(Self {
                disk,
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

    pub(super) const fn disk(&self) -> &'d dyn Disk {
        self.disk
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads nothing beyond this length from now on.
    pub(super) fn limit(&mut self, length: ByteLength) {
        self.stat.len = self.stat.len.min(length);
    }

    /// What the log inherits, if this is its header.
    pub(crate) fn parts(&self, header: &SegmentHeader) -> Result<Vec<Part>> {
        inherited::parts(self.disk, &self.path, header)
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

    /// A native log's header, also where its bytes are damaged and its frames tell.
    pub(crate) fn header(&self) -> Result<SegmentHeader> {
        self.head().map(|head| head.header)
    }

    /// A native log's header as it was written: nobody is to go on from a damaged one.
    pub(super) fn intact_header(&self) -> Result<SegmentHeader> {
        match self.head()? {
            Head {
                damage: Some(why), ..
            } => Err(self.error(ByteOffset::ZERO, why)),
            head => Ok(head.header),
        }
    }

    pub(super) fn head(&self) -> Result<Head> {
        self.head_in(&self.read(ByteOffset::ZERO, HEADER_LENGTH)?)
    }

    fn head_in(&self, bytes: &[u8]) -> Result<Head> {
        Head::of_log(self, bytes)?.map_err(|why| self.error(ByteOffset::ZERO, why))
    }

    /// Reads the whole log, or what follows `from`.
    pub(crate) fn scan(&self, from: Option<LogPosition>) -> Result<LogScan> {
        self.scan_some(from, self.stat.len)
    }

    /// Reads no more of the file than `length` bytes. What is cut off by that shows as a torn tail.
    pub(crate) fn scan_head(&self, length: ByteLength) -> Result<LogScan> {
        self.scan_some(None, length)
    }

    /// Where the first batch or line begins, inherited ones included.
    pub(crate) fn first_position(&self) -> LogPosition {
        match self.format {
            LogFormat::Native => LogPosition::at_first_frame(Ordinal::ZERO),
            LogFormat::JsonLines | LogFormat::CompressedJsonLines => LogPosition::default(),
        }
    }

    /// Reads the log's own frames in so many bytes from a position on.
    pub(super) fn frames_at(
        &self,
        seed: FrameSeed,
        (from, length): (LogPosition, ByteLength),
    ) -> Result<segment::Scan> {
        let bytes = self.read(from.offset, length)?;
        let start = ScanStart {
            seed,
            offset: from.offset,
            next_ordinal: from.next_ordinal,
        };
        Ok(segment::scan(bytes, start))
    }

    /// Reads the lines in so many bytes from `from` on. What is cut off by that shows as a torn
    /// tail.
    pub(super) fn lines_at(&self, from: LogPosition, length: ByteLength) -> Result<LogScan> {
        let bytes = self.read(from.offset, length)?;
        Ok(self.lines(jsonl::scan(bytes, line_start(from)), None))
    }

    /// Whether a position in JSON lines is still one: a line ends or begins there. A last line
    /// without its newline is consumed; what is appended to it without one makes another line of
    /// both. Frames tell by themselves.
    pub(crate) fn is_boundary(&self, position: LogPosition) -> Result<bool> {
        let offset = position.offset;
        let before = match (self.format, offset.get().checked_sub(1)) {
            (LogFormat::JsonLines, Some(before)) => before,
            _ => return Ok(true),
        };
        if offset.get() > self.stat.len.get() {
            return Ok(false);
        }
        let around = self.read(ByteOffset::new(before), ByteLength::new(2))?;
        Ok(matches!(around.as_ref(), [b'\n', ..] | [_] | [_, b'\n']))
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
        let own = |header: &SegmentHeader| LogPosition::at_first_frame(header.first_ordinal);
        let (head, start, bytes) = if let Some(from) = from {
            let mut head = self.head()?;
            // Where the log's own records begin, the offset may be one of the segment before.
            let is_own = from.next_ordinal > head.header.first_ordinal;
            let start = if is_own { from } else { own(&head.header) };
            // It was told with what comes before.
            head.damage = head.damage.filter(|_| !is_own);
            self.check_reaches(start, self.stat.len)?;
            (head, start, self.read(start.offset, length)?)
        } else {
            let bytes = self.read(ByteOffset::ZERO, length)?;
            let head = self.head_in(&bytes)?;
            let start = own(&head.header);
            (head, start, bytes.slice(HEADER_BYTES..))
        };
        let header = head.header;
        let scan = ScanStart {
            seed: header.seed(),
            offset: start.offset,
            next_ordinal: start.next_ordinal,
        };
        Ok(LogScan {
            stat: self.stat,
            thread_id: Some(header.thread_id),
            own_from: header.first_ordinal,
            inherited: InheritedScan::open(self, &header, from)?,
            header_damage: head.damage(header.first_ordinal),
            inner: Inner::Native(segment::scan(bytes, scan)),
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
            own_from: Ordinal::ZERO,
            inherited: InheritedScan::default(),
            header_damage: None,
            inner: Inner::Lines(Box::new(Lines {
                scan,
                bad: None,
                record: None,
                line: RecordPlace::default(),
                unpacking,
            })),
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

/// What a file is once its maker, who may be just at it, has written its header. A maker who has
/// died has nobody wait for long.
fn once_begun(
    format: LogFormat,
    mut stat: impl FnMut() -> io::Result<FileStat>,
) -> io::Result<FileStat> {
    let is_begun = |stat: &FileStat| {
        format != LogFormat::Native || stat.kind != FileKind::File || stat.len >= HEADER_LENGTH
    };
    let mut found = stat()?;
    for _ in 0..MAX_LOOKS {
        if is_begun(&found) || !is_recent(found.mtime_nanos) {
            break;
        }
        std::thread::sleep(BETWEEN_LOOKS);
        found = stat()?;
    }
    Ok(found)
}

/// Whether a file was changed within the last moments, as the machine's clock has it, which its
/// times are from.
fn is_recent(mtime_nanos: i64) -> bool {
    let since = SystemClock.now().get().checked_sub(mtime_nanos / 1000);
    // One of the time to come was changed by a clock that has been set back since.
    since.is_some_and(|micros| (0..=RECENT_MICROS).contains(&micros))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::log::{History, load_history};
    use crate::sample_home::*;

    /// A reader that came between the making of a file and the writing of its first bytes took the
    /// log for a damaged one.
    #[test]
    fn a_log_whose_maker_is_just_writing_it_is_read_once_it_has_a_header() {
        let place = SampleHome::new();
        let log = native(1, &[samples()]);
        let (name, looks) = ("made.rlog", std::cell::Cell::new(0));
        place.write(name, &log[..0]);
        let stat = || {
            match looks.replace(looks.get() + 1) {
                0 => {}
                1 => drop(place.write(name, &log[..HEADER_BYTES / 2])),
                _ => drop(place.write(name, &log)),
            }
            RealDisk.stat(&place.file(name))
        };
        let begun = once_begun(LogFormat::Native, stat).unwrap();
        assert_eq!((begun.len.get(), looks.get()), (log.len() as u64, 3));

        // One that was left so long ago keeps nobody waiting, and neither does any other file.
        let left = |mtime_nanos| {
            looks.set(0);
            once_begun(LogFormat::Native, || {
                looks.set(looks.get() + 1);
                Ok(FileStat {
                    len: ByteLength::new(3),
                    mtime_nanos,
                    ..begun
                })
            })
            .unwrap();
            looks.get()
        };
        assert_eq!(left(begun.mtime_nanos - 60_000_000_000), 1);
        assert_eq!(left(begun.mtime_nanos + 60_000_000_000), 1);
        assert_eq!(left(-1), 1);
        assert!(left(begun.mtime_nanos) > 1, "nobody waits for ever");
        place.write("empty.jsonl", b"");
        once_begun(LogFormat::JsonLines, || {
            RealDisk.stat(&place.file("empty.jsonl"))
        })
        .unwrap();
    }

    fn load(name: &str, bytes: &[u8]) -> Result<History> {
        let place = SampleHome::new();
        place.write(name, bytes);
        let format = LogFormat::of_file_name(name).unwrap();
        load_history(&RealDisk, &place.file(name), format)
    }

    fn ordinals(history: &History) -> Vec<u64> {
        history
            .records
            .iter()
            .map(|record| record.ordinal.get())
            .collect()
    }

    fn samples() -> Vec<Sample> {
        [vec![meta(1, "")], turn("a"), turn("b")].concat()
    }

    #[test]
    fn both_formats_give_the_same_payloads() {
        let json = load("a.jsonl", &lines(&samples())).unwrap();
        let native = load("a.rlog", &native(1, &[samples()])).unwrap();
        assert_eq!(json.records.len(), native.records.len());
        for (a, b) in json.records.iter().zip(&native.records) {
            assert_eq!(
                a.payload_json().unwrap().get(),
                b.payload_json().unwrap().get()
            );
            assert_eq!((a.ordinal, a.time, a.event), (b.ordinal, b.time, b.event));
        }
        assert_eq!((json.torn_tail, native.torn_tail), (None, None));
        assert_eq!(json.position.next_ordinal.get(), 7);
    }

    #[test]
    fn a_line_of_bad_bytes_costs_itself_alone() {
        let good = samples();
        let mut bytes = lines(&good[..2]);
        let offset = bytes.len() as u64;
        bytes.extend(b"{\"timestamp\":\"\xff\xfe\"}\n\n\xef\xbb\xbf{}\n");
        bytes.extend(lines(&good[2..]));
        let history = load("a.jsonl", &bytes).unwrap();
        assert_eq!(ordinals(&history), [0, 1, 2, 3, 4, 5, 6]);
        let damage: Vec<_> = history
            .damage
            .iter()
            .map(|damage| (damage.offset.get() - offset, damage.length.get()))
            .collect();
        assert_eq!(damage, [(0, 18), (20, 5)]);
        assert!(
            history
                .damage
                .iter()
                .all(|damage| damage.first_ordinal.get() == 2)
        );
    }

    #[test]
    fn damage_says_which_ordinals_are_missing_for_it() {
        let mut text = line(0, &meta(1, ""), Some(0));
        text += "bad\nworse\n";
        text += &line(0, &user("a"), Some(3));
        let history = load("a.jsonl", text.as_bytes()).unwrap();
        assert_eq!(ordinals(&history), [0, 3]);
        let missing: Vec<_> = history
            .damage
            .iter()
            .map(|damage| damage.first_ordinal.get()..damage.next_ordinal.get())
            .collect();
        assert_eq!(missing, [1..1, 1..3]);
        let batches: Vec<_> = samples().into_iter().map(|sample| vec![sample]).collect();
        let mut bytes = native(1, &batches);
        let second = native(1, &batches[..2]).len();
        bytes[second + 20] ^= 1;
        let history = load("a.rlog", &bytes).unwrap();
        assert_eq!(ordinals(&history), [0, 1, 3, 4, 5, 6]);
        let [gap] = &history.damage[..] else {
            panic!("one frame is damaged: {:?}", history.damage);
        };
        assert_eq!(gap.offset.get(), second as u64);
        assert_eq!((gap.first_ordinal.get(), gap.next_ordinal.get()), (2, 3));
    }

    /// One flipped bit in a log's first 48 bytes, or a zeroed first block, had cost the whole thread:
    /// it was refused as corrupt, though each of its frames was as it had been written.
    #[test]
    fn a_damaged_header_does_not_cost_the_frames_behind_it() {
        let batches: Vec<_> = samples().into_iter().map(|sample| vec![sample]).collect();
        let good = native(1, &batches);
        let named = format!("sessions/rollout-2026-02-20T09-15-00-{}.rlog", id(1));
        let (short, long) = ("sessions/a.rlog", &*named);
        let front = |length: usize| {
            let mut bytes = good.clone();
            bytes[..length].fill(0);
            bytes
        };
        let flipped = [&[good[0] ^ 4], &good[1..]].concat();
        for (name, bytes, kept) in [
            (short, flipped, 7),
            (long, front(8), 7),
            (long, front(HEADER_BYTES), 7),
            (long, front(HEADER_BYTES + 1), 6),
        ] {
            let history = load(name, &bytes).unwrap();
            assert_eq!(history.records.len(), kept, "{name}");
            assert_eq!(history.records[kept - 1].ordinal.get(), 6);
            let head = &history.damage[0];
            assert_eq!((head.offset.get(), head.length), (0, HEADER_LENGTH));
            assert_eq!(head.first_ordinal, head.next_ordinal);
            assert_eq!(history.damage.len(), 8 - kept);
        }
        // Nothing says whose frames these are, and no frame is there to say that it was the name's.
        for (name, bytes) in [(short, front(8)), (long, front(good.len()))] {
            let refused = load(name, &bytes);
            assert!(matches!(refused, Err(Error::Corrupt { .. })), "{name}");
        }
    }

    #[test]
    fn a_torn_tail_is_told_and_not_consumed() {
        let whole = lines(&samples());
        let end = lines(&samples()[..6]).len() as u64;
        let history = load("a.jsonl", &whole[..whole.len() - 5]).unwrap();
        assert_eq!(history.records.len(), 6);
        assert_eq!(history.torn_tail.unwrap().offset.get(), end);
        assert_eq!(history.position.offset.get(), end);
        let whole = native(1, &[samples(), samples()]);
        let end = native(1, &[samples()]).len() as u64;
        let history = load("a.rlog", &whole[..whole.len() - 5]).unwrap();
        assert_eq!(history.records.len(), 7);
        assert_eq!(history.torn_tail.unwrap().offset.get(), end);
        assert_eq!(history.position.offset.get(), end);
    }

    #[test]
    fn a_last_line_without_its_newline_is_a_record() {
        let whole = lines(&samples());
        let history = load("a.jsonl", &whole[..whole.len() - 1]).unwrap();
        assert_eq!((history.records.len(), history.torn_tail), (7, None));
    }

    #[test]
    fn of_a_damaged_compressed_log_what_could_be_unpacked_is_given() {
        let long: Vec<_> = (0..20_000)
            .map(|n| user(&format!("word {}", n * 7919)))
            .collect();
        let packed = zstd::encode_all(&lines(&long)[..], 3).unwrap();
        let whole = load("a.jsonl.zst", &packed).unwrap();
        assert_eq!((whole.records.len(), whole.damage.len()), (20_000, 0));
        let cut = load("a.jsonl.zst", &packed[..packed.len() * 3 / 4]).unwrap();
        let kept = cut.records.len();
        assert!(kept > 1000 && kept < 20_000, "{kept}");
        assert_eq!(cut.records[..], whole.records[..kept]);
        let [damage] = &cut.damage[..] else {
            panic!("unpacking stopped once: {:?}", cut.damage);
        };
        assert!(matches!(damage.why, CodecError::Compressed { .. }));
        let refused = load("a.jsonl.zst", b"not compressed at all");
        assert!(matches!(refused, Err(Error::Corrupt { .. })));
    }

    #[test]
    fn reading_goes_on_where_it_stopped() {
        let place = SampleHome::new();
        let packed = zstd::encode_all(&lines(&samples())[..], 0).unwrap();
        for (name, bytes) in [
            ("a.jsonl", lines(&samples())),
            (
                "a.rlog",
                native(1, &[samples()[..2].to_vec(), samples()[2..].to_vec()]),
            ),
            ("a.jsonl.zst", packed),
        ] {
            place.write(name, &bytes);
            let format = LogFormat::of_file_name(name).unwrap();
            let read = |from| read_log(&RealDisk, &place.file(name), format, from);
            let mut scan = read(None).unwrap();
            let events: Vec<_> = scan.by_ref().collect();
            let end = scan.position();
            assert_eq!(read(Some(end)).unwrap().count(), 0);
            let middle = if format == LogFormat::Native {
                native(1, &[samples()[..2].to_vec()]).len()
            } else {
                lines(&samples()[..2]).len()
            };
            let position = LogPosition {
                offset: ByteOffset::new(middle as u64),
                next_ordinal: selvedge_codec::Ordinal::new(2),
                bad_since_record: 0,
            };
            let mut scan = read(Some(position)).unwrap();
            assert_eq!(scan.by_ref().collect::<Vec<_>>(), events[2..]);
            assert_eq!(scan.position(), end);
            let beyond = LogPosition {
                offset: end.offset.plus(1),
                ..end
            };
            assert!(matches!(
                read(Some(beyond)),
                Err(Error::Corrupt {
                    why: CorruptReason::Shorter { .. },
                    ..
                })
            ));
        }
    }

    #[test]
    fn a_later_version_is_not_supported_and_a_directory_is_no_log() {
        let mut header = native(1, &[]);
        header[8] = 9;
        let crc = crc32fast::hash(&header[..44]);
        header[44..48].copy_from_slice(&crc.to_le_bytes());
        assert!(matches!(
            load("a.rlog", &header),
            Err(Error::Unsupported { .. })
        ));
        let place = SampleHome::new();
        place.make_dir("a.jsonl");
        for name in ["a.jsonl", "absent.jsonl"] {
            let refused = load_history(&RealDisk, &place.file(name), LogFormat::JsonLines);
            assert!(matches!(refused, Err(Error::Io { .. })), "{name}");
        }
    }
}
