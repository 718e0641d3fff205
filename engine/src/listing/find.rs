//! Finding one thread's log without an index.

use selvedge_codec::ThreadId;

use super::{FoundLog, prefer, walk};
use crate::disk::Disk;
use crate::home::{Home, LogName};
use crate::projection::log_owner;
use crate::{Error, Result};

/// Finds the log of a thread without an index: among those whose name says so first, since a
/// home's logs are many. What a name says is believed only when the log agrees.
///
/// # Errors
/// [`Error::ThreadNotFound`] when no log that can be read belongs to it, and as [`walk`].
pub fn find_log(disk: &dyn Disk, home: &Home, thread_id: ThreadId) -> Result<FoundLog> {
    let mut logs = walk(disk, home)?.logs;
    logs.sort_by(|a, b| prefer(&a.path, &b.path));
    let name_of =
        |log: &FoundLog| LogName::parse(log.path.file_name()).and_then(|name| name.thread_id);
    // Nameless logs stand with those of the right name: either may be the preferred one.
    let (likely, unlikely): (Vec<_>, Vec<_>) = logs
        .into_iter()
        .partition(|log| name_of(log).is_none_or(|id| id == thread_id));
    likely
        .into_iter()
        .chain(unlikely)
        .find(|log| log_owner(disk, home, &log.path).is_ok_and(|owner| owner == thread_id))
        .ok_or(Error::ThreadNotFound { thread_id })
}
