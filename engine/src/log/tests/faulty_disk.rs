//! A file system that fails when told to, counts what it is asked for, and knows what a power loss
//! would leave of a file. It never waits for the medium.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use selvedge_codec::{ByteLength, ByteOffset};

use super::bytes_of;
use crate::disk::{DirEntry, Disk, DiskFile, FileStat, OpenMode, RealDisk};

pub(super) const EIO: i32 = 5;
pub(super) const ENOSPC: i32 = 28;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Open,
    Stat,
    List,
    CreateDir,
    Rename,
    Link,
    Remove,
    RemoveDir,
    SyncDir,
    Read,
    Write,
    SetLen,
    Sync,
    Lock,
}

pub(super) const ALL_OPS: [Op; 14] = [
    Op::Open,
    Op::Stat,
    Op::List,
    Op::CreateDir,
    Op::Rename,
    Op::Link,
    Op::Remove,
    Op::RemoveDir,
    Op::SyncDir,
    Op::Read,
    Op::Write,
    Op::SetLen,
    Op::Sync,
    Op::Lock,
];

/// Which calls fail.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) op: Op,
    /// Only on paths that hold this.
    pub(super) on: &'static str,
    /// How many such calls go well first.
    pub(super) after: usize,
    /// How many fail then.
    pub(super) times: usize,
    pub(super) errno: i32,
    /// Of a failing write: how many bytes are written all the same.
    pub(super) short: usize,
    /// Of a failing sync: whether the file is left as it was when last synced.
    pub(super) loses: bool,
}

impl Fault {
    /// Every such call on a log fails.
    pub(super) fn on_logs(op: Op, errno: i32) -> Self {
        Self {
            op,
            on: "rollout-",
            after: 0,
            times: usize::MAX,
            errno,
            short: 0,
            loses: false,
        }
    }

    /// The next such call on a log fails.
    pub(super) fn once(op: Op, errno: i32) -> Self {
        Self {
            times: 1,
            ..Self::on_logs(op, errno)
        }
    }
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<Fault>,
    calls: Vec<(Op, PathBuf)>,
    /// What a power loss leaves of a file.
    durable: HashMap<PathBuf, Vec<u8>>,
    /// After how many calls nothing goes well any more, and how much of a write then still does.
    dies_after: Option<(usize, usize)>,
    /// What somebody else appends to a log just before the next write to it.
    before_write: Option<Vec<u8>>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct FaultyDisk(Arc<Mutex<State>>);

impl FaultyDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Lets somebody else append to a log just before the next write to it.
    pub(super) fn precede_write(&self, text: &str) {
        self.state().before_write = Some(text.as_bytes().to_vec());
    }

    /// After so many calls every one fails, as if the process had died there; of a write that
    /// fails, so many bytes are written.
    pub(super) fn die_after(&self, calls: usize, short: usize) {
        self.state().dies_after = Some((calls, short));
    }

    pub(super) fn heal(&self) {
        self.state().faults.clear();
        self.state().dies_after = None;
    }

    /// How often `op` was called on paths that hold `on`, since the last [`FaultyDisk::forget`].
    pub(super) fn count(&self, op: Op, on: &str) -> usize {
        self.paths(op)
            .iter()
            .filter(|path| path.to_string_lossy().contains(on))
            .count()
    }

    /// What was called, in order.
    pub(super) fn calls(&self) -> Vec<(Op, PathBuf)> {
        self.state().calls.clone()
    }

    pub(super) fn paths(&self, op: Op) -> Vec<PathBuf> {
        let state = self.state();
        let calls = state.calls.iter().filter(|(called, _)| *called == op);
        calls.map(|(_, path)| path.clone()).collect()
    }

    pub(super) fn forget(&self) {
        self.state().calls.clear();
    }

    pub(super) fn set_durable(&self, path: &Path, bytes: &[u8]) {
        self.state().durable.insert(path.to_owned(), bytes.to_vec());
    }

    /// Leaves of a file what was synced.
    pub(super) fn lose_power(&self, path: &Path) {
        let durable = self.state().durable.get(path).cloned().unwrap_or_default();
        let file = RealDisk.open(path, OpenMode::Write).unwrap();
        file.set_len(ByteLength::ZERO).unwrap();
        file.write_all_at(&durable, ByteOffset::ZERO).unwrap();
    }

