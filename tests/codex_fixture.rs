//! A home that OpenAI Codex's own recorder wrote, opened in place and compared with Codex's own
//! answers about it. The fixture lies outside the repository; where it is missing the test says
//! so and checks nothing. `CODEX_DIFFERENCES.md` lists what is answered otherwise, and why.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests prepare and compare plain files beside the engine"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use selvedge::view::{Change, MetadataPatch};
use selvedge::{
    Direction, ForkThread, Item, ItemDetail, ItemQuery, ListQuery, OpenOptions, Page, Record,
    SearchQuery, Selvedge, SortKey, ThreadFilter, ThreadId, ThreadSummary, TurnEntry, TurnQuery,
    UtcMicros, Verification,
};
use serde_json::{Value, json};

/// The fixture's folder, where it is there.
fn fixtures() -> Option<PathBuf> {
    let given = std::env::var_os("SELVEDGE_FIXTURES").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures");
    let found = given.unwrap_or(beside);
    found
        .join("codex-home-small.json")
        .exists()
        .then_some(found)
}

struct Fixture {
    answers: Value,
    home: PathBuf,
    _unpacked: tempfile::TempDir,
}

impl Fixture {
    /// Unpacks the home into a folder of its own; `None` (said aloud) where there is none.
    fn unpack() -> Option<Self> {
        let Some(folder) = fixtures() else {
            eprintln!("skipped: no fixture home (set SELVEDGE_FIXTURES to its folder)");
            return None;
        };
        let unpacked = tempfile::tempdir().unwrap();
        let status = Command::new("tar")
            .arg("xzf")
            .arg(folder.join("codex-home-small.tar.gz"))
            .arg("-C")
            .arg(unpacked.path())
            .status()
            .unwrap();
        assert!(status.success(), "tar failed");
        let answers = std::fs::read(folder.join("codex-home-small.json")).unwrap();
        Some(Self {
            answers: serde_json::from_slice(&answers).unwrap(),
            home: unpacked.path().join(".codex"),
            _unpacked: unpacked,
        })
    }

    async fn open(&self) -> Selvedge {
        let options = OpenOptions::new(&self.home);
        Selvedge::open(options).await.unwrap()
    }

    fn label(&self, label: &str) -> ThreadId {
        self.answers["labels"][label]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    fn threads(&self) -> impl Iterator<Item = (ThreadId, &Value)> {
        let threads = self.answers["threads"].as_object().unwrap();
        threads
            .iter()
            .map(|(id, answer)| (id.parse().unwrap(), answer))
    }
}

/// Every file below `root` with its bytes, the index apart.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != "index.redb" {
                found.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

async fn all(
    selvedge: &Selvedge,
    filter: ThreadFilter,
    how: (SortKey, Direction),
) -> Vec<ThreadId> {
    let mut query = ListQuery {
        filter,
        sort: how.0,
        direction: how.1,
        limit: 7,
        ..ListQuery::default()
    };
    let mut found = Vec::new();
    loop {
        let verified = selvedge.list_threads(query.clone()).await.unwrap();
        let index_only = ListQuery {
            verification: Verification::IndexOnly,
            ..query.clone()
        };
        let unverified = selvedge.list_threads(index_only).await.unwrap();
        assert_eq!(
            verified.threads, unverified.threads,
            "the answer depends on the mode"
        );
        let Page {
            threads,
            next_cursor,
            ..
        } = verified;
        found.extend(threads.iter().map(|thread| thread.thread_id));
        match next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return found,
        }
    }
}

fn ids(answer: &Value) -> Vec<ThreadId> {
    answer
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap().parse().unwrap())
        .collect()
}

