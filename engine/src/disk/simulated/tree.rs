//! Paths, and what is done with the names at their ends.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::sync::Arc;

use super::contents::Contents;
use super::directories::{Change, Directory, Entry, Inode};
use super::faults::{
    Asked, EBUSY, EEXIST, EINVAL, EIO, EISDIR, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTEMPTY, EPERM,
    Operations, os,
};
use super::locks::HandleId;
use super::medium::{Course, Handle, Kind, Medium, Node, ROOT};
use crate::disk::{DirEntry, FileKind, FileStat, OpenMode};

/// The longest name of a file.
const MAX_NAME_BYTES: usize = 255;

/// Where a path leads.
#[derive(Debug)]
struct Place {
    entry: Entry,
    found: Option<Inode>,
    /// What is found must be a directory: the path ends with `/` or `/.`.
    is_dir: bool,
}

impl Place {
    fn found(&self) -> io::Result<Inode> {
        self.found.map_or_else(|| os(ENOENT), Ok)
    }
}

impl Medium {
    fn directory(&self, inode: Inode) -> io::Result<&Directory> {
        match self.nodes.get(&inode).map(|node| &node.kind) {
            Some(Kind::Directory(directory)) => Ok(directory),
            Some(Kind::File(_)) => os(ENOTDIR),
            None => os(ENOENT),
        }
    }

    fn is_directory(&self, inode: Inode) -> bool {
        self.directory(inode).is_ok()
    }

    fn resolve(&self, path: &Path) -> io::Result<Place> {
        if !path.is_absolute() {
            return os(ENOENT);
        }
        let text = path.as_os_str().as_bytes();
        let mut above = Vec::new();
        let mut place = Place {
            entry: Entry {
                dir: ROOT,
                name: OsString::new(),
            },
            found: Some(ROOT),
            is_dir: text.ends_with(b"/") || text.ends_with(b"/."),
        };
        for component in path.components() {
            match component {
                Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
                Component::ParentDir => {
                    self.directory(place.found()?)?;
                    place.found = Some(above.pop().unwrap_or(ROOT));
                    place.entry.name = OsString::new();
                }
                Component::Normal(name) => {
                    let dir = place.found()?;
                    let directory = self.directory(dir)?;
                    if name.len() > MAX_NAME_BYTES {
                        return os(ENAMETOOLONG);
                    }
                    above.push(dir);
                    place.found = directory.entries.get(name).copied();
                    place.entry = Entry {
                        dir,
                        name: name.to_owned(),
                    };
                }
            }
        }
        match place.found {
            Some(found) if place.is_dir && !self.is_directory(found) => os(ENOTDIR),
            _ => Ok(place),
        }
    }

    /// Changes what names stand for; not durable until the directories are synced.
    fn enter(&mut self, changes: Vec<Change>) -> io::Result<()> {
        let now = self.now();
        for (entry, inode) in &changes {
            let mut before = None;
            self.change(entry.dir, |node, _| {
                if let Kind::Directory(directory) = &mut node.kind {
                    directory.mtime = now;
                    directory.mtimes.push(now);
                    before = match inode {
                        Some(inode) => directory.entries.insert(entry.name.clone(), *inode),
                        None => directory.entries.remove(&entry.name),
                    };
                }
            })?;
            if let Some(inode) = inode {
                self.change(*inode, |node, _| node.names += 1)?;
            }
            if let Some(before) = before {
                self.change(before, |node, _| node.names = node.names.saturating_sub(1))?;
            }
        }
        self.journal.note(changes);
        Ok(())
    }

    pub(super) fn open(&mut self, pid: u32, path: &Path, mode: OpenMode) -> io::Result<HandleId> {
        let place = self.resolve(path);
        let is_made = !matches!(mode, OpenMode::Read | OpenMode::Write)
            && matches!(&place, Ok(place) if place.found.is_none());
        self.begin_whole(&Asked {
            makes: is_made,
            ..asked(pid, Operations::Open, path)
        })?;
        let place = place?;
        let writes = mode != OpenMode::Read;
        let inode = match place.found {
            Some(_) if mode == OpenMode::CreateNew => return os(EEXIST),
            Some(found) if writes && self.is_directory(found) => return os(EISDIR),
            Some(found) => {
                if writes {
                    self.check_writable()?;
                }
                self.check_handles(pid)?;
                found
            }
            None if !is_made => return os(ENOENT),
            None if place.is_dir => return os(EISDIR),
            None => {
                self.check_writable()?;
                self.check_handles(pid)?;
                self.check_room()?;
                let now = self.now();
                let inode = self.make(Kind::File(Contents::new(now)));
                self.enter(vec![(place.entry, Some(inode))])?;
                inode
            }
        };
        self.open_handle(Handle {
            inode,
            pid,
            path: Arc::from(path),
            writes,
        })
    }

