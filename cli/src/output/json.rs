//! The JSON forms: a stable interface. Fields are added, never renamed or dropped.

mod within;

use std::borrow::Cow;
use std::path::Path;

use selvedge::{
    Ack, BackfillReport, ByteLength, Coverage, Durability, FormatStats, GitInfo, ImportOutcome,
    Imported, Ordinal, Page, Record, StoreStats, ThreadId, ThreadSummary, UnreadableLog, UtcMicros,
};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::Result;

pub(crate) use within::{
    DeletedJson, ItemPageJson, OccurrencePageJson, RolledBackJson, SearchJson, TurnPageJson,
    UsageJson,
};

fn as_text<S: Serializer>(time: &UtcMicros, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn as_text_or_null<S: Serializer>(
    time: &Option<UtcMicros>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(time),
        None => serializer.serialize_none(),
    }
}

/// A thread.
#[derive(Debug, Serialize)]
pub(crate) struct ThreadJson<'a> {
    agent_nickname: Option<&'a str>,
    agent_path: Option<&'a str>,
    agent_role: Option<&'a str>,
    approval_mode: Option<&'a str>,
    #[serde(serialize_with = "as_text_or_null")]
    archived_at: Option<UtcMicros>,
    cli_version: Option<&'a str>,
    #[serde(serialize_with = "as_text")]
    created_at: UtcMicros,
    cwd: &'a str,
    damaged_count: u64,
    first_user_message: Option<&'a str>,
    forked_from_id: Option<ThreadId>,
    git_info: Option<GitJson<'a>>,
    history_mode: &'a str,
    item_count: u64,
    memory_mode: &'a str,
    model: Option<&'a str>,
    model_provider: Option<&'a str>,
    name: Option<&'a str>,
    parent_thread_id: Option<ThreadId>,
    preview: &'a str,
    reasoning_effort: Option<&'a str>,
    #[serde(serialize_with = "as_text")]
    recency_at: UtcMicros,
    rollout_path: Cow<'a, str>,
    source: Cow<'a, RawValue>,
    thread_id: ThreadId,
    thread_source: Option<&'a str>,
    title: Option<&'a str>,
    token_usage: Option<Cow<'a, RawValue>>,
    #[serde(serialize_with = "as_text")]
    updated_at: UtcMicros,
}

#[derive(Debug, Serialize)]
struct GitJson<'a> {
    branch: Option<&'a str>,
    commit_hash: Option<&'a str>,
    repository_url: Option<&'a str>,
}

impl<'a> GitJson<'a> {
    fn of(git: &'a GitInfo) -> Self {
        Self {
            branch: git.branch.as_deref(),
            commit_hash: git.commit_hash.as_deref(),
            repository_url: git.repository_url.as_deref(),
        }
    }
}

impl<'a> ThreadJson<'a> {
    /// The thread's JSON form; `home` is the home's absolute path.
    pub(crate) fn of(thread: &'a ThreadSummary, home: &Path) -> Result<Self> {
        Ok(Self {
            agent_nickname: thread.agent_nickname.as_deref(),
            agent_path: thread.agent_path.as_deref(),
            agent_role: thread.agent_role.as_deref(),
            approval_mode: thread.approval_mode.as_deref(),
            archived_at: thread.archived_at,
            cli_version: thread.cli_version.as_deref(),
            created_at: thread.created_at,
            cwd: &thread.cwd,
            damaged_count: thread.damaged_count,
            first_user_message: thread.first_user_message.as_deref(),
            forked_from_id: thread.forked_from_id,
            git_info: thread
                .git_info
                .as_ref()
                .filter(|git| !git.is_empty())
                .map(GitJson::of),
            history_mode: &thread.history_mode,
            item_count: thread.item_count,
            memory_mode: &thread.memory_mode,
            model: thread.model.as_deref(),
            model_provider: thread.model_provider.as_deref(),
            name: thread.name.as_deref(),
            parent_thread_id: thread.parent_thread_id,
            preview: &thread.preview,
            reasoning_effort: thread.reasoning_effort.as_deref(),
            recency_at: thread.recency_at,
            rollout_path: Cow::Owned(
                home.join(&thread.rollout_path)
                    .to_string_lossy()
                    .into_owned(),
            ),
            source: json_value(&thread.source)?,
            thread_id: thread.thread_id,
            thread_source: thread.thread_source.as_deref(),
            title: thread.title.as_deref(),
            token_usage: thread.token_usage.as_deref().map(json_value).transpose()?,
            updated_at: thread.updated_at,
        })
    }
}

/// JSON text as the value it is; a text that is none as a string, so that it is still seen.
fn json_value(text: &str) -> Result<Cow<'_, RawValue>> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(value) => Ok(Cow::Borrowed(value)),
        Err(_) => Ok(Cow::Owned(serde_json::value::to_raw_value(text)?)),
    }
}

