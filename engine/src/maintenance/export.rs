//! A thread as JSON lines: byte for byte those it was imported from.

use std::path::Path;

use selvedge_codec::ByteOffset;
use selvedge_codec::jsonl::render_line;

use crate::disk::Disk;
use crate::home::LogFormat;
use crate::log::{Damage, LogEvent, read_log};
use crate::{Error, Result};

/// Lines are handed on in pieces of about this size.
const CHUNK_BYTES: usize = 1 << 20;

/// Gives each line of a log to `write`, newline included, in pieces of whole lines. Returns what
/// could not be read; the last of it may be a torn tail.
///
/// # Errors
/// As reading the log does, and whatever `write` says.
pub fn export_lines(
    disk: &dyn Disk,
    log: (&Path, LogFormat),
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<Vec<Damage>> {
    let (path, format) = log;
    let mut scan = read_log(disk, path, format, None)?;
    let mut damage = Vec::new();
    let mut chunk = Vec::new();
    for event in scan.by_ref() {
        match event {
            LogEvent::Record(record) => {
                render_line(&record, &mut chunk)
                    .map_err(|why| Error::codec(path, ByteOffset::ZERO, why))?;
                chunk.push(b'\n');
            }
            LogEvent::Damage(found) => damage.push(found),
        }
        if chunk.len() >= CHUNK_BYTES {
            write(&chunk)?;
            chunk.clear();
        }
    }
    if !chunk.is_empty() {
        write(&chunk)?;
    }
    damage.extend(scan.torn_tail());
    Ok(damage)
}
