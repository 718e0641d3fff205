//! What the projection makes of logs.

mod going_on;

use selvedge_codec::ThreadId;

use super::*;
use crate::disk::RealDisk;
use crate::home::LogPath;
use crate::sample_home::*;
use crate::thread::{ThreadSummary, TurnStatus, TurnSummary};
use crate::{CorruptReason, Error, Result};

fn from_start(place: &SampleHome, path: &LogPath) -> Result<Projection> {
    project(&RealDisk, &place.home(), path, None)
}

fn project_bytes(name: &str, bytes: &[u8]) -> Result<Projection> {
    let place = SampleHome::new();
    let path = place.write(name, bytes);
    from_start(&place, &path)
}

/// The summary of a log of the thread 1.
fn summary(samples: &[Sample]) -> ThreadSummary {
    let name = format!("sessions/rollout-2026-02-20T09-14-58-{}.jsonl", id(1));
    project_bytes(&name, &lines(samples))
        .unwrap()
        .thread
        .summary
}

fn turns_of(samples: &[Sample]) -> Vec<TurnSummary> {
    let mut turns = Vec::new();
    let name = format!("sessions/{}.jsonl", id(1));
    let projection = project_bytes(&name, &lines(samples)).unwrap();
    apply_turn_changes(&mut turns, projection.turns);
    turns.into_iter().map(|placed| placed.turn).collect()
}

#[test]
fn a_thread_is_described_by_its_meta_its_settings_and_its_users_words() {
    let more = r#""cli_version":"1.2","thread_source":"user","memory_mode":"disabled",
        "history_mode":"paginated","agent_nickname":"Ada","agent_role":"explorer",
        "agent_path":"/root","git":{"commit_hash":"c","branch":"b","repository_url":"r"},
        "forked_from_id":"019c7a54-be6b-7e31-86dd-000000000002",
        "parent_thread_id":"019c7a54-be6b-7e31-86dd-000000000003""#;
    let thread = summary(&[
        meta(1, &more.replace('\n', "")),
        started("t"),
        record(
            "turn_context",
            r#"{"turn_id":"t","model":"m","effort":"high","approval_policy":"never"}"#,
        ),
        user("  first words\n"),
        response("r"),
        event(
            "token_count",
            r#""info":{"total_token_usage":{"cache_write_input_tokens": 2, "total_tokens": 7}}"#,
        ),
        event("token_count", r#""info":null"#),
        completed("t"),
        user("second words"),
        response("r"),
    ]);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(thread.thread_id, id(1));
    assert_eq!(thread.created_at, moment(-500));
    assert_eq!(thread.updated_at, moment(10));
    assert_eq!(thread.recency_at, moment(9));
    assert_eq!(thread.archived_at, None);
    assert_eq!(thread.first_user_message, text("  first words\n"));
    assert_eq!(thread.preview, "first words");
    assert_eq!(thread.cwd, "/home/user");
    assert_eq!(thread.model_provider, text("openai"));
    assert_eq!(thread.model, text("m"));
    assert_eq!(thread.reasoning_effort, text("high"));
    assert_eq!(thread.approval_mode, text("never"));
    assert_eq!(thread.source, "\"cli\"");
    assert_eq!(thread.thread_source, text("user"));
    assert_eq!(thread.cli_version, text("1.2"));
    assert_eq!(thread.history_mode, "paginated");
    assert_eq!(thread.memory_mode, "disabled");
    let git = thread.git_info.unwrap();
    assert_eq!(
        (git.commit_hash, git.branch, git.repository_url),
        (text("c"), text("b"), text("r"))
    );
    assert_eq!(thread.forked_from_id, Some(id(2)));
    assert_eq!(thread.parent_thread_id, Some(id(3)));
    assert_eq!(thread.agent_nickname, text("Ada"));
    assert_eq!(thread.agent_role, text("explorer"));
    assert_eq!(thread.agent_path, text("/root"));
    assert_eq!(
        thread.token_usage,
        text(r#"{"cache_write_input_tokens": 2, "total_tokens": 7}"#),
        "as the log has it"
    );
    assert_eq!((thread.item_count, thread.next_ordinal.get()), (10, 10));
    assert_eq!(thread.damaged_count, 0);
}

#[test]
fn what_a_log_does_not_say_has_its_usual_value() {
    let thread = summary(&[record("session_meta", "{}"), event("user_message", "")]);
    assert_eq!(thread.thread_id, id(1), "the file's name tells");
    assert_eq!(
        thread.created_at,
        moment(1),
        "the meta's record was made then"
    );
    assert_eq!((thread.cwd.as_str(), thread.source.as_str()), ("", "null"));
    assert_eq!(
        (thread.history_mode.as_str(), thread.memory_mode.as_str()),
        ("legacy", "enabled")
    );
    assert_eq!(thread.preview, "");
    assert!(!thread.has_user_message(), "nothing was said");
    let without_meta = summary(&[user("hello")]);
    assert_eq!(
        without_meta.created_at,
        moment(-2000),
        "the file's name tells"
    );
}

#[test]
fn a_sub_agent_is_described_by_its_source_where_its_meta_says_nothing_else() {
    let source = r#"{"subagent":{"thread_spawn":{"agent_nickname":"Ada","agent_path":"/root",
        "parent_thread_id":"019c7a54-be6b-7e31-86dd-000000000003","depth":1}}}"#;
    let source = source.replace('\n', "");
    let payload = format!("{{\"id\":\"{}\",\"source\":{source}}}", id(1));
    let thread = summary(&[record("session_meta", payload)]);
    assert_eq!(thread.source, source);
    assert_eq!(thread.source_name(), "subagent");
    assert_eq!(thread.parent_thread_id, Some(id(3)));
    assert_eq!(thread.agent_nickname.as_deref(), Some("Ada"));
    assert_eq!(thread.agent_path.as_deref(), Some("/root"));
}

