//! Explicit changes of what is known of a thread.

use std::fs;

use selvedge_codec::view::{Change, MetadataPatch};
use selvedge_codec::{Item, ThreadId, UtcMicros};
use serde_json::{Value, json};

use super::home::{TestHome, id, line, meta, said, thread};
use crate::listing::ListQuery;
use crate::log::{NewThread, ThreadLog};
use crate::store::{IndexUse, MetadataChange, Store, StoreOptions};
use crate::thread::{MAX_PREVIEW_BYTES, MAX_TEXT_BYTES, ThreadSummary};
use crate::{CorruptReason, Error, InvalidRequest, MetadataReason, Result};

fn set(value: &str) -> Change<String> {
    Change::Set(value.to_owned())
}

/// Carries a change out, as a live thread does.
fn change(store: &Store, id: ThreadId, patch: &MetadataPatch) -> Result<ThreadSummary> {
    let change = store.prepare_metadata(id, patch)?;
    let path = store.find(id)?.path;
    let (mut log, _) = ThreadLog::open(store.log_context().clone(), id, &path)?;
    if !change.is_empty() {
        log.append(vec![change.items()])?;
    }
    log.close()?;
    store.finish_metadata(id, &change)?;
    store.read_thread(id)
}

/// A native thread with a git state.
fn native(store: &Store, number: u64) -> ThreadId {
    let meta = json!({
        "id": id(number), "timestamp": "2026-03-04T00:00:00.000Z", "cwd": "/w", "originator": "t",
        "cli_version": "1", "source": "cli", "git": {"commit_hash": "c0", "branch": "b0"},
    });
    let new = NewThread {
        thread_id: id(number),
        created_at: UtcMicros::parse("2026-03-04T00:00:00Z").unwrap(),
        meta: Item::json("session_meta", meta.to_string()).unwrap(),
    };
    let mut log = ThreadLog::create(store.log_context().clone(), new);
    let words = r#"{"type":"user_message","message":"hello"}"#;
    log.append(vec![vec![Item::json("event_msg", words).unwrap()]])
        .unwrap();
    log.close().unwrap();
    id(number)
}

/// What is known of a thread when nothing but its log and place is asked, and when the index is
/// made anew of them.
fn rebuilt(home: &TestHome, id: ThreadId) -> [ThreadSummary; 2] {
    let options = StoreOptions {
        index: IndexUse::None,
        ..StoreOptions::new(home.root())
    };
    let scanned = Store::open(options).unwrap().read_thread(id).unwrap();
    let store = home.store();
    store.rebuild(super::home::WAIT, &|_| ()).unwrap();
    [scanned, store.read_thread(id).unwrap()]
}

