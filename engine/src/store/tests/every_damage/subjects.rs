//! Small homes, each with one log of a kind, and what that log held before it was harmed.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use selvedge_codec::segment::{HEADER_BYTES, ScanEvent, ScanStart, SegmentHeader, encode_batch};
use selvedge_codec::{Item, Ordinal, Record, ThreadId};

use super::super::damaged_forks::{chain, inherited_files, open};
use crate::disk::RealDisk;
use crate::home::{LogFormat, LogPath};
use crate::log::{NewThread, ThreadLog, load_history};
use crate::sample_home::*;

/// A batch or line of the file that is harmed.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// Its bytes; a line's newline among them.
    pub(super) range: Range<usize>,
    /// Its records, as places among [`Subject::intact`].
    pub(super) records: Range<usize>,
}

/// A log that is harmed.
pub(super) struct Subject {
    pub(super) kind: &'static str,
    pub(super) place: SampleHome,
    pub(super) thread: ThreadId,
    /// Where the log lies.
    pub(super) path: LogPath,
    pub(super) format: LogFormat,
    /// The file of it that is harmed.
    pub(super) file: PathBuf,
    pub(super) good: Vec<u8>,
    /// What the log held.
    pub(super) intact: Vec<Record>,
    pub(super) units: Vec<Unit>,
    /// The header and its seed, of a native file.
    pub(super) header: Option<SegmentHeader>,
}

/// What every subject's log says: `words` is what the last message ends with.
fn batches(number: u8) -> Vec<Vec<Sample>> {
    vec![
        vec![meta(number, "")],
        turn("a"),
        vec![user("a word"), response("said")],
        vec![event(
            "token_count",
            "\"info\":{\"total_token_usage\":{\"total_tokens\":7}}",
        )],
        turn("b"),
        vec![record("compacted", "{\"message\":\"m\"}"), rolled_back(1)],
        vec![user("at last")],
    ]
}

const LOG: &str = "sessions/2026/02/20/rollout-2026-02-20T09-15-00-";

fn path_of(number: u8, format: LogFormat) -> LogPath {
    log_path(&format!("{LOG}{}{}", id(number), format.extension()))
}

impl Subject {
    fn new(
        kind: &'static str,
        place: SampleHome,
        (number, path, file): (u8, LogPath, PathBuf),
    ) -> Self {
        let format = LogFormat::of_file_name(path.file_name()).unwrap();
        // Another thread, which no harm to this one may hide.
        place.write(
            "sessions/2026/02/21/other.jsonl",
            &lines(&[meta(99, ""), user("other word")]),
        );
        let log = place.home().log_file(&path);
        let intact = load_history(&RealDisk, &log, format).unwrap();
        assert_eq!((intact.damage, intact.torn_tail), (Vec::new(), None));
        let good = fs::read(&file).unwrap();
        let is_native = file.extension().is_some_and(|ending| ending == "rlog");
        let header = is_native.then(|| SegmentHeader::decode(&good).unwrap());
        let units = match header {
            Some(header) => frames_of(&good, header, intact.records.len()),
            None if format == LogFormat::JsonLines => lines_of(&good),
            None => Vec::new(),
        };
        Self {
            kind,
            thread: id(number),
            path,
            format,
            file,
            good,
            intact: intact.records,
            units,
            header,
            place,
        }
    }

    pub(super) fn log(&self) -> PathBuf {
        self.place.home().log_file(&self.path)
    }

    /// Makes the file hold these bytes. It stays the same file, last written `age` ago.
    pub(super) fn harm(&self, bytes: &[u8], age: Duration) {
        write_aged(&self.file, bytes, age);
    }
}

/// Nobody waits for the maker of a file that was left so long ago.
pub(super) const OLD: Duration = Duration::from_secs(3600);

pub(super) fn write_aged(file: &Path, bytes: &[u8], age: Duration) {
    fs::write(file, bytes).unwrap();
    let times = fs::FileTimes::new().set_modified(SystemTime::now() - age);
    fs::File::options()
        .write(true)
        .open(file)
        .unwrap()
        .set_times(times)
        .unwrap();
}

/// The batches of a segment, as far as they belong to a log of so many records.
fn frames_of(bytes: &[u8], header: SegmentHeader, many: usize) -> Vec<Unit> {
    let start = ScanStart {
        seed: header.seed(),
        offset: selvedge_codec::ByteOffset::new(HEADER_BYTES as u64),
        next_ordinal: header.first_ordinal,
    };
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    let mut scan = selvedge_codec::segment::scan(bytes.slice(HEADER_BYTES..), start);
    let at = |offset: u64| usize::try_from(offset).unwrap();
    let mut units = Vec::new();
    while let Some(event) = scan.next() {
        let ScanEvent::Record(record) = event else {
            panic!("{event:?}")
        };
        let first = at(record.ordinal.get());
        if record.batch.is_last && first < many {
            let start = at(scan.batch_start().get());
            units.push(Unit {
                range: start..at(scan.whole_end().get()),
                records: at(scan.batch_ordinal().get())..first + 1,
            });
        }
    }
    units
}

