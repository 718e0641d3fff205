//! Looking around a home for what the index may not know: without reading a log, and mostly
//! without reading the index.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::memory::{Fresh, KnownDir, KnownLog, Memory};
use super::{Store, Suspect, parallel};
use crate::Result;
use crate::disk::FileKind;
use crate::home::{LogPath, marks};
use crate::index::{Database, FailureRow, Fault, Look, StateRow, Tables, View};

/// A thread is worth starting for this many looks.
const SHARE: usize = 512;
/// Logs that other processes have open are looked at for each listing, if they are not more than
/// this; otherwise with the sweeps.
const MANY_OPEN: usize = 512;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breadth {
    /// Folders, names and marks.
    Folders,
    /// Also every log that other tools may write, unless that was done just now.
    Logs,
}

/// What a look around needs of the index.
struct News {
    state: StateRow,
    open: Vec<(LogPath, Option<Look>)>,
    fresh: Fresh,
    failures: Option<BTreeMap<String, FailureRow>>,
}

impl Store {
    /// What the index may not know.
    pub(super) fn look_around(
        &self,
        index: &Database,
        breadth: Breadth,
    ) -> Result<Vec<Suspect>, Fault> {
        let mut memory = self.memory();
        let memory = &mut *memory;
        let own = self.context.marks.file();
        let known = std::mem::take(&mut memory.marks);
        memory.marks = marks::read_changed(self.disk(), self.home(), known, own.as_deref())?;
        let began = Instant::now();
        let is_sweep = memory.may_sweep();
        let sweep = is_sweep && breadth == Breadth::Logs;
        let news = index.read(|txn| {
            let Some(state) = txn.state()? else {
                return Ok(None);
            };
            if !self.is_complete(&state, txn.inode()) {
                return Ok(None);
            }
            Ok(Some(News {
                open: self.open_elsewhere(txn, memory, is_sweep)?,
                fresh: Fresh {
                    dirs: memory.wants_dirs(&state).then(|| txn.dirs()).transpose()?,
                    logs: (sweep && memory.wants_logs(&state))
                        .then(|| txn.paths())
                        .transpose()?,
                },
                failures: sweep.then(|| txn.failures()).transpose()?,
                state,
            }))
        })?;
        // Of an index that does not cover the home it is known that it does not.
        let Some(news) = news else {
            return Ok(Vec::new());
        };
        memory.take(self.home(), &news.state, news.fresh);
        let mut suspects = self.changed_dirs(memory);
        suspects.extend(self.changed_names(&news.state)?);
        suspects.extend(self.changed_marks(memory, &news.open));
        if sweep {
            suspects.extend(self.changed_logs(&memory.logs));
            suspects.extend(self.changed_failures(news.failures.unwrap_or_default()));
            memory.note_sweep(began);
        }
        Ok(suspects)
    }

    fn look(&self, file: &Path) -> Option<Look> {
        self.disk().stat(file).ok().map(Look::from)
    }

    fn changed_dirs(&self, memory: &Memory) -> Vec<Suspect> {
        let changed = |known: &KnownDir| {
            let stat = self.disk().stat(&known.file).ok();
            let is_same = known.row.is_proven
                && stat.is_some_and(|stat| {
                    stat.kind == FileKind::Directory
                        && stat.mtime_nanos == known.row.mtime_nanos
                        && stat.inode == known.row.inode
                });
            (!is_same).then(|| Suspect::Folder(known.dir.clone()))
        };
        let mut suspects = parallel::filter_map(&memory.dirs, SHARE, changed);
        let is_known = |root: &str| memory.dirs.iter().any(|known| known.dir == root);
        let roots = self.new_roots(is_known);
        suspects.extend(roots.into_iter().map(Suspect::Folder));
        suspects
    }

    fn changed_names(&self, state: &StateRow) -> Result<Option<Suspect>, Fault> {
        let path = self.home().session_index_path();
        let look = match self.disk().stat(&path) {
            Ok(stat) => Some(Look::from(stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(crate::Error::io("look at", &path, error).into()),
        };
        Ok((look != state.names).then_some(Suspect::Names))
    }

    /// The logs that live processes have open, as the index knows them.
    fn open_elsewhere(
        &self,
        txn: &impl Tables,
        memory: &Memory,
        is_sweep: bool,
    ) -> Result<Vec<(LogPath, Option<Look>)>, Fault> {
        let alive = || memory.marks.iter().filter(|marks| marks.alive);
        let count: usize = alive().map(|marks| marks.threads.len()).sum();
        if count > MANY_OPEN && !is_sweep {
            return Ok(Vec::new());
        }
        alive()
            .flat_map(|marks| &marks.threads)
            .map(|(_, path)| Ok((path.clone(), txn.path(path)?.map(|row| row.look))))
            .collect()
    }

    fn changed_marks(&self, memory: &Memory, open: &[(LogPath, Option<Look>)]) -> Vec<Suspect> {
        let mut suspects = parallel::filter_map(open, SHARE, |(path, known)| {
            let look = self.look(&self.home().log_file(path));
            // A log that is marked and not made yet is nothing to look at.
            (look != *known).then(|| Suspect::Log(path.clone()))
        });
        let dead = memory.marks.iter().filter(|marks| !marks.alive);
        suspects.extend(dead.cloned().map(Suspect::DeadWriter));
        suspects
    }

    /// What could not be read and has changed, or was refused by the system, which may have
    /// changed its mind.
    fn changed_failures(&self, failures: BTreeMap<String, FailureRow>) -> Vec<Suspect> {
        let changed = |(path, row): (String, FailureRow)| {
            let path = LogPath::new(path)?;
            let look = self.look(&self.home().log_file(&path));
            (row.look.is_none() || row.look != look).then_some(Suspect::Log(path))
        };
        failures.into_iter().filter_map(changed).collect()
    }

    fn changed_logs(&self, logs: &[KnownLog]) -> Vec<Suspect> {
        parallel::filter_map(logs, SHARE, |known| {
            (self.look(&known.file) != Some(known.look)).then(|| Suspect::Log(known.path.clone()))
        })
    }
}
