//! Pages by the index are the pages of the plain functions, whatever the log holds.

use std::collections::HashSet;
use std::sync::Arc;

use proptest::prelude::*;
use selvedge_codec::{Item, Ordinal, Record, ThreadId};

use super::counting_disk::CountingDisk;
use super::home::WAIT;
use crate::listing::Direction::{Ascending, Descending};
use crate::log::{NewThread, ThreadLog};
use crate::paging::{
    ItemDetail, ItemPage, ItemQuery, ModelContext, TurnEntry, TurnPage, TurnQuery, model_context,
    page_items, page_turns, turn_cursor_at,
};
use crate::sample_home::*;
use crate::store::{ForkSource, Store, StoreOptions};
use crate::thread::{ForkPoint, TurnStatus};

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

fn walk_items(
    (store, records, thread): (&Store, &[Record], ThreadId),
    query: &ItemQuery,
) -> (Vec<Record>, Cursor) {
    let ask = |cursor| ItemQuery {
        cursor,
        ..query.clone()
    };
    walk(
        |cursor| told_items(store.items_page(thread, &ask(cursor)).unwrap()),
        |cursor| told_items(page_items(thread, records, &ask(cursor)).unwrap()),
        query.cursor.clone(),
    )
}

fn walk_turns(
    (store, records, thread): (&Store, &[Record], ThreadId),
    query: &TurnQuery,
) -> (Vec<TurnEntry>, Cursor) {
    let ask = |cursor| TurnQuery {
        cursor,
        ..query.clone()
    };
    walk(
        |cursor| told_turns(store.turns_page(thread, &ask(cursor)).unwrap()),
        |cursor| told_turns(page_turns(thread, records, &ask(cursor)).unwrap()),
        query.cursor.clone(),
    )
}

