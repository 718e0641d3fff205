//! Repairing: nothing that can be read is lost, nothing else is touched, and what is given up is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use selvedge_codec::view::View;
use selvedge_codec::{ByteLength, Item, Ordinal, Record, ThreadId};

use super::damaged_forks::check_pages;
use super::home::WAIT;
use crate::disk::RealDisk;
use crate::home::{LogFormat, LogPath};
use crate::listing::ListQuery;
use crate::log::{History, LogContext, MAX_LOST_RECORDS, NewThread, ThreadLog, load_history};
use crate::sample_home::*;
use crate::search::SearchQuery;
use crate::store::{
    ForkSource, LeftKind, LogRepair, RepairOptions, RepairOutcome, RepairReport, Store,
    StoreOptions,
};
use crate::thread::{ForkPoint, ThreadSummary, TurnSummary};
use crate::{Error, InvalidRequest};

pub(super) const NATIVE: &str =
    "sessions/2026/02/20/rollout-2026-02-20T09-15-00-019c7a54-be6b-7e31-86dd-000000000001.rlog";
pub(super) const LINES: &str =
    "sessions/2026/02/20/rollout-2026-02-20T09-15-00-019c7a54-be6b-7e31-86dd-000000000002.jsonl";
const PACKED: &str =
    "archived_sessions/rollout-2026-02-20T09-15-00-019c7a54-be6b-7e31-86dd-000000000003.jsonl.zst";

const FOR_REAL: RepairOptions = RepairOptions { dry_run: false };
const DRY: RepairOptions = RepairOptions { dry_run: true };

pub(super) fn open(place: &SampleHome) -> Store {
    let store = Store::open(StoreOptions::new(place.home().root())).unwrap();
    store.backfill(WAIT, &|_| ()).unwrap();
    store
}

fn history(place: &SampleHome, path: &str) -> Result<History, Error> {
    let format = LogFormat::of_file_name(path).unwrap();
    load_history(&RealDisk, &place.file(path), format)
}

/// Every file below a folder with its bytes and inode; the index and what writers leave are left out.
pub(super) fn files(root: &Path) -> BTreeMap<PathBuf, (u64, Vec<u8>)> {
    use std::os::unix::fs::MetadataExt;
    let mut files = BTreeMap::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name == ".selvedge" || name.starts_with("index.redb") {
                continue;
            }
            if path.is_dir() {
                dirs.push(path);
            } else {
                let inode = fs::metadata(&path).unwrap().ino();
                let bytes = fs::read(&path).unwrap();
                files.insert(path, (inode, bytes));
            }
        }
    }
    files
}

fn samples() -> Vec<Sample> {
    [vec![meta(1, "")], turn("a"), turn("b"), turn("c")].concat()
}

/// Each record a batch of its own.
fn singles(samples: &[Sample]) -> Vec<Vec<Sample>> {
    samples.iter().map(|sample| vec![sample.clone()]).collect()
}

fn ordinals(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.ordinal.get()).collect()
}

fn is_lost(record: &Record) -> bool {
    matches!(View::of(record), Ok(View::Lost(_)))
}

fn lost(records: &[Record]) -> Vec<u64> {
    let lost = records.iter().filter(|record| is_lost(record));
    lost.map(|record| record.ordinal.get()).collect()
}

