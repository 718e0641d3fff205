//! The medium, with the kernel before it: inodes, processes, open handles, and what power loss and
//! a kill leave of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{io, mem};

use fastrand::Rng;
use selvedge_codec::ByteLength;

use super::contents::{Contents, Temper};
use super::directories::{Change, Directory, Inode, Journal};
use super::faults::{Asked, EINTR, EIO, EMFILE, ENOSPC, EROFS, FaultKind, Faults, os};
use super::locks::{HandleId, Locks};
use crate::clock::Clock;
use crate::disk::{FileKind, FileStat};

pub(super) const ROOT: Inode = Inode(2);
const FIRST_PID: u32 = 1000;
/// Inodes are looked through for those that are gone after this many more were made, at least.
const LEAST_SWEPT: usize = 16;

/// What an inode is.
#[derive(Debug)]
pub(super) enum Kind {
    File(Contents),
    Directory(Directory),
}

/// A file or directory.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// How many names it has, as is seen now.
    pub(super) names: usize,
    handles: usize,
    pub(super) locks: Locks,
}

impl Node {
    pub(super) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            names: 0,
            handles: 0,
            locks: Locks::NONE,
        }
    }

    const fn is_used(&self) -> bool {
        self.names > 0 || self.handles > 0
    }

    /// The room it takes.
    fn room(&self) -> u64 {
        match &self.kind {
            Kind::File(contents) if self.is_used() => contents.len() as u64,
            _ => 0,
        }
    }
}

/// An open file.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    pub(super) inode: Inode,
    pub(super) pid: u32,
    pub(super) path: Arc<Path>,
    pub(super) writes: bool,
}

/// How an operation goes that does not fail at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    Whole,
    /// Only half of it is done.
    Half,
    /// It fails, and drops what it should have written.
    Dropped,
}

/// The medium and the kernel.
#[derive(Debug)]
pub(super) struct Medium {
    clock: Arc<dyn Clock>,
    pub(super) rng: Rng,
    pub(super) nodes: BTreeMap<Inode, Node>,
    next_inode: u64,
    /// Numbers of what is gone everywhere: they may be used again.
    free: Vec<Inode>,
    made_since_swept: usize,
    pub(super) journal: Journal,
    pub(super) handles: BTreeMap<HandleId, Handle>,
    next_handle: u64,
    /// The processes that run, with their start times.
    processes: BTreeMap<u32, u64>,
    next_pid: u32,
    ticks: u64,
    boot_id: String,
    pub(super) faults: Faults,
    pub(super) capacity: Option<u64>,
    used: u64,
    pub(super) is_read_only: bool,
    pub(super) max_handles: Option<usize>,
    /// The operation is to panic once nothing is locked.
    pub(super) panics: bool,
}

impl Medium {
    pub(super) fn new(seed: u64, clock: Arc<dyn Clock>) -> Self {
        let mut medium = Self {
            clock,
            rng: Rng::with_seed(seed),
            nodes: BTreeMap::new(),
            next_inode: ROOT.0,
            free: Vec::new(),
            made_since_swept: 0,
            journal: Journal::default(),
            handles: BTreeMap::new(),
            next_handle: 0,
            processes: BTreeMap::new(),
            next_pid: FIRST_PID,
            ticks: 0,
            boot_id: String::new(),
            faults: Faults::default(),
            capacity: None,
            used: 0,
            is_read_only: false,
            max_handles: None,
            panics: false,
        };
        let mut root = Node::new(Kind::Directory(Directory::new(medium.now())));
        root.names = 1;
        medium.nodes.insert(ROOT, root);
        medium.next_inode += 1;
        medium.boot();
        medium
    }

    /// The time of a file that is changed now.
    pub(super) fn now(&self) -> i64 {
        self.clock.now().get().saturating_mul(1000)
    }

    fn boot(&mut self) {
        let bits: u128 = self.rng.u128(..);
        self.boot_id = uuid::Builder::from_random_bytes(bits.to_be_bytes())
            .into_uuid()
            .to_string();
    }

    /// Starts a process.
    pub(super) fn start(&mut self) -> u32 {
        let pid = self.next_pid;
        self.next_pid = self.next_pid.wrapping_add(1);
        self.ticks += 1;
        self.processes.insert(pid, self.ticks);
        pid
    }

    pub(super) fn kill(&mut self, pid: u32) {
        self.processes.remove(&pid);
        let is_its = |(id, handle): (&HandleId, &Handle)| (handle.pid == pid).then_some(*id);
        let open: Vec<HandleId> = self.handles.iter().filter_map(is_its).collect();
        for id in open {
            self.close(id);
        }
    }