/// Everything that can be asked of the thread, compared with the plain functions.
fn check_all(store: &Store, thread: ThreadId, limit: usize) {
    let records = store.history(thread).unwrap().records;
    let both = (store, &records[..], thread);
    for direction in [Ascending, Descending] {
        for turn_id in [None, Some("a"), Some("b"), Some("nobody's")] {
            let query = ItemQuery {
                turn_id: turn_id.map(str::to_owned),
                direction,
                limit,
                cursor: None,
            };
            match page_items(thread, &records, &query) {
                Ok(_) => drop(walk_items(both, &query)),
                Err(why) => {
                    let refused = store.items_page(thread, &query).unwrap_err();
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
            cursor: Some(turn_cursor_at(thread, Ordinal::new(7))),
            items: ItemDetail::None,
        };
        walk_turns(both, &query);
    }
    let context: ModelContext = store.model_context(thread).unwrap();
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
        check_all(&open(&place), id(1), limit);
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
        let (items, cursor) = walk_items((&store, &records, id(1)), &newest(Descending));
        let (turns, turn_cursor) = walk_turns((&store, &records, id(1)), &newest_turns(Descending));
        place.write(shape.name(), &shape.bytes(&history(&samples), before.len()));
        store.catch_up(&[(id(1), path)]).unwrap();
        let records = store.history(id(1)).unwrap().records;
        let query = ItemQuery { cursor, ..newest(Ascending) };
        let (new, _) = walk_items((&store, &records, id(1)), &query);
        let last = items.first().map(|item| item.ordinal);
        let (all, _) = walk_items((&store, &records, id(1)), &newest(Ascending));
        let expected: Vec<_> = all.into_iter().filter(|item| Some(item.ordinal) > last).collect();
        prop_assert_eq!(new, expected);
        let query = TurnQuery { cursor: turn_cursor, ..newest_turns(Ascending) };
        let (new, _) = walk_turns((&store, &records, id(1)), &query);
        let last = turns.first().map(|entry| entry.turn.first_ordinal);
        let (all, _) = walk_turns((&store, &records, id(1)), &newest_turns(Ascending));
        let expected: Vec<_> =
            all.into_iter().filter(|entry| Some(entry.turn.first_ordinal) > last).collect();
        prop_assert_eq!(new, expected);
        check_all(&store, id(1), limit);
    }
}

fn new_thread(number: u8) -> NewThread {
    let meta = meta(number, "");
    NewThread {
        thread_id: id(number),
        created_at: moment(0),
        meta: Item::json(meta.record_type, meta.payload).unwrap(),
    }
}

/// Appends each sample as a batch.
fn append(log: &mut ThreadLog, samples: &[Sample]) {
    let item = |sample: &Sample| Item::json(sample.record_type, sample.payload.clone()).unwrap();
    let batches = samples.iter().map(|sample| vec![item(sample)]);
    log.append(batches.collect()).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn pages_go_through_what_a_fork_inherits(
        shape in shape(),
        samples in prop::collection::vec(any_sample(), 4..40),
        cuts in (0u64..40, 0u64..50),
        own in prop::collection::vec(any_sample(), 1..12),
        limit in 1usize..7,
    ) {
        let shape = Shape { damage: None, bad_lines: HashSet::new(), ..shape };
        let place = SampleHome::new();
        place.write(shape.name(), &shape.bytes(&history(&samples), 0));
        let store = open(&place);
        let fork = |parent: u8, number: u8, cut: u64| {
            let source = ForkSource { thread_id: id(parent), upto: None, is_durable: false };
            let all = store.history(id(parent)).unwrap().records.len() as u64;
            let point = match cut < all {
                true => ForkPoint::Before(Ordinal::new(cut)),
                false => ForkPoint::Whole,
            };
            let mut log = store.fork(&source, &point, new_thread(number)).unwrap();
            append(&mut log, &own);
            store.catch_up(&[(id(number), log.path().clone())]).unwrap();
            check_all(&store, id(number), limit);
            log.close().unwrap();
        };
        fork(1, 2, cuts.0);
        fork(2, 3, cuts.1);
        check_all(&store, id(2), limit);
    }
}

#[test]
fn the_running_turn_is_on_the_pages_once_the_index_has_caught_up() {
    let place = SampleHome::new();
    let store = open(&place);
    let mut log = ThreadLog::create(store.log_context().clone(), new_thread(1));
    append(&mut log, &turn("a"));
    append(&mut log, &[started("b"), user("b")]);
    let catch_up = |log: &ThreadLog| store.catch_up(&[(id(1), log.path().clone())]).unwrap();
    catch_up(&log);
    let page = |query: &TurnQuery| store.turns_page(id(1), query).unwrap();
    let newest = TurnQuery {
        items: ItemDetail::Full,
        ..TurnQuery::default()
    };
    let running = &page(&newest).turns[0];
    assert_eq!(running.turn.turn_id.as_deref(), Some("b"));
    assert_eq!(running.turn.status, TurnStatus::InProgress);
    assert_eq!(running.items.len(), 2);
    append(&mut log, &[response("more")]);
    catch_up(&log);
    assert_eq!(page(&newest).turns[0].items.len(), 3);
    let cursor = page(&newest).backwards_cursor;
    append(&mut log, &[completed("b"), started("c")]);
    catch_up(&log);
    let new = page(&TurnQuery {
        direction: Ascending,
        cursor,
        ..newest.clone()
    });
    let told: Vec<_> = new.turns.iter().map(|entry| entry.turn.status).collect();
    assert_eq!(
        told,
        [TurnStatus::InProgress],
        "the turn that has begun since"
    );
    assert_eq!(page(&newest).turns[1].turn.status, TurnStatus::Completed);
    log.close().unwrap();
}

/// A thread of many turns, each of about as many bytes, with a compaction every so often.
fn long_thread(turns: usize, bytes: usize) -> Vec<Sample> {
    let text = "x".repeat(bytes);
    let one = |at: usize| {
        let context = record("turn_context", format!("{{\"turn_id\":\"{at}\"}}"));
        let history = r#"{"message":"m","replacement_history":[{}]}"#;
        let compacted = (at % 50 == 49).then(|| record("compacted", history));
        let mut turn = vec![started(&at.to_string()), context, user("go on")];
        turn.extend([response(&text), completed(&at.to_string())]);
        turn.extend(compacted);
        turn
    };
    std::iter::once(meta(1, ""))
        .chain((0..turns).flat_map(one))
        .collect()
}

/// What reading costs that knows nothing of the log's bytes: a header, a line's ends, and a first
/// piece that is larger than what is asked for.
const SLACK: u64 = 34 << 10;

/// How large a turn of the long thread is, but for its small records.
const TURN: usize = 8 << 10;

/// Reads pages of the long thread, each with a look at how much of its log that took.
fn check_reads(store: &Store, thread: ThreadId, disk: &CountingDisk) {
    let own = TURN as u64;
    let has_read = |what: &str, most: u64| {
        let read = disk.take();
        assert!(read <= most, "{what} has read {read} bytes, not {most}");
    };
    disk.take();
    for direction in [Ascending, Descending] {
        let mut query = TurnQuery {
            direction,
            limit: 5,
            ..TurnQuery::default()
        };
        for _ in 0..3 {
            query.cursor = store.turns_page(thread, &query).unwrap().next_cursor;
            has_read("a page of turns without items", 0);
        }
        query.items = ItemDetail::Full;
        query.cursor = store.turns_page(thread, &query).unwrap().next_cursor;
        has_read("a page of five turns", 5 * (own + 1024) + 1024);
        let mut query = ItemQuery {
            direction,
            limit: 10,
            ..ItemQuery::default()
        };
        for _ in 0..20 {
            query.cursor = store.items_page(thread, &query).unwrap().next_cursor;
            has_read("a page of two turns' items", 2 * own + SLACK);
        }
        let query = ItemQuery {
            turn_id: Some("300".into()),
            cursor: None,
            ..query
        };
        assert_eq!(store.items_page(thread, &query).unwrap().items.len(), 5);
        has_read("a turn's items", own + SLACK);
    }
    assert!(!store.model_context(thread).unwrap().is_whole);
    has_read("the model's context", own + SLACK);
}

#[test]
fn each_page_reads_only_its_own_bytes() {
    let samples = long_thread(600, TURN);
    let batches: Vec<_> = samples.iter().map(|sample| vec![sample.clone()]).collect();
    for (name, bytes) in [(NATIVE, native(1, &batches)), (LINES, lines(&samples))] {
        let place = SampleHome::new();
        place.write(name, &bytes);
        let disk = CountingDisk::default();
        let store = Store::open(StoreOptions {
            disk: Arc::new(disk.clone()),
            ..StoreOptions::new(place.home().root())
        })
        .unwrap();
        store.backfill(WAIT, &|_| ()).unwrap();
        assert!(
            disk.take() >= bytes.len() as u64,
            "the backfill reads it all"
        );
        check_reads(&store, id(1), &disk);
        let source = ForkSource {
            thread_id: id(1),
            upto: None,
            is_durable: false,
        };
        let fork = store.fork(&source, &ForkPoint::Whole, new_thread(2));
        let mut fork = fork.unwrap();
        append(&mut fork, &turn("own"));
        store.catch_up(&[(id(2), fork.path().clone())]).unwrap();
        check_reads(&store, id(2), &disk);
        fork.close().unwrap();
    }
}

/// A batch of many small records was read again for each of them: going backwards a frame at a
/// time, and forwards for each of the turns that it holds.
#[test]
fn a_batch_of_many_records_is_read_a_few_times_at_most() {
    const TURNS: usize = 300;
    let batches = [
        vec![meta(1, "")],
        vec![record("compacted", r#"{"message":"m"}"#)],
        long_thread(TURNS, TURN).split_off(1),
        turn("last"),
    ];
    let bytes = native(1, &batches);
    let place = SampleHome::new();
    place.write(NATIVE, &bytes);
    let disk = CountingDisk::default();
    let store = Store::open(StoreOptions {
        disk: Arc::new(disk.clone()),
        ..StoreOptions::new(place.home().root())
    })
    .unwrap();
    store.backfill(WAIT, &|_| ()).unwrap();
    let few = 5 * bytes.len() as u64;
    let has_read = |what: &str| {
        let read = disk.take();
        assert!(read <= few, "{what} has read {read} bytes, not {few}");
    };
    disk.take();
    for direction in [Ascending, Descending] {
        let query = ItemQuery {
            direction,
            limit: 50,
            ..ItemQuery::default()
        };
        assert_eq!(store.items_page(id(1), &query).unwrap().items.len(), 50);
        has_read("a page of items");
        for items in [ItemDetail::Summary, ItemDetail::Full] {
            let query = TurnQuery {
                direction,
                items,
                limit: 100,
                ..TurnQuery::default()
            };
            assert_eq!(store.turns_page(id(1), &query).unwrap().turns.len(), 100);
            has_read("a page of turns");
        }
    }
    let context = store.model_context(id(1)).unwrap();
    assert!(!context.is_whole);
    has_read("the model's context");
    let source = ForkSource {
        thread_id: id(1),
        upto: None,
        is_durable: false,
    };
    let point = ForkPoint::AfterTurn("200".into());
    let mut fork = store.fork(&source, &point, new_thread(2)).unwrap();
    has_read("a fork at a turn");
    fork.close().unwrap();
}
