//! JSON-lines logs, which another tool may write as well.

use selvedge_codec::jsonl::{LineEvent, LineScanStart, item_from_line, scan as scan_lines};
use selvedge_codec::{ByteLength, Ordinal, ThreadId};

use super::faulty_disk::{ALL_OPS, EIO, Fault, FaultyDisk, Op};
use super::*;
use crate::home::LogFormat;
use crate::log::recovery::Row;
use crate::log::{LogState, RecoveryReport};
use crate::{CorruptReason, Error, Result};

const ID: &str = "019c7a54-be6b-7e31-86dd-b589bd944286";
const PATH: &str =
    "sessions/2026/02/20/rollout-2026-02-20T09-15-00-019c7a54-be6b-7e31-86dd-b589bd944286.jsonl";

fn id() -> ThreadId {
    ID.parse().unwrap()
}

/// A line as another tool writes it.
fn line(record_type: &str, payload: &str) -> String {
    format!(
        "{{\"timestamp\":\"2026-02-20T09:15:00.078Z\",\"type\":\"{record_type}\",\"payload\":{payload}}}\n"
    )
}

fn meta() -> String {
    line(
        "session_meta",
        &format!("{{\"id\":\"{ID}\",\"cwd\":\"/w\"}}"),
    )
}

fn said(text: &str) -> String {
    let payload = format!("{{\"type\":\"user_message\",\"message\":\"{text}\"}}");
    line("event_msg", &payload)
}

fn with_ordinal(line: &str, ordinal: u64) -> String {
    line.replacen(",\"type\"", &format!(",\"ordinal\":{ordinal},\"type\""), 1)
}

struct Fixture {
    home: TestHome,
    disk: FaultyDisk,
    path: LogPath,
}

impl Fixture {
    fn new(text: &str) -> Self {
        let home = TestHome::new();
        Self {
            path: home.put(PATH, text.as_bytes()),
            disk: FaultyDisk::default(),
            home,
        }
    }

    fn open(&self) -> Result<(ThreadLog, RecoveryReport)> {
        let context = self.home.context_on(Arc::new(self.disk.clone()));
        ThreadLog::open(context, id(), &self.path)
    }

    fn opened(&self) -> ThreadLog {
        self.open().unwrap().0
    }

    fn text(&self) -> String {
        String::from_utf8(self.home.bytes(&self.path).to_vec()).unwrap()
    }

    /// What the tool that owns the log does meanwhile.
    fn foreign(&self, text: &str) {
        let file = RealDisk
            .open(&self.home.file(&self.path), OpenMode::Write)
            .unwrap();
        let end = ByteOffset::new(file.len().unwrap().get());
        file.write_all_at(text.as_bytes(), end).unwrap();
    }

    fn records(&self) -> (Vec<Record>, u64) {
        records_of(self.home.bytes(&self.path))
    }

    /// The messages of the log, none of whose lines is bad.
    fn messages(&self) -> Vec<String> {
        let (records, bad) = self.records();
        assert_eq!(bad, 0);
        messages(&records)
    }
}

/// The records of a JSON-lines log's bytes by the codec's own scan, and how many lines are bad.
pub(super) fn records_of(bytes: Bytes) -> (Vec<Record>, u64) {
    let mut bad = 0;
    let records = scan_lines(bytes, LineScanStart::default())
        .filter_map(|event| match event {
            LineEvent::Record { record, .. } => Some(record),
            LineEvent::BadLine { .. } => {
                bad += 1;
                None
            }
        })
        .collect();
    (records, bad)
}

fn try_append(log: &mut ThreadLog, text: &str) -> Result<()> {
    log.append(vec![vec![message(text)]]).map(drop)
}

