//! Whatever the threads and the question: the index's listing is the scan's.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests prepare and compare plain files beside the engine"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{list_all, open, open_without_index};
use proptest::prelude::*;
use selvedge::{Direction, ListQuery, SortKey, ThreadFilter, ThreadId, Verification};
use serde_json::json;

/// A thread as a JSON-lines log: few distinct values, so that they meet often.
#[derive(Debug, Clone)]
struct Thread {
    created: u8,
    updated: u8,
    cwd: u8,
    provider: bool,
    source: u8,
    archived: bool,
    said: Option<u8>,
    parent: Option<u8>,
}

fn thread() -> impl Strategy<Value = Thread> {
    let places = (0..4_u8, 0..3_u8, 0..3_u8, any::<bool>(), 0..3_u8);
    let states = (
        prop::bool::weighted(0.2),
        prop::option::weighted(0.8, 0..4_u8),
        prop::option::weighted(0.3, 0..6_u8),
    );
    (places, states).prop_map(
        |((created, updated, cwd, provider, source), (archived, said, parent))| Thread {
            created,
            updated,
            cwd,
            provider,
            source,
            archived,
            said,
            parent,
        },
    )
}

fn id_of(number: usize) -> ThreadId {
    // Not in the order of their numbers.
    ThreadId::from_bytes(
        ((number as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)).to_be_bytes(),
    )
}

const SOURCES: [&str; 3] = ["cli", "vscode", "exec"];

fn write(home: &Path, number: usize, thread: &Thread) {
    let id = id_of(number);
    let folder = home.join(if thread.archived {
        "archived_sessions"
    } else {
        "sessions/2026/01/02"
    });
    fs::create_dir_all(&folder).unwrap();
    let stamp = |second: u8| format!("2026-01-02T03:04:{second:02}.000Z");
    let meta = json!({
        "id": id, "timestamp": stamp(thread.created), "cwd": format!("/w/{}", thread.cwd),
        "model_provider": if thread.provider { "openai" } else { "other" },
        "source": SOURCES[usize::from(thread.source)],
        "parent_thread_id": thread.parent.map(|parent| id_of(parent.into())),
    });
    let mut lines = format!(
        "{}\n",
        json!({"timestamp": stamp(thread.created), "type": "session_meta", "payload": meta})
    );
    if let Some(said) = thread.said {
        let message = json!({"type": "user_message", "message": format!("Wort Nummer {said} ÄÖ")});
        let at = stamp(thread.created + thread.updated);
        lines += &format!(
            "{}\n",
            json!({"timestamp": at, "type": "event_msg", "payload": message})
        );
    }
    fs::write(
        folder.join(format!("rollout-2026-01-02T03-04-05-{id}.jsonl")),
        lines,
    )
    .unwrap();
}

fn query() -> impl Strategy<Value = ListQuery> {
    let filter = (
        (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2)),
        prop::collection::vec((0..3_u8).prop_map(|cwd| format!("/w/{cwd}/")), 0..3),
        prop::collection::vec(
            prop::sample::select(vec!["openai".to_owned(), "other".to_owned()]),
            0..2,
        ),
        prop::collection::vec(
            prop::sample::select(SOURCES.to_vec()).prop_map(str::to_owned),
            0..3,
        ),
        (
            prop::option::weighted(0.2, 0..6_usize),
            prop::option::weighted(0.2, 0..6_usize),
        ),
        prop::option::weighted(
            0.3,
            prop::sample::select(vec!["NUMMER 1", "äö", "2", "nothing"]),
        ),
    )
        .prop_map(
            |(of_group, cwds, providers, sources, (parent, ancestor), search)| {
                let (archived, include_empty, top_level_only) = of_group;
                ThreadFilter {
                    archived,
                    include_empty,
                    top_level_only,
                    cwds,
                    providers,
                    sources,
                    parent: parent.map(id_of),
                    ancestor: ancestor.map(id_of),
                    search: search.map(str::to_owned),
                }
            },
        );
    let sort = prop::sample::select(vec![SortKey::Created, SortKey::Updated, SortKey::Recency]);
    let direction = prop::sample::select(vec![Direction::Ascending, Direction::Descending]);
    (filter, sort, direction, 1..6_usize).prop_map(|(filter, sort, direction, limit)| ListQuery {
        filter,
        sort,
        direction,
        limit,
        ..ListQuery::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_index_lists_what_a_scan_lists(
        threads in prop::collection::vec(thread(), 0..14),
        queries in prop::collection::vec(query(), 6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let home = tempfile::tempdir().unwrap();
        for (number, thread) in threads.iter().enumerate() {
            write(home.path(), number, thread);
        }
        runtime.block_on(async {
            let indexed = open(home.path()).await;
            let scanning = open_without_index(home.path()).await;
            for query in queries {
                let expected = list_all(&scanning, query.clone()).await;
                assert_eq!(list_all(&indexed, query.clone()).await, expected, "{query:?}");
                let unverified = ListQuery { verification: Verification::IndexOnly, ..query.clone() };
                assert_eq!(list_all(&indexed, unverified).await, expected, "{query:?}");
                // Backwards from the last page: the same threads, in the other order.
                let whole = ListQuery { limit: 100, ..query.clone() };
                let page = indexed.list_threads(whole.clone()).await.unwrap();
                assert_eq!(page.threads, expected);
                if let Some(middle) = expected.len().checked_sub(1).map(|last| last / 2) {
                    let first = ListQuery { limit: middle + 1, ..query.clone() };
                    let after = indexed.list_threads(first).await.unwrap().next_cursor;
                    let rest = ListQuery { cursor: after.clone(), ..whole.clone() };
                    if after.is_some() {
                        let rest = indexed.list_threads(rest).await.unwrap();
                        assert_eq!(rest.threads, expected[middle + 1..]);
                        let back = ListQuery {
                            cursor: rest.backwards_cursor,
                            direction: match query.direction {
                                Direction::Ascending => Direction::Descending,
                                Direction::Descending => Direction::Ascending,
                            },
                            ..whole
                        };
                        let mut back = indexed.list_threads(back).await.unwrap().threads;
                        back.reverse();
                        assert_eq!(back, expected[..=middle]);
                    }
                }
            }
            indexed.shutdown().await.unwrap();
            scanning.shutdown().await.unwrap();
        });
    }
}
