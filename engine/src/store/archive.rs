//! Putting a thread among the archived ones, and taking it back.
//!
//! What must hold:
//! - A log changes its place by a rename, so that it is whole wherever it is found; and both folders
//!   are synced before it counts as moved, the new one first: a power loss may leave it in both
//!   places, and never in none.
//! - What was moved is durable with its bytes: whoever wrote them may have died before they were.
//! - Of the logs of one thread the one that every reader prefers is always of the thread as it is:
//!   to the archive it goes last, out of it first.
//! - Nothing is replaced that holds anything which the log in its place does not.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use selvedge_codec::{ByteLength, ByteOffset, ThreadId, UtcMicros};

use super::Store;
use crate::disk::{DiskFile, FileKind, FileStat, OpenMode, read_range};
use crate::home::{LogName, LogPath};
use crate::index::{Batch, Database, Fault, Moved, Projected, Tables, ThreadRow};
use crate::log::sync_found;
use crate::projection::project;
use crate::thread::ThreadSummary;
use crate::{Error, InvalidRequest, Result};

/// How much of two logs is compared at a time.
const COMPARED_BYTES: u64 = 1 << 20;

/// A log that is not where it should be.
#[derive(Debug)]
struct Move {
    from: LogPath,
    to: LogPath,
}

/// What lies where a log is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Nothing, or a beginning of the log.
    Free,
    /// All of the log: it came that far before.
    Arrived,
}

impl Store {
    /// Puts a thread among the archived ones, durably. One that is there already stays as it is; a
    /// move that was cut short is finished.
    ///
    /// # Errors
    /// [`Error::ThreadNotFound`]; [`Error::Conflict`] naming the holder while somebody writes the
    /// thread; [`InvalidRequest::LogInTheWay`] when another log lies where one is to go, with
    /// nothing moved; [`Error::Io`] and [`Error::OutOfSpace`].
    pub fn archive(&self, id: ThreadId) -> Result<ThreadSummary> {
        self.relocate(id, true)
    }

    /// Takes a thread back from the archived ones, into the folder of the day that its log's name
    /// tells, or else of the day on which it was started. One that is not archived stays as it is.
    ///
    /// # Errors
    /// As [`Store::archive`].
    pub fn unarchive(&self, id: ThreadId) -> Result<ThreadSummary> {
        self.relocate(id, false)
    }

    fn relocate(&self, id: ThreadId, to_archive: bool) -> Result<ThreadSummary> {
        let lock = self.context.locks.lock(id)?;
        let logs = self.logs_of(id)?.readable;
        let Some(preferred) = logs.first() else {
            // Why it can't be read, or that it is not there.
            return self
                .find(id)
                .and(Err(Error::ThreadNotFound { thread_id: id }));
        };
        let is_undated = |path: &LogPath| {
            let name = LogName::parse(path.file_name());
            name.and_then(|name| name.started).is_none()
        };
        let started = match !to_archive && logs.iter().any(is_undated) {
            true => {
                project(self.disk(), self.home(), preferred, None)?
                    .thread
                    .summary
                    .created_at
            }
            false => UtcMicros::EPOCH,
        };
        let mut moves: Vec<Move> = logs
            .iter()
            .filter(|path| path.is_archived() != to_archive)
            .map(|path| Move {
                from: path.clone(),
                to: match to_archive {
                    true => path.in_archive(),
                    false => path.out_of_archive(started),
                },
            })
            .collect();
        if to_archive {
            moves.reverse();
        }
        for log in &logs {
            sync_found(&self.context, (id, log))?;
        }
        if moves.is_empty() {
            self.finish_moves(&logs)?;
        } else {
            self.carry_out(&moves)?;
            self.note_moves(id, (&moves, logs.len()))?;
        }
        drop(lock);
        self.read_thread(id)
    }

    /// Makes moves durable that were carried out before: an earlier try may have come no further.
    fn finish_moves(&self, logs: &[LogPath]) -> Result<()> {
        let mut dirs = BTreeSet::new();
        for log in logs {
            let before = match log.is_archived() {
                true => log.out_of_archive(UtcMicros::EPOCH),
                false => log.in_archive(),
            };
            dirs.extend([log, &before].map(|path| self.home().resolve(path.parent())));
        }
        self.sync_dirs_there(dirs)
    }

    /// Syncs those of the directories that are there.
    pub(super) fn sync_dirs_there(&self, dirs: impl IntoIterator<Item = PathBuf>) -> Result<()> {
        for dir in dirs {
            if self.kind_of(&dir)? == Some(FileKind::Directory) {
                self.sync_dirs([dir])?;
            }
        }
        Ok(())
    }

    fn carry_out(&self, moves: &[Move]) -> Result<()> {
        let targets: BTreeSet<&LogPath> = moves.iter().map(|log| &log.to).collect();
        if let (true, Some(log)) = (targets.len() < moves.len(), moves.first()) {
            return Err(InvalidRequest::LogInTheWay(self.home().log_file(&log.to)).into());
        }
        let ways = moves.iter().map(|log| self.way_of(log));
        let ways: Vec<Way> = ways.collect::<Result<_>>()?;
        for (log, way) in moves.iter().zip(ways) {
            self.move_log(log, way)?;
        }
        Ok(())
    }