/// Repairs a home with one damaged log, and holds the result to what every repair must keep to.
fn repair_one(place: &SampleHome, path: &str) -> (LogRepair, RepairReport) {
    let damaged = fs::read(place.file(path)).unwrap();
    let before = history(place, path);
    let store = open(place);
    let untouched = files(place.home().root());
    let told = owner_of(place, path).and_then(|owner| told_of(&store, owner).ok());
    let planned = store.repair(DRY).unwrap();
    assert_eq!(files(place.home().root()), untouched);
    let report = store.repair(FOR_REAL).unwrap();
    let [log] = &report.logs[..] else {
        panic!("one log is damaged: {report:?}");
    };
    assert_eq!(log.outcome, RepairOutcome::Repaired, "{log:?}");
    let [would_be] = &planned.logs[..] else {
        panic!("{planned:?}");
    };
    let expected = LogRepair {
        outcome: RepairOutcome::Repaired,
        copy: log.copy.clone(),
        ..would_be.clone()
    };
    assert_eq!(*log, expected);
    assert!(report.ok && report.verify.ok, "{report:?}");
    let copy = log.copy.as_ref().unwrap();
    assert_eq!(fs::read(place.file(copy)).unwrap(), damaged);
    let after = history(place, path).unwrap();
    assert_eq!((after.damage.len(), &after.torn_tail), (0, &None));
    if let Ok(before) = before {
        let known: Vec<_> = after
            .records
            .iter()
            .filter(|record| !is_lost(record) || before.records.contains(record))
            .cloned()
            .collect();
        assert_eq!(known, before.records);
    }
    for record in &after.records {
        if let Ok(View::Lost(lost)) = View::of(record)
            && lost.copy.as_deref() == Some(copy)
        {
            let (offset, length) = (lost.offset.unwrap(), lost.length.unwrap());
            assert!(offset + length <= damaged.len() as u64 || path == PACKED);
        }
    }
    let owner = owner_of(place, path).unwrap();
    // Pages of a few records each, of all of them.
    if after.records.len() < 100 {
        check_pages(&store, owner, &after.records);
    }
    if let Some(told) = told {
        assert_eq!(told_of(&store, owner).unwrap(), told);
    }
    let made = files(place.home().root());
    let again = store.repair(FOR_REAL).unwrap();
    assert!(again.ok && again.logs.is_empty(), "{again:?}");
    assert_eq!(files(place.home().root()), made, "a second repair changes");
    (log.clone(), report)
}

/// What is known of a thread, and its turns: all that a lost record changes nothing of.
fn told_of(store: &Store, owner: ThreadId) -> Result<(ThreadSummary, Vec<String>), Error> {
    let summary = ThreadSummary {
        item_count: 0,
        damaged_count: 0,
        ..store.read_thread(owner)?
    };
    let turns = store.turns(owner)?.into_iter().map(|turn| {
        let TurnSummary {
            turn_id,
            first_ordinal,
            status,
            started_at,
            completed_at,
            rolled_back,
            ..
        } = turn;
        format!(
            "{turn_id:?} {first_ordinal} {status:?} {started_at} {completed_at:?} {rolled_back}"
        )
    });
    Ok((summary, turns.collect()))
}

#[test]
fn a_fork_a_rollback_and_a_search_go_across_what_is_lost() {
    let place = SampleHome::new();
    let batches = singles(&[samples(), vec![response("r")], turn("d")].concat());
    let mut bytes = native(1, &batches);
    // The word of the user in the second turn.
    bytes[native(1, &batches[..5]).len() + 20] ^= 1;
    place.write(NATIVE, &bytes);
    repair_one(&place, NATIVE);
    let store = open(&place);
    let context = store.model_context(id(1)).unwrap();
    assert_eq!(lost(&context.records), [5]);
    let find = |term: &str| {
        let query = SearchQuery {
            term: term.to_owned(),
            ..SearchQuery::default()
        };
        store.search(&query).unwrap().hits.len()
    };
    // Nothing of the reason or the path is anything that somebody has said.
    assert_eq!(["a", "damaged", "checksum"].map(find), [1, 0, 0]);
    let path = LogPath::new(NATIVE.to_owned()).unwrap();
    let (mut log, report) = ThreadLog::open(store.log_context().clone(), id(1), &path).unwrap();
    assert_eq!(report.row, crate::log::recovery::Row::Clean);
    let item = |sample: &Sample| Item::json(sample.record_type, sample.payload.clone()).unwrap();
    let appended = log.append(vec![vec![item(&rolled_back(3))]]).unwrap();
    assert_eq!(appended[0].first_ordinal.get(), batches.len() as u64);
    log.close().unwrap();
    let after = store.history(id(1)).unwrap();
    let effective: Vec<_> = after.effective().into_iter().cloned().collect();
    assert_eq!(ordinals(&effective), [0, 1, 2, 3]);
    check_pages(&store, id(1), &after.records);

    let source = ForkSource {
        thread_id: id(1),
        upto: None,
        is_durable: false,
    };
    let new = NewThread {
        thread_id: id(8),
        created_at: moment(99),
        meta: item(&meta(8, "")),
    };
    let point = ForkPoint::Before(Ordinal::new(7));
    let mut fork = store.fork(&source, &point, new).unwrap();
    fork.append(vec![vec![item(&user("own"))]]).unwrap();
    fork.close().unwrap();
    let forked = store.history(id(8)).unwrap();
    assert_eq!(ordinals(&forked.records), (0..9).collect::<Vec<_>>());
    assert_eq!(forked.records[..7], after.records[..7]);
    check_pages(&store, id(8), &forked.records);
    let report = open(&place).verify().unwrap();
    assert!(report.ok, "{report:?}");
}

