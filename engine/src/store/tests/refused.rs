//! What the system refuses is told, and never taken for what is not there.

use std::path::Path;
use std::sync::Arc;

use selvedge_codec::Item;

use super::home::WAIT;
use super::set_state;
use crate::clock::ManualClock;
use crate::disk::simulated::{Fault, FaultKind, Operations, SimulatedDisk, SimulatedProcess};
use crate::index::Tables as _;
use crate::listing::{Coverage, ListQuery};
use crate::log::{NewThread, ThreadLog};
use crate::sample_home::{id, meta, moment, user};
use crate::store::{ForkSource, IndexUse, RepairOptions, Store, StoreOptions};
use crate::thread::ForkPoint;
use crate::{Error, Result};

fn disk() -> SimulatedDisk {
    SimulatedDisk::new(1, Arc::new(ManualClock::new(moment(0))))
}

fn open(disk: &SimulatedDisk, index: IndexUse) -> (SimulatedProcess, Store) {
    let process = disk.process();
    let store = Store::open(StoreOptions {
        disk: Arc::new(process.clone()),
        clock: Arc::new(ManualClock::new(moment(0))),
        create_home: true,
        index,
        ..StoreOptions::new("/machine/home")
    })
    .unwrap();
    (process, store)
}

fn new(number: u8) -> NewThread {
    NewThread {
        thread_id: id(number),
        created_at: moment(0),
        meta: Item::json("session_meta", meta(number, "").payload).unwrap(),
    }
}

/// A new thread that has said something, synced.
fn start(store: &Store, number: u8) -> ThreadLog {
    let mut log = ThreadLog::create(store.log_context().clone(), new(number));
    let said = user("hello");
    let item = Item::json(said.record_type, said.payload).unwrap();
    log.append(vec![vec![item]]).unwrap();
    log.sync().unwrap();
    log
}

fn fork(store: &Store, number: u8) -> ThreadLog {
    let source = ForkSource {
        thread_id: id(1),
        upto: None,
        is_durable: false,
    };
    store.fork(&source, &ForkPoint::Whole, new(number)).unwrap()
}

fn is_told(found: Result<impl std::fmt::Debug>) {
    assert!(matches!(found, Err(Error::Io { .. })), "{found:?}");
}

/// The writer of a fork died, and its log was put into the archive. Whoever came next could not list
/// the archive at that moment: the fork was taken for one that was never made whole, and the history
/// that it begins with was removed.
#[test]
fn what_a_fork_inherits_stays_while_nobody_can_tell_that_it_has_no_log() {
    for kind in [FaultKind::Io, FaultKind::TooManyFiles] {
        let disk = disk();
        let (process, store) = open(&disk, IndexUse::Use);
        drop(start(&store, 1));
        fork(&store, 2).sync().unwrap();
        process.kill();
        let (_, store) = open(&disk, IndexUse::None);
        store.archive(id(2)).unwrap();
        let (_, store) = open(&disk, IndexUse::Use);
        disk.plan(Fault::always(Operations::List, kind).on_path("/archived_sessions"));
        let _ = store.backfill(WAIT, &|_| ());
        disk.heal();
        let history = store.history(id(2)).unwrap();
        assert_eq!(history.damage, [], "{kind:?}");
        assert_eq!(history.records.len(), 3, "{kind:?}");
    }
}

/// A folder could not be listed for a moment. A thread whose log lay in it was told not to exist, so that
/// whoever resumed it began another one of its id.
#[test]
fn a_thread_is_not_told_to_be_missing_while_a_folder_can_not_be_listed() {
    for index in [IndexUse::Use, IndexUse::None] {
        let disk = disk();
        let (_, store) = open(&disk, index);
        start(&store, 1).close().unwrap();
        store.backfill(WAIT, &|_| ()).unwrap();
        disk.plan(Fault::always(Operations::List, FaultKind::Io).on_path("/20"));
        store.list(&ListQuery::default()).unwrap();
        for number in [1, 7] {
            is_told(store.find(id(number)));
            is_told(store.read_thread(id(number)));
        }
        disk.heal();
        assert_eq!(store.history(id(1)).unwrap().records.len(), 2);
        let missing = store.find(id(7));
        assert!(matches!(missing, Err(Error::ThreadNotFound { .. })));
    }
}

