//! What a power loss took although it had been acknowledged as durable, or left although it had been
//! acknowledged as gone. Each story found by the programs in `power.rs`, told by itself here.

use std::path::Path;
use std::sync::Arc;

use selvedge_codec::Item;

use super::home::WAIT;
use crate::clock::ManualClock;
use crate::disk::simulated::{Fault, FaultKind, Operations, SimulatedDisk, SimulatedProcess};
use crate::listing::{
    Coverage, ListQuery, SessionNames, ThreadFilter, forget_name, scan_list, write_name,
};
use crate::log::{LogContext, NewThread, ThreadLog};
use crate::sample_home::{id, meta, moment, user};
use crate::store::{ForkSource, IndexUse, Store, StoreOptions};
use crate::thread::ForkPoint;
use crate::{Error, Result};

/// Of what is not synced a power loss keeps some with one seed and some with another.
const SEEDS: u64 = 30;

fn disk(seed: u64) -> SimulatedDisk {
    SimulatedDisk::new(seed, Arc::new(ManualClock::new(moment(0))))
}

fn open(disk: &SimulatedDisk) -> (SimulatedProcess, Store) {
    let process = disk.process();
    let store = Store::open(StoreOptions {
        disk: Arc::new(process.clone()),
        clock: Arc::new(ManualClock::new(moment(0))),
        create_home: true,
        ..StoreOptions::new("/machine/home")
    })
    .unwrap();
    store.backfill(WAIT, &|_| ()).unwrap();
    (process, store)
}

fn open_without_index(disk: &SimulatedDisk) -> (SimulatedProcess, Store) {
    let process = disk.process();
    let store = Store::open(StoreOptions {
        disk: Arc::new(process.clone()),
        clock: Arc::new(ManualClock::new(moment(0))),
        index: IndexUse::None,
        ..StoreOptions::new("/machine/home")
    });
    (process, store.unwrap())
}

fn new(number: u8) -> NewThread {
    NewThread {
        thread_id: id(number),
        created_at: moment(0),
        meta: Item::json("session_meta", meta(number, "").payload).unwrap(),
    }
}

fn say(log: &mut ThreadLog, text: &str) -> Result<()> {
    let said = user(text);
    let item = Item::json(said.record_type, said.payload).unwrap();
    log.append(vec![vec![item]]).map(drop)
}

/// A new thread that has said something; nothing of it is synced.
fn start(store: &Store, number: u8, text: &str) -> ThreadLog {
    let mut log = ThreadLog::create(store.log_context().clone(), new(number));
    say(&mut log, text).unwrap();
    log
}

fn resume(store: &Store, number: u8) -> ThreadLog {
    let found = store.find(id(number)).unwrap();
    let context = store.log_context().clone();
    ThreadLog::open(context, id(number), &found.path).unwrap().0
}

fn records(store: &Store, number: u8) -> usize {
    store.history(id(number)).unwrap().records.len()
}

/// The folder that a new home lay in was never synced: the first thread, acknowledged as durable, was
/// lost with the home's own name.
#[test]
fn a_new_home_is_durable_with_its_first_thread() {
    for seed in 0..SEEDS {
        let disk = disk(seed);
        let (_, store) = open(&disk);
        start(&store, 1, "hello").sync().unwrap();
        disk.lose_power();
        assert_eq!(records(&open(&disk).1, 1), 2, "seed {seed}");
    }
}

/// A disk with a thread and a fork of it, of which nothing was synced when their writer was killed; and
/// the next store there.
fn left_by_a_killed_writer(seed: u64) -> (SimulatedDisk, Store) {
    let disk = disk(seed);
    let (process, store) = open(&disk);
    drop(start(&store, 1, "hello"));
    drop(store.fork(&source(), &ForkPoint::Whole, new(2)).unwrap());
    process.kill();
    let (_, store) = open(&disk);
    (disk, store)
}

/// A process died before it had synced a new thread. The next one went on with it and synced the file,
/// and neither its name nor what it inherited: a flush was acknowledged and the thread lost.
#[test]
fn what_another_process_made_is_durable_once_it_is_synced_by_the_next() {
    for seed in 0..SEEDS {
        let (disk, store) = left_by_a_killed_writer(seed);
        for number in [1, 2] {
            resume(&store, number).sync().unwrap();
        }
        disk.lose_power();
        let (_, store) = open(&disk);
        let found = [1, 2].map(|number| records(&store, number));
        assert_eq!(found, [2, 3], "seed {seed}");
    }
}

