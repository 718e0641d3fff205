//! All logs of one thread: two may tell of it, of which one goes before the other.

use std::io;

use selvedge_codec::ThreadId;

use super::{Store, parallel};
use crate::home::{LogName, LogPath};
use crate::index::{Database, Fault, Tables, View};
use crate::listing::{prefer, walk};
use crate::projection::log_owner;
use crate::{Error, Result};

/// A thread is worth starting for this many logs to look into.
const SHARE: usize = 64;

/// The logs of a thread.
#[derive(Debug, Default)]
pub(super) struct ThreadLogs {
    /// Those that tell of it, the preferred one first.
    pub(super) readable: Vec<LogPath>,
    /// Those that have its name, and of which it can't be told whose they are.
    pub(super) unreadable: Vec<LogPath>,
}

impl ThreadLogs {
    pub(super) const fn is_empty(&self) -> bool {
        self.readable.is_empty() && self.unreadable.is_empty()
    }
}

impl Store {
    /// All logs of a thread, wherever they lie and whatever their names.
    pub(super) fn logs_of(&self, id: ThreadId) -> Result<ThreadLogs> {
        let indexed = match &self.index {
            None => None,
            Some(index) => match self.indexed_logs(index, id) {
                Ok(logs) => logs,
                Err(fault) => match self.error(index, fault) {
                    why if self.is_of_index(&why) => None,
                    why => return Err(why),
                },
            },
        };
        if let Some(logs) = indexed {
            let known = self.of_thread(id, &logs);
            if !known.is_empty() {
                return Ok(known);
            }
        }
        // That there is none is not believed of the index: it forgets what can't be listed, and a log
        // may just have been moved.
        let found = walk(self.disk(), self.home())?;
        let hidden = found.failures.iter().find(|failure| failure.hides_logs());
        if let Some(failure) = hidden {
            return Err(failure.why.clone());
        }
        let logs: Vec<_> = found.logs.into_iter().map(|log| log.path).collect();
        Ok(self.of_thread(id, &logs))
    }

    /// Which of these logs are the thread's.
    fn of_thread(&self, id: ThreadId, candidates: &[LogPath]) -> ThreadLogs {
        let owners = parallel::filter_map(self.disk(), candidates, SHARE, |path| {
            Some((path.clone(), log_owner(self.disk(), self.home(), path)))
        });
        let mut found = ThreadLogs::default();
        for (path, owner) in owners {
            match owner {
                Ok(owner) if owner == id => found.readable.push(path),
                Ok(_) => {}
                Err(why) if is_gone(&why) => {}
                Err(_) if is_named(&path, id) => found.unreadable.push(path),
                // A listing's coverage counts it.
                Err(why) => tracing::debug!(log = %path, %why, "a log can't be read"),
            }
        }
        found.readable.sort_by(prefer);
        found
    }

    /// The logs that the index knows of a thread, and those of its name that can't be read; `None`
    /// when it does not cover the home.
    fn indexed_logs(&self, index: &Database, id: ThreadId) -> Result<Option<Vec<LogPath>>, Fault> {
        let is_complete = index.read(|txn| {
            let state = txn.state()?;
            Ok(state.is_some_and(|state| self.is_complete(&state, txn.inode())))
        })?;
        if !is_complete {
            return Ok(None);
        }
        self.search_home(index)?;
        index.read(|txn| {
            let mut logs = txn.paths_of(id)?;
            let failed = txn.failures()?.into_keys().filter_map(LogPath::new);
            logs.extend(failed.filter(|path| is_named(path, id)));
            Ok(Some(logs))
        })
    }
}

/// Whether a log's name says that it is the thread's.
pub(super) fn is_named(path: &LogPath, id: ThreadId) -> bool {
    LogName::parse(path.file_name()).and_then(|name| name.thread_id) == Some(id)
}

fn is_gone(why: &Error) -> bool {
    matches!(why, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
