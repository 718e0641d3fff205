//! Cutting a page out of an ordered answer. The scan and the index share it, so that they can't
//! differ in what a cursor means.

use selvedge_codec::UtcMicros;

use super::{Coverage, Cursor, Direction, ListQuery, MAX_PAGE_SIZE, Page, SortKey};
use crate::needle::Needle;
use crate::thread::ThreadSummary;
use crate::{InvalidRequest, Result};

/// How many threads a page holds when the query does not say.
const DEFAULT_PAGE_SIZE: usize = 50;

/// A checked query: how many threads, and from where.
#[derive(Debug, Clone)]
pub struct PageRequest<'a> {
    query: &'a ListQuery,
    limit: usize,
    after: Option<Cursor>,
}

impl<'a> PageRequest<'a> {
    /// Checks a query's page size, search term and cursor.
    ///
    /// # Errors
    /// [`InvalidRequest`] when one of them is no good.
    pub fn of(query: &'a ListQuery) -> Result<Self> {
        let limit = match query.limit {
            0 => DEFAULT_PAGE_SIZE,
            asked if asked <= MAX_PAGE_SIZE => asked,
            asked => {
                return Err(InvalidRequest::PageSize {
                    asked,
                    limit: MAX_PAGE_SIZE,
                }
                .into());
            }
        };
        if let Some(term) = query.filter.search_term() {
            Needle::check(term)?;
        }
        let after = query
            .cursor
            .as_deref()
            .map(|text| Cursor::decode(text, query))
            .transpose()?;
        Ok(Self {
            query,
            limit,
            after,
        })
    }

