//! The few files that the command itself writes and reads, through the same disk as the engine.

use std::io;
use std::path::{Path, PathBuf};

use selvedge::{ByteOffset, Disk, FileKind, OpenMode, read_range};

use crate::error::Result;

fn told<T>(operation: &'static str, path: &Path, result: io::Result<T>) -> Result<T> {
    Ok(result.map_err(|source| selvedge::Error::io(operation, path, source))?)
}

/// Makes a directory, and those above it that are missing.
pub(crate) fn create_dirs(disk: &dyn Disk, dir: &Path) -> Result<()> {
    let missing: Vec<&Path> = dir
        .ancestors()
        .take_while(|dir| disk.stat(dir).is_err())
        .collect();
    for dir in missing.into_iter().rev() {
        told("create directory", dir, disk.create_dir(dir))?;
    }
    // What is there may be a file, or a link to a directory; making it again tells them apart.
    told("create directory", dir, disk.create_dir(dir)).map(|_| ())
}

/// Whether a directory is missing or holds nothing.
pub(crate) fn is_free(disk: &dyn Disk, dir: &Path) -> Result<bool> {
    match disk.list(dir) {
        Ok(entries) => Ok(entries.is_empty()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => told("list", dir, Err(error)),
    }
}

/// Whether anything has this name.
pub(crate) fn exists(disk: &dyn Disk, path: &Path) -> Result<bool> {
    match disk.stat(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => told("look at", path, Err(error)),
    }
}

/// Reads a whole file.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>> {
    let file = told("open", path, disk.open(path, OpenMode::Read))?;
    let len = told("look at", path, file.len())?;
    told("read", path, read_range(&*file, ByteOffset::ZERO, len))
}

/// Writes a file whole or not at all: under another name first, which takes the file's place once
/// its bytes are synced. Replaces what is there.
pub(crate) fn write(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    // A name that an earlier, killed run left behind.
    if disk
        .stat(&temporary)
        .is_ok_and(|stat| stat.kind == FileKind::File)
    {
        told("remove", &temporary, disk.remove(&temporary))?;
    }
    let file = told(
        "create",
        &temporary,
        disk.open(&temporary, OpenMode::CreateNew),
    )?;
    let written = file
        .write_all_at(bytes, ByteOffset::ZERO)
        .and_then(|()| file.sync_data());
    if written.is_err() {
        // The failed write is what is told; a half file left behind would only be in the way.
        let _ = disk.remove(&temporary);
    }
    told("write", &temporary, written)?;
    told("rename", path, disk.rename(&temporary, path))?;
    match path.parent() {
        Some(dir) => told("sync", dir, disk.sync_dir(dir)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge::RealDisk;

    #[test]
    fn a_file_is_written_whole_and_replaced_whole() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("a/b");
        assert!(is_free(&RealDisk, &dir).unwrap());
        create_dirs(&RealDisk, &dir).unwrap();
        create_dirs(&RealDisk, &dir).unwrap();
        let path = dir.join("f");
        assert!(!exists(&RealDisk, &path).unwrap());
        for bytes in [&b"first, longer"[..], b"second"] {
            write(&RealDisk, &path, bytes).unwrap();
            assert_eq!(read(&RealDisk, &path).unwrap(), bytes);
        }
        assert_eq!(RealDisk.list(&dir).unwrap().len(), 1);
        assert!(!is_free(&RealDisk, &dir).unwrap());
    }

    #[test]
    fn a_directory_below_a_file_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("f");
        write(&RealDisk, &path, b"x").unwrap();
        assert!(create_dirs(&RealDisk, &path).is_err());
        assert!(create_dirs(&RealDisk, &path.join("d")).is_err());
    }
}