/// What a list's key in the fixture asks for.
fn filter_of(fixture: &Fixture, key: &str) -> (ThreadFilter, (SortKey, Direction)) {
    let mut filter = ThreadFilter::default();
    let mut how = (SortKey::Created, Direction::Descending);
    if key == "children_of_basic" {
        filter.parent = Some(fixture.label("basic"));
        return (filter, how);
    }
    if let Some(term) = key.strip_prefix("search_term=") {
        filter.search = Some(term.rsplit_once('/').unwrap().0.to_owned());
        return (filter, how);
    }
    if let Some(cwd) = key.strip_prefix("cwd=") {
        filter.cwds.push(cwd.rsplit_once('/').unwrap().0.to_owned());
        return (filter, how);
    }
    for part in key.split('/') {
        match part {
            "archived=true" => filter.archived = true,
            "created_at" => how.0 = SortKey::Created,
            "updated_at" => how.0 = SortKey::Updated,
            "recency_at" => how.0 = SortKey::Recency,
            "asc" => how.1 = Direction::Ascending,
            "interactive+openai" => {
                filter.sources = vec!["cli".into(), "vscode".into()];
                filter.providers = vec!["openai".into()];
            }
            "archived=false" | "desc" | "scan" | "db_only" | "unfiltered" => {}
            other => panic!("the fixture has a list this test does not know: {other}"),
        }
    }
    (filter, how)
}

#[tokio::test]
async fn listings_and_searches_agree() {
    let Some(fixture) = Fixture::unpack() else {
        return;
    };
    let selvedge = fixture.open().await;
    let named = fixture.label("named");
    let lists = fixture.answers["lists"].as_object().unwrap();
    assert!(lists.len() >= 38);
    let mut differences = BTreeSet::new();
    for (key, answer) in lists {
        let (filter, how) = filter_of(&fixture, key);
        let found = all(&selvedge, filter, how).await;
        let mut expected = ids(answer);
        if found != expected {
            let difference = match key.as_str() {
                "search_term=RESOLVER/db_only" | "search_term=RESOLVER/scan" => {
                    expected = ids(&lists["search_term=resolver/scan"]);
                    expected.push(named);
                    "D6"
                }
                "search_term=resolver/db_only" | "search_term=resolver/scan" => {
                    expected.push(named);
                    "D7"
                }
                "search_term=Resolver work/db_only" => {
                    expected.push(named);
                    "D8"
                }
                other => panic!("{other}: {found:?} instead of {expected:?}"),
            };
            differences.insert(difference);
            let sorted = |list: Vec<ThreadId>| list.into_iter().collect::<BTreeSet<_>>();
            assert_eq!(sorted(found), sorted(expected), "{key}");
        }
    }
    assert_eq!(
        differences,
        BTreeSet::from(["D6", "D7", "D8"]),
        "a listed difference is gone"
    );
    selvedge.shutdown().await.unwrap();
}

