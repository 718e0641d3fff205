//! Logs that were written to do harm: nothing of what they say ends the process, hides another
//! thread, or is understood in two ways.

use super::home::{TestHome, WAIT, id, ids, line, meta, path, thread};
use crate::listing::{ListQuery, ThreadFilter};
use crate::log::{ThreadLog, effective};
use crate::search::SearchQuery;
use crate::store::{IndexUse, Store, StoreOptions};

const LEVELS: usize = 100_000;
const A: &str = "sessions/2026/03/04/rollout-2026-03-04T00-01-40-a.jsonl";

fn deep() -> String {
    "[".repeat(LEVELS) + &"]".repeat(LEVELS)
}

fn all() -> ListQuery {
    ListQuery {
        filter: ThreadFilter {
            include_empty: true,
            ..ThreadFilter::default()
        },
        ..ListQuery::default()
    }
}

/// Reads a home in every way, with an index and without.
fn read_all(home: &TestHome, numbers: &[u64]) {
    let indexed = home.filled();
    let scanned = Store::open(StoreOptions {
        index: IndexUse::None,
        ..home.options()
    })
    .unwrap();
    let expected = scanned.list(&all()).unwrap();
    let mut found = ids(&expected);
    found.sort_unstable();
    assert_eq!(
        found,
        numbers.iter().map(|number| id(*number)).collect::<Vec<_>>()
    );
    assert_eq!(indexed.list(&all()).unwrap(), expected);
    for store in [&indexed, &scanned] {
        for number in numbers {
            let history = store.history(id(*number)).unwrap();
            assert!(effective(&history.records).len() <= history.records.len());
            store.turns_page(id(*number), &Default::default()).unwrap();
            store.items_page(id(*number), &Default::default()).unwrap();
            store.model_context(id(*number)).unwrap();
        }
        let query = SearchQuery {
            term: "hello".into(),
            ..SearchQuery::default()
        };
        store.search(&query).unwrap();
        assert!(store.verify().unwrap().differences.is_empty());
    }
}

/// JSON may be nested as deeply as a line is long. Whoever follows it by recursion runs out of
/// stack, which ends the process.
#[test]
fn values_a_hundred_thousand_levels_deep_are_passed_over() {
    let home = TestHome::new();
    let deep = deep();
    let named = id(1).to_string();
    let payloads = [
        (
            "session_meta",
            format!("{{\"id\":\"{named}\",\"source\":{deep},\"git\":{deep},\"cwd\":{deep}}}"),
        ),
        (
            "session_meta",
            format!(
                "{{\"id\":\"{named}\",\"source\":{{\"subagent\":{{\"thread_spawn\":{deep}}}}}}}"
            ),
        ),
        ("session_meta", deep.clone()),
        (
            "metadata_patch",
            format!("{{\"name\":{deep},\"token_usage\":{deep}}}"),
        ),
        (
            "turn_context",
            format!("{{\"turn_id\":{deep},\"approval_policy\":{deep}}}"),
        ),
        ("compacted", format!("{{\"replacement_history\":{deep}}}")),
        (
            "response_item",
            format!("{{\"type\":\"message\",\"role\":\"user\",\"content\":{deep}}}"),
        ),
        (
            "event_msg",
            format!("{{\"type\":\"user_message\",\"message\":\"hello\",\"images\":{deep}}}"),
        ),
        (
            "event_msg",
            format!("{{\"type\":\"item_completed\",\"item\":{deep}}}"),
        ),
        (
            "event_msg",
            format!(
                "{{\"type\":\"item_completed\",\"item\":{{\"type\":\"UserMessage\",\"content\":{deep}}}}}"
            ),
        ),
        (
            "event_msg",
            format!("{{\"type\":\"token_count\",\"info\":{{\"total_token_usage\":{deep}}}}}"),
        ),
        (
            "event_msg",
            format!("{{\"type\":\"turn_failed\",\"error\":{deep}}}"),
        ),
        ("event_msg", format!("{{\"type\":{deep}}}")),
        ("event_msg", deep.clone()),
        ("made_up", deep),
    ];
    let lines: String = payloads
        .iter()
        .map(|(kind, payload)| line(100, kind, payload))
        .collect();
    home.put(A, meta(1, "/w", 100) + &lines);
    home.put("sessions/2026/03/04/b.jsonl", thread(2, 200));
    // Neither is a name nested so.
    home.put(
        "session_index.jsonl",
        format!("{{\"id\":{0},\"thread_name\":{0}}}\n", self::deep()),
    );
    read_all(&home, &[1, 2]);
    let store = home.store();
    let (mut log, _) = ThreadLog::open(store.log_context().clone(), id(1), &path(A)).unwrap();
    log.close().unwrap();
}

