//! What a store remembers of the index, so that a look around the home needs no read of it: the
//! folders, the logs that other tools may write, and the marks of other stores. All of it is void
//! as soon as the index says that somebody has changed it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use selvedge_codec::ThreadId;

use crate::home::{Home, LogPath, OpenMarkFile};
use crate::index::{DirRow, Look, PathRow, StateRow, is_foreign};

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

/// What was read of the index, where it is not what is in memory.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) dirs: Option<BTreeMap<String, DirRow>>,
    pub(super) logs: Option<Vec<(LogPath, PathRow)>>,
}

/// What a store remembers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    birth: Option<ThreadId>,
    dirs_epoch: Option<u64>,
    lines_epoch: Option<u64>,
    pub(super) dirs: Vec<KnownDir>,
    pub(super) logs: Vec<KnownLog>,
    pub(super) marks: Vec<OpenMarkFile>,
    /// Since when the logs need not be swept again.
    swept: Option<Instant>,
}

impl Memory {
    fn is_of(&self, state: &StateRow) -> bool {
        self.birth == Some(state.birth)
    }

    /// Whether the folders in memory are not those of the index.
    pub(super) fn wants_dirs(&self, state: &StateRow) -> bool {
        !self.is_of(state) || self.dirs_epoch != Some(state.dirs_epoch)
    }

    /// Whether the logs in memory are not those of the index.
    pub(super) fn wants_logs(&self, state: &StateRow) -> bool {
        !self.is_of(state) || self.lines_epoch != Some(state.lines_epoch)
    }

    /// Remembers what was read with this state.
    pub(super) fn take(&mut self, home: &Home, state: &StateRow, fresh: Fresh) {
        if !self.is_of(state) {
            let marks = std::mem::take(&mut self.marks);
            *self = Self {
                birth: Some(state.birth),
                marks,
                ..Self::default()
            };
        }
        if let Some(dirs) = fresh.dirs {
            let known = dirs.into_iter().map(|(dir, row)| KnownDir {
                file: home.resolve(&dir),
                dir,
                row,
            });
            self.dirs = known.collect();
            self.dirs_epoch = Some(state.dirs_epoch);
        }
        if let Some(logs) = fresh.logs {
            let foreign = logs.into_iter().filter(|(path, _)| is_foreign(path));
            self.logs = foreign
                .map(|(path, row)| KnownLog {
                    file: home.log_file(&path),
                    path,
                    look: row.look,
                })
                .collect();
            self.lines_epoch = Some(state.lines_epoch);
        }
    }

    /// Whether it is time for a sweep.
    pub(super) fn may_sweep(&self) -> bool {
        self.swept
            .is_none_or(|swept| swept.elapsed() >= SWEEP_INTERVAL)
    }

    /// What the last sweep found was not taken in.
    pub(super) fn forget_sweep(&mut self) {
        self.swept = None;
    }

    pub(super) fn note_sweep(&mut self, began: Instant) {
        self.swept = Some(began);
    }
}
