//! Making forks' logs, on a file system that fails, and reopening them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use selvedge_codec::segment::HEADER_BYTES;
use selvedge_codec::{ByteLength, Ordinal, Record, ThreadId};

use super::faulty_disk::{ENOSPC, Fault, FaultyDisk, Op};
use super::{TestHome, append, bytes_of, message, messages, new_thread};
use crate::disk::{Disk, OpenMode, RealDisk};
use crate::home::{Home, LogFormat, LogPath};
use crate::log::inheriting::{Sharing, Source, remove_inherited};
use crate::log::recovery::Row;
use crate::log::{CutLog, LogContext, LogEvent, LogState, ThreadLog, load_history, read_log};
use crate::{Error, Result};

const PARENT: ThreadId = ThreadId::from_bytes([1; 16]);
const FORK: ThreadId = ThreadId::from_bytes([2; 16]);
const EXDEV: i32 = 18;

/// A parent with two messages, closed.
fn parent(home: &TestHome) -> LogPath {
    let mut log = ThreadLog::create(home.context(), new_thread(PARENT));
    append(&mut log, "one");
    append(&mut log, "two");
    log.close().unwrap();
    log.path().clone()
}

fn fork(context: &LogContext, parent: &LogPath) -> Result<ThreadLog> {
    fork_as(FORK, context, parent)
}

fn fork_as(id: ThreadId, context: &LogContext, parent: &LogPath) -> Result<ThreadLog> {
    let file = context.home.log_file(parent);
    let known = load_history(&*context.disk, &file, LogFormat::Native)?.position;
    let cut = CutLog {
        thread_id: PARENT,
        disk: &*context.disk,
        file: &file,
        format: LogFormat::Native,
        known,
        has_log: |_, _| Ok(false),
    };
    let inheritance = cut.inheritance(known.next_ordinal, Sharing::Durable)?;
    let mut log = ThreadLog::fork(context.clone(), new_thread(id), inheritance);
    log.materialize().map(|()| log)
}

fn folder(home: &TestHome) -> PathBuf {
    home.home().resolve(&Home::inherited_dir(FORK))
}

fn inherited(home: &TestHome) -> Vec<PathBuf> {
    let Ok(entries) = RealDisk.list(&folder(home)) else {
        return Vec::new();
    };
    let names = entries.into_iter().map(|entry| entry.name.unwrap());
    names.map(|name| folder(home).join(name)).collect()
}

fn inode(path: &Path) -> u64 {
    RealDisk.stat(path).unwrap().inode
}

/// The fork's records, none of which may be missing.
fn records(home: &TestHome, path: &LogPath) -> Vec<Record> {
    let history = load_history(&RealDisk, &home.file(path), LogFormat::Native).unwrap();
    assert_eq!((&history.damage[..], &history.torn_tail), (&[][..], &None));
    assert_eq!(history.own_from, Ordinal::new(3));
    history.records
}

fn own_path() -> LogPath {
    let new = new_thread(FORK);
    Home::new_log_path(FORK, new.created_at, LogFormat::Native)
}

/// Where a log's batches end, each with the ordinal after its last record, by a scan of all.
fn ends(path: &Path) -> Vec<(u64, u64)> {
    let mut scan = read_log(&RealDisk, path, LogFormat::Native, None).unwrap();
    let mut ends = vec![(0, HEADER_BYTES as u64)];
    while let Some(event) = scan.next() {
        if let LogEvent::Record(record) = event
            && record.batch.is_last
        {
            ends.push((record.ordinal.next().get(), scan.position().offset.get()));
        }
    }
    ends
}

#[test]
fn a_cut_is_found_from_either_end_of_a_long_log_past_damage_too() {
    let home = TestHome::new();
    let context = home.context();
    let mut log = ThreadLog::create(context.clone(), new_thread(PARENT));
    for size in [900_000, 10, 400_000, 10, 10, 700_000, 2_000_000, 10] {
        let text = "x".repeat(size);
        log.append(vec![
            vec![message(&text), message("and")],
            vec![message(&text)],
        ])
        .unwrap();
    }
    log.close().unwrap();
    let file = home.file(log.path());
    let whole = bytes_of(&file);
    for damage in [None, Some(whole.len() / 3), Some(whole.len() - 30)] {
        let mut bytes = whole.to_vec();
        if let Some(at) = damage {
            bytes[at] ^= 1;
        }
        home.put(log.path().as_str(), &bytes);
        let known = load_history(&RealDisk, &file, LogFormat::Native)
            .unwrap()
            .position;
        let ends = ends(&file);
        for next in 1..=known.next_ordinal.get() {
            let cut = CutLog {
                thread_id: PARENT,
                disk: &RealDisk,
                file: &file,
                format: LogFormat::Native,
                known,
                has_log: |_, _| Ok(false),
            };
            let inheritance = cut
                .inheritance(Ordinal::new(next), Sharing::Durable)
                .unwrap();
            let [Source::Segment { name, .. }] = &inheritance.sources[..] else {
                panic!("{inheritance:?}");
            };
            let within = ends.iter().find(|(end, _)| *end >= next).unwrap().1;
            // Where the record before the cut is lost, the last batch before.
            let before = ends.iter().rev().find(|(end, _)| *end <= next).unwrap().1;
            let found = name.end.get();
            assert!(
                found == within || damage.is_some() && found == before,
                "{next} {damage:?}"
            );
        }
    }
}

