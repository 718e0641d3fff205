//! The machine's disk, watched: it counts what was written to logs and not synced, and panics at
//! random in whoever writes or syncs one.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use selvedge::{
    ByteLength, ByteOffset, DirEntry, Disk, DiskFile, FileKind, FileStat, OpenMode, RealDisk,
};

/// What the disk's own panics say. See [`silence_planned_panics`].
const PLANNED: &str = "planned: the disk panics";

/// Keeps the panics of a [`LoadDisk`] from being printed; all others are.
pub fn silence_planned_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&PLANNED) {
            report(info);
        }
    }));
}

/// The machine's disk, watched. Only logs are counted, and panic.
#[derive(Debug, Clone)]
pub struct LoadDisk {
    watch: Arc<Watch>,
}

#[derive(Debug)]
struct Watch {
    /// Of a million writes and syncs, how many panic.
    panics_per_million: AtomicU64,
    random: Mutex<fastrand::Rng>,
    /// A log by its inode, which a rename or link keeps. As many as there are logs on disk: those
    /// that are removed are forgotten, and another file may get their inode.
    logs: Mutex<HashMap<u64, Arc<LogCounts>>>,
    open_logs: AtomicI64,
    most_open_logs: AtomicI64,
    writes: AtomicU64,
    syncs: AtomicU64,
    panics: AtomicU64,
}

/// What was done to one log.
#[derive(Debug, Default)]
struct LogCounts {
    writes: AtomicU64,
    /// How many of the writes were over when a sync began that went well.
    synced: AtomicU64,
}

/// What a disk has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskFigures {
    /// Writes to logs.
    pub writes: u64,
    /// Syncs of logs.
    pub syncs: u64,
    /// Writes and syncs that panicked.
    pub panics: u64,
    /// The most logs that were open for writing at once.
    pub most_open_logs: i64,
    /// How many are open for writing now.
    pub open_logs: i64,
}

impl LoadDisk {
    /// A disk on which this many of a million writes and syncs of logs panic.
    #[must_use]
    pub fn new(seed: u64, panics_per_million: u64) -> Self {
        Self {
            watch: Arc::new(Watch {
                panics_per_million: AtomicU64::new(panics_per_million),
                random: Mutex::new(fastrand::Rng::with_seed(seed)),
                logs: Mutex::default(),
                open_logs: AtomicI64::new(0),
                most_open_logs: AtomicI64::new(0),
                writes: AtomicU64::new(0),
                syncs: AtomicU64::new(0),
                panics: AtomicU64::new(0),
            }),
        }
    }

    /// It panics no more.
    pub fn calm_down(&self) {
        self.watch.panics_per_million.store(0, SeqCst);
    }

    /// What it has seen.
    #[must_use]
    pub fn figures(&self) -> DiskFigures {
        DiskFigures {
            writes: self.watch.writes.load(SeqCst),
            syncs: self.watch.syncs.load(SeqCst),
            panics: self.watch.panics.load(SeqCst),
            most_open_logs: self.watch.most_open_logs.load(SeqCst),
            open_logs: self.watch.open_logs.load(SeqCst),
        }
    }

    /// The logs below a home that hold something that was never synced.
    ///
    /// # Errors
    /// What the file system says.
    pub fn unsynced(&self, home: &Path) -> io::Result<Vec<PathBuf>> {
        let logs = self.watch.logs.lock().unwrap();
        let mut unsynced = Vec::new();
        let mut dirs = vec![home.to_path_buf()];
        while let Some(dir) = dirs.pop() {
            for entry in RealDisk.list(&dir)? {
                let Ok(name) = entry.name else { continue };
                let path = dir.join(name);
                if entry.kind == FileKind::Directory {
                    dirs.push(path);
                    continue;
                }
                let counts = logs.get(&RealDisk.stat(&path)?.inode);
                if is_log(&path)
                    && counts.is_some_and(|log| log.synced.load(SeqCst) < log.writes.load(SeqCst))
                {
                    unsynced.push(path);
                }
            }
        }
        Ok(unsynced)
    }
}