/// A log was moved to the archive's folder before that folder was durable: a power loss kept the move
/// and not the folder, and with it went all of the thread.
#[test]
fn a_move_to_a_new_folder_that_is_cut_short_leaves_the_thread_somewhere() {
    for seed in 0..4 * SEEDS {
        let disk = disk(seed);
        let (_, store) = open(&disk);
        start(&store, 1, "hello").close().unwrap();
        let after = seed % 3;
        disk.plan(Fault::always(Operations::SyncDir, FaultKind::Io).after(after));
        store.archive(id(1)).map(drop).unwrap_err();
        disk.lose_power();
        disk.heal();
        assert_eq!(records(&open(&disk).1, 1), 2, "seed {seed}");
    }
}

/// An archive came as far as the rename and was refused the sync. Asked for again it found the log at its
/// new place, and was acknowledged; a power loss took it back.
#[test]
fn a_move_that_finds_nothing_left_to_do_is_durable_all_the_same() {
    for seed in 0..SEEDS {
        let disk = disk(seed);
        let (_, store) = open(&disk);
        start(&store, 1, "hello").close().unwrap();
        let fault = Fault::once(Operations::SyncDir, FaultKind::TooManyFiles);
        disk.plan(fault.on_path("/20"));
        store.archive(id(1)).unwrap_err();
        store.archive(id(1)).unwrap();
        disk.lose_power();
        let thread = open(&disk).1.read_thread(id(1)).unwrap();
        assert!(thread.is_archived(), "seed {seed}");
    }
}

/// A process died before it had synced a thread. Another one archived it: the new name was synced, and
/// not what it led to, so that a power loss left an archived log without a byte.
#[test]
fn an_archived_thread_has_its_bytes_whoever_wrote_them() {
    for seed in 0..SEEDS {
        let (disk, store) = left_by_a_killed_writer(seed);
        for number in [1, 2] {
            store.archive(id(number)).unwrap();
        }
        disk.lose_power();
        let (_, store) = open(&disk);
        let found = [1, 2].map(|number| records(&store, number));
        assert_eq!(found, [2, 3], "seed {seed}");
    }
}

/// A process died between the removal of a log and the sync of its folder. The deletion was asked for
/// again, found nothing, and was acknowledged; a power loss brought the thread back.
#[test]
fn a_deletion_that_finds_nothing_left_is_durable_all_the_same() {
    for seed in 0..SEEDS {
        let disk = disk(seed);
        let (process, store) = open(&disk);
        start(&store, 1, "hello").close().unwrap();
        disk.plan(Fault::always(Operations::SyncDir, FaultKind::Io));
        store.delete(id(1)).unwrap_err();
        process.kill();
        disk.heal();
        let (_, store) = open(&disk);
        store.delete(id(1)).unwrap();
        disk.lose_power();
        let found = open(&disk).1.find(id(1));
        assert!(
            matches!(found, Err(Error::ThreadNotFound { .. })),
            "seed {seed}: {found:?}"
        );
    }
}

