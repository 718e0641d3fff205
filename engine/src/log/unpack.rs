//! Unpacking a compressed log that is to be written on.
//!
//! What must hold: at every moment there is one whole log, and the unpacked one is preferred as
//! soon as it is there.

use std::io;
use std::path::{Path, PathBuf};

use selvedge_codec::jsonl::decompress;
use selvedge_codec::{ByteOffset, ThreadId};

use super::context::LogContext;
use super::handle::LogHandle;
use super::native_writer::first_header;
use super::recovery::{Decision, decide};
use super::writer::look;
use crate::disk::{Disk, OpenMode};
use crate::home::{LogFormat, LogName, LogPath};
use crate::{CorruptReason, Error, Result};

/// Unpacks the log at `path` beside it and removes it, if it is a compressed one. Returns where
/// the unpacked log lies.
pub(super) fn unpack(
    context: &LogContext,
    path: &LogPath,
    thread_id: ThreadId,
) -> Result<Option<LogPath>> {
    let compressed = LogFormat::CompressedJsonLines.extension();
    let is_compressed = LogName::parse(path.file_name())
        .is_some_and(|name| name.format == LogFormat::CompressedJsonLines);
    let stem = path.as_str().strip_suffix(compressed);
    let Some(plain) = stem
        .filter(|_| is_compressed)
        .and_then(|stem| LogPath::new(format!("{stem}{}", LogFormat::JsonLines.extension())))
    else {
        return Ok(None);
    };
    let disk = &*context.disk;
    let (from, to) = (context.home.log_file(path), context.home.log_file(&plain));
    match disk.stat(&to) {
        // Somebody has unpacked it before, and may have died before its entry was durable. It is
        // the one to go on with: it may have been written on since.
        Ok(_) => {
            sync_dir_of(disk, &to).map_err(|error| Error::io("sync", &to, error))?;
            return Ok(Some(plain));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io("look at", &to, error)),
    }
    let handle = LogHandle::open(disk, from.clone(), OpenMode::Read)?
        .ok_or(Error::ThreadNotFound { thread_id })?;
    let length = handle.stat()?.len.get();
    let packed = handle.read(ByteOffset::ZERO, ByteOffset::new(length))?;
    let lines = decompress(&packed).map_err(|why| Error::codec(&from, ByteOffset::ZERO, why))?;
    let lines = bytes::Bytes::from(lines);
    // Before anything is changed: an unpacked log that is refused would be no gain.
    if let (_, Decision::Refuse { offset, why }) =
        decide(&look(&lines, first_header(thread_id), path).found)
    {
        return Err(match why {
            CorruptReason::Codec(why) => Error::codec(&from, offset, why),
            why => Error::Corrupt {
                path: from,
                offset,
                why,
            },
        });
    }
    put(disk, &to, &lines)?;
    disk.remove(&from)
        .map_err(|error| Error::io("remove", &from, error))?;
    Ok(Some(plain))
}

/// Puts a file with these bytes at `to`, durably: whole, or not at all.
fn put(disk: &dyn Disk, to: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = to.as_os_str().to_owned();
    name.push(".unpacking");
    let unfinished = PathBuf::from(name);
    let put = write(disk, &unfinished, bytes)
        .and_then(|()| disk.rename(&unfinished, to))
        .and_then(|()| sync_dir_of(disk, to));
    put.map_err(|error| {
        if let Err(left) = disk.remove(&unfinished)
            && left.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%left, path = %unfinished.display(), "half an unpacked log stays");
        }
        Error::io("unpack", to, error)
    })
}

fn sync_dir_of(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
}

fn write(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What a killed writer left there is of no use; the thread is locked, so that nobody else
    // writes there now.
    let file = disk.open(path, OpenMode::CreateOrOpen)?;
    file.set_len(selvedge_codec::ByteLength::ZERO)?;
    file.write_all_at(bytes, ByteOffset::ZERO)?;
    file.sync_data()
}
