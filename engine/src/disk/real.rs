//! The machine's file system: the only file of the project that touches `std::fs`.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the disk's own file"
)]

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::io::{ReadWriteFlags, pwritev2};
use selvedge_codec::{ByteLength, ByteOffset};

use super::whole::{self, PartialIo, retried};
use super::{DirEntry, Disk, DiskFile, FileKind, FileStat, OpenMode};

/// Logs hold what people said: nobody but their owner reads them.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// The machine's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(File);

fn kind_of(metadata: &Metadata) -> FileKind {
    let kind = metadata.file_type();
    if kind.is_file() {
        FileKind::File
    } else if kind.is_dir() {
        FileKind::Directory
    } else {
        FileKind::Other
    }
}

fn stat_of(metadata: &Metadata) -> FileStat {
    FileStat {
        kind: kind_of(metadata),
        len: ByteLength::new(metadata.len()),
        mtime_nanos: metadata
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(metadata.mtime_nsec()),
        inode: metadata.ino(),
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .mode(FILE_MODE)
            // Of a regular file O_NONBLOCK changes nothing; opening a pipe would wait for its other
            // end.
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::CreateNew => options.write(true).create_new(true),
            OpenMode::CreateOrOpen => options.write(true).create(true),
        };
        let file = retried(|| options.open(path))?;
        if kind_of(&file.metadata()?) == FileKind::Other {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Box::new(RealFile(file)))
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        fs::symlink_metadata(path).map(|metadata| stat_of(&metadata))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        fs::read_dir(dir)?
            .map(|entry| {
                let entry = entry?;
                let kind = entry.file_type()?;
                let kind = if kind.is_file() {
                    FileKind::File
                } else if kind.is_dir() {
                    FileKind::Directory
                } else {
                    FileKind::Other
                };
                let name = entry
                    .file_name()
                    .into_string()
                    .map_err(|raw| raw.to_string_lossy().into_owned());
                Ok(DirEntry { name, kind })
            })
            .collect()
    }

    fn create_dir(&self, dir: &Path) -> io::Result<bool> {
        match DirBuilder::new().mode(DIR_MODE).create(dir) {
            Ok(()) => Ok(true),
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && fs::metadata(dir)?.is_dir() =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = retried(|| File::open(dir))?;
        retried(|| dir.sync_all())
    }
}

impl PartialIo for RealFile {
    fn read_some(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buffer, at)
    }

    fn write_some(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        self.0.write_at(bytes, at)
    }

    fn append_some(&self, bytes: &[u8]) -> io::Result<usize> {
        let parts = [io::IoSlice::new(bytes)];
        Ok(pwritev2(&self.0, &parts, 0, ReadWriteFlags::APPEND)?)
    }
}

impl DiskFile for RealFile {
    fn stat(&self) -> io::Result<FileStat> {
        self.0.metadata().map(|metadata| stat_of(&metadata))
    }

    fn len(&self) -> io::Result<ByteLength> {
        self.0
            .metadata()
            .map(|metadata| ByteLength::new(metadata.len()))
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
        retried(|| self.0.set_len(len.get()))
    }

    fn sync_data(&self) -> io::Result<()> {
        retried(|| self.0.sync_data())
    }

    fn try_lock_range(&self, range: Range<u64>, shared: bool) -> io::Result<bool> {
        let kind = if shared { libc::F_RDLCK } else { libc::F_WRLCK };
        match fcntl(self.0.as_fd(), FcntlArg::F_OFD_SETLK(&flock(kind, range)?)) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn unlock_range(&self, range: Range<u64>) -> io::Result<()> {
        fcntl(
            self.0.as_fd(),
            FcntlArg::F_OFD_SETLK(&flock(libc::F_UNLCK, range)?),
        )?;
        Ok(())
    }

    fn is_locked_elsewhere(&self, range: Range<u64>) -> io::Result<bool> {
        let mut lock = flock(libc::F_WRLCK, range)?;
        fcntl(self.0.as_fd(), FcntlArg::F_OFD_GETLK(&mut lock))?;
        Ok(i32::from(lock.l_type) != libc::F_UNLCK)
    }
}

/// An open-file-description lock: it belongs to the handle, not to the process, so that two
/// stores of one process exclude each other too, and it ends with the handle or the process.
fn flock(kind: libc::c_int, range: Range<u64>) -> io::Result<libc::flock> {
    let bad = |_| io::Error::from(io::ErrorKind::InvalidInput);
    // A length of 0 reaches to the end of the file, however far it grows.
    let length = if range.end == u64::MAX {
        0
    } else {
        range.end.saturating_sub(range.start)
    };
    Ok(libc::flock {
        l_type: libc::c_short::try_from(kind).map_err(bad)?,
        l_whence: libc::c_short::try_from(libc::SEEK_SET).map_err(bad)?,
        l_start: i64::try_from(range.start).map_err(bad)?,
        l_len: i64::try_from(length).map_err(bad)?,
        l_pid: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_locked_by_one_handle_is_refused_to_another_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = RealDisk.open(&path, OpenMode::CreateOrOpen).unwrap();
        let second = RealDisk.open(&path, OpenMode::CreateOrOpen).unwrap();
        assert!(first.try_lock_range(7..8, false).unwrap());
        assert!(!second.try_lock_range(7..8, false).unwrap());
        assert!(!second.try_lock_range(7..8, true).unwrap());
        assert!(second.try_lock_range(8..9, false).unwrap());
        assert!(second.is_locked_elsewhere(0..u64::MAX).unwrap());
        drop(first);
        assert!(second.try_lock_range(7..8, false).unwrap());
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        drop(RealDisk.open(&path, OpenMode::CreateNew).unwrap());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(RealDisk.open(&link, OpenMode::Read).is_err());
        assert_eq!(RealDisk.stat(&link).unwrap().kind, FileKind::Other);
    }

    /// A log was replaced by a named pipe after it had been listed. Opening it waited for a writer,
    /// who never came, and held an I/O thread for ever; opened for writing, it passed for an empty
    /// log.
    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for mode in [OpenMode::Read, OpenMode::Write, OpenMode::CreateOrOpen] {
            let error = RealDisk.open(&path, mode).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{mode:?}");
        }
        assert_eq!(
            RealDisk
                .open(&path, OpenMode::CreateNew)
                .unwrap_err()
                .kind(),
            io::ErrorKind::AlreadyExists
        );
    }

    #[test]
    fn a_file_is_made_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        drop(RealDisk.open(&path, OpenMode::CreateNew).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(RealDisk.create_dir(&dir.path().join("d")).unwrap());
        assert!(!RealDisk.create_dir(&dir.path().join("d")).unwrap());
        assert_eq!(
            fs::metadata(dir.path().join("d")).unwrap().mode() & 0o777,
            0o700
        );
    }
}
