//! What a look at the home may miss, and must not.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use super::home::{TestHome, WAIT, id, ids, line, meta, path, said, thread};
use super::hooked_disk::HookedDisk;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::listing::{ListQuery, SortKey, Verification};
use crate::store::{Store, StoreOptions, Suspect};

const A: &str = "sessions/a.jsonl";
const B: &str = "sessions/b.jsonl";

fn by_update() -> ListQuery {
    ListQuery {
        sort: SortKey::Updated,
        ..ListQuery::default()
    }
}

/// A folder counted as listed long enough after its modification when that long had passed until
/// the listing was taken in. A log that was added in the tick of the listing was never found.
#[test]
fn a_folder_that_takes_long_to_list_is_not_proven_by_that() {
    let home = TestHome::new();
    home.put(A, thread(1, 100));
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let slow = Arc::clone(&clock);
    let disk = HookedDisk(move |_: &Path| slow.advance_micros(10_000_000));
    let store = Store::open(StoreOptions {
        disk: Arc::new(disk),
        clock,
        ..home.options()
    })
    .unwrap();
    let folder = Suspect::Folder("sessions".into());
    let is_suspect = |store: &Store| {
        let suspects = store.list_page(&ListQuery::default()).unwrap().suspects;
        suspects.contains(&folder)
    };
    // The clock stands where it would have stood without the slow listing.
    store.backfill(WAIT, &|_| ()).unwrap();
    assert!(is_suspect(&store));
}

/// A log could not be read when it was looked at: another tool had written half of its first line.
/// What that tool wrote afterwards was found by listings in the order of updates, and by no others:
/// the thread was missing from the usual one, which said that it covered all, also after a restart.
#[test]
fn a_log_that_could_not_be_read_is_listed_once_it_can_be() {
    let home = TestHome::new();
    let (begun, whole) = (thread(1, 100), thread(1, 100));
    home.put(A, &begun[..20]);
    home.age("sessions");
    let store = home.filled();
    let query = ListQuery::default();
    assert_eq!(ids(&store.list(&query).unwrap()), []);
    home.append(A, &whole[20..]);
    home.age("sessions");
    assert_eq!(ids(&store.list(&query).unwrap()), [id(1)]);

    let home = TestHome::new();
    home.put(B, "no record\n");
    home.age("sessions");
    home.filled().close().unwrap();
    home.append(B, &thread(2, 200));
    home.age("sessions");
    let store = home.filled();
    let listed = store.list(&ListQuery {
        verification: Verification::IndexOnly,
        ..query
    });
    assert_eq!(ids(&listed.unwrap()), [id(2)]);
}

/// A backfill had listed a folder when another process made a log in it and indexed it. The
/// backfill took the row for that of a log that was gone, and dropped it.
#[test]
fn a_log_that_is_made_and_indexed_during_a_backfill_keeps_its_row() {
    let home = Arc::new(TestHome::new());
    home.put(A, thread(1, 100));
    let other = home.filled();
    super::set_state(&other, |state| state.is_complete = false);
    let (made, maker) = (AtomicBool::new(false), Arc::clone(&home));
    let disk = HookedDisk(move |dir: &Path| {
        if dir.ends_with("sessions") && !made.swap(true, Ordering::SeqCst) {
            maker.put(B, thread(2, 200));
            other.catch_up(&[(id(2), path(B))]).unwrap();
        }
    });
    let store = Store::open(StoreOptions {
        disk: Arc::new(disk),
        ..home.options()
    })
    .unwrap();
    store.backfill(WAIT, &|_| ()).unwrap();
    let query = ListQuery {
        verification: Verification::IndexOnly,
        ..ListQuery::default()
    };
    assert_eq!(ids(&store.list(&query).unwrap()), [id(2), id(1)]);
}

/// One listing had swept the logs and not yet taken in what it found. The next one came within the
/// second in which no other sweep is made, and answered without it.
#[test]
fn what_a_sweep_found_is_suspect_until_it_is_taken_in() {
    let home = TestHome::new();
    home.put(A, thread(1, 100));
    home.put(B, thread(2, 200));
    home.put("sessions/c.jsonl", thread(3, 300));
    let store = home.filled();
    home.append(A, &said(500, "again"));
    let query = ListQuery {
        limit: 1,
        ..by_update()
    };
    let found = |store: &Store| {
        let suspects = store.list_page(&query).unwrap().suspects;
        suspects.contains(&Suspect::Log(path(A)))
    };
    assert!(found(&store));
    assert!(found(&store), "nothing was taken in yet");
    assert_eq!(store.list(&query).unwrap(), home.scan(&query));
    assert!(!found(&store));
}

fn set_modified(home: &TestHome, path: &str, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let file = fs::File::options().write(true).open(home.file(path));
    file.unwrap().set_modified(time).unwrap();
}

/// An editor that writes a log again in place, byte for byte as long as before, appends nothing:
/// what was projected before the end of the file was believed still.
#[test]
fn a_log_that_is_edited_in_place_is_read_again() {
    let home = TestHome::new();
    home.put(A, thread(1, 100));
    set_modified(&home, A, 1_700_000_000);
    let store = home.filled();
    home.put(A, thread(1, 100).replace("hello", "HELLO"));
    set_modified(&home, A, 1_700_000_001);
    let page = store.list(&ListQuery::default()).unwrap();
    assert_eq!(page.threads[0].preview, "HELLO 1");
    assert_eq!(page, home.scan(&ListQuery::default()));
}

/// A thread was renamed beside its log, which did not change. A listing saw the new name, and
/// reading the thread alone did not.
#[test]
fn a_name_that_changed_beside_the_logs_is_seen_by_who_reads_the_thread_alone() {
    let home = TestHome::new();
    home.put(A, thread(1, 100));
    let named = |name: &str| format!("{{\"id\":\"{}\",\"thread_name\":\"{name}\"}}\n", id(1));
    home.put("session_index.jsonl", named("first"));
    let store = home.filled();
    let name = || store.read_thread(id(1)).unwrap().name;
    assert_eq!(name().as_deref(), Some("first"));
    home.append("session_index.jsonl", &named("second"));
    assert_eq!(name().as_deref(), Some("second"));
}

/// A turn had failed with more words than a row of the index may have. That row could not be
/// written, which was taken for a damaged index: it was set aside and made again without end.
#[test]
fn a_log_with_huge_words_costs_the_index_nothing() {
    let home = TestHome::new();
    home.put(A, thread(1, 100));
    let huge = "w".repeat(17 << 20);
    let failed = line(
        203,
        "event_msg",
        &format!("{{\"type\":\"turn_failed\",\"turn_id\":\"{huge}\",\"error\":\"{huge}\"}}"),
    );
    let patched = line(
        204,
        "event_msg",
        &format!("{{\"type\":\"thread_name_updated\",\"thread_name\":\"{huge}\"}}"),
    );
    let context = line(
        205,
        "turn_context",
        &format!("{{\"model\":\"{huge}\",\"approval_policy\":\"{huge}\"}}"),
    );
    let log = meta(2, &huge, 200) + &said(201, "hi") + &failed + &patched + &context;
    home.put(B, log);
    let store = home.filled();
    assert_eq!(
        store.list(&ListQuery::default()).unwrap(),
        home.scan(&ListQuery::default())
    );
    assert_eq!(store.turns(id(2)).unwrap().len(), 1);
    assert!(!home.file("index.redb.damaged").exists());
    assert!(store.verify().unwrap().ok);
}