#[test]
fn a_later_meta_of_the_thread_changes_it_and_one_of_another_is_copied_history() {
    let thread = summary(&[
        meta(
            1,
            "\"forked_from_id\":\"019c7a54-be6b-7e31-86dd-000000000002\"",
        ),
        meta(
            2,
            "\"memory_mode\":\"disabled\",\"git\":{\"branch\":\"theirs\"}",
        ),
        event(
            "thread_name_updated",
            &format!("\"thread_id\":\"{}\",\"thread_name\":\"theirs\"", id(2)),
        ),
        user("copied"),
    ]);
    assert_eq!(thread.thread_id, id(1));
    assert_eq!(thread.memory_mode, "enabled");
    assert_eq!((thread.git_info, thread.name), (None, None));
    let thread = summary(&[
        meta(1, ""),
        user("words"),
        meta(
            1,
            "\"memory_mode\":\"disabled\",\"git\":{\"branch\":\"ours\"}",
        ),
        event("thread_name_updated", "\"thread_name\":\"ours\""),
    ]);
    assert_eq!(thread.memory_mode, "disabled");
    assert_eq!(thread.git_info.unwrap().branch.as_deref(), Some("ours"));
    assert_eq!(thread.name.as_deref(), Some("ours"));
    assert_eq!(thread.created_at, moment(-500));
}

fn patch(json: &str) -> Sample {
    record("metadata_patch", json)
}

#[test]
fn a_patch_changes_what_it_names_and_nothing_else() {
    let first = [
        meta(1, "\"git\":{\"branch\":\"b\"}"),
        user("words"),
        patch(
            r#"{"name":"n","git_sha":"c","memory_mode":"disabled","source":"vscode","preview":"p"}"#,
        ),
    ];
    let thread = summary(&first);
    assert_eq!(thread.name.as_deref(), Some("n"));
    assert_eq!(
        (thread.preview.as_str(), thread.source.as_str()),
        ("p", "\"vscode\"")
    );
    assert_eq!(thread.memory_mode, "disabled");
    let git = thread.git_info.unwrap();
    assert_eq!(
        (git.commit_hash.as_deref(), git.branch.as_deref()),
        (Some("c"), Some("b"))
    );
    let clear =
        r#"{"name":null,"git_sha":null,"git_branch":null,"memory_mode":null,"preview":null}"#;
    let thread = summary(&[&first[..], &[patch(clear)]].concat());
    assert_eq!((thread.name, thread.git_info), (None, None));
    assert_eq!(
        (thread.preview.as_str(), thread.memory_mode.as_str()),
        ("words", "enabled")
    );
    assert_eq!(thread.cwd, "/home/user");
}

