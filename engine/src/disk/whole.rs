//! Whole reads and writes, made of what a system call does: less than was asked for, or nothing
//! because a signal came.
//!
//! Every file of a [`super::Disk`] goes through these loops, the simulated one too: what copes with
//! short and interrupted calls is what is tested.

use std::io;

use selvedge_codec::ByteOffset;

/// What a file does in one call: any part of what it is asked for.
pub(super) trait PartialIo {
    /// Reads some bytes from `at`; 0 at the file's end.
    fn read_some(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes some bytes at `at`.
    fn write_some(&self, bytes: &[u8], at: u64) -> io::Result<usize>;
    /// Writes some bytes at the file's end, wherever that is.
    fn append_some(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// Makes a call again as long as it is interrupted.
pub(super) fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Fills `buffer` from `offset` as far as the file goes; returns how much was read.
pub(super) fn read_full(
    file: &impl PartialIo,
    buffer: &mut [u8],
    offset: ByteOffset,
) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let at = offset.get().saturating_add(filled as u64);
        match retried(|| file.read_some(rest, at))? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Writes all of `bytes` at `offset`.
pub(super) fn write_full(
    file: &impl PartialIo,
    bytes: &[u8],
    offset: ByteOffset,
) -> io::Result<()> {
    let mut at = offset.get();
    write_all(bytes, |rest| {
        let written = file.write_some(rest, at)?;
        at = at.saturating_add(written as u64);
        Ok(written)
    })
}

/// Writes all of `bytes` at the end. Another process's append may come between two parts.
pub(super) fn append_full(file: &impl PartialIo, bytes: &[u8]) -> io::Result<()> {
    write_all(bytes, |rest| file.append_some(rest))
}

fn write_all(
    mut bytes: &[u8],
    mut write: impl FnMut(&[u8]) -> io::Result<usize>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match retried(|| write(bytes))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => bytes = bytes.get(written..).unwrap_or_default(),
        }
    }
    Ok(())
}
