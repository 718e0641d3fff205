//! All that speaks to redb, beside its storage in [`super::backend`]: tables of bytes, read and
//! written in transactions.
//!
//! **A damaged index is no error.** Whatever redb says or does when it meets bytes that are not
//! its own (an error, a panic), the file is set aside as `index.redb.damaged`, an empty one takes
//! its place, and the operation is carried out on that; what is missing then is projected again
//! from the logs. **The file on the path is the index**: when another process has replaced it, the
//! next transaction opens the new one.

mod transactions;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redb::ConcurrencyMode;

use super::backend::{Backend, Patience};
use super::fault::Fault;
use crate::disk::{Disk, FileKind, FileStat, OpenMode};

pub(crate) use transactions::{Entries, ReadTransaction, Span, Table, View, WriteTransaction};

/// redb's default is 1 GiB a handle.
const CACHE_BYTES: usize = 32 << 20;
/// A byte that redb leaves to storages: who sets a damaged file aside holds it.
const SET_ASIDE_BYTE: u64 = (1 << 62) + 896;
/// How often an operation is tried: as it is, after the file was opened again, and after it was
/// set aside.
const ATTEMPTS: usize = 3;
/// How long an operation waits that follows one which has waited in vain: longer than a commit of
/// a process that is at work takes.
const BRIEF: Duration = Duration::from_millis(20);
/// What closing may wait for: nobody relies on what it would write.
const CLOSING_PATIENCE: Duration = Duration::from_millis(200);

fn fault(error: impl Into<redb::Error>) -> Fault {
    match error.into() {
        redb::Error::Io(error) => Fault::of_io(error),
        // Locks can't be had on this file system.
        redb::Error::Unsupported => Fault::Io(io::ErrorKind::Unsupported.into()),
        redb::Error::DatabaseAlreadyOpen => Fault::Busy,
        error @ (redb::Error::PreviousIo
        | redb::Error::DatabaseClosed
        | redb::Error::LockPoisoned(_)
        | redb::Error::TransactionPoisoned) => Fault::Stale(error.to_string()),
        error => Fault::Damaged(error.to_string()),
    }
}

/// Turns a panic of redb's into what it means.
fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let why = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("it could not be made sense of");
        Err(Fault::Damaged(why.to_owned()))
    })
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open index file.
#[derive(Debug)]
struct Handle {
    /// `None` only while it is dropped.
    database: Option<redb::Database>,
    inode: u64,
}

impl Handle {
    fn database(&self) -> Result<&redb::Database, Fault> {
        self.database
            .as_ref()
            .ok_or_else(|| Fault::Stale("the index is closed".into()))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _patience = Patience::until(Instant::now() + CLOSING_PATIENCE);
        let database = self.database.take();
        // What closing writes spares the next opening some work; the index does not rely on it.
        let _ = guarded(|| {
            drop(database);
            Ok(())
        });
    }
}

/// One writer at a time in this process, waited for with a bound: redb's own wait has none.
#[derive(Debug, Default)]
struct Gate {
    taken: Mutex<bool>,
    freed: Condvar,
}

struct GateGuard<'a>(&'a Gate);

impl Gate {
    fn enter(&self, deadline: Instant) -> Result<GateGuard<'_>, Fault> {
        let left = deadline.saturating_duration_since(Instant::now());
        let (mut taken, _) = self
            .freed
            .wait_timeout_while(unpoisoned(&self.taken), left, |taken| *taken)
            .unwrap_or_else(PoisonError::into_inner);
        if *taken {
            return Err(Fault::Busy);
        }
        *taken = true;
        drop(taken);
        Ok(GateGuard(self))
    }
}

impl Drop for GateGuard<'_> {
    fn drop(&mut self) {
        *unpoisoned(&self.0.taken) = false;
        self.0.freed.notify_one();
    }
}

/// Whether others were waited for in vain. **A wait in vain is not repeated at once**: for as long
/// as it took, further operations wait no longer than [`BRIEF`]. One question may need the index
/// many times, and would else be answered after as many waits.
#[derive(Debug, Default)]
struct Vain {
    /// When the last wait of full length ended in vain; `None` once the index was had again.
    since: Mutex<Option<Instant>>,
}