    pub(super) fn stat_path(&mut self, pid: u32, path: &Path) -> io::Result<FileStat> {
        self.begin_whole(&asked(pid, Operations::Stat, path))?;
        let found = self.resolve(path)?.found()?;
        self.stat(found)
    }

    pub(super) fn list(&mut self, pid: u32, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.begin_whole(&asked(pid, Operations::List, dir))?;
        self.check_handles(pid)?;
        let found = self.resolve(dir)?.found()?;
        let mut entries = Vec::new();
        for (name, inode) in &self.directory(found)?.entries {
            let kind = match self.is_directory(*inode) {
                true => FileKind::Directory,
                false => FileKind::File,
            };
            let name = name
                .clone()
                .into_string()
                .map_err(|raw| raw.to_string_lossy().into_owned());
            entries.push(DirEntry { name, kind });
        }
        self.rng.shuffle(&mut entries);
        Ok(entries)
    }

    pub(super) fn create_dir(&mut self, pid: u32, dir: &Path) -> io::Result<bool> {
        self.begin_whole(&asked(pid, Operations::CreateDir, dir))?;
        let place = self.resolve(dir)?;
        match place.found {
            Some(found) if self.is_directory(found) => Ok(false),
            Some(_) => os(EEXIST),
            None => {
                self.check_writable()?;
                self.check_room()?;
                let now = self.now();
                let inode = self.make(Kind::Directory(Directory::new(now)));
                self.enter(vec![(place.entry, Some(inode))])?;
                Ok(true)
            }
        }
    }

    pub(super) fn rename(&mut self, pid: u32, from: &Path, to: &Path) -> io::Result<()> {
        self.begin_whole(&asked(pid, Operations::Rename, to))?;
        let (from, to) = (self.resolve(from)?, self.resolve(to)?);
        let moved = from.found()?;
        if moved == ROOT || to.found == Some(ROOT) {
            return os(EBUSY);
        }
        self.check_writable()?;
        let is_dir = self.is_directory(moved);
        match to.found {
            // Two names of one file: nothing is done.
            Some(replaced) if replaced == moved => return Ok(()),
            Some(replaced) => match (is_dir, self.directory(replaced)) {
                (true, Ok(replaced)) if !replaced.entries.is_empty() => return os(ENOTEMPTY),
                (true, Err(_)) => return os(ENOTDIR),
                (false, Ok(_)) => return os(EISDIR),
                _ => {}
            },
            None if to.is_dir && !is_dir => return os(ENOTDIR),
            None => {}
        }
        if is_dir && self.is_within(to.entry.dir, moved) {
            return os(EINVAL);
        }
        self.enter(vec![(from.entry, None), (to.entry, Some(moved))])
    }

    /// Whether `dir` is `above`, or lies somewhere in it.
    fn is_within(&self, dir: Inode, above: Inode) -> bool {
        dir == above
            || self.directory(above).is_ok_and(|directory| {
                let mut below = directory.entries.values();
                below.any(|below| self.is_directory(*below) && self.is_within(dir, *below))
            })
    }

    pub(super) fn link(&mut self, pid: u32, from: &Path, to: &Path) -> io::Result<()> {
        self.begin_whole(&asked(pid, Operations::Link, to))?;
        let (from, to) = (self.resolve(from)?, self.resolve(to)?);
        let linked = from.found()?;
        if to.found.is_some() {
            return os(EEXIST);
        }
        if self.is_directory(linked) {
            return os(EPERM);
        }
        self.check_writable()?;
        self.check_room()?;
        self.enter(vec![(to.entry, Some(linked))])
    }

    pub(super) fn remove(&mut self, pid: u32, path: &Path) -> io::Result<()> {
        self.begin_whole(&asked(pid, Operations::Remove, path))?;
        let place = self.resolve(path)?;
        if self.is_directory(place.found()?) {
            return os(EISDIR);
        }
        self.check_writable()?;
        self.enter(vec![(place.entry, None)])
    }

