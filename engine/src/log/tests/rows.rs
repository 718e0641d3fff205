//! Each row of the recovery table of native logs, on real bytes. (What refuses changes nothing.)

use selvedge_codec::segment::{FORMAT_VERSION, ScanEvent};
use selvedge_codec::{ByteOffset, CodecError, Ordinal, ThreadId};

use super::faulty_disk::FaultyDisk;
use super::*;
use crate::log::recovery::Row;
use crate::log::{LogState, RecoveryReport};
use crate::{CorruptReason, Error, Result};

/// A native log with its meta and three batches, of which the second has three records.
struct Fixture {
    home: TestHome,
    id: ThreadId,
    path: LogPath,
    bytes: Bytes,
    /// Where its batches end, and the ordinals after them.
    ends: Vec<(usize, u64)>,
}

/// On a disk that does not wait for the medium.
fn context(home: &TestHome) -> LogContext {
    home.context_on(Arc::new(FaultyDisk::default()))
}

const TEXTS: [&str; 5] = ["a", "b1", "b2", "b3", "c"];

impl Fixture {
    fn new() -> Self {
        let home = TestHome::new();
        let id = ThreadId::generate();
        let mut log = ThreadLog::create(context(&home), new_thread(id));
        log.materialize().unwrap();
        let path = log.path().clone();
        let mut ends = vec![(HEADER_BYTES, 0), (home.bytes(&path).len(), 1)];
        for batch in [&TEXTS[..1], &TEXTS[1..4], &TEXTS[4..]] {
            let items = batch.iter().map(|text| message(text)).collect();
            log.append(vec![items]).unwrap();
            ends.push((home.bytes(&path).len(), log.next_ordinal().get()));
        }
        log.close().unwrap();
        Self {
            id,
            bytes: home.bytes(&path),
            path,
            home,
            ends,
        }
    }

    fn put(&self, bytes: &[u8]) {
        self.home.put(self.path.as_str(), bytes);
    }

    fn open(&self) -> Result<(ThreadLog, RecoveryReport)> {
        ThreadLog::open(context(&self.home), self.id, &self.path)
    }

    /// Opens a log that a writer goes on with, and appends to it.
    fn open_and_append(&self) -> RecoveryReport {
        let (mut log, report) = self.open().unwrap();
        assert_eq!(log.next_ordinal(), report.next_ordinal);
        assert_eq!(append(&mut log, "more").first_ordinal, report.next_ordinal);
        log.close().unwrap();
        report
    }

    fn messages(&self) -> Vec<String> {
        messages(&native_records(&self.home.bytes(&self.path)))
    }

    /// Opens a log that is refused, and looks that nothing was changed.
    fn refused(&self, bytes: &[u8]) -> Error {
        self.put(bytes);
        let context = context(&self.home);
        let error = ThreadLog::open(context.clone(), self.id, &self.path).unwrap_err();
        assert_eq!(self.home.bytes(&self.path), bytes);
        assert!(self.home.beside(&self.path).is_empty());
        // Neither lock nor mark stays.
        assert!(context.locks.lock(self.id).is_ok());
        context.marks.close().unwrap();
        let marks = crate::home::marks::read_all(&RealDisk, &self.home.home()).unwrap();
        assert!(marks.iter().all(|file| file.threads.is_empty()));
        error
    }

