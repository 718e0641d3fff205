//! Finding a home's logs. Symbolic links are not followed.

use std::cmp::Ordering;

use selvedge_codec::ThreadId;

use crate::disk::{Disk, FileStat};
use crate::home::{Home, LogFormat, LogPath};
use crate::{Error, Result};

/// A log that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLog {
    /// Where it lies.
    pub path: LogPath,
    /// How its bytes are laid out, as its name says.
    pub format: LogFormat,
    /// What its metadata said.
    pub stat: FileStat,
}

/// A folder that was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDir {
    /// Its path below the home, with `/` between components.
    pub path: String,
    /// What its metadata said before it was listed.
    pub stat: FileStat,
}

/// Something that has the name of a log or folder of logs, and can't be read as one.
#[derive(Debug, Clone)]
pub struct WalkFailure {
    /// Its path below the home; approximate where a name is not UTF-8.
    pub path: String,
    /// Why.
    pub why: Error,
}

/// What one folder holds.
#[derive(Debug, Clone)]
pub struct DirListing {
    /// The folder itself.
    pub dir: FoundDir,
    /// Its logs, by name.
    pub logs: Vec<FoundLog>,
    /// The folders in it, as paths below the home, by name.
    pub subdirs: Vec<String>,
    /// What in it can't be read.
    pub failures: Vec<WalkFailure>,
}

/// What a home holds.
#[derive(Debug, Clone, Default)]
pub struct Walk {
    /// All logs, in the order of their paths.
    pub logs: Vec<FoundLog>,
    /// All folders that were listed.
    pub dirs: Vec<FoundDir>,
    /// What can't be read.
    pub failures: Vec<WalkFailure>,
}

/// Lists one folder of logs; `None` when there is none of this path (or it is no directory and
/// has not the name of a log).
///
/// # Errors
/// [`Error::Io`] when it can't be listed.
pub fn list_dir(disk: &dyn Disk, home: &Home, dir: &str) -> Result<Option<DirListing>> {
    let _ = (disk, home, dir);
    Ok(None)
}

/// Finds all logs of a home. What can't be read is among [`Walk::failures`].
///
/// # Errors
/// [`crate::InvalidRequest`] when the home does not exist or is not a directory.
pub fn walk(disk: &dyn Disk, home: &Home) -> Result<Walk> {
    let _ = (disk, home);
    Ok(Walk::default())
}

/// Of two logs of one thread, the one to believe comes first: plain before compressed, native
/// before JSON lines, live before archived, then by path.
#[must_use]
pub fn prefer(a: &LogPath, b: &LogPath) -> Ordering {
    a.cmp(b)
}

/// Finds the log of a thread without an index.
///
/// # Errors
/// [`Error::ThreadNotFound`] when no log belongs to it.
pub fn find_log(disk: &dyn Disk, home: &Home, thread_id: ThreadId) -> Result<FoundLog> {
    let _ = (disk, home);
    Err(Error::ThreadNotFound { thread_id })
}