/// The lines that a log has got since it was `before` long.
fn new_lines(home: &TestHome, path: &str, before: usize) -> Vec<Value> {
    let text = fs::read_to_string(home.root().join(path)).unwrap();
    text[before..]
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn names_file(home: &TestHome) -> String {
    fs::read_to_string(home.root().join("session_index.jsonl")).unwrap_or_default()
}

/// A patch that sets every field.
fn everything() -> MetadataPatch {
    MetadataPatch {
        name: set("a name"),
        title: set("a title"),
        preview: set("a preview"),
        model: set("m"),
        model_provider: set("mp"),
        reasoning_effort: set("high"),
        approval_policy: set("never"),
        cwd: set("/elsewhere"),
        source: set(r#"{"subagent":"review"}"#),
        memory_mode: set("disabled"),
        git_sha: set("c1"),
        git_branch: set("b1"),
        git_origin_url: set("r1"),
        agent_nickname: set("Ada"),
        agent_role: set("reviewer"),
        agent_path: set("/root/ada"),
        token_usage: set(r#"{"total_tokens":7}"#),
    }
}

fn assert_everything(thread: &ThreadSummary) {
    let text = |text: &str| Some(text.to_owned());
    let git = thread.git_info.clone().unwrap();
    assert_eq!(
        [
            thread.name.clone(),
            thread.title.clone(),
            Some(thread.preview.clone()),
            thread.model.clone(),
            thread.model_provider.clone(),
            thread.reasoning_effort.clone(),
            thread.approval_mode.clone(),
            Some(thread.cwd.clone()),
            Some(thread.source.clone()),
            Some(thread.memory_mode.clone()),
            git.commit_hash,
            git.branch,
            git.repository_url,
            thread.agent_nickname.clone(),
            thread.agent_role.clone(),
            thread.agent_path.clone(),
            thread.token_usage.clone(),
        ],
        [
            text("a name"),
            text("a title"),
            text("a preview"),
            text("m"),
            text("mp"),
            text("high"),
            text("never"),
            text("/elsewhere"),
            text(r#"{"subagent":"review"}"#),
            text("disabled"),
            text("c1"),
            text("b1"),
            text("r1"),
            text("Ada"),
            text("reviewer"),
            text("/root/ada"),
            text(r#"{"total_tokens":7}"#),
        ]
    );
}

#[test]
fn every_field_is_set_and_cleared_and_a_rebuilt_index_keeps_it() {
    let clear = MetadataPatch {
        name: Change::Clear,
        title: Change::Clear,
        preview: Change::Clear,
        model: Change::Clear,
        model_provider: Change::Clear,
        reasoning_effort: Change::Clear,
        approval_policy: Change::Clear,
        cwd: Change::Clear,
        source: Change::Clear,
        memory_mode: Change::Clear,
        git_sha: Change::Clear,
        git_branch: Change::Clear,
        git_origin_url: Change::Clear,
        agent_nickname: Change::Clear,
        agent_role: Change::Clear,
        agent_path: Change::Clear,
        token_usage: Change::Clear,
    };
    let home = TestHome::new();
    let store = home.store();
    home.put("sessions/a.jsonl", thread(1, 100));
    native(&store, 2);
    let packed = zstd::encode_all(thread(3, 100).as_bytes(), 3).unwrap();
    home.put("sessions/c.jsonl.zst", packed);
    for number in 1..=3 {
        let id = id(number);
        let changed = change(&store, id, &everything()).unwrap();
        assert_everything(&changed);
        assert_eq!(rebuilt(&home, id), [changed.clone(), changed]);
        let cleared = change(&store, id, &clear).unwrap();
        assert_eq!((&cleared.name, &cleared.title), (&None, &None));
        assert_eq!(cleared.git_info, None);
        assert_eq!(cleared.memory_mode, "enabled");
        assert_eq!(
            cleared.first_user_message.as_deref(),
            Some(cleared.preview.as_str())
        );
        assert_eq!(
            (cleared.cwd.as_str(), cleared.source.as_str()),
            ("", "null")
        );
        assert_eq!((&cleared.model, &cleared.token_usage), (&None, &None));
        assert_eq!(rebuilt(&home, id), [cleared.clone(), cleared]);
        let unchanged = store
            .prepare_metadata(id, &MetadataPatch::default())
            .unwrap();
        assert!(unchanged.is_empty());
    }
}

#[test]
fn a_log_of_json_lines_is_told_in_the_words_of_the_tool_that_owns_it() {
    let home = TestHome::new();
    let store = home.store();
    let copied = line(100, "session_meta", &format!("{{\"id\":\"{}\"}}", id(9)));
    let text = meta(1, "/work", 100) + &copied + &said(101, "hello");
    home.put("sessions/a.jsonl", &text);
    let git = MetadataPatch {
        git_branch: set("main"),
        git_sha: set("abc"),
        ..MetadataPatch::default()
    };
    change(&store, id(1), &git).unwrap();
    let partly = MetadataPatch {
        git_sha: Change::Clear,
        name: set("größer"),
        ..MetadataPatch::default()
    };
    change(&store, id(1), &partly).unwrap();
    let memory = MetadataPatch {
        memory_mode: set("disabled"),
        title: set("t"),
        ..MetadataPatch::default()
    };
    let thread = change(&store, id(1), &memory).unwrap();
    let lines = new_lines(&home, "sessions/a.jsonl", text.len());
    let own: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let repeated = |mode: &str, git: Option<Value>| {
        let mut payload = own["payload"].clone();
        payload["memory_mode"] = mode.into();
        if let Some(git) = git {
            payload["git"] = git;
        }
        ("session_meta".to_owned(), payload)
    };
    let told: Vec<(String, Value)> = lines
        .iter()
        .map(|line| {
            (
                line["type"].as_str().unwrap().to_owned(),
                line["payload"].clone(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            repeated(
                "enabled",
                Some(json!({"commit_hash": "abc", "branch": "main"}))
            ),
            repeated("enabled", Some(json!({"branch": "main"}))),
            (
                "event_msg".to_owned(),
                json!({"type": "thread_name_updated", "thread_id": id(1), "thread_name": "größer"})
            ),
            repeated("disabled", None),
            ("metadata_patch".to_owned(), json!({"title": "t"})),
        ]
    );
    assert_eq!(thread.git_info.unwrap().branch.as_deref(), Some("main"));
    assert_eq!(thread.memory_mode, "disabled");
    let kept: Value = serde_json::from_str(names_file(&home).trim()).unwrap();
    assert_eq!(
        (&kept["id"], &kept["thread_name"]),
        (&json!(id(1)), &json!("größer"))
    );
    assert!(kept["updated_at"].is_string());
}

/// The own meta was repeated with the memory mode that it had been started with, which undid a
/// later change of it.
#[test]
fn a_change_of_the_git_state_leaves_the_memory_mode_as_it_is() {
    let home = TestHome::new();
    let store = home.store();
    home.put("sessions/a.jsonl", thread(1, 100));
    let memory = MetadataPatch {
        memory_mode: set("disabled"),
        ..MetadataPatch::default()
    };
    change(&store, id(1), &memory).unwrap();
    let git = MetadataPatch {
        git_branch: set("b"),
        ..MetadataPatch::default()
    };
    assert_eq!(change(&store, id(1), &git).unwrap().memory_mode, "disabled");
    // What a patch in such a log has decided on, another one changes.
    let patch = line(300, "metadata_patch", r#"{"git_branch":"explicit"}"#);
    let path = home.root().join("sessions/a.jsonl");
    let text = fs::read_to_string(&path).unwrap() + &patch;
    fs::write(&path, text).unwrap();
    let thread = change(&store, id(1), &git).unwrap();
    assert_eq!(thread.git_info.unwrap().branch.as_deref(), Some("b"));
}

#[test]
fn a_cleared_name_does_not_come_back_from_beside_the_log() {
    let home = TestHome::new();
    let store = home.store();
    home.put("sessions/a.jsonl", thread(1, 100));
    let outside = format!(
        "{{\"id\":\"{}\",\"thread_name\":\"outside\",\"updated_at\":\"x\"}}",
        id(1)
    );
    // A line that its writer has not ended.
    home.put("session_index.jsonl", &outside);
    native(&store, 2);
    let name = |store: &Store| store.read_thread(id(1)).unwrap().name;
    assert_eq!(name(&store).as_deref(), Some("outside"));
    let clear = MetadataPatch {
        name: Change::Clear,
        ..MetadataPatch::default()
    };
    let change_of = store.prepare_metadata(id(1), &clear).unwrap();
    let (mut log, _) = ThreadLog::open(
        store.log_context().clone(),
        id(1),
        &store.find(id(1)).unwrap().path,
    )
    .unwrap();
    log.append(vec![change_of.items()]).unwrap();
    log.close().unwrap();
    // Also before the file beside the logs says so.
    assert_eq!(name(&store), None);
    assert!(
        rebuilt(&home, id(1))
            .iter()
            .all(|thread| thread.name.is_none())
    );
    store.finish_metadata(id(1), &change_of).unwrap();
    let text = names_file(&home);
    assert!(text.starts_with(&outside), "what was there stays");
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["thread_name"], "", "{text}");
    // Once more: nothing is left to say.
    store.finish_metadata(id(1), &change_of).unwrap();
    assert_eq!(names_file(&home), text);
    let rename = MetadataPatch {
        name: set("native"),
        ..MetadataPatch::default()
    };
    change(&store, id(2), &rename).unwrap();
    assert!(
        names_file(&home).contains("\"native\""),
        "a home that keeps names there keeps all of them there"
    );
    let query = ListQuery::default();
    assert_eq!(
        store.list(&query).unwrap().threads,
        home.scan(&query).threads
    );
}

#[test]
fn a_home_without_json_lines_gets_no_file_of_names() {
    let home = TestHome::new();
    let store = home.store();
    native(&store, 1);
    let thread = change(&store, id(1), &everything()).unwrap();
    assert_everything(&thread);
    assert!(!home.root().join("session_index.jsonl").exists());
}

#[test]
fn a_value_that_could_not_be_given_back_is_refused() {
    let home = TestHome::new();
    let store = home.store();
    native(&store, 1);
    let refused = |patch: &MetadataPatch| {
        let told = store.prepare_metadata(id(1), patch).unwrap_err();
        let new = MetadataChange::for_new(patch).unwrap_err();
        assert_eq!(told.to_string(), new.to_string());
        match told {
            Error::InvalidRequest(InvalidRequest::Metadata { field, why }) => (field, why),
            other => panic!("{other}"),
        }
    };
    let with = |change: fn(&mut MetadataPatch, Change<String>), value: String| {
        let mut patch = MetadataPatch::default();
        change(&mut patch, Change::Set(value));
        patch
    };
    let too_long = |length, limit| MetadataReason::TooLong { length, limit };
    let million = "n".repeat(1 << 20);
    assert_eq!(
        refused(&with(|patch, value| patch.name = value, million.clone())),
        ("name", too_long(1 << 20, MAX_TEXT_BYTES))
    );
    assert_eq!(
        refused(&with(
            |patch, value| patch.agent_path = value,
            million.clone()
        )),
        ("agent_path", too_long(1 << 20, MAX_TEXT_BYTES))
    );
    assert_eq!(
        refused(&with(
            |patch, value| patch.preview = value,
            "p".repeat(2000)
        )),
        ("preview", too_long(2000, MAX_PREVIEW_BYTES))
    );
    assert_eq!(
        refused(&with(|patch, value| patch.name = value, " \n".into())),
        ("name", MetadataReason::Blank)
    );
    assert_eq!(
        refused(&with(
            |patch, value| patch.memory_mode = value,
            "off".into()
        )),
        ("memory_mode", MetadataReason::NotOneOf("enabled, disabled"))
    );
    let (field, why) = refused(&with(|patch, value| patch.source = value, "cli".into()));
    assert!(field == "source" && matches!(why, MetadataReason::NotJson(_)));
    for usage in ["7", "{", "[]"] {
        let patch = with(|patch, value| patch.token_usage = value, usage.into());
        assert!(matches!(
            refused(&patch),
            ("token_usage", MetadataReason::NotJson(_))
        ));
    }
    let longest = with(
        |patch, value| patch.name = value,
        "n".repeat(MAX_TEXT_BYTES),
    );
    let thread = change(&store, id(1), &longest).unwrap();
    assert_eq!(thread.name.map(|name| name.len()), Some(MAX_TEXT_BYTES));
}

#[test]
fn a_log_whose_own_meta_is_no_good_is_not_written_to() {
    let home = TestHome::new();
    let store = home.store();
    let nameless = line(100, "session_meta", r#"{"cwd":"/w"}"#) + &said(101, "hello");
    let name = format!("sessions/rollout-2026-03-04T00-00-00-{}.jsonl", id(1));
    home.put(&name, &nameless);
    let only_words = format!("sessions/rollout-2026-03-04T00-00-00-{}.jsonl", id(2));
    home.put(&only_words, said(101, "hello"));
    for number in [1, 2] {
        let refused = store.prepare_metadata(id(number), &everything());
        assert!(
            matches!(
                refused,
                Err(Error::Corrupt {
                    why: CorruptReason::NoOwnMeta,
                    ..
                })
            ),
            "{refused:?}"
        );
    }
    assert!(matches!(
        store.prepare_metadata(id(7), &everything()),
        Err(Error::ThreadNotFound { .. })
    ));
}

#[test]
fn git_fields_of_a_native_thread_are_set_partly_and_cleared() {
    let home = TestHome::new();
    let store = home.store();
    native(&store, 1);
    let git = |thread: ThreadSummary| {
        let git = thread.git_info.unwrap_or_default();
        [git.commit_hash, git.branch, git.repository_url].map(Option::unwrap_or_default)
    };
    let patch = MetadataPatch {
        git_sha: set("c1"),
        ..MetadataPatch::default()
    };
    assert_eq!(
        git(change(&store, id(1), &patch).unwrap()),
        ["c1", "b0", ""]
    );
    let patch = MetadataPatch {
        git_branch: Change::Clear,
        git_origin_url: set("r"),
        ..MetadataPatch::default()
    };
    assert_eq!(git(change(&store, id(1), &patch).unwrap()), ["c1", "", "r"]);
    for thread in rebuilt(&home, id(1)) {
        assert_eq!(git(thread), ["c1", "", "r"]);
    }
}
