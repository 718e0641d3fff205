//! Searching what was said.

use selvedge_codec::{Item, ThreadId};
use selvedge_engine::listing::{MAX_PAGE_SIZE, SortKey};
use selvedge_engine::paging::{MAX_PAGE_ITEMS, TurnQuery};
use selvedge_engine::search::{
    MAX_TERM_BYTES, Occurrence, OccurrenceQuery, SearchHit, SearchQuery, Speaker,
};

use super::paging::garbage_of;
use super::support::*;

fn searching(term: &str) -> SearchQuery {
    SearchQuery {
        term: term.to_owned(),
        ..SearchQuery::default()
    }
}

fn occurring(term: &str) -> OccurrenceQuery {
    OccurrenceQuery {
        term: term.to_owned(),
        ..OccurrenceQuery::default()
    }
}

async fn hits(on: &Subject<'_>, mut query: SearchQuery) -> Vec<SearchHit> {
    let mut hits = Vec::new();
    loop {
        let page = on.store.search_threads(query.clone()).await.unwrap();
        assert!(page.hits.len() <= query.limit || query.limit == 0);
        hits.extend(page.hits);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return hits;
        }
    }
}

async fn found(on: &Subject<'_>, term: &str) -> Vec<ThreadId> {
    let found = hits(on, searching(term)).await;
    found.iter().map(|hit| hit.thread.thread_id).collect()
}

async fn places(on: &Subject<'_>, id: ThreadId, mut query: OccurrenceQuery) -> Vec<Occurrence> {
    let mut places = Vec::new();
    loop {
        let page = on
            .store
            .search_occurrences(id, query.clone())
            .await
            .unwrap();
        assert!(page.occurrences.len() <= query.limit || query.limit == 0);
        places.extend(page.occurrences);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return places;
        }
    }
}

async fn thread_with(on: &Subject<'_>, items: Vec<Item>) -> ThreadId {
    let id = on.start().await;
    on.append(id, items).await;
    id
}

pub(super) async fn a_term_is_found_literally_and_whatever_its_case(on: Subject<'_>) {
    let id = thread_with(
        &on,
        vec![
            started("a"),
            said("Make the Größe 10.5 (ten) \"quoted\"\nand C:\\dir"),
            answered("ΟΔΟΣ και ОГОНЬ, 漢字 too"),
        ],
    )
    .await;
    on.thread_of(1).await;
    for term in [
        "make THE",
        "größe",
        "GRÖß",
        "10.5 (ten)",
        "\"quoted\"",
        "c:\\DIR",
        "οδος",
        "огонь",
        "漢字",
        "quoted\"\nand",
        "e",
    ] {
        assert!(found(&on, term).await.contains(&id), "{term:?}");
    }
    for term in [
        "10x5",
        "makethe",
        "Make  the",
        ".*",
        "$",
        "漢 字",
        "c:\\\\dir",
    ] {
        assert_eq!(found(&on, term).await, [], "{term:?}");
    }
}

pub(super) async fn only_what_was_said_is_searched(on: Subject<'_>) {
    let said_by_user = thread_with(&on, vec![said("needle")]).await;
    let said_by_agent = thread_with(&on, vec![said("hi"), answered("a needle")]).await;
    let output = r#"{"type":"function_call_output","output":"needle"}"#;
    let hidden = vec![
        said("hi"),
        item("response_item", output),
        event(r#"{"type":"needle","needle":"needle"}"#),
        item("turn_context", r#"{"cwd":"/needle"}"#),
    ];
    let hidden = thread_with(&on, hidden).await;
    on.patch(hidden, named("needle")).await;
    let mut expected = [said_by_user, said_by_agent];
    expected.sort();
    let mut all = found(&on, "needle").await;
    all.sort();
    assert_eq!(all, expected);
}

pub(super) async fn a_hit_shows_the_first_place_on_one_line(on: Subject<'_>) {
    let filler = "lorem ipsum ".repeat(500);
    let words = format!("{filler}\nthe needle\nis here {filler}");
    let id = thread_with(&on, vec![said(&words), answered("needle again")]).await;
    let hits = hits(&on, searching("NEEDLE")).await;
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].thread, on.read(id).await);
    let snippet = &hits[0].snippet;
    assert!(snippet.contains("the needle"), "{snippet}");
    assert!(!snippet.contains('\n') && snippet.len() < 1000, "{snippet}");
}