#[test]
fn a_title_and_a_token_usage_are_set_and_cleared() {
    let set = patch(r#"{"title":"t","token_usage":"{\"total_tokens\":3}"}"#);
    let thread = summary(&[meta(1, ""), set.clone()]);
    assert_eq!(thread.title.as_deref(), Some("t"));
    assert_eq!(thread.token_usage.as_deref(), Some(r#"{"total_tokens":3}"#));
    assert_eq!(thread.name, None, "a title is no name");
    let no_usage = patch(r#"{"token_usage":"many"}"#);
    let thread = summary(&[meta(1, ""), set.clone(), no_usage]);
    assert!(
        thread.token_usage.is_some(),
        "what is no usage says nothing"
    );
    let clear = patch(r#"{"title":null,"token_usage":null}"#);
    let thread = summary(&[meta(1, ""), set, clear]);
    assert_eq!((thread.title, thread.token_usage), (None, None));
}

/// The git state that a thread's records leave it with: commit, branch, origin.
fn git_of(samples: &[Sample]) -> [Option<String>; 3] {
    let git = summary(samples).git_info.unwrap_or_default();
    [git.commit_hash, git.branch, git.repository_url]
}

#[test]
fn git_fields_of_patches_stay_whatever_metas_say() {
    let state = |fields: [Option<&str>; 3]| fields.map(|field| field.map(str::to_owned));
    let first = meta(1, r#""git":{"commit_hash":"c1","branch":"b1"}"#);
    let later = meta(
        1,
        r#""git":{"commit_hash":"c2","branch":"b2","repository_url":"r2"}"#,
    );
    let set = patch(r#"{"git_sha":"c3"}"#);
    let cleared = patch(r#"{"git_branch":null}"#);
    assert_eq!(
        git_of(&[first.clone(), set.clone(), cleared.clone(), later.clone()]),
        state([Some("c3"), None, Some("r2")]),
        "cleared is as explicit as set"
    );
    let again = patch(r#"{"git_sha":null,"git_branch":"b4"}"#);
    assert_eq!(
        git_of(&[first.clone(), set.clone(), cleared, later.clone(), again]),
        state([None, Some("b4"), Some("r2")]),
    );
    assert_eq!(
        git_of(&[
            first.clone(),
            later.clone(),
            meta(1, r#""git":{"branch":"b5"}"#)
        ]),
        state([None, Some("b5"), None]),
        "a meta tells all of the state"
    );
    assert_eq!(
        git_of(&[first.clone(), later, meta(1, r#""git":{}"#)]),
        [None, None, None]
    );
    assert_eq!(
        git_of(&[first.clone(), meta(1, "")]),
        state([Some("c1"), Some("b1"), None]),
        "one without it tells nothing"
    );
    assert_eq!(
        git_of(&[first, meta(2, r#""git":{"branch":"copied"}"#)]),
        state([Some("c1"), Some("b1"), None]),
    );
}

#[test]
fn pictures_alone_are_a_word_too_and_long_words_are_cut_between_characters() {
    let thread = summary(&[
        meta(1, ""),
        event("user_message", "\"message\":\"\",\"images\":[\"x\"]"),
    ]);
    assert_eq!(thread.first_user_message.as_deref(), Some("[Image]"));
    let long = "ä€𝒳".repeat(5000);
    let thread = summary(&[meta(1, ""), user(&long)]);
    let message = thread.first_user_message.unwrap();
    assert!(
        long.starts_with(&message) && message.len() > crate::thread::MAX_FIRST_MESSAGE_BYTES - 4
    );
    assert!(message.len() <= crate::thread::MAX_FIRST_MESSAGE_BYTES);
    assert!(long.starts_with(&thread.preview));
    assert!(thread.preview.len() <= crate::thread::MAX_PREVIEW_BYTES);
}

#[test]
fn a_turn_is_told_from_its_start_to_its_end() {
    let turns = turns_of(&[
        meta(1, ""),
        started("a"),
        user("a"),
        event("task_complete", "\"turn_id\":\"other\""),
        completed("a"),
        response("between"),
        started("b"),
        event(
            "turn_aborted",
            "\"turn_id\":\"b\",\"reason\":\"interrupted\"",
        ),
        started("c"),
        event("turn_failed", "\"error\":{\"message\":\"out of luck\"}"),
        started("d"),
        started("e"),
    ]);
    let told: Vec<_> = turns
        .iter()
        .map(|turn| {
            (
                turn.turn_id.as_deref().unwrap(),
                turn.first_ordinal.get()..=turn.last_ordinal.get(),
                turn.status,
                turn.error.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("a", 1..=4, TurnStatus::Completed, None),
            ("b", 6..=7, TurnStatus::Aborted, Some("interrupted")),
            ("c", 8..=9, TurnStatus::Failed, Some("out of luck")),
            ("d", 10..=10, TurnStatus::Aborted, None),
            ("e", 11..=11, TurnStatus::InProgress, None),
        ]
    );
    assert_eq!(turns[0].duration_ms, Some(12));
    assert_eq!(
        (turns[0].started_at, turns[0].completed_at),
        (moment(2), Some(moment(5)))
    );
}

#[test]
fn a_rollback_marks_the_last_turns_that_still_counted() {
    let marks = |samples: &[Sample]| -> Vec<bool> {
        turns_of(samples)
            .iter()
            .map(|turn| turn.rolled_back)
            .collect()
    };
    let three = [turn("a"), turn("b"), turn("c")].concat();
    assert_eq!(
        marks(&[&three[..], &[rolled_back(1)]].concat()),
        [false, false, true]
    );
    let twice = [&three[..], &[rolled_back(1)], &turn("d"), &[rolled_back(2)]].concat();
    assert_eq!(marks(&twice), [false, true, true, true]);
    assert_eq!(
        marks(&[&three[..], &[rolled_back(9)], &turn("d")].concat()),
        [true, true, true, false]
    );
}

#[test]
fn a_damaged_first_line_still_leaves_a_thread_and_never_another_ones() {
    let name = format!("sessions/rollout-2026-02-20T09-14-58-{}.jsonl", id(1));
    let mut bytes = b"\xff{\"timestamp\"\n".to_vec();
    bytes.extend(lines(&[
        meta(2, "\"memory_mode\":\"disabled\""),
        user("words"),
    ]));
    let thread = project_bytes(&name, &bytes).unwrap().thread.summary;
    assert_eq!(thread.thread_id, id(1));
    assert_eq!(
        thread.memory_mode, "enabled",
        "copied history says nothing of the thread"
    );
    assert_eq!((thread.damaged_count, thread.item_count), (1, 2));
    assert_eq!(thread.preview, "words");
    // The name agrees, so that the meta is the thread's own.
    let mut bytes = b"half a line\n".to_vec();
    bytes.extend(lines(&[meta(1, "\"memory_mode\":\"disabled\"")]));
    let thread = project_bytes(&name, &bytes).unwrap().thread.summary;
    assert_eq!(
        (thread.thread_id, thread.memory_mode.as_str()),
        (id(1), "disabled")
    );
    // Without damage the meta is believed, whatever the name says.
    let thread = project_bytes(&name, &lines(&[meta(2, "")]))
        .unwrap()
        .thread
        .summary;
    assert_eq!(thread.thread_id, id(2));
}

#[test]
fn what_is_no_log_is_refused_with_a_reason() {
    let named = format!("sessions/{}.jsonl", id(1));
    for (name, bytes) in [
        (named.as_str(), &b""[..]),
        (&named, b"\n\n"),
        (&named, b"{\"timestamp\":\"2026-02-"),
        (&named, b"\x00\x01\x02\nnothing\n"),
    ] {
        let refused = project_bytes(name, bytes);
        assert!(
            matches!(
                refused,
                Err(Error::Corrupt {
                    why: CorruptReason::NoRecord,
                    ..
                })
            ),
            "{refused:?}"
        );
    }
    let nameless = project_bytes("sessions/a.jsonl", &lines(&[user("words")]));
    assert!(matches!(
        nameless,
        Err(Error::Corrupt {
            why: CorruptReason::NoThreadId,
            ..
        })
    ));
    for bytes in [
        &b""[..],
        b"SLVDGLOG",
        b"something else that is long enough to be a header",
    ] {
        let refused = project_bytes("sessions/a.rlog", bytes);
        assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    }
}

#[test]
fn a_native_log_s_header_tells_its_thread() {
    let only_header = project_bytes("sessions/a.rlog", &native(1, &[])).unwrap();
    assert_eq!(only_header.thread.summary.thread_id, id(1));
    assert_eq!(only_header.thread.summary.item_count, 0);
    assert!(
        only_header.thread.summary.created_at > moment(-3_600_000),
        "the id's own time"
    );
    let batches = [
        vec![meta(2, "\"memory_mode\":\"disabled\"")],
        vec![meta(1, "")],
        turn("a"),
    ];
    let thread = project_bytes("sessions/b.rlog", &native(1, &batches))
        .unwrap()
        .thread
        .summary;
    assert_eq!(thread.thread_id, id(1));
    assert_eq!(
        (thread.memory_mode.as_str(), thread.item_count),
        ("enabled", 5)
    );
}

#[test]
fn an_archived_log_s_thread_is_archived() {
    let name = format!("archived_sessions/{}.jsonl", id(1));
    let thread = project_bytes(&name, &lines(&[meta(1, ""), user("w")]))
        .unwrap()
        .thread
        .summary;
    assert_eq!(thread.archived_at, Some(moment(2)));
}

#[test]
fn what_is_projected_outlives_its_encoding() {
    let samples = [
        vec![meta(1, "\"git\":{\"branch\":\"b\"}")],
        turn("a"),
        vec![started("b")],
    ]
    .concat();
    let thread = project_bytes("sessions/a.jsonl", &lines(&samples))
        .unwrap()
        .thread;
    let config = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(&thread, config).unwrap();
    let (decoded, length): (ProjectedThread, usize) =
        bincode::serde::decode_from_slice(&bytes, config).unwrap();
    assert_eq!((decoded, length), (thread, bytes.len()));
}

#[test]
fn the_owner_is_found_in_the_head_of_a_log_or_behind_it() {
    let place = SampleHome::new();
    let large = format!("\"base_instructions\":{:?}", "x".repeat(300_000));
    let long_turn = response(&"y".repeat(300_000));
    let owner = |name: &str, bytes: &[u8]| -> Result<ThreadId> {
        let path = place.write(name, bytes);
        log_owner(&RealDisk, &place.home(), &path)
    };
    let near = lines(&[meta(1, ""), long_turn.clone()]);
    assert_eq!(owner("sessions/near.jsonl", &near).unwrap(), id(1));
    assert_eq!(
        owner("sessions/big.jsonl", &lines(&[meta(1, &large)])).unwrap(),
        id(1)
    );
    assert_eq!(
        owner(
            "sessions/far.jsonl",
            &lines(&[long_turn.clone(), meta(1, "")])
        )
        .unwrap(),
        id(1)
    );
    let packed = zstd::encode_all(&near[..], 0).unwrap();
    assert_eq!(owner("sessions/packed.jsonl.zst", &packed).unwrap(), id(1));
    assert_eq!(
        owner("sessions/native.rlog", &native(1, &[turn("a")])).unwrap(),
        id(1)
    );
    let named = format!("sessions/{}.jsonl", id(3));
    assert_eq!(owner(&named, &lines(&[long_turn])).unwrap(), id(3));
    assert!(owner("sessions/none.jsonl", b"no record\n").is_err());
    assert!(owner("sessions/none.rlog", b"no record\n").is_err());
}
