//! The only file that speaks to redb, beside its storage in [`super::backend`]: tables of bytes,
//! read and written in transactions.
//!
//! **A damaged index is no error.** Whatever redb says or does when it meets bytes that are not
//! its own (an error, a panic), the file is set aside as `index.redb.damaged`, an empty one takes
//! its place, and the operation is carried out on that; what is missing then is projected again
//! from the logs. **The file on the path is the index**: when another process has replaced it, the
//! next transaction opens the new one.

use std::cell::OnceCell;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redb::{ConcurrencyMode, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableError};

use super::backend::{Backend, Patience};
use super::fault::Fault;
use crate::disk::{Disk, FileKind, FileStat, OpenMode};
use crate::listing::Direction;

/// redb's default is 1 GiB a handle.
const CACHE_BYTES: usize = 32 << 20;
/// A byte that redb leaves to storages: who sets a damaged file aside holds it.
const SET_ASIDE_BYTE: u64 = (1 << 62) + 896;
/// How often an operation is tried: as it is, after the file was opened again, and after it was
/// set aside.
const ATTEMPTS: usize = 3;
/// What closing may wait for: nobody relies on what it would write.
const CLOSING_PATIENCE: Duration = Duration::from_millis(200);

type Definition = redb::TableDefinition<'static, &'static [u8], &'static [u8]>;
type ReadTable = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;
type WriteTable<'txn> = redb::Table<'txn, &'static [u8], &'static [u8]>;

/// The index's tables: bytes to bytes, in the order of their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// What is known of the index itself.
    State,
    /// Thread id -> row.
    Threads,
    /// Order key -> nothing.
    Order,
    /// Thread id, turn index -> row.
    Turns,
    /// Log path -> thread id and what the file looked like.
    Paths,
    /// Folder -> what it looked like.
    Dirs,
    /// Path -> why it can't be read.
    Failures,
    /// Thread id -> the name that lies outside of its log.
    Names,
    /// Parent's thread id, child's thread id -> nothing.
    Children,
}

impl Table {
    const fn definition(self) -> Definition {
        Definition::new(match self {
            Self::State => "state",
            Self::Threads => "threads",
            Self::Order => "order",
            Self::Turns => "turns",
            Self::Paths => "paths",
            Self::Dirs => "dirs",
            Self::Failures => "failures",
            Self::Names => "names",
            Self::Children => "children",
        })
    }
}

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

