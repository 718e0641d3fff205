//! A log's open file, shared by its writer and a sync that runs meanwhile.
//!
//! What must hold: once a sync through a handle has failed, no sync through it is believed again.
//! The system tells a failure once and then takes the lost pages for clean.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use selvedge_codec::{ByteLength, ByteOffset};

use crate::disk::{Disk, DiskFile, FileStat, OpenMode, read_range};
use crate::{Error, Result};

#[derive(Debug)]
pub(super) struct LogHandle {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    /// The first failed sync. Locked during a sync, so that of two syncs at once neither takes
    /// the other's failure for its own success.
    failed: Mutex<Option<Error>>,
}

impl LogHandle {
    /// Opens a log's file; `None` when there is none.
    pub(super) fn open(disk: &dyn Disk, path: PathBuf, mode: OpenMode) -> Result<Option<Self>> {
        match disk.open(&path, mode) {
            Ok(file) => Ok(Some(Self::of(file, path))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", &path, error)),
        }
    }

    pub(super) fn of(file: Box<dyn DiskFile>, path: PathBuf) -> Self {
        Self {
            file,
            path,
            failed: Mutex::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn io(&self, operation: &'static str) -> impl FnOnce(io::Error) -> Error + '_ {
        move |error| Error::io(operation, &self.path, error)
    }

    pub(super) fn stat(&self) -> Result<FileStat> {
        self.file.stat().map_err(self.io("look at"))
    }

    pub(super) fn write(&self, bytes: &[u8], at: ByteOffset) -> Result<()> {
        self.file.write_all_at(bytes, at).map_err(self.io("write"))
    }

    /// Writes at the end of the file, wherever another process has moved it.
    pub(super) fn append(&self, bytes: &[u8]) -> Result<()> {
        self.file.append_all(bytes).map_err(self.io("write"))
    }

    pub(super) fn cut(&self, end: ByteOffset) -> Result<()> {
        self.file
            .set_len(ByteLength::new(end.get()))
            .map_err(self.io("cut"))
    }

    /// Reads from `from` up to `to`, or up to the end of the file if that comes first.
    pub(super) fn read(&self, from: ByteOffset, to: ByteOffset) -> Result<Bytes> {
        let length = ByteLength::new(to.get().saturating_sub(from.get()));
        read_range(&*self.file, from, length)
            .map(Bytes::from)
            .map_err(self.io("read"))
    }

    pub(super) fn sync(&self) -> Result<()> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &*failed {
            return Err(error.clone());
        }
        let synced = self.file.sync_data().map_err(self.io("sync"));
        if let Err(error) = &synced {
            *failed = Some(error.clone());
        }
        synced
    }
}
