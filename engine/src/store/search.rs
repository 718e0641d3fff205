//! Searching what was said.
//!
//! What must hold: the answer is what loading every thread's history would give. Most logs are
//! only looked through as bytes: one whose bytes can't spell the term is not parsed.

use std::io;
use std::path::PathBuf;

use selvedge_codec::{ByteLength, ByteOffset, ThreadId, jsonl};

use super::examine::is_passing;
use super::{Store, parallel};
use crate::home::{LogFormat, LogPath};
use crate::listing::{Coverage, ListQuery, MAX_PAGE_SIZE, Page, scan_list};
use crate::log::OpenLog;
use crate::needle::RawNeedle;
use crate::search::{
    OccurrencePage, OccurrenceQuery, SearchHit, SearchPage, SearchQuery, SearchRequest, find_in,
    occurrences_in,
};
use crate::thread::ThreadSummary;
use crate::{Error, Result};

/// So many threads are searched before it is asked whether they are enough. Each time more are.
const FIRST_CHUNK: usize = 64;
/// A thread is worth starting for this many logs.
const SHARE: usize = 8;

/// What was found in one candidate, by its place among them.
type Outcome = (usize, Result<String>);

impl Store {
    /// Searches what was said: the threads in which it still counts, newest first.
    ///
    /// # Errors
    /// [`crate::InvalidRequest`] for a bad term, cursor or page size; [`Error::Io`]. A log that
    /// can't be read is counted in the page's coverage.
    pub fn search(&self, query: &SearchQuery) -> Result<SearchPage> {
        let request = SearchRequest::of(query)?;
        let raw = request.needle().raw();
        let mut candidates = Candidates {
            store: self,
            query: request.candidates().clone(),
            by_index: self.index.is_some(),
            is_first: true,
        };
        let wanted = request.limit() + 1;
        let (mut hits, mut unread) = (Vec::new(), 0);
        candidates.query.limit = wanted.clamp(FIRST_CHUNK, MAX_PAGE_SIZE);
        loop {
            let page = candidates.next()?;
            for (at, found) in self.search_all((&request, &raw), &page.threads) {
                match (found, page.threads.get(at)) {
                    (Ok(snippet), Some(thread)) => hits.push(SearchHit {
                        thread: thread.clone(),
                        snippet,
                    }),
                    (Err(why), _) if is_passing(&why) => return Err(why),
                    (Err(why), thread) => {
                        let log = thread.map(|thread| &thread.rollout_path);
                        tracing::warn!(?log, %why, "a log can't be searched");
                        unread += 1;
                    }
                    (Ok(_), None) => {}
                }
            }
            if hits.len() >= wanted || page.next_cursor.is_none() {
                return Ok(request.page(hits, with_failures(page.coverage, unread)));
            }
            candidates.query.cursor = page.next_cursor;
            candidates.query.limit = (candidates.query.limit * 4).min(MAX_PAGE_SIZE);
        }
    }

    /// Searches threads, all of them at once. What is told is in their order.
    fn search_all(
        &self,
        (request, raw): (&SearchRequest, &RawNeedle),
        threads: &[ThreadSummary],
    ) -> Vec<Outcome> {
        let numbered: Vec<_> = threads.iter().enumerate().collect();
        let mut found = parallel::filter_map(&numbered, SHARE, |(at, thread)| {
            let found = match self.may_say(thread, raw) {
                Ok(false) => return None,
                Ok(true) => self.history(thread.thread_id),
                Err(why) => Err(why),
            };
            match found {
                Ok(history) => {
                    let snippet = find_in(&history.records, request.needle())?;
                    Some((*at, Ok(snippet)))
                }
                // It was removed since it was listed.
                Err(Error::ThreadNotFound { .. }) => None,
                Err(why) => Some((*at, Err(why))),
            }
        });
        found.sort_unstable_by_key(|(at, _)| *at);
        found
    }

    /// Whether the bytes of a thread's log may say the term.
    fn may_say(&self, thread: &ThreadSummary, raw: &RawNeedle) -> Result<bool> {
        for (file, format) in self.files_of(thread) {
            let bytes = match OpenLog::open(self.disk(), &file, format) {
                Ok(log) => log.read(ByteOffset::ZERO, ByteLength::new(u64::MAX))?,
                // It was moved or removed since: whoever loads its history finds it again.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    return Ok(true);
                }
                Err(why) => return Err(why),
            };
            let may = match format {
                LogFormat::Native | LogFormat::JsonLines => raw.may_be_in(&bytes),
                // What comes after damage is not read by anybody.
                LogFormat::CompressedJsonLines => {
                    raw.may_be_in(&jsonl::decompress_prefix(&bytes).0)
                }
            };
            if may {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The files that a thread's history is in.
    fn files_of(&self, thread: &ThreadSummary) -> Vec<(PathBuf, LogFormat)> {
        let path = LogPath::new(thread.rollout_path.clone());
        let own = path.and_then(|path| {
            let format = LogFormat::of_file_name(path.file_name())?;
            Some((self.home().log_file(&path), format))
        });
        own.into_iter().collect()
    }

    /// The places in one thread where something was said that still counts, oldest first.
    ///
    /// # Errors
    /// [`crate::InvalidRequest`] for a bad term, cursor or page size; as [`Store::history`].
    pub fn occurrences(&self, id: ThreadId, query: &OccurrenceQuery) -> Result<OccurrencePage> {
        // A bad question is one whatever the thread.
        occurrences_in(id, &[], query)?;
        occurrences_in(id, &self.history(id)?.records, query)
    }
}

fn with_failures(coverage: Coverage, more: u64) -> Coverage {
    match coverage {
        Coverage::Complete { failed } => Coverage::Complete {
            failed: failed + more,
        },
        Coverage::Partial {
            indexed,
            pending,
            failed,
        } => Coverage::Partial {
            indexed,
            pending,
            failed: failed + more,
        },
    }
}

/// The threads to search, in their order.
struct Candidates<'a> {
    store: &'a Store,
    query: ListQuery,
    by_index: bool,
    is_first: bool,
}

impl Candidates<'_> {
    /// The next page of them. The home is looked around in for the first one alone.
    fn next(&mut self) -> Result<Page> {
        let store = self.store;
        if self.by_index {
            match store.list_by_index(&self.query, self.is_first) {
                Err(why) if store.is_of_index(&why) => self.by_index = false,
                done => {
                    self.is_first = false;
                    return done;
                }
            }
        }
        // A scan reads every log for each page.
        self.query.limit = MAX_PAGE_SIZE;
        scan_list(store.disk(), store.home(), &self.query)
    }
}
