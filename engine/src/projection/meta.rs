//! What a thread's metas and patches say of it.

use std::borrow::Cow;

use selvedge_codec::view::{Change, GitInfo as GitView, MetadataPatch, SessionMeta};
use selvedge_codec::{Ordinal, ThreadId, UtcMicros};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::words::{cut, preview_of};
use crate::thread::{GitInfo, MAX_TEXT_BYTES, ThreadSummary};

/// What holds where no meta says otherwise.
const SOURCE_UNKNOWN: &str = "null";
const HISTORY_MODE: &str = "legacy";
const MEMORY_MODE: &str = "enabled";

/// A thread of which nothing is known yet.
pub(super) fn blank() -> ThreadSummary {
    ThreadSummary {
        thread_id: ThreadId::from_bytes([0; 16]),
        rollout_path: String::new(),
        created_at: UtcMicros::EPOCH,
        updated_at: UtcMicros::EPOCH,
        recency_at: UtcMicros::EPOCH,
        archived_at: None,
        first_user_message: None,
        preview: String::new(),
        name: None,
        cwd: String::new(),
        model_provider: None,
        model: None,
        reasoning_effort: None,
        source: SOURCE_UNKNOWN.to_owned(),
        thread_source: None,
        cli_version: None,
        approval_mode: None,
        history_mode: HISTORY_MODE.to_owned(),
        memory_mode: MEMORY_MODE.to_owned(),
        git_info: None,
        forked_from_id: None,
        parent_thread_id: None,
        agent_nickname: None,
        agent_role: None,
        agent_path: None,
        token_usage: None,
        item_count: 0,
        next_ordinal: Ordinal::default(),
        damaged_count: 0,
    }
}

/// Cuts what the log says to what a row may hold. JSON that is longer says nothing.
pub(super) fn cut_texts(summary: &mut ThreadSummary) {
    if summary.source.len() > MAX_TEXT_BYTES {
        SOURCE_UNKNOWN.clone_into(&mut summary.source);
    }
    [
        Some(&mut summary.cwd),
        Some(&mut summary.history_mode),
        Some(&mut summary.memory_mode),
        summary.model_provider.as_mut(),
        summary.model.as_mut(),
        summary.reasoning_effort.as_mut(),
        summary.thread_source.as_mut(),
        summary.cli_version.as_mut(),
        summary.approval_mode.as_mut(),
        summary.agent_nickname.as_mut(),
        summary.agent_role.as_mut(),
        summary.agent_path.as_mut(),
    ]
    .into_iter()
    .flatten()
    .for_each(cut);
    if let Some(git) = &mut summary.git_info {
        let texts = [
            &mut git.commit_hash,
            &mut git.branch,
            &mut git.repository_url,
        ];
        texts.into_iter().flatten().for_each(cut);
    }
}

/// Takes the thread's own meta.
pub(super) fn describe(meta: &SessionMeta<'_>, summary: &mut ThreadSummary) {
    let spawn = Spawn::of(meta.source);
    let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
    summary.cwd = owned(&meta.cwd).unwrap_or_default();
    summary.model_provider = owned(&meta.model_provider);
    summary.source = meta.source.map_or(SOURCE_UNKNOWN, RawValue::get).to_owned();
    summary.thread_source = owned(&meta.thread_source);
    summary.cli_version = owned(&meta.cli_version);
    summary.history_mode = owned(&meta.history_mode).unwrap_or_else(|| HISTORY_MODE.to_owned());
    summary.forked_from_id = parse_id(meta.forked_from_id.as_deref());
    summary.parent_thread_id = parse_id(meta.parent_thread_id.as_deref())
        .or_else(|| parse_id(spawn.parent_thread_id.as_deref()));
    summary.agent_nickname = owned(&meta.agent_nickname).or(spawn.agent_nickname);
    summary.agent_role = owned(&meta.agent_role).or(spawn.agent_role);
    summary.agent_path = owned(&meta.agent_path).or(spawn.agent_path);
    update(meta, summary);
}

