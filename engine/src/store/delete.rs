//! Deleting a thread.
//!
//! What must hold: the thread is there, as it was, until its last log is removed, and gone with it.
//! What lies beside that log goes before it, and what only speaks of the thread (its name beside the
//! logs, its rows, the history that it began with) after it: nobody finds that any more, and a second try
//! removes what a first one left. The history that a fork begins with is the fork's own: it stays when
//! the thread that it came from is deleted.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use selvedge_codec::{ThreadId, UtcMicros};

use super::Store;
use super::logs::{ThreadLogs, is_named};
use crate::home::{Home, LogFormat, LogPath};
use crate::index::{Database, Fault, Outcome, Tables, forget_thread};
use crate::listing::{forget_name, walk};
use crate::log::{remove_inherited, repairs};
use crate::{Error, Result};

/// A mark of a thread that is taken back when this is dropped.
struct Marked<'a> {
    store: &'a Store,
    id: ThreadId,
}

impl Drop for Marked<'_> {
    fn drop(&mut self) {
        self.store.context.marks.unmark(self.id);
    }
}

impl Store {
    /// Deletes a thread for good: its logs wherever they lie, what recovery and repairs kept of them, the history
    /// that it inherited, its name beside the logs and its rows. A thread that is not there (any more) is no error, and what an
    /// interrupted try has left of it is removed.
    ///
    /// # Errors
    /// [`Error::Conflict`] naming the holder while somebody writes the thread; [`Error::Io`].
    pub fn delete(&self, id: ThreadId) -> Result<()> {
        let _lock = self.context.locks.lock(id)?;
        let logs = self.logs_of(id)?;
        if logs.is_empty() {
            self.finish_removal(id)?;
        }
        let _mark = self.mark_for_removal(id, &logs);
        self.remove_logs(id, &logs)?;
        self.forget_seeds_of(id);
        remove_inherited(&self.context, id)?;
        forget_name(&self.context, id)?;
        if let Some(index) = &self.index {
            self.noted(index, self.forget_rows(index, id, &logs))?;
        }
        self.context.marks.forget(id);
        Ok(())
    }

    /// Makes the removal of logs that are not there durable: one that was cut short may have come to
    /// their entries and no further.
    fn finish_removal(&self, id: ThreadId) -> Result<()> {
        let found = walk(self.disk(), self.home())?;
        if let Some(failure) = found.failures.iter().find(|at| at.hides_logs()) {
            return Err(failure.why.clone());
        }
        let dirs = found.dirs.iter().map(|dir| self.home().resolve(&dir.path));
        self.sync_dirs(dirs)?;
        // Where the name lies, and what was inherited.
        let inherited = self.home().resolve(&Home::inherited_dir(id));
        self.sync_dirs_there(inherited.parent().map(Path::to_path_buf))?;
        self.sync_dirs([self.home().root()])
    }

