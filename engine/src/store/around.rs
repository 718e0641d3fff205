//! Looking around a home for what the index may not know: without reading a log, and mostly
//! without reading the index.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Instant;

use super::memory::{Fresh, KnownDir, KnownLog, Memory, Remembered};
use super::{Store, Suspect, parallel};
use crate::Result;
use crate::disk::FileKind;
use crate::home::{LogPath, marks};
use crate::index::{Database, FailureRow, Fault, Look, StateRow, Tables, View, recent_empty_logs};
use crate::listing::ThreadFilter;

/// A thread is worth starting for this many looks.
const SHARE: usize = 512;
/// Logs that other processes have open are looked at for each listing, if they are not more than
/// this; otherwise with the sweeps.
const MANY_OPEN: usize = 512;
/// So many logs in which nobody has said anything yet are looked at for each listing that leaves
/// those out: a word in one of them puts it on the page.
const EMPTY_LOGS: usize = 32;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breadth {
    /// Folders, names and marks.
    Folders,
    /// Also every log that other tools may write, unless that was done just now.
    Logs,
    /// Also every log that other tools may write.
    LogsNow,
}

/// What is to be looked at.
struct Asked {
    open: Vec<LogPath>,
    remembered: Remembered,
    sweep: bool,
}

/// What a look around needs of the index.
struct News {
    state: StateRow,
    /// Logs that live processes have open, and some in which nobody has said anything yet: as the
    /// index knows them.
    watched: Vec<(LogPath, Option<Look>)>,
    fresh: Fresh,
    failures: Option<BTreeMap<String, FailureRow>>,
}

impl Store {
    /// What the index may not know, as far as an answer to `filter` needs it.
    pub(super) fn look_around(
        &self,
        index: &Database,
        (breadth, filter): (Breadth, Option<&ThreadFilter>),
    ) -> Result<Vec<Suspect>, Fault> {
        let began = Instant::now();
        let asked = self.ask(breadth)?;
        let news = index.read(|txn| {
            let Some(state) = txn.state()? else {
                return Ok(None);
            };
            if !self.is_complete(&state, txn.inode()) {
                return Ok(None);
            }
            let mut watched = asked.open.clone();
            if let Some(filter) = filter.filter(|filter| !filter.include_empty) {
                watched.extend(recent_empty_logs(txn, filter, EMPTY_LOGS)?);
            }
            let watched = watched.into_iter().map(|path| {
                let look = txn.path(&path)?.map(|row| row.look);
                Ok((path, look))
            });
            Ok(Some(News {
                watched: watched.collect::<Result<_, Fault>>()?,
                fresh: asked.remembered.read_changed(txn, &state, asked.sweep)?,
                failures: asked.sweep.then(|| txn.failures()).transpose()?,
                state,
            }))
        })?;
        // Of an index that does not cover the home it is known that it does not.
        let Some(news) = news else {
            return Ok(Vec::new());
        };
        let mut memory = self.memory();
        memory.take(self.home(), &news.state, news.fresh);
        let mut suspects = self.changed_dirs(&memory);
        suspects.extend(self.changed_names(&news.state)?);
        suspects.extend(self.changed_logs(&news.watched));
        let dead = memory.marks.iter().filter(|marks| !marks.alive);
        suspects.extend(dead.cloned().map(Suspect::DeadWriter));
        if asked.sweep {
            let mut found = self.swept_logs(&memory.take_unswept());
            found.extend(self.swept_logs(&memory.logs));
            found.extend(self.changed_failures(news.failures.unwrap_or_default()));
            memory.note_sweep(began, &found);
            suspects.extend(found);
        } else if breadth == Breadth::Logs {
            suspects.extend(memory.unsettled());
        }
        Ok(suspects)
    }

    /// Reads the marks, and decides what is looked at.
    fn ask(&self, breadth: Breadth) -> Result<Asked, Fault> {
        let own = self.context.marks.file();
        let mut memory = self.memory();
        let known = std::mem::take(&mut memory.marks);
        memory.marks = marks::read_changed(self.disk(), self.home(), known, own.as_deref())?;
        let open: Vec<LogPath> = memory
            .marks
            .iter()
            .filter(|marks| marks.alive)
            .flat_map(|marks| &marks.threads)
            .map(|(_, path)| path.clone())
            .collect();
        let is_due =
            open.len() <= MANY_OPEN || memory.may_look_at_open() || breadth == Breadth::LogsNow;
        Ok(Asked {
            open: if is_due { open } else { Vec::new() },
            remembered: memory.remembered(),
            sweep: match breadth {
                Breadth::Folders => false,
                Breadth::Logs => memory.may_sweep(),
                Breadth::LogsNow => true,
            },
        })
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
        let mut suspects = parallel::filter_map(self.disk(), &memory.dirs, SHARE, changed);
        let is_known = |root: &str| memory.dirs.iter().any(|known| known.dir == root);
        let roots = self.new_roots(is_known);
        suspects.extend(roots.into_iter().map(Suspect::Folder));
        suspects
    }

    pub(super) fn changed_names(&self, state: &StateRow) -> Result<Option<Suspect>> {
        let path = self.home().session_index_path();
        let look = match self.disk().stat(&path) {
            Ok(stat) => Some(Look::from(stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(crate::Error::io("look at", &path, error)),
        };
        Ok((look != state.names).then_some(Suspect::Names))
    }

    /// What could not be read and has changed, or was refused by the system, which may have
    /// changed its mind.
    pub(super) fn changed_failures(&self, failures: BTreeMap<String, FailureRow>) -> Vec<Suspect> {
        let changed = |(path, row): (String, FailureRow)| {
            let path = LogPath::new(path)?;
            let stat = self.disk().stat(&self.home().log_file(&path)).ok();
            // The index has forgotten all that lies in it.
            if stat.is_some_and(|stat| stat.kind == FileKind::Directory) {
                return Some(Suspect::Folder(path.into()));
            }
            let look = stat.map(Look::from);
            (row.look.is_none() || row.look != look).then_some(Suspect::Log(path))
        };
        failures.into_iter().filter_map(changed).collect()
    }

    fn changed_logs(&self, logs: &[(LogPath, Option<Look>)]) -> Vec<Suspect> {
        parallel::filter_map(self.disk(), logs, SHARE, |(path, known)| {
            let look = self.look(&self.home().log_file(path));
            // A log that is marked and not made yet is nothing to look at.
            (look != *known).then(|| Suspect::Log(path.clone()))
        })
    }

    fn swept_logs(&self, logs: &[KnownLog]) -> Vec<Suspect> {
        parallel::filter_map(self.disk(), logs, SHARE, |known| {
            (self.look(&known.file) != Some(known.look)).then(|| Suspect::Log(known.path.clone()))
        })
    }
}