#[test]
fn what_a_damaged_frame_held_is_a_lost_record_and_all_else_stays() {
    let place = SampleHome::new();
    let batches = singles(&samples());
    let at = native(1, &batches[..3]).len();
    let end = native(1, &batches[..4]).len();
    let whole = native(1, &batches);
    let mut bytes = whole.clone();
    bytes[at + 20] ^= 1;
    place.write(NATIVE, &bytes);
    let (log, report) = repair_one(&place, NATIVE);
    assert_eq!((log.records_kept, log.records_lost), (9, 1));
    let [gap] = &log.given_up[..] else {
        panic!("{log:?}");
    };
    assert_eq!(
        (gap.offset.get(), gap.length.get()),
        (at as u64, (end - at) as u64)
    );
    assert_eq!((gap.first_ordinal.get(), gap.next_ordinal.get()), (3, 4));
    assert_eq!(log.thread_id, Some(id(1)));
    let after = history(&place, NATIVE).unwrap();
    assert_eq!(ordinals(&after.records), (0..10).collect::<Vec<_>>());
    assert_eq!(lost(&after.records), [3]);
    let Ok(View::Lost(told)) = View::of(&after.records[3]) else {
        panic!("{:?}", after.records[3]);
    };
    assert_eq!(told.copy.as_deref(), log.copy.as_deref());
    assert_eq!(told.reason.as_deref(), Some(&*gap.why));
    // The frames before and behind are copied as they lay there.
    let repaired = fs::read(place.file(NATIVE)).unwrap();
    assert!(repaired.starts_with(&whole[..at]) && repaired.ends_with(&whole[end..]));
    assert_eq!(report.verify.records, 10);
    assert!(!report.index_rebuilt);
}

#[test]
fn damage_of_every_place_in_a_log_is_repaired() {
    let one = |bytes: Vec<u8>| {
        let place = SampleHome::new();
        place.write(NATIVE, &bytes);
        repair_one(&place, NATIVE)
    };
    let batches = [samples()[..4].to_vec(), samples()[4..].to_vec()];
    let whole = native(1, &batches);
    let first = native(1, &batches[..1]).len();

    // A torn tail, and garbage behind the end: of neither anybody knows an ordinal.
    let (log, _) = one(whole[..whole.len() - 3].to_vec());
    assert_eq!((log.records_kept, log.records_lost), (4, 0));
    assert_eq!(log.given_up[0].offset.get(), first as u64);
    let (log, _) = one([&whole[..], &[7; 90]].concat());
    assert_eq!((log.records_kept, log.records_lost), (10, 0));
    assert_eq!(log.given_up[0].length, ByteLength::new(90));

    // A batch goes as a whole, with all of its ordinals.
    let mut bytes = whole.clone();
    bytes[first - 9] ^= 1;
    let (log, _) = one(bytes);
    assert_eq!((log.records_kept, log.records_lost), (6, 4));

    // A block of zeros over both, and nothing left to tell of them.
    let mut bytes = whole.clone();
    bytes[first - 40..first + 40].fill(0);
    let (log, _) = one(bytes);
    assert_eq!((log.records_kept, log.records_lost), (0, 0));

    // A copy of what is there already takes no ordinal.
    let (log, _) = one([&whole[..first], &whole[48..]].concat());
    assert_eq!((log.records_kept, log.records_lost), (10, 0));
    assert_eq!(log.given_up[0].length.get(), (first - 48) as u64);

    // Bytes that are missing altogether.
    let (log, _) = one([&whole[..48], &whole[first..]].concat());
    assert_eq!((log.records_kept, log.records_lost), (6, 4));
    assert_eq!(log.given_up[0].length, ByteLength::ZERO);
}