/// The index's file: opened when it is first needed, and again when it was replaced.
#[derive(Debug)]
pub(crate) struct Database {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    patience: Duration,
    handle: Mutex<Option<Arc<Handle>>>,
    gate: Gate,
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
        self.persist(|handle| work(&ReadTransaction::begin(handle)?))
    }

    /// Writes in one transaction: all of it or nothing. As with [`Database::read`], `work` may
    /// run more than once. Nothing is committed when it gives [`Outcome::Leave`].
    pub(crate) fn write<T>(
        &self,
        work: impl Fn(&mut WriteTransaction<'_>) -> Result<Outcome<T>, Fault>,
    ) -> Result<T, Fault> {
        let deadline = Instant::now() + self.patience;
        let _gate = self.gate.enter(deadline)?;
        self.persist(|handle| {
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

    fn persist<T>(&self, work: impl Fn(&Arc<Handle>) -> Result<T, Fault>) -> Result<T, Fault> {
        let _patience = Patience::until(Instant::now() + self.patience);
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

/// Decoded entries of a table.
pub(crate) type Entries<'a, T> = Box<dyn Iterator<Item = Result<T, Fault>> + 'a>;

/// What transactions of both kinds can be asked.
pub(crate) trait View {
    /// The file that is read from.
    fn inode(&self) -> u64;

    /// What `decode` makes of a key's value.
    fn get<T>(
        &self,
        table: Table,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault>;

    /// What `decode` makes of each entry between two keys.
    fn range<'a, T: 'a, F>(&'a self, span: Span<'_>, decode: F) -> Result<Entries<'a, T>, Fault>
    where
        F: FnMut(&[u8], &[u8]) -> Result<T, Fault> + 'a;

    /// How many entries a table has.
    fn count(&self, table: Table) -> Result<u64, Fault>;
}

/// Part of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span<'a> {
    pub(crate) table: Table,
    pub(crate) from: Bound<&'a [u8]>,
    pub(crate) to: Bound<&'a [u8]>,
    pub(crate) direction: Direction,
}

impl Span<'_> {
    /// All of a table, from its first key on.
    pub(crate) const fn all(table: Table) -> Self {
        Self {
            table,
            from: Bound::Unbounded,
            to: Bound::Unbounded,
            direction: Direction::Ascending,
        }
    }
}

/// A key or value that keeps its page alive.
trait Guard {
    fn bytes(&self) -> &[u8];
}

impl Guard for redb::AccessGuard<'_, &'static [u8]> {
    fn bytes(&self) -> &[u8] {
        self.value()
    }
}

impl Guard for redb::OwnedAccessGuard<&'static [u8]> {
    fn bytes(&self) -> &[u8] {
        self.value()
    }
}

fn entries<T, G: Guard>(
    mut range: impl DoubleEndedIterator<Item = Result<(G, G), redb::StorageError>>,
    direction: Direction,
    mut decode: impl FnMut(&[u8], &[u8]) -> Result<T, Fault>,
) -> impl Iterator<Item = Result<T, Fault>> {
    std::iter::from_fn(move || match direction {
        Direction::Ascending => range.next(),
        Direction::Descending => range.next_back(),
    })
    .map(move |entry| {
        let (key, value) = entry.map_err(fault)?;
        decode(key.bytes(), value.bytes())
    })
}

/// One of something for each table.
#[derive(Debug, Default)]
struct PerTable<T> {
    state: T,
    threads: T,
    order: T,
    turns: T,
    paths: T,
    dirs: T,
    failures: T,
    names: T,
    children: T,
}

impl<T> PerTable<T> {
    fn try_new<E>(make: impl Fn(Table) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self {
            state: make(Table::State)?,
            threads: make(Table::Threads)?,
            order: make(Table::Order)?,
            turns: make(Table::Turns)?,
            paths: make(Table::Paths)?,
            dirs: make(Table::Dirs)?,
            failures: make(Table::Failures)?,
            names: make(Table::Names)?,
            children: make(Table::Children)?,
        })
    }

    const fn of(&self, table: Table) -> &T {
        match table {
            Table::State => &self.state,
            Table::Threads => &self.threads,
            Table::Order => &self.order,
            Table::Turns => &self.turns,
            Table::Paths => &self.paths,
            Table::Dirs => &self.dirs,
            Table::Failures => &self.failures,
            Table::Names => &self.names,
            Table::Children => &self.children,
        }
    }

    const fn of_mut(&mut self, table: Table) -> &mut T {
        match table {
            Table::State => &mut self.state,
            Table::Threads => &mut self.threads,
            Table::Order => &mut self.order,
            Table::Turns => &mut self.turns,
            Table::Paths => &mut self.paths,
            Table::Dirs => &mut self.dirs,
            Table::Failures => &mut self.failures,
            Table::Names => &mut self.names,
            Table::Children => &mut self.children,
        }
    }
}

/// A consistent state of the index.
pub(crate) struct ReadTransaction {
    inner: redb::ReadTransaction,
    /// Opened when they are first asked for: `None` in an index that nobody has written to yet.
    tables: PerTable<OnceCell<Option<ReadTable>>>,
    inode: u64,
}

impl ReadTransaction {
    fn begin(handle: &Handle) -> Result<Self, Fault> {
        Ok(Self {
            inner: handle.database()?.begin_read().map_err(fault)?,
            tables: PerTable::default(),
            inode: handle.inode,
        })
    }

    fn table(&self, table: Table) -> Result<Option<&ReadTable>, Fault> {
        let cell = self.tables.of(table);
        if let Some(opened) = cell.get() {
            return Ok(opened.as_ref());
        }
        let opened = match self.inner.open_table(table.definition()) {
            Ok(table) => Some(table),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(fault(error)),
        };
        Ok(cell.get_or_init(|| opened).as_ref())
    }
}

impl View for ReadTransaction {
    fn inode(&self) -> u64 {
        self.inode
    }

    fn get<T>(
        &self,
        table: Table,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let Some(table) = self.table(table)? else {
            return Ok(None);
        };
        let value = table.get(key).map_err(fault)?;
        value.map(|value| decode(value.value())).transpose()
    }

    fn range<'a, T: 'a, F>(&'a self, span: Span<'_>, decode: F) -> Result<Entries<'a, T>, Fault>
    where
        F: FnMut(&[u8], &[u8]) -> Result<T, Fault> + 'a,
    {
        let range = self
            .table(span.table)?
            .map(|table| table.range_owned((span.from, span.to)).map_err(fault))
            .transpose()?;
        Ok(match range {
            Some(range) => Box::new(entries(range, span.direction, decode)),
            None => Box::new(std::iter::empty()),
        })
    }

    fn count(&self, table: Table) -> Result<u64, Fault> {
        self.table(table)?
            .map_or(Ok(0), |table| table.len().map_err(fault))
    }
}

/// A transaction that writes. Its tables are all open, since each open costs a look-up.
pub(crate) struct WriteTransaction<'txn> {
    tables: PerTable<WriteTable<'txn>>,
    inode: u64,
}

impl<'txn> WriteTransaction<'txn> {
    fn of(transaction: &'txn redb::WriteTransaction, inode: u64) -> Result<Self, Fault> {
        let tables =
            PerTable::try_new(|table| transaction.open_table(table.definition()).map_err(fault))?;
        Ok(Self { tables, inode })
    }

    /// Sets a key's value.
    pub(crate) fn insert(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let table = self.tables.of_mut(table);
        table.insert(key, value).map(drop).map_err(fault)
    }

    /// Removes a key. Returns whether it was there.
    pub(crate) fn remove(&mut self, table: Table, key: &[u8]) -> Result<bool, Fault> {
        let removed = self.tables.of_mut(table).remove(key).map_err(fault)?;
        Ok(removed.is_some())
    }

    /// Removes all keys of a span.
    pub(crate) fn remove_span(&mut self, span: Span<'_>) -> Result<(), Fault> {
        let table = self.tables.of_mut(span.table);
        table
            .retain_in((span.from, span.to), |_, _| false)
            .map_err(fault)
    }
}

impl View for WriteTransaction<'_> {
    fn inode(&self) -> u64 {
        self.inode
    }

    fn get<T>(
        &self,
        table: Table,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let value = self.tables.of(table).get(key).map_err(fault)?;
        value.map(|value| decode(value.value())).transpose()
    }

    fn range<'a, T: 'a, F>(&'a self, span: Span<'_>, decode: F) -> Result<Entries<'a, T>, Fault>
    where
        F: FnMut(&[u8], &[u8]) -> Result<T, Fault> + 'a,
    {
        let table = self.tables.of(span.table);
        let range = table.range((span.from, span.to)).map_err(fault)?;
        Ok(Box::new(entries(range, span.direction, decode)))
    }

    fn count(&self, table: Table) -> Result<u64, Fault> {
        self.tables.of(table).len().map_err(fault)
    }
}

#[cfg(test)]
mod tests;