    /// The most threads that the page holds. Gather one more to know whether another follows.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Where the page begins: at the first thread strictly beyond it, in the query's direction.
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
    /// more than [`PageRequest::limit`] (what is beyond that is left out).
    #[must_use]
    pub fn page(&self, mut threads: Vec<ThreadSummary>, coverage: Coverage) -> Page {
        let more = threads.len() > self.limit;
        threads.truncate(self.limit);
        let cursor_at = |thread: &ThreadSummary| sort_key(thread, self.query.sort);
        let next = threads.last().filter(|_| more).map(cursor_at);
        // What is new for a client that got nothing lies before where it asked.
        let backwards = threads.first().map(cursor_at).or(self.after);
        Page {
            next_cursor: next.map(|cursor| cursor.encode(self.query)),
            backwards_cursor: backwards.map(|cursor| cursor.encode(self.query)),
            threads,
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

/// The page of an answer that is at hand whole: `threads` in no particular order.
#[must_use]
pub fn cut_page(
    request: &PageRequest<'_>,
    mut threads: Vec<ThreadSummary>,
    coverage: Coverage,
) -> Page {
    let query = request.query;
    let key = |thread: &ThreadSummary| sort_key(thread, query.sort);
    threads.retain(|thread| request.is_beyond(key(thread)));
    threads.sort_unstable_by(|a, b| match query.direction {
        Direction::Ascending => key(a).cmp(&key(b)),
        Direction::Descending => key(b).cmp(&key(a)),
    });
    threads.truncate(request.limit + 1);
    request.page(threads, coverage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::testing::{id, thread};
    use crate::needle::MAX_TERM_BYTES;
    use proptest::prelude::*;
    use selvedge_codec::ThreadId;

    const COVERAGE: Coverage = Coverage::Complete { failed: 0 };

    fn ids(page: &Page) -> Vec<ThreadId> {
        page.threads.iter().map(|thread| thread.thread_id).collect()
    }

    fn ask(threads: &[ThreadSummary], query: &ListQuery) -> Page {
        cut_page(&PageRequest::of(query).unwrap(), threads.to_vec(), COVERAGE)
    }

    fn other(direction: Direction) -> Direction {
        match direction {
            Direction::Ascending => Direction::Descending,
            Direction::Descending => Direction::Ascending,
        }
    }

    /// Follows the next cursors from `query` to the end.
    fn follow(threads: &[ThreadSummary], mut query: ListQuery) -> Vec<Page> {
        let mut pages = vec![ask(threads, &query)];
        while let Some(next) = pages.last().and_then(|page| page.next_cursor.clone()) {
            assert!(pages.len() <= threads.len());
            query.cursor = Some(next);
            pages.push(ask(threads, &query));
        }
        pages
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn paging_either_way_over_equal_times_never_skips_nor_repeats(
            times in prop::collection::vec(0i64..4, 0..24),
            limit in 1usize..6,
            ascending: bool,
        ) {
            let threads: Vec<_> = times
                .iter()
                .zip(0u8..)
                .map(|(time, number)| ThreadSummary {
                    updated_at: UtcMicros::new(*time),
                    ..thread(number)
                })
                .collect();
            let mut expected: Vec<_> =
                threads.iter().map(|t| (t.updated_at, t.thread_id)).collect();
            expected.sort_unstable();
            if !ascending {
                expected.reverse();
            }
            let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
            let direction = if ascending { Direction::Ascending } else { Direction::Descending };
            let query = ListQuery { sort: SortKey::Updated, direction, limit, ..Default::default() };
            let pages = follow(&threads, query.clone());
            let seen: Vec<_> = pages.iter().flat_map(ids).collect();
            prop_assert_eq!(&seen, &expected);
            // Each page's backwards cursor, the other way, gives all that came before the page.
            for (page, start) in pages.iter().zip((0..).step_by(limit)) {
                let Some(cursor) = &page.backwards_cursor else {
                    prop_assert!(threads.is_empty());
                    continue;
                };
                let back = ListQuery {
                    direction: other(direction),
                    cursor: Some(cursor.clone()),
                    ..query.clone()
                };
                let mut before: Vec<_> = follow(&threads, back).iter().flat_map(ids).collect();
                before.reverse();
                prop_assert_eq!(&before[..], &expected[..start]);
            }
        }
    }

    #[test]
    fn a_backwards_cursor_gives_exactly_what_is_new() {
        let query = ListQuery::default();
        let page = ask(&[thread(1), thread(2)], &query);
        let back = ListQuery {
            direction: Direction::Ascending,
            cursor: page.backwards_cursor,
            ..query
        };
        let nothing = ask(&[thread(1), thread(2)], &back);
        assert_eq!(ids(&nothing), []);
        assert_eq!(nothing.backwards_cursor, back.cursor);
        assert_eq!(
            ids(&ask(&[thread(1), thread(2), thread(3), thread(4)], &back)),
            [id(3), id(4)]
        );
    }

    #[test]
    fn a_cursor_outlives_the_thread_it_was_made_at() {
        let all = [thread(1), thread(2), thread(3)];
        let query = ListQuery {
            limit: 2,
            ..ListQuery::default()
        };
        let cursor = ask(&all, &query).next_cursor;
        let rest = ListQuery { cursor, ..query };
        assert_eq!(ids(&ask(&[thread(1), thread(3)], &rest)), [id(1)]);
    }

    #[test]
    fn a_page_size_out_of_bounds_is_refused_and_0_is_the_usual_one() {
        let of = |limit| {
            let query = ListQuery {
                limit,
                ..ListQuery::default()
            };
            PageRequest::of(&query).map(|request| request.limit())
        };
        assert_eq!(of(0).unwrap(), DEFAULT_PAGE_SIZE);
        assert_eq!(of(MAX_PAGE_SIZE).unwrap(), MAX_PAGE_SIZE);
        assert!(of(MAX_PAGE_SIZE + 1).is_err());
    }

    #[test]
    fn a_search_term_that_is_too_long_is_refused() {
        let of = |length| {
            let mut query = ListQuery::default();
            query.filter.search = Some("a".repeat(length));
            PageRequest::of(&query).map(drop)
        };
        assert!(of(0).is_ok() && of(MAX_TERM_BYTES).is_ok());
        assert!(matches!(
            of(MAX_TERM_BYTES + 1),
            Err(crate::Error::InvalidRequest(
                InvalidRequest::SearchTerm { .. }
            ))
        ));
    }
}
