//! Cursors whose hints became stale: the log was rewritten, replaced or moved between two pages.

use std::fs;

use proptest::prelude::*;

use super::home::WAIT;
use crate::listing::Direction::{Ascending, Descending};
use crate::paging::{ItemQuery, page_items};
use crate::sample_home::*;
use crate::store::{Store, StoreOptions};

const NAME: &str = "rollout-2026-02-20T09-15-00";

/// A line of the log. All are of one length, so that lines of one version of the log end where lines
/// of another one do.
#[derive(Debug, Clone, Copy)]
enum Line {
    Said(u8),
    Bad,
    Blank,
    Started,
}

fn log_line() -> impl Strategy<Value = Line> {
    prop_oneof![
        6 => (0..9u8).prop_map(Line::Said),
        1 => Just(Line::Bad),
        1 => Just(Line::Blank),
        1 => Just(Line::Started),
    ]
}

fn text(log_lines: &[Line]) -> Vec<u8> {
    let mut bytes = lines(&[meta(1, "")]);
    for log_line in log_lines {
        let (filler, sample) = match log_line {
            Line::Said(word) => (' ', Some(user(&format!("word {word}")))),
            Line::Started => (' ', Some(started("a"))),
            Line::Bad => ('x', None),
            Line::Blank => (' ', None),
        };
        let mut one = sample.map_or(String::new(), |sample| line(0, &sample, None));
        one.truncate(one.trim_end().len());
        one.extend(std::iter::repeat_n(filler, 150 - one.len()));
        bytes.extend(one.bytes());
        bytes.push(b'\n');
    }
    bytes
}

#[derive(Debug, Clone, Copy)]
enum Change {
    InPlace,
    Replace,
    Archive,
    Rebuild,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn a_cursor_goes_on_where_its_ordinal_says_whatever_became_of_the_log(
        before in prop::collection::vec(log_line(), 1..14),
        after in prop::collection::vec(log_line(), 0..24),
        keeps in 0usize..14,
        change in prop::sample::select(vec![
            Change::InPlace, Change::Replace, Change::Archive, Change::Rebuild,
        ]),
        ascending in any::<bool>(),
        limit in 1usize..5,
    ) {
        let place = SampleHome::new();
        let file = format!("sessions/2026/02/20/{NAME}-{}.jsonl", id(1));
        place.write(&file, &text(&before));
        let store = Store::open(StoreOptions::new(place.home().root())).unwrap();
        store.backfill(WAIT, &|_| ()).unwrap();
        let direction = if ascending { Ascending } else { Descending };
        let mut query = ItemQuery { direction, limit, ..ItemQuery::default() };
        let page = store.items_page(id(1), &query).unwrap();
        let cursors = [page.next_cursor, page.backwards_cursor];
        let mut after = [&before[..keeps.min(before.len())], &after].concat();
        if !matches!(change, Change::Replace) {
            // A file that has grown was appended to by its owner.
            after.truncate(before.len());
        }
        match change {
            Change::InPlace => drop(place.write(&file, &text(&after))),
            Change::Replace => {
                place.write("new", &text(&after));
                fs::rename(place.file("new"), place.file(&file)).unwrap();
            }
            Change::Archive => {
                store.archive(id(1)).unwrap();
                place.write(&format!("archived_sessions/{NAME}-{}.jsonl", id(1)), &text(&after));
            }
            Change::Rebuild => {
                place.write(&file, &text(&after));
                store.rebuild(WAIT, &|_| ()).unwrap();
            }
        }
        let records = store.history(id(1)).unwrap().records;
        for cursor in cursors {
            for direction in [Ascending, Descending] {
                query.cursor = cursor.clone();
                query.direction = direction;
                let expected = page_items(id(1), &records, &query).unwrap();
                let found = store.items_page(id(1), &query).unwrap();
                prop_assert_eq!(found.items, expected.items, "{:?}", direction);
            }
        }
    }
}

/// A line of a log broke between two pages, and the file was as long as before. The cursor's hint still
/// led to the end of a line, whose ordinal nothing in the file tells: the next page gave records
/// under other ordinals than they have, and left out the first one.
#[test]
fn a_cursor_s_hint_is_not_believed_once_the_log_was_read_anew() {
    let place = SampleHome::new();
    let file = format!("sessions/2026/02/20/{NAME}-{}.jsonl", id(1));
    let mut log = vec![Line::Said(0); 6];
    place.write(&file, &text(&log));
    let store = Store::open(StoreOptions::new(place.home().root())).unwrap();
    store.backfill(WAIT, &|_| ()).unwrap();
    let mut query = ItemQuery {
        direction: Descending,
        limit: 3,
        ..ItemQuery::default()
    };
    query.cursor = store.items_page(id(1), &query).unwrap().next_cursor;
    log[1] = Line::Bad;
    place.write(&file, &text(&log));
    let found = store.items_page(id(1), &query).unwrap().items;
    let records = store.history(id(1)).unwrap().records;
    let expected: Vec<_> = records[1..4].iter().rev().cloned().collect();
    assert_eq!(found, expected);
}
