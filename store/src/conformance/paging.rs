//! Pages of turns and items.

use selvedge_codec::{Ordinal, ThreadId};
use selvedge_engine::listing::Direction;
use selvedge_engine::paging::{ItemDetail, ItemQuery, MAX_PAGE_ITEMS, TurnEntry, TurnQuery};
use selvedge_engine::thread::TurnStatus;

use super::support::*;

const BOTH: [Direction; 2] = [Direction::Ascending, Direction::Descending];

fn turns(direction: Direction, limit: usize) -> TurnQuery {
    TurnQuery {
        direction,
        limit,
        ..TurnQuery::default()
    }
}

fn items(direction: Direction, limit: usize) -> ItemQuery {
    ItemQuery {
        direction,
        limit,
        ..ItemQuery::default()
    }
}

/// The ids of all turns, page by page.
pub(super) async fn turn_ids(on: &Subject<'_>, id: ThreadId, mut query: TurnQuery) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let page = on.store.list_turns(id, query.clone()).await.unwrap();
        assert!(page.turns.len() <= query.limit.max(1) || query.limit == 0);
        assert!(page.turns.iter().all(|entry| !entry.turn.rolled_back));
        ids.extend(
            page.turns
                .into_iter()
                .map(|entry| entry.turn.turn_id.unwrap()),
        );
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return ids;
        }
    }
}

/// The ordinals of all items, page by page.
pub(super) async fn item_ordinals(
    on: &Subject<'_>,
    id: ThreadId,
    mut query: ItemQuery,
) -> Vec<u64> {
    let mut found = Vec::new();
    loop {
        let page = on.store.list_items(id, query.clone()).await.unwrap();
        assert!(page.items.len() <= query.limit || query.limit == 0);
        found.extend(ordinals(&page.items));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return found;
        }
    }
}

fn reversed_if<T>(direction: Direction, mut values: Vec<T>) -> Vec<T> {
    if direction == Direction::Descending {
        values.reverse();
    }
    values
}

pub(super) async fn turns_are_paged_both_ways_without_a_gap_or_a_repeat(on: Subject<'_>) {
    let id = on.thread_of(13).await;
    let all: Vec<String> = (1..=13).map(|number| format!("turn-{number}")).collect();
    for direction in BOTH {
        for limit in [1, 2, 5, 12, 13, 14, 0] {
            let found = turn_ids(&on, id, turns(direction, limit)).await;
            assert_eq!(
                found,
                reversed_if(direction, all.clone()),
                "{limit} {direction:?}"
            );
        }
    }
}

pub(super) async fn items_are_paged_both_ways_without_a_gap_or_a_repeat(on: Subject<'_>) {
    let id = on.thread_of(4).await;
    let all = ordinals(&on.history(id).await.records);
    for direction in BOTH {
        for limit in [1, 3, 8, 16, 17, 18, 0] {
            let found = item_ordinals(&on, id, items(direction, limit)).await;
            assert_eq!(
                found,
                reversed_if(direction, all.clone()),
                "{limit} {direction:?}"
            );
        }
        let of_turn = ItemQuery {
            turn_id: Some("turn-3".into()),
            ..items(direction, 3)
        };
        let found = item_ordinals(&on, id, of_turn).await;
        assert_eq!(found, reversed_if(direction, vec![9, 10, 11, 12]));
    }
}

pub(super) async fn a_page_leads_back_to_the_page_before(on: Subject<'_>) {
    let id = on.thread_of(9).await;
    let first = on
        .store
        .list_turns(id, turns(Direction::Descending, 3))
        .await
        .unwrap();
    let mut query = turns(Direction::Descending, 3);
    query.cursor = first.next_cursor;
    let second = on.store.list_turns(id, query).await.unwrap();
    let mut back = turns(Direction::Ascending, 50);
    back.cursor = second.backwards_cursor;
    let back = on.store.list_turns(id, back).await.unwrap();
    let ids = |entries: &[TurnEntry]| -> Vec<u64> {
        let firsts = entries.iter().map(|entry| entry.turn.first_ordinal.get());
        firsts.collect()
    };
    let mut expected = ids(&first.turns);
    expected.reverse();
    assert_eq!(ids(&back.turns), expected);
    assert_eq!(back.next_cursor, None);
}

