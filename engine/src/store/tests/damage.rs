//! Whatever becomes of the index's file, the answers stay the same.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use selvedge_codec::{ByteLength, ByteOffset};

use super::home::{TestHome, WAIT, id, ids, said, thread};
use crate::Error;
use crate::disk::{DirEntry, Disk, DiskFile, FileStat, OpenMode, RealDisk};
use crate::listing::{Coverage, ListQuery, SortKey, Verification};
use crate::store::{RepairOptions, Store, StoreOptions};

fn many() -> TestHome {
    let home = TestHome::new();
    for number in 0..60 {
        let text = thread(number, number * 7) + &said(number * 7 + 3, "more");
        home.put(
            &format!("sessions/2026/03/0{}/{number}.jsonl", number % 9 + 1),
            text,
        );
    }
    home
}

fn queries() -> Vec<ListQuery> {
    [SortKey::Created, SortKey::Updated, SortKey::Recency]
        .into_iter()
        .flat_map(|sort| {
            [Verification::Verified, Verification::IndexOnly].map(|verification| ListQuery {
                sort,
                verification,
                ..ListQuery::default()
            })
        })
        .collect()
}

#[test]
fn a_damaged_index_gives_the_same_answers_once_it_is_opened_again() {
    let home = many();
    drop(home.filled());
    let index = home.file("index.redb");
    let good = fs::read(&index).unwrap();
    let expected: Vec<_> = queries().iter().map(|query| home.scan(query)).collect();
    let check = |what: &str, bytes: &[u8]| {
        fs::write(&index, bytes).unwrap();
        let store = home.filled();
        for (query, expected) in queries().iter().zip(&expected) {
            assert_eq!(store.list(query).unwrap(), *expected, "{what}");
        }
        store.close().unwrap();
    };
    check("garbage", &b"no index at all".repeat(1000));
    check("empty", b"");
    check("zeros", &vec![0; good.len()]);
    for cut in [1, 4100, good.len() / 3, good.len() - 1] {
        check(&format!("cut at {cut}"), &good[..cut]);
    }
    let pages = good.len() / 4100;
    for page in (0..pages).step_by(pages.div_ceil(40)) {
        let mut bytes = good.clone();
        bytes[page * 4100 + page % 4000] ^= 1;
        check(&format!("a bit of page {page}"), &bytes);
    }
}

#[test]
fn an_index_that_is_damaged_or_goes_while_the_store_is_open_is_filled_again_by_the_next_listing() {
    let home = many();
    let store = home.filled();
    let query = ListQuery::default();
    let expected = home.scan(&query);
    fs::remove_file(home.file("index.redb")).unwrap();
    assert_eq!(store.list(&query).unwrap(), expected);
    assert_eq!(store.coverage().unwrap(), Coverage::Complete { failed: 0 });
    // Another process takes it for damaged, and leaves an empty one.
    fs::rename(home.file("index.redb"), home.file("elsewhere")).unwrap();
    drop(home.store());
    assert_eq!(store.list(&query).unwrap(), expected);
    assert_eq!(store.read_thread(id(3)).unwrap().thread_id, id(3));
}

#[test]
fn rows_that_are_not_what_their_keys_say_are_no_answer() {
    let home = many();
    let store = home.filled();
    let query = ListQuery {
        limit: 100,
        ..ListQuery::default()
    };
    let expected = home.scan(&query);
    super::tamper(&store, |txn, row| {
        use crate::index::Table;
        assert!(txn.remove(Table::Threads, row.thread.summary.thread_id.as_bytes())?);
        Ok(())
    });
    assert_eq!(store.list(&query).unwrap(), expected);
    assert!(home.file("index.redb.damaged").exists());
}

