//! A sync that runs elsewhere while its log is written on.

use std::sync::Arc;

use selvedge_codec::{ByteOffset, Ordinal};

use super::context::{DurableDirs, NewEntries};
use super::handle::LogHandle;
use crate::disk::Disk;
use crate::{Error, Result};

/// How far a log was written when a sync of it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) end: ByteOffset,
    pub(super) next_ordinal: Ordinal,
}

/// Makes a log durable as far as it was written when the job was made. Blocking: to be run where
/// waiting for the medium harms nobody.
#[derive(Debug)]
#[must_use = "a sync that is not run makes nothing durable"]
pub struct SyncJob(pub(super) Work);

#[derive(Debug)]
pub(super) enum Work {
    Sync {
        handle: Arc<LogHandle>,
        upto: Written,
        new: Option<NewFile>,
    },
    /// The log failed before the job was made: all that it does is to say so.
    Tell(Error),
}

/// A file that was made since the last sync.
#[derive(Debug)]
pub(super) struct NewFile {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dirs: Arc<DurableDirs>,
    pub(super) entries: NewEntries,
}

/// How a [`SyncJob`] went, for [`super::ThreadLog::finish_sync`].
#[derive(Debug)]
#[must_use = "the log only learns from `finish_sync` what is durable"]
pub struct SyncDone(pub(super) Outcome);

#[derive(Debug)]
pub(super) enum Outcome {
    Synced {
        handle: Arc<LogHandle>,
        upto: Written,
    },
    Failed {
        /// `None` when nothing was tried.
        handle: Option<Arc<LogHandle>>,
        error: Error,
    },
}

impl SyncJob {
    /// Waits for the medium.
    pub fn run(self) -> SyncDone {
        SyncDone(match self.0 {
            Work::Tell(error) => Outcome::Failed {
                handle: None,
                error,
            },
            Work::Sync { handle, upto, new } => match sync(&handle, new.as_ref()) {
                Ok(()) => Outcome::Synced { handle, upto },
                Err(error) => Outcome::Failed {
                    handle: Some(handle),
                    error,
                },
            },
        })
    }
}

/// What a fork inherits first, then the file: an entry that leads to nothing durable is worth
/// nothing.
pub(super) fn sync(handle: &LogHandle, new: Option<&NewFile>) -> Result<()> {
    if let Some(new) = new {
        new.dirs.sync_inherited(&*new.disk, &new.entries)?;
    }
    handle.sync()?;
    new.map_or(Ok(()), |new| new.dirs.sync(&*new.disk, &new.entries))
}