    /// A file of the kernel's; `None` for other paths.
    pub(super) fn proc_file(&self, pid: u32, path: &Path) -> Option<io::Result<Vec<u8>>> {
        let below = path.strip_prefix("/proc").ok()?.to_str()?;
        if !self.processes.contains_key(&pid) {
            return Some(os(EIO));
        }
        if below == "sys/kernel/random/boot_id" {
            return Some(Ok(format!("{}\n", self.boot_id).into_bytes()));
        }
        let asked = match below.strip_suffix("/stat") {
            Some("self") => Some(pid),
            other => other.and_then(|number| number.parse().ok()),
        };
        let started = asked.and_then(|pid| Some((pid, self.processes.get(&pid)?)));
        Some(match started {
            // Field 22 is the start time, see proc(5).
            Some((pid, start)) => {
                let zeros = "0 ".repeat(18);
                Ok(format!("{pid} (simulated) S {zeros}{start} 0\n").into_bytes())
            }
            None => Err(io::ErrorKind::NotFound.into()),
        })
    }

    pub(super) fn check_alive(&self, pid: u32) -> io::Result<()> {
        match self.processes.contains_key(&pid) {
            true => Ok(()),
            false => os(EIO),
        }
    }

    /// Counts an operation, and fails it if that is planned.
    pub(super) fn begin(&mut self, asked: &Asked<'_>) -> io::Result<Course> {
        self.check_alive(asked.pid)?;
        match self.faults.meet(asked) {
            None => Ok(Course::Whole),
            Some(FaultKind::Short) => Ok(Course::Half),
            Some(FaultKind::DroppedPages) => Ok(Course::Dropped),
            Some(FaultKind::Io) => os(EIO),
            Some(FaultKind::NoSpace) => os(ENOSPC),
            Some(FaultKind::Interrupted) => os(EINTR),
            Some(FaultKind::ReadOnly) => os(EROFS),
            Some(FaultKind::TooManyFiles) => os(EMFILE),
            Some(FaultKind::Panic) => {
                self.panics = true;
                os(EIO)
            }
        }
    }

    /// As [`Medium::begin`], for what can do neither half of its work nor drop it.
    pub(super) fn begin_whole(&mut self, asked: &Asked<'_>) -> io::Result<()> {
        match self.begin(asked)? {
            Course::Whole | Course::Half => Ok(()),
            Course::Dropped => os(EIO),
        }
    }

    pub(super) fn check_writable(&self) -> io::Result<()> {
        match self.is_read_only {
            true => os(EROFS),
            false => Ok(()),
        }
    }

    /// How many bytes all files take.
    pub(super) const fn used(&self) -> u64 {
        self.used
    }