pub(super) async fn a_backwards_cursor_catches_up_with_exactly_the_new_turns(on: Subject<'_>) {
    let id = on.thread_of(5).await;
    let page = on
        .store
        .list_turns(id, turns(Direction::Descending, 2))
        .await
        .unwrap();
    let mut back = turns(Direction::Ascending, 2);
    back.cursor = page.backwards_cursor;
    let nothing = on.store.list_turns(id, back.clone()).await.unwrap();
    assert!(nothing.turns.is_empty() && nothing.next_cursor.is_none());
    back.cursor = nothing.backwards_cursor.or(back.cursor);
    on.add_turns(id, 6..=8).await;
    assert_eq!(
        turn_ids(&on, id, back.clone()).await,
        ["turn-6", "turn-7", "turn-8"]
    );
    // It stays good, as long as a client keeps it.
    on.store.shutdown_thread(id).await.unwrap();
    assert_eq!(
        turn_ids(&on, id, back).await,
        ["turn-6", "turn-7", "turn-8"]
    );
}

pub(super) async fn a_backwards_cursor_catches_up_with_exactly_the_new_items(on: Subject<'_>) {
    let id = on.thread_of(2).await;
    let page = on
        .store
        .list_items(id, items(Direction::Descending, 3))
        .await
        .unwrap();
    assert_eq!(ordinals(&page.items), [8, 7, 6]);
    let mut back = items(Direction::Ascending, 2);
    back.cursor = page.backwards_cursor;
    assert_eq!(item_ordinals(&on, id, back.clone()).await, [] as [u64; 0]);
    on.append(id, vec![started("turn-3"), said("new")]).await;
    on.patch(id, named("a name")).await;
    let new = item_ordinals(&on, id, back).await;
    let end = on.read(id).await.next_ordinal.get();
    assert_eq!(new, (9..end).collect::<Vec<_>>());
}

pub(super) async fn the_turn_in_progress_is_the_newest_one(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    on.append(id, vec![started("running"), said("go on")]).await;
    let page = on.store.list_turns(id, TurnQuery::default()).await.unwrap();
    let turn = &page.turns[0].turn;
    assert_eq!(turn.turn_id.as_deref(), Some("running"));
    assert_eq!(turn.status, TurnStatus::InProgress);
    assert_eq!((turn.first_ordinal.get(), turn.last_ordinal.get()), (5, 6));
    assert_eq!((turn.completed_at, turn.duration_ms), (None, None));
    on.append(id, vec![answered("done"), completed("running")])
        .await;
    let page = on.store.list_turns(id, TurnQuery::default()).await.unwrap();
    let turn = &page.turns[0].turn;
    assert_eq!(turn.status, TurnStatus::Completed);
    assert_eq!(turn.last_ordinal, Ordinal::new(8));
    assert!(
        turn.completed_at
            .is_some_and(|time| time >= turn.started_at)
    );
}

