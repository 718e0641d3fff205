//! A disk under a process that dies, or a machine that loses power, at any of its operations.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use selvedge_codec::{ByteLength, ByteOffset};

use crate::disk::{DirEntry, Disk, DiskFile, FileStat, OpenMode, RealDisk};

/// What a name in a folder stood for before a change that was not synced yet.
#[derive(Debug)]
struct Change {
    path: PathBuf,
    before: Option<PathBuf>,
}

/// What comes once the changes are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing works any more.
    Dead,
    /// One change fails with this error of the system's, and all is well again.
    FailOnce(i32),
    /// Every change fails with this error.
    Refuse(i32),
}

#[derive(Debug)]
struct State {
    /// How many changes of the disk are left before that.
    left: usize,
    then: Then,
    has_links: bool,
    /// What a power loss may take back, in order.
    unsynced: Vec<Change>,
    kept: usize,
}

/// The machine's disk until a number of changes were made; then nothing works any more.
#[derive(Debug, Clone)]
pub(super) struct CrashDisk {
    state: Arc<Mutex<State>>,
    /// What was replaced or removed lies here, outside of the home.
    graveyard: Arc<tempfile::TempDir>,
}

impl CrashDisk {
    pub(super) fn after(changes: usize) -> Self {
        Self::with(changes, Then::Dead)
    }

    pub(super) fn with(changes: usize, then: Then) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                left: changes,
                then,
                has_links: true,
                unsynced: Vec::new(),
                kept: 0,
            })),
            graveyard: Arc::new(tempfile::tempdir().unwrap()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A file system that has no hard links.
    pub(super) fn without_links(self) -> Self {
        self.state().has_links = false;
        self
    }

    /// Whether it did not come to the crash.
    pub(super) fn is_alive(&self) -> bool {
        self.state().left > 0
    }

    /// Whether a power loss would take anything back.
    pub(super) fn has_unsynced(&self) -> bool {
        !self.state().unsynced.is_empty()
    }

    /// Takes back every change of a folder that was not synced, as a power loss may.
    pub(super) fn lose_power(&self) {
        let unsynced = std::mem::take(&mut self.state().unsynced);
        for Change { path, before } in unsynced.into_iter().rev() {
            if path.is_dir() {
                // A folder that is empty or not is no log either way.
                continue;
            }
            let _ = fs::remove_file(&path);
            if let Some(before) = before {
                fs::hard_link(before, path).unwrap();
            }
        }
    }

    fn check(&self) -> io::Result<()> {
        let state = self.state();
        match (state.left, state.then) {
            (0, Then::Dead) => Err(io::Error::from_raw_os_error(5)),
            _ => Ok(()),
        }
    }

    fn change(&self) -> io::Result<()> {
        self.check()?;
        let mut state = self.state();
        state.left = state.left.saturating_sub(1);
        if state.left > 0 {
            return Ok(());
        }
        Err(io::Error::from_raw_os_error(match state.then {
            Then::Dead => 5,
            Then::Refuse(error) => error,
            Then::FailOnce(error) => {
                state.left = usize::MAX;
                error
            }
        }))
    }

    /// Remembers what a name stands for.
    fn note(&self, path: &Path) {
        let mut state = self.state();
        let before = path.is_file().then(|| {
            state.kept += 1;
            let kept = self.graveyard.path().join(state.kept.to_string());
            fs::hard_link(path, &kept).unwrap();
            kept
        });
        state.unsynced.push(Change {
            path: path.to_owned(),
            before,
        });
    }
}

impl Disk for CrashDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let makes = !matches!(mode, OpenMode::Read | OpenMode::Write) && !path.exists();
        match makes {
            true => self.change()?,
            false => self.check()?,
        }
        if makes && path.extension().is_some_and(|ending| ending != "redb") {
            self.note(path);
        }
        Ok(Box::new(CrashFile {
            disk: self.clone(),
            inner: RealDisk.open(path, mode)?,
        }))
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        self.check()?;
        RealDisk.stat(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.check()?;
        RealDisk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<bool> {
        self.change()?;
        RealDisk.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        self.note(from);
        self.note(to);
        RealDisk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !self.state().has_links {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.change()?;
        self.note(to);
        RealDisk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        self.note(path);
        RealDisk.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.change()?;
        RealDisk.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change()?;
        let mut state = self.state();
        state
            .unsynced
            .retain(|change| change.path.parent() != Some(dir));
        Ok(())
    }
}

#[derive(Debug)]
struct CrashFile {
    disk: CrashDisk,
    inner: Box<dyn DiskFile>,
}

impl DiskFile for CrashFile {
    fn stat(&self) -> io::Result<FileStat> {
        self.disk.check()?;
        self.inner.stat()
    }

    fn len(&self) -> io::Result<ByteLength> {
        self.disk.check()?;
        self.inner.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: ByteOffset) -> io::Result<usize> {
        self.disk.check()?;
        self.inner.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: ByteOffset) -> io::Result<()> {
        self.disk.change()?;
        self.inner.write_all_at(bytes, offset)
    }

    fn append_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.disk.change()?;
        self.inner.append_all(bytes)
    }

    fn set_len(&self, len: ByteLength) -> io::Result<()> {
        self.disk.change()?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.change()?;
        self.inner.sync_data()
    }

    fn try_lock_range(&self, range: Range<u64>, shared: bool) -> io::Result<bool> {
        self.disk.check()?;
        self.inner.try_lock_range(range, shared)
    }

    fn unlock_range(&self, range: Range<u64>) -> io::Result<()> {
        self.inner.unlock_range(range)
    }

    fn is_locked_elsewhere(&self, range: Range<u64>) -> io::Result<bool> {
        self.inner.is_locked_elsewhere(range)
    }
}