#[test]
fn a_damaged_header_is_made_again_where_the_frames_fit_it() {
    let batches = singles(&samples());
    let whole = native(1, &batches);
    // Of a log that no name tells the thread of, what the header itself says must fit.
    for (path, bits) in [(NATIVE, 0..384), ("sessions/odd.rlog", 0..96)] {
        for bit in bits.step_by(29) {
            let place = SampleHome::new();
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            place.write(path, &bytes);
            let told = history(&place, path);
            assert!(told.is_ok_and(|history| !history.damage.is_empty()));
            let (log, _) = repair_one(&place, path);
            assert_eq!(fs::read(place.file(path)).unwrap(), whole, "bit {bit}");
            assert_eq!((log.records_kept, log.given_up.len()), (10, 1));
        }
    }
    // All of it, and the first frame.
    let place = SampleHome::new();
    let mut bytes = whole.clone();
    bytes[..60].fill(0xee);
    place.write(NATIVE, &bytes);
    let (log, _) = repair_one(&place, NATIVE);
    assert_eq!((log.records_kept, log.records_lost), (9, 1));
    // A maker that died before it had one.
    for length in [0, 1, 47] {
        let place = SampleHome::new();
        place.write(NATIVE, &whole[..length]);
        fs::File::options()
            .write(true)
            .open(place.file(NATIVE))
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
        let (log, _) = repair_one(&place, NATIVE);
        assert_eq!(fs::read(place.file(NATIVE)).unwrap(), whole[..48]);
        assert_eq!(log.records_kept, 0);
    }
}

#[test]
fn a_bad_line_goes_and_the_records_behind_it_keep_their_ordinals() {
    let plain = |at: usize| line(0, &samples()[at], None);
    let told = |at: usize, ordinal| line(0, &samples()[at], Some(ordinal));
    let repaired = |text: String| {
        let place = SampleHome::new();
        place.write(
            LINES,
            text.replace(&id(1).to_string(), &id(2).to_string())
                .as_bytes(),
        );
        let (log, _) = repair_one(&place, LINES);
        let after = history(&place, LINES).unwrap();
        (log, ordinals(&after.records), lost(&after.records))
    };
    // Ordinals are positions: nobody knows whether the line was a record.
    let (log, ordinals, lost) =
        repaired(plain(0) + "\u{feff}{}\n\n" + &plain(1) + "{\"half\":\n" + &plain(2));
    assert_eq!((ordinals, lost), (vec![0, 1, 2], vec![]));
    assert_eq!((log.records_kept, log.given_up.len()), (3, 2));
    // The lines behind say that they were records.
    let text = told(0, 0) + "bad\n\nworse\n" + &told(1, 2) + "bad\n" + &told(2, 3) + "bad\n";
    let (log, ordinals, lost) = repaired(text);
    assert_eq!((ordinals, lost), (vec![0, 1, 2, 3], vec![1]));
    assert_eq!(
        (log.records_kept, log.records_lost, log.given_up.len()),
        (3, 1, 4)
    );
    // At the beginning, and half a line at the end.
    let text = "bad\n".to_owned() + &told(1, 1) + &plain(2) + "{\"timestamp\":";
    let (log, ordinals, lost) = repaired(text);
    assert_eq!((ordinals, lost), (vec![0, 1, 2], vec![0]));
    assert_eq!(log.given_up.len(), 2);
    // A last line without its newline stays one.
    let text = plain(0) + "bad\n" + plain(1).trim_end();
    assert_eq!(repaired(text).1, [0, 1]);
}

#[test]
fn what_can_be_unpacked_of_a_compressed_log_is_packed_again() {
    let text = |records: usize| {
        let long = (0..records).map(|n| user(&format!("word {}", n * 7919)));
        lines(&std::iter::once(meta(3, "")).chain(long).collect::<Vec<_>>())
    };
    let packed = zstd::encode_all(&text(20_000)[..], 3).unwrap();
    let place = SampleHome::new();
    place.write(PACKED, &packed[..packed.len() * 3 / 4]);
    let before = history(&place, PACKED).unwrap().records.len();
    let (log, _) = repair_one(&place, PACKED);
    assert_eq!(log.records_kept, before as u64);
    assert!(before > 1000 && before < 20_000);
    // Lines within it.
    let place = SampleHome::new();
    let broken = [
        &text(3)[..],
        b"bad\n",
        line(9, &user("end"), None).as_bytes(),
    ]
    .concat();
    place.write(PACKED, &zstd::encode_all(&broken[..], 3).unwrap());
    let (log, _) = repair_one(&place, PACKED);
    assert_eq!((log.records_kept, log.given_up.len()), (5, 1));
}

