#![expect(
    clippy::disallowed_methods,
    reason = "tests damage files behind the engine's back"
)]

use std::fs;
use std::ops::Bound;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;
use crate::disk::RealDisk;
use crate::listing::Direction;

const PATIENCE: Duration = Duration::from_millis(300);

fn database(path: &Path) -> Database {
    Database::at(Arc::new(RealDisk), path.to_path_buf(), PATIENCE)
}

fn put(database: &Database, key: u32) -> Result<(), Fault> {
    database.write(|txn| {
        txn.insert(Table::Threads, &key.to_be_bytes(), &[7; 300])?;
        Ok(Outcome::Commit(()))
    })
}

fn keys(database: &Database) -> Vec<u32> {
    database
        .read(|txn| {
            txn.range(Span::all(Table::Threads), |key, value| {
                assert_eq!(value, [7; 300]);
                Ok(u32::from_be_bytes(key.try_into().unwrap()))
            })?
            .collect()
        })
        .unwrap()
}

fn filled(path: &Path, rows: u32) {
    let database = database(path);
    database
        .write(|txn| {
            for key in 0..rows {
                txn.insert(Table::Threads, &key.to_be_bytes(), &[7; 300])?;
            }
            Ok(Outcome::Commit(()))
        })
        .unwrap();
}

#[test]
fn what_is_committed_is_read_and_what_is_left_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.redb");
    let one = database(&path);
    assert_eq!(keys(&one), [0u32; 0]);
    put(&one, 1).unwrap();
    one.write(|txn| {
        txn.insert(Table::Threads, &2u32.to_be_bytes(), &[7; 300])?;
        Ok(Outcome::Leave(()))
    })
    .unwrap();
    let other = database(&path);
    assert_eq!(keys(&other), [1]);
    put(&other, 3).unwrap();
    assert_eq!(keys(&one), [1, 3]);
    one.write(|txn| {
        assert!(txn.remove(Table::Threads, &1u32.to_be_bytes())?);
        assert!(!txn.remove(Table::Threads, &9u32.to_be_bytes())?);
        Ok(Outcome::Commit(()))
    })
    .unwrap();
    assert_eq!(keys(&other), [3]);
    assert_eq!(other.read(|txn| txn.count(Table::Threads)).unwrap(), 1);
}

#[test]
fn a_range_is_read_from_either_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.redb");
    filled(&path, 10);
    let range = |direction| {
        database(&path)
            .read(|txn| {
                txn.range(
                    Span {
                        table: Table::Threads,
                        from: Bound::Excluded(&3u32.to_be_bytes()),
                        to: Bound::Included(&6u32.to_be_bytes()),
                        direction,
                    },
                    |key, _| Ok(key[3]),
                )?
                .collect::<Result<Vec<_>, _>>()
            })
            .unwrap()
    };
    assert_eq!(range(Direction::Ascending), [4, 5, 6]);
    assert_eq!(range(Direction::Descending), [6, 5, 4]);
}

/// Every answer is the right one, or the index is set aside and begins anew.
fn answers_or_begins_anew(path: &Path, rows: u32, damage: &str) {
    let seen = keys(&database(path));
    let whole: Vec<u32> = (0..rows).collect();
    let aside = path.with_extension("redb.damaged");
    if seen == whole {
        return;
    }
    assert!(seen.is_empty(), "{damage}: {} of {rows} rows", seen.len());
    assert!(aside.exists(), "{damage}: nothing was set aside");
    fs::remove_file(aside).unwrap();
}

#[test]
fn a_flipped_byte_anywhere_is_noticed_or_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.redb");
    let rows = 400;
    filled(&path, rows);
    let good = fs::read(&path).unwrap();
    let step = good.len() / 150;
    let mut at = 0;
    while at < good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x20;
        fs::write(&path, &bad).unwrap();
        answers_or_begins_anew(&path, rows, &format!("byte {at}"));
        // All of the header, then a sample.
        at += if at < 324 { 9 } else { step };
    }
}

#[test]
fn a_cut_zeroed_or_foreign_file_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.redb");
    let rows = 400;
    filled(&path, rows);
    let good = fs::read(&path).unwrap();
    for cut in [0, 1, 319, 324, 4100, 4101, good.len() / 2, good.len() - 1] {
        fs::write(&path, &good[..cut]).unwrap();
        if cut == 0 {
            // An empty file is a new index.
            assert_eq!(keys(&database(&path)), [0u32; 0]);
        } else {
            answers_or_begins_anew(&path, rows, &format!("cut at {cut}"));
        }
    }
    for page in 0..good.len() / 4100 {
        let mut bad = good.clone();
        bad[page * 4100..(page + 1) * 4100].fill(0);
        fs::write(&path, &bad).unwrap();
        answers_or_begins_anew(&path, rows, &format!("page {page} zeroed"));
    }
    for garbage in [b"hello".repeat(5000), vec![0; 100_000], vec![0xff; 8192]] {
        fs::write(&path, &garbage).unwrap();
        answers_or_begins_anew(&path, rows, "garbage");
    }
    put(&database(&path), 5).unwrap();
    assert_eq!(keys(&database(&path)), [5]);
}