#[tokio::test]
async fn searches_find_the_same_words_in_the_same_threads() {
    let Some(fixture) = Fixture::unpack() else {
        return;
    };
    let selvedge = fixture.open().await;
    let searches = fixture.answers["searches"].as_object().unwrap();
    assert!(searches.len() >= 6);
    for (key, answer) in searches {
        let (term, archived) = key.rsplit_once("|archived=").unwrap();
        let mut query = SearchQuery {
            term: term.to_owned(),
            limit: 6,
            ..SearchQuery::default()
        };
        query.filter.archived = archived.parse().unwrap();
        let mut found = Vec::new();
        loop {
            let page = selvedge.search_threads(query.clone()).await.unwrap();
            found.extend(page.hits.into_iter().map(|hit| {
                json!({"snippet": hit.snippet, "thread_id": hit.thread.thread_id.to_string()})
            }));
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        assert_eq!(&json!(found), answer, "{key}");
    }
    selvedge.shutdown().await.unwrap();
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

fn check_thread(summary: &ThreadSummary, answer: &Value, differences: &mut BTreeSet<&'static str>) {
    let label = answer["label"].as_str().unwrap();
    let read = &answer["read_thread"];
    let id = |id: Option<ThreadId>| id.map(|id| id.to_string());
    let expect =
        |name: &str, ours: Option<&str>| assert_eq!(ours, text(&read[name]), "{label}: {name}");
    expect("thread_id", Some(&summary.thread_id.to_string()));
    expect("preview", Some(&summary.preview));
    expect("first_user_message", summary.first_user_message.as_deref());
    expect("name", summary.name.as_deref());
    expect("cwd", Some(&summary.cwd));
    expect("model_provider", summary.model_provider.as_deref());
    expect("created_at", Some(&summary.created_at.to_string()));
    expect("history_mode", Some(&summary.history_mode));
    expect("forked_from_id", id(summary.forked_from_id).as_deref());
    expect("parent_thread_id", id(summary.parent_thread_id).as_deref());
    expect("agent_nickname", summary.agent_nickname.as_deref());
    expect("agent_role", summary.agent_role.as_deref());
    expect("cli_version", summary.cli_version.as_deref());
    assert_eq!(
        summary.archived_at.is_some(),
        !read["archived_at"].is_null(),
        "{label}: archived_at"
    );
    assert_eq!(
        Some(summary.memory_mode.as_str()),
        text(&answer["memory_mode"]),
        "{label}: memory_mode"
    );
    let source: Value = serde_json::from_str(&summary.source).unwrap();
    assert_eq!(source, read["source"], "{label}: source");
    assert_eq!(
        json!(summary.git_info),
        read["git_info"],
        "{label}: git_info"
    );
    if let Some(count) = answer["item_count"].as_u64() {
        assert_eq!(summary.item_count, count, "{label}: item_count");
    }
    check_differences(summary, answer, differences);
}

/// Where the answers may differ: how, and under which row of the table.
fn check_differences(
    summary: &ThreadSummary,
    answer: &Value,
    differences: &mut BTreeSet<&'static str>,
) {
    let label = answer["label"].as_str().unwrap();
    let read = &answer["read_thread"];
    if summary.agent_path.as_deref() != text(&read["agent_path"]) {
        assert_eq!(
            summary.agent_path.as_deref(),
            Some("/root/lexer"),
            "{label}: agent_path"
        );
        differences.insert("D2");
    }
    if summary.model.as_deref() != text(&read["model"]) {
        assert_eq!(
            summary.model.as_deref(),
            Some("gpt-5.3-codex"),
            "{label}: model"
        );
        differences.insert("D10");
    }
    if summary.approval_mode.as_deref() != text(&read["approval_mode"]) {
        assert_eq!(
            (summary.approval_mode.as_deref(), label),
            (None, "only_session_meta")
        );
        differences.insert("D11");
    }
    let time = |time: Option<UtcMicros>| time.map(|time| time.to_string());
    if time(summary.archived_at).as_deref() != text(&read["archived_at"]) {
        assert_eq!(summary.archived_at, Some(summary.updated_at), "{label}");
        differences.insert("D4");
    }
    for (name, ours) in [
        ("updated_at", summary.updated_at),
        ("recency_at", summary.recency_at),
    ] {
        if time(Some(ours)).as_deref() != text(&read[name]) {
            assert!(ours >= summary.created_at, "{label}: {name}");
            differences.insert("D5");
        }
    }
    for (name, ours) in [
        ("reasoning_effort", &summary.reasoning_effort),
        ("thread_source", &summary.thread_source),
        ("token_usage", &summary.token_usage),
    ] {
        if ours.as_deref() != text(&read[name]) {
            assert!(read[name].is_null(), "{label}: {name}");
            differences.insert("D10");
        }
    }
    let listed = &answer["list_entry"];
    if !listed.is_null() && listed["created_at"] != read["created_at"] {
        differences.insert("D1");
    }
    if !listed.is_null() && listed["forked_from_id"] != read["forked_from_id"] {
        differences.insert("D3");
    }
}

#[tokio::test]
async fn every_thread_reads_as_codex_reads_it() {
    let Some(fixture) = Fixture::unpack() else {
        return;
    };
    let selvedge = fixture.open().await;
    let mut differences = BTreeSet::new();
    for (id, answer) in fixture.threads() {
        let summary = selvedge.read_thread(id).await.unwrap();
        check_thread(&summary, answer, &mut differences);
    }
    assert_eq!(
        differences,
        BTreeSet::from(["D1", "D10", "D11", "D2", "D3", "D4", "D5"]),
        "a listed difference is gone"
    );
    selvedge.shutdown().await.unwrap();
}

/// A record's kind as the fixture spells it: `event_msg/user_message`,
/// `response_item/message:assistant`, `turn_context`.
fn kind_of(record_type: &str, payload: &Value) -> String {
    match (record_type, payload["type"].as_str()) {
        ("response_item", Some("message")) => {
            format!(
                "response_item/message:{}",
                payload["role"].as_str().unwrap()
            )
        }
        ("event_msg" | "response_item", Some(kind)) => format!("{record_type}/{kind}"),
        _ => record_type.to_owned(),
    }
}

#[tokio::test]
async fn every_history_holds_codex_s_items_in_order() {
    let Some(fixture) = Fixture::unpack() else {
        return;
    };
    let selvedge = fixture.open().await;
    let mut compared = 0;
    for (id, answer) in fixture.threads() {
        let history = selvedge.load_history(id).await.unwrap();
        assert!(history.damage.is_empty());
        let kinds: Vec<String> = history
            .records
            .iter()
            .map(|record| {
                let payload = record.payload_json().unwrap();
                kind_of(
                    record.record_type.as_str(),
                    &serde_json::from_str(payload.get()).unwrap(),
                )
            })
            .collect();
        for (at, record) in history.records.iter().enumerate() {
            assert_eq!(record.ordinal.get(), u64::try_from(at).unwrap());
        }
        match answer["item_types"].as_array() {
            Some(expected) => {
                assert_eq!(json!(kinds), json!(expected), "{}", answer["label"]);
                compared += 1;
            }
            // D9: Codex refuses the history of a paginated thread, and counts its items elsewhere.
            None => {
                assert!(answer["load_history_error"].is_string(), "D9 is gone");
                assert_eq!(json!(kinds.len()), answer["model_context_item_count"]);
            }
        }
    }
    assert!(compared >= 22);
    selvedge.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_home_in_place_is_indexed_without_changing_a_byte() {
    let Some(fixture) = Fixture::unpack() else {
        return;
    };
    let before = contents(&fixture.home);
    let selvedge = fixture.open().await;
    for (id, _) in fixture.threads() {
        selvedge.read_thread(id).await.unwrap();
        selvedge.load_history(id).await.unwrap();
    }
    all(
        &selvedge,
        ThreadFilter::default(),
        (SortKey::Updated, Direction::Descending),
    )
    .await;
    selvedge.shutdown().await.unwrap();
    assert_eq!(before, contents(&fixture.home));
}

#[tokio::test]
async fn a_resumed_json_lines_thread_stays_json_lines() {
    let Some(fixture) = Fixture::unpack() else {
        return;
    };
    let before = contents(&fixture.home);
    let selvedge = fixture.open().await;
    for label in ["basic", "paginated", "zstd_compressed", "archived_1"] {
        let id = fixture.label(label);
        let records = selvedge.load_history(id).await.unwrap().records.len();
        let thread = selvedge.resume_thread(id).await.unwrap();
        let said = json!({"type": "user_message", "message": format!("back in {label}")});
        let item = Item::json("event_msg", said.to_string()).unwrap();
        let acknowledged = thread.append(vec![item]).await.unwrap();
        assert_eq!(
            acknowledged.first_ordinal.get(),
            u64::try_from(records).unwrap(),
            "{label}"
        );
        thread.shutdown().await.unwrap();
        let path = fixture
            .home
            .join(selvedge.read_thread(id).await.unwrap().rollout_path);
        let bytes = std::fs::read(&path).unwrap();
        if let Some(old) = before.get(&path) {
            assert!(bytes.starts_with(old), "{label}: what was there changed");
        }
        let lines: Vec<Value> = String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), records + 1, "{label}");
        let last = lines.last().unwrap();
        assert_eq!(last["payload"], said);
        let ordinal = (label == "paginated").then_some(records);
        assert_eq!(
            last.get("ordinal"),
            ordinal.map(|at| json!(at)).as_ref(),
            "{label}"
        );
    }
    selvedge.shutdown().await.unwrap();
}

/// Every record of a thread's turns and items, over pages of seven.
async fn paged(
    selvedge: &Selvedge,
    id: ThreadId,
    direction: Direction,
) -> (Vec<TurnEntry>, Vec<Record>) {
    let mut turns = TurnQuery {
        direction,
        limit: 7,
        items: ItemDetail::Full,
        cursor: None,
    };
    let mut all_turns = Vec::new();
    loop {
        let page = selvedge.list_turns(id, turns.clone()).await.unwrap();
        all_turns.extend(page.turns);
        turns.cursor = page.next_cursor;
        if turns.cursor.is_none() {
            break;
        }
    }
    let mut items = ItemQuery {
        direction,
        limit: 7,
        ..ItemQuery::default()
    };
    let mut all_items = Vec::new();
    loop {
        let page = selvedge.list_items(id, items.clone()).await.unwrap();
        all_items.extend(page.items);
        items.cursor = page.next_cursor;
        if items.cursor.is_none() {
            return (all_turns, all_items);
        }
    }
}

#[tokio::test]
async fn pages_of_every_thread_hold_what_counts_of_its_history() {
    let Some(fixture) = Fixture::unpack() else {
        return;
    };
    let selvedge = fixture.open().await;
    for (id, answer) in fixture.threads() {
        let history = selvedge.load_history(id).await.unwrap();
        let counts: Vec<Record> = history.effective().into_iter().cloned().collect();
        for direction in [Direction::Ascending, Direction::Descending] {
            let (mut turns, mut items) = paged(&selvedge, id, direction).await;
            if direction == Direction::Descending {
                turns.reverse();
                items.reverse();
            }
            assert_eq!(items, counts, "{id}");
            for TurnEntry { turn, items } in &turns {
                assert!(!turn.rolled_back && !items.is_empty(), "{id}");
                let within = |record: &&Record| {
                    (turn.first_ordinal..=turn.last_ordinal).contains(&record.ordinal)
                };
                let expected: Vec<_> = counts.iter().filter(within).cloned().collect();
                assert_eq!(*items, expected, "{id}");
            }
            let has_turns = selvedge.turns(id).await.unwrap();
            let still_count = has_turns.iter().filter(|turn| !turn.rolled_back).count();
            assert_eq!(turns.len(), still_count, "{id}");
        }
        let context = selvedge.load_model_context(id).await.unwrap();
        assert!(counts.ends_with(&context.records), "{id}");
        assert_eq!(context.is_whole, context.records == counts, "{id}");
        if context.is_whole && counts.len() == history.records.len() {
            assert_eq!(
                answer["model_context_item_count"],
                json!(counts.len()),
                "{id}"
            );
        }
        let usage = history.token_usage().and_then(|usage| usage.total);
        assert_eq!(
            usage,
            selvedge.read_thread(id).await.unwrap().token_usage,
            "{id}"
        );
    }
    selvedge.shutdown().await.unwrap();
}

#[tokio::test]
async fn changes_of_codex_s_threads_are_kept_in_lines_that_it_reads() {
    let Some(fixture) = Fixture::unpack() else {
        return;
    };
    let before = contents(&fixture.home);
    let selvedge = fixture.open().await;
    let id = fixture.label("basic");
    let patch = MetadataPatch {
        name: Change::Set("a new name".into()),
        memory_mode: Change::Set("disabled".into()),
        git_branch: Change::Set("topic".into()),
        ..MetadataPatch::default()
    };
    let changed = selvedge.update_metadata(id, patch).await.unwrap();
    assert_eq!(changed.name.as_deref(), Some("a new name"));
    let turns = selvedge.turns(id).await.unwrap().len();
    let back = selvedge.roll_back(id, 1).await.unwrap();
    assert_eq!(back.turns.len() + 1, turns);
    let fork = selvedge.fork_thread(ForkThread::of(id)).await.unwrap();
    let fork_id = fork.thread_id();
    fork.shutdown().await.unwrap();
    let inherited = selvedge.load_history(id).await.unwrap().records.len();

    let path = fixture.home.join(&back.thread.rollout_path);
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.starts_with(&before[&path]));
    for line in std::str::from_utf8(&bytes).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["timestamp"].is_string() && line["payload"].is_object());
        assert_ne!(line["type"], "metadata_patch");
    }
    let names = std::fs::read_to_string(fixture.home.join("session_index.jsonl")).unwrap();
    let last: Value = serde_json::from_str(names.lines().last().unwrap()).unwrap();
    assert_eq!(last["thread_name"], "a new name");

    let archived = selvedge.archive_thread(id).await.unwrap();
    assert!(archived.is_archived());
    selvedge.rebuild(|_| {}).await.unwrap();
    assert_eq!(selvedge.read_thread(id).await.unwrap(), archived);
    selvedge.delete_thread(id).await.unwrap();
    assert!(selvedge.read_thread(id).await.is_err());
    let history = selvedge.load_history(fork_id).await.unwrap();
    assert_eq!(history.records.len(), inherited + 1);
    selvedge.shutdown().await.unwrap();
}