pub(super) async fn the_newest_threads_are_found_first_page_by_page(on: Subject<'_>) {
    let mut expected = Vec::new();
    for number in 0..9 {
        let id = on.start().await;
        on.append(id, at(number / 2, turn("a", "the needle"))).await;
        expected.push(on.read(id).await);
    }
    for sort in [SortKey::Created, SortKey::Updated, SortKey::Recency] {
        expected.sort_by_key(|thread| selvedge_engine::listing::sort_key(thread, sort));
        expected.reverse();
        for limit in [1, 2, 4, 9, 10, 0] {
            let query = SearchQuery {
                sort,
                limit,
                ..searching("needle")
            };
            let found = hits(&on, query).await;
            let found: Vec<_> = found.into_iter().map(|hit| hit.thread).collect();
            assert_eq!(found, expected, "{sort:?} {limit}");
        }
    }
}

pub(super) async fn a_search_is_filtered_as_a_listing_is(on: Subject<'_>) {
    let (a, b) = (on.start_in("/a").await, on.start_in("/b").await);
    for id in [a, b] {
        on.append(id, turn("a", "the needle")).await;
    }
    let mut query = searching("needle");
    query.filter.cwds = vec!["/b/".into()];
    assert_eq!(hits(&on, query).await.len(), 1);
    on.store.archive_thread(a).await.unwrap();
    assert_eq!(found(&on, "needle").await, [b]);
    let mut archived = searching("needle");
    archived.filter.archived = true;
    let archived = hits(&on, archived).await;
    assert_eq!(archived[0].thread.thread_id, a);
    on.store.delete_thread(b).await.unwrap();
    assert_eq!(found(&on, "needle").await, []);
}

pub(super) async fn bad_searches_are_refused(on: Subject<'_>) {
    for _ in 0..3 {
        on.thread_of(1).await;
    }
    let search = |query| on.store.search_threads(query);
    for term in [String::new(), "x".repeat(MAX_TERM_BYTES + 1)] {
        invalid!(search(searching(&term)).await, SearchTerm { .. });
    }
    assert!(search(searching(&"x".repeat(MAX_TERM_BYTES))).await.is_ok());
    let sized = |limit| SearchQuery {
        limit,
        ..searching("words")
    };
    assert!(search(sized(MAX_PAGE_SIZE)).await.is_ok());
    invalid!(search(sized(MAX_PAGE_SIZE + 1)).await, PageSize { .. });
    let cursor = search(sized(1)).await.unwrap().next_cursor.unwrap();
    let at = |cursor: &str, term: &str| SearchQuery {
        cursor: Some(cursor.to_owned()),
        ..searching(term)
    };
    assert_eq!(search(at(&cursor, "words")).await.unwrap().hits.len(), 2);
    invalid!(search(at(&cursor, "other")).await, CursorOfAnotherQuery);
    let mut sorted = at(&cursor, "words");
    sorted.sort = SortKey::Updated;
    invalid!(search(sorted).await, CursorOfAnotherQuery);
    let list = selvedge_engine::listing::ListQuery {
        cursor: Some(cursor.clone()),
        ..Default::default()
    };
    invalid!(on.store.list_threads(list).await, CursorOfAnotherQuery);
    for garbage in garbage_of(&cursor) {
        invalid!(search(at(&garbage, "words")).await, BadCursor);
    }
}

pub(super) async fn what_was_rolled_back_is_not_found(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    on.append(id, turn("b", "the needle")).await;
    assert_eq!(found(&on, "needle").await, [id]);
    assert_eq!(places(&on, id, occurring("needle")).await.len(), 2);
    on.store.roll_back(id, 1).await.unwrap();
    assert_eq!(found(&on, "needle").await, []);
    assert_eq!(places(&on, id, occurring("needle")).await, []);
    assert_eq!(found(&on, "words").await, [id]);
}

