//! The store: one home, opened. Its logs are the truth, and the index answers for them as long as
//! it is known to be right; what it does not know is looked at and taken in.
//!
//! All methods block, and none waits without a bound for another process.

mod aftermath;
mod archive;
mod around;
mod backfill;
mod by_path;
mod context;
mod delete;
mod examine;
mod fork;
mod import;
mod latest;
mod list;
mod logs;
mod memory;
mod metadata;
mod parallel;
mod plan;
mod read;
mod relist;
mod repair;
mod repair_report;
mod search;
mod searches;
mod stats;
mod suspect;
mod turns;
mod verify;
mod window;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use selvedge_codec::ThreadId;

use crate::clock::{Clock, SystemClock};
use crate::disk::{Disk, RealDisk};
use crate::home::Home;
use crate::index::{Database, Fault, Outcome, StateRow, Table, Tables, View, WriteTransaction};
use crate::listing::{Coverage, check_home};
use crate::log::LogContext;
use crate::process::ProcessIdentity;
use crate::{CorruptReason, Error, InvalidRequest, Result};

pub use crate::index::LastBackfill;
pub use backfill::{BackfillProgress, BackfillReport};
pub use fork::ForkSource;
pub use import::{ImportOutcome, ImportSource, Imported, import_sources};
pub use list::ListOutcome;
pub use metadata::MetadataChange;
pub use read::FoundThread;
pub use repair_report::{Left, LeftKind, LogRepair, RepairOptions, RepairOutcome, RepairReport};
pub use stats::{FormatStats, StoreStats};
pub use suspect::Suspect;
pub use verify::{LogDamage, LogReport, RowDifference, UnreadableLog, VerifyReport};

use fork::Seeds;
use memory::Memory;
use searches::Searches;

/// How long an operation on the index waits for another process, unless the options say.
const INDEX_PATIENCE: Duration = Duration::from_secs(2);

/// Whether a store keeps an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IndexUse {
    /// It does, in the home.
    #[default]
    Use,
    /// It answers by reading logs: slower, and with the same answers.
    None,
}

/// How a home is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The home's directory.
    pub home: PathBuf,
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Whether an index is kept.
    pub index: IndexUse,
    /// Whether a home that does not exist is made.
    pub create_home: bool,
    /// How long an operation on the index waits for another process that holds it.
    pub index_patience: Duration,
}

impl StoreOptions {
    /// The machine's file system and clock, an index, and a home that exists.
    #[must_use]
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            disk: Arc::new(RealDisk),
            clock: Arc::new(SystemClock),
            index: IndexUse::Use,
            create_home: false,
            index_patience: INDEX_PATIENCE,
        }
    }
}

/// One home, opened. Shared by reference; every method takes `&self`.
#[derive(Debug)]
pub struct Store {
    context: LogContext,
    index: Option<Database>,
    /// This process: asked for once, like the running boot.
    process: ProcessIdentity,
    /// The running boot: asked for once, since a process does not outlive it.
    boot_id: String,
    /// Locked while the home is looked around in, never while redb is waited for.
    memory: Mutex<Memory>,
    /// Of forks that the index does not know yet. Locked for no longer than it takes to look.
    seeds: Mutex<Seeds>,
    /// Threads that were imported, and stay marked until the index has them. Locked for no longer than
    /// it takes to change the list.
    imported: Mutex<Vec<ThreadId>>,
    /// Searches of the home for what the index does not know.
    searches: Searches,
    /// Whether a backfill of this store has covered the home, so that an index that is replaced
    /// afterwards is filled again.
    was_complete: AtomicBool,
    /// Set when no backfill is to go on.
    is_stopped: AtomicBool,
}

