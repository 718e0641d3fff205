//! Planned faults, and what was counted of operations.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

/// The operating system's numbers.
pub(super) const EPERM: i32 = 1;
pub(super) const ENOENT: i32 = 2;
pub(super) const EINTR: i32 = 4;
pub(super) const EIO: i32 = 5;
pub(super) const EBADF: i32 = 9;
pub(super) const EBUSY: i32 = 16;
pub(super) const EEXIST: i32 = 17;
pub(super) const ENOTDIR: i32 = 20;
pub(super) const EISDIR: i32 = 21;
pub(super) const EINVAL: i32 = 22;
pub(super) const EMFILE: i32 = 24;
pub(super) const EFBIG: i32 = 27;
pub(super) const ENOSPC: i32 = 28;
pub(super) const EROFS: i32 = 30;
pub(super) const ENAMETOOLONG: i32 = 36;
pub(super) const ENOTEMPTY: i32 = 39;

/// An error as the operating system gives it.
pub(super) fn os<T>(number: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(number))
}

/// How many operations are remembered.
const MAX_TRACED: usize = 600;

/// A set of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operations {
    /// Every operation.
    Any,
    /// Those that change the medium: `Write`, `SetLen`, `Sync`, `SyncDir`, `Rename`, `Link`,
    /// `Remove`, `CreateDir`, `RemoveDir`, and an `Open` that makes a file.
    Changes,
    /// Opening or making a file.
    Open,
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Cutting or extending a file.
    SetLen,
    /// Syncing a file.
    Sync,
    /// Syncing a directory.
    SyncDir,
    /// Renaming a file.
    Rename,
    /// Giving a file another name.
    Link,
    /// Removing a file.
    Remove,
    /// Making a directory.
    CreateDir,
    /// Removing a directory.
    RemoveDir,
    /// Listing a directory.
    List,
    /// Looking at metadata, of a path or an open file.
    Stat,
    /// Locking a range, or asking for its locks.
    Lock,
}

impl Operations {
    /// The kinds of operation, each by itself.
    pub const EACH: [Self; 14] = [
        Self::Open,
        Self::Read,
        Self::Write,
        Self::SetLen,
        Self::Sync,
        Self::SyncDir,
        Self::Rename,
        Self::Link,
        Self::Remove,
        Self::CreateDir,
        Self::RemoveDir,
        Self::List,
        Self::Stat,
        Self::Lock,
    ];

    const fn changes(self) -> bool {
        !matches!(
            self,
            Self::Any | Self::Open | Self::Read | Self::List | Self::Stat | Self::Lock
        )
    }
}

/// What a planned fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// EIO. Part of a write may have been written.
    Io,
    /// ENOSPC. Part of a write may have been written.
    NoSpace,
    /// EINTR, once: the same call goes well when it is made again, below [`crate::disk::Disk`].
    /// Operations that no signal interrupts go well.
    Interrupted,
    /// Of a read or write half is done, and the rest must be asked for. Others go well.
    Short,
    /// EROFS.
    ReadOnly,
    /// EMFILE.
    TooManyFiles,
    /// A sync that fails with EIO and marks what it should have written as clean: it is never
    /// written unless it is made anew. Of a directory, its entries. Others fail with EIO.
    DroppedPages,
    /// The operation panics, before it does anything.
    Panic,
}

/// A fault that is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which operations.
    pub on: Operations,
    /// Of them only those on paths that end with this text. Of a rename or link it is the new path.
    pub path_ends_with: Option<String>,
    /// How many matching operations still go well.
    pub after: u64,
    /// How many fail then; [`u64::MAX`]: until healed.
    pub times: u64,
    /// What they meet.
    pub kind: FaultKind,
}

impl Fault {
    /// The next such operation meets this, on any path.
    #[must_use]
    pub const fn once(on: Operations, kind: FaultKind) -> Self {
        Self {
            on,
            path_ends_with: None,
            after: 0,
            times: 1,
            kind,
        }
    }

    /// Every such operation meets this, on any path, until healed.
    #[must_use]
    pub fn always(on: Operations, kind: FaultKind) -> Self {
        Self {
            times: u64::MAX,
            ..Self::once(on, kind)
        }
    }

    /// As this, after so many matching operations.
    #[must_use]
    pub fn after(self, after: u64) -> Self {
        Self { after, ..self }
    }

    /// As this, on paths that end so.
    #[must_use]
    pub fn on_path(self, path_ends_with: impl Into<String>) -> Self {
        Self {
            path_ends_with: Some(path_ends_with.into()),
            ..self
        }
    }
}