#[test]
fn a_log_is_gone_on_with_in_its_own_lines() {
    let before = meta() + &said("one");
    let fixture = Fixture::new(&before);
    let (mut log, report) = fixture.open().unwrap();
    assert_eq!(
        (report.row, report.next_ordinal),
        (Row::Clean, Ordinal::new(2))
    );
    assert_eq!(fixture.text(), before);
    assert_eq!(log.format(), LogFormat::JsonLines);
    let appended = log
        .append(vec![
            vec![message("two"), message("three")],
            vec![message("four")],
        ])
        .unwrap();
    assert_eq!(appended[0].last_ordinal, Ordinal::new(3));
    assert_eq!(appended[1].first_ordinal, Ordinal::new(4));
    log.sync().unwrap();
    assert_eq!(log.durable_next_ordinal(), Ordinal::new(5));
    log.close().unwrap();
    let text = fixture.text();
    let added = text.strip_prefix(&before).unwrap();
    assert_eq!(
        added.lines().next().unwrap(),
        "{\"timestamp\":\"2026-02-20T09:15:00.000Z\",\"type\":\"event_msg\",\
         \"payload\":{\"message\":\"two\",\"type\":\"user_message\"}}"
    );
    assert!(added.ends_with('\n'));
    assert_eq!(fixture.messages(), ["one", "two", "three", "four"]);
}

#[test]
fn a_half_last_line_gets_its_end_and_costs_itself_alone() {
    for half in ["{\"timestamp\":\"2026", "\u{feff}", "{}"] {
        let fixture = Fixture::new(&(meta() + half));
        let (mut log, report) = fixture.open().unwrap();
        assert_eq!(report.row, Row::TornTail);
        assert_eq!(report.torn.unwrap().length.get(), half.len() as u64);
        assert_eq!(append(&mut log, "one").first_ordinal, Ordinal::new(1));
        append(&mut log, "two");
        log.close().unwrap();
        assert!(fixture.text().contains(&format!("{half}\n")));
        let (records, bad) = fixture.records();
        assert_eq!(
            (messages(&records), bad),
            (vec!["one".into(), "two".into()], 1)
        );
        assert!(fixture.home.beside(&fixture.path).is_empty());
    }
}

#[test]
fn a_last_line_without_its_newline_is_a_record_and_gets_it() {
    let fixture = Fixture::new((meta() + &said("one")).trim_end());
    let (mut log, report) = fixture.open().unwrap();
    assert_eq!(
        (report.row, report.next_ordinal),
        (Row::Clean, Ordinal::new(2))
    );
    append(&mut log, "two");
    assert_eq!(fixture.messages(), ["one", "two"]);
}

#[test]
fn a_half_line_that_its_owner_completes_meanwhile_is_a_record() {
    let (head, rest) = (meta(), said("one"));
    let fixture = Fixture::new(&(head + &rest[..40]));
    let mut log = fixture.opened();
    fixture.foreign(&rest[40..]);
    assert_eq!(append(&mut log, "two").first_ordinal, Ordinal::new(2));
    assert_eq!(fixture.messages(), ["one", "two"]);
}

#[test]
fn a_log_whose_lines_carry_ordinals_goes_on_with_them() {
    let fixture = Fixture::new(&(with_ordinal(&meta(), 0) + &with_ordinal(&said("one"), 1)));
    let mut log = fixture.opened();
    append(&mut log, "two");
    fixture.foreign(&with_ordinal(&said("three"), 3));
    // A line of another log keeps nothing of that log's numbers.
    let imported = with_ordinal(said("four").trim_end(), 77);
    let item = item_from_line(Bytes::from(imported)).unwrap();
    let appended = log.append(vec![vec![item]]).unwrap();
    assert_eq!(appended[0].first_ordinal, Ordinal::new(4));
    log.append(vec![vec![Item::binary("blob", vec![1, 2, 3]).unwrap()]])
        .unwrap();
    let text = fixture.text();
    for (ordinal, line) in text.lines().enumerate() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["ordinal"], ordinal, "{line}");
    }
    assert_eq!(fixture.messages(), ["one", "two", "three", "four"]);
}

#[test]
fn a_log_whose_lines_carry_none_gets_none() {
    let fixture = Fixture::new(&(meta() + &said("one")));
    let mut log = fixture.opened();
    let imported = with_ordinal(said("two").trim_end(), 77);
    log.append(vec![vec![item_from_line(Bytes::from(imported)).unwrap()]])
        .unwrap();
    assert!(!fixture.text().contains("ordinal"));
    assert_eq!(fixture.messages(), ["one", "two"]);
}