    /// How many more bytes there is room for.
    pub(super) fn room(&self) -> u64 {
        self.capacity
            .map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used))
    }

    pub(super) fn check_room(&self) -> io::Result<()> {
        match self.room() {
            0 => os(ENOSPC),
            _ => Ok(()),
        }
    }

    /// Whether `pid` may open one more handle, if only for a moment.
    pub(super) fn check_handles(&self, pid: u32) -> io::Result<()> {
        let Some(most) = self.max_handles else {
            return Ok(());
        };
        let open = self.handles.values().filter(|handle| handle.pid == pid);
        match open.count() < most {
            true => Ok(()),
            false => os(EMFILE),
        }
    }

    /// Changes an inode, and keeps count of the room it takes.
    pub(super) fn change<T>(
        &mut self,
        inode: Inode,
        change: impl FnOnce(&mut Node, &mut Rng) -> T,
    ) -> io::Result<T> {
        let Some(node) = self.nodes.get_mut(&inode) else {
            return os(EIO);
        };
        let before = node.room();
        let changed = change(node, &mut self.rng);
        let after = node.room();
        self.used = self.used.saturating_sub(before).saturating_add(after);
        Ok(changed)
    }

    pub(super) fn open_handle(&mut self, handle: Handle) -> io::Result<HandleId> {
        self.change(handle.inode, |node, _| node.handles += 1)?;
        self.next_handle += 1;
        let id = HandleId(self.next_handle);
        self.handles.insert(id, handle);
        Ok(id)
    }

    pub(super) fn close(&mut self, id: HandleId) {
        if let Some(handle) = self.handles.remove(&id) {
            // An inode with an open handle is always there.
            let _ = self.change(handle.inode, |node, _| {
                node.handles = node.handles.saturating_sub(1);
                node.locks.release(id);
            });
        }
    }

    pub(super) fn handle(&self, id: HandleId) -> io::Result<Handle> {
        self.handles.get(&id).cloned().map_or_else(|| os(EIO), Ok)
    }

    pub(super) fn stat(&self, inode: Inode) -> io::Result<FileStat> {
        let Some(node) = self.nodes.get(&inode) else {
            return os(EIO);
        };
        let (kind, len, mtime_nanos) = match &node.kind {
            Kind::File(contents) => (FileKind::File, contents.len() as u64, contents.mtime()),
            Kind::Directory(directory) => (FileKind::Directory, 4096, directory.mtime),
        };
        Ok(FileStat {
            kind,
            len: ByteLength::new(len),
            mtime_nanos,
            inode: inode.0,
        })
    }

    /// A new inode. Its number is one that was never used, or that of something gone everywhere.
    pub(super) fn make(&mut self, kind: Kind) -> Inode {
        self.made_since_swept += 1;
        if self.made_since_swept > LEAST_SWEPT.max(self.nodes.len() / 8) {
            self.sweep();
        }
        let inode = if !self.free.is_empty() && self.rng.bool() {
            self.free.swap_remove(self.rng.usize(0..self.free.len()))
        } else {
            self.next_inode += 1;
            Inode(self.next_inode - 1)
        };
        self.nodes.insert(inode, Node::new(kind));
        inode
    }

    /// Forgets what no name leads to and nobody has open, neither now nor after a power loss.
    fn sweep(&mut self) {
        self.made_since_swept = 0;
        let mut there = BTreeSet::new();
        let mut to_see: Vec<Inode> = self.journal.mentions().collect();
        to_see.extend(self.handles.values().map(|handle| handle.inode));
        to_see.push(ROOT);
        while let Some(inode) = to_see.pop() {
            if let Some(Node {
                kind: Kind::Directory(directory),
                ..
            }) = self.nodes.get(&inode)
                && there.insert(inode)
            {
                to_see.extend(directory.entries.values());
                to_see.extend(directory.durable.values());
            } else {
                there.insert(inode);
            }
        }
        for inode in self.nodes.keys() {
            if !there.contains(inode) {
                self.free.push(*inode);
            }
        }
        self.nodes.retain(|inode, _| there.contains(inode));
        self.journal.forget_all_but(|dir| there.contains(&dir));
    }

    /// Makes entries durable.
    pub(super) fn settle(&mut self, changes: Vec<Change>) {
        for (entry, inode) in changes {
            let Some(Node {
                kind: Kind::Directory(directory),
                ..
            }) = self.nodes.get_mut(&entry.dir)
            else {
                continue;
            };
            match inode {
                Some(inode) => directory.durable.insert(entry.name, inode),
                None => directory.durable.remove(&entry.name),
            };
        }
    }

    pub(super) fn lose_power(&mut self) {
        self.processes.clear();
        self.handles.clear();
        let temper = Temper::of(&mut self.rng);
        let kept = self.journal.lose_power(temper, &mut self.rng);
        self.settle(kept);
        let mut names: BTreeMap<Inode, usize> = BTreeMap::from([(ROOT, 1)]);
        for node in self.nodes.values_mut() {
            node.handles = 0;
            node.locks = Locks::NONE;
            match &mut node.kind {
                Kind::File(contents) => contents.lose_power(temper, &mut self.rng),
                Kind::Directory(directory) => {
                    let mtimes = mem::take(&mut directory.mtimes);
                    if temper != Temper::All {
                        directory.mtime = self.rng.choice(mtimes).unwrap_or(directory.mtime);
                    }
                    directory.mtimes = vec![directory.mtime];
                    directory.entries.clone_from(&directory.durable);
                    for inode in directory.entries.values() {
                        *names.entry(*inode).or_default() += 1;
                    }
                }
            }
        }
        for (inode, node) in &mut self.nodes {
            node.names = names.get(inode).copied().unwrap_or(0);
        }
        self.sweep();
        self.used = self.nodes.values().map(Node::room).sum();
        self.boot();
    }

    /// Every file that has a name, in the order of their paths.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut to_see = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, inode)) = to_see.pop() {
            match self.nodes.get(&inode).map(|node| &node.kind) {
                Some(Kind::Directory(directory)) => {
                    let entries = directory.entries.iter();
                    to_see.extend(entries.map(|(name, inode)| (path.join(name), *inode)));
                }
                Some(Kind::File(_)) => files.push(path),
                None => {}
            }
        }
        files.sort();
        files
    }
}