/// What has been asked of a disk since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// All operations: what [`Fault::after`] counts for [`Operations::Any`].
    pub operations: u64,
    /// Those that change the medium: what it counts for [`Operations::Changes`].
    pub changes: u64,
    /// How many of them met a fault, planned or not.
    pub faults: u64,
    /// Files opened or made.
    pub opens: u64,
    /// Calls that read.
    pub reads: u64,
    /// Calls that wrote.
    pub writes: u64,
    /// Syncs of files.
    pub syncs: u64,
    /// Syncs of directories.
    pub dir_syncs: u64,
    /// Renames.
    pub renames: u64,
    /// Hard links.
    pub links: u64,
    /// Files removed.
    pub removes: u64,
    /// Directories listed.
    pub lists: u64,
    /// Looks at metadata.
    pub stats: u64,
    /// Locks tried or asked for.
    pub locks: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
}

/// What is asked of the disk.
#[derive(Debug, Clone)]
pub(super) struct Asked<'a> {
    pub(super) pid: u32,
    pub(super) on: Operations,
    pub(super) path: &'a Path,
    /// Whether an `Open` makes a file.
    pub(super) makes: bool,
    pub(super) detail: (u64, u64),
}

#[derive(Debug)]
struct Traced {
    number: u64,
    pid: u32,
    on: Operations,
    path: PathBuf,
    detail: (u64, u64),
    met: Option<FaultKind>,
    failed: Option<String>,
}

/// The faults that are planned, and what was met.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: Vec<Fault>,
    pub(super) counts: DiskCounts,
    trace: VecDeque<Traced>,
    was_interrupted: bool,
}

impl Faults {
    pub(super) fn plan(&mut self, fault: Fault) {
        self.planned.push(fault);
    }

    pub(super) fn forget(&mut self) {
        self.planned.clear();
        self.was_interrupted = false;
    }

    /// Counts an operation, and tells what it meets.
    pub(super) fn meet(&mut self, asked: &Asked<'_>) -> Option<FaultKind> {
        let is_again = std::mem::take(&mut self.was_interrupted);
        let is_change = asked.on.changes() || asked.makes;
        self.count(asked.on, is_change);
        let text = asked.path.to_string_lossy();
        let mut met = None;
        for fault in &mut self.planned {
            let is_meant = match fault.on {
                Operations::Any => true,
                Operations::Changes => is_change,
                on => on == asked.on,
            };
            let ending = fault.path_ends_with.as_deref();
            if !is_meant || !ending.is_none_or(|ending| text.ends_with(ending)) {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
            } else if fault.times > 0 && met.is_none() {
                if fault.times < u64::MAX {
                    fault.times -= 1;
                }
                met = Some(fault.kind);
            }
        }
        if met == Some(FaultKind::Interrupted) {
            // A call that is made again goes on, however many are to be interrupted.
            met = met.filter(|_| !is_again && can_be_interrupted(asked.on));
            self.was_interrupted = met.is_some();
        }
        self.counts.faults += u64::from(met.is_some());
        self.remember(asked, met);
        met
    }

    fn count(&mut self, on: Operations, is_change: bool) {
        let counts = &mut self.counts;
        counts.operations += 1;
        counts.changes += u64::from(is_change);
        let one = match on {
            Operations::Open => &mut counts.opens,
            Operations::Read => &mut counts.reads,
            Operations::Write => &mut counts.writes,
            Operations::Sync => &mut counts.syncs,
            Operations::SyncDir => &mut counts.dir_syncs,
            Operations::Rename => &mut counts.renames,
            Operations::Link => &mut counts.links,
            Operations::Remove => &mut counts.removes,
            Operations::List => &mut counts.lists,
            Operations::Stat => &mut counts.stats,
            Operations::Lock => &mut counts.locks,
            _ => return,
        };
        *one += 1;
    }

    fn remember(&mut self, asked: &Asked<'_>, met: Option<FaultKind>) {
        if self.trace.len() >= MAX_TRACED {
            self.trace.pop_front();
        }
        self.trace.push_back(Traced {
            number: self.counts.operations,
            pid: asked.pid,
            on: asked.on,
            path: asked.path.to_owned(),
            detail: asked.detail,
            met,
            failed: None,
        });
    }

    /// Remembers how the operation that was counted last has failed.
    pub(super) fn note_failure(&mut self, error: &io::Error) {
        if let Some(last) = self.trace.back_mut() {
            last.failed = Some(error.to_string());
        }
    }

    pub(super) fn trace(&self) -> Vec<String> {
        let line = |traced: &Traced| {
            let mut line = format!(
                "{} process {} {:?} {}",
                traced.number,
                traced.pid,
                traced.on,
                traced.path.display()
            );
            if traced.detail != (0, 0) {
                line.push_str(&format!(" at {} len {}", traced.detail.0, traced.detail.1));
            }
            if let Some(met) = traced.met {
                line.push_str(&format!(" met {met:?}"));
            }
            if let Some(failed) = &traced.failed {
                line.push_str(&format!(": {failed}"));
            }
            line
        };
        self.trace.iter().map(line).collect()
    }
}

const fn can_be_interrupted(on: Operations) -> bool {
    matches!(
        on,
        Operations::Open
            | Operations::Read
            | Operations::Write
            | Operations::SetLen
            | Operations::Sync
            | Operations::SyncDir
    )
}
