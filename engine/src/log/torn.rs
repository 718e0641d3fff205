//! Keeping what recovery cuts off. It may be the half of a record that somebody can still read.

use std::io;
use std::path::{Path, PathBuf};

use selvedge_codec::ByteOffset;

use crate::disk::{Disk, OpenMode};
use crate::{Error, Result};

/// A log whose tail was torn at the same place this often has another problem.
const MAX_COPIES: u32 = 1000;

/// Writes `bytes`, which begin at `offset` of `log`, to `<log>.torn-<offset>` (or, where one is
/// kept already, `<log>.torn-<offset>.1` and so on), and makes them durable.
pub(super) fn keep(
    disk: &dyn Disk,
    log: &Path,
    bytes: &[u8],
    offset: ByteOffset,
) -> Result<PathBuf> {
    for copy in 0..MAX_COPIES {
        let mut name = log.as_os_str().to_owned();
        name.push(format!(".torn-{offset}"));
        if copy > 0 {
            name.push(format!(".{copy}"));
        }
        let path = PathBuf::from(name);
        match disk.open(&path, OpenMode::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("make", &path, error)),
            Ok(file) => {
                let kept = file
                    .write_all_at(bytes, ByteOffset::ZERO)
                    .and_then(|()| file.sync_data())
                    .and_then(|()| path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir)));
                if let Err(error) = kept {
                    // The log keeps its bytes then, and half a copy helps nobody.
                    if let Err(left) = disk.remove(&path) {
                        tracing::debug!(%left, path = %path.display(), "half a copy stays");
                    }
                    return Err(Error::io("keep torn bytes in", &path, error));
                }
                return Ok(path);
            }
        }
    }
    Err(Error::io("make", log, io::ErrorKind::AlreadyExists.into()))
}
