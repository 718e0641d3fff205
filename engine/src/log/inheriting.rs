//! Giving a fork what it inherits: links to the segments of the log that it is forked from, or
//! copies where there can be no links.
//!
//! What must hold: the folder is whole before the fork's own file is made, so that a crash leaves
//! a folder that nobody needs, or a whole fork; what is linked is the file that was read; and what is
//! inherited is durable before it is linked. A power loss that took the end of a linked file would
//! otherwise have the fork show, in its place, what the file's own thread says afterwards. A file that
//! somebody writes is synced by nobody else: a failed sync is told once, and its writer would take what
//! it lost for durable.

use std::io;
use std::path::{Path, PathBuf};

use selvedge_codec::segment::{SegmentHeader, SegmentNumber, encode_batch};
use selvedge_codec::{ByteLength, ByteOffset, Ordinal, Record, ThreadId};

use super::context::{LogContext, NewEntries};
use super::inherited::{UNFINISHED, WRITTEN_DOWN, files, last_frame};
use super::{OpenLog, native_writer};
use crate::disk::{Disk, FileKind, OpenMode, read_range};
use crate::home::{Home, InheritedName, LogFormat, LogPath};
use crate::{Error, InvalidRequest, Result};

/// How much is copied at once.
const PIECE_BYTES: u64 = 1 << 20;

/// What a new fork begins with.
#[derive(Debug)]
pub(crate) struct Inheritance {
    /// The fork's own first ordinal: how many records it inherits.
    pub(crate) next_ordinal: Ordinal,
    /// Where they come from, in their order.
    pub(crate) sources: Vec<Source>,
    /// How the fork comes by the segment that its source may be writing.
    pub(crate) sharing: Sharing,
    /// Tells whether the home has a log of a thread.
    pub(crate) has_log: fn(&LogContext, ThreadId) -> Result<bool>,
}

/// How a fork comes by the segment that its source may be writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// It is linked: its writer has made durable what is inherited of it.
    Durable,
    /// It is synced and linked: nobody writes it.
    Idle,
    /// It is copied: somebody else writes it.
    Busy,
}

/// Where inherited records come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A native segment: linked.
    Segment {
        file: PathBuf,
        /// The file's identity when it was read.
        inode: u64,
        name: InheritedName,
        /// Whether it is the source's own, which is the only one that is written.
        is_own: bool,
    },
    /// A log whose file another tool owns: written down anew.
    Records {
        thread_id: ThreadId,
        records: Vec<Record>,
    },
}

impl Inheritance {
    /// The header of the fork's own segment.
    pub(super) fn header(&self, thread_id: ThreadId) -> SegmentHeader {
        let last = self.sources.last().map(|source| match source {
            Source::Segment { name, .. } => name.segment.get(),
            Source::Records { .. } => SegmentNumber::FIRST.get(),
        });
        SegmentHeader {
            thread_id,
            segment: SegmentNumber::new(last.map_or(0, |last| last.saturating_add(1))),
            first_ordinal: self.next_ordinal,
        }
    }
}

/// Refuses a thread that has a folder of inherited segments already, and a log: the folder must not be
/// taken for one that a dead fork has left. The thread is locked, so that nobody makes it meanwhile.
pub(super) fn check_is_new(
    context: &LogContext,
    thread_id: ThreadId,
    inheritance: &Inheritance,
) -> Result<()> {
    let dir = context.home.resolve(&Home::inherited_dir(thread_id));
    if context.disk.stat(&dir).is_ok() && (inheritance.has_log)(context, thread_id)? {
        return Err(InvalidRequest::ThreadExists(thread_id).into());
    }
    Ok(())
}

/// Makes the folder of a fork's inherited segments. What lay in it is of a fork that was never
/// made whole. On an error nothing stays, as far as it can be removed.
pub(super) fn make(
    context: &LogContext,
    thread_id: ThreadId,
    inheritance: &Inheritance,
) -> Result<NewEntries> {
    let (dir, entries) = make_folder(context, thread_id)?;
    match fill(context, &dir, inheritance) {
        Ok(()) => Ok(entries),
        Err(error) => {
            undo(context, thread_id);
            Err(error)
        }
    }
}

