//! Answers about many threads, from their records alone.

use std::collections::HashMap;

use selvedge_engine::Result;
use selvedge_engine::listing::{
    Coverage, ListQuery, MAX_PAGE_SIZE, Matcher, Page, PageRequest, cut_page,
};
use selvedge_engine::search::{SearchHit, SearchPage, SearchQuery, SearchRequest, find_in};

use crate::ThreadRecords;

const COVERAGE: Coverage = Coverage::Complete { failed: 0 };

/// A page of a listing of these threads, which are all that a store has, in any order.
///
/// # Errors
/// [`selvedge_engine::InvalidRequest`] for a bad term, cursor or page size.
pub fn list_of(threads: &[&ThreadRecords], query: &ListQuery) -> Result<Page> {
    let request = PageRequest::of(query)?;
    let threads: Vec<_> = threads.iter().map(|thread| thread.summary()).collect();
    let matcher = Matcher::new(&query.filter, || {
        let child = threads.iter();
        child.filter_map(|thread| Some((thread.thread_id, thread.parent_thread_id?)))
    });
    let wanted = threads.iter().filter(|thread| matcher.matches(thread));
    let wanted = wanted.cloned().collect();
    Ok(cut_page(&request, wanted, COVERAGE))
}

/// A page of those of these threads in which something was said. The threads are all that a store
/// has, in any order.
///
/// # Errors
/// [`selvedge_engine::InvalidRequest`] for a bad term, cursor or page size.
pub fn search_of(threads: &[&ThreadRecords], query: &SearchQuery) -> Result<SearchPage> {
    let request = SearchRequest::of(query)?;
    let mut candidates = ListQuery {
        limit: MAX_PAGE_SIZE,
        ..request.candidates().clone()
    };
    let by_id: HashMap<_, _> = threads
        .iter()
        .map(|thread| (thread.thread_id(), thread))
        .collect();
    let mut hits = Vec::new();
    loop {
        let page = list_of(threads, &candidates)?;
        for summary in page.threads {
            let thread = by_id.get(&summary.thread_id);
            let snippet = thread.and_then(|thread| find_in(thread.records(), request.needle()));
            if let Some(snippet) = snippet {
                let thread = summary;
                hits.push(SearchHit { thread, snippet });
            }
            if hits.len() > request.limit() {
                break;
            }
        }
        candidates.cursor = page.next_cursor;
        if hits.len() > request.limit() || candidates.cursor.is_none() {
            return Ok(request.page(hits, COVERAGE));
        }
    }
}
