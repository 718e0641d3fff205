//! Who has a file open for writing that takes no lock of ours: the tool that owns a log of JSON lines.
//!
//! The system tells in `/proc/<pid>/fdinfo/<fd>`: with which flags a file was opened, its inode, and
//! the mount that it lies on. Where it does not tell (another system, another user's process, another
//! container), nobody is known.

use std::collections::BTreeSet;
use std::path::Path;

use selvedge_codec::{ByteLength, ByteOffset};

use crate::disk::{Disk, OpenMode, read_range};

const PROC: &str = "/proc";
/// What a file's access mode is told by in its flags; 0 stands for reading.
const ACCESS_MODE: u64 = 0o3;
/// An entry is a few short lines.
const ENTRY_LENGTH: ByteLength = ByteLength::new(4096);

/// What the system says of an open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OpenFile {
    inode: u64,
    mount: u64,
    may_write: bool,
}

impl OpenFile {
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
        };
        Some(Self {
            inode: field("ino")?.parse().ok()?,
            mount: field("mnt_id")?.parse().ok()?,
            may_write: u64::from_str_radix(field("flags")?, 8).ok()? & ACCESS_MODE != 0,
        })
    }
}

/// The other processes that have the file at `path` open for writing, as far as they are known.
pub(crate) fn writers_of(disk: &dyn Disk, path: &Path) -> Vec<u32> {
    // Held open, so that our own entries tell which mount the file lies on.
    let Ok(file) = disk.open(path, OpenMode::Read) else {
        return Vec::new();
    };
    let Ok(inode) = file.stat().map(|stat| stat.inode) else {
        return Vec::new();
    };
    let of_inode = |process: &str| {
        let mut files = open_files(disk, process);
        files.retain(|file| file.inode == inode);
        files
    };
    let mounts: BTreeSet<u64> = of_inode("self").iter().map(|file| file.mount).collect();
    if mounts.is_empty() {
        return Vec::new();
    }
    let mut writers: Vec<u32> = names(disk, Path::new(PROC))
        .into_iter()
        .filter_map(|name| name.parse().ok())
        .filter(|pid| *pid != std::process::id())
        .filter(|pid: &u32| {
            let files = of_inode(&pid.to_string());
            let is_writer = |file: &OpenFile| file.may_write && mounts.contains(&file.mount);
            files.iter().any(is_writer)
        })
        .collect();
    writers.sort_unstable();
    writers
}

/// The open files of a process; none of one that is gone or another user's.
fn open_files(disk: &dyn Disk, process: &str) -> Vec<OpenFile> {
    let dir = Path::new(PROC).join(process).join("fdinfo");
    let entries = names(disk, &dir).into_iter();
    let read = |name: String| {
        let file = disk.open(&dir.join(name), OpenMode::Read).ok()?;
        let bytes = read_range(&*file, ByteOffset::ZERO, ENTRY_LENGTH).ok()?;
        OpenFile::parse(str::from_utf8(&bytes).ok()?)
    };
    entries.filter_map(read).collect()
}

fn names(disk: &dyn Disk, dir: &Path) -> Vec<String> {
    let entries = disk.list(dir).unwrap_or_default();
    entries
        .into_iter()
        .filter_map(|entry| entry.name.ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn a_process_that_has_the_file_open_for_writing_is_named_and_a_reader_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        drop(RealDisk.open(&path, OpenMode::CreateNew).unwrap());
        assert_eq!(writers_of(&RealDisk, &path), [0_u32; 0]);
        for (how, is_named) in [(">>", true), ("<", false)] {
            let script = format!("exec 3{how}\"$0\"; echo open; read line");
            let mut tool = Command::new("sh")
                .args(["-c", &script])
                .arg(&path)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut said = String::new();
            let mut out = BufReader::new(tool.stdout.take().unwrap());
            out.read_line(&mut said).unwrap();
            let expected: Vec<u32> = is_named.then_some(tool.id()).into_iter().collect();
            assert_eq!(writers_of(&RealDisk, &path), expected, "{how}");
            drop(tool.stdin.take());
            tool.wait().unwrap();
            assert_eq!(writers_of(&RealDisk, &path), [0_u32; 0]);
        }
    }

    #[test]
    fn an_entry_that_does_not_tell_all_tells_nothing() {
        let whole = "pos:\t0\nflags:\t0100002\nmnt_id:\t24\nino:\t3\n";
        let parsed = OpenFile {
            inode: 3,
            mount: 24,
            may_write: true,
        };
        assert_eq!(OpenFile::parse(whole), Some(parsed));
        for (from, to) in [("ino", "iño"), ("mnt_id:\t24\n", ""), ("0100002", "9")] {
            assert_eq!(OpenFile::parse(&whole.replace(from, to)), None);
        }
    }
}
