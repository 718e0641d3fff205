//! A disk in memory that fails and forgets as real ones do: for tests alone.
//!
//! What must hold: what was synced survives every power loss, and nothing else is sure to; an
//! operation fails only as planned, or for want of room or handles; and the same operations on a
//! disk of the same seed do the same again, as long as one thread at a time makes them.
//!
//! - **A file** after a power loss has the bytes of its last sync, and a random subset of the
//!   writes after it, each torn anywhere. It may be as long as a lost write would have made it, with
//!   zeros. Its time is that of any of these states.
//! - **A name** that was made, renamed or removed is durable once its directory was synced, a rename
//!   once both were; until then a power loss takes each such operation back or not. A rename is never
//!   half done.
//! - **A failed sync** ([`FaultKind::DroppedPages`]) leaves its pages clean: no later sync writes
//!   them. They are read as they were written, or as the medium has them.
//! - **Calls** may be interrupted or do half of what they were asked. That is coped with below
//!   [`Disk`](crate::disk::Disk), by the loops that real files go through.
//! - **Processes** have handles, locks and files below `/proc` of their own. Inode numbers of files
//!   that are gone are used again.

mod contents;
mod directories;
mod faults;
mod file;
mod locks;
mod medium;
mod process;
mod tree;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::whole;
use crate::clock::Clock;
use medium::Medium;
use process::ProcessId;

pub use faults::{DiskCounts, Fault, FaultKind, Operations};
pub use process::SimulatedProcess;

/// The medium, shared by all simulated processes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SimulatedDisk {
    shared: Shared,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Medium>>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Medium").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Medium> {
        // Planned panics happen outside of the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out an operation.
    fn with<T>(&self, work: impl FnOnce(&mut Medium) -> io::Result<T>) -> io::Result<T> {
        let mut medium = self.lock();
        let done = work(&mut medium);
        if let Err(error) = &done {
            medium.faults.note_failure(error);
        }
        let panics = std::mem::take(&mut medium.panics);
        drop(medium);
        if panics {
            // A panic that no hook prints: it is part of the plan.
            std::panic::resume_unwind(Box::new("a planned panic of the simulated disk"));
        }
        done
    }
}

impl SimulatedDisk {
    /// An empty disk with a root directory. Files are dated by the clock.
    #[must_use]
    pub fn new(seed: u64, clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Shared(Arc::new(Mutex::new(Medium::new(seed, clock)))),
        }
    }

    /// A new process: a [`Disk`](crate::disk::Disk), with pid and start time in its `/proc` files;
    /// its handles and locks are its own.
    #[must_use]
    pub fn process(&self) -> SimulatedProcess {
        let pid = self.shared.lock().start();
        SimulatedProcess {
            shared: self.shared.clone(),
            id: Arc::new(ProcessId(pid)),
        }
    }

    /// Power loss: all processes end; what was not synced survives in a random subset, torn
    /// anywhere; there is another boot id.
    pub fn lose_power(&self) {
        self.shared.lock().lose_power();
    }

    /// Plans a fault; several may be planned. The first that fits is what an operation meets.
    pub fn plan(&self, fault: Fault) {
        self.shared.lock().faults.plan(fault);
    }

    /// Forgets all planned faults, and gives room and handles again.
    pub fn heal(&self) {
        let mut medium = self.shared.lock();
        medium.faults.forget();
        medium.capacity = None;
        medium.is_read_only = false;
        medium.max_handles = None;
    }

    /// How many bytes there is room for. Beyond it: ENOSPC, after a short write.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.lock().capacity = bytes;
    }

    /// How many bytes all files take.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.shared.lock().used()
    }

    /// Whether nothing can be changed: EROFS.
    pub fn set_read_only(&self, read_only: bool) {
        self.shared.lock().is_read_only = read_only;
    }

    /// How many handles each process may have open: EMFILE.
    pub fn set_max_handles(&self, handles: Option<usize>) {
        self.shared.lock().max_handles = handles;
    }

    /// How many handles are open, of all processes.
    #[must_use]
    pub fn open_handles(&self) -> usize {
        self.shared.lock().handles.len()
    }

    /// What has been asked of the disk so far.
    #[must_use]
    pub fn counts(&self) -> DiskCounts {
        self.shared.lock().faults.counts
    }

    /// The last some hundred operations, for whoever looks at a failing seed.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.shared.lock().faults.trace()
    }

    /// The tester's own hands: every file, in the order of their paths.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.shared.lock().files()
    }

    /// The tester's own hands: a file's bytes as a process would read them.
    #[must_use]
    pub fn read_file(&self, path: &Path) -> Option<Vec<u8>> {
        self.shared.lock().peek(path)
    }

    /// The tester's own hands: puts a file there, in the place of what it held, with the folders
    /// that lead to it. No fault, durable at once. Nothing is done where a folder is in the way.
    pub fn write_file(&self, path: &Path, bytes: &[u8]) {
        let written = self.shared.lock().poke(path, bytes);
        debug_assert!(written.is_ok(), "{}: {written:?}", path.display());
    }

    /// The tester's own hands: takes a file away, durably. Nothing is done where there is none.
    pub fn remove_file(&self, path: &Path) {
        let removed = self.shared.lock().pluck(path);
        debug_assert!(removed.is_ok(), "{}: {removed:?}", path.display());
    }

    /// The tester's own hands: makes a folder and those above it, durably.
    pub fn make_dirs(&self, dir: &Path) {
        let made = self.shared.lock().make_durable_dirs(dir);
        debug_assert!(made.is_ok(), "{}: {made:?}", dir.display());
    }
}

#[cfg(test)]
mod tests;
