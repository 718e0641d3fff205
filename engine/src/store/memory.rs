//! What a store remembers of the index, so that a look around the home needs no read of it: the
//! folders, the logs that other tools may write, and the marks of other stores. All of it is void
//! as soon as the index says that somebody has changed it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use selvedge_codec::ThreadId;

use super::Suspect;
use crate::home::{Home, LogPath, OpenMarkFile};
use crate::index::{DirRow, Fault, Look, PathRow, StateRow, Tables, is_foreign};

/// A sweep of the logs that other tools may write is not made twice within this time.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A folder, as the index knows it.
#[derive(Debug)]
pub(super) struct KnownDir {
    pub(super) dir: String,
    pub(super) file: PathBuf,
    pub(super) row: DirRow,
}

/// A log that other tools may write, as the index knows it.
#[derive(Debug)]
pub(super) struct KnownLog {
    pub(super) path: LogPath,
    pub(super) file: PathBuf,
    pub(super) look: Look,
}

/// Which state of the index the memory is of.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered {
    birth: Option<ThreadId>,
    dirs_epoch: Option<u64>,
    lines_epoch: Option<u64>,
}

impl Remembered {
    /// Reads what has changed since: the logs only where they are wanted.
    pub(super) fn read_changed(
        &self,
        txn: &impl Tables,
        state: &StateRow,
        wants_logs: bool,
    ) -> Result<Fresh, Fault> {
        let is_same = self.birth == Some(state.birth);
        let has_dirs = is_same && self.dirs_epoch == Some(state.dirs_epoch);
        let has_logs = is_same && self.lines_epoch == Some(state.lines_epoch);
        Ok(Fresh {
            dirs: (!has_dirs).then(|| txn.dirs()).transpose()?,
            logs: (wants_logs && !has_logs).then(|| txn.paths()).transpose()?,
        })
    }
}

/// What was read of the index, where it is not what is in memory.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) dirs: Option<BTreeMap<String, DirRow>>,
    pub(super) logs: Option<Vec<(LogPath, PathRow)>>,
}

fn logs_among(suspects: &[Suspect]) -> impl Iterator<Item = &LogPath> {
    suspects.iter().filter_map(|suspect| match suspect {
        Suspect::Log(path) => Some(path),
        _ => None,
    })
}

/// What a store remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    remembered: Remembered,
    pub(super) dirs: Vec<KnownDir>,
    pub(super) logs: Vec<KnownLog>,
    /// The other logs, until they were swept once: what wrote them told the index of it, but the
    /// index may be an older copy that was put in its own place.
    unswept: Vec<KnownLog>,
    has_swept_all: bool,
    pub(super) marks: Vec<OpenMarkFile>,
    /// Since when the logs need not be swept again.
    swept: Option<Duration>,
    /// What sweeps found and nobody has taken in yet: it is told to every listing until then, which
    /// may come before the one that swept has had it taken in.
    unsettled: BTreeSet<LogPath>,
    /// The same for the logs that other processes have open, where they are many.
    looked_at_open: Option<Duration>,
}

impl Memory {
    /// Of which state of the index this is what is remembered.
    pub(super) fn remembered(&self) -> Remembered {
        self.remembered.clone()
    }

    /// Remembers what was read with this state.
    pub(super) fn take(&mut self, home: &Home, state: &StateRow, fresh: Fresh) {
        if self.remembered.birth != Some(state.birth) {
            let marks = std::mem::take(&mut self.marks);
            *self = Self {
                marks,
                ..Self::default()
            };
            self.remembered.birth = Some(state.birth);
        }
        if let Some(dirs) = fresh.dirs {
            let known = dirs.into_iter().map(|(dir, row)| KnownDir {
                file: home.resolve(&dir),
                dir,
                row,
            });
            self.dirs = known.collect();
            self.remembered.dirs_epoch = Some(state.dirs_epoch);
        }
        if let Some(logs) = fresh.logs {
            let known = logs.into_iter().map(|(path, row)| KnownLog {
                file: home.log_file(&path),
                path,
                look: row.look,
            });
            let (foreign, own) = known.partition(|log| is_foreign(&log.path));
            self.logs = foreign;
            self.unswept = if self.has_swept_all { Vec::new() } else { own };
            self.remembered.lines_epoch = Some(state.lines_epoch);
        }
    }

    /// Whether it is time to look at many open logs; if it is, the time begins anew.
    pub(super) fn may_look_at_open(&mut self, now: Duration) -> bool {
        let is_due = self
            .looked_at_open
            .is_none_or(|looked| now.saturating_sub(looked) >= SWEEP_INTERVAL);
        if is_due {
            self.looked_at_open = Some(now);
        }
        is_due
    }

    /// Whether it is time for a sweep.
    pub(super) fn may_sweep(&self, now: Duration) -> bool {
        self.swept
            .is_none_or(|swept| now.saturating_sub(swept) >= SWEEP_INTERVAL)
    }

    /// The logs that need no more than one sweep.
    pub(super) fn take_unswept(&mut self) -> Vec<KnownLog> {
        self.has_swept_all = true;
        std::mem::take(&mut self.unswept)
    }

    /// What the last sweep found was not taken in.
    pub(super) fn forget_sweep(&mut self) {
        self.swept = None;
        self.has_swept_all = false;
        self.remembered.lines_epoch = None;
    }

    pub(super) fn note_sweep(&mut self, began: Duration, found: &[Suspect]) {
        self.swept = Some(began);
        self.unsettled = logs_among(found).cloned().collect();
    }

    /// What is still to be taken in of what sweeps found.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = Suspect> {
        self.unsettled.iter().cloned().map(Suspect::Log)
    }

    /// These were looked at and taken in.
    pub(super) fn settle(&mut self, suspects: &[Suspect]) {
        for path in logs_among(suspects) {
            self.unsettled.remove(path);
        }
    }
}
