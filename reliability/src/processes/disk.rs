//! The machine's disk, counting how often a log is opened.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use selvedge::{DirEntry, Disk, DiskFile, FileStat, LogFormat, OpenMode, RealDisk};

/// The machine's disk. What it counts, no report of the product could be wrong about.
#[derive(Debug, Default)]
pub struct CountingDisk {
    logs: AtomicU64,
}

impl CountingDisk {
    /// How often a log was opened.
    #[must_use]
    pub fn logs_opened(&self) -> u64 {
        self.logs.load(Ordering::SeqCst)
    }
}

impl Disk for CountingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let name = path.file_name().and_then(|name| name.to_str());
        // The names beside the logs end as JSON-lines logs do.
        if name.is_some_and(|name| {
            name != "session_index.jsonl" && LogFormat::of_file_name(name).is_some()
        }) {
            self.logs.fetch_add(1, Ordering::SeqCst);
        }
        RealDisk.open(path, mode)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        RealDisk.list(dir)
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