#[test]
fn what_its_owner_appends_in_between_is_read_first() {
    let fixture = Fixture::new(&meta());
    let mut log = fixture.opened();
    append(&mut log, "one");
    let job = log.begin_sync().unwrap();
    fixture.foreign(&(said("two") + "\nno record\n" + &said("three")));
    let appended = append(&mut log, "four");
    assert_eq!(appended.first_ordinal, Ordinal::new(4));
    assert_eq!(log.finish_sync(job.run()).unwrap(), Ordinal::new(2));
    fixture.foreign(said("five").trim_end());
    log.release_handle().unwrap();
    fixture.foreign("");
    append(&mut log, "six");
    log.close().unwrap();
    let (records, bad) = fixture.records();
    assert_eq!(bad, 1);
    assert_eq!(
        messages(&records),
        ["one", "two", "three", "four", "five", "six"]
    );
}

#[test]
fn a_failed_write_leaves_nothing_of_its_own_and_all_of_what_others_wrote() {
    for short in [1, 25, 10_000] {
        for foreign in ["", &said("theirs")] {
            let fixture = Fixture::new(&meta());
            let mut log = fixture.opened();
            append(&mut log, "one");
            fixture.disk.inject(Fault {
                short,
                ..Fault::once(Op::Write, EIO)
            });
            fixture.disk.inject(Fault::once(Op::SetLen, EIO));
            assert!(try_append(&mut log, "refused").is_err());
            fixture.foreign(foreign);
            try_append(&mut log, "two").unwrap();
            let expected: &[&str] = if foreign.is_empty() {
                &["one", "two"]
            } else {
                &["one", "theirs", "two"]
            };
            assert_eq!(fixture.messages(), expected, "{short}");
        }
    }
}

#[test]
fn after_a_failed_sync_lost_lines_are_written_again() {
    let fixture = Fixture::new(&meta());
    let mut log = fixture.opened();
    log.sync().unwrap();
    append(&mut log, "one");
    fixture.foreign(&said("two"));
    append(&mut log, "three");
    fixture.disk.inject(Fault {
        loses: true,
        ..Fault::once(Op::Sync, EIO)
    });
    assert!(log.sync().is_err());
    assert_eq!(fixture.text(), meta());
    log.recover().unwrap();
    fixture.disk.lose_power(&fixture.home.file(&fixture.path));
    assert_eq!(fixture.messages(), ["one", "two", "three"]);
}

#[test]
fn a_compressed_log_is_unpacked_before_it_is_written_on() {
    let lines = meta() + &said("one");
    let packed = zstd::encode_all(lines.as_bytes(), 3).unwrap();
    let fixture = Fixture::new("");
    RealDisk.remove(&fixture.home.file(&fixture.path)).unwrap();
    let compressed = fixture.home.put(&format!("{PATH}.zst"), &packed);
    let context = fixture.home.context_on(Arc::new(fixture.disk.clone()));
    let (mut log, report) = ThreadLog::open(context.clone(), id(), &compressed).unwrap();
    assert_eq!(log.path(), &fixture.path);
    assert_eq!(report.unpacked_from, Some(compressed.clone()));
    assert_eq!(fixture.text(), lines);
    assert!(fixture.home.beside(&fixture.path).is_empty());
    assert_eq!(fixture.disk.count(Op::SyncDir, "sessions"), 1);
    append(&mut log, "two");
    log.close().unwrap();

    // A writer that died before it removed the compressed log has lost nothing.
    fixture.home.put(compressed.as_str(), &packed);
    let (mut log, _) = ThreadLog::open(context, id(), &compressed).unwrap();
    append(&mut log, "three");
    assert_eq!(log.path(), &fixture.path);
    assert_eq!(fixture.messages(), ["one", "two", "three"]);
}

