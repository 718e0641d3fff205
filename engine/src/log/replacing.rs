//! Putting a repaired log in the place of a damaged one.
//!
//! What must hold:
//! - The damaged file is kept below `damaged/`, under its own path, and that is durable before
//!   anything of the log is changed.
//! - The log changes by one rename of a file that is whole, synced, and was read back: at every moment
//!   there is the damaged log or the new one, and never a second log of the thread.
//! - A try that fails before the rename leaves nothing behind, and one that is killed leaves what the
//!   next one uses or removes.
//!
//! Where the file system has hard links the damaged file is not copied but kept: what somebody may
//! still write to it, who had it open, is not lost then.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use selvedge_codec::jsonl;
use selvedge_codec::{ByteLength, ByteOffset, UtcMicros};

use super::context::LogContext;
use super::inheriting::can_have_no_link;
use super::rewrite::{Out, Rewrite};
use crate::disk::{Disk, FileKind, FileStat, OpenMode, read_range};
use crate::home::{Home, LogFormat, LogPath};
use crate::{CorruptReason, Error, Result};

/// The ending of a file that is not whole yet.
pub(crate) const UNFINISHED: &str = ".new";

/// So many repairs of one log begin in the same second at most.
const MAX_COPIES: u32 = 1000;

/// A damaged log, read.
#[derive(Debug)]
pub(crate) struct DamagedLog {
    pub(crate) path: LogPath,
    pub(crate) format: LogFormat,
    pub(crate) bytes: Bytes,
    pub(crate) stat: FileStat,
}

/// Where a damaged log is kept.
#[derive(Debug)]
struct Kept {
    /// Its path below the home.
    path: String,
    /// Whether it was kept just now, so that a try that fails takes it back.
    is_new: bool,
    /// The folders that were made for it, the innermost last.
    made: Vec<PathBuf>,
}

impl DamagedLog {
    /// Reads a log.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn read(context: &LogContext, path: &LogPath, format: LogFormat) -> Result<Self> {
        let file = context.home.log_file(path);
        let fail = |operation| {
            let file = &file;
            move |error| Error::io(operation, file, error)
        };
        let open = context.disk.open(&file, OpenMode::Read);
        let open = open.map_err(fail("open"))?;
        let stat = open.stat().map_err(fail("look at"))?;
        if stat.kind != FileKind::File {
            return Err(fail("read")(io::ErrorKind::IsADirectory.into()));
        }
        let bytes = read_range(&*open, ByteOffset::ZERO, stat.len).map_err(fail("read"))?;
        Ok(Self {
            path: path.clone(),
            format,
            bytes: bytes.into(),
            stat,
        })
    }

    /// Whether the file is as it was read.
    fn is_unchanged(&self, context: &LogContext) -> Result<bool> {
        let file = context.home.log_file(&self.path);
        let stat = context.disk.stat(&file);
        let stat = stat.map_err(|error| Error::io("look at", &file, error))?;
        Ok(stat == self.stat)
    }
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// The new log is in its place; the damaged one is kept there, below the home.
    Done(String),
    /// Nothing was changed: `check` refused, or the log changed meanwhile.
    Refused,
}

/// Keeps a damaged log and puts the new one in its place. The thread is locked. `check` is asked
/// right before.
///
/// # Errors
/// [`Error::Io`] and [`Error::OutOfSpace`], with the damaged log in its place, unless the last sync
/// is what failed.
pub(crate) fn replace(
    context: &LogContext,
    (log, rewrite): (&DamagedLog, &Rewrite),
    check: &dyn Fn() -> bool,
) -> Result<Replaced> {
    let kept = keep(context, log, context.clock.now())?;
    let copy = context.home.resolve(&kept.path);
    let new = unfinished(&copy);
    let ready = write_new(context, (log, rewrite), (&kept.path, &new))
        .and_then(|()| Ok(check() && log.is_unchanged(context)?));
    if !matches!(ready, Ok(true)) {
        take_back(&*context.disk, &kept, (&copy, &new));
        return ready.map(|_| Replaced::Refused);
    }
    let file = context.home.log_file(&log.path);
    if let Err(error) = context.disk.rename(&new, &file) {
        // A rename that failed may have been carried out all the same.
        if matches!(log.is_unchanged(context), Ok(true)) {
            take_back(&*context.disk, &kept, (&copy, &new));
        }
        return Err(Error::io("rename", &new, error));
    }
    for dir in [file.parent(), new.parent()].into_iter().flatten() {
        let synced = context.disk.sync_dir(dir);
        synced.map_err(|error| Error::io("sync", dir, error))?;
    }
    Ok(Replaced::Done(kept.path))
}

