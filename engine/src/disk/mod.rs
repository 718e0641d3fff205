//! The disk: one of the two seams (the other is [`crate::clock`]).
//!
//! Everything that touches a file goes through [`Disk`] and [`DiskFile`], the index included, so
//! that faults can be injected below all of it. Paths are absolute. Implementations retry
//! `EINTR` and short reads and writes themselves.

mod real;
#[cfg(any(test, feature = "simulation"))]
pub mod simulated;
mod whole;

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::path::Path;

use selvedge_codec::{ByteLength, ByteOffset};

pub use real::RealDisk;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A file that must not exist yet, for reading and writing; made with mode 0600.
    CreateNew,
    /// For reading and writing; made with mode 0600 where it is missing.
    CreateOrOpen,
}

/// What kind of thing a path names. Symbolic links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, socket, device, ...
    Other,
}

/// What a look at a path's metadata gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// What the path names.
    pub kind: FileKind,
    /// Length in bytes.
    pub len: ByteLength,
    /// Last modification in nanoseconds since 1970 (UTC).
    pub mtime_nanos: i64,
    /// The file's identity on its device: a replaced file has another.
    pub inode: u64,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The entry's name; `Err` holds a lossy rendering of a name that is not UTF-8.
    pub name: Result<String, String>,
    /// What it names.
    pub kind: FileKind,
}

/// A file system. Errors are the operating system's; callers add operation and path.
#[expect(
    clippy::missing_errors_doc,
    reason = "every method fails as the operating system does"
)]
pub trait Disk: Debug + Send + Sync + 'static {
    /// Opens a file. Refuses to follow a symbolic link in the last component, and whatever could
    /// make a reader wait: a pipe, a socket, a device.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>>;
    /// Looks at a path without following a symbolic link.
    fn stat(&self, path: &Path) -> io::Result<FileStat>;
    /// Lists a directory, in no particular order.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// Makes one directory with mode 0700; one that exists is fine. Returns whether it was made.
    fn create_dir(&self, dir: &Path) -> io::Result<bool>;
    /// Renames a file, replacing what `to` names. Durable once both directories are synced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file another name, which must not exist yet: a hard link. Durable once its directory
    /// is synced.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Durable once its directory is synced.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory. Durable once the one above it is synced.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes created, renamed and removed entries of a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// How many threads are worth using at once.
    fn concurrency(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}

/// An open file. All methods take `&self`: a handle may be shared between a writer and a sync.
#[expect(
    clippy::missing_errors_doc,
    reason = "every method fails as the operating system does"
)]
#[expect(
    clippy::len_without_is_empty,
    reason = "the length of a file on disk is a question to it"
)]
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// Length, times and identity.
    fn stat(&self) -> io::Result<FileStat>;
    /// Length in bytes.
    fn len(&self) -> io::Result<ByteLength>;
    /// Fills `buffer` from `offset` as far as the file goes; returns how much was read.
    fn read_at(&self, buffer: &mut [u8], offset: ByteOffset) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: ByteOffset) -> io::Result<()>;
    /// Writes all of `bytes` at the end of the file, wherever another process has moved it.
    fn append_all(&self, bytes: &[u8]) -> io::Result<()> {
        // Somebody else's append in between is overwritten: real files know better.
        let end = ByteOffset::new(self.len()?.get());
        self.write_all_at(bytes, end)
    }
    /// Cuts or extends the file with zeros.
    fn set_len(&self, len: ByteLength) -> io::Result<()>;
    /// Makes the data and length durable (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;
    /// Tries to lock a range of bytes for this handle, without waiting. The lock ends with
    /// [`DiskFile::unlock_range`], with the handle, or with the process.
    fn try_lock_range(&self, range: Range<u64>, shared: bool) -> io::Result<bool>;
    /// Releases a range locked by this handle.
    fn unlock_range(&self, range: Range<u64>) -> io::Result<()>;
    /// Whether another handle's lock would refuse an exclusive lock of the range.
    fn is_locked_elsewhere(&self, range: Range<u64>) -> io::Result<bool>;
}

/// More than this is asked for before it is taken: an allocation that fails ends the process.
const LARGE_BYTES: usize = 16 << 20;

/// Reads `range` of a file, or as much of it as there is.
///
/// # Errors
/// As the operating system does, and [`io::ErrorKind::OutOfMemory`] for more than memory holds.
pub fn read_range(file: &dyn DiskFile, from: ByteOffset, len: ByteLength) -> io::Result<Vec<u8>> {
    let wanted = usize::try_from(len.get()).map_err(|_| io::ErrorKind::OutOfMemory)?;
    if wanted > LARGE_BYTES {
        Vec::<u8>::new()
            .try_reserve_exact(wanted)
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
    }
    let mut buffer = vec![0; wanted];
    let read = file.read_at(&mut buffer, from)?;
    buffer.truncate(read);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of 64 TiB, all of it a hole, lay among the logs. The buffer for it could not be
    /// allocated, which ended the process that had listed the home.
    #[test]
    fn a_file_larger_than_memory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk
            .open(&dir.path().join("log"), OpenMode::CreateNew)
            .unwrap();
        let length = ByteLength::new(1 << 46);
        // A file system that holds no file of this length needs no telling.
        let length = file
            .set_len(length)
            .map_or(ByteLength::new(1 << 62), |()| length);
        let error = read_range(&*file, ByteOffset::ZERO, length).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }
}
