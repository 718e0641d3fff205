//! Searching what was said.
//!
//! What must hold: the answer is what loading every thread's history would give. Most logs are
//! only looked through as bytes: one whose bytes can't spell the term is not parsed.

use std::io;

use selvedge_codec::segment::SegmentHeader;
use selvedge_codec::{ByteLength, ByteOffset, ThreadId, jsonl};

use super::examine::is_passing;
use super::{Store, parallel};
use crate::home::{LogFormat, LogPath};
use crate::listing::{Coverage, ListQuery, MAX_PAGE_SIZE, Page, scan_list};
use crate::log::{History, OpenLog, load_history};
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

/// However long it is.
const WHOLE: ByteLength = ByteLength::new(u64::MAX);

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
        let mut found = parallel::filter_map(self.disk(), &numbered, SHARE, |(at, thread)| {
            let found = match self.may_say(thread, raw) {
                Ok(false) => return None,
                Ok(true) => self.history_of(thread),
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

    /// The history of a thread that was listed just now: the index is not asked again where its log
    /// lies, once for each hit.
    fn history_of(&self, thread: &ThreadSummary) -> Result<History> {
        let path = LogPath::new(thread.rollout_path.clone());
        let known = path.and_then(|path| {
            let format = LogFormat::of_file_name(path.file_name())?;
            Some((self.home().log_file(&path), format))
        });
        match known.map(|(file, format)| load_history(self.disk(), &file, format)) {
            Some(Err(why)) if has_vanished(&why) => self.history(thread.thread_id),
            Some(loaded) => loaded,
            None => self.history(thread.thread_id),
        }
    }

    /// Whether the bytes of a thread's log, or of what it inherits, may say the term. What can't be
    /// made sense of here is told by whoever loads the history.
    fn may_say(&self, thread: &ThreadSummary, raw: &RawNeedle) -> Result<bool> {
        let Some(path) = LogPath::new(thread.rollout_path.clone()) else {
            return Ok(true);
        };
        let Some(format) = LogFormat::of_file_name(path.file_name()) else {
            return Ok(true);
        };
        let log = match OpenLog::open(self.disk(), &self.home().log_file(&path), format) {
            Ok(log) => log,
            // It was moved or removed since.
            Err(why) if has_vanished(&why) => return Ok(true),
            Err(why) => return Err(why),
        };
        let bytes = log.read(ByteOffset::ZERO, WHOLE)?;
        match format {
            LogFormat::JsonLines => Ok(raw.may_be_in(&bytes)),
            // What comes after damage is not read by anybody.
            LogFormat::CompressedJsonLines => {
                Ok(raw.may_be_in(&jsonl::decompress_prefix(&bytes).0))
            }
            LogFormat::Native if raw.may_be_in(&bytes) => Ok(true),
            LogFormat::Native => match SegmentHeader::decode(&bytes) {
                Ok(header) => self.may_inherit(&log, &header, raw),
                Err(_) => Ok(true),
            },
        }
    }

    /// Whether the segments that a log inherits may say the term.
    fn may_inherit(
        &self,
        log: &OpenLog<'_>,
        header: &SegmentHeader,
        raw: &RawNeedle,
    ) -> Result<bool> {
        for file in log.parts(header)?.into_iter().filter_map(|part| part.file) {
            let inherited = match OpenLog::open(self.disk(), &file.path, LogFormat::Native) {
                Ok(inherited) => inherited,
                Err(why) if has_vanished(&why) => continue,
                Err(why) => return Err(why),
            };
            let end = ByteLength::new(file.name.end.get());
            if raw.may_be_in(&inherited.read(ByteOffset::ZERO, end)?) {
                return Ok(true);
            }
        }
        Ok(false)
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

fn has_vanished(why: &Error) -> bool {
    matches!(why, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
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