    pub(super) fn remove_dir(&mut self, pid: u32, dir: &Path) -> io::Result<()> {
        self.begin_whole(&asked(pid, Operations::RemoveDir, dir))?;
        let place = self.resolve(dir)?;
        let found = place.found()?;
        if found == ROOT || place.entry.name.is_empty() {
            return os(EBUSY);
        }
        if !self.directory(found)?.entries.is_empty() {
            return os(ENOTEMPTY);
        }
        self.check_writable()?;
        self.enter(vec![(place.entry, None)])
    }

    pub(super) fn sync_dir(&mut self, pid: u32, dir: &Path) -> io::Result<()> {
        let course = self.begin(&asked(pid, Operations::SyncDir, dir))?;
        self.check_handles(pid)?;
        let found = self.resolve(dir)?.found()?;
        self.directory(found)?;
        if course == Course::Dropped {
            self.journal.drop_entries(found);
            return os(EIO);
        }
        if self.journal.is_dirty(found) {
            self.check_writable()?;
        }
        let durable = self.journal.sync(found);
        self.settle(durable);
        if let Some(Node {
            kind: Kind::Directory(directory),
            ..
        }) = self.nodes.get_mut(&found)
        {
            directory.mtimes = vec![directory.mtime];
        }
        Ok(())
    }

    /// The bytes of the file on a path, for the tester.
    pub(super) fn peek(&self, path: &Path) -> Option<Vec<u8>> {
        let found = self.resolve(path).ok()?.found?;
        match &self.nodes.get(&found)?.kind {
            Kind::File(contents) => Some(contents.bytes().to_vec()),
            Kind::Directory(_) => None,
        }
    }

    /// Puts a file on a path, durably, with the folders that lead to it: for the tester.
    pub(super) fn poke(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.make_durable_dirs(path.parent().unwrap_or(Path::new("/")))?;
        let place = self.resolve(path)?;
        let now = self.now();
        let contents = Contents::durable(bytes, now);
        match place.found {
            Some(found) if self.is_directory(found) => os(EISDIR),
            Some(found) => {
                self.change(found, |node, _| node.kind = Kind::File(contents))?;
                self.settle_name(place.entry, Some(found));
                Ok(())
            }
            None => {
                let inode = self.make(Kind::File(contents));
                self.enter(vec![(place.entry.clone(), Some(inode))])?;
                self.settle_name(place.entry, Some(inode));
                Ok(())
            }
        }
    }

    /// Makes a folder and those above it, durably.
    pub(super) fn make_durable_dirs(&mut self, dir: &Path) -> io::Result<()> {
        if let Some(above) = dir.parent() {
            self.make_durable_dirs(above)?;
        }
        let place = self.resolve(dir)?;
        let inode = match place.found {
            Some(found) => {
                self.directory(found)?;
                found
            }
            None => {
                let now = self.now();
                let inode = self.make(Kind::Directory(Directory::new(now)));
                self.enter(vec![(place.entry.clone(), Some(inode))])?;
                inode
            }
        };
        if inode != ROOT {
            self.settle_name(place.entry, Some(inode));
        }
        Ok(())
    }

    /// Takes a file away, durably: for the tester.
    pub(super) fn pluck(&mut self, path: &Path) -> io::Result<()> {
        let place = self.resolve(path)?;
        if self.is_directory(place.found()?) {
            return os(EISDIR);
        }
        self.enter(vec![(place.entry.clone(), None)])?;
        self.settle_name(place.entry, None);
        Ok(())
    }

    /// Makes what a name stands for durable, and what was done under it before.
    fn settle_name(&mut self, name: Entry, stands_for: Option<Inode>) {
        let durable = self.journal.settle(name.clone());
        self.settle(durable);
        // A failed sync may have dropped what made it so.
        self.settle(vec![(name, stands_for)]);
    }

    /// An open file that is no directory.
    pub(super) fn contents(&mut self, inode: Inode) -> io::Result<&mut Contents> {
        match self.nodes.get_mut(&inode).map(|node| &mut node.kind) {
            Some(Kind::File(contents)) => Ok(contents),
            Some(Kind::Directory(_)) => os(EISDIR),
            None => os(EIO),
        }
    }
}

pub(super) const fn asked(pid: u32, on: Operations, path: &Path) -> Asked<'_> {
    Asked {
        pid,
        on,
        path,
        makes: false,
        detail: (0, 0),
    }
}
