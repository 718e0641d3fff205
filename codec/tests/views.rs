//! Views: what the engine reads of payloads, and how little it takes for granted.
#![cfg(test)]

use bytes::Bytes;
use proptest::prelude::*;
use selvedge_codec::jsonl::item_from_line;
use selvedge_codec::view::{Change, GitInfo, MetadataPatch, SessionMeta, TokenUsage, View, text};
use selvedge_codec::{BatchPosition, CodecError, Item, Ordinal, Record, UtcMicros};

fn record(item: Item) -> Record {
    item.into_record(Ordinal::ZERO, UtcMicros::EPOCH, BatchPosition::WHOLE)
}

fn of_payload(record_type: &str, payload: &str) -> Record {
    record(Item::json(record_type, payload.to_owned()).unwrap())
}

fn event(payload: &str) -> Record {
    of_payload("event_msg", payload)
}

/// The same payload, in a line that is kept whole.
fn of_odd_line(record_type: &str, payload: &str) -> Record {
    let payload = payload.replace('\n', " ");
    let line = format!(
        r#"{{ "payload":{payload},"type":"{record_type}","timestamp":"2026-02-20T09:15:00Z"}}"#
    );
    record(item_from_line(Bytes::from(line)).unwrap())
}

macro_rules! view {
    ($record:expr, $variant:ident) => {
        match View::of(&$record).unwrap() {
            View::$variant(view) => view,
            other => panic!("{other:?}"),
        }
    };
}

#[test]
fn a_session_meta_says_what_the_thread_is() {
    let payload = r#"{"session_id":"s","id":"019c8eee-2e7c-7c83-8290-5485b66a79c0",
        "parent_thread_id":"p","forked_from_id":"f","timestamp":"2026-02-24T09:15:00.092Z",
        "cwd":"/home/user/проект","originator":"codex_cli_rs","cli_version":"0.0.0",
        "source":{"subagent":{"depth":1}},"thread_source":"subagent","agent_nickname":"Ada",
        "agent_role":"explorer","agent_path":"/root/lexer","model_provider":"openai",
        "base_instructions":{"text":"Be \"concise\"."},"memory_mode":"disabled",
        "history_mode":"legacy","context_window":{"window_id":"w"},
        "git":{"commit_hash":"51b2","branch":"main","repository_url":null}}"#;
    for record in [
        of_payload("session_meta", payload),
        of_odd_line("session_meta", payload),
    ] {
        let meta = view!(record, SessionMeta);
        assert_eq!(
            meta.thread_id().map(|id| id.to_string()).as_deref(),
            Some("019c8eee-2e7c-7c83-8290-5485b66a79c0")
        );
        assert_eq!(
            meta.created_at().map(|time| time.to_string()).as_deref(),
            Some("2026-02-24T09:15:00.092Z")
        );
        assert_eq!(meta.cwd.as_deref(), Some("/home/user/проект"));
        assert_eq!(meta.source.unwrap().get(), r#"{"subagent":{"depth":1}}"#);
        assert_eq!(meta.agent_path.as_deref(), Some("/root/lexer"));
        assert_eq!(meta.forked_from_id.as_deref(), Some("f"));
        assert_eq!(meta.memory_mode.as_deref(), Some("disabled"));
        let git = meta.git.unwrap();
        assert_eq!(git.branch.as_deref(), Some("main"));
        assert_eq!(git.repository_url, None);
    }
}