#[test]
fn a_compressed_log_that_can_not_be_unpacked_stays_as_it_is() {
    let fixture = Fixture::new("");
    RealDisk.remove(&fixture.home.file(&fixture.path)).unwrap();
    let packed = zstd::encode_all((meta() + &said("one")).as_bytes(), 3).unwrap();
    let path = format!("{PATH}.zst");
    let damaged = fixture.home.put(&path, &packed[..packed.len() - 3]);
    let context = fixture.home.context_on(Arc::new(fixture.disk.clone()));
    let refused = ThreadLog::open(context.clone(), id(), &damaged);
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    fixture.home.put(&path, &packed);
    let refused = ThreadLog::open(context.clone(), ThreadId::generate(), &damaged);
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    for op in [
        Op::Open,
        Op::SetLen,
        Op::Write,
        Op::Sync,
        Op::Rename,
        Op::SyncDir,
        Op::Remove,
    ] {
        let name = "rollout-";
        fixture.disk.inject(Fault {
            on: if op == Op::SyncDir { "sessions" } else { name },
            ..Fault::once(op, EIO)
        });
        let refused = ThreadLog::open(context.clone(), id(), &damaged);
        assert!(refused.is_err(), "{op:?}");
        fixture.disk.heal();
        assert_eq!(bytes_of(&fixture.home.file(&damaged)), packed, "{op:?}");
        // What was unpacked is whole where it is there at all.
        let plain = fixture.home.file(&fixture.path);
        if RealDisk.stat(&plain).is_ok() {
            assert_eq!(fixture.messages(), ["one"], "{op:?}");
            RealDisk.remove(&plain).unwrap();
        }
    }
    let (mut log, _) = ThreadLog::open(context, id(), &damaged).unwrap();
    append(&mut log, "two");
    assert_eq!(fixture.messages(), ["one", "two"]);
}

