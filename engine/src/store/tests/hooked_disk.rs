//! A disk that lets a test do something at the worst moment.

use std::fmt;
use std::io;
use std::path::Path;

use crate::disk::{DirEntry, Disk, DiskFile, FileStat, OpenMode, RealDisk};

/// The machine's disk, with something that happens after a folder was listed.
pub(super) struct HookedDisk<F>(pub(super) F);

impl<F> fmt::Debug for HookedDisk<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookedDisk")
    }
}

impl<F: Fn(&Path) + Send + Sync + 'static> Disk for HookedDisk<F> {
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let listed = RealDisk.list(dir);
        self.0(dir);
        listed
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open(path, mode)
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        RealDisk.stat(path)
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