/// Takes a later meta of the same thread: a tool that has no patches repeats the meta with what
/// it changes.
pub(super) fn update(meta: &SessionMeta<'_>, summary: &mut ThreadSummary) {
    if let Some(mode) = &meta.memory_mode {
        mode.as_ref().clone_into(&mut summary.memory_mode);
    }
    if let Some(git) = meta.git.as_ref().and_then(git_of) {
        summary.git_info = Some(git);
    }
}

fn git_of(git: &GitView<'_>) -> Option<GitInfo> {
    let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
    let info = GitInfo {
        commit_hash: owned(&git.commit_hash),
        branch: owned(&git.branch),
        repository_url: owned(&git.repository_url),
    };
    (!info.is_empty()).then_some(info)
}

fn parse_id(text: Option<&str>) -> Option<ThreadId> {
    text.and_then(|text| text.parse().ok())
}

/// What `{"subagent":{"thread_spawn":{..}}}`, a sub-agent's source, says. Older metas say it
/// nowhere else.
#[derive(Default, Deserialize)]
struct Spawn {
    parent_thread_id: Option<String>,
    agent_nickname: Option<String>,
    agent_role: Option<String>,
    agent_path: Option<String>,
}

impl Spawn {
    fn of(source: Option<&RawValue>) -> Self {
        #[derive(Deserialize)]
        struct Source {
            subagent: Subagent,
        }
        #[derive(Deserialize)]
        struct Subagent {
            thread_spawn: Spawn,
        }
        source
            .map(RawValue::get)
            .filter(|json| json.starts_with('{'))
            .and_then(|json| serde_json::from_str::<Source>(json).ok())
            .map(|source| source.subagent.thread_spawn)
            .unwrap_or_default()
    }
}

/// Whether a patch changes what a fork inherits as its records say it.
pub(super) fn changes_inherited(patch: &MetadataPatch) -> bool {
    let changes = [
        &patch.preview,
        &patch.model,
        &patch.reasoning_effort,
        &patch.approval_policy,
    ];
    changes.iter().any(|change| !change.is_keep())
}

/// Takes an explicit change of the thread's metadata.
pub(super) fn apply_patch(
    patch: MetadataPatch,
    summary: &mut ThreadSummary,
    own_name: &mut Option<String>,
) {
    patch.name.apply(own_name);
    if !patch.preview.is_keep() {
        let said = summary.first_user_message.as_deref().unwrap_or_default();
        let preview = preview_of(value_or(patch.preview, said).as_str());
        summary.preview = preview;
    }
    patch.model.apply(&mut summary.model);
    patch.model_provider.apply(&mut summary.model_provider);
    patch.reasoning_effort.apply(&mut summary.reasoning_effort);
    patch.approval_policy.apply(&mut summary.approval_mode);
    if !patch.cwd.is_keep() {
        summary.cwd = value_or(patch.cwd, "");
    }
    if !patch.source.is_keep() {
        summary.source = json_text(value_or(patch.source, SOURCE_UNKNOWN));
    }
    if !patch.memory_mode.is_keep() {
        summary.memory_mode = value_or(patch.memory_mode, MEMORY_MODE);
    }
    let mut git = summary.git_info.take().unwrap_or_default();
    patch.git_sha.apply(&mut git.commit_hash);
    patch.git_branch.apply(&mut git.branch);
    patch.git_origin_url.apply(&mut git.repository_url);
    summary.git_info = (!git.is_empty()).then_some(git);
    patch.agent_nickname.apply(&mut summary.agent_nickname);
    patch.agent_role.apply(&mut summary.agent_role);
    patch.agent_path.apply(&mut summary.agent_path);
}

fn value_or(change: Change<String>, otherwise: &str) -> String {
    match change {
        Change::Set(value) => value,
        Change::Keep | Change::Clear => otherwise.to_owned(),
    }
}

/// A source is JSON text; a plain name stands for the JSON string of it.
fn json_text(source: String) -> String {
    match serde_json::from_str::<&RawValue>(&source) {
        Ok(_) => source,
        Err(_) => serde_json::Value::String(source).to_string(),
    }
}
