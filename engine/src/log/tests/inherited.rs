//! Reading logs that inherit segments, both ways.

use crate::disk::{Disk, RealDisk};
use bytes::Bytes;
use proptest::prelude::*;
use selvedge_codec::segment::{
    HEADER_BYTES, ScanEvent, ScanStart, SegmentHeader, SegmentNumber, scan,
};
use selvedge_codec::{ByteLength, ByteOffset, CodecError, Ordinal, Record};

use super::{LogContext, TestHome, bytes_of};
use crate::home::LogFormat;
use crate::log::inheriting::name_in;
use crate::log::{
    ForwardReader, LogEvent, LogPosition, OpenLog, load_history, read_log, read_log_backwards,
    remove_inherited,
};
use crate::sample_home::{Sample, SampleHome, id, native_segment, response, user};

const PATH: &str = "sessions/2026/02/20/rollout-fork.rlog";

/// Batches of two records each, so many.
fn batches(word: &str, many: usize) -> Vec<Vec<Sample>> {
    let batch = |at| {
        vec![
            response(&format!("{word}{at}")),
            user(&format!("{word}{at}")),
        ]
    };
    (0..many).map(batch).collect()
}

/// Puts a segment where a fork inherits it, up to an ordinal. Gives its place and name.
fn inherit(place: &SampleHome, fork: u8, (number, next): (u32, u64), bytes: &[u8]) -> String {
    let dir = format!("inherited/{}", id(fork));
    let parent = place.write("parent.rlog", bytes);
    let mut scan = read_own(&bytes::Bytes::copy_from_slice(bytes));
    while let Some(ScanEvent::Record(record)) = scan.next() {
        if record.ordinal.get() + 1 >= next {
            break;
        }
    }
    let what = (
        SegmentNumber::new(number),
        Ordinal::new(next),
        scan.whole_end(),
    );
    let file = place.home().log_file(&parent);
    let log = OpenLog::open(&RealDisk, &file, LogFormat::Native).unwrap();
    let name = name_in(&log, what).unwrap();
    let path = format!("{dir}/{name}");
    place.write(&path, bytes);
    path
}

fn read_own(bytes: &Bytes) -> selvedge_codec::segment::Scan {
    let header = SegmentHeader::decode(bytes).unwrap();
    let start = ScanStart {
        seed: header.seed(),
        offset: ByteOffset::new(HEADER_BYTES as u64),
        next_ordinal: header.first_ordinal,
    };
    scan(bytes.slice(HEADER_BYTES..), start)
}

fn own_records(bytes: &[u8]) -> Vec<Record> {
    read_own(&Bytes::copy_from_slice(bytes))
        .map(|event| match event {
            ScanEvent::Record(record) => record,
            gap => panic!("{gap:?}"),
        })
        .collect()
}

/// The fork 3 of the fork 2 of the thread 1: ordinals 0..5 (in the middle of a batch), 5..9 and
/// 9..13. Gives what it should read, and the paths of what it inherits.
fn fork_of_fork(place: &SampleHome) -> (Vec<Record>, [String; 2]) {
    let first = native_segment(1, (0, 0), &batches("a", 4));
    let second = native_segment(2, (1, 5), &batches("b", 3));
    let own = native_segment(3, (2, 9), &batches("c", 2));
    place.write(PATH, &own);
    let paths = [
        inherit(place, 3, (0, 5), &first),
        inherit(place, 3, (1, 9), &second),
    ];
    let records = [
        &own_records(&first)[..5],
        &own_records(&second)[..4],
        &own_records(&own),
    ]
    .concat();
    (records, paths)
}

fn events(place: &SampleHome, from: Option<LogPosition>) -> Vec<LogEvent> {
    let file = place.file(PATH);
    read_log(&RealDisk, &file, LogFormat::Native, from)
        .unwrap()
        .collect()
}

/// Reads the fork both ways, from its end and from every position on the way, and gives what it
/// reads.
fn check(place: &SampleHome) -> Vec<LogEvent> {
    let file = place.file(PATH);
    let all = events(place, None);
    let mut scan = read_log(&RealDisk, &file, LogFormat::Native, None).unwrap();
    let mut positions = vec![(0, scan.position())];
    let mut at = 0;
    while let Some(event) = scan.next() {
        at += 1;
        if matches!(&event, LogEvent::Record(record) if record.batch.is_last) {
            positions.push((at, scan.position()));
        }
    }
    for (at, position) in positions {
        assert_eq!(
            events(place, Some(position)),
            all[at..],
            "on from {position:?}"
        );
    }
    let mut backward: Vec<_> = read_log_backwards(&RealDisk, &file, LogFormat::Native, None)
        .unwrap()
        .map(|event| event.unwrap())
        .collect();
    backward.reverse();
    assert_eq!(backward, all);
    all
}

