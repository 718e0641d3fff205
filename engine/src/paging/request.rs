//! A checked question: how much, which way, and from where. Every way to a page shares it, so that
//! none differs in what a cursor means.

use selvedge_codec::{Ordinal, ThreadId};

use super::cursor::{CursorScope, PageKind, Place};
use super::{ItemQuery, MAX_PAGE_ITEMS, TurnQuery};
use crate::listing::{Direction, Fnv};
use crate::{InvalidRequest, Result};

/// How much a page holds when the query does not say.
const DEFAULT_PAGE_ITEMS: usize = 50;

/// A checked question for a page.
#[derive(Debug, Clone)]
pub(crate) struct PagingRequest {
    scope: CursorScope,
    direction: Direction,
    limit: usize,
    from: Option<Place>,
    /// The cursor that was given.
    cursor: Option<String>,
}

/// A page's cursors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursors {
    pub(crate) next: Option<String>,
    pub(crate) backwards: Option<String>,
}

impl PagingRequest {
    /// # Errors
    /// [`InvalidRequest`] for a bad cursor or page size.
    pub(crate) fn of_turns(thread_id: ThreadId, query: &TurnQuery) -> Result<Self> {
        let scope = CursorScope {
            kind: PageKind::Turns,
            thread_id,
            filter: 0,
        };
        Self::of(scope, (query.direction, query.limit), query.cursor.as_ref())
    }

    /// # Errors
    /// [`InvalidRequest`] for a bad cursor or page size.
    pub(crate) fn of_items(thread_id: ThreadId, query: &ItemQuery) -> Result<Self> {
        let scope = CursorScope {
            kind: PageKind::Items,
            thread_id,
            filter: query.turn_id.as_deref().map_or(0, fingerprint),
        };
        Self::of(scope, (query.direction, query.limit), query.cursor.as_ref())
    }

    fn of(
        scope: CursorScope,
        (direction, asked): (Direction, usize),
        cursor: Option<&String>,
    ) -> Result<Self> {
        let limit = match asked {
            0 => DEFAULT_PAGE_ITEMS,
            asked if asked <= MAX_PAGE_ITEMS => asked,
            asked => {
                let limit = MAX_PAGE_ITEMS;
                return Err(InvalidRequest::PageSize { asked, limit }.into());
            }
        };
        Ok(Self {
            scope,
            direction,
            limit,
            from: cursor.map(|text| Place::decode(text, &scope)).transpose()?,
            cursor: cursor.cloned(),
        })
    }

    pub(crate) const fn direction(&self) -> Direction {
        self.direction
    }

    /// The most that the page holds. Gather one more to know whether another follows.
    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Where the page begins.
    pub(crate) const fn from(&self) -> Option<Place> {
        self.from
    }

    /// The ordinals that may be on the page: from the first to before the second, if there is one.
    pub(crate) fn span(&self) -> (Ordinal, Option<Ordinal>) {
        match (self.from, self.direction) {
            (None, _) => (Ordinal::ZERO, None),
            (Some(from), Direction::Ascending) => (from.ordinal.next(), None),
            (Some(from), Direction::Descending) => {
                let end = from.ordinal.plus(u64::from(from.is_after));
                (Ordinal::ZERO, Some(end))
            }
        }
    }

    /// Whether what has this ordinal lies beyond the cursor.
    pub(crate) fn takes(&self, ordinal: Ordinal) -> bool {
        let (first, end) = self.span();
        ordinal >= first && end.is_none_or(|end| ordinal < end)
    }

    /// Cuts what was found, in any case in the order of the ordinals and all of it beyond the
    /// cursor, to what is on the page and one more.
    pub(crate) fn gather<T>(&self, found: impl DoubleEndedIterator<Item = T>) -> Vec<T> {
        match self.direction {
            Direction::Ascending => found.take(self.limit + 1).collect(),
            Direction::Descending => found.rev().take(self.limit + 1).collect(),
        }
    }

    /// Cuts `found` to the page, and tells its cursors. `place` says where an entry is.
    pub(crate) fn cut<T>(&self, found: &mut Vec<T>, place: impl Fn(&T) -> Place) -> Cursors {
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        let cursor_at = |entry: &T| place(entry).encode(&self.scope);
        Cursors {
            next: found.last().filter(|_| has_more).map(cursor_at),
            // What is new for a client that got nothing lies before where it asked.
            backwards: found.first().map(cursor_at).or_else(|| self.cursor.clone()),
        }
    }
}

/// What a cursor of a turn's items is bound to.
fn fingerprint(turn_id: &str) -> u64 {
    let mut hash = Fnv::new();
    hash.add(turn_id.as_bytes());
    hash.get().max(1)
}
