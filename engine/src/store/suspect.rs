//! What a read found that the index may not know yet.

use crate::home::{LogPath, OpenMarkFile};

/// Something to look at before the index's answer is right. [`super::Store::reconcile`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Suspect {
    /// The whole home: the index was replaced since this store filled it.
    Home,
    /// A log that does not look as it did, or is gone, or is being written by another process.
    Log(LogPath),
    /// A folder that was changed, or may have been in the same tick of its clock.
    Folder(String),
    /// The names beside the logs.
    Names,
    /// The open marks of a process that died.
    DeadWriter(OpenMarkFile),
}