/// The first line of a log of JSON lines was damaged. It had copied another thread's history, whose
/// meta came next; with the bad line taken out, the log became that thread's.
#[test]
fn a_log_that_would_become_another_thread_s_is_left_as_it_is() {
    let place = SampleHome::new();
    let text = "bad\n".to_owned() + &line(1, &meta(9, ""), None) + &line(2, &user("u"), None);
    place.write(LINES, text.as_bytes());
    let store = open(&place);
    let before = files(place.home().root());
    for how in [DRY, FOR_REAL] {
        let report = store.repair(how).unwrap();
        let left = report.logs[0].left.as_ref().unwrap();
        assert_eq!(left.kind, LeftKind::AnotherThread);
        assert!(!report.ok);
    }
    assert_eq!(files(place.home().root()), before);
    assert!(!place.file("damaged").exists());
    // Where the lines tell that it was a record, one says so in its place.
    let place = SampleHome::new();
    let text = "bad\n".to_owned() + &line(1, &meta(9, ""), Some(1)) + &line(2, &user("u"), None);
    place.write(LINES, text.as_bytes());
    repair_one(&place, LINES);
    let store = open(&place);
    assert_eq!(store.read_thread(id(2)).unwrap().item_count, 3);
    assert!(matches!(
        store.read_thread(id(9)),
        Err(Error::ThreadNotFound { .. })
    ));
}

#[test]
fn what_can_t_be_repaired_stays_as_it_is_and_says_why() {
    let place = SampleHome::new();
    let batches = singles(&samples());
    let mut later = native(4, &batches);
    later[8] = 9;
    let crc = crc32fast::hash(&later[..44]);
    later[44..48].copy_from_slice(&crc.to_le_bytes());
    let of_another = {
        let mut bytes = native(5, &batches);
        bytes[44] ^= 1;
        bytes[12..28].fill(0);
        bytes
    };
    // A frame that is intact, and names an ordinal that the log can't have come to.
    let forged = {
        let [start, far] = [native(6, &batches), native_at(6, MAX_LOST_RECORDS + 11)];
        [&start[..], &far[48..]].concat()
    };
    for (path, bytes, kind) in [
        ("sessions/later.rlog", later, LeftKind::UnknownVersion),
        (
            "sessions/another.rlog",
            of_another,
            LeftKind::NothingReadable,
        ),
        ("sessions/forged.rlog", forged, LeftKind::TooManyLost),
        ("sessions/none.rlog", b"no log".to_vec(), LeftKind::NoThread),
        (LINES, b"bad\nworse\n".to_vec(), LeftKind::NothingReadable),
        (LINES, b"\n".to_vec(), LeftKind::NothingReadable),
        (
            "sessions/none.jsonl",
            lines(&[user("a")]),
            LeftKind::NoThread,
        ),
        (PACKED, b"not packed".to_vec(), LeftKind::NothingReadable),
    ] {
        let path = place.write(path, &bytes);
        let expected = files(place.home().root());
        let report = open(&place).repair(FOR_REAL).unwrap();
        let found: Vec<_> = report
            .logs
            .iter()
            .map(|log| (log.outcome, &log.left))
            .collect();
        let [(RepairOutcome::Left, Some(left))] = found[..] else {
            panic!("{path}: {found:?}");
        };
        assert_eq!(left.kind, kind, "{path}: {left:?}");
        assert!(!report.ok && !left.why.is_empty());
        assert_eq!(files(place.home().root()), expected, "{path}");
        fs::remove_file(place.file(path.as_str())).unwrap();
    }
}

/// A segment whose only frame has this ordinal.
fn native_at(number: u8, ordinal: u64) -> Vec<u8> {
    use selvedge_codec::BatchPosition;
    use selvedge_codec::segment::{SegmentHeader, SegmentNumber, encode_batch};
    let header = SegmentHeader {
        thread_id: id(number),
        segment: SegmentNumber::FIRST,
        first_ordinal: Ordinal::ZERO,
    };
    let mut bytes = header.encode().to_vec();
    let item = Item::json("event_msg", "{}").unwrap();
    let record = item.into_record(Ordinal::new(ordinal), moment(1), BatchPosition::WHOLE);
    encode_batch(header.seed(), &mut [record], &mut bytes).unwrap();
    bytes
}

