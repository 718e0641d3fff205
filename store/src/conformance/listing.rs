//! Listings of threads.

use selvedge_codec::ThreadId;
use selvedge_engine::listing::{
    Coverage, Direction, ListQuery, MAX_PAGE_SIZE, SortKey, ThreadFilter, Verification, sort_key,
};
use selvedge_engine::search::MAX_TERM_BYTES;
use selvedge_engine::thread::ThreadSummary;

use super::paging::garbage_of;
use super::support::*;
use crate::StartThread;

const SORTS: [SortKey; 3] = [SortKey::Created, SortKey::Updated, SortKey::Recency];
const BOTH: [Direction; 2] = [Direction::Ascending, Direction::Descending];

/// All threads that a query wants, those without a word of the user's included, page by page.
pub(super) async fn all(on: &Subject<'_>, filter: ThreadFilter) -> Vec<ThreadSummary> {
    let filter = ThreadFilter {
        include_empty: true,
        ..filter
    };
    pages(
        on,
        ListQuery {
            filter,
            ..ListQuery::default()
        },
    )
    .await
}

async fn pages(on: &Subject<'_>, mut query: ListQuery) -> Vec<ThreadSummary> {
    let mut threads = Vec::new();
    loop {
        let page = on.store.list_threads(query.clone()).await.unwrap();
        assert!(page.threads.len() <= query.limit || query.limit == 0);
        assert!(matches!(page.coverage, Coverage::Complete { failed: 0 }));
        threads.extend(page.threads);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return threads;
        }
    }
}

async fn ids(on: &Subject<'_>, filter: ThreadFilter) -> Vec<ThreadId> {
    let mut ids: Vec<_> = all(on, filter)
        .await
        .iter()
        .map(|thread| thread.thread_id)
        .collect();
    ids.sort();
    ids
}

fn sorted<const N: usize>(mut ids: [ThreadId; N]) -> [ThreadId; N] {
    ids.sort();
    ids
}

/// A thread that is kept, with a word of its user at this second.
async fn spoken(on: &Subject<'_>, second: i64) -> ThreadId {
    let id = on.start().await;
    on.append(id, at(second, vec![said("words")])).await;
    id
}

pub(super) async fn threads_are_listed_in_every_order_and_both_ways(on: Subject<'_>) {
    // Times that are equal, so that only the ids tell the threads apart.
    for number in 0..11 {
        let id = spoken(&on, number / 4).await;
        on.append(id, at(10 - number / 3, vec![answered("words")]))
            .await;
        if number % 2 == 0 {
            on.store.shutdown_thread(id).await.unwrap();
        }
    }
    for sort in SORTS {
        for direction in BOTH {
            let mut expected = all(&on, ThreadFilter::default()).await;
            assert_eq!(expected.len(), 11);
            expected.sort_by_key(|thread| sort_key(thread, sort));
            if direction == Direction::Descending {
                expected.reverse();
            }
            for limit in [1, 2, 5, 10, 11, 12, 0] {
                for verification in [Verification::Verified, Verification::IndexOnly] {
                    let query = ListQuery {
                        sort,
                        direction,
                        limit,
                        verification,
                        ..ListQuery::default()
                    };
                    assert_eq!(
                        pages(&on, query).await,
                        expected,
                        "{sort:?} {direction:?} {limit}"
                    );
                }
            }
        }
    }
}

pub(super) async fn a_listing_gives_threads_as_reads_do(on: Subject<'_>) {
    let id = on.thread_of(2).await;
    on.patch(id, named("a name")).await;
    assert_eq!(all(&on, ThreadFilter::default()).await, [on.read(id).await]);
    on.append(id, turn("more", "words")).await;
    assert_eq!(
        all(&on, ThreadFilter::default()).await,
        [on.read(id).await],
        "a listing sees every append that was acknowledged"
    );
}

pub(super) async fn a_backwards_cursor_catches_up_with_exactly_the_new_threads(on: Subject<'_>) {
    let old = [
        spoken(&on, 1).await,
        spoken(&on, 2).await,
        spoken(&on, 3).await,
    ];
    let query = ListQuery {
        sort: SortKey::Updated,
        limit: 2,
        ..ListQuery::default()
    };
    let page = on.store.list_threads(query.clone()).await.unwrap();
    assert_eq!(
        page.threads.iter().map(|t| t.thread_id).collect::<Vec<_>>(),
        [old[2], old[1]]
    );
    let mut back = ListQuery {
        direction: Direction::Ascending,
        limit: 1,
        cursor: page.backwards_cursor,
        ..query
    };
    let nothing = on.store.list_threads(back.clone()).await.unwrap();
    assert!(nothing.threads.is_empty() && nothing.next_cursor.is_none());
    assert!(nothing.backwards_cursor.is_some());
    back.cursor = nothing.backwards_cursor;
    let new = spoken(&on, 5).await;
    on.append(old[0], at(4, vec![said("again")])).await;
    let caught: Vec<_> = pages(&on, back).await.iter().map(|t| t.thread_id).collect();
    assert_eq!(caught, [old[0], new]);
}

