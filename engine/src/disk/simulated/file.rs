//! An open file of the simulated disk.

use std::io;
use std::ops::Range;

use selvedge_codec::{ByteLength, ByteOffset};

use super::contents::Contents;
use super::faults::{Asked, EBADF, EFBIG, EINVAL, EIO, ENOSPC, Operations, os};
use super::locks::HandleId;
use super::medium::{Course, Handle, Kind, Medium};
use super::tree::asked;
use super::{Shared, whole};
use crate::disk::{DiskFile, FileStat};

/// Longer files are refused: they are held in memory.
const MAX_FILE_BYTES: u64 = 1 << 32;

/// An open file.
#[derive(Debug)]
pub(super) struct SimulatedFile {
    pub(super) shared: Shared,
    pub(super) id: HandleId,
}

impl Medium {
    fn begin_file(
        &mut self,
        id: HandleId,
        on: Operations,
        detail: (u64, u64),
    ) -> (io::Result<Handle>, io::Result<Course>) {
        let handle = match self.handle(id) {
            Ok(handle) => handle,
            Err(error) => return (Err(error), Ok(Course::Whole)),
        };
        let course = self.begin(&Asked {
            detail,
            ..asked(handle.pid, on, &handle.path)
        });
        (Ok(handle), course)
    }

    fn read_file(&mut self, id: HandleId, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let (handle, course) = self.begin_file(id, Operations::Read, (at, buffer.len() as u64));
        let handle = handle?;
        let bytes = self.contents(handle.inode)?.bytes();
        let from = usize::try_from(at).unwrap_or(usize::MAX);
        let rest = bytes.get(from..).unwrap_or_default();
        let mut len = rest.len().min(buffer.len());
        match course? {
            Course::Whole => {}
            Course::Half => len = len.div_ceil(2),
            Course::Dropped => return os(EIO),
        }
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        self.faults.counts.bytes_read += len as u64;
        Ok(len)
    }

    /// Writes at `at`, or at the end; returns how much.
    fn write_file(&mut self, id: HandleId, bytes: &[u8], at: Option<u64>) -> io::Result<usize> {
        let detail = (at.unwrap_or(u64::MAX), bytes.len() as u64);
        let (handle, course) = self.begin_file(id, Operations::Write, detail);
        let handle = handle?;
        if !handle.writes {
            return os(EBADF);
        }
        self.check_writable()?;
        let length = self.contents(handle.inode)?.len() as u64;
        let at = at.unwrap_or(length);
        let mut len = bytes.len();
        let mut failed = None;
        match course {
            Ok(Course::Whole) => {}
            Ok(Course::Half) => len = len.div_ceil(2),
            Ok(Course::Dropped) => return os(EIO),
            Err(error) if self.panics || !matches!(error.raw_os_error(), Some(EIO | ENOSPC)) => {
                return Err(error);
            }
            // What was written before it failed.
            Err(error) => {
                len = self.rng.usize(0..=len);
                failed = Some(error);
            }
        }
        let most = length.saturating_add(self.room()).saturating_sub(at);
        len = len.min(usize::try_from(most).unwrap_or(usize::MAX));
        if at.saturating_add(len as u64) > MAX_FILE_BYTES {
            return os(EFBIG);
        }
        let written = bytes.get(..len).unwrap_or_default();
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        if !written.is_empty() {
            self.change_contents(&handle, |contents, now| contents.write(start, written, now))?;
            self.faults.counts.bytes_written += len as u64;
        }
        match failed {
            Some(error) => Err(error),
            None if len == 0 && !bytes.is_empty() => os(ENOSPC),
            None => Ok(len),
        }
    }

    fn change_contents(
        &mut self,
        handle: &Handle,
        change: impl FnOnce(&mut Contents, i64),
    ) -> io::Result<()> {
        let now = self.now();
        self.change(handle.inode, |node, _| {
            if let Kind::File(contents) = &mut node.kind {
                change(contents, now);
            }
        })
    }