fn make_folder(context: &LogContext, thread_id: ThreadId) -> Result<(PathBuf, NewEntries)> {
    let folder = Home::inherited_dir(thread_id);
    let dir = context.home.resolve(&folder);
    // `make_for` makes the folders above a file; which file does not matter.
    let path = LogPath::new(format!("{folder}/segment"));
    let Some(path) = path else {
        return Err(InvalidRequest::NotALogOfTheHome(dir).into());
    };
    Ok((dir, context.dirs.make_for(context, &path)?))
}

/// Removes what was made for a fork that could not be made.
pub(super) fn undo(context: &LogContext, thread_id: ThreadId) {
    if let Err(left) = remove_inherited(context, thread_id) {
        tracing::debug!(%left, "a folder of inherited segments stays that nobody needs");
    }
}

fn fill(context: &LogContext, dir: &Path, inheritance: &Inheritance) -> Result<()> {
    let disk = &*context.disk;
    let stat = disk
        .stat(dir)
        .map_err(|error| Error::io("look at", dir, error))?;
    if stat.kind != FileKind::Directory {
        return Err(Error::io("make", dir, io::ErrorKind::NotADirectory.into()));
    }
    for left_over in files(disk, dir)? {
        disk.remove(&left_over)
            .map_err(|error| Error::io("remove", &left_over, error))?;
    }
    for source in &inheritance.sources {
        match source {
            Source::Segment {
                file,
                inode,
                name,
                is_own,
            } => {
                let to = dir.join(name.to_string());
                let sharing = match is_own {
                    true => inheritance.sharing,
                    false => Sharing::Durable,
                };
                if sharing == Sharing::Idle {
                    sync_source(disk, file)?;
                }
                if sharing == Sharing::Busy || !link(disk, (file, *inode), &to)? {
                    copy(disk, (file, *inode), &to, name.end)?;
                }
            }
            Source::Records { thread_id, records } => {
                write_down(disk, dir, (*thread_id, inheritance.next_ordinal, records))?;
            }
        }
    }
    Ok(())
}

fn sync_source(disk: &dyn Disk, file: &Path) -> Result<()> {
    disk.open(file, OpenMode::Read)
        .and_then(|file| file.sync_data())
        .map_err(|error| Error::io("sync", file, error))
}

/// Links a file; `false` where there can be no link.
fn link(disk: &dyn Disk, (file, inode): (&Path, u64), to: &Path) -> Result<bool> {
    match disk.link(file, to) {
        Err(error) if can_have_no_link(&error) => return Ok(false),
        linked => linked.map_err(|error| Error::io("link", file, error))?,
    }
    let stat = disk
        .stat(to)
        .map_err(|error| Error::io("look at", to, error))?;
    if stat.inode == inode {
        return Ok(true);
    }
    Err(replaced(file))
}

pub(super) fn can_have_no_link(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::CrossesDevices
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::TooManyLinks
            | io::ErrorKind::Unsupported
    )
}

/// The file that was read is no longer at its place.
fn replaced(file: &Path) -> Error {
    Error::io("link", file, io::ErrorKind::NotFound.into())
}

/// Copies a segment up to `end`, durably but for its entry: whole, or not at all.
fn copy(disk: &dyn Disk, (from, inode): (&Path, u64), to: &Path, end: ByteOffset) -> Result<()> {
    let failed = |error| Error::io("copy", from, error);
    let source = disk.open(from, OpenMode::Read).map_err(failed)?;
    if source.stat().map_err(failed)?.inode != inode {
        return Err(replaced(from));
    }
    put(disk, to, &mut |file| {
        let mut at = 0;
        while at < end.get() {
            let length = ByteLength::new((end.get() - at).min(PIECE_BYTES));
            let piece = read_range(&*source, ByteOffset::new(at), length)?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            file.write_all_at(&piece, ByteOffset::new(at))?;
            at += piece.len() as u64;
        }
        Ok(())
    })
}

