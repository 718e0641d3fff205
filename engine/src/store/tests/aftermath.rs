//! What a process leaves that dies while it makes or deletes a thread is nobody's, and goes.
//!
//! Processes that appended and were killed at random times, hundreds of times on one home, left now
//! and then a log without a byte: its maker had made the file, and was killed before its first
//! write. From then on the home had a log that could not be read: verify said that something was
//! wrong, and each listing's coverage counted a failure, for ever. Forks that were killed while they
//! were made, and deletions that were killed between a fork's log and what it inherited, left folders
//! of segments that no thread ever asked for again: they kept the bytes of deleted threads, and became
//! more with each kill.

use std::path::PathBuf;
use std::sync::Arc;

use selvedge_codec::Item;

use super::home::WAIT;
use crate::clock::ManualClock;
use crate::disk::simulated::{Fault, FaultKind, Operations, SimulatedDisk, SimulatedProcess};
use crate::home::{Home, LogFormat};
use crate::listing::Coverage;
use crate::log::{NewThread, ThreadLog};
use crate::sample_home::{id, meta, moment};
use crate::store::{ForkSource, Store, StoreOptions};
use crate::thread::ForkPoint;
use crate::{Error, Result};

const HOME: &str = "/home";
const PARENT: u8 = 1;
const FORK: u8 = 2;
const OTHER: u8 = 3;

fn open(disk: &SimulatedDisk, clock: &Arc<ManualClock>) -> (SimulatedProcess, Store) {
    let process = disk.process();
    let options = StoreOptions {
        disk: Arc::new(process.clone()),
        clock: Arc::clone(clock) as _,
        create_home: true,
        ..StoreOptions::new(HOME)
    };
    (process, Store::open(options).unwrap())
}

fn new(number: u8) -> NewThread {
    NewThread {
        thread_id: id(number),
        created_at: moment(0),
        meta: Item::json("session_meta", meta(number, "").payload).unwrap(),
    }
}

fn says(text: &str) -> Vec<Vec<Item>> {
    let payload = format!(r#"{{"type":"user_message","message":"{text}"}}"#);
    vec![vec![Item::json("event_msg", payload).unwrap()]]
}

fn start(store: &Store, number: u8) -> Result<ThreadLog> {
    let mut log = ThreadLog::create(store.log_context().clone(), new(number));
    log.append(says("hello"))?;
    Ok(log)
}

fn fork(store: &Store) -> Result<ThreadLog> {
    let source = ForkSource {
        thread_id: id(PARENT),
        upto: None,
        is_durable: false,
    };
    store.fork(&source, &ForkPoint::Whole, new(FORK))
}

/// A home with a thread and, if asked for, a fork of it.
fn home(has_fork: bool) -> (SimulatedDisk, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(moment(0)));
    let disk = SimulatedDisk::new(1, Arc::clone(&clock) as _);
    let (_, store) = open(&disk, &clock);
    start(&store, PARENT).unwrap().close().unwrap();
    if has_fork {
        fork(&store).unwrap().close().unwrap();
    }
    store.backfill(WAIT, &|_| ()).unwrap();
    store.close().unwrap();
    clock.advance_micros(10_000_000);
    (disk, clock)
}

/// Logs without a byte, and folders of inherited segments without a log.
fn left(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let files = disk.files();
    let is_log = |path: &&PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| LogFormat::of_file_name(name).is_some())
    };
    let logs = || files.iter().filter(is_log);
    let inherited = Home::at(HOME).resolve("inherited");
    let is_left = |path: &&PathBuf| match path.strip_prefix(&inherited) {
        Ok(below) => {
            let id = below.components().next().unwrap().as_os_str().to_owned();
            let id = id.to_string_lossy().into_owned();
            let is_its =
                |log: &PathBuf| !log.starts_with(&inherited) && log.to_string_lossy().contains(&id);
            !logs().any(is_its)
        }
        Err(_) => disk.read_file(path).is_some_and(|bytes| bytes.is_empty()),
    };
    logs().filter(is_left).cloned().collect()
}