pub(super) async fn occurrences_tell_where_in_the_text_they_are(on: Subject<'_>) {
    let id = on.start().await;
    let words = "😀 the Needle, a needle";
    on.append(id, vec![said("needle before any turn's own start")])
        .await;
    on.append(
        id,
        at(
            3,
            vec![
                started("a"),
                said(words),
                answered("needle"),
                completed("a"),
            ],
        ),
    )
    .await;
    let found = places(&on, id, occurring("needle")).await;
    let told: Vec<_> = found
        .iter()
        .map(|one| (one.ordinal.get(), one.speaker, one.utf16_range.clone()))
        .collect();
    assert_eq!(
        told,
        [
            (1, Speaker::User, 0..6),
            (3, Speaker::User, 7..13),
            (3, Speaker::User, 17..23),
            (4, Speaker::Agent, 0..6),
        ]
    );
    assert_eq!(found[1].time, time_at(3));
    assert_eq!(found[1].turn_id.as_deref(), Some("a"));
    for one in &found {
        assert!(one.snippet.to_lowercase().contains("needle") && !one.snippet.contains('\n'));
    }
}

pub(super) async fn an_occurrence_leads_to_its_turn(on: Subject<'_>) {
    let id = on.thread_of(4).await;
    let found = places(&on, id, occurring("words of 2")).await;
    for one in found {
        let query = TurnQuery {
            cursor: one.turn_cursor,
            ..TurnQuery::default()
        };
        assert!(query.cursor.is_some());
        let page = on.store.list_turns(id, query).await.unwrap();
        let ids: Vec<_> = page
            .turns
            .iter()
            .map(|entry| entry.turn.turn_id.clone())
            .collect();
        assert_eq!(ids, [Some("turn-2".to_owned()), Some("turn-1".to_owned())]);
    }
}

pub(super) async fn occurrences_are_paged_without_a_gap_or_a_repeat(on: Subject<'_>) {
    let id = on.start().await;
    for _ in 0..3 {
        on.append(id, turn("a", "needle needle needle")).await;
    }
    let all = places(&on, id, occurring("needle")).await;
    assert_eq!(all.len(), 18);
    for limit in [1, 2, 5, 17, 18, 19] {
        let query = OccurrenceQuery {
            limit,
            ..occurring("needle")
        };
        assert_eq!(places(&on, id, query).await, all, "{limit}");
    }
}

pub(super) async fn bad_questions_for_occurrences_are_refused(on: Subject<'_>) {
    let (id, other) = (on.thread_of(2).await, on.thread_of(2).await);
    let ask = |id, query| on.store.search_occurrences(id, query);
    for term in [String::new(), "x".repeat(MAX_TERM_BYTES + 1)] {
        invalid!(ask(id, occurring(&term)).await, SearchTerm { .. });
    }
    let sized = |limit| OccurrenceQuery {
        limit,
        ..occurring("words")
    };
    assert!(ask(id, sized(MAX_PAGE_ITEMS)).await.is_ok());
    invalid!(ask(id, sized(MAX_PAGE_ITEMS + 1)).await, PageSize { .. });
    let cursor = ask(id, sized(1)).await.unwrap().next_cursor.unwrap();
    let at = |cursor: &str, term: &str| OccurrenceQuery {
        cursor: Some(cursor.to_owned()),
        ..occurring(term)
    };
    assert!(ask(id, at(&cursor, "words")).await.is_ok());
    invalid!(
        ask(other, at(&cursor, "words")).await,
        CursorOfAnotherThread
    );
    invalid!(ask(id, at(&cursor, "about")).await, CursorOfAnotherQuery);
    for garbage in garbage_of(&cursor) {
        invalid!(ask(id, at(&garbage, "words")).await, BadCursor);
    }
}