#[test]
fn a_home_in_which_nothing_is_wrong_is_not_touched() {
    let place = SampleHome::new();
    place.write(NATIVE, &native(1, &singles(&samples())));
    place.write(LINES, &lines(&[meta(2, ""), user("a")]));
    let store = open(&place);
    let (before, index) = (
        files(place.home().root()),
        fs::read(place.file("index.redb")).unwrap(),
    );
    let report = store.repair(FOR_REAL).unwrap();
    assert!(report.ok && report.logs.is_empty() && !report.index_rebuilt);
    assert_eq!(files(place.home().root()), before);
    assert_eq!(fs::read(place.file("index.redb")).unwrap(), index);
    for made in ["damaged", ".selvedge"] {
        assert!(!place.file(made).exists(), "{made}");
    }
}

#[test]
fn an_index_that_is_not_what_the_logs_say_is_made_anew() {
    let place = SampleHome::new();
    place.write(NATIVE, &native(1, &singles(&samples())));
    let store = open(&place);
    super::tamper(&store, |txn, row| {
        let mut wrong = row.clone();
        wrong.thread.summary.cwd = "/elsewhere".into();
        let mut order = crate::index::OrderChanges::default();
        txn.put_thread(Some(row), &wrong, &mut order)?;
        order.write(txn)
    });
    let told = store.repair(DRY).unwrap();
    assert!(!told.ok && !told.index_rebuilt && told.logs.is_empty());
    let report = store.repair(FOR_REAL).unwrap();
    assert!(report.ok && report.index_rebuilt, "{report:?}");
    assert!(!store.repair(FOR_REAL).unwrap().index_rebuilt);
}

#[test]
fn a_log_that_is_being_written_is_left_to_its_writer() {
    let place = SampleHome::new();
    let batches = singles(&samples());
    let mut bytes = native(1, &batches);
    bytes[native(1, &batches[..3]).len() + 20] ^= 1;
    let path = place.write(NATIVE, &bytes);
    let context = |disk| {
        LogContext::new(
            std::sync::Arc::new(disk),
            std::sync::Arc::new(crate::clock::SystemClock),
            place.home(),
        )
    };
    let (mut writer, _) = ThreadLog::open(context(RealDisk), id(1), &path).unwrap();
    let store = open(&place);
    for how in [DRY, FOR_REAL] {
        let report = store.repair(how).unwrap();
        let left = report.logs[0].left.as_ref().unwrap();
        assert_eq!(left.kind, LeftKind::Conflict, "{how:?}");
        assert!(left.why.contains("being written"), "{}", left.why);
        assert!(!report.ok);
    }
    assert_eq!(fs::read(place.file(NATIVE)).unwrap(), bytes);
    writer.close().unwrap();
    drop(writer);
    repair_one(&place, NATIVE);
}

/// The tool that owns a log had it open while a bad line was taken out: it went on writing to a file
/// that was no log any more, and the rest of its session was not in the log.
#[test]
fn a_log_that_its_tool_has_open_is_left_to_it() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let place = SampleHome::new();
    let text = line(0, &meta(2, ""), None) + "bad\n" + &line(1, &user("a"), None);
    place.write(LINES, text.as_bytes());
    let mut tool = Command::new("sh")
        .args(["-c", "exec 3>>\"$0\"; echo open; read line"])
        .arg(place.file(LINES))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut out = BufReader::new(tool.stdout.take().unwrap());
    out.read_line(&mut said).unwrap();
    let store = open(&place);
    for how in [DRY, FOR_REAL] {
        let report = store.repair(how).unwrap();
        let left = report.logs[0].left.as_ref().unwrap();
        assert_eq!(left.kind, LeftKind::Conflict);
        assert!(left.why.contains(&tool.id().to_string()), "{}", left.why);
    }
    assert_eq!(fs::read(place.file(LINES)).unwrap(), text.as_bytes());
    drop(tool.stdin.take());
    tool.wait().unwrap();
    repair_one(&place, LINES);
}

