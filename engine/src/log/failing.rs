//! Recovering a log after a failed write or sync.
//!
//! What must hold: acknowledged bytes are in the file at every moment, should the process die
//! here; what was not acknowledged is cut off or blanked out; and no sync is believed that did
//! not write the bytes anew.

use std::sync::Arc;

use bytes::Bytes;
use selvedge_codec::ByteOffset;
use selvedge_codec::jsonl::item_from_line;

use super::context::Entries;
use super::handle::LogHandle;
use super::sync;
use super::thread_log::{LogState, ThreadLog};
use super::writer::Writer;
use crate::disk::OpenMode;
use crate::{CorruptReason, Error, Result};

impl ThreadLog {
    /// Makes a failed log usable again: opens the file anew, writes what was acknowledged and not
    /// synced once more where it belongs, takes out what was not acknowledged, and syncs. Does
    /// nothing for a log that has not failed.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::OutOfSpace`] when it fails again, and [`Error::Corrupt`] when
    /// the file lacks what was durable: the log is [`LogState::Failed`] still, and nothing
    /// acknowledged is lost from memory; it holds no file then. [`Error::Closed`].
    pub fn recover(&mut self) -> Result<()> {
        match self.state {
            LogState::Failed => {}
            LogState::Live | LogState::Deferred => return Ok(()),
            LogState::Closed => return Err(self.closed()),
        }
        match self.try_recover() {
            Ok(()) => {
                self.state = LogState::Live;
                self.failure = None;
                Ok(())
            }
            Err(error) => {
                // Nothing is believed of the file as it was open, and the next attempt opens it anew.
                self.handle = None;
                Err(self.fail(error))
            }
        }
    }

    /// Takes a log that was opened for one whose last sync has failed, as whoever wrote it before
    /// may have been told: what the file holds is written once more before a sync of it counts.
    pub fn distrust(&mut self) {
        if self.state == LogState::Live {
            let path = self.file();
            let why = std::io::Error::other("its last writer has not closed it");
            let _ = self.fail(Error::io("trust", &path, why));
        }
    }

    fn try_recover(&mut self) -> Result<()> {
        let handle = LogHandle::open(&*self.context.disk, self.file(), OpenMode::Write)?.ok_or(
            Error::ThreadNotFound {
                thread_id: self.thread_id,
            },
        )?;
        let stat = handle.stat()?;
        if stat.inode != self.inode {
            // What is kept in memory belongs into another file: this one has to hold it already.
            self.reload()?;
            return self.sync_recovered();
        }
        if stat.len.get() < self.tail.base().get() {
            return Err(self.shorter(stat.len));
        }
        self.rewrite_unproven(&handle)?;
        handle.write(self.tail.kept(), self.tail.base())?;
        self.cut_unacknowledged(&handle)?;
        self.handle = Some(Arc::new(handle));
        self.sync_recovered()
    }

    fn sync_recovered(&mut self) -> Result<()> {
        let Some(handle) = self.handle.clone() else {
            return Err(self.closed());
        };
        if let Err((error, entries)) = sync::sync(&handle, self.file_to_sync()) {
            if let Some(entries) = entries {
                self.entries = Entries::Made(entries);
            }
            return Err(error);
        }
        self.tail.synced(self.tail.written());
        self.entries = Entries::Durable;
        Ok(())
    }

    /// Writes what was found in the file once more, if it was never synced: only then does a sync
    /// say anything of it.
    fn rewrite_unproven(&self, handle: &LogHandle) -> Result<()> {
        let Some(unproven) = self.tail.unproven() else {
            return Ok(());
        };
        let bytes = handle.read(unproven.from, self.tail.base())?;
        if !unproven.is_of(&bytes) {
            return Err(Error::Corrupt {
                path: self.file(),
                offset: unproven.from,
                why: CorruptReason::Lost,
            });
        }
        handle.write(&bytes, unproven.from)
    }

    /// Takes the bytes of a failed write out of the file again.
    pub(super) fn cut_unacknowledged(&mut self, handle: &LogHandle) -> Result<()> {
        let end = self.tail.end();
        let len = ByteOffset::new(handle.stat()?.len.get());
        if len > end {
            match self.writer {
                Writer::Native(_) => handle.cut(end)?,
                Writer::Lines(_) => self.blank_out(handle, len)?,
            }
        }
        self.unacknowledged = Vec::new();
        Ok(())
    }

    /// Others append to a JSON-lines log: what lies behind a failed write may be theirs, and stays.
    fn blank_out(&self, handle: &LogHandle, len: ByteOffset) -> Result<()> {
        let end = self.tail.end();
        let beyond = handle.read(end, len)?;
        let ours = length_of_ours(&beyond, &self.unacknowledged);
        if ours == beyond.len() {
            handle.cut(end)
        } else {
            // A blank line is nothing.
            handle.write(&vec![b'\n'; ours], end)
        }
    }
}

/// How far another tool's line may look like ours by chance, unless it does from its start.
const MAX_CHANCE_BYTES: usize = 4096;

/// How many of the bytes that were found are what a failed write left, which wrote `written` as far
/// as it came. Another tool's line behind it may begin as ours would have gone on.
fn length_of_ours(found: &Bytes, written: &[u8]) -> usize {
    let pairs = found.iter().zip(written);
    let same = pairs.take_while(|(found, written)| found == written);
    let most = same.count();
    let (before, after) = found.split_at(most);
    let line = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    let Some(rest) = memchr::memchr(b'\n', after) else {
        return most;
    };
    let near = line.max(most.saturating_sub(MAX_CHANCE_BYTES));
    let mut starts = [line].into_iter().chain(near..=most);
    starts
        .find(|start| {
            found.get(*start) == Some(&b'{')
                && item_from_line(found.slice(*start..most + rest)).is_ok()
        })
        .unwrap_or(most)
}
