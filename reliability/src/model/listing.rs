//! Listings: whatever the order, the direction and the size of the pages, a store with an index
//! lists what one without lists, and neither skips nor repeats.

use selvedge::{
    Coverage, Direction, ListQuery, SearchQuery, SortKey, ThreadFilter, ThreadStore, ThreadSummary,
};

use super::process::{Hung, Process};
use super::program::THREADS;
use super::runner::{Runner, told};

/// All that there is, on one page.
pub fn all(process: &Process, archived: bool) -> Result<(Vec<ThreadSummary>, Coverage), String> {
    let page = page(
        process,
        ListQuery {
            filter: ThreadFilter {
                archived,
                include_empty: true,
                ..ThreadFilter::default()
            },
            limit: 100,
            ..ListQuery::default()
        },
    )?;
    Ok((page.threads, page.coverage))
}

fn page(process: &Process, query: ListQuery) -> Result<selvedge::Page, String> {
    let asked = format!("{query:?}");
    process
        .wait(process.store.list_threads(query))
        .map_err(|Hung| format!("{asked} does not end"))?
        .map_err(|why| format!("{asked}: {}", told(&why)))
}

/// What pages of a size give, one after the other.
fn paged(process: &Process, mut query: ListQuery) -> Result<Vec<ThreadSummary>, String> {
    let mut all = Vec::new();
    loop {
        let page = page(process, query.clone())?;
        if page.threads.len() > query.limit || all.len() > 4 * usize::from(THREADS) {
            return Err(format!(
                "pages that are too large or without end: {query:?}"
            ));
        }
        all.extend(page.threads);
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(all),
        }
    }
}

impl Runner {
    /// Compares listings and searches, with the index and without.
    pub(super) fn compare_lists(&self, process: &Process, scan: &Process) -> Result<(), String> {
        // Not every size each time: there are many checks.
        let size = 1 + (self.figures.checks % 3) as usize;
        for archived in [false, true] {
            let (found, coverage) = all(process, archived)?;
            let (expected, scanned) = all(scan, archived)?;
            if coverage != scanned {
                return Err(format!(
                    "a page says {coverage:?}, and the scan {scanned:?}"
                ));
            }
            compare("all threads", &found, &expected)?;
            // Not every order either.
            let turn = self.figures.checks + u64::from(archived);
            let query = ListQuery {
                filter: ThreadFilter {
                    archived,
                    include_empty: turn.is_multiple_of(2),
                    ..ThreadFilter::default()
                },
                sort: [SortKey::Created, SortKey::Updated, SortKey::Recency][(turn % 3) as usize],
                direction: match turn / 3 % 2 {
                    0 => Direction::Descending,
                    _ => Direction::Ascending,
                },
                limit: 100,
                ..ListQuery::default()
            };
            let expected = page(scan, query.clone())?.threads;
            let query = ListQuery {
                limit: size,
                ..query
            };
            let found = paged(process, query.clone())?;
            compare(&format!("{query:?}"), &found, &expected)?;
        }
        self.compare_searches(process, scan)
    }

    fn compare_searches(&self, process: &Process, scan: &Process) -> Result<(), String> {
        let number = self.seams.disk.counts().operations % (self.serial + 1);
        let term = format!("word{number} ");
        let found = hits(process, &term)?;
        let expected = hits(scan, &term)?;
        compare(&format!("search for {term:?}"), &found, &expected)
    }
}

fn hits(process: &Process, term: &str) -> Result<Vec<ThreadSummary>, String> {
    let query = SearchQuery {
        term: term.to_owned(),
        ..SearchQuery::default()
    };
    let page = process
        .wait(process.store.search_threads(query))
        .map_err(|Hung| format!("searching for {term:?} does not end"))?
        .map_err(|why| format!("searching for {term:?}: {}", told(&why)))?;
    Ok(page.hits.into_iter().map(|hit| hit.thread).collect())
}

fn compare(what: &str, found: &[ThreadSummary], expected: &[ThreadSummary]) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!(
            "{what}: with the index {found:#?}, without {expected:#?}"
        )),
    }
}
