//! What a backfill is to do about a home.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_codec::UtcMicros;

use super::Store;
use super::examine::is_passing;
use crate::disk::FileKind;
use crate::home::LogPath;
use crate::index::{Batch, Database, DirRow, FailureRow, Fault, Look, PathRow, Tables};
use crate::listing::Walk;

/// What is to be done about a home.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) todo: Vec<LogPath>,
    /// What is known without reading a log: it is taken in first, so that a log that moved is
    /// nobody's when it is met at its new place.
    pub(super) first: Batch,
    /// The folders: they count as covered when all the rest is taken in.
    pub(super) dirs: Vec<(String, Option<DirRow>)>,
}

impl Store {
    /// What is to be done to get from what the index knows to what was found.
    ///
    /// # Errors
    /// What the index says; and what has nothing to do with the home: see [`is_passing`].
    pub(super) fn plan(
        &self,
        index: &Database,
        (found, looked): (Walk, UtcMicros),
    ) -> Result<Plan, Fault> {
        if let Some(failure) = found.failures.iter().find(|at| is_passing(&at.why)) {
            return Err(failure.why.clone().into());
        }
        let (state, paths, failures, dirs) =
            index.read(|txn| Ok((txn.state()?, txn.paths()?, txn.failures()?, txn.dirs()?)))?;
        let is_doubtful = |row: &PathRow| {
            let state = state.as_ref();
            state.is_none_or(|state| state.doubts(row.boot, &self.boot_id))
        };
        let mut plan = Plan::default();
        let mut known: BTreeMap<LogPath, PathRow> = paths.into_iter().collect();
        let mut healed: BTreeSet<&str> = failures.keys().map(String::as_str).collect();
        for log in found.logs {
            healed.remove(log.path.as_str());
            let row = known.remove(&log.path);
            let is_same = |row: PathRow| row.look == Look::from(log.stat) && !is_doubtful(&row);
            if !row.is_some_and(is_same) {
                plan.todo.push(log.path);
            }
        }
        // What the walk did not meet may have been made, and taken in, after its folder was listed.
        for path in known.into_keys() {
            let is_hidden = found.failures.iter().any(|at| is_below(&path, &at.path));
            if !is_hidden && self.would_be_met(&path) {
                plan.todo.push(path);
            } else {
                plan.first.gone.push(path);
            }
        }
        for failure in &found.failures {
            healed.remove(failure.path.as_str());
            let row = FailureRow {
                why: failure.why.to_string(),
                look: None,
            };
            if failures.get(&failure.path) != Some(&row) {
                plan.first.failed.push((failure.path.clone(), row));
            }
        }
        plan.first.forgotten = healed.into_iter().map(str::to_owned).collect();
        let mut gone = dirs;
        for dir in found.dirs {
            gone.remove(&dir.path);
            let row = self.dir_row(&dir, looked);
            plan.dirs.push((dir.path, Some(row)));
        }
        plan.dirs.extend(gone.into_keys().map(|dir| (dir, None)));
        Ok(plan)
    }

    /// Whether a log lies where a walk meets it: no folder above it is a link.
    fn would_be_met(&self, path: &LogPath) -> bool {
        let path = path.as_str();
        let is = |below: &str, kind| {
            let stat = self.disk().stat(&self.home().resolve(below));
            stat.is_ok_and(|stat| stat.kind == kind)
        };
        let mut folders = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        folders.all(|folder| is(folder, FileKind::Directory)) && is(path, FileKind::File)
    }
}

fn is_below(path: &LogPath, dir: &str) -> bool {
    let below = path.as_str().strip_prefix(dir);
    below.is_some_and(|below| below.starts_with('/'))
}