    /// Marks a thread with a history of its own, so that whoever comes after a deletion that was cut
    /// short removes that history too: see [`super::aftermath`]. Without room for a mark it stays.
    fn mark_for_removal(&self, id: ThreadId, logs: &ThreadLogs) -> Option<Marked<'_>> {
        let path = logs.readable.first()?;
        let inherited = self.home().resolve(&Home::inherited_dir(id));
        self.disk().stat(&inherited).ok()?;
        let marked = self.context.marks.mark(id, path);
        marked.ok().map(|()| Marked { store: self, id })
    }

    fn remove_logs(&self, id: ThreadId, logs: &ThreadLogs) -> Result<()> {
        let mut readable = logs.readable.iter();
        let last = readable.next();
        // The preferred one goes last: another log of the thread would stand up in its place.
        let others = logs.unreadable.iter().chain(readable.rev());
        let mut files = BTreeSet::new();
        let repairs = repairs(&self.context)?;
        for path in logs.unreadable.iter().chain(&logs.readable) {
            files.extend(self.beside(id, path)?);
            files.extend(self.kept_by_repairs(id, path, &repairs)?);
        }
        let mut files: Vec<PathBuf> = files.into_iter().collect();
        files.extend(others.map(|path| self.home().log_file(path)));
        self.remove_files(&files)?;
        match last {
            Some(path) => self.remove_files(&[self.home().log_file(path)]),
            None => Ok(()),
        }
    }

    /// Removes files, durably.
    fn remove_files(&self, files: &[PathBuf]) -> Result<()> {
        for file in files {
            match self.disk().remove(file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(|error| Error::io("remove", file, error))?,
            }
        }
        let dirs: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
        self.sync_dirs(dirs)
    }

    /// What recovery and unpacking have left beside a log: also where the log lay before it was
    /// archived, or after.
    fn beside(&self, id: ThreadId, path: &LogPath) -> Result<Vec<PathBuf>> {
        let name = path.file_name();
        let compressed = LogFormat::CompressedJsonLines.extension();
        let unpacked = name.strip_suffix(compressed).map(|stem| {
            let plain = LogFormat::JsonLines.extension();
            format!("{stem}{plain}.unpacking")
        });
        let torn = format!("{name}.torn-");
        let unpacking = format!("{name}.unpacking");
        let is_left = |entry: &str| {
            entry.starts_with(&torn) || entry == unpacking || Some(entry) == unpacked.as_deref()
        };
        let mut dirs = BTreeSet::from([path.parent().to_owned()]);
        if is_named(path, id) {
            // A name without a time does not tell where it lay.
            let moved = [path.in_archive(), path.out_of_archive(UtcMicros::EPOCH)];
            dirs.extend(moved.map(|path| path.parent().to_owned()));
        }
        let mut left = Vec::new();
        for dir in dirs {
            let dir = self.home().resolve(&dir);
            let entries = match self.disk().list(&dir) {
                Err(error) if is_no_folder(&error) => continue,
                entries => entries.map_err(|error| Error::io("list", &dir, error))?,
            };
            let names = entries.into_iter().filter_map(|entry| entry.name.ok());
            left.extend(
                names
                    .filter(|name| is_left(name))
                    .map(|name| dir.join(name)),
            );
        }
        Ok(left)
    }

    /// What repairs have kept of a log: also from before it was archived, or after.
    fn kept_by_repairs(
        &self,
        id: ThreadId,
        path: &LogPath,
        repairs: &[String],
    ) -> Result<Vec<PathBuf>> {
        let mut places = vec![path.clone()];
        if is_named(path, id) {
            places.extend([path.in_archive(), path.out_of_archive(UtcMicros::EPOCH)]);
        }
        let copies = repairs.iter().flat_map(|repair| {
            let copy = move |place: &LogPath| self.home().resolve(&format!("{repair}/{place}"));
            places.iter().map(copy)
        });
        let mut kept = Vec::new();
        for copy in copies {
            if self.kind_of(&copy)?.is_some() {
                kept.push(copy);
            }
        }
        Ok(kept)
    }

    fn forget_rows(&self, index: &Database, id: ThreadId, logs: &ThreadLogs) -> Result<(), Fault> {
        let mut paths: BTreeSet<LogPath> = logs.readable.iter().cloned().collect();
        paths.extend(logs.unreadable.iter().cloned());
        let is_known = index.read(|txn| {
            Ok(!paths.is_empty() || txn.thread(id)?.is_some() || txn.name(id)?.is_some())
        })?;
        if !is_known {
            return Ok(());
        }
        let paths: Vec<LogPath> = paths.into_iter().collect();
        self.write(index, |txn, state| {
            Ok(Outcome::Commit(forget_thread(txn, state, (id, &paths))?))
        })
    }
}

/// Nothing lies there, or what is no folder: a file, or a link, which leads to nothing of the home.
fn is_no_folder(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
