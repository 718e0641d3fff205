use std::fs;

use super::home::{TestHome, id, ids, meta, path, said, thread};
use crate::listing::{Coverage, ListQuery, SortKey};
use crate::store::Suspect;

const A: &str = "sessions/2026/03/04/a.jsonl";
const B: &str = "sessions/2026/03/05/b.jsonl";

fn two() -> TestHome {
    let home = TestHome::new();
    home.put(A, thread(1, 100));
    home.put(B, thread(2, 200));
    home
}

fn by_update() -> ListQuery {
    ListQuery {
        sort: SortKey::Updated,
        ..ListQuery::default()
    }
}

#[test]
fn a_home_is_indexed_and_listed_as_the_scan_lists_it() {
    let home = two();
    let store = home.store();
    assert!(matches!(
        store.coverage().unwrap(),
        Coverage::Partial { .. }
    ));
    let report = store.backfill(super::home::WAIT, &|_| ()).unwrap();
    assert_eq!(report.projected, 2);
    assert_eq!(report.coverage, Coverage::Complete { failed: 0 });
    let query = ListQuery::default();
    let page = store.list(&query).unwrap();
    assert_eq!(ids(&page), [id(2), id(1)]);
    assert_eq!(page, home.scan(&query));
    assert_eq!(store.read_thread(id(1)).unwrap(), page.threads[1]);
    assert_eq!(store.find(id(1)).unwrap().path, path(A));
    assert_eq!(store.history(id(1)).unwrap().records.len(), 2);
    assert_eq!(store.turns(id(1)).unwrap().len(), 1);
}

#[test]
fn a_second_opening_finds_the_index_complete_and_writes_nothing() {
    let home = two();
    for dir in ["sessions", "sessions/2026", "sessions/2026/03"] {
        home.age(dir);
    }
    home.age("sessions/2026/03/04");
    home.age("sessions/2026/03/05");
    drop(home.filled());
    let store = home.store();
    let suspects = store.list_page(&ListQuery::default()).unwrap().suspects;
    assert_eq!(suspects, []);
    let report = store.backfill(super::home::WAIT, &|_| ()).unwrap();
    assert_eq!(report.projected, 0);
    assert_eq!(report.coverage, Coverage::Complete { failed: 0 });
}

#[test]
fn a_log_that_is_added_grown_moved_or_removed_is_seen_by_the_next_listing() {
    let home = two();
    let store = home.filled();
    let check = |what: &str| {
        for query in [ListQuery::default(), by_update()] {
            assert_eq!(store.list(&query).unwrap(), home.scan(&query), "{what}");
        }
    };
    home.put("sessions/2026/03/05/c.jsonl", thread(3, 300));
    check("added");
    home.append(A, &said(500, "again"));
    check("grown");
    home.put("archived_sessions/b.jsonl", fs::read(home.file(B)).unwrap());
    fs::remove_file(home.file(B)).unwrap();
    check("moved");
    assert_eq!(
        store.find(id(2)).unwrap().path,
        path("archived_sessions/b.jsonl")
    );
    fs::remove_file(home.file(A)).unwrap();
    check("removed");
    assert!(store.read_thread(id(1)).is_err());
    home.put("sessions/2027/01/01/d.jsonl", thread(4, 400));
    check("in new folders");
    fs::remove_dir_all(home.file("sessions/2026")).unwrap();
    check("with its folder");
}

#[test]
fn a_path_that_leads_to_another_thread_is_not_believed() {
    let home = two();
    let store = home.filled();
    fs::rename(home.file(A), home.file("sessions/2026/03/05/moved.jsonl")).unwrap();
    home.put(A, thread(9, 900));
    assert_eq!(
        store.find(id(1)).unwrap().path,
        path("sessions/2026/03/05/moved.jsonl")
    );
    assert_eq!(store.find(id(9)).unwrap().path, path(A));
    let query = ListQuery::default();
    assert_eq!(store.list(&query).unwrap(), home.scan(&query));
}

#[test]
fn of_two_logs_of_a_thread_the_other_is_taken_when_the_preferred_one_goes() {
    let home = two();
    home.put("archived_sessions/a2.jsonl", thread(1, 150));
    let store = home.filled();
    let query = ListQuery::default();
    assert_eq!(store.list(&query).unwrap(), home.scan(&query));
    assert_eq!(store.find(id(1)).unwrap().path, path(A));
    fs::remove_file(home.file(A)).unwrap();
    assert_eq!(
        store.find(id(1)).unwrap().path,
        path("archived_sessions/a2.jsonl")
    );
    home.put(A, thread(1, 100));
    assert_eq!(store.list(&query).unwrap(), home.scan(&query));
    assert_eq!(store.find(id(1)).unwrap().path, path(A));
    assert!(store.verify().unwrap().ok);
}

#[test]
fn a_log_that_can_not_be_read_is_counted_and_tried_again_when_it_changes() {
    let home = two();
    home.put("sessions/2026/03/05/bad.rlog", b"no log at all");
    let store = home.filled();
    let query = ListQuery::default();
    assert_eq!(store.coverage().unwrap(), Coverage::Complete { failed: 1 });
    assert_eq!(store.list(&query).unwrap(), home.scan(&query));
    assert!(!store.verify().unwrap().ok);
    home.put("sessions/2026/03/05/c.jsonl", "");
    assert_eq!(store.list(&query).unwrap(), home.scan(&query));
    home.put("sessions/2026/03/05/c.jsonl", thread(3, 300));
    assert_eq!(store.list(&by_update()).unwrap(), home.scan(&by_update()));
    fs::remove_file(home.file("sessions/2026/03/05/bad.rlog")).unwrap();
    assert_eq!(store.list(&query).unwrap(), home.scan(&query));
    assert!(store.verify().unwrap().ok);
}

