//! The names that other tools keep beside JSON-lines logs, in `session_index.jsonl`.

use std::collections::HashMap;

use selvedge_codec::ThreadId;

use crate::Result;
use crate::disk::{Disk, FileStat};
use crate::home::Home;
use crate::thread::ThreadSummary;

/// The names, as they were when the file was last read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionNames {
    stat: Option<FileStat>,
    names: HashMap<ThreadId, String>,
}

impl SessionNames {
    /// Reads the names. A home without the file has none.
    ///
    /// # Errors
    /// [`crate::Error::Io`] when the file is there and can't be read.
    pub fn load(disk: &dyn Disk, home: &Home) -> Result<Self> {
        let mut names = Self::default();
        names.refresh(disk, home)?;
        Ok(names)
    }

    /// Reads the file again if it changed. Returns whether it did.
    ///
    /// # Errors
    /// As [`SessionNames::load`].
    pub fn refresh(&mut self, disk: &dyn Disk, home: &Home) -> Result<bool> {
        let _ = (disk, home);
        Ok(false)
    }

    /// What the file's metadata said when it was read; `None` when there is no such file.
    #[must_use]
    pub const fn stat(&self) -> Option<FileStat> {
        self.stat
    }

    /// A thread's name.
    #[must_use]
    pub fn get(&self, thread_id: ThreadId) -> Option<&str> {
        self.names.get(&thread_id).map(String::as_str)
    }

    /// All names.
    pub fn iter(&self) -> impl Iterator<Item = (ThreadId, &str)> {
        self.names.iter().map(|(id, name)| (*id, name.as_str()))
    }

    /// Gives a thread its name, unless its own log gave it one.
    pub fn apply(&self, thread: &mut ThreadSummary) {
        if thread.name.is_none() {
            thread.name = self.get(thread.thread_id).map(str::to_owned);
        }
    }
}
