//! Pages by the index are the pages of the plain functions, whatever the log holds.

use std::collections::HashSet;

use proptest::prelude::*;
use selvedge_codec::{Ordinal, Record};

use super::home::WAIT;
use crate::listing::Direction::{Ascending, Descending};
use crate::paging::{
    ItemDetail, ItemPage, ItemQuery, ModelContext, TurnEntry, TurnPage, TurnQuery, model_context,
    page_items, page_turns, turn_cursor_at,
};
use crate::sample_home::*;
use crate::store::{Store, StoreOptions};

const NATIVE: &str = "sessions/log.rlog";
const LINES: &str = "sessions/log.jsonl";

fn open(place: &SampleHome) -> Store {
    let store = Store::open(StoreOptions::new(place.home().root())).unwrap();
    store.backfill(WAIT, &|_| ()).unwrap();
    store
}

/// How a log of samples lies on disk.
#[derive(Debug, Clone)]
struct Shape {
    is_native: bool,
    /// How many records a batch has, over and over.
    batches: Vec<usize>,
    /// Where a byte is turned over, in thousandths of the log.
    damage: Option<usize>,
    /// After how many records bad lines lie.
    bad_lines: HashSet<usize>,
    /// From which record on lines carry their ordinals.
    explicit_from: usize,
}

fn shape() -> impl Strategy<Value = Shape> {
    (
        any::<bool>(),
        prop::collection::vec(1usize..5, 1..4),
        prop::option::weighted(0.3, 100usize..1000),
        prop::collection::hash_set(0usize..40, 0..3),
        0usize..80,
    )
        .prop_map(
            |(is_native, batches, damage, bad_lines, explicit_from)| Shape {
                is_native,
                batches,
                damage,
                bad_lines,
                explicit_from,
            },
        )
}

impl Shape {
    const fn name(&self) -> &'static str {
        if self.is_native { NATIVE } else { LINES }
    }

    /// The log of these samples, of which so many were there before the others were appended.
    fn bytes(&self, samples: &[Sample], before: usize) -> Vec<u8> {
        let mut bytes = if self.is_native {
            let mut batches = Vec::new();
            let (old, new) = samples.split_at(before);
            for mut left in [old, new] {
                for size in self.batches.iter().cycle() {
                    let (batch, rest) = left.split_at((*size).min(left.len()));
                    if batch.is_empty() {
                        break;
                    }
                    batches.push(batch.to_vec());
                    left = rest;
                }
            }
            native(1, &batches)
        } else {
            let mut bytes = Vec::new();
            let mut ordinal = 0;
            for (at, sample) in samples.iter().enumerate() {
                let own = (at >= self.explicit_from).then_some(ordinal);
                bytes.extend(line(at as i64, sample, own).bytes());
                ordinal += 1;
                if self.bad_lines.contains(&at) {
                    bytes.extend(b"\xff no record\n\n");
                    ordinal += 1;
                }
            }
            bytes
        };
        // The meta says whose log this is, and stays.
        if let Some(damage) = self.damage.filter(|_| samples.len() > 3) {
            let at = bytes.len() * damage / 1000;
            if at > 700 && at < bytes.len() {
                bytes[at] ^= 0x5a;
            }
        }
        bytes
    }
}

fn history(samples: &[Sample]) -> Vec<Sample> {
    [&[meta(1, "")], samples].concat()
}

type Cursor = Option<String>;

/// A page: what is on it, its next cursor and its backwards cursor.
type Told<T> = (Vec<T>, Cursor, Cursor);

fn told_items(page: ItemPage) -> Told<Record> {
    (page.items, page.next_cursor, page.backwards_cursor)
}

fn told_turns(page: TurnPage) -> Told<TurnEntry> {
    (page.turns, page.next_cursor, page.backwards_cursor)
}

/// Turns around all pages of a store, and of the plain function, with their own cursors and with
/// each other's: those of the store carry hints. Returns all entries and the store's first
/// backwards cursor.
fn walk<T: PartialEq + std::fmt::Debug>(
    store: impl Fn(Cursor) -> Told<T>,
    plain: impl Fn(Cursor) -> Told<T>,
    from: Cursor,
) -> (Vec<T>, Cursor) {
    let (mut hinted, mut bare) = (from.clone(), from);
    let (mut all, mut first) = (Vec::new(), None);
    loop {
        let (expected, next_bare, back) = plain(bare.clone());
        let (found, next_hinted, hinted_back) = store(hinted.clone());
        assert_eq!(found, expected);
        assert_eq!(
            store(bare.clone()).0,
            expected,
            "with a cursor without a hint"
        );
        assert_eq!(plain(hinted.clone()).0, expected, "a hint changes nothing");
        assert_eq!(next_hinted.is_some(), next_bare.is_some());
        assert_eq!(hinted_back.is_some(), back.is_some());
        first.get_or_insert(hinted_back);
        all.extend(found);
        (hinted, bare) = (next_hinted, next_bare);
        if hinted.is_none() {
            return (all, first.flatten());
        }
    }
}

