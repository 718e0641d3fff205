//! Open marks: which threads are open for writing, and by whom.
//!
//! What must hold: a thread is marked before its first append, and stays marked until its writer
//! is done with it, so that after a process's death the marks name every log that may have grown
//! unnoticed. A mark survives what an append at `Written` survives and no more: it is written and
//! not synced, and after another boot everything is looked at anyway.
//!
//! One file a store. Its first line is the owner's identity as JSON; then each line is `+id path`
//! (the path as a JSON string, since a file name may hold a newline) or `-id`. The owner holds a
//! lock on the first byte while it lives: it is dead if and only if that lock is free.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::{self, Write as _};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use selvedge_codec::{ByteOffset, ThreadId};

use super::{Home, LogPath};
use crate::disk::{Disk, DiskFile, FileKind, FileStat, OpenMode, read_range};
use crate::process::ProcessIdentity;
use crate::{Error, Result};

const DIR: &str = "open";
const EXTENSION: &str = ".marks";
/// What is being made has this ending until it is whole and locked.
const UNFINISHED: &str = ".marks.new";
const OWNER_LOCK: Range<u64> = 0..1;
/// A file with more stale lines than this, and more stale than fresh ones, is written anew.
const MAX_STALE_LINES: usize = 4096;
/// Numbers the stores of this process: each has a file of its own.
static STORES: AtomicU32 = AtomicU32::new(0);

/// A thread that this store has open.
#[derive(Debug)]
struct Mark {
    path: LogPath,
    /// How often it was marked: a thread may be opened again before its last writer's mark goes.
    count: u32,
}

/// This store's file, as it lies on disk.
#[derive(Debug)]
struct MarkFile {
    path: PathBuf,
    handle: Box<dyn DiskFile>,
    end: ByteOffset,
    lines: usize,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<ThreadId, Mark>,
    file: Option<MarkFile>,
    /// A line could not be written: the file no longer says what is open, and is written anew
    /// before anything else is marked.
    is_behind: bool,
}

/// The open marks of one store.
pub struct OpenMarks {
    disk: Arc<dyn Disk>,
    home: Home,
    /// Held across one small buffered write, never across a sync.
    state: Mutex<State>,
}