#[test]
fn a_fork_is_opened_again_and_goes_on_where_it_was() {
    let home = TestHome::new();
    let path = parent(&home);
    let mut log = fork(&home.context(), &path).unwrap();
    assert_eq!(
        (log.state(), log.next_ordinal()),
        (LogState::Live, Ordinal::new(4))
    );
    append(&mut log, "three");
    log.release_handle().unwrap();
    append(&mut log, "four");
    log.close().unwrap();
    let (mut log, report) = ThreadLog::open(home.context(), FORK, log.path()).unwrap();
    assert_eq!(
        (report.row, report.next_ordinal),
        (Row::Clean, Ordinal::new(6))
    );
    append(&mut log, "five");
    log.close().unwrap();
    let records = records(&home, log.path());
    assert_eq!(messages(&records), ["one", "two", "three", "four", "five"]);
    assert_eq!(records.len(), 7);
}

/// Killed while it wrote the first bytes of a fork's file. The header was made again as that of a
/// thread of its own: at ordinal 0, without what it had inherited.
#[test]
fn a_fork_whose_first_bytes_are_cut_off_keeps_what_it_inherits() {
    let whole = {
        let home = TestHome::new();
        let path = parent(&home);
        let log = fork(&home.context(), &path).unwrap();
        home.bytes(log.path())
    };
    let near = |length: usize, at: usize| length.abs_diff(at) < 2;
    let lengths = (0..=whole.len()).filter(|length| {
        let places = [0, HEADER_BYTES, whole.len()];
        length % 16 == 0 || places.iter().any(|at| near(*length, *at))
    });
    for length in lengths {
        let home = TestHome::new();
        let path = parent(&home);
        drop(fork(&home.context(), &path).unwrap());
        home.put(own_path().as_str(), &whole[..length]);
        let (mut log, report) = ThreadLog::open(home.context(), FORK, &own_path()).unwrap();
        let row = match length {
            0 => Row::Empty,
            _ if length < HEADER_BYTES => Row::HeaderCut,
            HEADER_BYTES => Row::HeaderOnly,
            _ if length < whole.len() => Row::TornTail,
            _ => Row::Clean,
        };
        let has_meta = length == whole.len();
        assert_eq!(report.row, row, "{length}");
        assert_eq!(
            report.next_ordinal,
            Ordinal::new(3 + u64::from(has_meta)),
            "{length}"
        );
        append(&mut log, "three");
        log.close().unwrap();
        let records = records(&home, log.path());
        assert_eq!(messages(&records), ["one", "two", "three"], "{length}");
    }
}

#[test]
fn a_fork_that_dies_anywhere_is_not_there_or_whole_and_can_be_made_again() {
    let mut deaths = 0;
    for after in 0.. {
        for short in [0, HEADER_BYTES + 9] {
            let home = TestHome::new();
            let path = parent(&home);
            let before = home.bytes(&path);
            let disk = FaultyDisk::default();
            disk.die_after(after, short);
            let made = fork(&home.context_on(Arc::new(disk)), &path).is_ok();
            if made {
                assert!(deaths > 20, "only {deaths} deaths");
                return;
            }
            deaths += 1;
            let is_there = RealDisk.stat(&home.file(&own_path())).is_ok();
            let mut log = if is_there {
                ThreadLog::open(home.context(), FORK, &own_path())
                    .unwrap()
                    .0
            } else {
                fork(&home.context(), &path).unwrap()
            };
            append(&mut log, "three");
            log.close().unwrap();
            let records = records(&home, log.path());
            assert_eq!(
                messages(&records),
                ["one", "two", "three"],
                "died after {after}"
            );
            assert_eq!(home.bytes(&path), before, "the parent's log");
            assert_eq!(inherited(&home).len(), 1, "{:?}", inherited(&home));
        }
    }
}

#[test]
fn a_fork_that_fails_leaves_nothing() {
    for op in [Op::Link, Op::CreateDir, Op::Write, Op::List] {
        let home = TestHome::new();
        let path = parent(&home);
        let disk = FaultyDisk::default();
        let on = if op == Op::Write {
            "rollout-"
        } else {
            "inherited"
        };
        disk.inject(Fault {
            on,
            ..Fault::once(op, ENOSPC)
        });
        let context = home.context_on(Arc::new(disk));
        let refused = fork(&context, &path).map(drop);
        assert!(
            matches!(refused, Err(Error::OutOfSpace { .. })),
            "{op:?}: {refused:?}"
        );
        assert!(RealDisk.stat(&home.file(&own_path())).is_err(), "{op:?}");
        assert!(inherited(&home).is_empty(), "{op:?}");
        fork(&context, &path).unwrap();
        assert_eq!(records(&home, &own_path()).len(), 4);
    }
}