fn walk_items((store, records): (&Store, &[Record]), query: &ItemQuery) -> (Vec<Record>, Cursor) {
    let ask = |cursor| ItemQuery {
        cursor,
        ..query.clone()
    };
    walk(
        |cursor| told_items(store.items_page(id(1), &ask(cursor)).unwrap()),
        |cursor| told_items(page_items(id(1), records, &ask(cursor)).unwrap()),
        query.cursor.clone(),
    )
}

fn walk_turns(
    (store, records): (&Store, &[Record]),
    query: &TurnQuery,
) -> (Vec<TurnEntry>, Cursor) {
    let ask = |cursor| TurnQuery {
        cursor,
        ..query.clone()
    };
    walk(
        |cursor| told_turns(store.turns_page(id(1), &ask(cursor)).unwrap()),
        |cursor| told_turns(page_turns(id(1), records, &ask(cursor)).unwrap()),
        query.cursor.clone(),
    )
}

/// Everything that can be asked of the thread, compared with the plain functions.
fn check_all(store: &Store, limit: usize) {
    let records = store.history(id(1)).unwrap().records;
    let both = (store, &records[..]);
    for direction in [Ascending, Descending] {
        for turn_id in [None, Some("a"), Some("b"), Some("nobody's")] {
            let query = ItemQuery {
                turn_id: turn_id.map(str::to_owned),
                direction,
                limit,
                cursor: None,
            };
            match page_items(id(1), &records, &query) {
                Ok(_) => drop(walk_items(both, &query)),
                Err(why) => {
                    let refused = store.items_page(id(1), &query).unwrap_err();
                    assert_eq!(refused.to_string(), why.to_string());
                }
            }
        }
        for items in [ItemDetail::None, ItemDetail::Summary, ItemDetail::Full] {
            let query = TurnQuery {
                direction,
                limit,
                cursor: None,
                items,
            };
            walk_turns(both, &query);
        }
        let query = TurnQuery {
            direction,
            limit,
            cursor: Some(turn_cursor_at(id(1), Ordinal::new(7))),
            items: ItemDetail::None,
        };
        walk_turns(both, &query);
    }
    let context: ModelContext = store.model_context(id(1)).unwrap();
    assert_eq!(context, model_context(&records));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pages_by_the_index_are_those_of_the_plain_functions(
        shape in shape(),
        samples in prop::collection::vec(any_sample(), 0..50),
        limit in 1usize..7,
    ) {
        let place = SampleHome::new();
        place.write(shape.name(), &shape.bytes(&history(&samples), 0));
        check_all(&open(&place), limit);
    }

    #[test]
    fn a_backwards_cursor_gives_exactly_what_is_new_once_the_index_has_caught_up(
        shape in shape(),
        samples in prop::collection::vec(any_sample(), 1..50),
        seen in 0usize..50,
        limit in 1usize..7,
    ) {
        let shape = Shape { damage: None, ..shape };
        let place = SampleHome::new();
        let before = history(&samples[..seen.min(samples.len())]);
        let path = place.write(shape.name(), &shape.bytes(&before, 0));
        let store = open(&place);
        let records = store.history(id(1)).unwrap().records;
        let newest = |direction| ItemQuery { direction, limit, ..ItemQuery::default() };
        let newest_turns = |direction| TurnQuery { direction, limit, ..TurnQuery::default() };
        let (items, cursor) = walk_items((&store, &records), &newest(Descending));
        let (turns, turn_cursor) = walk_turns((&store, &records), &newest_turns(Descending));
        place.write(shape.name(), &shape.bytes(&history(&samples), before.len()));
        store.catch_up(&[(id(1), path)]).unwrap();
        let records = store.history(id(1)).unwrap().records;
        let query = ItemQuery { cursor, ..newest(Ascending) };
        let (new, _) = walk_items((&store, &records), &query);
        let last = items.first().map(|item| item.ordinal);
        let (all, _) = walk_items((&store, &records), &newest(Ascending));
        let expected: Vec<_> = all.into_iter().filter(|item| Some(item.ordinal) > last).collect();
        prop_assert_eq!(new, expected);
        let query = TurnQuery { cursor: turn_cursor, ..newest_turns(Ascending) };
        let (new, _) = walk_turns((&store, &records), &query);
        let last = turns.first().map(|entry| entry.turn.first_ordinal);
        let (all, _) = walk_turns((&store, &records), &newest_turns(Ascending));
        let expected: Vec<_> =
            all.into_iter().filter(|entry| Some(entry.turn.first_ordinal) > last).collect();
        prop_assert_eq!(new, expected);
        check_all(&store, limit);
    }
}
