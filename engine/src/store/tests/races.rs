//! Forks that are made while their parent is deleted, moved or written.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use selvedge_codec::Item;

use super::hooked_disk::HookedDisk;
use crate::log::{NewThread, ThreadLog};
use crate::sample_home::*;
use crate::store::{ForkSource, IndexUse, Store, StoreOptions};
use crate::thread::ForkPoint;
use crate::{Error, InvalidRequest};

fn new(number: u8) -> NewThread {
    NewThread {
        thread_id: id(number),
        created_at: moment(0),
        meta: Item::json("session_meta", meta(number, "").payload).unwrap(),
    }
}

fn open(place: &SampleHome) -> Store {
    let store = Store::open(StoreOptions {
        index_patience: super::home::WAIT,
        ..StoreOptions::new(place.home().root())
    })
    .unwrap();
    store.backfill(super::home::WAIT, &|_| ()).unwrap();
    store
}

fn say(log: &mut ThreadLog, samples: &[Sample]) {
    let items = samples
        .iter()
        .map(|sample| Item::json(sample.record_type, sample.payload.clone()).unwrap());
    log.append(vec![items.collect()]).unwrap();
}

const FORKS: std::ops::Range<u8> = 10..40;

/// Forks the thread 1 again and again, through this store; which forks were made.
fn fork_all(store: &Store, start: &Barrier) -> Vec<u8> {
    let source = ForkSource {
        thread_id: id(1),
        upto: None,
        is_durable: false,
    };
    start.wait();
    let mut made = Vec::new();
    for number in FORKS {
        match store.fork(&source, &ForkPoint::Whole, new(number)) {
            Ok(mut log) => {
                log.close().unwrap();
                made.push(number);
            }
            Err(Error::ThreadNotFound { thread_id }) => assert_eq!(thread_id, id(1)),
            Err(Error::Io { source, .. }) => {
                assert_eq!(source.kind(), std::io::ErrorKind::NotFound, "{number}");
            }
            Err(other) => panic!("{number}: {other:?}"),
        }
    }
    made
}

/// Each fork has all of the history, and nothing is left of one that was not made.
fn check(place: &SampleHome, made: &[u8], records: usize) {
    let store = open(place);
    for number in made {
        let history = store.history(id(*number)).unwrap();
        assert_eq!(history.damage, []);
        assert_eq!(history.records.len(), records + 1);
        assert_eq!(
            store.read_thread(id(*number)).unwrap().item_count,
            records as u64 + 1
        );
    }
    let report = store.verify().unwrap();
    assert!(report.ok, "{report:#?}");
    let folders = fs::read_dir(place.file("inherited")).map_or(0, Iterator::count);
    assert_eq!(folders, made.len());
}

#[test]
fn a_fork_of_a_thread_that_is_deleted_meanwhile_is_whole_or_not_there() {
    for is_same_store in [true, false] {
        for _ in 0..4 {
            let place = SampleHome::new();
            let (one, other) = (open(&place), open(&place));
            let deleting = if is_same_store { &one } else { &other };
            let mut parent = ThreadLog::create(one.log_context().clone(), new(1));
            say(&mut parent, &turn("a"));
            parent.close().unwrap();
            let start = Barrier::new(2);
            let made = std::thread::scope(|scope| {
                let forking = scope.spawn(|| fork_all(&one, &start));
                start.wait();
                deleting.delete(id(1)).unwrap();
                forking.join().unwrap()
            });
            check(&place, &made, 4);
            assert!(matches!(one.find(id(1)), Err(Error::ThreadNotFound { .. })));
        }
    }
}

#[test]
fn a_fork_of_a_thread_that_is_moved_meanwhile_is_whole_or_not_there() {
    for is_same_store in [true, false] {
        let place = SampleHome::new();
        let (one, other) = (open(&place), open(&place));
        let moving = if is_same_store { &one } else { &other };
        let mut parent = ThreadLog::create(one.log_context().clone(), new(1));
        say(&mut parent, &turn("a"));
        parent.close().unwrap();
        let start = Barrier::new(2);
        let made = std::thread::scope(|scope| {
            let forking = scope.spawn(|| fork_all(&one, &start));
            start.wait();
            for _ in 0..6 {
                moving.archive(id(1)).unwrap();
                moving.unarchive(id(1)).unwrap();
            }
            forking.join().unwrap()
        });
        check(&place, &made, 4);
    }
}

/// Another process made a fork of the same id after it was looked for and before the id was locked. Its
/// folder was taken for one that a dead fork had left: what it inherited was removed.
#[test]
fn a_fork_that_another_process_makes_meanwhile_keeps_what_it_inherits() {
    let place = SampleHome::new();
    let other = open(&place);
    let mut parent = ThreadLog::create(other.log_context().clone(), new(1));
    say(&mut parent, &turn("a"));
    parent.close().unwrap();
    let source = ForkSource {
        thread_id: id(1),
        upto: None,
        is_durable: false,
    };
    let made = AtomicBool::new(false);
    let day = "sessions";
    let disk = HookedDisk(move |dir: &Path| {
        if dir.ends_with(day) && !made.swap(true, Ordering::Relaxed) {
            let mut log = other.fork(&source, &ForkPoint::Whole, new(9)).unwrap();
            log.close().unwrap();
        }
    });
    let options = StoreOptions {
        disk: Arc::new(disk),
        index: IndexUse::None,
        ..StoreOptions::new(place.home().root())
    };
    let store = Store::open(options).unwrap();
    let refused = store.fork(&source, &ForkPoint::Whole, new(9)).map(drop);
    assert!(
        matches!(
            refused,
            Err(Error::InvalidRequest(InvalidRequest::ThreadExists(_)))
        ),
        "{refused:?}"
    );
    let history = open(&place).history(id(9)).unwrap();
    assert_eq!((history.records.len(), &history.damage[..]), (5, &[][..]));
}