#[test]
fn damage_under_an_open_handle_is_met_by_the_handle_that_opens_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.redb");
    filled(&path, 400);
    let open = database(&path);
    assert_eq!(keys(&open).len(), 400);
    let len = fs::metadata(&path).unwrap().len();
    fs::write(&path, vec![0xab; usize::try_from(len).unwrap()]).unwrap();
    put(&database(&path), 1).unwrap();
    // The index on the path is the new one now, for the old handle, too.
    put(&open, 2).unwrap();
    assert_eq!(keys(&open), [1, 2]);
}

#[test]
fn a_removed_index_begins_anew_for_every_handle() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.redb");
    filled(&path, 10);
    let (one, other) = (database(&path), database(&path));
    assert_eq!((keys(&one).len(), keys(&other).len()), (10, 10));
    one.discard().unwrap();
    assert_eq!(keys(&other), [0u32; 0]);
    put(&one, 1).unwrap();
    assert_eq!(keys(&other), [1]);
}

#[test]
fn a_directory_in_the_index_s_place_is_an_error_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.redb");
    fs::create_dir(&path).unwrap();
    let error = database(&path).read(|_| Ok(())).unwrap_err();
    let error = error.into_error(&path, PATIENCE).to_string();
    assert!(error.contains("index.redb"), "{error}");
    assert!(path.is_dir());
}

/// The other process of the tests below: writes one row, says so, and waits inside of a second
/// transaction. Not a test of its own.
#[test]
fn peer_that_waits_inside_of_a_transaction() {
    let Some(path) = std::env::var_os("SELVEDGE_TEST_INDEX") else {
        return;
    };
    let database = database(Path::new(&path));
    put(&database, 1).unwrap();
    database
        .write(|txn| {
            txn.insert(Table::Threads, &2u32.to_be_bytes(), &[7; 300])?;
            println!("inside");
            let mut line = String::new();
            io::stdin().read_line(&mut line).unwrap();
            Ok(Outcome::Commit(()))
        })
        .unwrap();
    println!("committed");
}

/// A child that does not outlive a test that fails, stopped or not.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn peer(path: &Path) -> (Peer, impl FnMut() -> Option<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "index::database::tests::peer_that_waits_inside_of_a_transaction",
            "--exact",
            "--nocapture",
        ])
        .env("SELVEDGE_TEST_INDEX", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = io::BufRead::lines(io::BufReader::new(child.stdout.take().unwrap()));
    (Peer(child), move || lines.next().map(Result::unwrap))
}

fn until(mut next: impl FnMut() -> Option<String>, word: &str) {
    // The harness may write its own words on the same line.
    while let Some(line) = next() {
        if line.contains(word) {
            return;
        }
    }
    panic!("the other process never said {word:?}");
}

#[test]
fn a_process_stopped_inside_of_a_transaction_delays_writers_by_the_bound_and_readers_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.redb");
    let database = database(&path);
    put(&database, 0).unwrap();
    let (mut child, mut next) = peer(&path);
    until(&mut next, "inside");
    let pid = Pid::from_raw(i32::try_from(child.0.id()).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();

    assert!(matches!(put(&database, 3), Err(Fault::Busy)));
    assert_eq!(keys(&database), [0, 1]);
    // A handle that opens only now has to give up, too.
    let late = super::tests::database(&path);
    assert!(matches!(late.read(|_| Ok(())), Err(Fault::Busy)));

    kill(pid, Signal::SIGCONT).unwrap();
    drop(child.0.stdin.take());
    until(&mut next, "committed");
    assert!(child.0.wait().unwrap().success());
    put(&database, 3).unwrap();
    assert_eq!(keys(&database), [0, 1, 2, 3]);
    assert_eq!(keys(&late), [0, 1, 2, 3]);
    assert!(!path.with_extension("redb.damaged").exists());
}

/// While a process was stopped in a transaction, each question waited for the index as often as it
/// had to do with it: a search once for each thread that it found and that had grown since, without
/// any bound.
#[test]
fn a_wait_in_vain_is_not_repeated_at_once() {
    const HOUR: Duration = Duration::from_secs(3600);
    let vain = Vain::default();
    let is_full = |vain: &Vain| vain.deadline(HOUR) > Instant::now() + HOUR / 2;
    let busy = || Err::<(), _>(Fault::Busy);
    assert!(is_full(&vain));
    vain.learn(&busy(), HOUR);
    assert!(!is_full(&vain));
    // Those that follow wait briefly, and do not make it last longer.
    let since = *unpoisoned(&vain.since);
    vain.learn(&busy(), BRIEF);
    assert_eq!(*unpoisoned(&vain.since), since);
    assert!(!is_full(&vain));
    // It was longer ago than it took.
    assert!(vain.deadline(Duration::ZERO) <= Instant::now());
    // The index was had again, whatever came of it.
    vain.learn(&Err::<(), _>(Fault::Damaged("it".into())), BRIEF);
    assert!(is_full(&vain));
    vain.learn(&busy(), HOUR);
    vain.learn(&Ok(()), BRIEF);
    assert!(is_full(&vain));
}

#[test]
fn a_process_killed_inside_of_a_transaction_blocks_nobody_and_leaves_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.redb");
    let database = database(&path);
    put(&database, 0).unwrap();
    let (mut child, next) = peer(&path);
    until(next, "inside");
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    put(&database, 3).unwrap();
    assert_eq!(keys(&database), [0, 1, 3]);
    assert_eq!(keys(&super::tests::database(&path)), [0, 1, 3]);
    assert!(!path.with_extension("redb.damaged").exists());
}
