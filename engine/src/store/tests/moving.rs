//! Archiving, unarchiving and deleting.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use selvedge_codec::{Item, UtcMicros};

use super::crash_disk::CrashDisk;
use super::home::{TestHome, WAIT, id, ids, line, meta, said, thread};
use crate::home::marks;
use crate::listing::{ListQuery, ThreadFilter};
use crate::log::{NewThread, ThreadLog};
use crate::sample_home;
use crate::store::{ForkSource, IndexUse, Store, StoreOptions};
use crate::thread::{ForkPoint, ThreadSummary};
use crate::{ConflictReason, Error, InvalidRequest};

const DAY: &str = "sessions/2026/03/04";

fn named(number: u64, ending: &str) -> String {
    format!("rollout-2026-03-04T00-01-40-{}{ending}", id(number))
}

fn live(number: u64, ending: &str) -> String {
    format!("{DAY}/{}", named(number, ending))
}

fn archived(number: u64, ending: &str) -> String {
    format!("archived_sessions/{}", named(number, ending))
}

fn native(store: &Store, number: u64) {
    let meta = format!("{{\"id\":\"{}\",\"cwd\":\"/w\"}}", id(number));
    let new = NewThread {
        thread_id: id(number),
        created_at: UtcMicros::parse("2026-03-04T00:01:40Z").unwrap(),
        meta: Item::json("session_meta", meta).unwrap(),
    };
    let mut log = ThreadLog::create(store.log_context().clone(), new);
    let words = r#"{"type":"user_message","message":"hello"}"#;
    log.append(vec![vec![Item::json("event_msg", words).unwrap()]])
        .unwrap();
    log.close().unwrap();
}

fn packed(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 3).unwrap()
}

fn query(archived: bool) -> ListQuery {
    ListQuery {
        filter: ThreadFilter {
            archived,
            include_empty: true,
            ..ThreadFilter::default()
        },
        ..ListQuery::default()
    }
}