#[test]
fn whoever_has_the_damaged_file_open_goes_on_reading_it() {
    let place = SampleHome::new();
    let text = line(0, &meta(2, ""), None) + "bad\n" + &line(1, &user("a"), None);
    place.write(LINES, text.as_bytes());
    let file = fs::File::open(place.file(LINES)).unwrap();
    repair_one(&place, LINES);
    assert_eq!(std::io::read_to_string(file).unwrap(), text);
}

#[test]
fn the_damaged_files_are_no_logs_and_go_with_their_thread() {
    let place = SampleHome::new();
    let text = line(0, &meta(2, ""), None) + "bad\n" + &line(1, &user("a"), None);
    place.write(LINES, text.as_bytes());
    let (log, report) = repair_one(&place, LINES);
    assert_eq!(report.verify.logs, 1);
    let store = open(&place);
    assert_eq!(store.list(&ListQuery::default()).unwrap().threads.len(), 1);
    let copy = place.file(log.copy.as_ref().unwrap());
    assert!(matches!(
        store.read_thread_by_path(&copy),
        Err(Error::InvalidRequest(InvalidRequest::NotALogOfTheHome(_)))
    ));
    store.archive(id(2)).unwrap();
    store.delete(id(2)).unwrap();
    assert!(!copy.exists());
}

#[test]
fn damage_in_what_a_fork_inherits_is_told_and_its_own_file_is_repaired() {
    use crate::home::Home;
    let place = SampleHome::new();
    let inherited = native(7, &singles(&samples()[..3]));
    let name = {
        let path = place.write("elsewhere/0.rlog", &inherited);
        let log =
            crate::log::OpenLog::open(&RealDisk, &place.file(path.as_str()), LogFormat::Native)
                .unwrap();
        let end = selvedge_codec::ByteOffset::new(inherited.len() as u64);
        let number = selvedge_codec::segment::SegmentNumber::FIRST;
        crate::log::name_in(&log, (number, Ordinal::new(3), end)).unwrap()
    };
    let segment = format!("{}/{name}", Home::inherited_dir(id(1)));
    let own = singles(&[vec![meta(1, "")], turn("a")].concat());
    let whole = native_segment(1, (1, 3), &own);
    let second = native_segment(1, (1, 3), &own[..1]).len();
    let mut bytes = whole.clone();
    bytes[second + 20] ^= 1;
    place.write(&segment, &inherited);
    place.write(NATIVE, &bytes);
    let (log, _) = repair_one(&place, NATIVE);
    assert_eq!((log.records_kept, log.records_lost), (3, 1));
    let after = history(&place, NATIVE).unwrap();
    assert_eq!(lost(&after.records), [4]);
    assert_eq!(after.own_from, Ordinal::new(3));

    // Its header is made again from what it inherits.
    bytes[30] ^= 1;
    place.write(NATIVE, &bytes);
    let (log, _) = repair_one(&place, NATIVE);
    assert_eq!((log.records_kept, log.given_up.len()), (3, 2));

    let mut harmed = inherited.clone();
    harmed[70] ^= 1;
    place.write(&segment, &harmed);
    place.write(NATIVE, &bytes);
    let report = open(&place).repair(FOR_REAL).unwrap();
    assert!(!report.ok);
    assert_eq!(report.logs[0].outcome, RepairOutcome::Repaired);
    assert_eq!(
        report.logs[0].left.as_ref().unwrap().kind,
        LeftKind::Inherited
    );
    let again = open(&place).repair(FOR_REAL).unwrap();
    assert_eq!(again.logs[0].outcome, RepairOutcome::Left);
    assert_eq!(
        again.logs[0].left.as_ref().unwrap().kind,
        LeftKind::Inherited
    );
    assert_eq!(fs::read(place.file(&segment)).unwrap(), harmed);
}

#[derive(Debug, Clone)]
enum Harm {
    Flip(u16, u8),
    CutTo(u16),
    Zero(u16, u16),
    Insert(u16, Vec<u8>),
    Take(u16, u16),
    Repeat(u16, u16, u16),
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = any::<u16>;
    prop_oneof![
        4 => (at(), 1u8..).prop_map(|(at, bits)| Harm::Flip(at, bits)),
        1 => at().prop_map(Harm::CutTo),
        1 => (at(), 1u16..200).prop_map(|(at, length)| Harm::Zero(at, length)),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..60)).prop_map(|(at, bytes)| Harm::Insert(at, bytes)),
        1 => (at(), 1u16..200).prop_map(|(at, length)| Harm::Take(at, length)),
        1 => (at(), at(), 1u16..300).prop_map(|(at, from, length)| Harm::Repeat(at, from, length)),
    ]
}

