//! Writer locks: at most one writer a thread, across stores and processes.
//!
//! What must hold: a thread is locked by at most one [`WriterLock`] at a time, whoever else runs
//! on the home; and a lock ends with its holder, however that ends. The locks are byte ranges of
//! a few lock files, so that a hundred thousand of them take a handful of file handles.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use selvedge_codec::ThreadId;

use super::{Home, marks};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::{ConflictReason, Error, Result};

/// The kernel keeps a file's locks in one list, so that many locks in one file would be slow.
const SHARDS: u64 = 64;
const DIR: &str = "locks";

/// Where in which lock file a thread's lock lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Slot {
    shard: u64,
    offset: u64,
}

impl Slot {
    fn of(thread_id: ThreadId) -> Self {
        // An id's own bits are no hash: version 7 ids of one millisecond differ in few of them.
        let (high, low) = thread_id.as_uuid().as_u64_pair();
        let mixed = mix(low ^ mix(high));
        Self {
            shard: mixed % SHARDS,
            // A lock's offset must stay below 2^63.
            offset: mix(mixed ^ high) >> 2,
        }
    }
}

/// The finalizer of splitmix64: a bijection, every bit of which depends on every bit.
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Lock files, by the number of their shard.
type Files = HashMap<u64, Box<dyn DiskFile>>;

#[derive(Default)]
struct State {
    /// The lock files opened so far. Each stays open while the store lives: its handle is what
    /// holds the locks.
    files: Files,
    /// What this store has locked: locks of one handle do not refuse each other.
    held: HashSet<Slot>,
}

/// The writer locks of one store.
pub struct WriterLocks {
    disk: Arc<dyn Disk>,
    home: Home,
    /// Locked for a non-blocking lock call and at most one open, never across a wait.
    state: Mutex<State>,
}

impl WriterLocks {
    /// The locks of a store on this home. Nothing is made until the first lock.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, home: Home) -> Self {
        Self {
            disk,
            home,
            state: Mutex::default(),
        }
    }

    /// Locks a thread for writing, without waiting.
    ///
    /// # Errors
    /// [`Error::Conflict`] naming the holder when the thread is locked already, by this store or
    /// another; [`Error::Io`] when the lock file can't be made or locked.
    pub fn lock(self: &Arc<Self>, thread_id: ThreadId) -> Result<WriterLock> {
        let slot = Slot::of(thread_id);
        if self.try_lock(slot)? {
            return Ok(WriterLock {
                locks: Arc::clone(self),
                slot,
            });
        }
        Err(Error::Conflict {
            thread_id,
            reason: ConflictReason::Writer {
                holder: self.holder(thread_id),
            },
        })
    }

    /// Whether nobody has locked a thread, as of now.
    ///
    /// # Errors
    /// [`Error::Io`] when the lock file can't be made or asked.
    pub(crate) fn is_free(&self, thread_id: ThreadId) -> Result<bool> {
        let slot = Slot::of(thread_id);
        let mut state = self.state();
        let State { files, held } = &mut *state;
        if held.contains(&slot) {
            return Ok(false);
        }
        let is_locked = self
            .file(files, slot.shard)?
            .is_locked_elsewhere(slot.offset..slot.offset + 1);
        is_locked
            .map(|is_locked| !is_locked)
            .map_err(|error| Error::io("ask for", &self.path(slot.shard), error))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is a single insert or remove: a panic leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self, slot: Slot) -> Result<bool> {
        let mut state = self.state();
        let State { files, held } = &mut *state;
        if held.contains(&slot) {
            return Ok(false);
        }
        let is_locked = self
            .file(files, slot.shard)?
            .try_lock_range(slot.offset..slot.offset + 1, false)
            .map_err(|error| Error::io("lock", &self.path(slot.shard), error))?;
        if is_locked {
            held.insert(slot);
        }
        Ok(is_locked)
    }

    fn file<'a>(&self, files: &'a mut Files, shard: u64) -> Result<&'a dyn DiskFile> {
        Ok(match files.entry(shard) {
            Entry::Occupied(open) => &**open.into_mut(),
            Entry::Vacant(vacant) => &**vacant.insert(self.open(shard)?),
        })
    }

    fn path(&self, shard: u64) -> PathBuf {
        self.home
            .runtime_dir()
            .join(DIR)
            .join(format!("{shard:02x}"))
    }

    fn open(&self, shard: u64) -> Result<Box<dyn DiskFile>> {
        let runtime = self.home.runtime_dir();
        // Not synced: the locks mean nothing after a power loss.
        for dir in [runtime.clone(), runtime.join(DIR)] {
            self.disk
                .create_dir(&dir)
                .map_err(|error| Error::io("make", &dir, error))?;
        }
        let path = self.path(shard);
        self.disk
            .open(&path, OpenMode::CreateOrOpen)
            .map_err(|error| Error::io("open", &path, error))
    }

    /// Who writes the thread, as far as the open marks tell. A holder that has not marked the
    /// thread yet, or is just done with it, is not known.
    fn holder(&self, thread_id: ThreadId) -> String {
        let files = marks::read_all(&*self.disk, &self.home).unwrap_or_else(|error| {
            tracing::debug!(%error, "the holder of a writer lock can't be looked up");
            Vec::new()
        });
        let mut holders = files.iter().filter(|file| {
            file.alive && file.threads.iter().any(|(marked, _)| *marked == thread_id)
        });
        holders.next().map_or_else(
            || "another writer".to_owned(),
            |file| format!("process {}", file.owner.pid),
        )
    }

    fn unlock(&self, slot: Slot) {
        let mut state = self.state();
        state.held.remove(&slot);
        let Some(file) = state.files.get(&slot.shard) else {
            return;
        };
        if let Err(error) = file.unlock_range(slot.offset..slot.offset + 1) {
            // The lock then lives as long as the store, which is safe: nobody writes beside it.
            tracing::warn!(%error, "a writer lock can't be released");
        }
    }
}

