//! Finding one thread's log without an index.
//!
//! What must hold: that a thread has no log is never told while a folder or a log that may be its own
//! can't be looked at. Histories are removed, and threads made, because of that answer.

use std::io;

use selvedge_codec::ThreadId;

use super::walk::is_refusal;
use super::{FoundLog, prefer, walk};
use crate::disk::Disk;
use crate::home::{Home, LogName};
use crate::projection::log_owner;
use crate::{Error, Result};

/// Finds the log of a thread without an index: among those whose name says so first, since a
/// home's logs are many. What a name says is believed only when the log agrees.
///
/// # Errors
/// [`Error::ThreadNotFound`] when no log belongs to it, or why the only log of its name can't be
/// read, or a folder can't be listed that it may lie in; and as [`walk`].
pub fn find_log(disk: &dyn Disk, home: &Home, thread_id: ThreadId) -> Result<FoundLog> {
    let found = walk(disk, home)?;
    let hiding = found.failures.into_iter().find(|at| at.hides_logs());
    let mut hidden = hiding.map(|failure| failure.why);
    let mut logs = found.logs;
    logs.sort_by(|a, b| prefer(&a.path, &b.path));
    // Nameless logs stand with those of the right name: either may be the preferred one.
    let (likely, unlikely): (Vec<_>, Vec<_>) = logs
        .into_iter()
        .partition(|log| named_id(log).is_none_or(|id| id == thread_id));
    let mut unreadable = None;
    for log in likely.into_iter().chain(unlikely) {
        match log_owner(disk, home, &log.path) {
            Ok(owner) if owner == thread_id => return Ok(log),
            Ok(_) => {}
            Err(why) if named_id(&log) == Some(thread_id) => {
                unreadable.get_or_insert(why);
            }
            // Of a log that neither names nor tells its thread nothing can be said here; a
            // listing's coverage counts it.
            Err(why) => {
                tracing::warn!(log = %log.path, %why, "a log can't be read");
                if named_id(&log).is_none() && is_refusal(&why) && !is_gone(&why) {
                    hidden.get_or_insert(why);
                }
            }
        }
    }
    let why = unreadable.or(hidden);
    Err(why.unwrap_or(Error::ThreadNotFound { thread_id }))
}

/// Moved or removed since the home was walked.
fn is_gone(why: &Error) -> bool {
    matches!(why, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

fn named_id(log: &FoundLog) -> Option<ThreadId> {
    LogName::parse(log.path.file_name()).and_then(|name| name.thread_id)
}
