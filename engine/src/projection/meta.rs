//! What a thread's metas and patches say of it.
//!
//! What must hold:
//! - A name, a title and a preview are three things. The name is what a user gave the thread; the
//!   title is what a runtime made up for it; the preview is the line that stands for it in a list,
//!   the first words of its user unless somebody chose another. None of them stands in for another
//!   here: which one to show is the caller's choice.
//! - Once the log has said anything of the thread's name, a name that lies outside of the log does
//!   not count any more; also where the log's last word is that it has none.
//! - A git field that a patch has set or cleared stays so, whatever metas say, until another patch
//!   says otherwise. A meta fills only the other ones. A meta that is repeated with its git state
//!   tells all of that state: what it leaves out is no more.

use std::borrow::Cow;

use selvedge_codec::view::{Change, GitInfo as GitView, MetadataPatch, SessionMeta, fields, text};
use selvedge_codec::{Ordinal, ThreadId, UtcMicros};
use serde::{Deserialize, Serialize};
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
        title: None,
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
        summary.title.as_mut(),
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

/// What the log has said explicitly, beside what the summary shows of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Explicit {
    /// Whether the log has said anything of the thread's name.
    pub(super) is_name_told: bool,
    /// The name that the log itself gives the thread. The summary's may come from elsewhere.
    pub(super) own_name: Option<String>,
    /// Which fields of the git state patches have set or cleared.
    pub(super) git: ExplicitGit,
}

impl Explicit {
    /// The log gives the thread this name, or takes it away. A blank name is none.
    pub(super) fn tell_name(&mut self, name: Option<String>) {
        self.is_name_told = true;
        self.own_name = name.filter(|name| !name.trim().is_empty());
    }
}

/// Which fields of the git state patches have set or cleared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ExplicitGit {
    commit_hash: bool,
    branch: bool,
    repository_url: bool,
}

impl ExplicitGit {
    /// Whether any field is.
    pub(super) const fn any(self) -> bool {
        self.commit_hash || self.branch || self.repository_url
    }
}

/// Takes the thread's own meta.
pub(super) fn describe(meta: &SessionMeta<'_>, summary: &mut ThreadSummary, explicit: &Explicit) {
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
    update(meta, summary, explicit);
}

/// Takes a later meta of the same thread: a tool that has no patches repeats the meta with what
/// it changes.
pub(super) fn update(meta: &SessionMeta<'_>, summary: &mut ThreadSummary, explicit: &Explicit) {
    if let Some(mode) = &meta.memory_mode {
        mode.as_ref().clone_into(&mut summary.memory_mode);
    }
    if let Some(git) = &meta.git {
        take_git(git, &mut summary.git_info, explicit.git);
    }
}

/// Takes the git state that a meta tells, as far as no patch has decided otherwise.
fn take_git(told: &GitView<'_>, info: &mut Option<GitInfo>, explicit: ExplicitGit) {
    let mut git = info.take().unwrap_or_default();
    let fields = [
        (
            &mut git.commit_hash,
            &told.commit_hash,
            explicit.commit_hash,
        ),
        (&mut git.branch, &told.branch, explicit.branch),
        (
            &mut git.repository_url,
            &told.repository_url,
            explicit.repository_url,
        ),
    ];
    for (field, told, is_explicit) in fields {
        if !is_explicit {
            *field = told.as_deref().map(str::to_owned);
        }
    }
    *info = (!git.is_empty()).then_some(git);
}

fn parse_id(text: Option<&str>) -> Option<ThreadId> {
    text.and_then(|text| text.parse().ok())
}

/// What `{"subagent":{"thread_spawn":{..}}}`, a sub-agent's source, says. Older metas say it
/// nowhere else.
#[derive(Default)]
struct Spawn {
    parent_thread_id: Option<String>,
    agent_nickname: Option<String>,
    agent_role: Option<String>,
    agent_path: Option<String>,
}

impl Spawn {
    fn of(source: Option<&RawValue>) -> Self {
        let inner = |raw, name| {
            let [value] = fields(raw, [name]);
            value
        };
        let spawn = source
            .and_then(|source| inner(source, "subagent"))
            .and_then(|subagent| inner(subagent, "thread_spawn"));
        let Some(spawn) = spawn else {
            return Self::default();
        };
        let names = [
            "parent_thread_id",
            "agent_nickname",
            "agent_role",
            "agent_path",
        ];
        let [parent_thread_id, agent_nickname, agent_role, agent_path] =
            fields(spawn, names).map(|field| Some(text(field?)?.into_owned()));
        Self {
            parent_thread_id,
            agent_nickname,
            agent_role,
            agent_path,
        }
    }
}

/// Whether a patch changes what a fork inherits as its records say it.
pub(super) fn changes_inherited(patch: &MetadataPatch) -> bool {
    let changes = [
        &patch.preview,
        &patch.model,
        &patch.reasoning_effort,
        &patch.approval_policy,
        &patch.token_usage,
    ];
    changes.iter().any(|change| !change.is_keep())
}

/// Takes an explicit change of the thread's metadata.
pub(super) fn apply_patch(
    patch: MetadataPatch,
    summary: &mut ThreadSummary,
    explicit: &mut Explicit,
) {
    match patch.name {
        Change::Keep => {}
        Change::Clear => explicit.tell_name(None),
        Change::Set(name) => explicit.tell_name(Some(name)),
    }
    patch.title.apply(&mut summary.title);
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
    let fields = [
        (
            patch.git_sha,
            &mut git.commit_hash,
            &mut explicit.git.commit_hash,
        ),
        (patch.git_branch, &mut git.branch, &mut explicit.git.branch),
        (
            patch.git_origin_url,
            &mut git.repository_url,
            &mut explicit.git.repository_url,
        ),
    ];
    for (change, field, is_explicit) in fields {
        *is_explicit |= !change.is_keep();
        change.apply(field);
    }
    summary.git_info = (!git.is_empty()).then_some(git);
    patch.agent_nickname.apply(&mut summary.agent_nickname);
    patch.agent_role.apply(&mut summary.agent_role);
    patch.agent_path.apply(&mut summary.agent_path);
    match patch.token_usage {
        // Only what a record of token usage could have said.
        Change::Set(usage) if !is_kept_usage(&usage) => {}
        change => change.apply(&mut summary.token_usage),
    }
}

/// Whether a text is a token usage that a summary keeps: an object, and not too long.
pub(crate) fn is_kept_usage(text: &str) -> bool {
    text.len() <= MAX_TEXT_BYTES
        && text.starts_with('{')
        && serde_json::from_str::<&RawValue>(text).is_ok()
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
