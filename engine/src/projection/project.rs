//! Projecting one log: from its start, or what it has grown by.

use super::{ProjectedThread, TurnChange};
use crate::Result;
use crate::disk::Disk;
use crate::home::{Home, LogPath};

/// What projecting a log gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projection {
    /// The thread as it is now.
    pub thread: ProjectedThread,
    /// What changed about its turns since the base.
    pub turns: Vec<TurnChange>,
    /// Whether the log was read from its start, so that turns known before are void: the base
    /// was missing, or the file is another one now.
    pub from_start: bool,
}

/// Projects a log. With a base, only what the log has grown by is read, where the file is still
/// the one that the base was made of; otherwise it is read from its start.
///
/// # Errors
/// As [`crate::log::read_log`]; [`crate::Error::Corrupt`] also when nothing of it is a record or
/// it says nowhere which thread it belongs to.
pub fn project(
    disk: &dyn Disk,
    home: &Home,
    path: &LogPath,
    base: Option<ProjectedThread>,
) -> Result<Projection> {
    let file = home.log_file(path);
    let _ = (disk, base);
    Err(crate::Error::Corrupt {
        path: file,
        offset: selvedge_codec::ByteOffset::ZERO,
        why: crate::CorruptReason::NoRecord,
    })
}