fn lines_of(bytes: &[u8]) -> Vec<Unit> {
    let mut at = 0;
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate();
    lines
        .map(|(number, line)| {
            let range = at..at + line.len();
            at = range.end;
            Unit {
                range,
                records: number..number + 1,
            }
        })
        .collect()
}

/// A native log with batches of several records, turns, and a payload of bytes.
pub(super) fn native_log() -> Subject {
    let place = SampleHome::new();
    let store = open(&place);
    let new = NewThread {
        thread_id: id(1),
        created_at: moment(0),
        meta: Item::json("session_meta", meta(1, "").payload).unwrap(),
    };
    let mut log = ThreadLog::create(store.log_context().clone(), new);
    for batch in batches(1).into_iter().skip(1) {
        let item = |sample: Sample| Item::json(sample.record_type, sample.payload).unwrap();
        let mut items: Vec<_> = batch.into_iter().map(item).collect();
        if items.len() == 1 {
            items.push(Item::binary("blob", &b"\0\xff\0opaque"[..]).unwrap());
        }
        log.append(vec![items]).unwrap();
    }
    let path = log.path().clone();
    log.close().unwrap();
    store.close().unwrap();
    drop(store);
    fs::remove_file(place.file("index.redb")).unwrap();
    let file = place.home().log_file(&path);
    Subject::new("native", place, (1, path, file))
}

/// The fork of a fork of which the file of this number is harmed: the segments that it inherits,
/// then its own.
pub(super) fn fork(which: usize) -> Subject {
    let place = SampleHome::new();
    let store = open(&place);
    let links = [
        (
            vec![turn("a"), vec![user("a word")], vec![rolled_back(1)]],
            1,
        ),
        (vec![turn("b"), vec![response("said"), user("word")]], 0),
    ];
    let number = chain(&store, &links);
    let path = store.find(id(number)).unwrap().path;
    store.close().unwrap();
    drop(store);
    fs::remove_file(place.file("index.redb")).unwrap();
    let mut files = inherited_files(&place, number);
    // A file of its own: the parent's stays as it is.
    for file in &files {
        let bytes = fs::read(file).unwrap();
        fs::remove_file(file).unwrap();
        fs::write(file, bytes).unwrap();
    }
    files.push(place.home().log_file(&path));
    let kind = ["first inherited", "second inherited", "fork"][which];
    Subject::new(kind, place, (number, path, files.swap_remove(which)))
}

/// JSON lines, with their ordinals or without.
pub(super) fn json_lines(has_ordinals: bool) -> Subject {
    let place = SampleHome::new();
    let samples = batches(1).concat();
    let text: String = (0..)
        .zip(&samples)
        .map(|(at, sample)| line(at + 1, sample, has_ordinals.then(|| at.unsigned_abs())))
        .collect();
    let path = path_of(1, LogFormat::JsonLines);
    place.write(path.as_str(), text.as_bytes());
    let file = place.home().log_file(&path);
    let kind = match has_ordinals {
        true => "lines with ordinals",
        false => "lines",
    };
    Subject::new(kind, place, (1, path, file))
}

pub(super) fn compress(text: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    std::io::Write::write_all(&mut encoder, text).unwrap();
    encoder.finish().unwrap()
}

/// JSON lines, compressed: with a checksum, without which nobody can tell a flipped bit.
pub(super) fn compressed() -> Subject {
    let place = SampleHome::new();
    let path = path_of(1, LogFormat::CompressedJsonLines);
    place.write(path.as_str(), &compress(&lines(&batches(1).concat())));
    let file = place.home().log_file(&path);
    Subject::new("compressed", place, (1, path, file))
}

/// Frames of these records under a header.
pub(super) fn frames(header: &SegmentHeader, first: u64, samples: &[Sample]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (ordinal, sample) in (first..).zip(samples) {
        let item = Item::json(sample.record_type, sample.payload.clone()).unwrap();
        let record = item.into_record(
            Ordinal::new(ordinal),
            moment(9),
            selvedge_codec::BatchPosition::WHOLE,
        );
        encode_batch(header.seed(), &mut [record], &mut bytes).unwrap();
    }
    bytes
}