fn unfinished(copy: &Path) -> PathBuf {
    let mut name = copy.as_os_str().to_owned();
    name.push(UNFINISHED);
    PathBuf::from(name)
}

/// Removes what a try has made that failed.
fn take_back(disk: &dyn Disk, kept: &Kept, (copy, new): (&Path, &Path)) {
    let files = std::iter::once(new).chain(kept.is_new.then_some(copy));
    for file in files {
        if let Err(left) = disk.remove(file)
            && left.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%left, path = %file.display(), "a file of a repair that failed stays");
        }
    }
    remove_dirs(disk, &kept.made);
}

/// Removes folders that were made in vain, the innermost last, as far as they are empty.
fn remove_dirs(disk: &dyn Disk, made: &[PathBuf]) {
    for dir in made.iter().rev() {
        if let Err(left) = disk.remove_dir(dir) {
            tracing::debug!(%left, path = %dir.display(), "a folder of a repair that failed stays");
            return;
        }
    }
}

/// Keeps the damaged file, durably. One that an interrupted repair has kept already is that.
fn keep(context: &LogContext, log: &DamagedLog, now: UtcMicros) -> Result<Kept> {
    let kept = match kept_before(context, log)? {
        Some(path) => Kept {
            path,
            is_new: false,
            made: Vec::new(),
        },
        None => keep_now(context, log, now)?,
    };
    let copy = context.home.resolve(&kept.path);
    let synced = context
        .disk
        .open(&copy, OpenMode::Read)
        .and_then(|file| file.sync_data())
        .map_err(|error| Error::io("sync", &copy, error))
        .and_then(|()| sync_dirs(context, &kept.path));
    if let Err(error) = synced {
        take_back(&*context.disk, &kept, (&copy, &unfinished(&copy)));
        return Err(error);
    }
    Ok(kept)
}

/// Makes the entries durable that lead to a path below the home.
fn sync_dirs(context: &LogContext, path: &str) -> Result<()> {
    let mut below = path;
    while let Some((dir, _)) = below.rsplit_once('/') {
        sync_dir(context, &context.home.resolve(dir))?;
        below = dir;
    }
    sync_dir(context, context.home.root())
}

fn sync_dir(context: &LogContext, dir: &Path) -> Result<()> {
    let synced = context.disk.sync_dir(dir);
    synced.map_err(|error| Error::io("sync", dir, error))
}

/// The folders of the repairs so far, below the home, the oldest first.
pub(crate) fn repairs(context: &LogContext) -> Result<Vec<String>> {
    let dir = context.home.resolve(Home::damaged_dir());
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match context.disk.stat(&dir) {
        Ok(stat) if stat.kind == FileKind::Directory => {}
        Ok(_) => return Ok(Vec::new()),
        Err(error) if missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("look at", &dir, error)),
    }
    let entries = context.disk.list(&dir);
    let entries = entries.map_err(|error| Error::io("list", &dir, error))?;
    let mut folders: Vec<String> = entries
        .into_iter()
        .filter(|entry| entry.kind == FileKind::Directory)
        .filter_map(|entry| Some(format!("{}/{}", Home::damaged_dir(), entry.name.ok()?)))
        .collect();
    folders.sort_unstable();
    Ok(folders)
}

