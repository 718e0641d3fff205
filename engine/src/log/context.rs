//! What every log of a store shares.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use selvedge_codec::ThreadId;

use super::inherited;
use crate::disk::Disk;
use crate::home::{ConfinedDisk, Home, LogPath, OpenMarks, WriterLocks};
use crate::{Error, Result};

/// What every log of a store shares. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogContext {
    /// The file system, confined to the home in what lies below it.
    pub disk: Arc<dyn Disk>,
    /// The clock that dates items which have no time of their own.
    pub clock: Arc<dyn Clock>,
    /// The home that the logs lie in.
    pub home: Home,
    /// The store's writer locks.
    pub locks: Arc<WriterLocks>,
    /// The store's open marks.
    pub marks: Arc<OpenMarks>,
    /// Which of the home's folders are known to survive a power loss.
    pub dirs: Arc<DurableDirs>,
}

impl LogContext {
    /// The context of a store on this home. Nothing is looked at or made. What lies below the home
    /// is not reached through symbolic links.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, home: Home) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(ConfinedDisk::new(disk, &home));
        Self {
            locks: Arc::new(WriterLocks::new(Arc::clone(&disk), home.clone())),
            marks: Arc::new(OpenMarks::new(Arc::clone(&disk), home.clone())),
            dirs: Arc::default(),
            disk,
            clock,
            home,
        }
    }
}

/// The folders whose entries in their parents this store has synced. Another process may have
/// made a folder and not synced it yet, so that finding one proves nothing.
///
/// What must hold: only folders that many threads share, and that nobody removes, are remembered.
/// One thread's own goes with it, whoever removes it, and there are as many as there are forks.
#[derive(Debug, Default)]
pub struct DurableDirs {
    /// Paths below the home.
    known: Mutex<HashSet<String>>,
}

/// What is known of the directory entries that lead to a log, and to what it inherits.
#[derive(Debug, Clone)]
pub(super) enum Entries {
    /// They survive a power loss, or there are none.
    Durable,
    /// Somebody has made them, who may have died before they were synced. What they are is looked
    /// at when they are to be synced: an idle log keeps no list of them.
    Found,
    /// This store has made them, and not synced them yet.
    Made(Box<NewEntries>),
}

/// What has to be synced for a new file to survive a power loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewEntries {
    /// The folders to sync, from the file's own up.
    pub(super) to_sync: Vec<PathBuf>,
    /// The folders to remember as durable afterwards, below the home; an empty path is the home
    /// itself.
    pub(super) proven: Vec<String>,
}

impl NewEntries {
    /// These entries and then `later` ones.
    pub(super) fn and_then(mut self, later: Self) -> Self {
        self.to_sync.extend(later.to_sync);
        self.proven.extend(later.proven);
        self
    }
}

/// The folder that a home lies in, as seen from there.
const ABOVE: &str = "..";

fn is_forbidden(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

impl DurableDirs {
    fn known(&self) -> MutexGuard<'_, HashSet<String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many folders are remembered.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.known().len()
    }

    /// Makes the folders that lead to `path`, and tells what to sync once the file is made.
    pub(super) fn make_for(&self, context: &LogContext, path: &LogPath) -> Result<NewEntries> {
        self.leading_to(context, path, |dir| {
            let made = context.disk.create_dir(dir);
            made.map_err(|error| Error::io("make", dir, error))
        })
    }

    /// What to sync of a log that was found, and of what it inherits.
    pub(super) fn found(
        &self,
        context: &LogContext,
        (thread_id, path): (ThreadId, &LogPath),
    ) -> Result<NewEntries> {
        let own = self.leading_to(context, path, |_| Ok(false))?;
        let folder = Home::inherited_dir(thread_id);
        let files = inherited::files(&*context.disk, &context.home.resolve(&folder))?;
        let segment = LogPath::new(format!("{folder}/segment"));
        let Some(segment) = segment.filter(|_| !files.is_empty()) else {
            return Ok(own);
        };
        Ok(self
            .leading_to(context, &segment, |_| Ok(false))?
            .and_then(own))
    }

    /// The folders that lead to `path`, from its own up, as far as they are not known to be durable.
    /// `make` is given each from the top, and tells whether it has made it.
    fn leading_to(
        &self,
        context: &LogContext,
        path: &LogPath,
        make: impl Fn(&Path) -> Result<bool>,
    ) -> Result<NewEntries> {
        let mut entries = NewEntries {
            to_sync: Vec::new(),
            proven: Vec::new(),
        };
        let mut parent = context.home.root().to_path_buf();
        if !self.known().contains("") {
            // The home may be a link: what it leads to has its name there.
            entries.to_sync.push(parent.join(ABOVE));
            entries.proven.push(String::new());
        }
        let parents = path.parent();
        let ends = parents.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([parents.len()]) {
            let below = parents.get(..end).unwrap_or_default();
            if below.is_empty() {
                break;
            }
            let dir = context.home.resolve(below);
            let is_made = make(&dir)?;
            let mut known = self.known();
            if is_made {
                known.remove(below);
            }
            if !known.contains(below) {
                entries.to_sync.push(parent);
                if !Home::is_inherited_dir(below) {
                    entries.proven.push(below.to_owned());
                }
            }
            parent = dir;
        }
        entries.to_sync.push(parent);
        entries.to_sync.reverse();
        Ok(entries)
    }

    /// Makes new entries durable.
    pub(super) fn sync(&self, disk: &dyn Disk, entries: &NewEntries) -> Result<()> {
        for dir in &entries.to_sync {
            match disk.sync_dir(dir) {
                // A home that others made for us is theirs to make durable.
                Err(error) if is_forbidden(&error) && dir.ends_with(ABOVE) => {
                    tracing::debug!(%error, "the home's own entry can't be synced");
                }
                synced => synced.map_err(|error| Error::io("sync", dir, error))?,
            }
        }
        self.known().extend(entries.proven.iter().cloned());
        Ok(())
    }
}