#[test]
fn a_session_meta_is_written_with_the_fields_it_has() {
    let meta = SessionMeta {
        id: Some("i".into()),
        git: Some(GitInfo {
            branch: Some("main".into()),
            ..GitInfo::default()
        }),
        ..SessionMeta::default()
    };
    let written = serde_json::to_string(&meta).unwrap();
    assert_eq!(written, r#"{"id":"i","git":{"branch":"main"}}"#);
    let record = of_payload("session_meta", &written);
    assert_eq!(view!(record, SessionMeta).id.as_deref(), Some("i"));
}

#[test]
fn messages_come_as_events_and_as_completed_items() {
    let user = event(
        r#"{"type":"user_message","message":"caf\u00e9 \"x\"","images":[],"local_images":["a.png"]}"#,
    );
    let user = view!(user, UserMessage);
    assert_eq!(user.message.as_deref(), Some("café \"x\""));
    assert!(user.has_images());
    let agent = event(r#"{"type":"agent_message","message":"Réponse","phase":"final_answer"}"#);
    assert_eq!(
        view!(agent, AgentMessage).message.as_deref(),
        Some("Réponse")
    );

    let item = event(
        r#"{"type":"item_completed","turn_id":"t","item":{"type":"UserMessage","id":"u","content":[{"type":"text","text":"one "},{"type":"image"},{"type":"text","text":"two"}]},"completed_at_ms":5}"#,
    );
    let completed = view!(item, ItemCompleted);
    assert_eq!(completed.turn_id.as_deref(), Some("t"));
    let item = completed.item.unwrap();
    assert_eq!(item.user_text().as_deref(), Some("one two"));
    assert_eq!(item.agent_text(), None);
    let item = event(
        r#"{"type":"item_completed","item":{"type":"AgentMessage","content":[{"type":"Text","text":"done"}]}}"#,
    );
    let item = view!(item, ItemCompleted).item.unwrap();
    assert_eq!(item.agent_text().as_deref(), Some("done"));
}

#[test]
fn a_turn_has_a_beginning_settings_and_an_end() {
    let started = event(
        r#"{"type":"task_started","turn_id":"t","started_at":1770000000,"model_context_window":272000}"#,
    );
    assert_eq!(view!(started, TurnStarted).started_at, Some(1_770_000_000));
    let completed = event(
        r#"{"type":"task_complete","turn_id":"t","last_agent_message":"done","duration_ms":1234}"#,
    );
    let completed = view!(completed, TurnCompleted);
    assert_eq!(completed.last_agent_message.as_deref(), Some("done"));
    assert_eq!(completed.duration_ms, Some(1234));
    let aborted = event(r#"{"type":"turn_aborted","turn_id":"t","reason":"interrupted"}"#);
    assert_eq!(
        view!(aborted, TurnAborted).reason.as_deref(),
        Some("interrupted")
    );
    let failed = event(r#"{"type":"turn_failed","turn_id":"t","error":{"code":1}}"#);
    assert_eq!(
        view!(failed, TurnFailed).error.unwrap().get(),
        r#"{"code":1}"#
    );
    let context = of_payload(
        "turn_context",
        r#"{"turn_id":"t","cwd":"/w","approval_policy":"on-request","sandbox_policy":{"type":"x"},"model":"m","effort":"medium"}"#,
    );
    let context = view!(context, TurnContext);
    assert_eq!(context.model.as_deref(), Some("m"));
    assert_eq!(
        context.approval_policy.and_then(text).as_deref(),
        Some("on-request")
    );
    assert_eq!(context.sandbox_policy.unwrap().get(), r#"{"type":"x"}"#);
    let tokens = event(
        r#"{"type":"token_count","info":{"total_token_usage":{"input_tokens":900,"total_tokens":990}},"rate_limits":null}"#,
    );
    let tokens = view!(tokens, TokenCount);
    let usage = tokens.info.unwrap().total_token_usage.unwrap();
    assert_eq!(usage.get(), r#"{"input_tokens":900,"total_tokens":990}"#);
    let usage = TokenUsage::of(usage).unwrap();
    assert_eq!(
        (usage.input_tokens, usage.total_tokens),
        (Some(900), Some(990))
    );
    assert!(tokens.rate_limits.is_none());
}

#[test]
fn history_is_compacted_rolled_back_and_renamed() {
    let compacted = of_payload(
        "compacted",
        r#"{"message":"s","replacement_history":[{"a":1}]}"#,
    );
    let compacted = view!(compacted, Compacted);
    assert_eq!(compacted.replacement_history.unwrap().get(), r#"[{"a":1}]"#);
    let rolled_back = event(r#"{"type":"thread_rolled_back","num_turns":2}"#);
    assert_eq!(view!(rolled_back, RolledBack).num_turns, Some(2));
    let named = event(r#"{"type":"thread_name_updated","thread_name":"größer 🚀"}"#);
    assert_eq!(
        view!(named, NameUpdated).thread_name.as_deref(),
        Some("größer 🚀")
    );
    let unnamed = event(r#"{"type":"thread_name_updated","thread_name":null}"#);
    assert_eq!(view!(unnamed, NameUpdated).thread_name, None);
}

#[test]
fn a_patch_tells_omitted_null_and_a_value_apart() {
    let payload = r#"{"name":null,"git_branch":"main","cwd":7,"unknown":1}"#;
    let record = of_payload("metadata_patch", payload);
    let patch = view!(record, MetadataPatch);
    let expected = MetadataPatch {
        name: Change::Clear,
        git_branch: Change::Set("main".to_owned()),
        ..MetadataPatch::default()
    };
    assert_eq!(patch, expected);
    assert!(!patch.is_empty());
    assert_eq!(
        serde_json::to_string(&patch).unwrap(),
        r#"{"name":null,"git_branch":"main"}"#
    );
    let names: Vec<_> = patch.changes().map(|(name, _)| name).collect();
    assert_eq!(names, MetadataPatch::FIELDS);
    let later = MetadataPatch {
        name: Change::Set("n".to_owned()),
        ..MetadataPatch::default()
    };
    let both = patch.then(later);
    assert_eq!(both.name, Change::Set("n".to_owned()));
    assert_eq!(both.git_branch, Change::Set("main".to_owned()));
    let mut name = None;
    both.name.apply(&mut name);
    assert_eq!(name.as_deref(), Some("n"));
    Change::Clear.apply(&mut name);
    assert_eq!(name, None);
    assert!(MetadataPatch::default().is_empty());
}

#[test]
fn what_a_view_does_not_know_is_no_error() {
    for payload in [
        "{}",
        r#"{"id":7,"cwd":null,"git":[],"source":null,"timestamp":{}}"#,
        r#"{"id":"\ud800"}"#,
        r#"{"id":"first","id":7}"#,
    ] {
        let record = of_payload("session_meta", payload);
        let meta = view!(record, SessionMeta);
        assert_eq!((meta.id.as_deref(), meta.thread_id()), (None, None));
        assert!(meta.cwd.is_none() && meta.source.is_none() && meta.git.is_none());
    }
    let escaped = of_payload("session_meta", r#"{"\u0069d":"x"}"#);
    assert_eq!(view!(escaped, SessionMeta).id.as_deref(), Some("x"));
    for payload in ["[\"x\"]", "7", "null", "\"x\""] {
        assert!(matches!(
            View::of(&of_payload("session_meta", payload)),
            Err(CodecError::NotJson { .. })
        ));
    }
}

#[test]
fn what_needs_no_view_has_none() {
    for record in [
        of_payload("response_item", r#"{"type":"message"}"#),
        event(r#"{"type":"context_compacted"}"#),
        event("[]"),
        of_payload("anything", "1"),
        record(Item::binary("session_meta", &b"\xff"[..]).unwrap()),
    ] {
        assert!(matches!(View::of(&record), Ok(View::Other)), "{record:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_patch_is_read_as_it_was_written(
        changes in prop::collection::vec(0_u8..3, MetadataPatch::FIELDS.len()),
        value in "\\PC{0,12}",
    ) {
        let object: serde_json::Map<_, _> = MetadataPatch::FIELDS
            .iter()
            .zip(&changes)
            .filter(|(_, change)| **change != 0)
            .map(|(name, change)| {
                let value = (*change == 1).then(|| value.clone());
                ((*name).to_owned(), value.into())
            })
            .collect();
        let record = of_payload("metadata_patch", &serde_json::to_string(&object).unwrap());
        let patch = view!(record, MetadataPatch);
        for ((_, change), wanted) in patch.changes().zip(&changes) {
            let expected = match wanted {
                0 => Change::Keep,
                1 => Change::Set(value.clone()),
                _ => Change::Clear,
            };
            prop_assert_eq!(change, &expected);
        }
        prop_assert_eq!(serde_json::to_value(&patch).unwrap(), serde_json::Value::Object(object));
    }
}

#[test]
fn a_lost_record_tells_where_the_damaged_file_is_kept() {
    let payload =
        r#"{"reason":"the checksum differs","copy":"damaged/t/a.rlog","offset":48,"length":9}"#;
    for record in [of_payload("lost", payload), of_odd_line("lost", payload)] {
        let lost = view!(record, Lost);
        assert_eq!(lost.reason.as_deref(), Some("the checksum differs"));
        assert_eq!(lost.copy.as_deref(), Some("damaged/t/a.rlog"));
        assert_eq!((lost.offset, lost.length), (Some(48), Some(9)));
        assert_eq!(serde_json::to_string(&lost).unwrap(), payload);
    }
    // Somebody else's records of this type.
    for payload in ["17", "{}", r#"{"copy":1}"#] {
        let record = of_payload("lost", payload);
        assert!(matches!(View::of(&record), Ok(View::Other)), "{payload}");
    }
}