/// A page of a listing.
#[derive(Debug, Serialize)]
pub(crate) struct PageJson<'a> {
    threads: Vec<ThreadJson<'a>>,
    next_cursor: Option<&'a str>,
    backwards_cursor: Option<&'a str>,
    coverage: Coverage,
}

impl<'a> PageJson<'a> {
    pub(crate) fn of(page: &'a Page, home: &Path) -> Result<Self> {
        let threads = page
            .threads
            .iter()
            .map(|thread| ThreadJson::of(thread, home));
        Ok(Self {
            threads: threads.collect::<Result<_>>()?,
            next_cursor: page.next_cursor.as_deref(),
            backwards_cursor: page.backwards_cursor.as_deref(),
            coverage: page.coverage,
        })
    }
}

/// A record of a history.
#[derive(Debug, Serialize)]
pub(crate) struct RecordJson<'a> {
    ordinal: Ordinal,
    #[serde(serialize_with = "as_text")]
    timestamp: UtcMicros,
    r#type: &'a str,
    payload: Cow<'a, RawValue>,
}

impl<'a> RecordJson<'a> {
    pub(crate) fn of(record: &'a Record) -> std::result::Result<Self, selvedge::CodecError> {
        Ok(Self {
            ordinal: record.ordinal,
            timestamp: record.time,
            r#type: record.record_type.as_str(),
            payload: record.payload_json()?,
        })
    }
}

/// An acknowledgement of a batch. The demo reads its writer's.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AckJson {
    pub(crate) thread_id: ThreadId,
    pub(crate) first_ordinal: Ordinal,
    pub(crate) last_ordinal: Ordinal,
    pub(crate) durability: DurabilityJson,
}

impl AckJson {
    pub(crate) fn of(ack: &Ack) -> Self {
        Self {
            thread_id: ack.thread_id,
            first_ordinal: ack.first_ordinal,
            last_ordinal: ack.last_ordinal,
            durability: match ack.durability {
                Durability::Buffered => DurabilityJson::Buffered,
                Durability::Written => DurabilityJson::Written,
                Durability::Synced => DurabilityJson::Synced,
            },
        }
    }
}

/// What a batch survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DurabilityJson {
    Buffered,
    Written,
    Synced,
}

impl DurabilityJson {
    /// The word that a person reads, which is the one of the JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Written => "written",
            Self::Synced => "synced",
        }
    }
}

/// What became of one log that was to be imported.
#[derive(Debug, Serialize)]
pub(crate) struct ImportJson<'a> {
    thread_id: ThreadId,
    outcome: &'static str,
    added: u64,
    damaged_count: usize,
    file: Cow<'a, str>,
}

impl<'a> ImportJson<'a> {
    pub(crate) fn of(imported: &Imported, file: &'a Path) -> Self {
        Self {
            thread_id: imported.thread_id,
            outcome: match imported.outcome {
                ImportOutcome::Imported => "imported",
                ImportOutcome::Continued => "continued",
                ImportOutcome::Present => "present",
                ImportOutcome::Differs => "differs",
            },
            added: imported.added,
            damaged_count: imported.damage.len(),
            file: file.to_string_lossy(),
        }
    }
}

/// What indexing a home did.
#[derive(Debug, Serialize)]
pub(crate) struct IndexJson<'a> {
    projected: u64,
    took_ms: u64,
    coverage: Coverage,
    unreadable: &'a [UnreadableLog],
}

impl<'a> IndexJson<'a> {
    pub(crate) fn of(report: &BackfillReport, unreadable: &'a [UnreadableLog]) -> Self {
        Self {
            projected: report.projected,
            took_ms: u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
            coverage: report.coverage,
            unreadable,
        }
    }
}

/// What a home holds, in numbers.
#[derive(Debug, Serialize)]
pub(crate) struct StatsJson {
    threads: u64,
    archived: u64,
    empty: u64,
    damaged: u64,
    turns: u64,
    records: u64,
    native: FormatStats,
    json_lines: FormatStats,
    compressed_json_lines: FormatStats,
    coverage: Coverage,
    index_bytes: Option<ByteLength>,
    last_backfill: Option<LastBackfillJson>,
}

/// The latest backfill that read anything.
#[derive(Debug, Serialize)]
struct LastBackfillJson {
    #[serde(serialize_with = "as_text")]
    finished_at: UtcMicros,
    took_ms: u64,
    projected: u64,
}

impl StatsJson {
    pub(crate) fn of(stats: &StoreStats) -> Self {
        Self {
            threads: stats.threads,
            archived: stats.archived,
            empty: stats.empty,
            damaged: stats.damaged,
            turns: stats.turns,
            records: stats.records,
            native: stats.native,
            json_lines: stats.json_lines,
            compressed_json_lines: stats.compressed_json_lines,
            coverage: stats.coverage,
            index_bytes: stats.index_bytes,
            last_backfill: stats.last_backfill.map(|last| LastBackfillJson {
                finished_at: last.finished_at,
                took_ms: last.took_ms,
                projected: last.projected,
            }),
        }
    }
}
