//! What a new thread is started with.

use std::borrow::Cow;

use selvedge_codec::view::{self, SessionMeta};
use selvedge_codec::{CodecError, Item, ThreadId, UtcMicros};
use selvedge_engine::thread::GitInfo;
use selvedge_engine::{Error, InvalidRequest, Result};
use serde_json::value::RawValue;

/// What a new thread is started with; it becomes the log's first record, a `session_meta`. What
/// is not said is left out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartThread {
    /// The thread's id; a fresh version 7 UUID unless said otherwise.
    pub thread_id: Option<ThreadId>,
    /// The working directory it is started in.
    pub cwd: String,
    /// The model's provider.
    pub model_provider: Option<String>,
    /// Who starts it, as JSON text: `"cli"`, `{"subagent":{..}}`, ...
    pub source: Option<String>,
    /// Whether a user or another thread starts it.
    pub thread_source: Option<String>,
    /// The runtime that starts it.
    pub originator: String,
    /// The runtime's version.
    pub cli_version: String,
    /// The git state of the working directory.
    pub git: Option<GitInfo>,
    /// The thread that starts this one as its sub-agent.
    pub parent_thread_id: Option<ThreadId>,
    /// The thread whose history this one begins with.
    pub forked_from_id: Option<ThreadId>,
    /// The sub-agent's nickname.
    pub agent_nickname: Option<String>,
    /// The sub-agent's role.
    pub agent_role: Option<String>,
    /// The sub-agent's path.
    pub agent_path: Option<String>,
    /// `disabled` where the runtime must not remember the thread; `enabled` unless said otherwise.
    pub memory_mode: Option<String>,
    /// `legacy` or `paginated`; `legacy` unless said otherwise.
    pub history_mode: Option<String>,
    /// A thread without a log: nothing of it is ever on disk, and no listing shows it.
    pub ephemeral: bool,
}

impl StartThread {
    /// The thread's meta, as the first record of its log.
    ///
    /// # Errors
    /// [`InvalidRequest::Codec`] when the source is no JSON.
    pub fn session_meta(&self, thread_id: ThreadId, now: UtcMicros) -> Result<Item> {
        let source = self.source.as_deref().map(parse_json).transpose()?;
        let meta = SessionMeta {
            session_id: Some(
                self.parent_thread_id
                    .unwrap_or(thread_id)
                    .to_string()
                    .into(),
            ),
            id: Some(thread_id.to_string().into()),
            forked_from_id: self.forked_from_id.map(|id| id.to_string().into()),
            parent_thread_id: self.parent_thread_id.map(|id| id.to_string().into()),
            timestamp: Some(now.to_line_text().into()),
            cwd: Some(self.cwd.as_str().into()),
            originator: Some(self.originator.as_str().into()),
            cli_version: Some(self.cli_version.as_str().into()),
            source,
            thread_source: borrowed(&self.thread_source),
            agent_nickname: borrowed(&self.agent_nickname),
            agent_role: borrowed(&self.agent_role),
            agent_path: borrowed(&self.agent_path),
            model_provider: borrowed(&self.model_provider),
            base_instructions: None,
            // `enabled` is what a meta that says nothing means.
            memory_mode: borrowed(&self.memory_mode).filter(|mode| mode != "enabled"),
            history_mode: borrowed(&self.history_mode),
            git: self
                .git
                .as_ref()
                .filter(|git| !git.is_empty())
                .map(|git| view::GitInfo {
                    commit_hash: borrowed(&git.commit_hash),
                    branch: borrowed(&git.branch),
                    repository_url: borrowed(&git.repository_url),
                }),
        };
        let payload = serde_json::to_vec(&meta).map_err(not_json)?;
        let item = Item::json("session_meta", payload).map_err(InvalidRequest::Codec)?;
        Ok(Item {
            time: Some(now),
            ..item
        })
    }
}

fn borrowed(text: &Option<String>) -> Option<Cow<'_, str>> {
    text.as_deref().map(Cow::Borrowed)
}

fn parse_json(text: &str) -> Result<&RawValue> {
    serde_json::from_str(text).map_err(not_json)
}

fn not_json(error: serde_json::Error) -> Error {
    let why = error.to_string();
    InvalidRequest::Codec(CodecError::NotJson { why }).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meta_says_what_was_said_and_nothing_more() {
        let (id, parent) = (ThreadId::generate(), ThreadId::generate());
        let start = StartThread {
            cwd: "/w".into(),
            source: Some(r#"{"subagent":"review"}"#.into()),
            parent_thread_id: Some(parent),
            memory_mode: Some("enabled".into()),
            git: Some(GitInfo {
                branch: Some("main".into()),
                ..GitInfo::default()
            }),
            ..StartThread::default()
        };
        let now = UtcMicros::parse("2026-11-20T14:03:09.5Z").unwrap();
        let item = start.session_meta(id, now).unwrap();
        assert_eq!(item.time, Some(now));
        let payload: serde_json::Value = serde_json::from_slice(&item.body).unwrap();
        assert_eq!(
            payload,
            serde_json::json!({
                "session_id": parent.to_string(),
                "id": id.to_string(),
                "parent_thread_id": parent.to_string(),
                "timestamp": "2026-11-20T14:03:09.500Z",
                "cwd": "/w",
                "originator": "",
                "cli_version": "",
                "source": {"subagent": "review"},
                "git": {"branch": "main"},
            })
        );
    }

    #[test]
    fn a_source_that_is_no_json_is_refused() {
        let start = StartThread {
            source: Some("cli".into()),
            ..StartThread::default()
        };
        let refused = start.session_meta(ThreadId::generate(), UtcMicros::EPOCH);
        assert!(matches!(refused, Err(Error::InvalidRequest(_))));
    }
}
