//! Listing folders again, for what was added to them, moved or removed.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_codec::UtcMicros;

use super::Store;
use super::examine::is_passing;
use crate::disk::FileKind;
use crate::home::{Home, LogPath};
use crate::index::{Batch, Database, DirRow, FailureRow, Fault, Look, PathRow, Tables};
use crate::listing::{DirListing, FoundDir, MAX_DEPTH, list_dir, too_deep};
use crate::{Error, Result};

/// A folder that was modified less than this before it was looked at may be modified again
/// without its time moving.
const PROOF_NANOS: i64 = 2_000_000_000;

/// What the index knows of a folder: of its own logs where it is there, of all below it where it
/// is not.
#[derive(Debug, Default)]
struct KnownBelow {
    paths: BTreeMap<LogPath, PathRow>,
    dirs: BTreeMap<String, DirRow>,
    failures: BTreeMap<String, FailureRow>,
}

/// What is to be done after folders were listed.
#[derive(Debug, Default)]
pub(super) struct Relisted {
    /// Logs to look at.
    pub(super) paths: Vec<LogPath>,
    /// What is known without a look at a log. Its folders count as listed only once the logs were
    /// taken in.
    pub(super) batch: Batch,
}

fn is_directly_in(dir: &str, path: &str) -> bool {
    path.rsplit_once('/')
        .is_some_and(|(parent, _)| parent == dir)
}

impl Store {
    /// Lists folders, and those in them that the index does not know.
    pub(super) fn relist(&self, index: &Database, dirs: &[String]) -> Result<Relisted, Fault> {
        let mut relisted = Relisted::default();
        let mut to_list: Vec<String> = dirs.to_vec();
        let mut listed = BTreeSet::new();
        while let Some(dir) = to_list.pop() {
            if !listed.insert(dir.clone()) {
                continue;
            }
            let looked = self.context.clock.now();
            let listing = list_dir(self.disk(), self.home(), &dir);
            let is_listed = matches!(listing, Ok(Some(_)));
            let known = index.read(|txn| {
                Ok(KnownBelow {
                    // A home's folders may hold many logs in the folders below.
                    paths: match is_listed {
                        true => txn.paths_in(&dir)?,
                        false => txn.paths_below(&dir)?,
                    },
                    dirs: txn.dirs_below(&dir)?,
                    failures: txn.failures_below(&dir)?,
                })
            })?;
            match listing {
                Ok(Some(listing)) => {
                    let listing = (listing, looked);
                    to_list.extend(self.compare_listing(listing, &known, &mut relisted));
                }
                Ok(None) => relisted.forget(&dir, known, None),
                Err(why) if is_passing(&why) => return Err(why.into()),
                Err(why) => relisted.forget(&dir, known, Some(&why)),
            }
        }
        Ok(relisted)
    }

    /// Compares a listing with what the index knows; gives the folders to list next.
    fn compare_listing(
        &self,
        (listing, looked): (DirListing, UtcMicros),
        known: &KnownBelow,
        relisted: &mut Relisted,
    ) -> Vec<String> {
        let dir = &listing.dir.path;
        let mut missing: BTreeSet<&LogPath> = known.paths.keys().collect();
        let mut healed: BTreeSet<&str> = known
            .failures
            .keys()
            .map(String::as_str)
            .filter(|path| is_directly_in(dir, path) || *path == dir)
            .collect();
        for log in &listing.logs {
            missing.remove(&log.path);
            healed.remove(log.path.as_str());
            let is_known = known.paths.get(&log.path).map(|row| row.look) == Some(log.stat.into());
            if !is_known {
                relisted.paths.push(log.path.clone());
            }
        }
        relisted.paths.extend(missing.into_iter().cloned());
        let mut failures = listing.failures;
        let (subdirs, buried): (Vec<_>, Vec<_>) = listing
            .subdirs
            .into_iter()
            .partition(|subdir| depth_of(subdir) <= MAX_DEPTH);
        failures.extend(buried.into_iter().map(|subdir| {
            let file = self.home().resolve(&subdir);
            too_deep(&file, subdir)
        }));
        // One that the index does not know is listed itself, and then tells.
        for subdir in &subdirs {
            healed.remove(subdir.as_str());
        }
        for failure in failures {
            healed.remove(failure.path.as_str());
            relisted.fail(failure.path, &failure.why, &known.failures);
        }
        relisted
            .batch
            .forgotten
            .extend(healed.into_iter().map(str::to_owned));
        let row = self.dir_row(&listing.dir, looked);
        if known.dirs.get(dir) != Some(&row) {
            relisted.batch.dirs.push((dir.clone(), Some(row)));
        }
        subdirs
            .into_iter()
            .filter(|subdir| !known.dirs.contains_key(subdir))
            .collect()
    }

    /// A folder's row after a look at it, which began at `looked`: how long it took proves nothing.
    pub(super) fn dir_row(&self, dir: &FoundDir, looked: UtcMicros) -> DirRow {
        let looked = looked.get().saturating_mul(1000);
        DirRow {
            mtime_nanos: dir.stat.mtime_nanos,
            inode: dir.stat.inode,
            is_proven: looked.saturating_sub(dir.stat.mtime_nanos) > PROOF_NANOS,
        }
    }

    /// The folders of logs themselves that are there and that the index does not know.
    pub(super) fn new_roots(&self, known: impl Fn(&str) -> bool) -> Vec<String> {
        Home::log_roots()
            .into_iter()
            .filter(|root| !known(root))
            .filter(|root| {
                let stat = self.disk().stat(&self.home().resolve(root));
                stat.is_ok_and(|stat| stat.kind != FileKind::File)
            })
            .map(str::to_owned)
            .collect()
    }
}

/// How many folders lie between a folder and the root of its logs.
fn depth_of(dir: &str) -> usize {
    dir.split('/').count().saturating_sub(1)
}

impl Relisted {
    /// A folder is gone, or can't be listed: nothing in it can be found.
    fn forget(&mut self, dir: &str, known: KnownBelow, why: Option<&Error>) {
        self.batch.gone.extend(known.paths.into_keys());
        let failures = known.failures.keys();
        let below = failures.filter(|path| why.is_none() || *path != dir);
        self.batch.forgotten.extend(below.cloned());
        let dirs = known.dirs.into_keys();
        self.batch.dirs.extend(dirs.map(|dir| (dir, None)));
        if let Some(why) = why {
            self.fail(dir.to_owned(), why, &known.failures);
        }
    }

    fn fail(&mut self, path: String, why: &Error, known: &BTreeMap<String, FailureRow>) {
        let failure = FailureRow {
            why: why.to_string(),
            look: None::<Look>,
        };
        if known.get(&path) != Some(&failure) {
            self.batch.failed.push((path, failure));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_s_own_entries_are_told_from_those_below() {
        assert!(is_directly_in("sessions", "sessions/a.jsonl"));
        assert!(!is_directly_in("sessions", "sessions/2026/a.jsonl"));
        assert!(!is_directly_in("sessions", "sessions"));
        assert_eq!((depth_of("sessions"), depth_of("sessions/2026/11")), (0, 2));
    }
}
