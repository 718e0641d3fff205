//! Damage to what lies beside the logs: the marks of writers, their locks, and the names that other
//! tools keep. None of it is the truth about a thread: it costs a look, or a name, and nothing else.

use std::fs;
use std::path::PathBuf;

use selvedge_codec::Item;

use super::is_exhaustive;
use super::subjects::{self, OLD, Subject};
use crate::disk::RealDisk;
use crate::home::{Home, marks};
use crate::listing::{ListQuery, SessionNames, scan_list};
use crate::log::ThreadLog;
use crate::sample_home::*;
use crate::store::{Store, StoreOptions};

fn open(home: &Home) -> Store {
    let store = Store::open(StoreOptions::new(home.root())).unwrap();
    store.backfill(super::WAIT, &|_| ()).unwrap();
    store
}

/// Every flipped bit and cut of `good`, or a part of them, and some bytes of no meaning.
fn harmed(good: &[u8], stride: usize) -> Vec<Vec<u8>> {
    let stride = if is_exhaustive() { 1 } else { stride };
    let flipped = (0..good.len() * 8).step_by(stride).map(|bit| {
        let mut bytes = good.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    let cut = (0..good.len())
        .step_by(stride)
        .map(|at| good[..at].to_vec());
    let garbage = [vec![0; 5000], vec![0xff; 700], b"\n\n\n".to_vec()];
    let doubled = [good, good].concat();
    flipped.chain(cut).chain(garbage).chain([doubled]).collect()
}

fn append(log: &mut ThreadLog) {
    let sample = user("a word");
    let item = Item::json(sample.record_type, sample.payload).unwrap();
    log.append(vec![vec![item]]).unwrap();
}

fn marks_files(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.runtime_dir().join("open")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// A writer died, and what its marks say is damaged: what it wrote is found all the same, by the next
/// look at the home if the marks no longer name its log.
#[test]
fn damaged_marks_of_a_dead_writer_hide_no_thread_and_stop_nobody() {
    let subject = subjects::native_log();
    let home = subject.place.home();
    open(&home).close().unwrap();
    let writer = Store::open(StoreOptions::new(home.root())).unwrap();
    let context = writer.log_context().clone();
    let (mut log, _) = ThreadLog::open(context, subject.thread, &subject.path).unwrap();
    let [path] = &marks_files(&home)[..] else {
        panic!("one store has one file of marks")
    };
    let good = fs::read(path).unwrap();
    assert!(good.starts_with(b"{"), "the owner comes first");
    append(&mut log);
    let grown = fs::read(subject.file.clone()).unwrap();
    log.close().unwrap();
    writer.close().unwrap();
    drop((log, writer));
    let index = fs::read(subject.place.file("index.redb")).unwrap();
    for (number, bytes) in harmed(&good, 53).into_iter().enumerate() {
        fs::write(subject.place.file("index.redb"), &index).unwrap();
        subject.harm(&grown, OLD / 3);
        fs::write(path, &bytes).unwrap();
        let read = marks::read_all(&RealDisk, &home).unwrap();
        assert!(read.iter().all(|marks| !marks.alive), "case {number}");
        let store = open(&home);
        check_lists(&store, &subject, number);
        check_writes(&store, &subject, number);
        store.close().unwrap();
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
}

fn check_lists(store: &Store, subject: &Subject, number: usize) {
    // Whoever asks for the thread is given it as it is, whatever the marks say.
    let thread = store.read_thread(subject.thread).unwrap();
    assert_eq!(
        thread.item_count,
        subject.intact.len() as u64 + 1,
        "case {number}"
    );
    let query = ListQuery::default();
    let scanned = scan_list(&RealDisk, &subject.place.home(), &query).unwrap();
    assert_eq!(store.list(&query).unwrap(), scanned, "case {number}");
}

fn check_writes(store: &Store, subject: &Subject, number: usize) {
    let context = store.log_context().clone();
    let (mut log, report) = ThreadLog::open(context, subject.thread, &subject.path).unwrap();
    assert_eq!(report.torn, None, "case {number}");
    append(&mut log);
    log.close().unwrap();
}

/// While a writer lives its marks are its own to write: what others read of them is no more than a
/// place to look at.
#[test]
fn damaged_marks_of_a_living_writer_keep_it_alive_and_its_thread_in_the_list() {
    let subject = subjects::native_log();
    let home = subject.place.home();
    let writer = open(&home);
    let context = writer.log_context().clone();
    let (mut log, _) = ThreadLog::open(context, subject.thread, &subject.path).unwrap();
    append(&mut log);
    let [path] = &marks_files(&home)[..] else {
        panic!("one store has one file of marks")
    };
    let good = fs::read(path).unwrap();
    let reader = open(&home);
    for bytes in harmed(&good, 211) {
        fs::write(path, &bytes).unwrap();
        let read = marks::read_all(&RealDisk, &home).unwrap();
        assert!(read.iter().all(|marks| marks.alive));
        // Who holds the thread may be unknown then; that somebody does is not.
        let context = reader.log_context().clone();
        let refused = ThreadLog::open(context, subject.thread, &subject.path).unwrap_err();
        assert!(
            matches!(refused, crate::Error::Conflict { .. }),
            "{refused}"
        );
        assert!(reader.read_thread(subject.thread).is_ok());
        reader.list(&ListQuery::default()).unwrap();
    }
    append(&mut log);
    log.close().unwrap();
    let thread = reader.read_thread(subject.thread).unwrap();
    assert_eq!(thread.item_count, subject.intact.len() as u64 + 2);
}

/// Locks are held by the kernel, on files whose bytes mean nothing.
#[test]
fn whatever_the_files_of_locks_hold_locks_are_locks() {
    let subject = subjects::native_log();
    let home = subject.place.home();
    let one = open(&home);
    let other = open(&home);
    let open_log =
        |store: &Store| ThreadLog::open(store.log_context().clone(), subject.thread, &subject.path);
    drop(open_log(&one).unwrap());
    let locks = locks_files(&home);
    assert!(!locks.is_empty());
    for bytes in [&b""[..], b"garbage", &[0xff; 9000]] {
        for path in &locks {
            fs::write(path, bytes).unwrap();
        }
        let (mut log, _) = open_log(&one).unwrap();
        let refused = open_log(&other).unwrap_err();
        assert!(
            matches!(refused, crate::Error::Conflict { .. }),
            "{refused}"
        );
        append(&mut log);
        log.close().unwrap();
        let (mut log, _) = open_log(&other).unwrap();
        append(&mut log);
        log.close().unwrap();
    }
}

fn locks_files(home: &Home) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![home.runtime_dir()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => dirs.push(path),
                false if path.extension().is_none_or(|ending| ending != "marks") => {
                    found.push(path);
                }
                false => {}
            }
        }
    }
    found
}

/// A damaged line of names costs that name: no other, and no thread.
#[test]
fn damaged_names_cost_names_alone() {
    let place = SampleHome::new();
    let mut text = String::new();
    for number in 1..4 {
        let name = format!("sessions/2026/02/20/{}.jsonl", id(number));
        place.write(&name, &lines(&[meta(number, ""), user("a word")]));
        text += &format!(
            "{{\"id\":\"{}\",\"thread_name\":\"name {number}\",\"updated_at\":\"x\"}}\n",
            id(number)
        );
    }
    let names_file = place.home().session_index_path();
    fs::write(&names_file, &text).unwrap();
    let store = open(&place.home());
    let query = ListQuery::default();
    let untouched = |bytes: &[u8], number: u8| {
        let line = text.lines().nth(usize::from(number) - 1).unwrap();
        let whole = format!("\n{line}\n");
        let bytes = [b"\n", bytes].concat();
        let count = |what: &str| memchr::memmem::find_iter(&bytes, what.as_bytes()).count();
        // A flipped bit may make another thread's line one about this thread: nothing tells.
        let lines = count(&whole);
        lines > 0 && lines == count(&id(number).to_string())
    };
    for bytes in harmed(text.as_bytes(), 41) {
        fs::write(&names_file, &bytes).unwrap();
        let names = SessionNames::load(&RealDisk, &place.home()).unwrap();
        let page = store.list(&query).unwrap();
        assert_eq!(page, scan_list(&RealDisk, &place.home(), &query).unwrap());
        assert_eq!(page.threads.len(), 3);
        for number in 1..4 {
            let expected = format!("name {number}");
            if untouched(&bytes, number) {
                assert_eq!(names.get(id(number)), Some(&*expected));
                let thread = store.read_thread(id(number)).unwrap();
                assert_eq!(thread.name, Some(expected));
            }
        }
    }
}
