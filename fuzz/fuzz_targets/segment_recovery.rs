//! A native log of any bytes is opened as the table of recovery says: readers change nothing and
//! agree both ways; who is let in loses no record that could be read, keeps what it cuts off, and
//! appends what can be read behind the rest; who is refused changes nothing.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use selvedge_codec::segment::{SegmentHeader, SegmentNumber, encode_batch};
use selvedge_codec::{BatchPosition, CodecError, Item, Ordinal, Record, UtcMicros};
use selvedge_engine::home::{Home, LogFormat, LogPath};
use selvedge_engine::log::recovery::Row;
use selvedge_engine::log::{Damage, RecoveryReport, ThreadLog};
use selvedge_fuzz::bench::{Bench, ID, batch, damage};
use selvedge_fuzz::frame_around;

const EDITS: usize = 9;

fn header(segment: u32, first_ordinal: u64) -> SegmentHeader {
    SegmentHeader {
        thread_id: ID,
        segment: SegmentNumber::new(segment),
        first_ordinal: Ordinal::new(first_ordinal),
    }
}

/// An honest log: batches whose sizes and bodies the input gives.
fn honest(header: SegmentHeader, mut input: &[u8]) -> Vec<u8> {
    let mut bytes = header.encode().to_vec();
    let mut next = header.first_ordinal;
    while let [shape, length, rest @ ..] = input {
        let body = rest.get(..usize::from(*length & 0x3f)).unwrap_or(rest);
        let mut records: Vec<Record> = (0..=shape % 3)
            .map(|_| {
                let item = match shape >> 6 {
                    0 => Item::json("event_msg", r#"{"type":"user_message","message":"m"}"#),
                    1 => Item::json("event_msg", r#"{"type":"task_started","turn_id":"t"}"#),
                    2 => Item::json("session_meta", format!(r#"{{"id":"{ID}","cwd":"/w"}}"#)),
                    _ => Item::binary("fuzz", Bytes::copy_from_slice(body)),
                };
                let record = item.expect("it is one").into_record(
                    next,
                    UtcMicros::new(i64::from(*shape)),
                    BatchPosition::WHOLE,
                );
                next = next.next();
                record
            })
            .collect();
        encode_batch(header.seed(), &mut records, &mut bytes).expect("a batch is encoded");
        input = &rest[body.len()..];
    }
    bytes
}

/// Frames around what the input gives, under right checksums.
fn framed(mut input: &[u8]) -> Vec<u8> {
    let mut bytes = header(0, 0).encode().to_vec();
    let encoded = bytes.clone();
    while let [length, rest @ ..] = input {
        let inner = rest.get(..usize::from(*length)).unwrap_or(rest);
        bytes.extend(frame_around(&encoded, inner));
        input = &rest[inner.len()..];
    }
    bytes
}

/// A fork's log, with an inherited segment under a name of which the input says the numbers.
fn forked(bench: &Bench, edits: &[u8], input: &[u8]) -> Vec<u8> {
    let [next, end, rest @ ..] = input else {
        return Vec::new();
    };
    let cut = rest.len() / 2;
    let mut inherited = honest(header(0, 0), &rest[..cut]);
    let (end, next) = (usize::from(*end) * 4, u64::from(*next));
    let last = inherited.len();
    let end = if end < last { end } else { last };
    let checksum = inherited.len().checked_sub(4).and_then(|at| {
        let length = u32::from_le_bytes(inherited.get(at..)?.try_into().ok()?);
        let start = last.checked_sub(usize::try_from(length).ok()? + 12)?;
        Some(u32::from_le_bytes(
            inherited.get(start + 4..start + 8)?.try_into().ok()?,
        ))
    });
    damage(&mut inherited, edits);
    let name = format!("0-{next}-{end}-{:08x}.rlog", checksum.unwrap_or(7));
    let path = LogPath::new(format!("{}/{name}", Home::inherited_dir(ID))).expect("a path");
    bench.put(&path, &inherited);
    honest(header(1, next), &rest[cut..])
}

/// What a writer that was let in has made of the file.
fn check_report(bench: &Bench, (before, after): (&[u8], &[u8]), report: &RecoveryReport) {
    let kept = report.kept_in.as_ref().map(|path| {
        bench
            .medium
            .read_file(path)
            .expect("what is cut off is kept")
    });
    match report.row {
        Row::TornTail | Row::DamagedAndTorn => {
            let torn = report.torn.as_ref().expect("the row says so");
            let at = usize::try_from(torn.offset.get()).expect("within the file");
            assert_eq!(
                (after, kept.as_deref()),
                (&before[..at], Some(&before[at..]))
            );
        }
        Row::Empty | Row::HeaderCut => {
            assert_eq!(kept.unwrap_or_default(), before);
            assert!(after.starts_with(before) || before.len() >= after.len());
        }
        Row::Clean | Row::HeaderOnly | Row::Damaged => assert_eq!((after, kept), (before, None)),
        row => panic!("{row:?} lets a writer in"),
    }
}

fn open(bench: &Bench, path: &LogPath) -> Option<(ThreadLog, RecoveryReport)> {
    ThreadLog::open(bench.context(), ID, path).ok()
}

/// Where damage lies. Why it is none that can be read may be told otherwise once more follows it.
fn places(damage: &[Damage]) -> Vec<Damage> {
    let without_reason = |damage: &Damage| Damage {
        why: CodecError::FrameLength,
        ..damage.clone()
    };
    damage.iter().map(without_reason).collect()
}

fn check(bench: &Bench, path: &LogPath) {
    let before = bench.bytes(path).expect("it was put there");
    let all = bench.logs();
    let read = bench.history(path);
    assert_eq!(bench.logs(), all, "a reader has changed something");
    let Some((mut log, report)) = open(bench, path) else {
        assert_eq!(
            bench.logs(),
            all,
            "a writer that was refused has changed something"
        );
        return;
    };
    let after = bench.bytes(path).expect("it is still there");
    check_report(bench, (&before, &after), &report);
    let opened = bench.history(path).expect("a log that is open can be read");
    assert_eq!(opened.torn_tail, None);
    assert_eq!(opened.position.next_ordinal, report.next_ordinal);
    if let Ok(read) = read {
        assert_eq!(
            (&opened.records, &opened.damage),
            (&read.records, &read.damage)
        );
    }
    let appended = log.append(vec![batch()]);
    let appended = appended.expect("memory has room")[0];
    assert_eq!(appended.first_ordinal, report.next_ordinal);
    log.sync().expect("memory is synced");
    log.close().expect("and closed");
    let grown = bench.history(path).expect("it can be read");
    assert_eq!(grown.records.len(), opened.records.len() + 2);
    assert!(grown.records.starts_with(&opened.records));
    assert_eq!(places(&grown.damage), places(&opened.damage));
    assert_eq!(grown.torn_tail, None);
    let (mut log, report) = open(bench, path).expect("once it was opened it is again");
    assert!(
        matches!(report.row, Row::Clean | Row::Damaged),
        "{report:?}"
    );
    assert_eq!(report.next_ordinal, appended.last_ordinal.next());
    log.close().expect("it is closed");
}

fuzz_target!(|data: &[u8]| {
    let [mode, rest @ ..] = data else {
        return;
    };
    let bench = Bench::new();
    let path = bench.log_path(LogFormat::Native);
    let (edits, input) = rest.split_at(rest.len().min(EDITS));
    let bytes = match mode % 5 {
        0 => rest.to_vec(),
        1 => [&header(0, 0).encode()[..], rest].concat(),
        2 => framed(rest),
        3 => {
            let mut bytes = honest(header(0, 0), input);
            damage(&mut bytes, edits);
            bytes
        }
        _ => forked(&bench, edits, input),
    };
    bench.put(&path, &bytes);
    check(&bench, &path);
});
