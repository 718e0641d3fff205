//! Cutting a page out of an ordered answer. The scan and the index share it, so that they can't
//! differ in what a cursor means.

use super::{Coverage, Cursor, Direction, ListQuery, Page, SortKey};
use crate::Result;
use crate::thread::ThreadSummary;
use selvedge_codec::UtcMicros;

/// A checked query: how many threads, and from where.
#[derive(Debug, Clone)]
pub struct PageRequest<'a> {
    query: &'a ListQuery,
    limit: usize,
    after: Option<Cursor>,
}

impl<'a> PageRequest<'a> {
    /// Checks a query's page size and cursor.
    ///
    /// # Errors
    /// [`crate::InvalidRequest`] when either is no good.
    pub fn of(query: &'a ListQuery) -> Result<Self> {
        Ok(Self {
            query,
            limit: query.limit,
            after: None,
        })
    }

    /// The most threads that the page holds. Gather one more to know whether another follows.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Where the page begins: the first thread strictly beyond it, in the query's direction.
    #[must_use]
    pub const fn after(&self) -> Option<Cursor> {
        self.after
    }

    /// Whether a thread with this key lies beyond the cursor, in the query's direction.
    #[must_use]
    pub fn is_beyond(&self, key: Cursor) -> bool {
        match (self.after, self.query.direction) {
            (None, _) => true,
            (Some(after), Direction::Ascending) => key > after,
            (Some(after), Direction::Descending) => key < after,
        }
    }

    /// Makes the page of `threads`: those beyond the cursor, in the query's direction, up to one
    /// more than [`PageRequest::limit`].
    #[must_use]
    pub fn page(&self, threads: Vec<ThreadSummary>, coverage: Coverage) -> Page {
        Page {
            threads,
            next_cursor: None,
            backwards_cursor: None,
            coverage,
        }
    }
}

/// The time that a thread has in an order.
#[must_use]
pub const fn sort_time(thread: &ThreadSummary, sort: SortKey) -> UtcMicros {
    match sort {
        SortKey::Created => thread.created_at,
        SortKey::Updated => thread.updated_at,
        SortKey::Recency => thread.recency_at,
    }
}

/// A thread's place in an order.
#[must_use]
pub const fn sort_key(thread: &ThreadSummary, sort: SortKey) -> Cursor {
    Cursor {
        time: sort_time(thread, sort),
        thread_id: thread.thread_id,
    }
}
