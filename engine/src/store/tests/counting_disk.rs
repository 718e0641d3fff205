//! A disk that counts what is read of logs.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use selvedge_codec::{ByteLength, ByteOffset};

use crate::disk::{DirEntry, Disk, DiskFile, FileStat, OpenMode, RealDisk};
use crate::home::LogFormat;

/// The machine's disk, which counts the bytes that are read of logs.
#[derive(Debug, Clone, Default)]
pub(super) struct CountingDisk(Arc<AtomicU64>);

impl CountingDisk {
    /// How many bytes of logs were read since this was asked last.
    pub(super) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct CountingFile {
    file: Box<dyn DiskFile>,
    read: Arc<AtomicU64>,
}

impl Disk for CountingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let file = RealDisk.open(path, mode)?;
        let name = path.file_name().and_then(|name| name.to_str());
        if name.and_then(LogFormat::of_file_name).is_none() {
            return Ok(file);
        }
        let read = Arc::clone(&self.0);
        Ok(Box::new(CountingFile { file, read }))
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        RealDisk.stat(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        RealDisk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<bool> {
        RealDisk.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
}

impl DiskFile for CountingFile {
    fn stat(&self) -> io::Result<FileStat> {
        self.file.stat()
    }

    fn len(&self) -> io::Result<ByteLength> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: ByteOffset) -> io::Result<usize> {
        let read = self.file.read_at(buffer, offset)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: ByteOffset) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn append_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.append_all(bytes)
    }

    fn set_len(&self, len: ByteLength) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn try_lock_range(&self, range: Range<u64>, shared: bool) -> io::Result<bool> {
        self.file.try_lock_range(range, shared)
    }

    fn unlock_range(&self, range: Range<u64>) -> io::Result<()> {
        self.file.unlock_range(range)
    }

    fn is_locked_elsewhere(&self, range: Range<u64>) -> io::Result<bool> {
        self.file.is_locked_elsewhere(range)
    }
}
