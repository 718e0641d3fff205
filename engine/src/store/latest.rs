//! Which thread to resume.

use super::Store;
use crate::Result;
use crate::listing::ListQuery;
use crate::thread::ThreadSummary;

impl Store {
    /// The thread to resume in one of these working directories, or in any where none is given:
    /// see [`ListQuery::latest`].
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn latest(&self, cwds: &[String]) -> Result<Option<ThreadSummary>> {
        Ok(self.list(&ListQuery::latest(cwds))?.threads.pop())
    }
}