impl OpenMarks {
    /// The marks of a store on this home. Nothing is made until the first mark.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, home: Home) -> Self {
        Self {
            disk,
            home,
            state: Mutex::default(),
        }
    }

    /// Marks a thread as open for writing. Each call wants one [`OpenMarks::unmark`].
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::OutOfSpace`] when the mark can't be written; the thread must not
    /// be written to then.
    pub fn mark(&self, thread_id: ThreadId, path: &LogPath) -> Result<()> {
        let mut state = self.state();
        let (count, is_written) = match state.open.get(&thread_id) {
            Some(mark) => (mark.count + 1, mark.path == *path && !state.is_behind),
            None => (1, false),
        };
        let path = path.clone();
        let line = plus_line(thread_id, &path);
        let before = state.open.insert(thread_id, Mark { path, count });
        if is_written {
            return Ok(());
        }
        let written = self.write(&mut state, &line);
        if written.is_err() {
            match before {
                Some(mark) => state.open.insert(thread_id, mark),
                None => state.open.remove(&thread_id),
            };
        }
        written
    }

    /// Takes one mark of a thread back. A mark that can't be taken back is no harm: the thread is
    /// looked at once more than needed. It is taken back with the next mark.
    pub fn unmark(&self, thread_id: ThreadId) {
        let mut state = self.state();
        let Entry::Occupied(mut mark) = state.open.entry(thread_id) else {
            return;
        };
        if mark.get().count > 1 {
            mark.get_mut().count -= 1;
            return;
        }
        mark.remove();
        self.write_minus(&mut state, thread_id);
    }

    /// Takes all marks of a thread back, those too that a panic has left without anybody to take
    /// them back: the thread is gone, and there is nothing to look at. Its writer lock is to be held.
    pub(crate) fn forget(&self, thread_id: ThreadId) {
        let mut state = self.state();
        if state.open.remove(&thread_id).is_some() {
            self.write_minus(&mut state, thread_id);
        }
    }

    fn write_minus(&self, state: &mut State, thread_id: ThreadId) {
        if let Err(error) = self.write(state, &format!("-{thread_id}\n")) {
            tracing::debug!(%error, %thread_id, "an open mark can't be taken back yet");
        }
    }

    /// Removes the file if no thread is open; otherwise it stays, for the next process to look.
    ///
    /// # Errors
    /// [`Error::Io`] when the file can't be removed.
    pub fn close(&self) -> Result<()> {
        let mut state = self.state();
        if !state.open.is_empty() {
            return Ok(());
        }
        match state.file.take() {
            Some(file) => gone(self.disk.remove(&file.path))
                .map_err(|error| Error::io("remove", &file.path, error)),
            None => Ok(()),
        }
    }

    /// This store's own file, once it has one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.state().file.as_ref().map(|file| file.path.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic between a change and its line leaves a mark too many at worst.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a line, or writes the whole file (which then says the same) where there is none,
    /// where it is behind, or where it has grown large.
    fn write(&self, state: &mut State, line: &str) -> Result<()> {
        let open = state.open.len();
        let file = state.file.as_mut().filter(|file| {
            !state.is_behind && file.lines < open.saturating_mul(2) + MAX_STALE_LINES
        });
        let Some(file) = file else {
            let written = self.write_anew(state);
            state.is_behind = written.is_err();
            return written;
        };
        match file.handle.write_all_at(line.as_bytes(), file.end) {
            Ok(()) => {
                file.end = file.end.plus(line.len() as u64);
                file.lines += 1;
                Ok(())
            }
            Err(error) => {
                let failed = Error::io("write", &file.path, error);
                state.is_behind = true;
                Err(failed)
            }
        }
    }

    fn write_anew(&self, state: &mut State) -> Result<()> {
        let path = match &state.file {
            Some(file) => file.path.clone(),
            None => self.new_path()?,
        };
        let mut text = serde_json::to_string(&ProcessIdentity::current(&*self.disk))
            .map_err(|error| Error::io("write", &path, error.into()))?;
        text.push('\n');
        for (thread_id, mark) in &state.open {
            text.push_str(&plus_line(*thread_id, &mark.path));
        }
        let unfinished = path.with_extension(UNFINISHED.trim_start_matches('.'));
        let made = self.make_file(&unfinished, &path, text.as_bytes());
        if made.is_err() && self.disk.remove(&unfinished).is_err() {
            tracing::debug!(path = %unfinished.display(), "an unfinished file of open marks stays");
        }
        state.file = Some(MarkFile {
            handle: made?,
            path,
            end: ByteOffset::new(text.len() as u64),
            lines: state.open.len(),
        });
        Ok(())
    }

    /// Makes the file under another name first: a file of marks is seen locked and whole, or not
    /// at all. (The lock moves with the file.)
    fn make_file(&self, unfinished: &Path, path: &Path, text: &[u8]) -> Result<Box<dyn DiskFile>> {
        let io = |operation| move |error| Error::io(operation, unfinished, error);
        let handle = self
            .disk
            .open(unfinished, OpenMode::CreateOrOpen)
            .map_err(io("open"))?;
        let is_locked = handle
            .try_lock_range(OWNER_LOCK, false)
            .map_err(io("lock"))?;
        if !is_locked {
            return Err(io("lock")(io::ErrorKind::WouldBlock.into()));
        }
        handle
            .set_len(selvedge_codec::ByteLength::ZERO)
            .map_err(io("cut"))?;
        handle
            .write_all_at(text, ByteOffset::ZERO)
            .map_err(io("write"))?;
        self.disk.rename(unfinished, path).map_err(io("rename"))?;
        Ok(handle)
    }

    /// A name that no file has: `<pid>-<start ticks>-<boot>-<n>.marks`.
    fn new_path(&self) -> Result<PathBuf> {
        let dir = dir(&self.home);
        for dir in [self.home.runtime_dir(), dir.clone()] {
            // Not synced: the marks mean nothing after a power loss.
            self.disk
                .create_dir(&dir)
                .map_err(|error| Error::io("make", &dir, error))?;
        }
        let me = ProcessIdentity::current(&*self.disk);
        let boot: String = me.boot_id.chars().filter(|c| *c != '-').take(8).collect();
        loop {
            let store = STORES.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{}-{boot}-{store:06}{EXTENSION}", me.pid, me.start_ticks);
            let path = dir.join(name);
            // Only where the system does not tell when a process started can a dead one have left
            // a file of this name.
            match self.disk.stat(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
                Err(error) => return Err(Error::io("look at", &path, error)),
                Ok(_) => {}
            }
        }
    }
}

impl fmt::Debug for OpenMarks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenMarks")
            .field("home", &self.home)
            .field("open", &self.state().open.len())
            .finish_non_exhaustive()
    }
}

fn dir(home: &Home) -> PathBuf {
    home.runtime_dir().join(DIR)
}

fn plus_line(thread_id: ThreadId, path: &LogPath) -> String {
    let mut line = format!("+{thread_id} ");
    // A JSON string by serde_json's own formatter, which needs no error path.
    let _ = writeln!(line, "{}", serde_json::Value::from(path.as_str()));
    line
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// One store's file of marks, as another store sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenMarkFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Whose it is; all empty when its first line can't be read.
    pub owner: ProcessIdentity,
    /// Whether the owner still runs.
    pub alive: bool,
    /// The threads it has open.
    pub threads: Vec<(ThreadId, LogPath)>,
    /// The file's metadata from before it was read.
    pub stat: FileStat,
}

/// Reads the marks of every store that has threads open on this home, or died having them open.
/// A half last line is a mark that its append never followed, and is passed over.
///
/// # Errors
/// [`Error::Io`] when the marks can't be listed or read. A home without any has none.
pub fn read_all(disk: &dyn Disk, home: &Home) -> Result<Vec<OpenMarkFile>> {
    read_changed(disk, home, Vec::new(), None)
}

/// As [`read_all`], but a file that looks as it did in `known` is not read again, and the file
/// `own` not at all: a store that has many threads open need not read its own marks for each
/// listing.
pub(crate) fn read_changed(
    disk: &dyn Disk,
    home: &Home,
    known: Vec<OpenMarkFile>,
    own: Option<&Path>,
) -> Result<Vec<OpenMarkFile>> {
    let dir = dir(home);
    let entries = match disk.list(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(|error| Error::io("list", &dir, error))?,
    };
    let names = entries.into_iter().filter_map(|entry| {
        let name = entry.name.ok()?;
        (entry.kind == FileKind::File && name.ends_with(EXTENSION)).then_some(name)
    });
    let mut known: HashMap<PathBuf, OpenMarkFile> = known
        .into_iter()
        .map(|file| (file.path.clone(), file))
        .collect();
    let mut files = Vec::new();
    for name in names {
        let path = dir.join(name);
        if own == Some(&*path) {
            continue;
        }
        match read_one(disk, &path, known.remove(&path)) {
            // Its owner was done with it in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => files.push(read.map_err(|error| Error::io("read", &path, error))?),
        }
    }
    Ok(files)
}

fn read_one(disk: &dyn Disk, path: &Path, known: Option<OpenMarkFile>) -> io::Result<OpenMarkFile> {
    let handle = disk.open(path, OpenMode::Read)?;
    // Before the bytes are read: an owner that dies afterwards has written all of them.
    let alive = handle.is_locked_elsewhere(OWNER_LOCK)?;
    let stat = handle.stat()?;
    // Lines are only appended, so that a file of this length has the lines it had: unless it is
    // another one, whose number was used again.
    if let Some(known) = known.filter(|known| known.stat == stat && stat.len.get() > 0) {
        return Ok(OpenMarkFile {
            alive,
            stat,
            ..known
        });
    }
    let bytes = read_range(&*handle, ByteOffset::ZERO, stat.len)?;
    let mut lines = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_suffix(b"\n"));
    let owner = lines
        .next()
        .and_then(|line| serde_json::from_slice(line).ok())
        .unwrap_or(ProcessIdentity {
            boot_id: String::new(),
            pid: 0,
            start_ticks: 0,
        });
    let mut open: Vec<(ThreadId, LogPath)> = Vec::new();
    let mut places: HashMap<ThreadId, usize> = HashMap::new();
    for line in lines.filter_map(|line| std::str::from_utf8(line).ok()) {
        apply_line(line, &mut open, &mut places);
    }
    Ok(OpenMarkFile {
        path: path.to_path_buf(),
        owner,
        alive,
        threads: open,
        stat,
    })
}

fn apply_line(
    line: &str,
    open: &mut Vec<(ThreadId, LogPath)>,
    places: &mut HashMap<ThreadId, usize>,
) {
    let removed = line.strip_prefix('-').and_then(|id| id.parse().ok());
    let added = line.strip_prefix('+').and_then(|rest| {
        let (id, path) = rest.split_once(' ')?;
        Some((id.parse().ok()?, serde_json::from_str(path).ok()?))
    });
    let thread_id: Option<ThreadId> = removed.or_else(|| added.as_ref().map(|(id, _)| *id));
    let Some(thread_id) = thread_id else {
        return;
    };
    if let Some(at) = places.remove(&thread_id) {
        open.swap_remove(at);
        if let Some((moved, _)) = open.get(at) {
            places.insert(*moved, at);
        }
    }
    if let Some(added) = added {
        places.insert(thread_id, open.len());
        open.push(added);
    }
}

/// Removes the file of a dead owner, once what it marks has been looked at. A file whose owner
/// lives, or that is no longer the one that was read, stays; returns whether it was removed.
///
/// # Errors
/// [`Error::Io`] when it can't be opened or removed.
pub fn remove(disk: &dyn Disk, file: &OpenMarkFile) -> Result<bool> {
    let io = |operation| move |error| Error::io(operation, &file.path, error);
    let handle = match disk.open(&file.path, OpenMode::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(io("open"))?,
    };
    if !handle
        .try_lock_range(OWNER_LOCK, false)
        .map_err(io("lock"))?
    {
        return Ok(false);
    }
    // The owner replaces its file before it lets go of the old one's lock: whoever gets the lock
    // of an old file sees the new one at the path.
    let stat = match disk.stat(&file.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        stat => stat.map_err(io("look at"))?,
    };
    if stat.inode != file.stat.inode || stat.len != file.stat.len {
        return Ok(false);
    }
    gone(disk.remove(&file.path)).map_err(io("remove"))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    fn marks(home: &Home) -> OpenMarks {
        OpenMarks::new(Arc::new(RealDisk), home.clone())
    }

    fn path(name: &str) -> LogPath {
        LogPath::new(format!("sessions/{name}.rlog")).unwrap()
    }

    fn open_of(home: &Home) -> Vec<(bool, Vec<(ThreadId, LogPath)>)> {
        let mut files = read_all(&RealDisk, home).unwrap();
        for file in &mut files {
            file.threads.sort();
        }
        files
            .into_iter()
            .map(|file| (file.alive, file.threads))
            .collect()
    }

    #[test]
    fn marks_are_seen_until_they_are_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        assert!(open_of(&home).is_empty());
        let marks = marks(&home);
        let ids = [ThreadId::generate(), ThreadId::generate()];
        marks.mark(ids[0], &path("a\nb")).unwrap();
        marks.mark(ids[1], &path("b")).unwrap();
        let both = vec![(ids[0], path("a\nb")), (ids[1], path("b"))];
        assert_eq!(open_of(&home), [(true, both)]);
        marks.unmark(ids[0]);
        assert_eq!(open_of(&home), [(true, vec![(ids[1], path("b"))])]);
        marks.close().unwrap();
        assert_eq!(open_of(&home).len(), 1);
        marks.unmark(ids[1]);
        marks.close().unwrap();
        assert!(open_of(&home).is_empty());
        marks.mark(ids[0], &path("c")).unwrap();
        assert_eq!(open_of(&home), [(true, vec![(ids[0], path("c"))])]);
    }

    #[test]
    fn a_thread_marked_twice_stays_until_both_marks_are_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let marks = marks(&home);
        let id = ThreadId::generate();
        marks.mark(id, &path("a")).unwrap();
        marks.mark(id, &path("moved")).unwrap();
        marks.unmark(id);
        assert_eq!(open_of(&home), [(true, vec![(id, path("moved"))])]);
        marks.unmark(id);
        assert_eq!(open_of(&home), [(true, vec![])]);
    }

    #[test]
    fn the_marks_of_a_dead_store_stay_until_they_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let id = ThreadId::generate();
        let dead = marks(&home);
        dead.mark(id, &path("a")).unwrap();
        let alive = marks(&home);
        alive.mark(id, &path("b")).unwrap();
        let before = read_all(&RealDisk, &home).unwrap();
        assert!(before.iter().all(|file| file.alive));
        assert!(before.iter().all(|file| !remove(&RealDisk, file).unwrap()));
        drop(dead);
        let files = read_all(&RealDisk, &home).unwrap();
        let (living, gone): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.alive);
        assert_eq!(gone[0].threads, [(id, path("a"))]);
        assert!(remove(&RealDisk, &gone[0]).unwrap());
        assert!(!remove(&RealDisk, &gone[0]).unwrap());
        assert_eq!(read_all(&RealDisk, &home).unwrap(), living);
    }

    #[test]
    fn a_half_last_line_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let (a, b) = (ThreadId::generate(), ThreadId::generate());
        {
            let marks = marks(&home);
            marks.mark(a, &path("a")).unwrap();
            marks.mark(b, &path("b")).unwrap();
        }
        let file = read_all(&RealDisk, &home).unwrap().remove(0);
        let handle = RealDisk.open(&file.path, OpenMode::Write).unwrap();
        let whole = handle.len().unwrap().get();
        let mut seen = Vec::new();
        for length in (0..=whole).rev() {
            handle
                .set_len(selvedge_codec::ByteLength::new(length))
                .unwrap();
            let files = read_all(&RealDisk, &home).unwrap();
            seen.push(files[0].threads.len());
        }
        assert_eq!(seen[..2], [2, 1]);
        assert!(seen.is_sorted_by(|more, less| more >= less));
        assert_eq!(seen.last(), Some(&0));
    }

    /// A file of marks was written anew twice between two looks. It then had the number (which the
    /// system uses again) and the length that it had had before, and its new marks were not seen.
    #[test]
    fn a_file_of_marks_that_only_looks_like_a_known_one_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let (before, now) = (ThreadId::generate(), ThreadId::generate());
        let marks = marks(&home);
        marks.mark(now, &path("a")).unwrap();
        let mut known = read_all(&RealDisk, &home).unwrap();
        known[0].threads = vec![(before, path("a"))];
        known[0].stat.mtime_nanos -= 1;
        let files = read_changed(&RealDisk, &home, known, None).unwrap();
        assert_eq!(files[0].threads, [(now, path("a"))]);
    }

    #[test]
    fn a_file_that_has_grown_is_written_anew_and_stays_locked() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let marks = marks(&home);
        let kept = ThreadId::generate();
        marks.mark(kept, &path("kept")).unwrap();
        let first = read_all(&RealDisk, &home).unwrap().remove(0);
        let id = ThreadId::generate();
        for _ in 0..MAX_STALE_LINES {
            marks.mark(id, &path("passing")).unwrap();
            marks.unmark(id);
        }
        let files = read_all(&RealDisk, &home).unwrap();
        assert_eq!(files.len(), 1);
        assert_ne!(files[0].stat.inode, first.stat.inode);
        assert_eq!(files[0].threads, [(kept, path("kept"))]);
        assert!(files[0].alive);
        // What was read of the replaced file does not remove the new one.
        drop(marks);
        assert!(!remove(&RealDisk, &first).unwrap());
        assert_eq!(read_all(&RealDisk, &home).unwrap().len(), 1);
    }
}