/// A name was written beside the logs, and its sync failed. The name was asked for again, was found in
/// the file, and was acknowledged without a sync; so was the removal of a name that was written no
/// further than its folder. A power loss took both back.
#[test]
fn a_name_beside_the_logs_that_is_there_already_is_durable_all_the_same() {
    let set = |context: &LogContext| write_name(context, id(1), Some("a"));
    let forget = |context: &LogContext| forget_name(context, id(1));
    type Change<'a> = &'a dyn Fn(&LogContext) -> Result<()>;
    let cases: [(Operations, Change<'_>, Option<&str>); 2] = [
        (Operations::Sync, &set, Some("a")),
        (Operations::SyncDir, &forget, None),
    ];
    for (seed, (fails, change, expected)) in
        (0..SEEDS).flat_map(|seed| cases.map(|case| (seed, case)))
    {
        let disk = disk(seed);
        let (_, store) = open(&disk);
        let context = store.log_context();
        if expected.is_none() {
            write_name(context, id(1), Some("b")).unwrap();
        }
        disk.plan(Fault::always(fails, FaultKind::Io));
        change(context).unwrap_err();
        disk.heal();
        change(context).unwrap();
        disk.lose_power();
        let (_, store) = open(&disk);
        let context = store.log_context();
        let names = SessionNames::load(&*context.disk, &context.home).unwrap();
        assert_eq!(names.get(id(1)), expected, "seed {seed}");
    }
}

/// The index had taken in what was written and not synced. After a power loss the log was as long and
/// as old as before, with zeros at its end, and the index went on telling of what was lost.
#[test]
fn the_index_does_not_tell_of_what_a_power_loss_took() {
    let mut lost = 0;
    for seed in 0..4 * SEEDS {
        let disk = disk(seed);
        let (_, store) = open(&disk);
        let mut log = start(&store, 1, "hello");
        log.sync().unwrap();
        say(&mut log, "more").unwrap();
        store
            .catch_up(&[(log.thread_id(), log.path().clone())])
            .unwrap();
        disk.lose_power();
        let (_, store) = open(&disk);
        let listed = store.list(&ListQuery::default()).unwrap();
        let (disk, home) = (&*store.context.disk, &store.context.home);
        let scanned = scan_list(disk, home, &ListQuery::default()).unwrap();
        assert_eq!(listed, scanned, "seed {seed}");
        lost += usize::from(listed.threads[0].item_count < 3);
    }
    assert!(lost > 0, "nothing was ever lost");
}

/// A folder could not be listed once. The index forgot all that lay in it, a later look took the folder
/// for a log that is gone, and the threads were found no more: with a coverage that said complete.
#[test]
fn a_folder_that_could_not_be_listed_once_is_listed_again() {
    let disk = disk(1);
    let (_, store) = open(&disk);
    start(&store, 1, "hello").close().unwrap();
    let query = ListQuery {
        filter: ThreadFilter::default(),
        ..ListQuery::default()
    };
    let listed = || store.list(&query).unwrap().threads.len();
    disk.plan(Fault::always(Operations::List, FaultKind::Io).on_path("/20"));
    assert_eq!(listed(), 0);
    // That it is not there can't be said: a second thread of its id was started.
    assert!(matches!(store.delete(id(1)), Err(Error::Io { .. })));
    assert!(matches!(store.find(id(1)), Err(Error::Io { .. })));
    let (process, without) = open_without_index(&disk);
    assert!(matches!(without.find(id(1)), Err(Error::Io { .. })));
    drop((process, without));
    disk.heal();
    assert_eq!(records(&store, 1), 2);
    assert_eq!(listed(), 1);
    let kept = disk.files();
    let log = store.find(id(1)).unwrap().path;
    let log = Path::new("/machine/home").join(log.as_str());
    assert!(kept.contains(&log), "{kept:?}");
}

/// A folder that could not be listed was told by one page and not by the next: looking at the folder above
/// took what had failed in it for mended. Every other page said that it covered the home.
#[test]
fn a_folder_that_can_not_be_listed_is_told_by_every_page() {
    let disk = disk(1);
    let (_, store) = open(&disk);
    start(&store, 1, "hello").close().unwrap();
    disk.plan(Fault::always(Operations::List, FaultKind::Io).on_path("/20"));
    for page in 0..4 {
        let covered = store.list(&ListQuery::default()).unwrap().coverage;
        assert_eq!(covered, Coverage::Complete { failed: 1 }, "page {page}");
    }
    disk.heal();
    let page = store.list(&ListQuery::default()).unwrap();
    assert_eq!(page.coverage, Coverage::Complete { failed: 0 });
    assert_eq!(page.threads.len(), 1);
}

/// A power loss took the end of a log that a fork had been made of, and the log went on otherwise: its
/// batches ended elsewhere. The fork showed the first half of one of them as its own history.
#[test]
fn a_fork_does_not_show_batches_that_end_elsewhere() {
    let disk = disk(1);
    let (_, store) = open(&disk);
    let mut parent = start(&store, 1, "what was inherited, at some length");
    parent.sync().unwrap();
    let source = ForkSource {
        thread_id: id(1),
        upto: None,
        is_durable: false,
    };
    let mut fork = store.fork(&source, &ForkPoint::Whole, new(2)).unwrap();
    fork.close().unwrap();
    parent.close().unwrap();
    let file = Path::new("/machine/home").join(parent.path().as_str());
    let bytes = disk.read_file(&file).unwrap();
    // As a log whose first batch was lost, and another was written there: shorter, and then one more.
    let batch = |text: &str| vec![user(text)];
    let other = crate::sample_home::native(1, &[vec![meta(1, "")], batch("else"), batch("more")]);
    assert!(other.len() != bytes.len());
    let mut files = disk.files().into_iter();
    let is_inherited = |path: &std::path::PathBuf| path.to_string_lossy().contains("/inherited/");
    let link = files.find(is_inherited).unwrap();
    disk.write_file(&link, &other);
    let history = store.history(id(2)).unwrap();
    let said: Vec<_> = history
        .records
        .iter()
        .filter(|record| String::from_utf8_lossy(&record.body).contains("else"))
        .collect();
    assert!(said.is_empty(), "{said:?}");
    assert!(!history.damage.is_empty());
}

/// A power loss took the unsynced end of a log that had been forked. Its thread went on where the log
/// ended now, and the fork, whose links lead to the same file, showed that as what it had inherited.
#[test]
fn a_fork_does_not_inherit_what_its_source_says_after_a_power_loss() {
    let mut kept = 0;
    for (seed, is_written) in (0..4 * SEEDS).map(|seed| (seed, seed % 2 == 0)) {
        let disk = disk(seed);
        let (_, store) = open(&disk);
        let mut parent = start(&store, 1, "hello");
        parent.sync().unwrap();
        for text in ["what was inherited, at some length", "and more of it"] {
            say(&mut parent, text).unwrap();
        }
        let parent = is_written.then_some(parent);
        let (_, other) = open(&disk);
        drop(other.fork(&source(), &ForkPoint::Whole, new(2)).unwrap());
        drop(parent);
        disk.lose_power();
        let (_, store) = open(&disk);
        say(&mut resume(&store, 1), "else").unwrap();
        let Ok(history) = store.history(id(2)) else {
            continue;
        };
        kept += 1;
        let said: Vec<_> = history
            .records
            .iter()
            .take_while(|record| record.ordinal < history.own_from)
            .map(|record| String::from_utf8_lossy(&record.body))
            .collect();
        let is_theirs = |said: &std::borrow::Cow<'_, str>| said.contains("else");
        assert!(!said.iter().any(is_theirs), "seed {seed}: {said:?}");
    }
    assert!(kept > 0, "no fork was ever left");
}

/// A fork synced the log that it was made of, which another process was writing, and the sync failed:
/// the pages counted as clean, the writer's own sync went well, and a power loss took what it had told
/// to be durable.
#[test]
fn a_log_that_somebody_writes_is_synced_by_nobody_else() {
    for seed in 0..SEEDS {
        let disk = disk(seed);
        let (_, store) = open(&disk);
        let mut parent = start(&store, 1, "hello");
        let (_, other) = open(&disk);
        let fault = Fault::always(Operations::Sync, FaultKind::DroppedPages);
        disk.plan(fault.on_path("1.rlog"));
        let mut fork = other.fork(&source(), &ForkPoint::Whole, new(2)).unwrap();
        fork.sync().unwrap();
        disk.heal();
        parent.sync().unwrap();
        disk.lose_power();
        let (_, store) = open(&disk);
        assert_eq!(records(&store, 1), 2, "seed {seed}");
        assert_eq!(records(&store, 2), 3, "seed {seed}");
    }
}

/// A power loss took the end of a log that the index knew, and the index could not be brought up to that.
/// What was read of the thread, and its forks, went on telling of records that were lost.
#[test]
fn what_a_power_loss_took_is_not_read_nor_forked_before_the_index_has_looked() {
    let mut lost = 0;
    for seed in 0..4 * SEEDS {
        let disk = disk(seed);
        let (_, store) = open(&disk);
        let mut parent = start(&store, 1, "hello");
        parent.sync().unwrap();
        say(&mut parent, "more").unwrap();
        let of_parent = [(parent.thread_id(), parent.path().clone())];
        store.catch_up(&of_parent).unwrap();
        disk.lose_power();
        let process = disk.process();
        let store = Store::open(StoreOptions {
            disk: Arc::new(process.clone()),
            clock: Arc::new(ManualClock::new(moment(0))),
            ..StoreOptions::new("/machine/home")
        })
        .unwrap();
        let check = |number: u8| {
            let left = records(&store, number) as u64;
            let told = store.read_thread(id(number)).unwrap().item_count;
            assert_eq!(told, left, "seed {seed}, {number}");
            left
        };
        // Each of the two is what the index is asked for first.
        if seed % 2 == 0 {
            lost += usize::from(check(1) < 3);
        }
        if let Ok(fork) = store.fork(&source(), &ForkPoint::Whole, new(2)) {
            let of_fork = [(fork.thread_id(), fork.path().clone())];
            store.catch_up(&of_fork).unwrap();
            check(2);
        }
    }
    assert!(lost > 0, "nothing was ever lost");
}

/// A thread that nobody writes, all of it.
fn source() -> ForkSource {
    ForkSource {
        thread_id: id(1),
        upto: None,
        is_durable: false,
    }
}
