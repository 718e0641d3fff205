//! The questions and the answers of searching what was said.

use std::ops::Range;

use selvedge_codec::{Ordinal, UtcMicros};
use serde::{Deserialize, Serialize};

use crate::listing::{Coverage, SortKey, ThreadFilter};
use crate::thread::ThreadSummary;

/// A question for the threads in which something was said, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchQuery {
    /// What to search for: literally, whatever the case.
    pub term: String,
    /// Which threads. The filter's own `search` restricts names and previews as in a listing.
    pub filter: ThreadFilter,
    /// By which time the newest come first.
    pub sort: SortKey,
    /// At most this many; 0 stands for 50, and more than [`crate::listing::MAX_PAGE_SIZE`] is
    /// refused.
    pub limit: usize,
    /// Where to go on: a page's `next_cursor`.
    pub cursor: Option<String>,
}

/// A thread in which the term was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHit {
    /// The thread.
    pub thread: ThreadSummary,
    /// The first place where it was found, with some text around it on one line.
    pub snippet: String,
}

/// A page of threads in which the term was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPage {
    /// The threads.
    pub hits: Vec<SearchHit>,
    /// Where the next page begins; `None` on the last one.
    pub next_cursor: Option<String>,
    /// Whether every log was covered.
    pub coverage: Coverage,
}

/// A question for the places in one thread where something was said, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OccurrenceQuery {
    /// What to search for: literally, whatever the case.
    pub term: String,
    /// At most this many; 0 stands for 50, and more than
    /// [`crate::paging::MAX_PAGE_ITEMS`] is refused.
    pub limit: usize,
    /// Where to go on: a page's `next_cursor`.
    pub cursor: Option<String>,
}

/// Who said a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The user.
    User,
    /// The agent.
    Agent,
}

/// A place where the term was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// The record that says it.
    pub ordinal: Ordinal,
    /// When it was said.
    pub time: UtcMicros,
    /// The turn that it belongs to, where its records name one.
    pub turn_id: Option<String>,
    /// A cursor with which a listing of turns, newest first, begins with that turn; `None` outside
    /// of any turn.
    pub turn_cursor: Option<String>,
    /// Who said it.
    pub speaker: Speaker,
    /// The place in the record's text, in UTF-16 code units.
    pub utf16_range: Range<u64>,
    /// The place with some text around it, on one line.
    pub snippet: String,
}

/// A page of occurrences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OccurrencePage {
    /// The places.
    pub occurrences: Vec<Occurrence>,
    /// Where the next page begins; `None` on the last one.
    pub next_cursor: Option<String>,
}