/// A process had no file handle left when it looked around. The folder that it could not list counted as
/// one without logs: all that the index had of it was forgotten, for every process, and read again later.
#[test]
fn what_the_index_knows_of_a_folder_outlives_a_lack_of_file_handles() {
    let disk = disk();
    let (_, store) = open(&disk, IndexUse::Use);
    start(&store, 1).close().unwrap();
    store.backfill(WAIT, &|_| ()).unwrap();
    let row = || {
        let index = store.index.as_ref().unwrap();
        index.read(|txn| txn.thread(id(1))).unwrap()
    };
    let known = row();
    assert!(known.is_some());
    let fault = Fault::always(Operations::List, FaultKind::TooManyFiles);
    disk.plan(fault.on_path("/20"));
    is_told(store.list(&ListQuery::default()));
    set_state(&store, |state| state.is_complete = false);
    is_told(store.backfill(WAIT, &|_| ()));
    assert_eq!(row(), known);
    disk.heal();
    store.backfill(WAIT, &|_| ()).unwrap();
    assert_eq!(store.list(&ListQuery::default()).unwrap().threads.len(), 1);
}

/// The system refused to look at the damaged file that a repair had kept of a thread. The thread was
/// deleted, as it was told, and what had been said in it stayed.
#[test]
fn a_deletion_does_not_pass_over_what_it_can_not_look_at() {
    let mut refused = 0;
    for after in 0..8 {
        let disk = disk();
        let (_, store) = open(&disk, IndexUse::None);
        let mut log = start(&store, 1);
        log.close().unwrap();
        let file = Path::new("/machine/home").join(log.path().as_str());
        let mut bytes = disk.read_file(&file).unwrap();
        bytes[60] ^= 1;
        disk.write_file(&file, &bytes);
        store.repair(RepairOptions::default()).unwrap();
        let is_kept = |file: &std::path::PathBuf| file.starts_with("/machine/home/damaged");
        let kept = || disk.files().iter().filter(|file| is_kept(file)).count();
        assert_eq!(kept(), 1);
        let fault = Fault::always(Operations::Stat, FaultKind::Io).after(after);
        disk.plan(fault.on_path(log.path().file_name()));
        match store.delete(id(1)) {
            Ok(()) => assert_eq!(kept(), 0, "{after}"),
            Err(_) => refused += 1,
        }
        disk.heal();
        store.delete(id(1)).unwrap();
    }
    assert!(refused > 0);
}

/// A home on a read-only file system was listed from its logs, and could not be verified: neither could
/// one be whose index the system would not open, or read.
#[test]
fn a_home_without_an_index_of_use_is_verified_and_counted_from_its_logs() {
    for kind in [None, Some(FaultKind::ReadOnly), Some(FaultKind::Io)] {
        let disk = disk();
        let (_, store) = open(&disk, IndexUse::Use);
        start(&store, 1).close().unwrap();
        store.backfill(WAIT, &|_| ()).unwrap();
        drop(store);
        match kind {
            None => disk.set_read_only(true),
            Some(kind) => disk.plan(Fault::always(Operations::Open, kind).on_path("/index.redb")),
        }
        let (_, store) = open(&disk, IndexUse::Use);
        assert_eq!(store.list(&ListQuery::default()).unwrap().threads.len(), 1);
        assert_eq!(store.find(id(1)).map(drop).ok(), Some(()));
        let report = store.verify().unwrap();
        assert_eq!((report.ok, report.logs, report.index_rows), (true, 1, None));
        assert!(store.repair(RepairOptions::default()).unwrap().ok);
        assert_eq!(store.stats().unwrap().threads, 1);
        assert_eq!(store.unreadable_logs().unwrap(), []);
        assert_eq!(store.coverage().unwrap(), Coverage::Complete { failed: 0 });
        // Who asks for the index itself is told.
        let told = store.backfill(WAIT, &|_| ()).unwrap_err();
        assert!(store.is_of_index(&told), "{told}");
    }
}
