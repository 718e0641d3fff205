//! A sync that runs elsewhere while its log is written on.

use std::sync::Arc;

use selvedge_codec::{ByteOffset, Ordinal, ThreadId};

use super::context::{Entries, LogContext, NewEntries};
use super::handle::LogHandle;
use crate::disk::OpenMode;
use crate::home::LogPath;
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

/// A file whose entries were not synced by whoever writes it now.
#[derive(Debug)]
pub(super) struct NewFile {
    pub(super) context: LogContext,
    pub(super) thread_id: ThreadId,
    pub(super) path: LogPath,
    pub(super) entries: Entries,
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
        /// What was to be synced with the file.
        entries: Option<Box<NewEntries>>,
    },
}

impl SyncJob {
    /// Waits for the medium.
    pub fn run(self) -> SyncDone {
        SyncDone(match self.0 {
            Work::Tell(error) => Outcome::Failed {
                handle: None,
                error,
                entries: None,
            },
            Work::Sync { handle, upto, new } => match sync(&handle, new) {
                Ok(()) => Outcome::Synced { handle, upto },
                Err((error, entries)) => Outcome::Failed {
                    handle: Some(handle),
                    error,
                    entries,
                },
            },
        })
    }
}

/// Makes a log durable that was found, with the entries that lead to it and to what it inherits: its
/// writer may have died before that.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn sync_found(context: &LogContext, (id, path): (ThreadId, &LogPath)) -> Result<()> {
    let disk = &*context.disk;
    let entries = context.dirs.found(context, (id, path))?;
    let file = context.home.log_file(path);
    disk.open(&file, OpenMode::Read)
        .and_then(|file| file.sync_data())
        .map_err(|error| Error::io("sync", &file, error))?;
    context.dirs.sync(disk, &entries)
}

/// The file first: an entry that leads to nothing durable is worth nothing. What a fork inherits is
/// durable already, but for its entries. With an error it gives what was to be synced with the file.
pub(super) fn sync(
    handle: &LogHandle,
    new: Option<NewFile>,
) -> std::result::Result<(), (Error, Option<Box<NewEntries>>)> {
    let Some(new) = new else {
        return handle.sync().map_err(|error| (error, None));
    };
    let (dirs, disk) = (&new.context.dirs, &*new.context.disk);
    let entries = match new.entries {
        Entries::Durable => None,
        Entries::Made(entries) => Some(entries),
        Entries::Found => match dirs.found(&new.context, (new.thread_id, &new.path)) {
            Ok(entries) => Some(Box::new(entries)),
            Err(error) => return Err((error, None)),
        },
    };
    let synced = handle.sync().and_then(|()| match &entries {
        Some(entries) => dirs.sync(disk, entries),
        None => Ok(()),
    });
    synced.map_err(|error| (error, entries))
}