#[test]
fn an_older_copy_of_the_index_is_caught_up_with() {
    let home = many();
    for number in 1..=9 {
        home.age(&format!("sessions/2026/03/0{number}"));
    }
    let index = home.file("index.redb");
    home.filled().close().unwrap();
    fs::copy(&index, home.file("copy")).unwrap();
    home.append("sessions/2026/03/01/0.jsonl", &said(9000, "much later"));
    let store = home.filled();
    let query = ListQuery {
        sort: SortKey::Updated,
        ..ListQuery::default()
    };
    assert_eq!(ids(&store.list(&query).unwrap())[0], id(0));
    store.close().unwrap();
    // As another file, and in its own.
    fs::rename(home.file("copy"), &index).unwrap();
    fs::copy(&index, home.file("copy")).unwrap();
    let by_index = ListQuery {
        verification: Verification::IndexOnly,
        ..query.clone()
    };
    let store = home.store();
    assert!(matches!(
        store.coverage().unwrap(),
        Coverage::Partial { .. }
    ));
    store.backfill(WAIT, &|_| ()).unwrap();
    assert_eq!(ids(&store.list(&by_index).unwrap())[0], id(0));
    store.close().unwrap();
    fs::copy(home.file("copy"), &index).unwrap();
    assert_eq!(home.filled().list(&query).unwrap(), home.scan(&query));
}

/// What lay in the page cache may be gone after a power loss, although the file looks as it did.
#[test]
fn after_another_boot_what_changed_in_the_last_one_is_read_again_and_the_rest_looked_at() {
    let home = many();
    let store = home.filled();
    home.append("sessions/2026/03/01/0.jsonl", &said(9000, "much later"));
    super::set_state(&store, |state| state.boot_id = "another".into());
    assert!(matches!(
        store.coverage().unwrap(),
        Coverage::Partial { .. }
    ));
    assert_eq!(store.backfill(WAIT, &|_| ()).unwrap().projected, 60);
    for changed in [1, 0] {
        super::set_state(&store, |state| state.boot_id = "another".into());
        let report = store.backfill(WAIT, &|_| ()).unwrap();
        assert_eq!(report.projected, changed);
    }
    let query = ListQuery {
        sort: SortKey::Updated,
        verification: Verification::IndexOnly,
        ..ListQuery::default()
    };
    assert_eq!(ids(&store.list(&query).unwrap())[0], id(0));
}

#[test]
fn a_directory_in_the_index_s_place_is_an_error_that_names_it() {
    let home = many();
    fs::create_dir(home.file("index.redb")).unwrap();
    let error = crate::store::Store::open(home.options()).unwrap_err();
    assert!(
        matches!(&error, Error::Io { path, .. } if path.ends_with("index.redb")),
        "{error}"
    );
    let error = error.to_string();
    assert!(error.contains("index.redb"), "{error}");
}

#[test]
fn verify_tells_what_the_index_has_wrong() {
    let home = many();
    let store = home.filled();
    assert!(store.verify().unwrap().ok);
    super::tamper(&store, |txn, row| {
        let mut wrong = row.clone();
        wrong.thread.summary.cwd = "/elsewhere".into();
        let mut order = crate::index::OrderChanges::default();
        txn.put_thread(Some(row), &wrong, &mut order)?;
        order.write(txn)
    });
    let report = store.verify().unwrap();
    assert!(!report.ok);
    assert_eq!(report.differences.len(), 1);
    assert_eq!(report.differences[0].what, "the index has another cwd");
    assert_eq!((report.logs, report.index_rows), (60, Some(60)));
    store.rebuild(WAIT, &|_| ()).unwrap();
    assert!(store.verify().unwrap().ok);
    super::tamper(&store, |txn, row| {
        let mut order = crate::index::OrderChanges::default();
        txn.remove_thread(row, &mut order)
    });
    let report = store.verify().unwrap();
    let whats: Vec<_> = report
        .differences
        .iter()
        .map(|found| &*found.what)
        .collect();
    assert!(whats.contains(&"the index has no row of it"), "{whats:?}");
    assert!(
        whats.iter().any(|what| what.contains("keys of order")),
        "{whats:?}"
    );
}