fn records_of(events: &[LogEvent]) -> Vec<Record> {
    let records = events.iter().filter_map(|event| match event {
        LogEvent::Record(record) => Some(record.clone()),
        LogEvent::Damage(_) => None,
    });
    records.collect()
}

fn missing_of(events: &[LogEvent]) -> Vec<(u64, u64, CodecError)> {
    let damage = events.iter().filter_map(|event| match event {
        LogEvent::Record(_) => None,
        LogEvent::Damage(damage) => Some((
            damage.first_ordinal.get(),
            damage.next_ordinal.get(),
            damage.why.clone(),
        )),
    });
    damage.collect()
}

fn inherited(segment: u32, why: CodecError) -> CodecError {
    CodecError::Inherited {
        segment: SegmentNumber::new(segment),
        why: Box::new(why),
    }
}

#[test]
fn a_fork_of_a_fork_reads_as_one_history_both_ways() {
    let place = SampleHome::new();
    let (expected, _) = fork_of_fork(&place);
    let events = check(&place);
    assert_eq!(records_of(&events), expected);
    assert_eq!(events.len(), 13);
    let history = load_history(&RealDisk, &place.file(PATH), LogFormat::Native).unwrap();
    assert_eq!(
        (history.records, history.own_from),
        (expected, Ordinal::new(9))
    );
    assert_eq!((history.damage, history.torn_tail), (vec![], None));
    assert_eq!(history.position.next_ordinal, Ordinal::new(13));
}

#[test]
fn what_the_parent_writes_later_is_not_inherited() {
    let place = SampleHome::new();
    let (expected, paths) = fork_of_fork(&place);
    // The same file, gone on with.
    place.write(&paths[0], &native_segment(1, (0, 0), &batches("a", 9)));
    assert_eq!(records_of(&check(&place)), expected);
}

#[test]
fn a_missing_segment_is_damage_and_hides_nothing_else() {
    let place = SampleHome::new();
    let (expected, paths) = fork_of_fork(&place);
    RealDisk.remove(&place.file(&paths[0])).unwrap();
    let events = check(&place);
    assert_eq!(records_of(&events), expected[5..]);
    assert_eq!(
        missing_of(&events),
        [(0, 5, inherited(1, CodecError::SegmentMissing))]
    );
    RealDisk.remove(&place.file(&paths[1])).unwrap();
    let events = check(&place);
    assert_eq!(records_of(&events), expected[9..]);
    assert_eq!(
        missing_of(&events),
        [(0, 9, inherited(1, CodecError::SegmentMissing))]
    );
    let (_, paths) = fork_of_fork(&place);
    RealDisk.remove(&place.file(&paths[1])).unwrap();
    let events = check(&place);
    assert_eq!(
        records_of(&events),
        [&expected[..5], &expected[9..]].concat()
    );
    assert_eq!(
        missing_of(&events),
        [(5, 9, inherited(1, CodecError::SegmentMissing))]
    );
}

#[test]
fn a_segment_that_lost_its_end_is_damage_there() {
    let place = SampleHome::new();
    let (expected, paths) = fork_of_fork(&place);
    let whole = native_segment(1, (0, 0), &batches("a", 2));
    // At the end of a batch, and in the middle of one.
    for (bytes, why) in [
        (&whole[..], CodecError::SegmentCutShort),
        (&whole[..whole.len() - 3], CodecError::FrameCutShort),
    ] {
        place.write(&paths[0], bytes);
        let events = check(&place);
        let kept = own_records(&whole).len() - if bytes.len() < whole.len() { 2 } else { 0 };
        assert_eq!(
            records_of(&events),
            [&expected[..kept], &expected[5..]].concat()
        );
        assert_eq!(missing_of(&events), [(kept as u64, 5, inherited(0, why))]);
    }
    place.write(&paths[0], &whole[..20]);
    let events = check(&place);
    let short = CodecError::HeaderTooShort {
        length: ByteLength::new(20),
    };
    assert_eq!(missing_of(&events), [(0, 5, inherited(0, short))]);
}

#[test]
fn damage_inside_an_inherited_segment_costs_its_batch_alone() {
    let place = SampleHome::new();
    let (expected, paths) = fork_of_fork(&place);
    let mut bytes = bytes_of(&place.file(&paths[0])).to_vec();
    let second = native_segment(1, (0, 0), &batches("a", 1)).len();
    bytes[second + 30] ^= 1;
    place.write(&paths[0], &bytes);
    let events = check(&place);
    assert_eq!(
        records_of(&events),
        [&expected[..2], &expected[4..]].concat()
    );
    let missing = missing_of(&events);
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!((missing[0].0, missing[0].1), (2, 4));
}

