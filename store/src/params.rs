//! What the operations of a store are given, and what they answer with, where that is not the
//! engine's.

use selvedge_codec::ThreadId;
use selvedge_codec::view::MetadataPatch;
use selvedge_engine::thread::{ForkPoint, ThreadSummary, TurnSummary};

use crate::StartThread;

/// A thread to make live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeThread {
    /// The thread.
    pub thread_id: ThreadId,
    /// What has changed about it since it was last live (its working directory, provider, memory
    /// mode, ...). It is recorded like any other change of metadata; an empty patch records
    /// nothing.
    pub changes: MetadataPatch,
}

impl From<ThreadId> for ResumeThread {
    fn from(thread_id: ThreadId) -> Self {
        Self {
            thread_id,
            changes: MetadataPatch::default(),
        }
    }
}

/// A thread to begin with another one's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkThread {
    /// The thread whose history it begins with.
    pub source: ThreadId,
    /// Where it leaves that history.
    pub point: ForkPoint,
    /// What the new thread is started with. Its `forked_from_id` is the source, whatever it says;
    /// an empty `cwd`, `originator` or `cli_version`, and a `None`, are taken from the source
    /// (names, agent fields, parent and thread source are not).
    pub start: StartThread,
}

impl ForkThread {
    /// A fork of all of a thread's history.
    #[must_use]
    pub fn of(source: ThreadId) -> Self {
        Self {
            source,
            point: ForkPoint::Whole,
            start: StartThread::default(),
        }
    }

    /// A detached review: a fork of all of a thread's stored history, whose own metadata say that
    /// it is a review.
    #[must_use]
    pub fn review(source: ThreadId) -> Self {
        Self {
            start: StartThread {
                source: Some(r#"{"subagent":"review"}"#.into()),
                thread_source: Some("subagent".into()),
                ..StartThread::default()
            },
            ..Self::of(source)
        }
    }
}

impl ForkThread {
    /// What the fork is started with, once its source is known: see [`ForkThread::start`].
    /// `originator` is the runtime that started the source.
    #[must_use]
    pub fn resolve(self, source: &ThreadSummary, originator: String) -> StartThread {
        let or = |text: String, of_source: &str| match text.is_empty() {
            true => of_source.to_owned(),
            false => text,
        };
        let start = self.start;
        let known_source = Some(&source.source).filter(|source| *source != "null");
        let memory_mode = Some(&source.memory_mode);
        let history_mode = Some(&source.history_mode);
        StartThread {
            cwd: or(start.cwd, &source.cwd),
            originator: or(start.originator, &originator),
            cli_version: or(
                start.cli_version,
                source.cli_version.as_deref().unwrap_or_default(),
            ),
            model_provider: start
                .model_provider
                .or_else(|| source.model_provider.clone()),
            source: start.source.or_else(|| known_source.cloned()),
            git: start.git.or_else(|| source.git_info.clone()),
            memory_mode: start.memory_mode.or_else(|| memory_mode.cloned()),
            history_mode: start.history_mode.or_else(|| history_mode.cloned()),
            forked_from_id: Some(self.source),
            ..start
        }
    }
}

/// A thread as it is after a rollback, rebuilt from what the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBackThread {
    /// The thread.
    pub thread: ThreadSummary,
    /// The turns that still count, oldest first.
    pub turns: Vec<TurnSummary>,
}