/// Every file of a home that is of threads: not the index, nor what writers keep while they run.
fn files(home: &TestHome) -> Vec<String> {
    fn walk(dir: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                let below = path.strip_prefix(root).unwrap();
                found.push(below.to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(home.root(), home.root(), &mut found);
    found.retain(|path| !path.starts_with("index.redb") && !path.starts_with(".selvedge"));
    found.sort();
    found
}

/// What the index lists is what the logs say, archived and not.
fn assert_listed(home: &TestHome, store: &Store) {
    for archived in [false, true] {
        let query = query(archived);
        let listed = store.list(&query).unwrap();
        assert_eq!(listed.threads, home.scan(&query).threads, "{archived}");
    }
}

/// A thread, apart from where it lies.
fn without_place(mut thread: ThreadSummary) -> ThreadSummary {
    thread.rollout_path.clear();
    thread.archived_at = None;
    thread
}

fn without_index(home: &TestHome) -> Store {
    Store::open(StoreOptions {
        index: IndexUse::None,
        ..home.options()
    })
    .unwrap()
}

#[test]
fn a_thread_goes_to_the_archive_and_back_and_says_so() {
    let home = TestHome::new();
    let store = home.store();
    native(&store, 1);
    home.put(&live(2, ".jsonl"), thread(2, 100));
    home.put(&live(3, ".jsonl.zst"), packed(&thread(3, 100)));
    // Neither its name nor its folder tells a day.
    home.put("sessions/odd.jsonl", thread(4, 100));
    store.backfill(WAIT, &|_| ()).unwrap();
    for (indexed, store) in [(true, &store), (false, &without_index(&home))] {
        for (number, name, day) in [
            (1, named(1, ".rlog"), DAY),
            (2, named(2, ".jsonl"), DAY),
            (3, named(3, ".jsonl.zst"), DAY),
            (4, "odd.jsonl".to_owned(), DAY),
        ] {
            let before = store.read_thread(id(number)).unwrap();
            let turns = store.turns(id(number)).unwrap();
            for _ in 0..2 {
                let there = store.archive(id(number)).unwrap();
                assert_eq!(there.rollout_path, format!("archived_sessions/{name}"));
                assert_eq!(there.archived_at, Some(before.updated_at));
                assert_eq!(without_place(there), without_place(before.clone()));
                assert_eq!(store.turns(id(number)).unwrap(), turns);
            }
            assert!(ids(&store.list(&query(true)).unwrap()).contains(&id(number)));
            assert!(!ids(&store.list(&query(false)).unwrap()).contains(&id(number)));
            for _ in 0..2 {
                let back = store.unarchive(id(number)).unwrap();
                assert_eq!(back.rollout_path, format!("{day}/{name}"), "{indexed}");
                assert_eq!(without_place(back), without_place(before.clone()));
            }
            assert_listed(&home, store);
        }
    }
    assert_eq!(store.verify().unwrap().differences, []);
    for unknown in [store.archive(id(9)), store.unarchive(id(9))] {
        assert!(matches!(unknown, Err(Error::ThreadNotFound { thread_id }) if thread_id == id(9)));
    }
}

#[test]
fn a_thread_that_is_written_is_neither_moved_nor_deleted() {
    let home = TestHome::new();
    let store = home.filled();
    native(&store, 1);
    let path = store.find(id(1)).unwrap().path;
    let (mut log, _) = ThreadLog::open(store.log_context().clone(), id(1), &path).unwrap();
    let before = files(&home);
    let other = home.store();
    let pid = std::process::id();
    for refused in [
        other.archive(id(1)).map(drop),
        other.unarchive(id(1)).map(drop),
        other.delete(id(1)),
        store.delete(id(1)),
    ] {
        match refused {
            Err(Error::Conflict {
                reason: ConflictReason::Writer { holder },
                ..
            }) => assert_eq!(holder, format!("process {pid}")),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(files(&home), before);
    log.close().unwrap();
    other.archive(id(1)).unwrap();
    other.delete(id(1)).unwrap();
}

#[test]
fn a_log_in_the_way_is_not_replaced_unless_nothing_of_it_would_be_lost() {
    let home = TestHome::new();
    let store = home.filled();
    let (from, to) = (live(1, ".jsonl"), archived(1, ".jsonl"));
    let text = thread(1, 100) + &said(200, "more");
    let longer = text.clone() + &said(300, "and more");
    let other = thread(1, 100) + &said(200, "else");
    home.put(&from, &text);
    home.put(&to, &other);
    let refused = store.archive(id(1));
    let in_the_way = |path: &Path| path == home.file(&to);
    assert!(
        matches!(
            &refused,
            Err(Error::InvalidRequest(InvalidRequest::LogInTheWay(path))) if in_the_way(path)
        ),
        "{refused:?}"
    );
    let read = |path: &str| fs::read_to_string(home.file(path)).unwrap();
    assert_eq!((read(&from), read(&to)), (text.clone(), other));
    // A beginning of the log, all of it, and all of it with more.
    for (there, expected) in [
        (thread(1, 100), &text),
        (text.clone(), &text),
        (longer.clone(), &longer),
    ] {
        home.put(&from, &text);
        home.put(&to, &there);
        store.archive(id(1)).unwrap();
        assert_eq!(files(&home), std::slice::from_ref(&to));
        assert_eq!(&read(&to), expected);
        fs::remove_file(home.file(&to)).unwrap();
    }
    // One file under both names, as half of a rename leaves it.
    home.put(&from, &text);
    fs::hard_link(home.file(&from), home.file(&to)).unwrap();
    store.archive(id(1)).unwrap();
    assert_eq!((files(&home), read(&to)), (vec![to.clone()], text));
    assert_listed(&home, &store);
}

/// A panic lost a thread's log with nobody left to take its mark back. The mark outlived the thread,
/// and the store kept one for each thread that had come to such an end.
#[test]
fn a_deletion_takes_the_marks_back_that_a_panic_has_left() {
    let home = TestHome::new();
    let store = home.filled();
    let context = store.log_context();
    let marked = || {
        let files = marks::read_all(&*context.disk, &context.home).unwrap();
        files.into_iter().flat_map(|file| file.threads).count()
    };
    native(&store, 1);
    let path = store.find(id(1)).unwrap().path;
    for _ in 0..2 {
        let (log, _) = ThreadLog::open(context.clone(), id(1), &path).unwrap();
        drop(log);
    }
    assert_eq!(marked(), 1);
    store.delete(id(1)).unwrap();
    assert_eq!(marked(), 0);
    store.close().unwrap();
    let left = marks::read_all(&*context.disk, &context.home).unwrap();
    assert_eq!(left, []);
}

#[test]
fn a_deleted_thread_leaves_nothing_and_takes_nothing_of_others_along() {
    for indexed in [true, false] {
        let home = TestHome::new();
        let filled = home.filled();
        let store = match indexed {
            true => &filled,
            false => &without_index(&home),
        };
        let text = thread(1, 100) + &said(200, "more");
        home.put(&live(1, ".jsonl"), &text);
        home.put(&live(1, ".jsonl.zst"), packed(&thread(1, 100)));
        home.put(&archived(1, ".jsonl"), thread(1, 100));
        home.put("sessions/misnamed.jsonl", thread(1, 100));
        home.put(&(live(1, ".jsonl") + ".torn-17"), "half");
        home.put(&(archived(1, ".jsonl") + ".torn-3.1"), "half");
        home.put(&(live(1, ".jsonl") + ".unpacking"), "half");
        home.put(&(archived(1, ".rlog")), "no log at all");
        let child = line(
            100,
            "session_meta",
            &format!(
                "{{\"id\":\"{}\",\"parent_thread_id\":\"{}\"}}",
                id(2),
                id(1)
            ),
        ) + &said(101, "child");
        home.put(&live(2, ".jsonl"), child);
        home.put(&(live(2, ".jsonl") + ".torn-17"), "half");
        let of = |number, name: &str| {
            format!(
                "{{\"id\":\"{}\",\"thread_name\":\"{name}\",\"updated_at\":\"x\"}}\n",
                id(number)
            )
        };
        let names = of(2, "a") + "no name\n" + &of(1, "b") + "\n" + &of(1, "c") + &of(2, "d");
        home.put("session_index.jsonl", names);
        store.backfill(WAIT, &|_| ()).unwrap();
        assert_eq!(store.read_thread(id(1)).unwrap().name.as_deref(), Some("c"));
        assert_eq!(store.list(&query(false)).unwrap().threads.len(), 2);
        for _ in 0..2 {
            store.delete(id(1)).unwrap();
            let left = [
                "session_index.jsonl".to_owned(),
                live(2, ".jsonl"),
                live(2, ".jsonl") + ".torn-17",
            ];
            assert_eq!(files(&home), left);
            let names = fs::read_to_string(home.file("session_index.jsonl")).unwrap();
            assert_eq!(names, of(2, "a") + "no name\n\n" + &of(2, "d"));
            assert!(matches!(
                store.read_thread(id(1)),
                Err(Error::ThreadNotFound { .. })
            ));
            assert_eq!(ids(&store.list(&query(false)).unwrap()), [id(2)]);
            assert_listed(&home, store);
        }
        assert_eq!(
            store.read_thread(id(2)).unwrap().parent_thread_id,
            Some(id(1))
        );
        assert_eq!(store.verify().unwrap().differences, []);
        store.delete(id(8)).unwrap();
    }
}

#[test]
fn the_history_that_a_fork_begins_with_outlives_its_parent_and_goes_with_the_fork() {
    let home = TestHome::new();
    let (parent, fork) = (sample_home::id(1), sample_home::id(2));
    let begins = vec![sample_home::meta(1, ""), sample_home::user("hello")];
    let file = format!("sessions/rollout-{parent}.rlog");
    let bytes = sample_home::native(1, &[begins]);
    home.put(&file, &bytes);
    let store = home.filled();
    let meta = sample_home::meta(2, "");
    let new = NewThread {
        thread_id: fork,
        created_at: sample_home::moment(9),
        meta: Item::json(meta.record_type, meta.payload).unwrap(),
    };
    let source = ForkSource {
        thread_id: parent,
        upto: None,
        is_durable: false,
    };
    let mut log = store.fork(&source, &ForkPoint::Whole, new).unwrap();
    log.close().unwrap();
    let name = log.path().file_name();
    let before = store.history(fork).unwrap().records;
    assert_eq!(before.len(), 3);
    store.delete(parent).unwrap();
    assert_eq!(store.history(fork).unwrap().records, before);
    let there = store.archive(fork).unwrap();
    assert_eq!(there.first_user_message.as_deref(), Some("hello"));
    assert_eq!(store.history(fork).unwrap().records, before);
    let archived = format!("archived_sessions/{name}");
    let [log, inherited] = <[String; 2]>::try_from(files(&home)).unwrap();
    assert_eq!(log, archived);
    assert!(inherited.starts_with(&format!("inherited/{fork}/")));
    assert_listed(&home, &store);
    store.delete(fork).unwrap();
    assert!(files(&home).is_empty());
    assert!(!home.file(&format!("inherited/{fork}")).exists());
    store.delete(fork).unwrap();
}

/// An older copy of a log: it is only preferred where it lies better.
const OLDER: &str = "z-older.jsonl";

/// A home with the thread 1 in two logs, and another thread beside it.
fn crash_home() -> TestHome {
    let home = TestHome::new();
    let text = meta(1, "/w", 100) + &said(101, "hello") + &said(200, "more");
    home.put(&live(1, ".jsonl"), text);
    home.put(&format!("{DAY}/{OLDER}"), thread(1, 100));
    home.put(&(live(1, ".jsonl") + ".torn-17"), "half");
    home.put(&live(2, ".jsonl"), thread(2, 100));
    let name = |number| format!("{{\"id\":\"{}\",\"thread_name\":\"n\"}}\n", id(number));
    home.put("session_index.jsonl", name(2) + &name(1));
    home
}

/// Has `work` die after every number of changes of the disk, with and without a loss of what was
/// not synced, and `check` what is left, until it comes to its end. Returns how often it died.
fn die_everywhere(
    prepare: impl Fn() -> TestHome,
    work: impl Fn(&Store) -> Result<(), Error>,
    check: impl Fn(&TestHome),
) -> usize {
    for changes in 1.. {
        let mut has_unsynced = false;
        for loses_power in [false, true] {
            if loses_power && !has_unsynced {
                continue;
            }
            let home = prepare();
            let disk = CrashDisk::after(changes);
            let options = StoreOptions {
                disk: Arc::new(disk.clone()),
                ..home.options()
            };
            let done = Store::open(options).and_then(|store| work(&store));
            if disk.is_alive() {
                done.unwrap();
                check(&home);
                return changes;
            }
            has_unsynced = disk.has_unsynced();
            if loses_power {
                disk.lose_power();
            }
            check(&home);
        }
    }
    unreachable!("an operation ends")
}

#[test]
fn a_move_that_is_cut_short_anywhere_leaves_the_thread_in_one_place_and_can_be_finished() {
    for to_archive in [true, false] {
        let prepare = || {
            let home = crash_home();
            home.filled().close().unwrap();
            if !to_archive {
                home.store().archive(id(1)).unwrap();
            }
            home
        };
        let relocate = |store: &Store| match to_archive {
            true => store.archive(id(1)),
            false => store.unarchive(id(1)),
        };
        let expected = without_place(crash_home().store().read_thread(id(1)).unwrap());
        let died = die_everywhere(
            prepare,
            |store| relocate(store).map(drop),
            |home| {
                let store = home.store();
                let found = store.read_thread(id(1)).unwrap();
                assert_eq!(without_place(found), expected);
                assert_listed(home, &store);
                let places = [false, true].map(|archived| {
                    let listed = home.scan(&query(archived));
                    ids(&listed)
                        .into_iter()
                        .filter(|listed| *listed == id(1))
                        .count()
                });
                assert_eq!(places.iter().sum::<usize>(), 1, "{places:?}");
                relocate(&store).unwrap();
                let mut left = vec![
                    "session_index.jsonl".to_owned(),
                    live(2, ".jsonl"),
                    live(1, ".jsonl") + ".torn-17",
                ];
                let place = if to_archive { "archived_sessions" } else { DAY };
                left.extend(
                    [named(1, ".jsonl"), OLDER.to_owned()].map(|name| format!("{place}/{name}")),
                );
                left.sort();
                assert_eq!(files(home), left);
                assert_listed(home, &store);
            },
        );
        assert!(died > 8, "{died}");
    }
}

#[test]
fn a_deletion_that_is_cut_short_anywhere_leaves_all_of_the_thread_or_nothing_to_be_found() {
    let prepare = || {
        let home = crash_home();
        home.filled().close().unwrap();
        home
    };
    let expected = prepare().store().read_thread(id(1)).unwrap();
    assert_eq!(expected.name.as_deref(), Some("n"));
    let outcomes = std::cell::RefCell::new([0, 0]);
    die_everywhere(
        prepare,
        |store| store.delete(id(1)),
        |home| {
            let store = home.store();
            match store.read_thread(id(1)) {
                Ok(thread) => {
                    assert_eq!(thread, expected);
                    outcomes.borrow_mut()[0] += 1;
                }
                Err(Error::ThreadNotFound { .. }) => outcomes.borrow_mut()[1] += 1,
                Err(other) => panic!("{other}"),
            }
            assert_listed(home, &store);
            store.delete(id(1)).unwrap();
            let left = ["session_index.jsonl".to_owned(), live(2, ".jsonl")];
            assert_eq!(files(home), left);
            let names: PathBuf = home.file("session_index.jsonl");
            assert!(
                !fs::read_to_string(names)
                    .unwrap()
                    .contains(&id(1).to_string())
            );
            assert_eq!(store.read_thread(id(2)).unwrap().name.as_deref(), Some("n"));
            assert_listed(home, &store);
        },
    );
    let [whole, gone] = outcomes.into_inner();
    assert!(whole > 2 && gone > 2, "{whole} {gone}");
}
