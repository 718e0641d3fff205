//! Taking what was found into the index, in one transaction.
//!
//! **A row and its checkpoint change together, and never go back.** What was projected from a base
//! is taken only while the index still has that base; otherwise somebody else was faster, and the
//! log is looked at again. So several processes may catch up at once.

use std::collections::BTreeSet;

use selvedge_codec::ThreadId;

use super::database::{View, WriteTransaction};
use super::fault::Fault;
use super::rows::{DirRow, FailureRow, Look, PathRow, StateRow, ThreadRow, reading_of};
use super::tables::{OrderChanges, Tables};
use crate::home::{LogFormat, LogPath};
use crate::listing::{SessionNames, prefer};
use crate::projection::{Checkpoint, Projection};

/// A log that was projected.
#[derive(Debug)]
pub(crate) struct Projected {
    pub(crate) path: LogPath,
    /// The checkpoint that the index had of this log when it was looked at; `None` when its
    /// thread had no row, or one of another log.
    pub(crate) base: Option<Checkpoint>,
    pub(crate) projection: Projection,
}

/// A log that was given another place, and is the same file there.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) from: LogPath,
    /// The log at its new place; its base is that of the old one.
    pub(crate) projected: Projected,
}

/// What was found, to be taken in together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Logs that are no more.
    pub(crate) gone: Vec<LogPath>,
    pub(crate) projected: Vec<Projected>,
    /// Logs that were moved, each the only one of its thread.
    pub(crate) moved: Vec<Moved>,
    /// Logs that can't be read.
    pub(crate) failed: Vec<(String, FailureRow)>,
    /// What could not be read once and is no more.
    pub(crate) forgotten: Vec<String>,
    /// Folders that were listed, and those that are no more.
    pub(crate) dirs: Vec<(String, Option<DirRow>)>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.gone.is_empty()
            && self.projected.is_empty()
            && self.moved.is_empty()
            && self.failed.is_empty()
            && self.forgotten.is_empty()
            && self.dirs.is_empty()
    }
}

/// What came of a batch.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// Logs to look at again: somebody else was faster, or their thread has lost the log that its
    /// row was made of.
    pub(crate) again: Vec<LogPath>,
    /// How many rows were written.
    pub(crate) rows: u64,
}

impl From<&Checkpoint> for Look {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self {
            len: checkpoint.file_len,
            mtime_nanos: checkpoint.mtime_nanos,
            inode: checkpoint.inode,
        }
    }
}

/// Whether a log's file may be written by tools that leave no marks.
pub(crate) fn is_foreign(path: &LogPath) -> bool {
    LogFormat::of_file_name(path.file_name()) != Some(LogFormat::Native)
}

struct Taking<'a, 'txn> {
    txn: &'a mut WriteTransaction<'txn>,
    order: OrderChanges,
    /// Whether any thread has a name outside of its log.
    has_names: bool,
    /// Threads that lost the log that their row was made of.
    orphans: BTreeSet<ThreadId>,
    applied: Applied,
    touched_lines: bool,
    /// The number of the running boot.
    boot: u64,
}

/// Takes a batch in. `state` is the one that is written; its epochs move on.
pub(crate) fn apply(
    txn: &mut WriteTransaction<'_>,
    state: &mut StateRow,
    batch: &Batch,
) -> Result<Applied, Fault> {
    let has_names = txn.count(super::database::Table::Names)? > 0;
    let mut taking = Taking {
        txn,
        order: OrderChanges::default(),
        has_names,
        orphans: BTreeSet::new(),
        applied: Applied::default(),
        touched_lines: false,
        boot: state.boot,
    };
    for path in &batch.gone {
        taking.lose(path)?;
        taking.txn.remove_failure(path.as_str())?;
    }
    for (path, row) in &batch.failed {
        if let Some(path) = LogPath::new(path.clone()) {
            taking.lose(&path)?;
        }
        taking.txn.put_failure(path, row)?;
    }
    for path in &batch.forgotten {
        taking.txn.remove_failure(path)?;
    }
    for moved in &batch.moved {
        taking.follow(moved)?;
    }
    for projected in &batch.projected {
        taking.take(projected)?;
    }
    taking.look_for_heirs()?;
    let Taking {
        order,
        applied,
        touched_lines,
        ..
    } = taking;
    order.write(txn)?;
    for (dir, row) in &batch.dirs {
        match row {
            Some(row) => txn.put_dir(dir, row)?,
            None => txn.remove_dir(dir)?,
        }
    }
    state.lines_epoch += u64::from(touched_lines);
    state.dirs_epoch += u64::from(!batch.dirs.is_empty());
    txn.put_state(state)?;
    Ok(applied)
}

impl Taking<'_, '_> {
    /// A log is no more, can't be read, or belongs to another thread now.
    fn lose(&mut self, path: &LogPath) -> Result<(), Fault> {
        let Some(entry) = self.txn.path(path)? else {
            return Ok(());
        };
        self.txn.remove_path(path)?;
        self.touched_lines |= is_foreign(path);
        let row = self.txn.thread(entry.thread_id)?;
        if let Some(row) = row.filter(|row| row.thread.summary.rollout_path == path.as_str()) {
            self.txn.remove_thread(&row, &mut self.order)?;
            self.orphans.insert(entry.thread_id);
        }
        Ok(())
    }