    fn move_log(&self, log: &Move, way: Way) -> Result<()> {
        let disk = self.disk();
        let (from, to) = (
            self.home().log_file(&log.from),
            self.home().log_file(&log.to),
        );
        // A log must not be moved to where a power loss would not let it be found.
        let folders = self.make_folders(&log.to)?;
        self.sync_dirs(folders)?;
        if way == Way::Free {
            disk.rename(&from, &to)
                .map_err(|error| Error::io("rename", &from, error))?;
        }
        self.sync_dirs(to.parent())?;
        if way == Way::Arrived {
            disk.remove(&from)
                .map_err(|error| Error::io("remove", &from, error))?;
        }
        self.sync_dirs(from.parent())
    }

    /// Makes the folders above a path, and tells what to sync for them to stay.
    fn make_folders(&self, path: &LogPath) -> Result<Vec<PathBuf>> {
        let mut above = self.home().root().to_path_buf();
        let mut dirs = Vec::new();
        let folders = path.parent();
        let ends = folders.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([folders.len()]) {
            let dir = self.home().resolve(folders.get(..end).unwrap_or_default());
            self.disk()
                .create_dir(&dir)
                .map_err(|error| Error::io("make", &dir, error))?;
            dirs.push(std::mem::replace(&mut above, dir));
        }
        dirs.reverse();
        Ok(dirs)
    }

    pub(super) fn sync_dirs(&self, dirs: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<()> {
        for dir in dirs {
            let dir = dir.as_ref();
            self.disk()
                .sync_dir(dir)
                .map_err(|error| Error::io("sync", dir, error))?;
        }
        Ok(())
    }

    /// What lies where a log is to go; refuses what would be lost.
    fn way_of(&self, log: &Move) -> Result<Way> {
        let to = self.home().log_file(&log.to);
        let there = match self.disk().stat(&to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Way::Free),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Way::Free),
            there => there.map_err(|error| Error::io("look at", &to, error))?,
        };
        let from = self.home().log_file(&log.from);
        let stat = self.disk().stat(&from);
        let stat = stat.map_err(|error| Error::io("look at", &from, error))?;
        // A rename that a power loss cut in half leaves one file under both names.
        if stat.inode == there.inode {
            return Ok(Way::Arrived);
        }
        match self.begin_alike((&from, stat), (&to, there))? {
            true if stat.len < there.len => Ok(Way::Arrived),
            true => Ok(Way::Free),
            false => Err(InvalidRequest::LogInTheWay(to).into()),
        }
    }

    /// Whether one of two files is a beginning of the other.
    fn begin_alike(&self, a: (&Path, FileStat), b: (&Path, FileStat)) -> Result<bool> {
        let open = |path: &Path| {
            self.disk()
                .open(path, OpenMode::Read)
                .map_err(|error| Error::io("open", path, error))
        };
        let read = |file: &dyn DiskFile, path: &Path, at| {
            read_range(file, at, ByteLength::new(COMPARED_BYTES))
                .map_err(|error| Error::io("read", path, error))
        };
        if b.1.kind != a.1.kind {
            return Ok(false);
        }
        let (file_a, file_b) = (open(a.0)?, open(b.0)?);
        let mut at = ByteOffset::ZERO;
        loop {
            let (one, other) = (read(&*file_a, a.0, at)?, read(&*file_b, b.0, at)?);
            let common = one.len().min(other.len());
            if one.get(..common) != other.get(..common) {
                return Ok(false);
            }
            if common < usize::try_from(COMPARED_BYTES).unwrap_or(usize::MAX) {
                return Ok(true);
            }
            at = at.plus(COMPARED_BYTES);
        }
    }

    /// Tells the index. One that can't be written to finds out by itself: the folders have changed.
    fn note_moves(&self, id: ThreadId, (moves, logs): (&[Move], usize)) -> Result<()> {
        let Some(index) = &self.index else {
            return Ok(());
        };
        self.noted(index, self.take_moves_in(index, id, (moves, logs)))
    }

    /// What came of telling the index something that it would find out by itself.
    pub(super) fn noted(&self, index: &Database, told: Result<(), Fault>) -> Result<()> {
        match told.map_err(|fault| self.error(index, fault)) {
            Err(why) if self.is_of_index(&why) => {
                tracing::debug!(%why, "the index is not told of a change of the logs");
                Ok(())
            }
            told => told,
        }
    }

    fn take_moves_in(
        &self,
        index: &Database,
        id: ThreadId,
        (moves, logs): (&[Move], usize),
    ) -> Result<(), Fault> {
        let row = index.read(|txn| txn.thread(id))?;
        let mut batch = Batch::default();
        let mut paths = Vec::new();
        for Move { from, to } in moves {
            // Of several logs another one may go before this one at its new place.
            let row = row
                .as_ref()
                .filter(|row| logs == 1 && row.path().as_ref() == Some(from));
            match row.map(|row| self.project_moved(row, to)).transpose()? {
                Some(projected) => batch.moved.push(Moved {
                    from: from.clone(),
                    projected,
                }),
                None => paths.extend([from.clone(), to.clone()]),
            }
        }
        paths.extend(self.take_in(index, &batch)?.again);
        self.look_at(index, paths).map(drop)
    }

    /// A log at its new place: the same file, so that it need not be read again.
    fn project_moved(&self, row: &ThreadRow, to: &LogPath) -> Result<Projected> {
        let base = row.thread.checkpoint;
        let projection = project(self.disk(), self.home(), to, Some(row.thread.clone()))?;
        Ok(Projected {
            path: to.clone(),
            base: Some(base),
            projection,
        })
    }
}
