//! How far a log was projected, and what came of it.

use selvedge_codec::ByteLength;
use serde::{Deserialize, Serialize};

use super::FoldState;
use crate::disk::FileStat;
use crate::home::LogFormat;
use crate::log::LogPosition;
use crate::thread::ThreadSummary;

/// How far a log was projected, and what the file looked like before it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Where reading goes on.
    pub position: LogPosition,
    /// The file's length.
    pub file_len: ByteLength,
    /// The file's modification time in nanoseconds since 1970.
    pub mtime_nanos: i64,
    /// The file's identity on its device.
    pub inode: u64,
}

impl Checkpoint {
    /// Whether a file that looks like this has not changed since.
    #[must_use]
    pub fn matches(&self, stat: &FileStat) -> bool {
        self.file_len == stat.len
            && self.mtime_nanos == stat.mtime_nanos
            && self.inode == stat.inode
    }
}

/// What a log says of its thread, and how to go on from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectedThread {
    /// What readers see. Names that lie outside of the log are not in it.
    pub summary: ThreadSummary,
    /// How the log's bytes are laid out.
    pub format: LogFormat,
    /// How far the log was projected.
    pub checkpoint: Checkpoint,
    /// What the fold must know to go on.
    pub fold: FoldState,
}

impl ProjectedThread {
    /// Gives the thread the name that lies outside of its log, where the log says nothing of its
    /// name.
    pub fn take_outside_name(&mut self, name: Option<String>) {
        if !self.fold.is_name_told() && self.summary.name.is_none() {
            self.summary.name = name;
        }
    }
}
