//! How far a log was projected, and what came of it.

use selvedge_codec::{ByteLength, ThreadId};
use serde::{Deserialize, Serialize};

use super::FoldState;
use super::meta::blank;
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
    /// The checksum of the bytes right before the position, a kilobyte at most: a file
    /// that has them no longer was written anew, also where it is longer than it was. `None`
    /// where nobody goes on from the position, or nothing was read yet.
    pub fingerprint: Option<u32>,
}

/// How many bytes before its position a checkpoint remembers: more than a line or frame that might
/// be repeated, and no more than is read in passing.
pub(super) const FINGERPRINT_BYTES: ByteLength = ByteLength::new(1 << 10);

impl Checkpoint {
    /// Whether a file that looks like this has not changed since.
    #[must_use]
    pub fn matches(&self, stat: &FileStat) -> bool {
        self.file_len == stat.len
            && self.mtime_nanos == stat.mtime_nanos
            && self.inode == stat.inode
    }
}

impl ProjectedThread {
    /// What a fork's own records are projected on, if it inherits all of this log as far as it was
    /// projected; `None` where only the records tell. `own` is where the fork's own records begin.
    pub(crate) fn inherited_by(&self, fork: ThreadId, own: Checkpoint) -> Option<Self> {
        // What is copied from a log of JSON lines lies elsewhere in the segment that it makes, and
        // what was no record there is not inherited.
        if self.format != LogFormat::Native {
            return None;
        }
        let summary = &self.summary;
        Some(Self {
            summary: ThreadSummary {
                thread_id: fork,
                first_user_message: summary.first_user_message.clone(),
                preview: summary.preview.clone(),
                model: summary.model.clone(),
                reasoning_effort: summary.reasoning_effort.clone(),
                approval_mode: summary.approval_mode.clone(),
                token_usage: summary.token_usage.clone(),
                item_count: summary.item_count,
                damaged_count: summary.damaged_count,
                ..blank()
            },
            format: LogFormat::Native,
            checkpoint: own,
            fold: self.fold.inherited()?,
        })
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
