//! A process of the simulated machine: a disk of its own, on the shared medium.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::file::{ProcFile, SimulatedFile};
use super::{Shared, whole};
use crate::disk::{DirEntry, Disk, DiskFile, FileStat, OpenMode};

/// A process: the [`Disk`] of whatever runs in it. Clones are the same process, which runs until
/// it is killed or the power is lost; every operation of it fails then.
#[derive(Debug, Clone)]
pub struct SimulatedProcess {
    pub(super) shared: Shared,
    pub(super) id: Arc<ProcessId>,
}

#[derive(Debug)]
pub(super) struct ProcessId(pub(super) u32);

impl SimulatedProcess {
    /// SIGKILL: every handle of it fails for ever (EIO), its locks are free, nothing written is
    /// lost.
    pub fn kill(&self) {
        self.shared.lock().kill(self.id.0);
    }

    /// Its process id, as its open marks name it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.id.0
    }
}

impl Disk for SimulatedProcess {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let (pid, shared) = (self.id.0, &self.shared);
        let kernel_s = shared.lock().proc_file(pid, path);
        if let Some(bytes) = kernel_s {
            return Ok(Box::new(ProcFile(bytes?)));
        }
        let id = whole::retried(|| shared.with(|medium| medium.open(pid, path, mode)))?;
        Ok(Box::new(SimulatedFile {
            shared: shared.clone(),
            id,
        }))
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        self.shared.with(|medium| medium.stat_path(self.id.0, path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.shared.with(|medium| medium.list(self.id.0, dir))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<bool> {
        self.shared.with(|medium| medium.create_dir(self.id.0, dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.shared
            .with(|medium| medium.rename(self.id.0, from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.shared.with(|medium| medium.link(self.id.0, from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.shared.with(|medium| medium.remove(self.id.0, path))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.shared.with(|medium| medium.remove_dir(self.id.0, dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        whole::retried(|| self.shared.with(|medium| medium.sync_dir(self.id.0, dir)))
    }

    fn concurrency(&self) -> usize {
        // One thing after the other, so that one seed does the same again.
        1
    }
}