/// Where a repair that did not come to its end has kept this file.
fn kept_before(context: &LogContext, log: &DamagedLog) -> Result<Option<String>> {
    let disk = &*context.disk;
    for folder in repairs(context)? {
        let path = format!("{folder}/{}", log.path);
        let copy = context.home.resolve(&path);
        let Ok(stat) = disk.stat(&copy) else {
            continue;
        };
        let is_it = stat.kind == FileKind::File
            && stat.len == log.stat.len
            && (stat.inode == log.stat.inode || {
                let bytes = disk
                    .open(&copy, OpenMode::Read)
                    .and_then(|file| read_range(&*file, ByteOffset::ZERO, stat.len));
                bytes.map_err(|error| Error::io("read", &copy, error))? == log.bytes
            });
        if is_it {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn keep_now(context: &LogContext, log: &DamagedLog, now: UtcMicros) -> Result<Kept> {
    let time = now.to_file_name_text();
    for number in 0..MAX_COPIES {
        let folder = match number {
            0 => format!("{}/{time}", Home::damaged_dir()),
            _ => format!("{}/{time}.{number}", Home::damaged_dir()),
        };
        let path = format!("{folder}/{}", log.path);
        if context.disk.stat(&context.home.resolve(&path)).is_ok() {
            continue;
        }
        let made = make_dirs(context, &path)?;
        let copy = context.home.resolve(&path);
        return match link_or_copy(context, log, &copy) {
            Ok(()) => Ok(Kept {
                path,
                is_new: true,
                made,
            }),
            Err(error) => {
                remove_dirs(&*context.disk, &made);
                Err(error)
            }
        };
    }
    let file = context.home.resolve(Home::damaged_dir());
    Err(Error::io(
        "make",
        &file,
        io::ErrorKind::AlreadyExists.into(),
    ))
}

/// Makes the folders that lead to a path below the home, and tells which were not there. One that is
/// a symbolic link is refused: what was said in a home stays in it.
fn make_dirs(context: &LogContext, path: &str) -> Result<Vec<PathBuf>> {
    let disk = &*context.disk;
    let mut made = Vec::new();
    for (end, _) in path.match_indices('/') {
        let dir = context.home.resolve(path.get(..end).unwrap_or_default());
        let is_made = disk
            .create_dir(&dir)
            .and_then(|is_made| match disk.stat(&dir)?.kind {
                FileKind::Directory => Ok(is_made),
                FileKind::File | FileKind::Other => Err(io::ErrorKind::NotADirectory.into()),
            });
        match is_made {
            Ok(true) => made.push(dir),
            Ok(false) => {}
            Err(error) => {
                remove_dirs(disk, &made);
                return Err(Error::io("make", &dir, error));
            }
        }
    }
    Ok(made)
}

fn link_or_copy(context: &LogContext, log: &DamagedLog, copy: &Path) -> Result<()> {
    let disk = &*context.disk;
    let file = context.home.log_file(&log.path);
    match disk.link(&file, copy) {
        Err(error) if can_have_no_link(&error) => {}
        linked => {
            linked.map_err(|error| Error::io("link", &file, error))?;
            let stat = disk.stat(copy);
            let stat = stat.map_err(|error| Error::io("look at", copy, error))?;
            if stat.inode == log.stat.inode {
                return Ok(());
            }
            // Another file has taken the log's place since it was read.
            let removed = disk.remove(copy);
            removed.map_err(|error| Error::io("remove", copy, error))?;
            return Err(Error::io("link", &file, io::ErrorKind::NotFound.into()));
        }
    }
    let new = unfinished(copy);
    let put = put(disk, &new, &mut |out| out(&log.bytes)).and_then(|()| disk.rename(&new, copy));
    put.map_err(|error| {
        if let Err(left) = disk.remove(&new) {
            tracing::debug!(%left, path = %new.display(), "half a copy stays");
        }
        Error::io("copy", &file, error)
    })
}

/// Makes a file of what `fill` writes, and syncs it.
fn put(
    disk: &dyn Disk,
    path: &Path,
    fill: &mut dyn FnMut(&mut Out<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let file = disk.open(path, OpenMode::CreateOrOpen)?;
    file.set_len(ByteLength::ZERO)?;
    let mut at = ByteOffset::ZERO;
    fill(&mut |bytes| {
        if !bytes.is_empty() {
            file.write_all_at(bytes, at)?;
            at = at.plus(bytes.len() as u64);
        }
        Ok(())
    })?;
    file.sync_data()
}

/// Writes the new log, synced, and reads it back: refused is what does not read as it must.
fn write_new(
    context: &LogContext,
    (log, rewrite): (&DamagedLog, &Rewrite),
    (kept, new): (&str, &Path),
) -> Result<()> {
    let disk = &*context.disk;
    let is_packed = log.format == LogFormat::CompressedJsonLines;
    let written = put(disk, new, &mut |out| match is_packed {
        true => out(&rewrite.compressed(kept)?),
        false => rewrite.write(kept, out),
    });
    written.map_err(|error| Error::io("write", new, error))?;
    let read = disk.open(new, OpenMode::Read).and_then(|file| {
        let length = file.len()?;
        read_range(&*file, ByteOffset::ZERO, length)
    });
    let bytes = read.map_err(|error| Error::io("read", new, error))?;
    let bytes = match is_packed {
        true => match jsonl::decompress(&bytes) {
            Ok(lines) => lines,
            Err(why) => return Err(Error::codec(new, ByteOffset::ZERO, why)),
        },
        false => bytes,
    };
    match rewrite.is_read_as(&bytes.into()) {
        true => Ok(()),
        false => Err(Error::Corrupt {
            path: new.to_path_buf(),
            offset: ByteOffset::ZERO,
            why: CorruptReason::Lost,
        }),
    }
}