/// The trailing length of the last frame that was inherited was damaged. What it led to was no frame
/// and had not the checksum that was inherited, so that the segment was taken for another history
/// from there on, and good batches before its last one were left out.
#[test]
fn a_damaged_last_length_costs_the_last_batch_alone() {
    let place = SampleHome::new();
    let (expected, paths) = fork_of_fork(&place);
    let good = bytes_of(&place.file(&paths[0])).to_vec();
    // The end of the batch that is inherited in part.
    let end = native_segment(1, (0, 0), &batches("a", 3)).len();
    for bit in 0..32 {
        let mut bytes = good.clone();
        bytes[end - 4 + bit / 8] ^= 1 << (bit % 8);
        place.write(&paths[0], &bytes);
        let events = check(&place);
        let kept = [&expected[..4], &expected[5..]].concat();
        assert_eq!(records_of(&events), kept, "bit {bit}");
        let missing = missing_of(&events);
        assert_eq!((missing.len(), missing[0].0, missing[0].1), (1, 4, 5));
    }
}

/// A fork that has no batch of its own, since its maker died or its frames were damaged, ends where its
/// own frames would begin. That offset was taken for one of the last inherited segment, and pages of
/// items left out what lies behind it there.
#[test]
fn a_fork_without_a_batch_of_its_own_is_read_to_the_end_of_what_it_inherits() {
    let place = SampleHome::new();
    let (expected, _) = fork_of_fork(&place);
    let own = native_segment(3, (2, 9), &[]);
    for more in [&b""[..], b"torn"] {
        place.write(PATH, &[&own, more].concat());
        let log = OpenLog::open(&RealDisk, &place.file(PATH), LogFormat::Native).unwrap();
        let mut scan = log.scan(None).unwrap();
        assert_eq!(scan.by_ref().count(), 9);
        let all = (log.first_position(), scan.position());
        let mut reader = ForwardReader::between(&log, all, ByteLength::new(100)).unwrap();
        let records = std::iter::from_fn(|| reader.next().unwrap());
        let records: Vec<_> = records.map(|(record, _)| record).collect();
        assert_eq!(records, expected[..9]);
    }
}

/// A parent lost its last records in a power loss, before the fork's first sync, and went on with
/// others under the same ordinals: they were none of the fork's history.
#[test]
fn what_was_written_in_the_place_of_inherited_records_is_not_given_as_theirs() {
    let place = SampleHome::new();
    let (expected, paths) = fork_of_fork(&place);
    let mut other = batches("a", 2);
    other.extend(batches("z", 2));
    place.write(&paths[0], &native_segment(1, (0, 0), &other));
    let events = check(&place);
    assert_eq!(
        records_of(&events),
        [&expected[..4], &expected[5..]].concat()
    );
    let missing = missing_of(&events);
    assert_eq!(missing, [(4, 5, inherited(0, CodecError::SegmentReplaced))]);
}

#[test]
fn what_a_thread_inherited_can_be_removed_again_and_again() {
    let place = SampleHome::new();
    let (expected, paths) = fork_of_fork(&place);
    let home = TestHome::new();
    let context = LogContext {
        home: place.home(),
        ..home.context()
    };
    for _ in 0..2 {
        remove_inherited(&context, id(3)).unwrap();
        assert!(RealDisk.stat(&place.file(&paths[0])).is_err());
        assert!(RealDisk.list(&place.file("inherited")).unwrap().is_empty());
    }
    assert_eq!(records_of(&check(&place)), expected[9..]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_becomes_of_inherited_segments_every_ordinal_is_given_or_told_as_missing(
        harm in prop::collection::vec((0usize..3, 0usize..700, 0u8..4), 0..4),
    ) {
        let place = SampleHome::new();
        let (expected, [first, second]) = fork_of_fork(&place);
        for (which, at, how) in harm {
            let path = [first.as_str(), second.as_str(), PATH][which];
            let Ok(_) = RealDisk.stat(&place.file(path)) else { continue };
            let mut bytes = bytes_of(&place.file(path)).to_vec();
            // The log's own header is all that says what it inherits.
            let at = if which == 2 { at.max(HEADER_BYTES) } else { at };
            match how {
                0 => bytes.truncate(at),
                1 if which < 2 => {
                    RealDisk.remove(&place.file(path)).unwrap();
                    continue;
                }
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << how;
                    }
                }
            }
            place.write(path, &bytes);
        }
        let mut next = 0;
        for event in check(&place) {
            match event {
                LogEvent::Record(record) => {
                    prop_assert_eq!(record.ordinal.get(), next);
                    prop_assert_eq!(&record, &expected[usize::try_from(next).unwrap()]);
                    next += 1;
                }
                LogEvent::Damage(damage) => {
                    prop_assert_eq!(damage.first_ordinal.get(), next);
                    prop_assert!(damage.next_ordinal.get() >= next);
                    next = damage.next_ordinal.get();
                }
            }
        }
        prop_assert!(next >= 9, "{next}");
    }
}