#[test]
fn names_beside_the_logs_are_taken_over_when_they_change() {
    let home = two();
    let store = home.filled();
    let query = ListQuery::default();
    let name =
        |number, name: &str| format!("{{\"id\":\"{}\",\"thread_name\":\"{name}\"}}\n", id(number));
    home.put("session_index.jsonl", name(1, "first"));
    let page = store.list(&query).unwrap();
    assert_eq!(page.threads[1].name.as_deref(), Some("first"));
    assert_eq!(page, home.scan(&query));
    home.put(
        "session_index.jsonl",
        name(1, "first") + &name(2, "second") + &name(1, ""),
    );
    let page = store.list(&query).unwrap();
    assert_eq!(page.threads[0].name.as_deref(), Some("second"));
    assert_eq!(page.threads[1].name, None);
    // A name that was there before its thread.
    home.append("session_index.jsonl", &name(3, "third"));
    store.list(&query).unwrap();
    home.put("sessions/c.jsonl", thread(3, 300));
    let page = store.list(&query).unwrap();
    assert_eq!(page.threads[0].name.as_deref(), Some("third"));
    let search = ListQuery {
        filter: crate::listing::ThreadFilter {
            search: Some("THIRD".into()),
            ..Default::default()
        },
        ..ListQuery::default()
    };
    assert_eq!(ids(&store.list(&search).unwrap()), [id(3)]);
    fs::remove_file(home.file("session_index.jsonl")).unwrap();
    assert_eq!(store.list(&query).unwrap(), home.scan(&query));
}

#[test]
fn an_index_only_listing_looks_at_no_file() {
    let home = two();
    let store = home.filled();
    fs::remove_dir_all(home.file("sessions")).unwrap();
    let query = ListQuery {
        verification: crate::listing::Verification::IndexOnly,
        ..ListQuery::default()
    };
    let outcome = store.list_page(&query).unwrap();
    assert_eq!(ids(&outcome.page), [id(2), id(1)]);
    assert_eq!(outcome.suspects, []);
    assert_eq!(ids(&store.list(&ListQuery::default()).unwrap()), []);
}

#[test]
fn what_is_wrong_with_a_page_is_told_before_it_is_repaired() {
    let home = two();
    let store = home.filled();
    home.append(A, &said(500, "again"));
    let outcome = store.list_page(&ListQuery::default()).unwrap();
    assert!(outcome.suspects.contains(&Suspect::Log(path(A))));
    store.reconcile(&outcome.suspects).unwrap();
    let again = store.list_page_again(&ListQuery::default()).unwrap();
    assert_eq!(again.suspects, []);
    assert_eq!(again.page, home.scan(&ListQuery::default()));
}

#[test]
fn a_thread_that_nobody_has_said_anything_in_is_listed_when_somebody_does() {
    let home = two();
    home.put("sessions/e.jsonl", meta(5, "/work", 50));
    let store = home.filled();
    let query = by_update();
    assert_eq!(ids(&store.list(&query).unwrap()), [id(2), id(1)]);
    home.append("sessions/e.jsonl", &said(600, "at last"));
    store
        .catch_up(&[(id(5), path("sessions/e.jsonl"))])
        .unwrap();
    assert_eq!(ids(&store.list(&query).unwrap()), [id(5), id(2), id(1)]);
}

#[test]
fn a_home_without_an_index_gives_the_same_answers() {
    let home = two();
    let indexed = home.filled();
    let plain = crate::store::Store::open(crate::store::StoreOptions {
        index: crate::store::IndexUse::None,
        ..home.options()
    })
    .unwrap();
    let query = ListQuery::default();
    assert_eq!(plain.list(&query).unwrap(), indexed.list(&query).unwrap());
    assert_eq!(
        plain.read_thread(id(1)).unwrap(),
        indexed.read_thread(id(1)).unwrap()
    );
    assert_eq!(plain.turns(id(1)).unwrap(), indexed.turns(id(1)).unwrap());
    assert_eq!(plain.find(id(2)).unwrap(), indexed.find(id(2)).unwrap());
    assert!(plain.read_thread(id(7)).is_err());
    assert!(plain.verify().unwrap().ok);
    let (mut stats, of_plain) = (indexed.stats().unwrap(), plain.stats().unwrap());
    assert_eq!((stats.threads, stats.turns, stats.records), (2, 2, 4));
    (stats.index_bytes, stats.last_backfill) = (None, None);
    assert_eq!(stats, of_plain);
}

#[test]
fn a_store_is_shared_between_threads() {
    fn is_shared<T: Send + Sync>(_: &T) {}
    let home = two();
    let store = home.filled();
    is_shared(&store);
    let query = by_update();
    let expected = home.scan(&query);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (store, query, expected) = (&store, &query, &expected);
            scope.spawn(move || {
                for _ in 0..20 {
                    assert_eq!(store.list(query).unwrap(), *expected);
                    store
                        .catch_up(&[(id(1), path(A)), (id(2), path(B))])
                        .unwrap();
                    assert_eq!(store.read_thread(id(1 + number % 2)).unwrap().item_count, 2);
                }
            });
        }
    });
}