pub(super) async fn turns_tell_how_they_ended(on: Subject<'_>) {
    let id = on.start().await;
    let ends = [
        r#"{"type":"task_complete","turn_id":"a","duration_ms":1200}"#,
        r#"{"type":"turn_aborted","turn_id":"b","reason":"interrupted"}"#,
        r#"{"type":"turn_failed","turn_id":"c","error":{"message":"no quota"}}"#,
    ];
    for (turn_id, end) in ["a", "b", "c"].into_iter().zip(ends) {
        on.append(id, vec![started(turn_id), said("words"), event(end)])
            .await;
    }
    let page = on
        .store
        .list_turns(id, turns(Direction::Ascending, 0))
        .await
        .unwrap();
    let told: Vec<_> = page
        .turns
        .iter()
        .map(|entry| {
            (
                entry.turn.status,
                entry.turn.error.as_deref(),
                entry.turn.duration_ms,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (TurnStatus::Completed, None, Some(1200)),
            (TurnStatus::Aborted, Some("interrupted"), None),
            (TurnStatus::Failed, Some("no quota"), None),
        ]
    );
}

pub(super) async fn turns_come_with_as_much_of_their_items_as_asked(on: Subject<'_>) {
    let id = on.start().await;
    on.append(
        id,
        vec![
            started("a"),
            said("question"),
            answered("first thought"),
            item("response_item", r#"{"type":"function_call"}"#),
            answered("answer"),
            completed("a"),
        ],
    )
    .await;
    for (detail, expected) in [
        (ItemDetail::None, vec![]),
        (ItemDetail::Summary, vec![2, 5]),
        (ItemDetail::Full, vec![1, 2, 3, 4, 5, 6]),
    ] {
        let query = TurnQuery {
            items: detail,
            ..TurnQuery::default()
        };
        let page = on.store.list_turns(id, query).await.unwrap();
        assert_eq!(ordinals(&page.turns[0].items), expected, "{detail:?}");
    }
}

pub(super) async fn a_thread_without_turns_has_an_empty_page(on: Subject<'_>) {
    let id = on.start().await;
    on.store.persist_thread(id).await.unwrap();
    let page = on.store.list_turns(id, TurnQuery::default()).await.unwrap();
    assert!(page.turns.is_empty());
    assert_eq!((page.next_cursor, page.backwards_cursor), (None, None));
    assert_eq!(item_ordinals(&on, id, ItemQuery::default()).await, [0]);
}

pub(super) async fn items_of_an_unknown_turn_are_refused(on: Subject<'_>) {
    let id = on.thread_of(2).await;
    on.store.roll_back(id, 1).await.unwrap();
    for (turn_id, is_there) in [
        ("turn-1", true),
        ("turn-2", false),
        ("", false),
        ("x", false),
    ] {
        let query = ItemQuery {
            turn_id: Some(turn_id.into()),
            ..ItemQuery::default()
        };
        let answer = on.store.list_items(id, query).await;
        if is_there {
            assert_eq!(answer.unwrap().items.len(), 4);
        } else {
            invalid!(answer, NoSuchTurn { .. });
        }
    }
}

pub(super) async fn page_sizes_of_turns_and_items_are_bounded(on: Subject<'_>) {
    let id = on.thread_of(51).await;
    let store = &on.store;
    let usual = store
        .list_turns(id, turns(Direction::Ascending, 0))
        .await
        .unwrap();
    assert_eq!(usual.turns.len(), 50);
    let usual = store
        .list_items(id, items(Direction::Ascending, 0))
        .await
        .unwrap();
    assert_eq!(usual.items.len(), 50);
    let most = store
        .list_turns(id, turns(Direction::Ascending, MAX_PAGE_ITEMS))
        .await;
    assert_eq!(most.unwrap().turns.len(), 51);
    for limit in [MAX_PAGE_ITEMS + 1, usize::MAX] {
        let query = turns(Direction::Ascending, limit);
        invalid!(store.list_turns(id, query).await, PageSize { .. });
        let query = items(Direction::Ascending, limit);
        invalid!(store.list_items(id, query).await, PageSize { .. });
    }
}

pub(super) async fn cursors_of_something_else_are_refused(on: Subject<'_>) {
    let (id, other) = (on.thread_of(3).await, on.thread_of(3).await);
    let store = &on.store;
    let of_turns = store
        .list_turns(id, turns(Direction::Descending, 1))
        .await
        .unwrap();
    let of_items = store
        .list_items(id, items(Direction::Descending, 1))
        .await
        .unwrap();
    let (of_turns, of_items) = (of_turns.next_cursor.unwrap(), of_items.next_cursor.unwrap());
    let turns_at = |cursor: &str| TurnQuery {
        cursor: Some(cursor.to_owned()),
        ..TurnQuery::default()
    };
    let items_at = |cursor: &str| ItemQuery {
        cursor: Some(cursor.to_owned()),
        ..ItemQuery::default()
    };
    assert!(store.list_turns(id, turns_at(&of_turns)).await.is_ok());
    assert!(store.list_items(id, items_at(&of_items)).await.is_ok());
    invalid!(
        store.list_turns(other, turns_at(&of_turns)).await,
        CursorOfAnotherThread
    );
    invalid!(
        store.list_items(other, items_at(&of_items)).await,
        CursorOfAnotherThread
    );
    invalid!(
        store.list_turns(id, turns_at(&of_items)).await,
        CursorOfAnotherQuery
    );
    invalid!(
        store.list_items(id, items_at(&of_turns)).await,
        CursorOfAnotherQuery
    );
    let of_a_turn = ItemQuery {
        turn_id: Some("turn-1".into()),
        ..items_at(&of_items)
    };
    invalid!(store.list_items(id, of_a_turn).await, CursorOfAnotherQuery);
    for garbage in garbage_of(&of_turns) {
        invalid!(store.list_turns(id, turns_at(&garbage)).await, BadCursor);
    }
    for garbage in garbage_of(&of_items) {
        invalid!(store.list_items(id, items_at(&garbage)).await, BadCursor);
    }
}

/// Texts that are no cursors, most of them nearly one.
pub(super) fn garbage_of(cursor: &str) -> Vec<String> {
    let last = cursor.chars().next_back().unwrap();
    let other = if last == '0' { '1' } else { '0' };
    let (shorter, _) = cursor.split_at(cursor.len() - 1);
    vec![
        String::new(),
        "x".into(),
        "ü".repeat(cursor.len()),
        "0".repeat(cursor.len()),
        "f".repeat(1 << 20),
        shorter.to_owned(),
        format!("{cursor}0"),
        format!("{shorter}{other}"),
        format!(" {cursor}"),
    ]
}