impl fmt::Debug for WriterLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterLocks")
            .field("home", &self.home)
            .field("held", &self.state().held.len())
            .finish_non_exhaustive()
    }
}

/// The right to write one thread. It ends when this is dropped, or with the process.
#[derive(Debug)]
pub struct WriterLock {
    locks: Arc<WriterLocks>,
    slot: Slot,
}

impl Drop for WriterLock {
    fn drop(&mut self) {
        self.locks.unlock(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    fn locks(home: &Home) -> Arc<WriterLocks> {
        Arc::new(WriterLocks::new(Arc::new(RealDisk), home.clone()))
    }

    fn is_conflict(result: &Result<WriterLock>) -> bool {
        matches!(result, Err(Error::Conflict { .. }))
    }

    #[test]
    fn a_thread_is_locked_once_within_a_store_and_across_stores() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let (one, other) = (locks(&home), locks(&home));
        let (a, b) = (ThreadId::generate(), ThreadId::generate());
        let held = one.lock(a).unwrap();
        assert!(is_conflict(&one.lock(a)));
        assert!(is_conflict(&other.lock(a)));
        let _b = other.lock(b).unwrap();
        assert!(is_conflict(&one.lock(b)));
        drop(held);
        let _a = other.lock(a).unwrap();
        assert!(is_conflict(&one.lock(a)));
    }

    #[test]
    fn a_store_that_goes_away_frees_its_locks() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let id = ThreadId::generate();
        let one = locks(&home);
        let held = one.lock(id).unwrap();
        // The guard keeps the store's locks alive; only both going away frees the handle.
        drop(one);
        assert!(is_conflict(&locks(&home).lock(id)));
        drop(held);
        assert!(locks(&home).lock(id).is_ok());
    }

    #[test]
    fn threads_of_one_millisecond_do_not_share_a_slot() {
        let slots: HashSet<Slot> = (0..100_000)
            .map(|_| Slot::of(ThreadId::generate()))
            .collect();
        assert_eq!(slots.len(), 100_000);
        let shards: HashSet<u64> = slots.iter().map(|slot| slot.shard).collect();
        assert_eq!(shards.len(), 64);
        assert!(slots.iter().all(|slot| slot.offset < u64::MAX >> 2));
    }
}