#[test]
fn numbers_and_texts_of_any_size_are_passed_over() {
    let home = TestHome::new();
    let digits = "9".repeat(100_000);
    let text = "x".repeat(4 << 20);
    let lines: String = [
        ("session_meta", format!("{{\"id\":\"{}\",\"cwd\":\"{text}\",\"cli_version\":\"{text}\"}}", id(1))),
        ("event_msg", format!("{{\"type\":\"thread_rolled_back\",\"num_turns\":{digits}}}")),
        ("event_msg", "{\"type\":\"thread_rolled_back\",\"num_turns\":18446744073709551615}".to_owned()),
        ("event_msg", "{\"type\":\"thread_rolled_back\",\"num_turns\":-1}".to_owned()),
        ("event_msg", "{\"type\":\"thread_rolled_back\",\"num_turns\":1e400}".to_owned()),
        ("event_msg", format!("{{\"type\":\"task_complete\",\"duration_ms\":{digits},\"completed_at\":-{digits}}}")),
        ("event_msg", format!("{{\"type\":\"task_complete\",\"duration_ms\":{0},\"completed_at\":{0}}}", i64::MIN)),
        ("event_msg", format!("{{\"type\":\"token_count\",\"info\":{{\"total_token_usage\":{{\"total_tokens\":{digits}}}}}}}")),
        ("event_msg", format!("{{\"type\":\"task_started\",\"turn_id\":\"{text}\",\"started_at\":{}}}", i64::MAX)),
        ("event_msg", format!("{{\"type\":\"user_message\",\"message\":\"{text}\"}}")),
        ("event_msg", format!("{{\"type\":\"thread_name_updated\",\"thread_name\":\"{text}\"}}")),
    ]
    .map(|(kind, payload)| line(100, kind, &payload))
    .concat();
    let ordinal = format!(
        "{{\"timestamp\":\"2026-03-04T00:00:00.000Z\",\"ordinal\":{digits},\"type\":\"t\",\"payload\":1}}\n"
    );
    home.put(A, lines + &ordinal);
    home.put("sessions/2026/03/04/b.jsonl", thread(2, 200));
    read_all(&home, &[1, 2]);
    let row = home.store().read_thread(id(1)).unwrap();
    assert!(row.cwd.len() <= crate::thread::MAX_TEXT_BYTES);
    assert!(row.preview.len() <= crate::thread::MAX_PREVIEW_BYTES);
}