#[test]
fn verify_tells_what_is_wrong_with_logs_and_where() {
    let home = many();
    let cut = "sessions/2026/03/01/0.jsonl";
    let len = fs::metadata(home.file(cut)).unwrap().len();
    home.append(cut, "{\"timestamp\":\"2026-03-04T00:00:00.000Z\",\"ty");
    home.age(cut);
    let bad = "sessions/2026/03/02/1.jsonl";
    home.append(bad, "no record\n");
    home.append(bad, &said(1, "and on"));
    home.put("sessions/no.rlog", b"no log");
    let report = home.filled().verify().unwrap();
    assert!(!report.ok);
    let damaged: Vec<_> = report.damaged.iter().map(|log| &*log.path).collect();
    assert_eq!(damaged, [cut, bad]);
    assert_eq!(
        report.damaged[0].torn_tail.as_ref().unwrap().offset.get(),
        len
    );
    assert_eq!(report.damaged[1].damage.len(), 1);
    assert_eq!(report.unreadable[0].path, "sessions/no.rlog");
    assert_eq!(report.differences, []);
    assert!(
        serde_json::to_string(&report)
            .unwrap()
            .contains("torn_tail")
    );
}

/// A disk on which the index has no room.
#[derive(Debug)]
struct FullDisk(RealDisk);

#[derive(Debug)]
struct FullFile(Box<dyn DiskFile>);

impl Disk for FullDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let file = self.0.open(path, mode)?;
        match path.ends_with("index.redb") {
            true => Ok(Box::new(FullFile(file))),
            false => Ok(file),
        }
    }
    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        self.0.stat(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<bool> {
        self.0.create_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.remove_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }
}

impl DiskFile for FullFile {
    fn stat(&self) -> io::Result<FileStat> {
        self.0.stat()
    }
    fn len(&self) -> io::Result<ByteLength> {
        self.0.len()
    }
    fn read_at(&self, buffer: &mut [u8], offset: ByteOffset) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
    fn write_all_at(&self, _: &[u8], _: ByteOffset) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
    fn set_len(&self, _: ByteLength) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn try_lock_range(&self, range: Range<u64>, shared: bool) -> io::Result<bool> {
        self.0.try_lock_range(range, shared)
    }
    fn unlock_range(&self, range: Range<u64>) -> io::Result<()> {
        self.0.unlock_range(range)
    }
    fn is_locked_elsewhere(&self, range: Range<u64>) -> io::Result<bool> {
        self.0.is_locked_elsewhere(range)
    }
}

#[test]
fn a_home_is_read_on_a_full_disk_and_its_index_goes_on_once_there_is_room() {
    let home = many();
    let full = || {
        Store::open(StoreOptions {
            disk: Arc::new(FullDisk(RealDisk)),
            ..home.options()
        })
        .unwrap()
    };
    let check = |store: &Store, what: &str| {
        for query in queries() {
            if query.verification == Verification::Verified {
                assert_eq!(store.list(&query).unwrap(), home.scan(&query), "{what}");
            }
        }
        assert_eq!(store.read_thread(id(3)).unwrap().thread_id, id(3), "{what}");
    };
    let store = full();
    check(&store, "no index can be made");
    let refused = store.backfill(WAIT, &|_| ());
    assert!(
        matches!(refused, Err(Error::OutOfSpace { .. })),
        "{refused:?}"
    );
    home.filled().close().unwrap();
    let store = full();
    home.append("sessions/2026/03/01/0.jsonl", &said(9000, "much later"));
    check(&store, "an index can't be written");
    assert!(!home.file("index.redb.damaged").exists());
    let store = home.filled();
    check(&store, "there is room again");
    assert!(store.verify().unwrap().ok);
}

/// A home was verified before its index was filled, as it is while that is done in the background. Each
/// log that the index had not come to yet was told as a difference, and a repair made the index anew.
#[test]
fn an_index_that_is_not_filled_yet_is_filled_before_it_is_verified() {
    let home = TestHome::new();
    home.put("sessions/a.jsonl", thread(1, 10));
    let report = home.store().verify().unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!(report.index_rows, Some(1));
    home.put("sessions/b.jsonl", thread(2, 10));
    let repaired = home.store().repair(RepairOptions::default()).unwrap();
    assert!(repaired.ok && !repaired.index_rebuilt, "{repaired:?}");
}