#[test]
fn where_there_can_be_no_link_the_bytes_are_copied() {
    let home = TestHome::new();
    let path = parent(&home);
    let disk = FaultyDisk::default();
    disk.inject(Fault {
        on: "inherited",
        ..Fault::on_logs(Op::Link, EXDEV)
    });
    drop(fork(&home.context_on(Arc::new(disk.clone())), &path).unwrap());
    let [copy] = &inherited(&home)[..] else {
        panic!("{:?}", inherited(&home));
    };
    assert_ne!(inode(copy), inode(&home.file(&path)));
    assert_eq!(bytes_of(copy), home.bytes(&path));
    assert_eq!(disk.count(Op::Sync, "inherited"), 1);
    assert_eq!(records(&home, &own_path()).len(), 4);
}

#[test]
fn the_first_sync_of_a_fork_makes_the_entries_of_what_it_inherits_durable_before_its_own() {
    let home = TestHome::new();
    let path = parent(&home);
    let disk = FaultyDisk::default();
    let mut log = fork(&home.context_on(Arc::new(disk.clone())), &path).unwrap();
    assert_eq!(
        (disk.count(Op::Sync, ""), disk.count(Op::SyncDir, "")),
        (0, 0)
    );
    log.sync().unwrap();
    let calls = disk.calls();
    let at = |op, on: &dyn Fn(&Path) -> bool| {
        let found = calls
            .iter()
            .position(|(called, path)| *called == op && on(path));
        found.unwrap_or_else(|| panic!("{op:?} was never called: {calls:?}"))
    };
    let own = home.file(log.path());
    let file = at(Op::Sync, &|path| path == own);
    let folders = at(Op::SyncDir, &|path| path == folder(&home));
    let above = at(Op::SyncDir, &|path| path.ends_with("inherited"));
    let entry = at(Op::SyncDir, &|path| own.parent() == Some(path));
    assert!(
        file < folders && folders < above && above < entry,
        "{calls:?}"
    );
    // A failed sync of another thread's file would be told here, and not to its writer.
    assert_eq!(disk.count(Op::Sync, "inherited"), 0);
    assert_eq!(log.durable_next_ordinal(), Ordinal::new(4));
}

/// The name of each fork's own folder was kept for as long as the store was open, also after the
/// fork was deleted: a store that forks and deletes all day grew with every fork.
#[test]
fn what_a_store_remembers_of_folders_does_not_grow_with_its_forks() {
    let home = TestHome::new();
    let path = parent(&home);
    let context = home.context();
    let mut remembered = Vec::new();
    for number in 10..30 {
        let id = ThreadId::from_bytes([number; 16]);
        fork_as(id, &context, &path).unwrap().close().unwrap();
        remembered.push(context.dirs.count());
        remove_inherited(&context, id).unwrap();
    }
    assert!(remembered[0] > 0);
    assert_eq!(remembered[0], remembered[19], "{remembered:?}");
}

/// A store that had once made a fork durable took its folder for durable ever after: also the one
/// that another store had made since in its place and had not come to sync.
#[test]
fn a_folder_that_another_store_has_made_anew_is_synced_by_whoever_goes_on() {
    let home = TestHome::new();
    let path = parent(&home);
    let disk = FaultyDisk::default();
    let context = home.context_on(Arc::new(disk.clone()));
    fork(&context, &path).unwrap().close().unwrap();

    let other = home.context();
    remove_inherited(&other, FORK).unwrap();
    RealDisk.remove(&home.file(&own_path())).unwrap();
    // Its process dies before it has synced anything.
    drop(fork(&other, &path).unwrap());

    disk.forget();
    let (mut log, _) = ThreadLog::open(context, FORK, &own_path()).unwrap();
    append(&mut log, "three");
    log.sync().unwrap();
    assert_eq!(
        disk.count(Op::SyncDir, "inherited"),
        2,
        "{:?}",
        disk.calls()
    );
}

#[test]
fn a_parent_that_is_cut_back_and_goes_on_otherwise_is_not_inherited() {
    let home = TestHome::new();
    let path = parent(&home);
    let mut log = fork(&home.context(), &path).unwrap();
    append(&mut log, "three");
    log.close().unwrap();
    // A power loss took the parent's last message before it was durable.
    let whole = home.bytes(&path);
    let file = RealDisk.open(&home.file(&path), OpenMode::Write).unwrap();
    file.set_len(ByteLength::new(whole.len() as u64 - 5))
        .unwrap();
    let (mut parent, report) = ThreadLog::open(home.context(), PARENT, &path).unwrap();
    assert_eq!(report.row, Row::TornTail);
    let two = message("TWO");
    parent.append(vec![vec![two]]).unwrap();
    assert_eq!(home.bytes(&path).len(), whole.len());
    parent.close().unwrap();
    let history = load_history(&RealDisk, &home.file(log.path()), LogFormat::Native).unwrap();
    let kept: Vec<_> = history
        .records
        .iter()
        .map(|record| record.ordinal.get())
        .collect();
    assert_eq!(kept, [0, 1, 3, 4]);
    assert_eq!(history.damage.len(), 1);
}
