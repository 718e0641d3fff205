//! What pages are made of.

use proptest::prelude::*;
use selvedge_codec::{EventClass, Ordinal, Record};

use super::*;
use crate::listing::Direction::{self, Ascending, Descending};
use crate::log::effective;
use crate::sample_home::*;
use crate::thread::{TurnStatus, TurnSummary};
use crate::{Error, InvalidRequest, Result};

fn items_of(records: &[Record], query: &ItemQuery) -> ItemPage {
    page_items(id(1), records, query).unwrap()
}

fn turns_page(records: &[Record], query: &TurnQuery) -> TurnPage {
    page_turns(id(1), records, query).unwrap()
}

fn ordinals(items: &[Record]) -> Vec<u64> {
    items.iter().map(|item| item.ordinal.get()).collect()
}

fn first_ordinals(page: &TurnPage) -> Vec<u64> {
    page.turns
        .iter()
        .map(|entry| entry.turn.first_ordinal.get())
        .collect()
}

fn why<T: std::fmt::Debug>(answer: Result<T>) -> InvalidRequest {
    match answer {
        Err(Error::InvalidRequest(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Three turns, the last one running, of which the second was rolled back before the third.
fn history() -> Vec<Record> {
    let samples = [
        vec![meta(1, "")],                                 // 0
        turn("a"),                                         // 1..4
        turn("b"),                                         // 4..7
        vec![response("between"), rolled_back(1)],         // 7, 8
        vec![started("c"), user("c"), response("answer")], // 9..12
    ];
    records(&samples.concat())
}

/// The context of a turn of this name.
fn context(turn: &str) -> Sample {
    record("turn_context", format!("{{\"turn_id\":\"{turn}\"}}"))
}

fn compacted() -> Sample {
    record("compacted", r#"{"message":"m","replacement_history":[{}]}"#)
}

#[test]
fn items_are_the_records_that_still_count() {
    let records = history();
    let page = items_of(&records, &ItemQuery::default());
    let query = ItemQuery {
        direction: Ascending,
        ..ItemQuery::default()
    };
    let ascending = items_of(&records, &query);
    assert_eq!(ordinals(&ascending.items), [0, 1, 2, 3, 9, 10, 11]);
    assert_eq!(ascending.next_cursor, None);
    let mut backwards = page.items;
    backwards.reverse();
    assert_eq!(backwards, ascending.items);
}

#[test]
fn the_items_of_a_turn_are_its_own() {
    let of_turn = |turn: &str| {
        let query = ItemQuery {
            turn_id: Some(turn.into()),
            direction: Ascending,
            ..ItemQuery::default()
        };
        page_items(id(1), &history(), &query)
    };
    assert_eq!(ordinals(&of_turn("a").unwrap().items), [1, 2, 3]);
    assert_eq!(ordinals(&of_turn("c").unwrap().items), [9, 10, 11]);
    for turn in ["b", "nobody's"] {
        let expected = InvalidRequest::NoSuchTurn {
            thread_id: id(1),
            turn_id: turn.into(),
        };
        assert_eq!(why(of_turn(turn)), expected);
    }
}

#[test]
fn turns_that_were_rolled_back_are_left_out_and_the_running_one_is_there() {
    let page = turns_page(&history(), &TurnQuery::default());
    let told: Vec<_> = page
        .turns
        .iter()
        .map(|entry| (entry.turn.turn_id.as_deref(), entry.turn.status))
        .collect();
    assert_eq!(
        told,
        [
            (Some("c"), TurnStatus::InProgress),
            (Some("a"), TurnStatus::Completed)
        ]
    );
    assert!(page.turns.iter().all(|entry| entry.items.is_empty()));
}

#[test]
fn a_turn_in_short_is_what_the_user_said_and_what_the_agent_said_last() {
    let said = |kind: &str, text: &str| event(kind, &format!("\"message\":\"{text}\""));
    let item = |kind: &str| {
        event(
            "item_completed",
            &format!("\"item\":{{\"type\":\"{kind}\"}}"),
        )
    };
    let model = || {
        record(
            "response_item",
            r#"{"type":"message","role":"assistant","content":[]}"#,
        )
    };
    let samples = [
        started("a"),                     // 0
        user("one"),                      // 1
        item("UserMessage"),              // 2: the same again
        said("agent_message", "thought"), // 3
        user("two"),                      // 4
        model(),                          // 5
        said("agent_message", "answer"),  // 6
        item("AgentMessage"),             // 7: the same again
        completed("a"),                   // 8
        started("b"),                     // 9
        item("UserMessage"),              // 10
        item("AgentMessage"),             // 11
        model(),                          // 12: the same again
        item("Reasoning"),                // 13
        completed("b"),                   // 14
        started("c"),                     // 15
        model(),                          // 16
        model(),                          // 17
    ];
    let query = TurnQuery {
        direction: Ascending,
        items: ItemDetail::Summary,
        ..TurnQuery::default()
    };
    let page = turns_page(&records(&samples), &query);
    let items: Vec<_> = page
        .turns
        .iter()
        .map(|entry| ordinals(&entry.items))
        .collect();
    assert_eq!(items, [vec![1, 4, 6], vec![10, 11], vec![17]]);
}

#[test]
fn the_cursor_of_a_turn_leads_to_it() {
    let records = history();
    let query = TurnQuery {
        cursor: Some(turn_cursor_at(id(1), Ordinal::new(1))),
        ..TurnQuery::default()
    };
    assert_eq!(first_ordinals(&turns_page(&records, &query)), [1]);
    let query = TurnQuery {
        direction: Ascending,
        ..query
    };
    assert_eq!(first_ordinals(&turns_page(&records, &query)), [9]);
}

#[test]
fn a_cursor_is_good_for_its_own_question_only() {
    let records = history();
    let page = |turn: Option<&str>, cursor: Option<String>| ItemQuery {
        turn_id: turn.map(str::to_owned),
        limit: 1,
        cursor,
        ..ItemQuery::default()
    };
    let cursor = |turn| items_of(&records, &page(turn, None)).next_cursor;
    let other = InvalidRequest::CursorOfAnotherQuery;
    for (made, used) in [(None, Some("a")), (Some("a"), None), (Some("a"), Some("c"))] {
        let query = page(used, cursor(made));
        assert_eq!(why(page_items(id(1), &records, &query)), other);
    }
    let query = page(None, cursor(None));
    let another = InvalidRequest::CursorOfAnotherThread;
    assert_eq!(why(page_items(id(2), &records, &query)), another);
    let turns = TurnQuery {
        cursor: cursor(None),
        ..TurnQuery::default()
    };
    assert_eq!(why(page_turns(id(1), &records, &turns)), other);
    let garbage = page(None, Some("garbage".into()));
    let bad = InvalidRequest::BadCursor;
    assert_eq!(why(page_items(id(1), &records, &garbage)), bad);
}

#[test]
fn a_page_has_fifty_entries_unless_the_query_says_and_never_too_many() {
    let samples: Vec<_> = (0..60).flat_map(|_| turn("a")).collect();
    let records = records(&samples);
    assert_eq!(items_of(&records, &ItemQuery::default()).items.len(), 50);
    assert_eq!(turns_page(&records, &TurnQuery::default()).turns.len(), 50);
    let query = |limit| ItemQuery {
        limit,
        ..ItemQuery::default()
    };
    assert_eq!(items_of(&records, &query(MAX_PAGE_ITEMS)).items.len(), 180);
    let refused = why(page_items(id(1), &records, &query(MAX_PAGE_ITEMS + 1)));
    let expected = InvalidRequest::PageSize {
        asked: MAX_PAGE_ITEMS + 1,
        limit: MAX_PAGE_ITEMS,
    };
    assert_eq!(refused, expected);
}

/// The ordinals of the model's context, and whether it is the whole history.
fn cut(samples: &[Sample]) -> (Vec<u64>, bool) {
    let context = model_context(&records(samples));
    (ordinals(&context.records), context.is_whole)
}

#[test]
fn the_models_context_begins_before_a_compaction_and_the_settings_of_a_completed_turn() {
    let compacted_later = [
        vec![started("a"), context("a"), completed("a")], // 0..3
        vec![started("b"), context("b"), completed("b")], // 3..6
        vec![started("c"), context("c"), compacted()],    // 6..9
    ];
    assert_eq!(
        cut(&compacted_later.concat()),
        (vec![4, 5, 6, 7, 8], false),
        "the context of a completed turn goes before the compaction"
    );
    let compacted_before = [
        vec![started("a"), context("a"), compacted(), completed("a")], // 0..4
        vec![started("b"), context("b"), completed("b")],              // 4..7
    ];
    assert_eq!(
        cut(&compacted_before.concat()),
        (vec![2, 3, 4, 5, 6], false)
    );
}

#[test]
fn without_a_safe_cut_the_models_context_is_the_whole_history() {
    let without_compaction = vec![started("a"), context("a"), completed("a")];
    assert_eq!(cut(&without_compaction), (vec![0, 1, 2], true));
    let without_context = vec![started("a"), compacted(), completed("a")];
    assert_eq!(cut(&without_context), (vec![0, 1, 2], true));
    let nothing_completed = vec![started("a"), context("a"), compacted()];
    assert_eq!(cut(&nothing_completed), (vec![0, 1, 2], true));
    let without_replacement = vec![
        started("a"),
        context("a"),
        record("compacted", r#"{"message":"m","replacement_history":null}"#),
        completed("a"),
    ];
    assert_eq!(cut(&without_replacement), (vec![0, 1, 2, 3], true));
}

#[test]
fn a_compaction_that_was_rolled_back_is_none() {
    let samples = [
        vec![started("a"), context("a"), compacted(), completed("a")], // 0..4
        vec![started("b"), context("b"), compacted(), completed("b")], // 4..8
        vec![rolled_back(1), started("c")],                            // 8, 9
    ];
    assert_eq!(cut(&samples.concat()), (vec![1, 2, 3, 9], false));
}

#[test]
fn the_token_usage_is_the_latest_that_was_told() {
    let count = |info: &str| event("token_count", &format!("\"info\":{info}"));
    let told = count(
        r#"{"total_token_usage":{"total_tokens": 7},"last_token_usage":{"total_tokens":3},"model_context_window":9}"#,
    );
    let samples = [
        vec![meta(1, ""), started("a")],
        vec![count(r#"{"total_token_usage":{"total_tokens":1}}"#)],
        vec![told, count("null"), completed("a"), started("b")],
        vec![count(r#"{"model_context_window":1}"#)],
    ];
    let report = token_usage(&records(&samples.concat())).unwrap();
    assert_eq!(report.total.as_deref(), Some(r#"{"total_tokens": 7}"#));
    assert_eq!(report.last.as_deref(), Some(r#"{"total_tokens":3}"#));
    assert_eq!(report.model_context_window, Some(9));
    assert_eq!(report.turn_id.as_deref(), Some("a"));
    assert_eq!(report.ordinal.get(), 3);
    assert_eq!(report.time, moment(4));
    assert_eq!(token_usage(&records(&[meta(1, "")])), None);
}

/// Turns around all pages there are, one way, and gives the ordinals in the order that they came,
/// with the first page's backwards cursor.
fn walk(
    limit: usize,
    cursor: Option<String>,
    page: impl Fn(usize, Option<String>) -> (Vec<u64>, Option<String>, Option<String>),
) -> (Vec<u64>, Option<String>) {
    let (mut all, mut next, backwards) = page(limit, cursor);
    while next.is_some() {
        let (found, after, back) = page(limit, next);
        assert!(!found.is_empty(), "a cursor that leads to nothing");
        assert!(back.is_some());
        all.extend(found);
        next = after;
    }
    (all, backwards)
}

type Walk = (Vec<u64>, Option<String>);

fn walk_items(records: &[Record], way: (Direction, usize), cursor: Option<String>) -> Walk {
    walk(way.1, cursor, |limit, cursor| {
        let direction = way.0;
        let query = ItemQuery {
            turn_id: None,
            direction,
            limit,
            cursor,
        };
        let page = items_of(records, &query);
        (
            ordinals(&page.items),
            page.next_cursor,
            page.backwards_cursor,
        )
    })
}

fn walk_turns(records: &[Record], way: (Direction, usize), cursor: Option<String>) -> Walk {
    walk(way.1, cursor, |limit, cursor| {
        let query = TurnQuery {
            direction: way.0,
            limit,
            cursor,
            items: ItemDetail::None,
        };
        let page = turns_page(records, &query);
        (
            first_ordinals(&page),
            page.next_cursor,
            page.backwards_cursor,
        )
    })
}

/// What a plain look at a history says, oldest first: its items and its turns.
fn plain(records: &[Record]) -> (Vec<u64>, Vec<u64>) {
    let items = effective(records)
        .iter()
        .map(|record| record.ordinal.get())
        .collect();
    let live = |turn: &TurnSummary| (!turn.rolled_back).then_some(turn.first_ordinal.get());
    (items, turns_of(records).iter().filter_map(live).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn pages_give_everything_once_in_order_both_ways(
        samples in prop::collection::vec(any_sample(), 0..40),
        limit in 1usize..6,
    ) {
        let records = records(&samples);
        let (items, turns) = plain(&records);
        for direction in [Ascending, Descending] {
            let order = |all: &[u64]| match direction {
                Ascending => all.to_vec(),
                Descending => all.iter().rev().copied().collect(),
            };
            let way = (direction, limit);
            prop_assert_eq!(walk_items(&records, way, None).0, order(&items));
            prop_assert_eq!(walk_turns(&records, way, None).0, order(&turns));
        }
    }

    #[test]
    fn a_backwards_cursor_gives_exactly_what_is_new(
        samples in prop::collection::vec(any_sample(), 1..40),
        seen in 0usize..40,
        limit in 1usize..6,
    ) {
        let records = records(&samples);
        let before = records.get(..seen).unwrap_or(&records);
        let ((items, turns), (items_now, turns_now)) = (plain(before), plain(&records));
        let is_new = |known: &[u64], all: Vec<u64>| {
            let newest = known.last().copied();
            all.into_iter().filter(|at| newest.is_none_or(|newest| *at > newest)).collect::<Vec<_>>()
        };
        let (_, cursor) = walk_items(before, (Descending, limit), None);
        prop_assert_eq!(cursor.is_none(), items.is_empty());
        let (found, _) = walk_items(&records, (Ascending, limit), cursor);
        prop_assert_eq!(found, is_new(&items, items_now));
        let (_, cursor) = walk_turns(before, (Descending, limit), None);
        prop_assert_eq!(cursor.is_none(), turns.is_empty());
        let (found, _) = walk_turns(&records, (Ascending, limit), cursor);
        prop_assert_eq!(found, is_new(&turns, turns_now));
    }

    #[test]
    fn full_items_of_turns_are_the_records_in_them_that_still_count(
        samples in prop::collection::vec(any_sample(), 1..40),
    ) {
        let records = records(&samples);
        let query = TurnQuery { items: ItemDetail::Full, ..TurnQuery::default() };
        for entry in turns_page(&records, &query).turns {
            let all = records.iter().filter(|record| entry.turn.holds(record.ordinal));
            let expected: Vec<_> =
                all.filter(|record| record.event != Some(EventClass::RolledBack)).cloned().collect();
            prop_assert_eq!(entry.items, expected);
        }
    }

    #[test]
    fn the_models_context_is_the_end_of_what_still_counts(
        samples in prop::collection::vec(any_sample(), 1..60),
    ) {
        let records = records(&samples);
        let context = model_context(&records);
        let kept = effective(&records);
        let cut = kept.len() - context.records.len();
        let found: Vec<_> = context.records.iter().collect();
        prop_assert_eq!(&kept[cut..], &found[..]);
        prop_assert!(!context.is_whole || cut == 0);
        let is_compaction = |record: &&Record| {
            String::from_utf8_lossy(&record.body).contains("\"replacement_history\":[")
        };
        let turns = turns_of(&records);
        let is_context = |record: &&Record| record.record_type.as_str() == "turn_context"
            && turns.iter().any(|turn| {
                turn.status == TurnStatus::Completed
                    && !turn.rolled_back
                    && turn.holds(record.ordinal)
            });
        let newest = |is: &dyn Fn(&&Record) -> bool| kept.iter().rposition(is);
        match (newest(&is_compaction), newest(&is_context)) {
            (Some(compaction), Some(settings)) => {
                prop_assert!(!context.is_whole);
                prop_assert_eq!(cut, compaction.min(settings));
            }
            _ => prop_assert!(context.is_whole),
        }
    }
}