/// Makes a file with what `fill` writes, and syncs it: whole, or not at all.
fn put(
    disk: &dyn Disk,
    to: &Path,
    fill: &mut dyn FnMut(&dyn crate::disk::DiskFile) -> io::Result<()>,
) -> Result<()> {
    let mut unfinished = to.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    let made = (|| {
        let file = disk.open(&unfinished, OpenMode::CreateOrOpen)?;
        file.set_len(ByteLength::ZERO)?;
        fill(&*file)?;
        file.sync_data()?;
        disk.rename(&unfinished, to)
    })();
    made.map_err(|error| {
        if let Err(left) = disk.remove(&unfinished)
            && left.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%left, path = %unfinished.display(), "half a copy stays");
        }
        Error::io("copy to", to, error)
    })
}

/// Writes records of a log of JSON lines as the first inherited segment, each line a batch of its
/// own, as such a log has it.
fn write_down(
    disk: &dyn Disk,
    dir: &Path,
    (thread_id, next_ordinal, records): (ThreadId, Ordinal, &[Record]),
) -> Result<()> {
    let header = native_writer::first_header(thread_id);
    let written = dir.join(WRITTEN_DOWN);
    let mut end = 0;
    let mut refused = None;
    let put = put(disk, &written, &mut |file| {
        let mut buffer = header.encode().to_vec();
        end = 0;
        for record in records {
            if let Err(why) = encode_batch(header.seed(), &mut [record.clone()], &mut buffer) {
                refused = Some(why);
                return Err(io::ErrorKind::InvalidData.into());
            }
            if buffer.len() as u64 >= PIECE_BYTES {
                file.write_all_at(&buffer, ByteOffset::new(end))?;
                end += buffer.len() as u64;
                buffer.clear();
            }
        }
        file.write_all_at(&buffer, ByteOffset::new(end))?;
        end += buffer.len() as u64;
        Ok(())
    });
    if let Some(why) = refused {
        return Err(InvalidRequest::Codec(why).into());
    }
    put?;
    let end = ByteOffset::new(end);
    let log = OpenLog::open(disk, &written, LogFormat::Native)?;
    let name = name_in(&log, (SegmentNumber::FIRST, next_ordinal, end))?;
    let to = dir.join(name.to_string());
    disk.rename(&written, &to)
        .map_err(|error| Error::io("rename", &written, error))
}

/// The name of a segment that is inherited up to `next_ordinal`, whose batch ends at `end`.
pub(crate) fn name_in(
    log: &OpenLog<'_>,
    (segment, next_ordinal, end): (SegmentNumber, Ordinal, ByteOffset),
) -> Result<InheritedName> {
    // Without a frame there is nothing to be mistaken about.
    let last_frame = last_frame(log, end)?.map_or(0, |(_, checksum)| checksum);
    Ok(InheritedName {
        segment,
        next_ordinal,
        end,
        last_frame,
    })
}

/// Removes what a thread inherits; nothing of it may be left that needs it. Nothing to remove is
/// fine, so that a removal that was cut short can be asked for again. What somebody else has put
/// into the folder stays, and the folder with it.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_inherited(context: &LogContext, thread_id: ThreadId) -> Result<()> {
    let disk = &*context.disk;
    let dir = context.home.resolve(&Home::inherited_dir(thread_id));
    match disk.stat(&dir) {
        Ok(stat) if stat.kind == FileKind::Directory => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(()),
        Err(error) => {
            return gone(Err(error)).map_err(|error| Error::io("look at", &dir, error));
        }
    }
    for path in files(disk, &dir)? {
        gone(disk.remove(&path)).map_err(|error| Error::io("remove", &path, error))?;
    }
    match gone(disk.remove_dir(&dir)) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            tracing::debug!(dir = %dir.display(), "something else lies among inherited segments");
            return disk
                .sync_dir(&dir)
                .map_err(|error| Error::io("sync", &dir, error));
        }
        removed => removed.map_err(|error| Error::io("remove", &dir, error))?,
    }
    if let Some(above) = dir.parent() {
        let synced = disk.sync_dir(above);
        synced.map_err(|error| Error::io("sync", above, error))?;
    }
    Ok(())
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