    fn cut_file(&mut self, id: HandleId, len: u64) -> io::Result<()> {
        let (handle, course) = self.begin_file(id, Operations::SetLen, (len, 0));
        let handle = handle?;
        if course? == Course::Dropped {
            return os(EIO);
        }
        if !handle.writes {
            return os(EINVAL);
        }
        self.check_writable()?;
        let length = self.contents(handle.inode)?.len() as u64;
        if len > MAX_FILE_BYTES {
            return os(EFBIG);
        }
        if len.saturating_sub(length) > self.room() {
            return os(ENOSPC);
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.change_contents(&handle, |contents, now| contents.set_len(len, now))
    }

    fn sync_file(&mut self, id: HandleId) -> io::Result<()> {
        let (handle, course) = self.begin_file(id, Operations::Sync, (0, 0));
        let handle = handle?;
        let course = course?;
        let is_dirty = self.contents(handle.inode)?.is_dirty();
        if course == Course::Dropped {
            self.change(handle.inode, |node, rng| {
                if let Kind::File(contents) = &mut node.kind {
                    contents.drop_pages(rng);
                }
            })?;
            return os(EIO);
        }
        if is_dirty {
            self.check_writable()?;
        }
        self.contents(handle.inode)?.sync();
        Ok(())
    }

    fn stat_file(&mut self, id: HandleId) -> io::Result<FileStat> {
        let (handle, course) = self.begin_file(id, Operations::Stat, (0, 0));
        let handle = handle?;
        course?;
        self.stat(handle.inode)
    }

    /// What `work` makes of the locks of an open file.
    fn with_locks<T>(
        &mut self,
        id: HandleId,
        work: impl FnOnce(&mut super::locks::Locks) -> T,
    ) -> io::Result<T> {
        let handle = self.handle(id)?;
        self.change(handle.inode, |node, _| work(&mut node.locks))
    }

    fn begin_lock(&mut self, id: HandleId, range: &Range<u64>) -> io::Result<()> {
        let detail = (range.start, range.end.saturating_sub(range.start));
        let (handle, course) = self.begin_file(id, Operations::Lock, detail);
        handle?;
        course.map(drop)
    }
}

impl whole::PartialIo for SimulatedFile {
    fn read_some(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.shared
            .with(|medium| medium.read_file(self.id, buffer, at))
    }

    fn write_some(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.shared
            .with(|medium| medium.write_file(self.id, bytes, Some(at)))
    }

    fn append_some(&self, bytes: &[u8]) -> io::Result<usize> {
        self.shared
            .with(|medium| medium.write_file(self.id, bytes, None))
    }
}

impl DiskFile for SimulatedFile {
    fn stat(&self) -> io::Result<FileStat> {
        self.shared.with(|medium| medium.stat_file(self.id))
    }

    fn len(&self) -> io::Result<ByteLength> {
        self.stat().map(|stat| stat.len)
    }

    fn read_at(&self, buffer: &mut [u8], offset: ByteOffset) -> io::Result<usize> {
        whole::read_full(self, buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: ByteOffset) -> io::Result<()> {
        whole::write_full(self, bytes, offset)
    }

    fn append_all(&self, bytes: &[u8]) -> io::Result<()> {
        whole::append_full(self, bytes)
    }

    fn set_len(&self, len: ByteLength) -> io::Result<()> {
        whole::retried(|| {
            self.shared
                .with(|medium| medium.cut_file(self.id, len.get()))
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        whole::retried(|| self.shared.with(|medium| medium.sync_file(self.id)))
    }

    fn try_lock_range(&self, range: Range<u64>, shared: bool) -> io::Result<bool> {
        self.shared.with(|medium| {
            medium.begin_lock(self.id, &range)?;
            medium.with_locks(self.id, |locks| locks.try_lock(self.id, range, shared))
        })
    }

    fn unlock_range(&self, range: Range<u64>) -> io::Result<()> {
        self.shared
            .with(|medium| medium.with_locks(self.id, |locks| locks.unlock(self.id, &range)))
    }

    fn is_locked_elsewhere(&self, range: Range<u64>) -> io::Result<bool> {
        self.shared.with(|medium| {
            medium.begin_lock(self.id, &range)?;
            medium.with_locks(self.id, |locks| locks.is_locked_elsewhere(self.id, &range))
        })
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        self.shared.lock().close(self.id);
    }
}

/// A file of the kernel's, as it was when it was opened.
#[derive(Debug)]
pub(super) struct ProcFile(pub(super) Vec<u8>);

impl DiskFile for ProcFile {
    fn stat(&self) -> io::Result<FileStat> {
        Ok(FileStat {
            kind: crate::disk::FileKind::File,
            len: ByteLength::ZERO,
            mtime_nanos: 0,
            inode: 0,
        })
    }

    fn len(&self) -> io::Result<ByteLength> {
        Ok(ByteLength::ZERO)
    }

    fn read_at(&self, buffer: &mut [u8], offset: ByteOffset) -> io::Result<usize> {
        let from = usize::try_from(offset.get()).unwrap_or(usize::MAX);
        let rest = self.0.get(from..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }

    fn write_all_at(&self, _: &[u8], _: ByteOffset) -> io::Result<()> {
        os(EBADF)
    }

    fn set_len(&self, _: ByteLength) -> io::Result<()> {
        os(EINVAL)
    }

    fn sync_data(&self) -> io::Result<()> {
        os(EINVAL)
    }

    fn try_lock_range(&self, _: Range<u64>, _: bool) -> io::Result<bool> {
        os(EBADF)
    }

    fn unlock_range(&self, _: Range<u64>) -> io::Result<()> {
        os(EBADF)
    }

    fn is_locked_elsewhere(&self, _: Range<u64>) -> io::Result<bool> {
        os(EBADF)
    }
}