impl Store {
    /// Opens a home. The index is opened, or made empty where there is none or a damaged one;
    /// [`Store::backfill`] fills it.
    ///
    /// # Errors
    /// [`crate::InvalidRequest::NoHome`] and [`crate::InvalidRequest::HomeNotADirectory`];
    /// [`Error::Io`] when the home can't be looked at or made. An index that another process holds,
    /// that the disk has no room for or that can only be read is no error: reads go without it.
    pub fn open(options: StoreOptions) -> Result<Self> {
        let StoreOptions {
            home,
            disk,
            clock,
            index,
            create_home,
            index_patience,
        } = options;
        let root =
            std::path::absolute(&home).map_err(|error| Error::io("resolve", &home, error))?;
        let home = Home::at(root);
        match check_home(&*disk, &home) {
            Err(Error::InvalidRequest(InvalidRequest::NoHome(_))) if create_home => {
                create_dirs(&*disk, home.root())?;
            }
            checked => checked?,
        }
        let context = LogContext::new(disk, clock, home);
        let index = match index {
            IndexUse::Use => Some(Database::at(
                Arc::clone(&context.disk),
                context.home.index_path(),
                index_patience,
            )),
            IndexUse::None => None,
        };
        let process = ProcessIdentity::current(&*context.disk);
        let store = Self {
            context,
            index,
            boot_id: process.boot_id.clone(),
            process,
            memory: Mutex::default(),
            seeds: Mutex::default(),
            imported: Mutex::default(),
            searches: Searches::default(),
            was_complete: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
        };
        if let Some(index) = &store.index {
            match index.read(|_| Ok(())) {
                Ok(()) => {}
                Err(fault) => {
                    let why = store.error(index, fault);
                    if !store.is_of_index(&why) {
                        return Err(why);
                    }
                    tracing::warn!(%why, "the home is read without its index");
                }
            }
        }
        Ok(store)
    }

    /// What logs of this home are opened with.
    #[must_use]
    pub const fn log_context(&self) -> &LogContext {
        &self.context
    }

    /// Whether every log under the home is known to be covered.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when another process holds the index, [`Error::Io`].
    pub fn coverage(&self) -> Result<Coverage> {
        let told = self.unless_unusable(|index| {
            index.read(|txn| self.coverage_in(txn, txn.state()?.as_ref()))
        })?;
        // A scan covers all, and counts what it can't read when it runs.
        Ok(told.unwrap_or(Coverage::Complete { failed: 0 }))
    }

    /// Ends a backfill that is running as soon as the log it is at is read, with
    /// [`Error::Closed`]. What it has taken in stays, and the next one goes on from there. For a
    /// store that is about to be closed: none is begun any more.
    pub fn stop_backfill(&self) {
        self.is_stopped.store(true, Ordering::Release);
    }

    fn check_stopped(&self) -> Result<()> {
        match self.is_stopped.load(Ordering::Acquire) {
            true => Err(Error::Closed { what: "the store" }),
            false => Ok(()),
        }
    }

    /// Closes the index and takes the store's open marks back.
    ///
    /// # Errors
    /// [`Error::Io`] when the marks can't be removed.
    pub fn close(&self) -> Result<()> {
        if let Some(index) = &self.index {
            index.close();
        }
        self.context.marks.close()
    }

    fn disk(&self) -> &dyn Disk {
        &*self.context.disk
    }

    const fn home(&self) -> &Home {
        &self.context.home
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // What a panic leaves half remembered is remembered of what was seen: stale at worst.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seeds(&self) -> MutexGuard<'_, Seeds> {
        // Each change is one of the list as a whole.
        self.seeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, index: &Database, fault: Fault) -> Error {
        fault.into_error(index.path(), index.patience())
    }

    /// Whether an error is the index's alone, so that the logs can still answer: another process
    /// holds it, it can't grow, the system refuses to read or write it, or it is
    /// damaged again and again. [`Store::list`] and the reads of one thread answer from the logs then
    /// by themselves.
    #[must_use]
    pub fn is_of_index(&self, why: &Error) -> bool {
        let index = self.home().index_path();
        match why {
            Error::TimedOut { .. } => true,
            Error::Io { path, source, .. } => *path == index && is_refused_file(source),
            Error::OutOfSpace { path, .. }
            | Error::Corrupt {
                path,
                why: CorruptReason::Index(_),
                ..
            } => *path == index,
            _ => false,
        }
    }

