//! What the tests of this folder share.

use selvedge_codec::{Ordinal, ThreadId, UtcMicros};

use crate::thread::ThreadSummary;

/// The id whose last byte is `number`.
pub(super) fn id(number: u8) -> ThreadId {
    let mut bytes = [0; 16];
    bytes[15] = number;
    ThreadId::from_bytes(bytes)
}

/// A thread in which a user said something; its times are all `number`.
pub(super) fn thread(number: u8) -> ThreadSummary {
    let time = UtcMicros::new(i64::from(number));
    ThreadSummary {
        thread_id: id(number),
        rollout_path: format!("sessions/{number}.jsonl"),
        created_at: time,
        updated_at: time,
        recency_at: time,
        archived_at: None,
        first_user_message: Some("hello".into()),
        preview: "hello".into(),
        name: None,
        title: None,
        cwd: "/home/user".into(),
        model_provider: Some("openai".into()),
        model: None,
        reasoning_effort: None,
        source: r#""cli""#.into(),
        thread_source: None,
        cli_version: None,
        approval_mode: None,
        history_mode: "legacy".into(),
        memory_mode: "enabled".into(),
        git_info: None,
        forked_from_id: None,
        parent_thread_id: None,
        agent_nickname: None,
        agent_role: None,
        agent_path: None,
        token_usage: None,
        item_count: 1,
        next_ordinal: Ordinal::new(1),
        damaged_count: 0,
    }
}
