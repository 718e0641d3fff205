//! What is known of a thread: the summary that readers see.

use selvedge_codec::{Ordinal, ThreadId, UtcMicros};
use serde::{Deserialize, Serialize};

/// Where a thread's code lives, as its runtime said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitInfo {
    /// The commit checked out.
    pub commit_hash: Option<String>,
    /// The branch checked out.
    pub branch: Option<String>,
    /// The origin's address.
    pub repository_url: Option<String>,
}

impl GitInfo {
    /// Whether nothing is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.commit_hash.is_none() && self.branch.is_none() && self.repository_url.is_none()
    }
}

/// One thread, as listings and reads give it: the fold of its records, and nothing that they and
/// the log's place do not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadSummary {
    /// The thread.
    pub thread_id: ThreadId,
    /// The log's path below the home, with `/` between components.
    pub rollout_path: String,
    /// When the thread was started: its meta's own time.
    pub created_at: UtcMicros,
    /// The latest time of any of its records.
    pub updated_at: UtcMicros,
    /// The latest time at which its user did something (said something or started a turn);
    /// otherwise when it was started.
    pub recency_at: UtcMicros,
    /// Set when the log lies among the archived ones: `updated_at`, until a record says better.
    pub archived_at: Option<UtcMicros>,
    /// What the user said first; at most [`MAX_FIRST_MESSAGE_BYTES`] of it.
    pub first_user_message: Option<String>,
    /// What a list shows: the first words of the user, unless somebody chose another line; ""
    /// when there are none. At most [`MAX_PREVIEW_BYTES`].
    pub preview: String,
    /// The name that its user gave the thread.
    pub name: Option<String>,
    /// The title that a runtime made for the thread.
    pub title: Option<String>,
    /// The working directory it was started in; "" when its log does not say.
    pub cwd: String,
    /// The model's provider.
    pub model_provider: Option<String>,
    /// The model of the latest turn.
    pub model: Option<String>,
    /// The reasoning effort of the latest turn.
    pub reasoning_effort: Option<String>,
    /// Who started it, as JSON text: `"cli"`, `{"subagent":{..}}`, ...; "null" when unknown.
    pub source: String,
    /// Whether a user or another thread started it, as its meta says.
    pub thread_source: Option<String>,
    /// The version of the tool that wrote it.
    pub cli_version: Option<String>,
    /// The approval policy of the latest turn.
    pub approval_mode: Option<String>,
    /// `legacy` or `paginated`, as the meta says.
    pub history_mode: String,
    /// `enabled`, or `disabled` where the runtime must not remember the thread.
    pub memory_mode: String,
    /// The git state it was started in, with explicit changes, which go before all that its metas
    /// say.
    pub git_info: Option<GitInfo>,
    /// The thread whose history this one began with.
    pub forked_from_id: Option<ThreadId>,
    /// The thread that started this one as its sub-agent.
    pub parent_thread_id: Option<ThreadId>,
    /// The sub-agent's nickname.
    pub agent_nickname: Option<String>,
    /// The sub-agent's role.
    pub agent_role: Option<String>,
    /// The sub-agent's path.
    pub agent_path: Option<String>,
    /// The latest total token usage: the log's own object, as JSON text.
    pub token_usage: Option<String>,
    /// How many records the log holds.
    pub item_count: u64,
    /// The ordinal after its last record.
    pub next_ordinal: Ordinal,
    /// How many lines or gaps of its log could not be read.
    pub damaged_count: u64,
}

/// The most that is kept of a first user message, in bytes: a row is read for every listing.
pub const MAX_FIRST_MESSAGE_BYTES: usize = 16 << 10;
/// The most that is kept as a preview, in bytes.
pub const MAX_PREVIEW_BYTES: usize = 1 << 10;
/// The most that is kept of any other text, in bytes. Whatever a log says, a row of the index stays
/// far below what one may hold.
pub const MAX_TEXT_BYTES: usize = 16 << 10;

impl ThreadSummary {
    /// Whether a user has said anything yet; listings leave the others out unless asked.
    #[must_use]
    pub const fn has_user_message(&self) -> bool {
        self.first_user_message.is_some()
    }

    /// Whether the log lies among the archived ones.
    #[must_use]
    pub const fn is_archived(&self) -> bool {
        self.archived_at.is_some()
    }

    /// The source's short name, which filters compare: `cli` for `"cli"`, `subagent` for
    /// `{"subagent":{..}}`.
    #[must_use]
    pub fn source_name(&self) -> &str {
        let text = self.source.trim_start_matches('{').trim_start();
        text.strip_prefix('"')
            .and_then(|rest| rest.split('"').next())
            .unwrap_or(text)
    }
}

/// Where a fork leaves the history that it begins with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ForkPoint {
    /// All of it.
    #[default]
    Whole,
    /// Everything up to the end of the turn of this id, itself included.
    AfterTurn(String),
    /// The records before this ordinal: as many as it says.
    Before(Ordinal),
}

/// How a turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnStatus {
    /// It has not ended yet.
    InProgress,
    /// It ran to its end.
    Completed,
    /// It was interrupted.
    Aborted,
    /// It ended with an error.
    Failed,
}

/// One turn of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnSummary {
    /// The turn's id, where its records name one.
    pub turn_id: Option<String>,
    /// Where its records begin.
    pub first_ordinal: Ordinal,
    /// Where they end (inclusive), as far as they were seen.
    pub last_ordinal: Ordinal,
    /// How it stands.
    pub status: TurnStatus,
    /// Why it failed, or was aborted.
    pub error: Option<String>,
    /// When it started.
    pub started_at: UtcMicros,
    /// When it ended.
    pub completed_at: Option<UtcMicros>,
    /// How long it took, as its own records say, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Whether a later rollback dropped it.
    pub rolled_back: bool,
}

impl TurnSummary {
    /// Whether the record with this ordinal is one of the turn's.
    #[must_use]
    pub fn holds(&self, ordinal: Ordinal) -> bool {
        (self.first_ordinal..=self.last_ordinal).contains(&ordinal)
    }
}
