//! The question and the answer of a listing.

use selvedge_codec::ThreadId;
use serde::{Deserialize, Serialize};

use crate::thread::ThreadSummary;

/// The most threads on a page.
pub const MAX_PAGE_SIZE: usize = 10_000;

/// What a listing is ordered by. Equal times are ordered by thread id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortKey {
    /// When the thread was started.
    #[default]
    Created,
    /// When its latest record was made.
    Updated,
    /// When its user last did something.
    Recency,
}

/// Which end of the order comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Newest first.
    #[default]
    Descending,
    /// Oldest first.
    Ascending,
}

/// Whether a page's rows are checked against the files before they are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Verification {
    /// Each row is checked against its file, folders by their modification times.
    #[default]
    Verified,
    /// As the index has it.
    IndexOnly,
}

/// Which threads are wanted. Empty lists and `None` do not restrict.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ThreadFilter {
    /// Archived threads instead of the others.
    pub archived: bool,
    /// Also threads in which no user has said anything yet.
    pub include_empty: bool,
    /// Only threads that no other thread started: those without a parent, whose source is no
    /// sub-agent.
    pub top_level_only: bool,
    /// Any of these working directories, compared as [`super::normalize_cwd`] spells them.
    pub cwds: Vec<String>,
    /// Any of these model providers.
    pub providers: Vec<String>,
    /// Any of these sources, by short name (`cli`, `vscode`, `exec`, `subagent`, ...).
    pub sources: Vec<String>,
    /// Only sub-agents that this thread started itself.
    pub parent: Option<ThreadId>,
    /// Only sub-agents below this thread, at any depth.
    pub ancestor: Option<ThreadId>,
    /// Only threads whose name, preview or first user message contains this, literally and
    /// whatever the case; at most [`crate::search::MAX_TERM_BYTES`] of it, and "" is none.
    pub search: Option<String>,
}

/// A question for a page of threads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// Which threads.
    pub filter: ThreadFilter,
    /// In which order.
    pub sort: SortKey,
    /// From which end.
    pub direction: Direction,
    /// At most this many; 0 stands for 50, and more than [`MAX_PAGE_SIZE`] is refused.
    pub limit: usize,
    /// Where to go on: a page's `next_cursor` with the same direction, or its
    /// `backwards_cursor` with the other one.
    pub cursor: Option<String>,
    /// Whether rows are checked against the files.
    pub verification: Verification,
}

impl ListQuery {
    /// The question for the thread to resume in one of these working directories, or in any: the
    /// one that was updated last, of those that no other thread started, that are not archived,
    /// and in which a user has said something.
    #[must_use]
    pub fn latest(cwds: &[String]) -> Self {
        Self {
            filter: ThreadFilter {
                cwds: cwds.to_vec(),
                top_level_only: true,
                ..ThreadFilter::default()
            },
            sort: SortKey::Updated,
            limit: 1,
            ..Self::default()
        }
    }
}

/// Whether an answer is known to cover every log under the home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Coverage {
    /// It is. Logs that can't be read are in the table of failures.
    Complete {
        /// How many logs can't be read.
        failed: u64,
    },
    /// Some logs have not been looked at yet.
    Partial {
        /// How many logs the index has.
        indexed: u64,
        /// How many are known to be missing.
        pending: u64,
        /// How many can't be read.
        failed: u64,
    },
}

/// A page of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The threads, in the order that was asked for.
    pub threads: Vec<ThreadSummary>,
    /// Where the next page begins; `None` on the last one.
    pub next_cursor: Option<String>,
    /// With the other direction: what comes before this page's first thread, and nothing of the
    /// page itself. A client that keeps it catches up with exactly what is new.
    pub backwards_cursor: Option<String>,
    /// Whether every log was covered.
    pub coverage: Coverage,
}