pub(super) async fn a_thread_without_a_word_of_its_user_is_left_out_unless_asked_for(
    on: Subject<'_>,
) {
    let silent = on.start().await;
    on.store.persist_thread(silent).await.unwrap();
    on.append(silent, vec![answered("I speak first")]).await;
    let page = on.store.list_threads(ListQuery::default()).await.unwrap();
    assert!(page.threads.is_empty());
    assert_eq!((page.next_cursor, page.backwards_cursor), (None, None));
    assert_eq!(ids(&on, ThreadFilter::default()).await, [silent]);
    on.append(silent, vec![said("hello")]).await;
    let page = on.store.list_threads(ListQuery::default()).await.unwrap();
    assert_eq!(page.threads.len(), 1);
}

pub(super) async fn threads_are_filtered_by_where_they_run(on: Subject<'_>) {
    let (a, b) = (on.start_in("/work/a").await, on.start_in("/work/b/").await);
    for id in [a, b] {
        on.store.persist_thread(id).await.unwrap();
    }
    let cwds = |cwds: &[&str]| ThreadFilter {
        cwds: cwds.iter().map(|cwd| (*cwd).to_owned()).collect(),
        ..ThreadFilter::default()
    };
    assert_eq!(ids(&on, cwds(&["/work/a"])).await, [a]);
    assert_eq!(ids(&on, cwds(&["/work/a/"])).await, [a]);
    assert_eq!(ids(&on, cwds(&["/work/./x/../b"])).await, [b]);
    assert_eq!(
        ids(&on, cwds(&["/work/b", "/work/a", "/c"])).await,
        sorted([a, b])
    );
    assert_eq!(ids(&on, cwds(&["/work"])).await, []);
    assert_eq!(ids(&on, cwds(&["/work/A"])).await, []);
}