impl Watch {
    fn may_panic(&self) {
        let per_million = self.panics_per_million.load(SeqCst);
        if per_million > 0 && self.random.lock().unwrap().u64(0..1_000_000) < per_million {
            self.panics.fetch_add(1, SeqCst);
            std::panic::panic_any(PLANNED);
        }
    }
}

fn is_log(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.contains(".rlog") || name.contains(".jsonl"))
}

/// The inode of a file that has no other name.
fn last_link(path: &Path) -> Option<u64> {
    let file = std::fs::symlink_metadata(path).ok()?;
    (file.nlink() == 1).then(|| file.ino())
}

#[derive(Debug)]
struct LoadFile {
    file: Box<dyn DiskFile>,
    /// `None` for what is no log, or is not written.
    log: Option<(Arc<Watch>, Arc<LogCounts>)>,
}

impl LoadFile {
    fn before_write(&self) {
        if let Some((watch, log)) = &self.log {
            watch.writes.fetch_add(1, SeqCst);
            watch.may_panic();
            // Before it is done: a sync that begins meanwhile may miss it.
            log.writes.fetch_add(1, SeqCst);
        }
    }
}

impl Drop for LoadFile {
    fn drop(&mut self) {
        if let Some((watch, _)) = &self.log {
            watch.open_logs.fetch_sub(1, SeqCst);
        }
    }
}

impl Disk for LoadDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let file = RealDisk.open(path, mode)?;
        let log = if is_log(path) && mode != OpenMode::Read {
            let inode = file.stat()?.inode;
            let mut logs = self.watch.logs.lock().unwrap();
            let open = self.watch.open_logs.fetch_add(1, SeqCst) + 1;
            self.watch.most_open_logs.fetch_max(open, SeqCst);
            Some((
                Arc::clone(&self.watch),
                Arc::clone(logs.entry(inode).or_default()),
            ))
        } else {
            None
        };
        Ok(Box::new(LoadFile { file, log }))
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
        let inode = if is_log(path) { last_link(path) } else { None };
        RealDisk.remove(path)?;
        if let Some(inode) = inode {
            self.watch.logs.lock().unwrap().remove(&inode);
        }
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
}

impl DiskFile for LoadFile {
    fn stat(&self) -> io::Result<FileStat> {
        self.file.stat()
    }

    fn len(&self) -> io::Result<ByteLength> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: ByteOffset) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: ByteOffset) -> io::Result<()> {
        self.before_write();
        self.file.write_all_at(bytes, offset)
    }

    fn append_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.before_write();
        self.file.append_all(bytes)
    }

    fn set_len(&self, len: ByteLength) -> io::Result<()> {
        self.before_write();
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let Some((watch, log)) = &self.log else {
            return self.file.sync_data();
        };
        watch.syncs.fetch_add(1, SeqCst);
        let before = log.writes.load(SeqCst);
        watch.may_panic();
        self.file.sync_data()?;
        log.synced.fetch_max(before, SeqCst);
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// One entry for each log that ever was made the load's own memory grow with what it deleted.
    #[test]
    fn a_log_is_counted_until_its_last_name_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let (log, link) = (home.path().join("a.rlog"), home.path().join("b.rlog"));
        let disk = LoadDisk::new(0, 0);
        let counted = || disk.watch.logs.lock().unwrap().len();
        let file = disk.open(&log, OpenMode::CreateOrOpen).unwrap();
        file.append_all(b"unsynced").unwrap();
        disk.link(&log, &link).unwrap();
        disk.remove(&log).unwrap();
        assert_eq!(
            disk.unsynced(home.path()).unwrap(),
            std::slice::from_ref(&link)
        );
        disk.remove(&link).unwrap();
        assert_eq!(counted(), 0);
    }
}
