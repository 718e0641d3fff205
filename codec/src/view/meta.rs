//! The thread's own description.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::fields::view;
use crate::{ThreadId, UtcMicros};

view! {
    /// The payload of a `session_meta`. Serialised, it is one, with the fields that are `Some`.
    pub struct SessionMeta<'a> {
        /// The session that the thread belongs to: its own id, or its root thread's.
        session_id: Cow<'a, str>,
        /// The thread's id.
        id: Cow<'a, str>,
        /// The thread that this one was forked from.
        forked_from_id: Cow<'a, str>,
        /// The thread that started this one.
        parent_thread_id: Cow<'a, str>,
        /// When the thread was created, in RFC 3339.
        timestamp: Cow<'a, str>,
        /// The working directory.
        cwd: Cow<'a, str>,
        /// The program that created the thread.
        originator: Cow<'a, str>,
        /// That program's version.
        cli_version: Cow<'a, str>,
        /// Where the thread came from: a string, or an object for sub-agents.
        source: &'a RawValue,
        /// Who asked for the thread: `user` or `subagent`.
        thread_source: Cow<'a, str>,
        /// A sub-agent's name.
        agent_nickname: Cow<'a, str>,
        /// A sub-agent's role.
        agent_role: Cow<'a, str>,
        /// A sub-agent's place in the tree of agents.
        agent_path: Cow<'a, str>,
        /// Who serves the model.
        model_provider: Cow<'a, str>,
        /// The instructions that the thread began with.
        base_instructions: &'a RawValue,
        /// Whether memories may be made of the thread: `enabled` when it does not say.
        memory_mode: Cow<'a, str>,
        /// `legacy` or `paginated`.
        history_mode: Cow<'a, str>,
        /// The state of the repository that the thread began in.
        git: GitInfo<'a>,
    }
}

impl SessionMeta<'_> {
    /// The thread's id, if it is one.
    #[must_use]
    pub fn thread_id(&self) -> Option<ThreadId> {
        self.id.as_deref()?.parse().ok()
    }

    /// When the thread was created, if that is a time.
    #[must_use]
    pub fn created_at(&self) -> Option<UtcMicros> {
        UtcMicros::parse(self.timestamp.as_deref()?).ok()
    }
}

view! {
    /// The state of a repository.
    pub struct GitInfo<'a> {
        /// The commit that is checked out.
        commit_hash: Cow<'a, str>,
        /// The branch that is checked out.
        branch: Cow<'a, str>,
        /// Where the repository comes from.
        repository_url: Cow<'a, str>,
    }
}
