//! The questions and the answers of paging through one thread.

use selvedge_codec::Record;
use serde::{Deserialize, Serialize};

use crate::listing::Direction;
use crate::thread::TurnSummary;

/// The most turns or items on a page.
pub const MAX_PAGE_ITEMS: usize = 10_000;

/// How much of its items a turn comes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemDetail {
    /// None of them: no log is read.
    #[default]
    None,
    /// What the user said, and what the agent said last.
    Summary,
    /// All of them.
    Full,
}

/// A question for a page of a thread's turns. Turns that were rolled back are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TurnQuery {
    /// From which end.
    pub direction: Direction,
    /// At most this many; 0 stands for 50, and more than [`MAX_PAGE_ITEMS`] is refused.
    pub limit: usize,
    /// Where to go on: a page's `next_cursor` with the same direction, or its
    /// `backwards_cursor` with the other one.
    pub cursor: Option<String>,
    /// How much of their items the turns come with.
    pub items: ItemDetail,
}

/// A turn on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnEntry {
    /// The turn.
    pub turn: TurnSummary,
    /// Its items, oldest first, as far as they were asked for.
    pub items: Vec<Record>,
}

/// A page of turns. What of the log could not be read is left out:
/// [`damaged_count`](crate::thread::ThreadSummary::damaged_count) says whether there is any, and the
/// thread's history what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnPage {
    /// The turns, in the order that was asked for.
    pub turns: Vec<TurnEntry>,
    /// Where the next page begins; `None` on the last one.
    pub next_cursor: Option<String>,
    /// With the other direction: what comes before this page's first turn. `None` only when the
    /// page is empty and no cursor was given.
    pub backwards_cursor: Option<String>,
}

/// A question for a page of a thread's items: its records, but for those that a rollback dropped
/// and for the rollbacks themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ItemQuery {
    /// Only items of the turn of this id.
    pub turn_id: Option<String>,
    /// From which end.
    pub direction: Direction,
    /// At most this many; 0 stands for 50, and more than [`MAX_PAGE_ITEMS`] is refused.
    pub limit: usize,
    /// Where to go on: a page's `next_cursor` with the same direction, or its
    /// `backwards_cursor` with the other one.
    pub cursor: Option<String>,
}

/// A page of items. What of the log could not be read is left out, as it is of a [`TurnPage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemPage {
    /// The items, in the order that was asked for.
    pub items: Vec<Record>,
    /// Where the next page begins; `None` on the last one.
    pub next_cursor: Option<String>,
    /// With the other direction: what comes before this page's first item. A client that keeps it
    /// catches up with exactly what is new.
    pub backwards_cursor: Option<String>,
}

/// The end of a thread's history from which what the model sees can be rebuilt. What of the log could
/// not be read is left out, as it is of a [`TurnPage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelContext {
    /// The records that still count, oldest first.
    pub records: Vec<Record>,
    /// Whether they are the whole history: no safe cut exists.
    pub is_whole: bool,
}
