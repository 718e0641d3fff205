//! What an index answers of a log that was harmed: after it was indexed, and before.

use std::fs;

use selvedge_codec::Record;

use super::super::damaged_forks::damage_of;
use super::super::home::WAIT;
use super::harms::{Harm, harms};
use super::subjects::{self, OLD, Subject, write_aged};
use super::{Found, check, is_exhaustive};
use crate::listing::Direction::{Ascending, Descending};
use crate::log::effective;
use crate::paging::ItemQuery;
use crate::store::{Store, StoreOptions};

fn open(subject: &Subject) -> Store {
    let store = Store::open(StoreOptions::new(subject.place.home().root())).unwrap();
    store.backfill(WAIT, &|_| ()).unwrap();
    store
}

/// The harms of a subject, a part of them.
fn some(subject: &Subject, (stride, step): (usize, usize)) -> impl Iterator<Item = Harm> {
    let step = if is_exhaustive() { 1 } else { step };
    harms(subject, stride).into_iter().step_by(step)
}

fn index_is_made_of_what_is_left(subject: &Subject, parts: (usize, usize)) {
    let index = subject.place.file("index.redb");
    for mut harm in some(subject, parts) {
        harm.what = format!("{}, indexed: {}", subject.kind, harm.what);
        subject.harm(&harm.bytes, OLD);
        let store = open(subject);
        check(&store, subject, &harm);
        store.close().unwrap();
        drop(store);
        fs::remove_file(&index).unwrap();
    }
}

/// All items of a thread, as its pages have them.
fn items(store: &Store, subject: &Subject, direction: crate::listing::Direction) -> Vec<Record> {
    let mut query = ItemQuery {
        direction,
        limit: 2,
        ..ItemQuery::default()
    };
    let mut items = Vec::new();
    loop {
        let page = store.items_page(subject.thread, &query).unwrap();
        items.extend(page.items);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    if direction == Descending {
        items.reverse();
    }
    items
}

/// The file is harmed behind the back of an index that goes on as it was.
fn index_was_made_before(subject: &Subject, parts: (usize, usize)) {
    let index = subject.place.file("index.redb");
    subject.harm(&subject.good, OLD);
    open(subject).close().unwrap();
    let known = fs::read(&index).unwrap();
    for mut harm in some(subject, parts) {
        harm.what = format!("{}, index from before: {}", subject.kind, harm.what);
        write_aged(&index, &known, OLD);
        subject.harm(&harm.bytes, OLD / 2);
        let store = open(subject);
        check(&store, subject, &harm);
        store.close().unwrap();
    }
}

/// The medium gives other bytes back, and nothing says so: the file looks as it did. What is left of
/// it is given by every reader, as rollbacks had it that the rows remember; the history and verify
/// tell of the damage.
fn medium_lies(subject: &Subject, parts: (usize, usize)) {
    let index = subject.place.file("index.redb");
    subject.harm(&subject.good, OLD);
    let mtime = fs::metadata(&subject.file).unwrap().modified().unwrap();
    open(subject).close().unwrap();
    let known = fs::read(&index).unwrap();
    let is_in_place = |harm: &Harm| harm.bytes.len() == subject.good.len();
    for harm in some(subject, parts).filter(is_in_place) {
        let what = format!("{}, silently: {}", subject.kind, harm.what);
        fs::write(&index, &known).unwrap();
        fs::write(&subject.file, &harm.bytes).unwrap();
        let file = fs::File::options().write(true).open(&subject.file).unwrap();
        file.set_modified(mtime).unwrap();
        let store = open(subject);
        let Ok(found) = Found::of(subject) else {
            assert!(store.history(subject.thread).is_err(), "{what}");
            continue;
        };
        let history = store.history(subject.thread).unwrap();
        assert_eq!(history.records, found.records(), "{what}");
        assert_eq!(history.damage, damage_of(&found.events), "{what}");
        for direction in [Ascending, Descending] {
            let items = items(&store, subject, direction);
            let left: Vec<_> = (effective(&subject.intact).into_iter())
                .filter(|record| history.records.contains(record))
                .cloned()
                .collect();
            assert_eq!(items, left, "{what}: {direction:?}");
        }
        let report = store.verify().unwrap();
        let is_damaged = !history.damage.is_empty() || history.torn_tail.is_some();
        assert_eq!(report.ok, !is_damaged, "{what}: {report:?}");
        store.close().unwrap();
    }
}

#[test]
fn what_a_medium_changed_silently_is_told_by_who_reads_it() {
    medium_lies(&subjects::native_log(), (997, 5));
    for which in 0..3 {
        medium_lies(&subjects::fork(which), (1999, 9));
    }
}

#[test]
fn an_index_that_is_made_of_harmed_logs_says_what_they_say() {
    index_is_made_of_what_is_left(&subjects::native_log(), (1999, 9));
    for which in 0..3 {
        index_is_made_of_what_is_left(&subjects::fork(which), (1999, 25));
    }
    for has_ordinals in [false, true] {
        index_is_made_of_what_is_left(&subjects::json_lines(has_ordinals), (1999, 25));
    }
    index_is_made_of_what_is_left(&subjects::compressed(), (1999, 25));
}

#[test]
fn an_index_from_before_a_log_was_harmed_takes_in_what_became_of_it() {
    index_was_made_before(&subjects::native_log(), (1999, 9));
    index_was_made_before(&subjects::fork(2), (1999, 25));
    for has_ordinals in [false, true] {
        index_was_made_before(&subjects::json_lines(has_ordinals), (1999, 25));
    }
    index_was_made_before(&subjects::compressed(), (1999, 25));
}
