//! Forks whose inherited segments have vanished or are damaged: every reader gives what is left,
//! the fork's own records among it, and what is missing is told with its ordinals.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use proptest::prelude::*;
use selvedge_codec::{Item, Ordinal, Record, ThreadId};

use super::home::WAIT;
use crate::disk::RealDisk;
use crate::home::{Home, LogFormat};
use crate::listing::Direction::{Ascending, Descending};
use crate::log::{Damage, LogEvent, NewThread, ThreadLog, read_log, read_log_backwards};
use crate::paging::{ItemDetail, ItemQuery, TurnQuery, model_context, page_items, page_turns};
use crate::projection::turns_of;
use crate::sample_home::*;
use crate::search::{OccurrenceQuery, SearchQuery, occurrences_in};
use crate::store::{ForkSource, Store, StoreOptions};
use crate::thread::ForkPoint;

#[derive(Debug, Clone, Copy)]
enum Harm {
    Remove,
    CutTo(u16),
    Flip(u16),
    Empty,
    Folder,
    Link,
    Swap,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        2 => Just(Harm::Remove),
        2 => any::<u16>().prop_map(Harm::CutTo),
        4 => any::<u16>().prop_map(Harm::Flip),
        1 => Just(Harm::Empty),
        1 => Just(Harm::Folder),
        1 => Just(Harm::Link),
        1 => Just(Harm::Swap),
    ]
}

impl Harm {
    /// Harms one of the files; the others of the same inode stay as they are.
    fn carry_out(self, files: &[PathBuf], at: usize) {
        let file = &files[at % files.len()];
        let Ok(mut bytes) = fs::read(file) else {
            return;
        };
        fs::remove_file(file).unwrap();
        let part = |at: u16| bytes.len() * usize::from(at) / (usize::from(u16::MAX) + 1);
        match self {
            Self::Remove => {}
            Self::CutTo(at) => fs::write(file, &bytes[..part(at)]).unwrap(),
            Self::Flip(at) => {
                let at = part(at);
                bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 0x41);
                fs::write(file, &bytes).unwrap();
            }
            Self::Empty => fs::write(file, b"").unwrap(),
            Self::Folder => fs::create_dir(file).unwrap(),
            Self::Link => symlink("/etc/passwd", file).unwrap(),
            Self::Swap => drop(fs::copy(&files[0], file)),
        }
    }
}

fn new(number: u8) -> NewThread {
    NewThread {
        thread_id: id(number),
        created_at: moment(0),
        meta: Item::json("session_meta", meta(number, "").payload).unwrap(),
    }
}

pub(super) fn open(place: &SampleHome) -> Store {
    let store = Store::open(StoreOptions::new(place.home().root())).unwrap();
    store.backfill(WAIT, &|_| ()).unwrap();
    store
}

fn append(log: &mut ThreadLog, batches: &[Vec<Sample>]) {
    let item = |sample: &Sample| Item::json(sample.record_type, sample.payload.clone()).unwrap();
    let batches = batches.iter().map(|batch| batch.iter().map(item).collect());
    log.append(batches.collect()).unwrap();
}

/// A chain of forks, each of the one before up to a record of it. Returns the last one's number.
pub(super) fn chain(store: &Store, links: &[(Vec<Vec<Sample>>, usize)]) -> u8 {
    let mut number = 1;
    let mut log = ThreadLog::create(store.log_context().clone(), new(number));
    for (batches, cut) in links {
        append(&mut log, batches);
        let next = log.next_ordinal().get();
        log.close().unwrap();
        let source = ForkSource {
            thread_id: id(number),
            upto: None,
            is_durable: false,
        };
        let at = next - (*cut as u64) % next.min(4);
        number += 1;
        let point = ForkPoint::Before(Ordinal::new(at));
        log = store.fork(&source, &point, new(number)).unwrap();
    }
    append(&mut log, &[turn("own"), vec![user("at last")]]);
    log.close().unwrap();
    number
}