impl Vain {
    /// Until when an operation that begins now waits.
    fn deadline(&self, patience: Duration) -> Instant {
        let now = Instant::now();
        match *unpoisoned(&self.since) {
            Some(since) if now.saturating_duration_since(since) < patience => {
                now + BRIEF.min(patience)
            }
            _ => now + patience,
        }
    }

    /// Learns from an operation that began with this much patience.
    fn learn<T>(&self, done: &Result<T, Fault>, waited: Duration) {
        let mut since = unpoisoned(&self.since);
        match done {
            Err(Fault::Busy) if waited <= BRIEF => {}
            Err(Fault::Busy) => *since = Some(Instant::now()),
            _ => *since = None,
        }
    }
}

/// The index's file: opened when it is first needed, and again when it was replaced.
#[derive(Debug)]
pub(crate) struct Database {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    patience: Duration,
    handle: Mutex<Option<Arc<Handle>>>,
    gate: Gate,
    /// Apart: who is stopped in the middle of writing mostly leaves the readers alone.
    reads: Vain,
    writes: Vain,
}

impl Database {
    /// The index at `path`. No operation on it waits longer than `patience` for others.
    pub(crate) fn at(disk: Arc<dyn Disk>, path: PathBuf, patience: Duration) -> Self {
        Self {
            disk,
            path,
            patience,
            handle: Mutex::default(),
            gate: Gate::default(),
            reads: Vain::default(),
            writes: Vain::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }

    /// What the file on the path looks like; `None` when there is none.
    pub(crate) fn stat(&self) -> Result<Option<FileStat>, Fault> {
        match self.disk.stat(&self.path) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Fault::Io(error)),
        }
    }

    /// Reads a consistent state. Carried out again on another file when the one at hand is of no
    /// use, so that `work` may run more than once.
    pub(crate) fn read<T>(
        &self,
        work: impl Fn(&ReadTransaction) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let deadline = self.reads.deadline(self.patience);
        self.persist((&self.reads, deadline), |handle| {
            work(&ReadTransaction::begin(handle)?)
        })
    }

    /// Writes in one transaction: all of it or nothing. As with [`Database::read`], `work` may
    /// run more than once. Nothing is committed when it gives [`Outcome::Leave`].
    pub(crate) fn write<T>(
        &self,
        work: impl Fn(&mut WriteTransaction<'_>) -> Result<Outcome<T>, Fault>,
    ) -> Result<T, Fault> {
        let deadline = self.writes.deadline(self.patience);
        let _gate = self.gate.enter(deadline)?;
        self.persist((&self.writes, deadline), |handle| {
            let transaction = handle.database()?.begin_write().map_err(fault)?;
            let written = write_once(transaction, handle.inode, &work);
            if matches!(&written, Err(why) if !matches!(why, Fault::Engine(_))) {
                // A commit that stopped half way leaves a handle that takes its own memory for
                // the file's damage. One that could not even begin is as good as before, and
                // still reads while another process is stopped in its transaction.
                self.forget(handle);
            }
            written
        })
    }

    /// Replaces the index by an empty one.
    pub(crate) fn discard(&self) -> Result<(), Fault> {
        let _patience = Patience::until(Instant::now() + self.patience);
        let Some(stat) = self.stat()? else {
            return Ok(());
        };
        self.take_off_the_path(stat.inode, |disk, path| disk.remove(path))
    }

    /// Closes the file. The next operation opens it again.
    pub(crate) fn close(&self) {
        let handle = unpoisoned(&self.handle).take();
        drop(handle);
    }

    fn persist<T>(
        &self,
        (vain, deadline): (&Vain, Instant),
        work: impl Fn(&Arc<Handle>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let left = deadline.saturating_duration_since(Instant::now());
        let _patience = Patience::until(deadline);
        let done = self.persist_until(work);
        vain.learn(&done, left);
        done
    }

    fn persist_until<T>(
        &self,
        work: impl Fn(&Arc<Handle>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let handle = self.handle()?;
            match guarded(|| work(&handle)) {
                Err(Fault::Damaged(why)) => {
                    self.set_aside(handle.inode, &why)?;
                    last = Some(Fault::Damaged(why));
                }
                Err(Fault::Stale(why)) => {
                    self.forget(&handle);
                    last = Some(Fault::Stale(why));
                }
                done => return done,
            }
        }
        Err(last.unwrap_or(Fault::Busy))
    }

    fn forget(&self, handle: &Arc<Handle>) {
        let mut current = unpoisoned(&self.handle);
        let old = current.take_if(|known| Arc::ptr_eq(known, handle));
        drop(current);
        drop(old);
    }

    /// The handle of the file that is on the path now.
    fn handle(&self) -> Result<Arc<Handle>, Fault> {
        let on_path = self.stat()?.map(|stat| stat.inode);
        let mut current = unpoisoned(&self.handle);
        if let Some(handle) = current.as_ref()
            && Some(handle.inode) == on_path
        {
            return Ok(Arc::clone(handle));
        }
        *current = None;
        let handle = Arc::new(self.open()?);
        *current = Some(Arc::clone(&handle));
        Ok(handle)
    }

    fn open(&self) -> Result<Handle, Fault> {
        let mut last = Fault::Busy;
        for _ in 0..ATTEMPTS {
            let file = self
                .disk
                .open(&self.path, OpenMode::CreateOrOpen)
                .map_err(Fault::Io)?;
            let stat = file.stat().map_err(Fault::Io)?;
            if stat.kind != FileKind::File {
                return Err(Fault::Io(io::ErrorKind::IsADirectory.into()));
            }
            let opened = guarded(|| {
                redb::Builder::new()
                    .set_cache_size(CACHE_BYTES)
                    .set_concurrency_mode(ConcurrencyMode::MultiWriter)
                    .create_with_backend(Backend::new(file))
                    .map_err(fault)
            });
            match opened {
                Ok(database) => {
                    return Ok(Handle {
                        database: Some(database),
                        inode: stat.inode,
                    });
                }
                Err(Fault::Damaged(why)) => {
                    self.set_aside(stat.inode, &why)?;
                    last = Fault::Damaged(why);
                }
                Err(other) => return Err(other),
            }
        }
        Err(last)
    }

    fn set_aside(&self, inode: u64, why: &str) -> Result<(), Fault> {
        tracing::warn!(index = %self.path.display(), why, "the index is damaged and is made again");
        let mut aside = self.path.clone().into_os_string();
        aside.push(".damaged");
        self.take_off_the_path(inode, |disk, path| disk.rename(path, Path::new(&aside)))
    }

    /// Takes the file with this inode off the path, unless another process did so before: the
    /// one that is there then may be a new and good one.
    fn take_off_the_path(
        &self,
        inode: u64,
        take: impl Fn(&dyn Disk, &Path) -> io::Result<()>,
    ) -> Result<(), Fault> {
        let file = match self.disk.open(&self.path, OpenMode::Write) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Fault::Io(error)),
        };
        let backend = Backend::new(file);
        backend
            .lock_for_replacing(SET_ASIDE_BYTE)
            .map_err(Fault::of_io)?;
        if self.stat()?.is_some_and(|stat| stat.inode == inode) {
            take(&*self.disk, &self.path).map_err(Fault::Io)?;
        }
        Ok(())
    }
}

fn write_once<T>(
    transaction: redb::WriteTransaction,
    inode: u64,
    work: impl Fn(&mut WriteTransaction<'_>) -> Result<Outcome<T>, Fault>,
) -> Result<T, Fault> {
    let outcome = WriteTransaction::of(&transaction, inode).and_then(|mut txn| work(&mut txn));
    match outcome {
        Ok(Outcome::Commit(value)) => {
            transaction.commit().map_err(fault)?;
            Ok(value)
        }
        Ok(Outcome::Leave(value)) => {
            transaction.abort().map_err(fault)?;
            Ok(value)
        }
        Err(why) => {
            // The first failure is the one to tell.
            let _ = transaction.abort();
            Err(why)
        }
    }
}

/// How a write transaction ends.
#[derive(Debug)]
pub(crate) enum Outcome<T> {
    /// What was written stays.
    Commit(T),
    /// Nothing was written that should stay.
    Leave(T),
}

#[cfg(test)]
mod tests;
