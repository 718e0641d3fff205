//! A disk on which nothing below a home is reached through a symbolic link.
//!
//! What must hold: whatever lies in a home (it may be a copy of somebody else's), no operation on a
//! path below it reads, writes, makes, moves or removes anything outside. The home's own path may
//! lead through links; that is up to whoever names it.
//!
//! [`Disk::open`] refuses a link in the last component itself. Here the folders before it are looked
//! at, one look each, right before the operation. Who exchanges a folder for a link in between could
//! have changed the home's files as well. A plain look ([`Disk::stat`]) is not preceded by others:
//! it gives away nothing, and a page of a listing makes many.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::Home;
use crate::disk::{DirEntry, Disk, DiskFile, FileKind, FileStat, OpenMode};

/// A disk, confined to a home in what lies below it.
#[derive(Debug)]
pub(crate) struct ConfinedDisk {
    disk: Arc<dyn Disk>,
    root: PathBuf,
}

impl ConfinedDisk {
    pub(crate) fn new(disk: Arc<dyn Disk>, home: &Home) -> Self {
        Self {
            disk,
            root: home.root().to_path_buf(),
        }
    }

    /// Checks the folders between the home and what `path` names.
    fn check_parents(&self, path: &Path) -> io::Result<()> {
        let Ok(below) = path.strip_prefix(&self.root) else {
            return Ok(());
        };
        let is_plain = |part| matches!(part, Component::Normal(_));
        if !below.components().all(is_plain) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // From the one below the home on: behind a link there is nothing to look at.
        for depth in (1..below.components().count()).rev() {
            if let Some(folder) = path.ancestors().nth(depth) {
                self.check_folder(folder)?;
            }
        }
        Ok(())
    }

    /// Checks a folder and those before it, up to the home itself.
    fn check(&self, dir: &Path) -> io::Result<()> {
        // The folder that the home lies in is not below it, however it is named.
        if dir
            .strip_prefix(&self.root)
            .is_ok_and(|below| below == Path::new(".."))
        {
            return Ok(());
        }
        self.check_parents(dir)?;
        match dir.strip_prefix(&self.root) {
            Ok(below) if below.components().next().is_some() => self.check_folder(dir),
            _ => Ok(()),
        }
    }

    fn check_folder(&self, dir: &Path) -> io::Result<()> {
        match self.disk.stat(dir)?.kind {
            FileKind::Directory => Ok(()),
            FileKind::File | FileKind::Other => Err(io::ErrorKind::NotADirectory.into()),
        }
    }
}

impl Disk for ConfinedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        self.check_parents(path)?;
        self.disk.open(path, mode)
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        self.disk.stat(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.check(dir)?;
        self.disk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<bool> {
        self.check_parents(dir)?;
        let is_made = self.disk.create_dir(dir)?;
        if !is_made {
            // One that exists may be a link to one.
            self.check(dir)?;
        }
        Ok(is_made)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check_parents(from)?;
        self.check_parents(to)?;
        self.disk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check_parents(from)?;
        self.check_parents(to)?;
        self.disk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check_parents(path)?;
        self.disk.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.check_parents(dir)?;
        self.disk.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.check(dir)?;
        self.disk.sync_dir(dir)
    }

    fn concurrency(&self) -> usize {
        self.disk.concurrency()
    }
}