/// What is read, and what is told as missing, are all ordinals, each once.
fn check_coverage(events: &[LogEvent], intact: &[Record]) {
    let mut next = 0;
    for event in events {
        match event {
            LogEvent::Record(record) => {
                assert_eq!(record.ordinal.get(), next, "{events:?}");
                let as_it_was = &intact[usize::try_from(next).unwrap()];
                assert_eq!(
                    record.payload_json().unwrap().get(),
                    as_it_was.payload_json().unwrap().get()
                );
                next += 1;
            }
            LogEvent::Damage(damage) => {
                assert_eq!(damage.first_ordinal.get(), next, "{events:?}");
                assert!(damage.next_ordinal >= damage.first_ordinal);
                next = damage.next_ordinal.get();
            }
        }
    }
    assert_eq!(next, intact.len() as u64, "{events:?}");
}

pub(super) fn damage_of(events: &[LogEvent]) -> Vec<Damage> {
    let damage = events.iter().filter_map(|event| match event {
        LogEvent::Damage(damage) => Some(damage.clone()),
        LogEvent::Record(_) => None,
    });
    damage.collect()
}

pub(super) fn check_pages(store: &Store, thread: ThreadId, records: &[Record]) {
    for direction in [Ascending, Descending] {
        let mut query = ItemQuery {
            direction,
            limit: 3,
            ..ItemQuery::default()
        };
        loop {
            let expected = page_items(thread, records, &query).unwrap();
            let found = store.items_page(thread, &query).unwrap();
            assert_eq!(found.items, expected.items, "{direction:?}");
            query.cursor = found.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        for items in [ItemDetail::None, ItemDetail::Full] {
            let mut query = TurnQuery {
                direction,
                limit: 2,
                items,
                ..TurnQuery::default()
            };
            loop {
                let expected = page_turns(thread, records, &query).unwrap();
                let found = store.turns_page(thread, &query).unwrap();
                assert_eq!(found.turns, expected.turns, "{direction:?}");
                query.cursor = found.next_cursor;
                if query.cursor.is_none() {
                    break;
                }
            }
        }
    }
}

/// Whatever the index knows of what was before: the newest items are the fork's own.
fn check_tail(store: &Store, thread: ThreadId, records: &[Record]) {
    let newest = ItemQuery {
        limit: 4,
        ..ItemQuery::default()
    };
    let newest = ItemQuery {
        direction: Descending,
        ..newest
    };
    let found = store.items_page(thread, &newest).unwrap().items;
    assert!(found.iter().eq(records.iter().rev().take(found.len())));
    assert_eq!(found.len(), 4);
    let mut query = ItemQuery {
        direction: Ascending,
        limit: 3,
        ..ItemQuery::default()
    };
    let mut last = None;
    loop {
        let page = store.items_page(thread, &query).unwrap();
        last = page.items.last().cloned().or(last);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(last.as_ref(), records.last());
    for items in [ItemDetail::None, ItemDetail::Full] {
        let query = TurnQuery {
            items,
            ..TurnQuery::default()
        };
        let page = store.turns_page(thread, &query).unwrap();
        assert!(
            page.turns
                .iter()
                .any(|entry| entry.turn.turn_id.as_deref() == Some("own"))
        );
    }
    store.model_context(thread).unwrap();
}

/// `knows_damage`: the index was made of the logs as they are now.
fn check(store: &Store, (number, knows_damage): (u8, bool), intact: &[Record]) {
    let thread = id(number);
    let path = store.find(thread).unwrap().path;
    let file = store.log_context().home.log_file(&path);
    let events: Vec<_> = read_log(&RealDisk, &file, LogFormat::Native, None)
        .unwrap()
        .collect();
    check_coverage(&events, intact);
    let back = read_log_backwards(&RealDisk, &file, LogFormat::Native, None).unwrap();
    let mut back: Vec<_> = back.map(Result::unwrap).collect();
    back.reverse();
    assert_eq!(back, events);
    let history = store.history(thread).unwrap();
    let damage = damage_of(&events);
    assert_eq!(history.damage, damage);
    let report = store.verify().unwrap();
    let told = report.damaged.iter().find(|log| log.thread_id == thread);
    assert_eq!(told.map_or(0, |log| log.damage.len()), damage.len());
    let records = &history.records;
    if knows_damage {
        check_pages(store, thread, records);
        assert_eq!(store.model_context(thread).unwrap(), model_context(records));
        assert_eq!(store.turns(thread).unwrap(), turns_of(records));
    } else {
        check_tail(store, thread, records);
    }
    let query = OccurrenceQuery {
        term: "word".to_owned(),
        ..OccurrenceQuery::default()
    };
    assert_eq!(
        store.occurrences(thread, &query).unwrap(),
        occurrences_in(thread, records, &query).unwrap()
    );
    let query = SearchQuery {
        term: "AT LAST".to_owned(),
        ..SearchQuery::default()
    };
    let found = store.search(&query).unwrap();
    assert!(found.hits.iter().any(|hit| hit.thread.thread_id == thread));
}

pub(super) fn inherited_files(place: &SampleHome, number: u8) -> Vec<PathBuf> {
    let folder = place.file(&Home::inherited_dir(id(number)));
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 300, ..ProptestConfig::default() })]
    #[test]
    fn what_is_left_of_a_fork_is_read_and_what_is_missing_is_told(
        links in prop::collection::vec(
            (prop::collection::vec(prop::collection::vec(any_sample(), 1..4), 1..5), any::<usize>()),
            1..4,
        ),
        harms in prop::collection::vec((any::<usize>(), harm()), 1..3),
        is_indexed_before in any::<bool>(),
        forks_again in any::<bool>(),
    ) {
        let place = SampleHome::new();
        let mut number = {
            let store = open(&place);
            let number = chain(&store, &links);
            store.close().unwrap();
            number
        };
        let intact = open(&place).history(id(number)).unwrap().records;
        let files = inherited_files(&place, number);
        for (at, harm) in &harms {
            harm.carry_out(&files, *at);
        }
        if !is_indexed_before {
            fs::remove_file(place.file("index.redb")).unwrap();
        }
        let store = open(&place);
        check(&store, (number, !is_indexed_before), &intact);
        if forks_again {
            let source = ForkSource { thread_id: id(number), upto: None, is_durable: false };
            number += 1;
            let mut log = store.fork(&source, &ForkPoint::Whole, new(number)).unwrap();
            append(&mut log, &[vec![user("at last")]]);
            log.close().unwrap();
            let mut intact = intact;
            let own = store.history(id(number)).unwrap().records;
            intact.extend(own.into_iter().filter(|record| record.ordinal.get() >= intact.len() as u64).collect::<Vec<_>>());
            check(&store, (number, !is_indexed_before), &intact);
        }
    }
}

/// A restored backup had put a fork's first segment in the place of its second one. That file ends
/// before the end that its name tells, or goes on beyond what was inherited of it, so that its last
/// record could not be told to be another one: what the first thread had said after the fork was
/// read as the fork's history.
#[test]
fn a_segment_in_another_one_s_place_is_not_read_as_that_one() {
    let place = SampleHome::new();
    let store = open(&place);
    let links = [
        (vec![turn("a"), turn("b"), turn("c")], 3),
        (vec![turn("d")], 0),
    ];
    let number = chain(&store, &links);
    let intact = store.history(id(number)).unwrap().records;
    let files = inherited_files(&place, number);
    fs::remove_file(&files[1]).unwrap();
    fs::copy(&files[0], &files[1]).unwrap();
    check(&store, (number, false), &intact);
    let damage = store.history(id(number)).unwrap().damage;
    let told: Vec<_> = (damage.iter())
        .map(|damage| (damage.first_ordinal.get(), damage.next_ordinal.get()))
        .collect();
    assert_eq!(told, [(7, 11)]);
}
