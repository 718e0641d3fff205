//! A checked question for threads in which something was said, and the page that answers it.
//! Every store goes by it, so that they can't differ in what a cursor means.

use super::{Needle, SearchHit, SearchPage, SearchQuery};
use crate::Result;
use crate::listing::{
    Coverage, Cursor, Direction, Fnv, ListQuery, PageRequest, Verification, fingerprint, sort_key,
};
use crate::needle::fold;

/// A checked query.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    needle: Needle,
    candidates: ListQuery,
    limit: usize,
    fingerprint: u64,
}

impl SearchRequest {
    /// Checks a query's terms, page size and cursor.
    ///
    /// # Errors
    /// [`crate::InvalidRequest`] when one of them is no good.
    pub fn of(query: &SearchQuery) -> Result<Self> {
        let needle = Needle::new(&query.term)?;
        let mut candidates = ListQuery {
            filter: query.filter.clone(),
            sort: query.sort,
            direction: Direction::Descending,
            limit: query.limit,
            cursor: None,
            verification: Verification::Verified,
        };
        let limit = PageRequest::of(&candidates)?.limit();
        let mut hash = Fnv::new();
        hash.add(b"what was said");
        hash.add(&fingerprint(&candidates).to_be_bytes());
        hash.add(fold(&query.term).as_bytes());
        let fingerprint = hash.get();
        if let Some(text) = &query.cursor {
            let after = Cursor::decode_for(text, fingerprint)?;
            candidates.cursor = Some(after.encode(&candidates));
        }
        Ok(Self {
            needle,
            candidates,
            limit,
            fingerprint,
        })
    }

    /// What is searched for.
    #[must_use]
    pub const fn needle(&self) -> &Needle {
        &self.needle
    }

    /// Which threads to search, in which order, and from where on. Its page size says nothing.
    #[must_use]
    pub const fn candidates(&self) -> &ListQuery {
        &self.candidates
    }

    /// The most threads that the page holds. Find one more to know whether another follows.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Makes the page of the first threads in which the term was found, in the order of the
    /// candidates: up to one more than [`SearchRequest::limit`] (what is beyond that is left out).
    #[must_use]
    pub fn page(&self, mut hits: Vec<SearchHit>, coverage: Coverage) -> SearchPage {
        let has_more = hits.len() > self.limit;
        hits.truncate(self.limit);
        let last = hits.last().filter(|_| has_more);
        let cursor = last.map(|hit| sort_key(&hit.thread, self.candidates.sort));
        SearchPage {
            next_cursor: cursor.map(|cursor| cursor.encode_for(self.fingerprint)),
            hits,
            coverage,
        }
    }
}
