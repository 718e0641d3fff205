//! What others have put where forks keep what they inherit.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use selvedge_codec::{Item, Ordinal};

use crate::home::Home;
use crate::log::{NewThread, ThreadLog};
use crate::sample_home::*;
use crate::store::{ForkSource, Store, StoreOptions};
use crate::thread::ForkPoint;
use crate::{Error, Result};

fn new(number: u8) -> NewThread {
    NewThread {
        thread_id: id(number),
        created_at: moment(0),
        meta: Item::json("session_meta", meta(number, "").payload).unwrap(),
    }
}

fn open(place: &SampleHome) -> Store {
    let store = Store::open(StoreOptions::new(place.home().root())).unwrap();
    store.backfill(super::home::WAIT, &|_| ()).unwrap();
    store
}

fn say(log: &mut ThreadLog, samples: &[Sample]) {
    let items = samples
        .iter()
        .map(|sample| Item::json(sample.record_type, sample.payload.clone()).unwrap());
    log.append(vec![items.collect()]).unwrap();
}

fn fork(store: &Store, point: &ForkPoint, number: u8) -> Result<ThreadLog> {
    let source = ForkSource {
        thread_id: id(1),
        upto: None,
        is_durable: false,
    };
    store.fork(&source, point, new(number))
}

/// A thread, and a fork of all of it with a turn of its own.
fn forked(place: &SampleHome) -> Store {
    let store = open(place);
    let mut parent = ThreadLog::create(store.log_context().clone(), new(1));
    say(&mut parent, &turn("inherited"));
    parent.close().unwrap();
    let mut fork = fork(&store, &ForkPoint::Whole, 2).unwrap();
    say(&mut fork, &turn("own"));
    fork.close().unwrap();
    store
}

/// A folder, and a file whose name is no text, lay beside a fork's segments. Deleting the fork
/// removed its log, tried to remove the folder as a file, and failed, and so did every further try:
/// the fork's name and rows were never forgotten.
#[test]
fn a_fork_is_deleted_whatever_else_lies_beside_its_segments() {
    let place = SampleHome::new();
    let store = forked(&place);
    let folder = Home::inherited_dir(id(2));
    place.write(&format!("{folder}/notes/mine.txt"), b"mine");
    place.write(&format!("{folder}/mine.txt"), b"mine");
    let no_text = place.file(&folder).join(OsStr::from_bytes(b"\xff.rlog"));
    fs::write(&no_text, b"mine").unwrap();
    assert_eq!(store.history(id(2)).unwrap().records.len(), 8);
    place.write(
        "session_index.jsonl",
        format!("{{\"id\":\"{}\",\"thread_name\":\"n\"}}\n", id(2)).as_bytes(),
    );
    store.delete(id(2)).unwrap();
    store.delete(id(2)).unwrap();
    assert!(matches!(
        store.read_thread(id(2)),
        Err(Error::ThreadNotFound { .. })
    ));
    assert_eq!(fs::read(place.file("session_index.jsonl")).unwrap(), b"");
    let mut left: Vec<_> = fs::read_dir(place.file(&folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(
        left,
        [
            OsStr::new("mine.txt"),
            OsStr::new("notes"),
            OsStr::from_bytes(b"\xff.rlog")
        ]
    );
    // A new fork of that id begins with its own segments alone, and leaves the rest as it is.
    let mut again = fork(&store, &ForkPoint::Before(Ordinal::new(2)), 2).unwrap();
    again.close().unwrap();
    assert_eq!(store.history(id(2)).unwrap().records.len(), 3);
    assert!(no_text.exists());
}

/// In the place of a fork's folder lay a symbolic link to a folder elsewhere. The fork's history was
/// read from there; deleting the fork removed every file in that folder.
#[test]
fn a_link_in_the_place_of_a_fork_s_folder_is_not_followed() {
    let (place, elsewhere) = (SampleHome::new(), SampleHome::new());
    let store = forked(&place);
    let folder = place.file(&Home::inherited_dir(id(2)));
    let moved = elsewhere.file("moved");
    fs::rename(&folder, &moved).unwrap();
    symlink(&moved, &folder).unwrap();
    let history = store.history(id(2)).unwrap();
    let told: Vec<_> = (history.damage.iter())
        .map(|damage| (damage.first_ordinal.get(), damage.next_ordinal.get()))
        .collect();
    assert_eq!((history.records.len(), told), (4, vec![(0, 4)]));
    store.delete(id(2)).unwrap();
    assert_eq!(fs::read_dir(&moved).unwrap().count(), 1);
    // Nor is anything written through it.
    let refused = fork(&store, &ForkPoint::Whole, 2).map(drop);
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    assert_eq!(fs::read_dir(&moved).unwrap().count(), 1);
    assert!(matches!(
        store.find(id(2)),
        Err(Error::ThreadNotFound { .. })
    ));
}

/// A fork was deleted before the index had it, and another one was made of its id. Where the file
/// system gave the new file the number of the old one, the new fork was indexed with all that the
/// old one had inherited.
#[test]
fn a_fork_that_takes_a_deleted_one_s_place_is_indexed_as_what_it_is() {
    let place = SampleHome::new();
    let store = open(&place);
    let mut parent = ThreadLog::create(store.log_context().clone(), new(1));
    say(&mut parent, &turn("inherited"));
    parent.close().unwrap();
    let mut old = fork(&store, &ForkPoint::Whole, 2).unwrap();
    old.close().unwrap();
    let path = old.path().clone();
    assert!(store.seed(&path).is_some());
    store.delete(id(2)).unwrap();
    assert!(store.seed(&path).is_none());
    let mut fresh = fork(&store, &ForkPoint::Before(Ordinal::new(1)), 2).unwrap();
    fresh.close().unwrap();
    assert_eq!(store.read_thread(id(2)).unwrap().item_count, 2);
    let report = store.verify().unwrap();
    assert!(report.ok, "{report:#?}");
}

/// Where the archive should be lay a file, or a link to a folder elsewhere. No thread could be deleted
/// any more: what recovery might have kept beside a log that was archived once could not be looked for.
#[test]
fn what_lies_in_the_place_of_the_archive_is_in_nobody_s_way_but_the_archive_s() {
    for is_link in [false, true] {
        let (place, elsewhere) = (SampleHome::new(), SampleHome::new());
        let archive = place.file("archived_sessions");
        match is_link {
            true => symlink(elsewhere.home().root(), &archive).unwrap(),
            false => fs::write(&archive, b"no folder").unwrap(),
        }
        let store = open(&place);
        let mut log = ThreadLog::create(store.log_context().clone(), new(1));
        say(&mut log, &turn("said"));
        log.close().unwrap();
        assert!(!store.unarchive(id(1)).unwrap().is_archived());
        let refused = store.archive(id(1)).map(drop);
        assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
        store.delete(id(1)).unwrap();
        store.delete(id(1)).unwrap();
        let gone = store.find(id(1));
        assert!(
            matches!(gone, Err(Error::ThreadNotFound { .. })),
            "{gone:?}"
        );
    }
}