pub(super) async fn threads_are_filtered_by_provider_and_source(on: Subject<'_>) {
    let start = |provider: Option<&str>, source: Option<&str>| StartThread {
        model_provider: provider.map(str::to_owned),
        source: source.map(str::to_owned),
        ..StartThread::default()
    };
    let cli = on.start_with(start(Some("p"), Some("\"cli\""))).await;
    let sub = on
        .start_with(start(Some("q"), Some(r#"{"subagent":"review"}"#)))
        .await;
    let none = on.start_with(start(None, None)).await;
    for id in [cli, sub, none] {
        on.store.persist_thread(id).await.unwrap();
    }
    let filter = |providers: &[&str], sources: &[&str]| ThreadFilter {
        providers: providers.iter().map(|one| (*one).to_owned()).collect(),
        sources: sources.iter().map(|one| (*one).to_owned()).collect(),
        ..ThreadFilter::default()
    };
    assert_eq!(ids(&on, filter(&[], &[])).await, sorted([cli, sub, none]));
    assert_eq!(ids(&on, filter(&["p"], &[])).await, [cli]);
    assert_eq!(ids(&on, filter(&["p", "q"], &[])).await, sorted([cli, sub]));
    assert_eq!(ids(&on, filter(&[], &["subagent"])).await, [sub]);
    assert_eq!(ids(&on, filter(&["p"], &["subagent"])).await, []);
    let top = ThreadFilter {
        top_level_only: true,
        ..ThreadFilter::default()
    };
    assert_eq!(ids(&on, top).await, sorted([cli, none]));
}

pub(super) async fn threads_are_filtered_by_their_ancestry(on: Subject<'_>) {
    let root = on.start().await;
    let child_of = async |parent| {
        let start = StartThread {
            parent_thread_id: Some(parent),
            ..StartThread::default()
        };
        let id = on.start_with(start).await;
        on.store.persist_thread(id).await.unwrap();
        id
    };
    on.store.persist_thread(root).await.unwrap();
    let child = child_of(root).await;
    let grandchild = child_of(child).await;
    let other = child_of(ThreadId::generate()).await;
    let parent = |parent| ThreadFilter {
        parent: Some(parent),
        ..ThreadFilter::default()
    };
    let ancestor = |ancestor| ThreadFilter {
        ancestor: Some(ancestor),
        ..ThreadFilter::default()
    };
    assert_eq!(ids(&on, parent(root)).await, [child]);
    assert_eq!(ids(&on, ancestor(root)).await, sorted([child, grandchild]));
    assert_eq!(ids(&on, ancestor(grandchild)).await, []);
    let top = ThreadFilter {
        top_level_only: true,
        ..ThreadFilter::default()
    };
    assert_eq!(ids(&on, top).await, [root]);
    on.store.archive_thread(child).await.unwrap();
    assert_eq!(
        ids(&on, ancestor(root)).await,
        [grandchild],
        "below one that is not listed"
    );
    assert!(!ids(&on, ancestor(root)).await.contains(&other));
}

pub(super) async fn threads_are_found_by_name_title_preview_and_first_words(on: Subject<'_>) {
    let mut found = Vec::new();
    for number in 0..4 {
        let id = on.start().await;
        on.append(id, turn("a", &format!("Straße number {number}")))
            .await;
        found.push(id);
    }
    on.patch(found[1], named("Größe (a+b)")).await;
    let mut patch = named("x");
    patch.name = Default::default();
    patch.title = set("The Title");
    on.patch(found[2], patch.clone()).await;
    patch.title = Default::default();
    patch.preview = set("Something Else");
    on.patch(found[3], patch).await;
    let search = |term: &str| ThreadFilter {
        search: Some(term.to_owned()),
        ..ThreadFilter::default()
    };
    assert_eq!(ids(&on, search("STRAßE")).await.len(), 4);
    assert_eq!(ids(&on, search("number 0")).await, [found[0]]);
    assert_eq!(ids(&on, search("GRÖß")).await, [found[1]]);
    assert_eq!(ids(&on, search("(a+B)")).await, [found[1]], "literally");
    assert_eq!(ids(&on, search("the title")).await, [found[2]]);
    assert_eq!(ids(&on, search("thing else")).await, [found[3]]);
    assert_eq!(ids(&on, search("a.b")).await, []);
    assert_eq!(
        ids(&on, search("about")).await,
        [],
        "the agent's words are no description"
    );
    assert_eq!(
        ids(&on, search("")).await.len(),
        4,
        "no term restricts nothing"
    );
    on.patch(found[0], named("new name")).await;
    assert_eq!(ids(&on, search("NEW NAME")).await, [found[0]]);
    let long = ListQuery {
        filter: search(&"x".repeat(MAX_TERM_BYTES + 1)),
        ..ListQuery::default()
    };
    invalid!(on.store.list_threads(long).await, SearchTerm { .. });
}

pub(super) async fn page_sizes_of_listings_are_bounded(on: Subject<'_>) {
    for _ in 0..51 {
        spoken(&on, 1).await;
    }
    let of = |limit| ListQuery {
        limit,
        ..ListQuery::default()
    };
    assert_eq!(
        on.store.list_threads(of(0)).await.unwrap().threads.len(),
        50
    );
    let most = on.store.list_threads(of(MAX_PAGE_SIZE)).await.unwrap();
    assert_eq!((most.threads.len(), most.next_cursor), (51, None));
    for limit in [MAX_PAGE_SIZE + 1, usize::MAX] {
        invalid!(on.store.list_threads(of(limit)).await, PageSize { .. });
    }
}

pub(super) async fn cursors_of_other_listings_are_refused(on: Subject<'_>) {
    for second in 0..3 {
        spoken(&on, second).await;
    }
    let query = ListQuery {
        limit: 1,
        ..ListQuery::default()
    };
    let cursor = on
        .store
        .list_threads(query.clone())
        .await
        .unwrap()
        .next_cursor;
    let mut same = query;
    same.cursor = cursor.clone();
    assert_eq!(
        on.store
            .list_threads(same.clone())
            .await
            .unwrap()
            .threads
            .len(),
        1
    );
    let mut sorted = same.clone();
    sorted.sort = SortKey::Updated;
    invalid!(on.store.list_threads(sorted).await, CursorOfAnotherQuery);
    let mut filtered = same.clone();
    filtered.filter.archived = true;
    invalid!(on.store.list_threads(filtered).await, CursorOfAnotherQuery);
    let mut searched = same.clone();
    searched.filter.search = Some("words".into());
    invalid!(on.store.list_threads(searched).await, CursorOfAnotherQuery);
    for garbage in garbage_of(&cursor.unwrap()) {
        same.cursor = Some(garbage);
        invalid!(on.store.list_threads(same.clone()).await, BadCursor);
    }
}
