//! Directories' entries: what is seen, what is on the medium, and the changes in between.
//!
//! What must hold: a change is durable once every directory that it touches was synced; until
//! then a power loss may take it back, a rename as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use fastrand::Rng;

use super::contents::Temper;

/// The number of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Inode(pub(super) u64);

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) dir: Inode,
    pub(super) name: OsString,
}

/// What a name stands for from now on.
pub(super) type Change = (Entry, Option<Inode>);

/// A directory.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) entries: BTreeMap<OsString, Inode>,
    pub(super) durable: BTreeMap<OsString, Inode>,
    pub(super) mtime: i64,
    /// Times that may be on the medium: the last is of the last sync.
    pub(super) mtimes: Vec<i64>,
}

impl Directory {
    pub(super) fn new(mtime: i64) -> Self {
        Self {
            mtime,
            mtimes: vec![mtime],
            ..Self::default()
        }
    }
}

/// One operation on entries that is not durable yet.
#[derive(Debug)]
struct Operation {
    changes: Vec<Change>,
    /// The directories that are still to be synced.
    unsynced: Vec<Inode>,
}

impl Operation {
    fn touches(&self, keys: &BTreeSet<Entry>) -> bool {
        self.changes.iter().any(|(entry, _)| keys.contains(entry))
    }

    /// Of a rename: the name that it took away.
    fn source(&self) -> Option<&Entry> {
        match self.changes.as_slice() {
            [(from, None), (_, Some(_))] => Some(from),
            _ => None,
        }
    }
}

/// What is not durable of directories, in the order in which it was done.
#[derive(Debug, Default)]
pub(super) struct Journal(Vec<Operation>);

impl Journal {
    pub(super) fn note(&mut self, changes: Vec<Change>) {
        let mut unsynced: Vec<Inode> = changes.iter().map(|(entry, _)| entry.dir).collect();
        unsynced.dedup();
        self.0.push(Operation { changes, unsynced });
    }

    pub(super) fn is_dirty(&self, dir: Inode) -> bool {
        self.0
            .iter()
            .any(|operation| operation.unsynced.contains(&dir))
    }

    /// What is durable once `dir` is synced, in order. What came before it under the same names is
    /// durable with it.
    pub(super) fn sync(&mut self, dir: Inode) -> Vec<Change> {
        for operation in &mut self.0 {
            operation.unsynced.retain(|unsynced| *unsynced != dir);
        }
        self.take_durable(BTreeSet::new())
    }

    /// What is durable once a name is, whoever's hands made it so.
    pub(super) fn settle(&mut self, name: Entry) -> Vec<Change> {
        self.take_durable(BTreeSet::from([name]))
    }

    /// Takes what has no directory left to be synced, or touches one of these names, with all that
    /// came before it under the same names.
    fn take_durable(&mut self, mut durable: BTreeSet<Entry>) -> Vec<Change> {
        let mut done = Vec::new();
        for operation in std::mem::take(&mut self.0).into_iter().rev() {
            if operation.unsynced.is_empty() || operation.touches(&durable) {
                durable.extend(operation.changes.iter().map(|(entry, _)| entry.clone()));
                done.push(operation);
            } else {
                self.0.push(operation);
            }
        }
        self.0.reverse();
        done.into_iter()
            .rev()
            .flat_map(|done| done.changes)
            .collect()
    }

    /// Forgets what a failed sync of `dir` has dropped.
    pub(super) fn drop_entries(&mut self, dir: Inode) {
        self.0
            .retain(|operation| !operation.unsynced.contains(&dir));
    }

    /// What a power loss leaves, in order.
    pub(super) fn lose_power(&mut self, temper: Temper, rng: &mut Rng) -> Vec<Change> {
        // A rename does not come true without what it renamed.
        let mut needed = BTreeSet::new();
        let mut kept = Vec::new();
        for operation in std::mem::take(&mut self.0).into_iter().rev() {
            if !temper.keeps(rng) && !operation.touches(&needed) {
                continue;
            }
            for (entry, _) in &operation.changes {
                needed.remove(entry);
            }
            needed.extend(operation.source().cloned());
            kept.push(operation);
        }
        kept.into_iter()
            .rev()
            .flat_map(|kept| kept.changes)
            .collect()
    }

    /// What may come to be under a name yet.
    pub(super) fn mentions(&self) -> impl Iterator<Item = Inode> {
        let changes = self.0.iter().flat_map(|operation| &operation.changes);
        changes.filter_map(|(_, inode)| *inode)
    }

    /// Forgets what was done in directories that are gone everywhere.
    pub(super) fn forget_all_but(&mut self, is_there: impl Fn(Inode) -> bool) {
        self.0.retain(|operation| {
            let mut dirs = operation.changes.iter().map(|(entry, _)| entry.dir);
            dirs.all(&is_there)
        });
    }
}