/// Does something in a process that is killed after so many changes of the disk; tells whether it
/// got through. Another process then opens the home.
fn killed_after(
    changes: u64,
    has_fork: bool,
    work: impl Fn(&Store) -> Result<()>,
    is_indexed: bool,
) -> (bool, usize) {
    let (disk, clock) = home(has_fork);
    let (process, store) = open(&disk, &clock);
    // Nothing is done any more, not even in part.
    let fault = Fault::always(Operations::Changes, FaultKind::ReadOnly);
    disk.plan(fault.after(changes));
    let worked = work(&store).is_ok();
    process.kill();
    disk.heal();
    drop(store);
    let found = left(&disk).len();
    clock.advance_micros(10_000_000);
    if !is_indexed {
        disk.remove_file(&Home::at(HOME).index_path());
    }
    let (_, store) = open(&disk, &clock);
    let report = store.backfill(WAIT, &|_| ()).unwrap();
    let all_is_well = Coverage::Complete { failed: 0 };
    assert_eq!(report.coverage, all_is_well, "after {changes} changes");
    let verified = store.verify().unwrap();
    assert!(verified.ok, "after {changes} changes: {verified:?}");
    assert_eq!(
        left(&disk),
        Vec::<PathBuf>::new(),
        "after {changes} changes"
    );
    // Who was acknowledged is there, and every id can be used.
    for number in [FORK, OTHER] {
        match store.history(id(number)) {
            Ok(history) => assert!(history.damage.is_empty()),
            Err(Error::ThreadNotFound { .. }) => {
                start(&store, number).unwrap().close().unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    (worked, found)
}

/// Kills the work at each of its changes.
fn killed_anywhere(has_fork: bool, work: impl Fn(&Store) -> Result<()>) {
    for is_indexed in [true, false] {
        let mut found = 0;
        for changes in 0.. {
            assert!(changes < 200, "it never gets through");
            let (worked, left) = killed_after(changes, has_fork, &work, is_indexed);
            found += left;
            if worked {
                break;
            }
        }
        assert!(found > 0, "nothing was ever left");
    }
}

#[test]
fn a_process_that_dies_while_it_makes_a_thread_leaves_nothing_of_it() {
    killed_anywhere(false, |store| start(store, OTHER).map(drop));
}

#[test]
fn a_process_that_dies_while_it_makes_a_fork_leaves_nothing_of_it() {
    killed_anywhere(false, |store| fork(store).map(drop));
}

#[test]
fn a_process_that_dies_while_it_deletes_a_fork_leaves_no_history_without_a_thread() {
    killed_anywhere(true, |store| store.delete(id(FORK)));
}

/// A log without a byte that is, or was, somebody's stays: what is wrong with it is told.
#[test]
fn an_empty_log_that_was_a_thread_s_or_is_being_made_stays() {
    let (disk, clock) = home(false);
    let (process, store) = open(&disk, &clock);
    let mut log = start(&store, OTHER).unwrap();
    log.sync().unwrap();
    store.catch_up(&[(id(OTHER), log.path().clone())]).unwrap();
    let file = Home::at(HOME).log_file(log.path());
    process.kill();
    drop((log, store));
    disk.write_file(&file, b"");
    clock.advance_micros(10_000_000);
    let (_, store) = open(&disk, &clock);
    let report = store.backfill(WAIT, &|_| ()).unwrap();
    assert_eq!(report.coverage, Coverage::Complete { failed: 1 });
    assert_eq!(disk.read_file(&file), Some(Vec::new()));
    drop(store);

    // Of one that died, while somebody else has begun to make the thread again.
    let (disk, clock) = home(false);
    let (process, store) = open(&disk, &clock);
    let log = start(&store, OTHER).unwrap();
    let file = Home::at(HOME).log_file(log.path());
    process.kill();
    drop((log, store));
    disk.write_file(&file, b"");
    let (_maker, making) = open(&disk, &clock);
    let lock = making.log_context().locks.lock(id(OTHER)).unwrap();
    clock.advance_micros(10_000_000);
    let (_, store) = open(&disk, &clock);
    store.backfill(WAIT, &|_| ()).unwrap();
    assert_eq!(disk.read_file(&file), Some(Vec::new()));
    drop(lock);
}