impl Harm {
    fn carry_out(&self, bytes: &mut Vec<u8>) {
        let all = bytes.len();
        let place = |at: u16| all * usize::from(at) / (usize::from(u16::MAX) + 1);
        let range = |at: u16, length: u16| place(at)..(place(at) + usize::from(length)).min(all);
        match self {
            Self::Flip(at, bits) => {
                let at = place(*at);
                bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= bits);
            }
            Self::CutTo(at) => bytes.truncate(place(*at)),
            Self::Zero(at, length) => bytes[range(*at, *length)].fill(0),
            Self::Insert(at, more) => drop(bytes.splice(place(*at)..place(*at), more.clone())),
            Self::Take(at, length) => drop(bytes.drain(range(*at, *length))),
            Self::Repeat(at, from, length) => {
                let copied = bytes[range(*from, *length)].to_vec();
                bytes.splice(place(*at)..place(*at), copied);
            }
        }
    }
}

/// A log of the thread `number`, in one of the forms that logs have.
fn any_log() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let samples = prop::collection::vec((any_sample(), 0u8..4), 1..12);
    (samples, 0u8..5).prop_map(|(samples, form)| {
        let number = match form {
            0 | 1 => 1,
            2 | 3 => 2,
            _ => 3,
        };
        let all: Vec<_> = std::iter::once((meta(number, ""), 0))
            .chain(samples)
            .collect();
        let told = |explicit: bool| {
            let lines = (0u64..).zip(&all).map(|(at, (sample, _))| {
                line(i64::try_from(at).unwrap(), sample, explicit.then_some(at))
            });
            lines.collect::<String>().into_bytes()
        };
        match form {
            0 => (
                NATIVE,
                native(
                    1,
                    &singles(&all.iter().map(|(s, _)| s.clone()).collect::<Vec<_>>()),
                ),
            ),
            1 => {
                let mut batches: Vec<Vec<Sample>> = Vec::new();
                for (sample, joins) in all {
                    match batches.last_mut() {
                        Some(batch) if joins > 0 => batch.push(sample),
                        _ => batches.push(vec![sample]),
                    }
                }
                (NATIVE, native(1, &batches))
            }
            2 => (LINES, told(false)),
            3 => (LINES, told(true)),
            _ => (PACKED, zstd::encode_all(&told(true)[..], 3).unwrap()),
        }
    })
}

fn owner_of(place: &SampleHome, path: &str) -> Option<ThreadId> {
    let path = LogPath::new(path.to_owned()).unwrap();
    crate::projection::log_owner(&RealDisk, &place.home(), &path).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_becomes_of_a_log_repair_keeps_all_that_could_be_read(
        (path, whole) in any_log(),
        harms in prop::collection::vec(harm(), 1..4),
    ) {
        let place = SampleHome::new();
        let mut bytes = whole;
        harms.iter().for_each(|harm| harm.carry_out(&mut bytes));
        place.write(path, &bytes);
        fs::File::options().write(true).open(place.file(path)).unwrap()
            .set_modified(std::time::UNIX_EPOCH).unwrap();
        let store = open(&place);
        let found = store.verify().unwrap();
        let before = files(place.home().root());
        let owner = owner_of(&place, path);
        if found.ok {
            let report = store.repair(FOR_REAL).unwrap();
            prop_assert!(report.ok && report.logs.is_empty());
            prop_assert_eq!(files(place.home().root()), before);
            return Ok(());
        }
        let planned = store.repair(DRY).unwrap();
        prop_assert_eq!(&files(place.home().root()), &before);
        prop_assert_eq!(planned.logs.len(), 1, "{:?}", found);
        match planned.logs[0].outcome {
            RepairOutcome::Left => {
                let report = store.repair(FOR_REAL).unwrap();
                prop_assert_eq!(report.logs[0].outcome, RepairOutcome::Left);
                prop_assert_eq!(files(place.home().root()), before);
            }
            _ => {
                repair_one(&place, path);
                if owner.is_some() {
                    prop_assert_eq!(owner_of(&place, path), owner);
                }
            }
        }
    }
}