#[test]
fn rows_of_the_table_on_real_bytes() {
    let other = meta().replace(ID, "019c7a54-0000-7e31-86dd-b589bd944286");
    let row = |text: &str| Fixture::new(text).open().unwrap().1.row;
    assert_eq!(row(&meta()), Row::Clean);
    assert_eq!(row(&(meta() + "bad\n" + &said("one"))), Row::Damaged);
    assert_eq!(row(&(meta() + "bad\n" + "half")), Row::DamagedAndTorn);
    assert_eq!(row(""), Row::Empty);
    assert_eq!(row("\n\n"), Row::Empty);
    assert_eq!(row("half"), Row::TornTail);
    // Copied history comes after the log's own meta.
    assert_eq!(row(&(meta() + &other)), Row::Clean);
    // A meta without an id leaves it to the name.
    assert_eq!(row(&line("session_meta", "{}")), Row::Clean);

    let refused = |text: &str| {
        let fixture = Fixture::new(text);
        let error = fixture.open().unwrap_err();
        assert_eq!(fixture.text(), text);
        match error {
            Error::Corrupt { why, .. } => why,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused("bad\nbad\n"), CorruptReason::NoRecord);
    assert!(matches!(
        refused(&(other + &meta())),
        CorruptReason::Codec(_)
    ));
    let fixture = Fixture::new("");
    let nameless = fixture
        .home
        .put("sessions/nameless.jsonl", said("one").as_bytes());
    let context = fixture.home.context();
    assert!(matches!(
        ThreadLog::open(context, id(), &nameless),
        Err(Error::Corrupt {
            why: CorruptReason::NoThreadId,
            ..
        })
    ));
}

#[test]
fn a_log_that_was_removed_cut_or_replaced_is_not_written_on_blindly() {
    let fixture = Fixture::new(&(meta() + &said("one")));
    let mut log = fixture.opened();
    append(&mut log, "two");
    log.sync().unwrap();
    let whole = fixture.text();
    fixture.home.put(PATH, meta().as_bytes());
    let cut = try_append(&mut log, "lost");
    assert!(matches!(
        cut,
        Err(Error::Corrupt {
            why: CorruptReason::Shorter { .. },
            ..
        })
    ));
    RealDisk.remove(&fixture.home.file(&fixture.path)).unwrap();
    assert!(matches!(
        try_append(&mut log, "lost"),
        Err(Error::ThreadNotFound { .. })
    ));
    fixture.home.put(PATH, meta().as_bytes());
    assert!(matches!(
        try_append(&mut log, "lost"),
        Err(Error::Corrupt {
            why: CorruptReason::Shorter { .. },
            ..
        })
    ));
    // Written anew by its owner, with all that was acknowledged.
    RealDisk.remove(&fixture.home.file(&fixture.path)).unwrap();
    fixture.home.put(PATH, (whole + &said("three")).as_bytes());
    append(&mut log, "four");
    assert_eq!(log.state(), LogState::Live);
    assert_eq!(log.durable_next_ordinal(), Ordinal::new(3));
    assert_eq!(fixture.messages(), ["one", "two", "three", "four"]);
}

#[test]
fn a_sync_of_a_file_that_was_replaced_says_nothing_of_the_new_one() {
    let fixture = Fixture::new(&meta());
    let mut log = fixture.opened();
    append(&mut log, "one");
    let job = log.begin_sync().unwrap();
    let whole = fixture.text();
    RealDisk.remove(&fixture.home.file(&fixture.path)).unwrap();
    fixture.home.put(PATH, whole.as_bytes());
    append(&mut log, "two");
    assert_eq!(log.finish_sync(job.run()).unwrap(), Ordinal::ZERO);
    log.sync().unwrap();
    assert_eq!(log.durable_next_ordinal(), Ordinal::new(3));
}

#[test]
fn a_single_fault_anywhere_costs_a_try_and_nothing_else() {
    for op in ALL_OPS {
        for after in 0.. {
            let fixture = Fixture::new(&meta());
            fixture.disk.inject(Fault {
                on: "",
                after,
                short: 20,
                loses: true,
                ..Fault::once(op, EIO)
            });
            let mut log = fixture.open().or_else(|_| fixture.open()).unwrap().0;
            for text in ["one", "two"] {
                try_append(&mut log, text)
                    .or_else(|_| try_append(&mut log, text))
                    .unwrap();
            }
            log.release_handle()
                .or_else(|_| log.release_handle())
                .unwrap();
            fixture.foreign(&said("three"));
            // What others have not synced, a failing medium may lose: that is theirs to bear.
            let file = fixture.home.file(&fixture.path);
            fixture.disk.set_durable(&file, &bytes_of(&file));
            try_append(&mut log, "four")
                .or_else(|_| try_append(&mut log, "four"))
                .unwrap();
            log.close().or_else(|_| log.close()).unwrap();
            assert_eq!(log.unsynced_bytes(), ByteLength::ZERO);
            assert_eq!(
                fixture.messages(),
                ["one", "two", "three", "four"],
                "{op:?} {after}"
            );
            if fixture.disk.count(op, "") <= after {
                break;
            }
        }
    }
}

/// A record type without a name was written, acknowledged, and a bad line to every reader.
#[test]
fn a_line_that_no_reader_would_take_is_refused() {
    let fixture = Fixture::new(&meta());
    let mut log = fixture.opened();
    for name in [String::new(), "n".repeat(200)] {
        let item = Item {
            record_type: selvedge_codec::RecordType::Other(name.into()),
            ..message("one")
        };
        let refused = log.append(vec![vec![item]]);
        assert!(
            matches!(refused, Err(Error::InvalidRequest(_))),
            "{refused:?}"
        );
    }
    assert_eq!(fixture.text(), meta());
}

/// The first line of a forked thread was damaged. Listings went by the file's name then, since
/// the next meta may be copied history; a writer took that meta for the thread's own, and refused.
#[test]
fn a_damaged_meta_does_not_give_a_log_to_the_thread_it_was_copied_from() {
    let other = meta().replace(ID, "019c7a54-0000-7e31-86dd-b589bd944286");
    let fixture = Fixture::new(&format!("\u{feff}{}{other}{}", meta(), said("one")));
    let (mut log, report) = fixture.open().unwrap();
    assert_eq!(report.row, Row::Damaged);
    append(&mut log, "two");
    assert_eq!(fixture.records().1, 1);
}

/// The tool that owned the log appended a line after we had looked how long the file was, and
/// before we wrote: what we wrote lay on top of it. Both kept their acknowledgement, one of them
/// its bytes.
#[test]
fn what_its_owner_appends_at_the_very_moment_is_not_overwritten() {
    let plain = |line: &str, _: u64| line.to_owned();
    for numbered in [plain, with_ordinal] {
        let fixture = Fixture::new(&numbered(&meta(), 0));
        let mut log = fixture.opened();
        append(&mut log, "one");
        let theirs = numbered(&said("two"), 2) + &numbered(&said("three"), 3);
        fixture.disk.precede_write(&theirs);
        let appended = log
            .append(vec![vec![message("four"), message("five")]])
            .unwrap();
        assert_eq!(appended[0].first_ordinal, Ordinal::new(4));
        assert_eq!(appended[0].last_ordinal, Ordinal::new(5));
        assert_eq!(append(&mut log, "six").first_ordinal, Ordinal::new(6));
        let whole = ["one", "two", "three", "four", "five", "six"];
        assert_eq!(fixture.messages(), whole);
        // What is written again after a failed sync belongs where it was.
        fixture.disk.inject(Fault::once(Op::Sync, EIO));
        assert!(log.sync().is_err());
        log.recover().unwrap();
        assert_eq!(log.durable_next_ordinal(), Ordinal::new(7));
        assert_eq!(fixture.messages(), whole);
    }
}

/// As above, and what came in between was half a line: ours would have been its other half.
#[test]
fn a_line_that_would_be_glued_to_half_a_line_is_not_acknowledged() {
    let fixture = Fixture::new(&meta());
    let mut log = fixture.opened();
    append(&mut log, "one");
    fixture.disk.precede_write("{\"half");
    assert!(try_append(&mut log, "refused").is_err());
    append(&mut log, "two");
    let (records, bad) = fixture.records();
    assert_eq!(
        (messages(&records), bad),
        (vec!["one".into(), "two".into()], 1)
    );
    assert!(fixture.text().contains("{\"half\n"));
}

/// Of a failed write nothing had come to the file, which could not be looked at either at that
/// moment. The owner's next line began as ours would have (so do all lines of a minute), and its
/// first half was blanked out for ours.
#[test]
fn a_line_of_its_owner_that_begins_like_a_failed_one_stays_whole() {
    for short in [0, 50, 69] {
        let fixture = Fixture::new(&meta());
        let mut log = fixture.opened();
        append(&mut log, "one");
        fixture.disk.inject(Fault {
            short,
            ..Fault::once(Op::Write, EIO)
        });
        fixture.disk.inject(Fault {
            after: 1,
            ..Fault::once(Op::Stat, EIO)
        });
        assert!(try_append(&mut log, "refused").is_err());
        fixture.foreign(&said("theirs"));
        append(&mut log, "two");
        assert_eq!(fixture.messages(), ["one", "theirs", "two"], "{short}");
    }
}

/// While a log was synced that had just been opened, its tool appended a line, and a refused append read
/// it. The sync then counted for that line as well: nothing was left to be synced, as it seemed, and a
/// flush that waited for the line was told that its thread was shut down.
#[test]
fn a_sync_says_nothing_of_what_was_read_after_it_had_begun() {
    let place = Fixture::new(&(meta() + &said("one")));
    let mut log = place.opened();
    let job = log.begin_sync().unwrap();
    place.foreign(&said("theirs"));
    log.make_ready().unwrap();
    assert_eq!(log.next_ordinal(), Ordinal::new(3));
    assert_eq!(log.finish_sync(job.run()).unwrap(), Ordinal::new(2));
    let job = log.begin_sync().expect("the third line is not synced yet");
    assert_eq!(log.finish_sync(job.run()).unwrap(), Ordinal::new(3));
    assert!(log.begin_sync().is_none());
}