    /// What the index says; `None` where there is none, or the system lets nobody use it: the logs are
    /// asked then. That another process holds it is told, since it soon will not, and so is damage.
    fn unless_unusable<T>(
        &self,
        ask: impl FnOnce(&Database) -> Result<T, Fault>,
    ) -> Result<Option<T>> {
        let Some(index) = &self.index else {
            return Ok(None);
        };
        match ask(index).map_err(|fault| self.error(index, fault)) {
            Err(why @ (Error::TimedOut { .. } | Error::Corrupt { .. })) => Err(why),
            Err(why) if self.is_of_index(&why) => {
                tracing::warn!(%why, "the logs are asked in the index's place");
                Ok(None)
            }
            asked => asked.map(Some),
        }
    }

    fn was_complete(&self) -> bool {
        self.was_complete.load(Ordering::Acquire)
    }

    /// Whether the index answers for the home without another look at everything.
    fn is_complete(&self, state: &StateRow, inode: u64) -> bool {
        state.is_complete && state.boot_id == self.boot_id && state.inode == inode
    }

    fn coverage_in(&self, txn: &impl View, state: Option<&StateRow>) -> Result<Coverage, Fault> {
        let failed = txn.count(Table::Failures)?;
        match state {
            Some(state) if self.is_complete(state, txn.inode()) => {
                Ok(Coverage::Complete { failed })
            }
            _ => Ok(Coverage::Partial {
                indexed: txn.count(Table::Paths)?,
                pending: state.map_or(0, |state| state.pending),
                failed,
            }),
        }
    }

    /// Writes to the index, with the row that says what it is.
    fn write<T>(
        &self,
        index: &Database,
        work: impl Fn(&mut WriteTransaction<'_>, &mut StateRow) -> Result<Outcome<T>, Fault>,
    ) -> Result<T, Fault> {
        index.write(|txn| {
            let mut state = match txn.state()? {
                Some(state) => state,
                None => self.new_state(txn.inode()),
            };
            state.enter_boot(&self.boot_id);
            work(txn, &mut state)
        })
    }

    fn new_state(&self, inode: u64) -> StateRow {
        StateRow {
            birth: ThreadId::generate(),
            boot_id: self.boot_id.clone(),
            boot: 1,
            settled_boot: 0,
            inode,
            is_complete: false,
            pending: 0,
            names: None,
            lines_epoch: 0,
            dirs_epoch: 0,
            last_backfill: None,
        }
    }
}

/// Whether the system refuses to open, read or write what is a file, for good as far as can be told.
fn is_refused_file(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
    ) || error.raw_os_error().map(Errno::from_raw) == Some(Errno::EIO)
}

/// Makes a home and the directories above it, each durable before there is anything in it.
fn create_dirs(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let Some(above) = dir.parent() else {
        return Ok(());
    };
    if disk.stat(&above.join(".")).is_err() {
        create_dirs(disk, above)?;
    } else if let Err(error) = disk.sync_dir(&above.join("..")) {
        // Who has made it may have died before it was durable. Most likely it is older than that, and
        // not for everybody to open.
        tracing::debug!(%error, dir = %above.display(), "may not be durable");
    }
    let is_made = disk
        .create_dir(dir)
        .map_err(|error| Error::io("make", dir, error))?;
    disk.sync_dir(above).map_err(|error| {
        // The next try makes it anew: a failed sync is not repeated and believed.
        if is_made && let Err(left) = disk.remove_dir(dir) {
            tracing::debug!(%left, dir = %dir.display(), "stays, and may not be durable");
        }
        Error::io("sync", above, error)
    })
}