    fn take(&mut self, found: &Projected) -> Result<(), Fault> {
        let Projected {
            path,
            base,
            projection,
        } = found;
        let thread = &projection.thread;
        let id = thread.summary.thread_id;
        let entry = self.txn.path(path)?;
        if entry.is_some_and(|entry| entry.thread_id != id) {
            self.lose(path)?;
        }
        let known = self.txn.thread(id)?;
        let place = known.as_ref().and_then(ThreadRow::path);
        let stored = known
            .as_ref()
            .filter(|_| place.as_ref() == Some(path))
            .map(|row| row.thread.checkpoint);
        if stored != *base || (base.is_none() && !projection.from_start) {
            self.applied.again.push(path.clone());
            return Ok(());
        }
        let look = Look::from(&thread.checkpoint);
        let entry = PathRow {
            thread_id: id,
            look,
            boot: match entry {
                // It has not changed since an earlier boot, and all of it was read again.
                Some(entry) if entry.look == look && entry.boot != self.boot => 0,
                _ => self.boot,
            },
        };
        self.txn.put_path(path, &entry)?;
        self.touched_lines |= is_foreign(path);
        self.txn.remove_failure(path.as_str())?;
        if place.is_some_and(|place| prefer(&place, path).is_lt()) {
            return Ok(());
        }
        self.put(known.as_ref(), projection)
    }

    /// A log lies elsewhere now: its thread keeps row and turns.
    fn follow(&mut self, Moved { from, projected }: &Moved) -> Result<(), Fault> {
        let Projected {
            path,
            base,
            projection,
        } = projected;
        let thread = &projection.thread;
        let id = thread.summary.thread_id;
        let known = self.txn.thread(id)?;
        let is_base = known.as_ref().is_some_and(|row| {
            row.path().as_ref() == Some(from) && Some(row.thread.checkpoint) == *base
        });
        let is_free = self
            .txn
            .path(path)?
            .is_none_or(|entry| entry.thread_id == id);
        if !(is_base && is_free) {
            self.applied.again.extend([from.clone(), path.clone()]);
            return Ok(());
        }
        let boot = self.txn.path(from)?.map_or(self.boot, |entry| entry.boot);
        self.txn.remove_path(from)?;
        self.txn.remove_failure(from.as_str())?;
        self.txn.remove_failure(path.as_str())?;
        let entry = PathRow {
            thread_id: id,
            look: Look::from(&thread.checkpoint),
            boot,
        };
        self.txn.put_path(path, &entry)?;
        self.touched_lines |= is_foreign(path);
        self.put(known.as_ref(), projection)
    }

    fn put(&mut self, known: Option<&ThreadRow>, found: &Projection) -> Result<(), Fault> {
        let id = found.thread.summary.thread_id;
        let outside_name = match self.has_names {
            true => self.txn.name(id)?,
            false => None,
        };
        let row = ThreadRow {
            thread: found.thread.clone(),
            outside_name,
            reading: known
                .filter(|_| !found.from_start)
                .map_or_else(|| reading_of(&found.thread.checkpoint), |row| row.reading),
        };
        if known.is_some() && found.from_start {
            self.txn.remove_turns(id)?;
        }
        self.txn.change_turns(id, &found.turns)?;
        self.txn.put_thread(known, &row, &mut self.order)?;
        self.applied.rows += 1;
        Ok(())
    }

    /// Other logs of the threads that have lost theirs, which go before what they may have been
    /// given since. Rare enough to go through all paths.
    fn look_for_heirs(&mut self) -> Result<(), Fault> {
        if self.orphans.is_empty() {
            return Ok(());
        }
        for (path, entry) in self.txn.paths()? {
            if !self.orphans.contains(&entry.thread_id) {
                continue;
            }
            let row = self.txn.thread(entry.thread_id)?;
            let place = row.and_then(|row| row.path());
            if place.is_none_or(|place| prefer(&path, &place).is_lt()) {
                self.applied.again.push(path);
            }
        }
        Ok(())
    }
}

/// Forgets a thread whose logs were removed: row, turns, secondary keys, paths and name.
pub(crate) fn forget_thread(
    txn: &mut WriteTransaction<'_>,
    state: &mut StateRow,
    (id, paths): (ThreadId, &[LogPath]),
) -> Result<(), Fault> {
    let batch = Batch {
        gone: paths.to_vec(),
        ..Batch::default()
    };
    apply(txn, state, &batch)?;
    // One whose log was removed behind the index's back.
    if let Some(row) = txn.thread(id)? {
        let mut order = OrderChanges::default();
        txn.remove_thread(&row, &mut order)?;
        order.write(txn)?;
        if let Some(path) = row.path() {
            txn.remove_path(&path)?;
        }
    }
    txn.set_name(id, None)
}

/// Takes the names beside the logs over, where they changed.
pub(crate) fn apply_names(
    txn: &mut WriteTransaction<'_>,
    state: &mut StateRow,
    names: &SessionNames,
) -> Result<(), Fault> {
    let known = txn.names()?;
    let gone = known.keys().filter(|id| names.get(**id).is_none());
    let gone: Vec<_> = gone.map(|id| (*id, None)).collect();
    let new = names
        .iter()
        .filter(|(id, name)| known.get(id).map(String::as_str) != Some(*name))
        .map(|(id, name)| (id, Some(name)));
    let mut order = OrderChanges::default();
    for (id, name) in gone.into_iter().chain(new) {
        txn.set_name(id, name)?;
        if let Some(row) = txn.thread(id)? {
            let renamed = ThreadRow {
                outside_name: name.map(str::to_owned),
                ..row.clone()
            };
            txn.put_thread(Some(&row), &renamed, &mut order)?;
        }
    }
    order.write(txn)?;
    state.names = names.stat().map(Look::from);
    txn.put_state(state)
}