    /// Counts a call, and says whether it fails.
    fn call(&self, op: Op, path: &Path) -> Result<(), Fault> {
        let mut state = self.state();
        state.calls.push((op, path.to_owned()));
        if let Some((calls, short)) = &mut state.dies_after {
            let short = std::mem::take(short);
            match calls.checked_sub(1) {
                Some(left) => state.dies_after = Some((left, short)),
                None => {
                    return Err(Fault {
                        short,
                        ..Fault::on_logs(op, EIO)
                    });
                }
            }
        }
        let text = path.to_string_lossy();
        let mut failing = None;
        for fault in &mut state.faults {
            if fault.op != op || !text.contains(fault.on) {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
            } else if fault.times > 0 && failing.is_none() {
                fault.times -= 1;
                failing = Some(*fault);
            }
        }
        failing.map_or(Ok(()), Err)
    }

    fn check(&self, op: Op, path: &Path) -> io::Result<()> {
        self.call(op, path)
            .map_err(|fault| io::Error::from_raw_os_error(fault.errno))
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        self.check(Op::Open, path)?;
        let inner = RealDisk.open(path, mode)?;
        self.state()
            .durable
            .entry(path.to_owned())
            .or_insert_with(|| bytes_of(path).to_vec());
        Ok(Box::new(FaultyFile {
            disk: self.clone(),
            path: path.to_owned(),
            inner,
        }))
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        self.check(Op::Stat, path)?;
        RealDisk.stat(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.check(Op::List, dir)?;
        RealDisk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<bool> {
        self.check(Op::CreateDir, dir)?;
        RealDisk.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Op::Rename, to)?;
        RealDisk.rename(from, to)?;
        let mut state = self.state();
        if let Some(durable) = state.durable.remove(from) {
            state.durable.insert(to.to_owned(), durable);
        }
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Op::Link, to)?;
        RealDisk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(Op::Remove, path)?;
        RealDisk.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.check(Op::RemoveDir, dir)?;
        RealDisk.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.check(Op::SyncDir, dir)
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    path: PathBuf,
    inner: Box<dyn DiskFile>,
}

impl FaultyFile {
    /// Does what somebody else does before a write.
    fn come_before(&self) -> io::Result<()> {
        if !self.path.to_string_lossy().contains("rollout-") {
            return Ok(());
        }
        let theirs = self.disk.state().before_write.take();
        theirs.map_or(Ok(()), |theirs| self.inner.append_all(&theirs))
    }
}

impl DiskFile for FaultyFile {
    fn stat(&self) -> io::Result<FileStat> {
        self.disk.check(Op::Stat, &self.path)?;
        self.inner.stat()
    }

    fn len(&self) -> io::Result<ByteLength> {
        self.disk.check(Op::Stat, &self.path)?;
        self.inner.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: ByteOffset) -> io::Result<usize> {
        self.disk.check(Op::Read, &self.path)?;
        self.inner.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: ByteOffset) -> io::Result<()> {
        self.come_before()?;
        match self.disk.call(Op::Write, &self.path) {
            Ok(()) => self.inner.write_all_at(bytes, offset),
            Err(fault) => {
                let written = &bytes[..fault.short.min(bytes.len())];
                self.inner.write_all_at(written, offset)?;
                Err(io::Error::from_raw_os_error(fault.errno))
            }
        }
    }

    fn append_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.come_before()?;
        match self.disk.call(Op::Write, &self.path) {
            Ok(()) => self.inner.append_all(bytes),
            Err(fault) => {
                self.inner
                    .append_all(&bytes[..fault.short.min(bytes.len())])?;
                Err(io::Error::from_raw_os_error(fault.errno))
            }
        }
    }

    fn set_len(&self, len: ByteLength) -> io::Result<()> {
        self.disk.check(Op::SetLen, &self.path)?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.disk.call(Op::Sync, &self.path) {
            Ok(()) => {
                let bytes = bytes_of(&self.path);
                self.disk.set_durable(&self.path, &bytes);
                Ok(())
            }
            Err(fault) => {
                if fault.loses {
                    self.disk.lose_power(&self.path);
                }
                Err(io::Error::from_raw_os_error(fault.errno))
            }
        }
    }

    fn try_lock_range(&self, range: Range<u64>, shared: bool) -> io::Result<bool> {
        self.disk.check(Op::Lock, &self.path)?;
        self.inner.try_lock_range(range, shared)
    }

    fn unlock_range(&self, range: Range<u64>) -> io::Result<()> {
        self.inner.unlock_range(range)
    }

    fn is_locked_elsewhere(&self, range: Range<u64>) -> io::Result<bool> {
        self.inner.is_locked_elsewhere(range)
    }
}