    fn corrupt(&self, bytes: &[u8]) -> CorruptReason {
        match self.refused(bytes) {
            Error::Corrupt { why, .. } => why,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn clean_goes_on_at_the_end() {
    let fixture = Fixture::new();
    let (log, report) = fixture.open().unwrap();
    assert_eq!(fixture.home.bytes(&fixture.path), fixture.bytes);
    assert_eq!(
        (report.row, report.next_ordinal),
        (Row::Clean, Ordinal::new(6))
    );
    assert_eq!((report.torn, report.kept_in), (None, None));
    // Whoever wrote it may not have synced it.
    assert_eq!(log.durable_next_ordinal(), Ordinal::ZERO);
    drop(log);
    fixture.open_and_append();
    assert_eq!(fixture.messages(), ["a", "b1", "b2", "b3", "c", "more"]);
}

#[test]
fn a_log_cut_at_any_byte_keeps_every_whole_batch_and_the_rest_beside_it() {
    let fixture = Fixture::new();
    for cut in HEADER_BYTES..fixture.bytes.len() {
        fixture.put(&fixture.bytes[..cut]);
        let report = fixture.open_and_append();
        let (whole, next) = *fixture.ends.iter().rfind(|(end, _)| *end <= cut).unwrap();
        assert_eq!(report.next_ordinal, Ordinal::new(next), "cut at {cut}");
        let texts = usize::try_from(next.saturating_sub(1)).unwrap();
        let mut expected = TEXTS[..texts].to_vec();
        expected.push("more");
        assert_eq!(fixture.messages(), expected, "cut at {cut}");
        if whole == cut {
            let row = if next == 0 {
                Row::HeaderOnly
            } else {
                Row::Clean
            };
            assert_eq!((report.row, report.kept_in), (row, None));
        } else {
            assert_eq!(report.row, Row::TornTail);
            let kept = report.kept_in.unwrap();
            assert_eq!(bytes_of(&kept), fixture.bytes[whole..cut]);
            RealDisk.remove(&kept).unwrap();
        }
    }
}

#[test]
fn bytes_torn_off_twice_at_one_place_are_kept_twice() {
    let fixture = Fixture::new();
    let whole = fixture.ends[1].0;
    let kept = [b"first".as_slice(), b"second"].map(|torn| {
        fixture.put(&[&fixture.bytes[..whole], torn].concat());
        let (_, report) = fixture.open().unwrap();
        let found = report.torn.unwrap();
        assert_eq!(
            (found.offset.get(), found.length.get()),
            (whole as u64, torn.len() as u64)
        );
        bytes_of(&report.kept_in.unwrap())
    });
    assert_eq!(kept, [b"first".as_slice(), b"second"]);
    let name = fixture.path.file_name();
    assert_eq!(
        fixture.home.beside(&fixture.path),
        [
            format!("{name}.torn-{whole}"),
            format!("{name}.torn-{whole}.1")
        ]
    );
}

#[test]
fn damage_before_the_tail_stays_and_appends_go_on_behind_it() {
    let fixture = Fixture::new();
    let (start, end) = (fixture.ends[2].0, fixture.ends[3].0);
    for at in [start, start + 9, (start + end) / 2, end - 1] {
        let mut bytes = fixture.bytes.to_vec();
        bytes[at] ^= 0x10;
        fixture.put(&bytes);
        let report = fixture.open_and_append();
        assert_eq!(
            (report.row, report.next_ordinal),
            (Row::Damaged, Ordinal::new(6))
        );
        let [damage] = &report.damage[..] else {
            panic!("{:?}", report.damage)
        };
        assert_eq!(
            (damage.offset.get(), damage.length.get()),
            (start as u64, (end - start) as u64)
        );
        assert_eq!(
            (damage.first_ordinal, damage.next_ordinal),
            (Ordinal::new(2), Ordinal::new(5))
        );
        let after = fixture.home.bytes(&fixture.path);
        assert_eq!(after[..bytes.len()], bytes);
        let header = SegmentHeader::decode(&after).unwrap();
        let start = ScanStart {
            seed: header.seed(),
            offset: ByteOffset::new(HEADER_BYTES as u64),
            next_ordinal: Ordinal::ZERO,
        };
        let ordinals: Vec<u64> = scan(after.slice(HEADER_BYTES..), start)
            .filter_map(|event| match event {
                ScanEvent::Record(record) => Some(record.ordinal.get()),
                ScanEvent::Gap(_) => None,
            })
            .collect();
        assert_eq!(ordinals, [0, 1, 5, 6]);
        assert!(fixture.home.beside(&fixture.path).is_empty());
    }
}

#[test]
fn of_a_damaged_log_with_a_torn_tail_only_the_tail_is_cut() {
    let fixture = Fixture::new();
    let mut bytes = fixture.bytes.to_vec();
    bytes[fixture.ends[2].0 + 9] ^= 1;
    let whole = bytes.len();
    bytes.extend_from_slice(&[9; 5]);
    fixture.put(&bytes);
    let (_log, report) = fixture.open().unwrap();
    assert_eq!(report.row, Row::DamagedAndTorn);
    assert_eq!(report.damage.len(), 1);
    assert_eq!(bytes_of(&report.kept_in.unwrap()), [9; 5].as_slice());
    assert_eq!(fixture.home.bytes(&fixture.path), bytes[..whole]);
}

#[test]
fn a_log_whose_maker_died_before_the_header_was_whole_gets_one() {
    for length in 0..HEADER_BYTES {
        let fixture = Fixture::new();
        fixture.put(&fixture.bytes[..length]);
        let report = fixture.open_and_append();
        assert_eq!(report.next_ordinal, Ordinal::ZERO);
        assert_eq!(fixture.messages(), ["more"]);
        if length == 0 {
            assert_eq!((report.row, report.kept_in), (Row::Empty, None));
        } else {
            assert_eq!(report.row, Row::HeaderCut);
            assert_eq!(bytes_of(&report.kept_in.unwrap()), fixture.bytes[..length]);
        }
    }
}

#[test]
fn a_damaged_header_is_refused() {
    let fixture = Fixture::new();
    for at in 8..HEADER_BYTES {
        let mut bytes = fixture.bytes.to_vec();
        bytes[at] ^= 4;
        assert_eq!(
            fixture.corrupt(&bytes),
            CodecError::HeaderChecksum.into(),
            "byte {at}"
        );
    }
}

#[test]
fn what_is_no_log_is_refused() {
    let fixture = Fixture::new();
    for bytes in [&b"{\"timestamp\":"[..], &[0; 4096], b"x"] {
        assert_eq!(fixture.corrupt(bytes), CodecError::NotASegment.into());
    }
    // Too short for a header, and not the beginning of this thread's either.
    let other = native_header_of(ThreadId::generate());
    assert!(matches!(
        fixture.corrupt(&other[..30]),
        CorruptReason::Codec(CodecError::HeaderTooShort { .. })
    ));
}

fn native_header_of(thread_id: ThreadId) -> [u8; HEADER_BYTES] {
    super::super::native_writer::first_header(thread_id).encode()
}

#[test]
fn the_log_of_another_thread_is_refused() {
    let fixture = Fixture::new();
    let other = Fixture::new();
    assert_eq!(
        fixture.corrupt(&other.bytes),
        CodecError::WrongThread {
            expected: fixture.id,
            found: other.id
        }
        .into()
    );
}

#[test]
fn a_later_version_is_refused_by_the_version_that_is_needed() {
    let fixture = Fixture::new();
    let mut bytes = fixture.bytes.to_vec();
    bytes[8..10].copy_from_slice(&(FORMAT_VERSION + 1).to_le_bytes());
    let crc = crc32fast::hash(&bytes[..44]);
    bytes[44..48].copy_from_slice(&crc.to_le_bytes());
    let error = fixture.refused(&bytes);
    assert!(matches!(
        &error,
        Error::Unsupported { what: CodecError::UnknownVersion { found, .. }, .. }
            if *found == FORMAT_VERSION + 1
    ));
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn a_tail_that_can_not_be_searched_is_refused() {
    let fixture = Fixture::new();
    let mut log = fixture.open().unwrap().0;
    let whole = fixture.bytes.len();
    // Wherever one looks in it there are two equal lengths of 16 MiB.
    log.append(vec![vec![Item::binary("blob", vec![1; 18 << 20]).unwrap()]])
        .unwrap();
    append(&mut log, "behind it");
    log.close().unwrap();
    let mut bytes = fixture.home.bytes(&fixture.path).to_vec();
    bytes[whole + 3] ^= 1;
    assert_eq!(fixture.corrupt(&bytes), CodecError::SearchGivenUp.into());
}

#[test]
fn a_log_that_is_not_there_or_is_no_file_is_refused() {
    let fixture = Fixture::new();
    RealDisk.remove(&fixture.home.file(&fixture.path)).unwrap();
    assert!(matches!(fixture.open(), Err(Error::ThreadNotFound { .. })));
    RealDisk
        .create_dir(&fixture.home.file(&fixture.path))
        .unwrap();
    assert!(matches!(fixture.open(), Err(Error::Io { .. })));
}

#[test]
fn a_released_log_whose_file_was_cut_or_replaced_is_not_written_on_blindly() {
    let fixture = Fixture::new();
    let (mut log, _) = fixture.open().unwrap();
    log.release_handle().unwrap();
    fixture.put(&fixture.bytes[..fixture.ends[3].0]);
    let cut = log.append(vec![vec![message("lost")]]);
    assert!(matches!(
        cut,
        Err(Error::Corrupt {
            why: CorruptReason::Shorter { .. },
            ..
        })
    ));
    // A copy of the whole log in its place is as good as the log.
    let file = fixture.home.file(&fixture.path);
    RealDisk.remove(&file).unwrap();
    fixture.put(&fixture.bytes);
    append(&mut log, "more");
    assert_eq!(log.state(), LogState::Live);
    log.close().unwrap();
    assert_eq!(fixture.messages(), ["a", "b1", "b2", "b3", "c", "more"]);
}