/// Most places took the last of a repeated field, and some none of them at all: a page of turns
/// and a search did not agree on what an agent had said, and a name beside the logs that was
/// repeated so outlived its deleted thread.
#[test]
fn of_a_repeated_field_the_last_counts_wherever_it_is() {
    let home = TestHome::new();
    let parent = id(7).to_string();
    let spawn = format!(
        "{{\"thread_spawn\":1,\"thread_spawn\":{{\"agent_role\":\"x\",\"agent_role\":\"critic\",\
         \"parent_thread_id\":\"{parent}\"}}}}"
    );
    let lines = [
        ("session_meta", format!(
            "{{\"id\":\"{}\",\"id\":\"{}\",\"source\":1,\"source\":{{\"subagent\":0,\"subagent\":{spawn}}}}}",
            id(9), id(1)
        )),
        ("event_msg", "{\"type\":\"x\",\"type\":\"task_started\",\"turn_id\":\"a\",\"turn_id\":\"t\"}".into()),
        ("event_msg", "{\"type\":\"user_message\",\"message\":\"first\",\"message\":\"hello\"}".into()),
        ("response_item", "{\"type\":\"x\",\"type\":\"message\",\"role\":\"user\",\"role\":\"assistant\",\
            \"content\":[{\"type\":\"output_text\",\"text\":\"no\",\"text\":\"an answer\"}]}".into()),
        ("event_msg", "{\"type\":\"turn_failed\",\"turn_id\":\"t\",\"error\":{\"message\":\"a\",\"message\":\"why\"}}".into()),
    ];
    let lines: String = lines
        .map(|(kind, payload)| line(100, kind, &payload))
        .concat();
    home.put(A, lines);
    let name = format!(
        "{{\"id\":\"{}\",\"id\":\"{}\",\"thread_name\":\"a\",\"thread_name\":\"named\"}}\n",
        id(9),
        id(1)
    );
    home.put("session_index.jsonl", &name);
    read_all(&home, &[1]);
    let store = home.filled();
    let row = store.read_thread(id(1)).unwrap();
    assert_eq!(row.name.as_deref(), Some("named"));
    assert_eq!(row.preview, "hello");
    assert_eq!(row.agent_role.as_deref(), Some("critic"));
    assert_eq!(row.parent_thread_id, Some(id(7)));
    let turns = store.turns(id(1)).unwrap();
    assert_eq!(turns[0].turn_id.as_deref(), Some("t"));
    assert_eq!(turns[0].error.as_deref(), Some("why"));
    for (term, hits) in [("an answer", 1), ("no", 0), ("first", 0)] {
        let query = SearchQuery {
            term: term.into(),
            ..SearchQuery::default()
        };
        assert_eq!(store.search(&query).unwrap().hits.len(), hits, "{term}");
    }
    let query = crate::paging::TurnQuery {
        items: crate::paging::ItemDetail::Summary,
        ..Default::default()
    };
    let page = store.turns_page(id(1), &query).unwrap();
    assert_eq!(
        page.turns[0].items.len(),
        2,
        "what the user and the agent said"
    );
    store.delete(id(1)).unwrap();
    let names = std::fs::read_to_string(home.file("session_index.jsonl")).unwrap();
    assert_eq!(names, "");
}

/// Small files that decompress to gigabytes lay among the logs: listing them took all memory.
#[test]
fn logs_that_decompress_to_gigabytes_cost_themselves_alone() {
    let home = TestHome::new();
    let mut packer = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..512 {
        std::io::Write::write_all(&mut packer, &zeros).unwrap();
    }
    let bomb = packer.finish().unwrap();
    assert!(bomb.len() < 100_000);
    for number in 0..8 {
        home.put(&format!("sessions/bomb-{number}.jsonl.zst"), &bomb);
    }
    home.put(A, thread(1, 100));
    let store = home.filled();
    assert_eq!(ids(&store.list(&all()).unwrap()), [id(1)]);
    let failed = store.unreadable_logs().unwrap();
    assert_eq!(failed.len(), 8);
    store.backfill(WAIT, &|_| ()).unwrap();
}

/// Names of files that are none a log of ours would have, and as long as a name may be.
#[test]
fn strange_names_cost_themselves_alone() {
    use std::os::unix::ffi::OsStrExt;
    let home = TestHome::new();
    home.put(A, thread(1, 100));
    let long = "x".repeat(255 - ".jsonl".len());
    home.put(&format!("sessions/{long}.jsonl"), thread(2, 200));
    home.put("sessions/new\nline \u{1b}[2J.jsonl", thread(3, 300));
    home.put("sessions/a%2F..%2F..%2Fb.jsonl", thread(4, 400));
    home.put("sessions/..jsonl", thread(5, 500));
    let raw = std::ffi::OsStr::from_bytes(b"sessions/\xff\xfe.jsonl");
    std::fs::write(home.root().join(raw), thread(6, 600)).unwrap();
    read_all(&home, &[1, 2, 3, 4]);
    let store = home.store();
    for number in 1..=4 {
        store.archive(id(number)).unwrap();
        store.unarchive(id(number)).unwrap();
        let place = store.read_thread(id(number)).unwrap().rollout_path;
        let (mut log, _) =
            ThreadLog::open(store.log_context().clone(), id(number), &path(&place)).unwrap();
        log.close().unwrap();
        store.delete(id(number)).unwrap();
    }
}
