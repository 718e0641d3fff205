//! How the index's values are encoded: the only file of the engine that speaks to bincode.
//!
//! ```text
//! version u8 | crc32 of version and body | body: one struct of this file, in bincode
//! ```
//!
//! bincode knows no change of a struct: a struct that changes takes a new [`VERSION`], and an
//! index of another version is made again from the logs. A golden test holds the bytes.

use bincode::config::{Configuration, Limit};
use selvedge_codec::{ByteLength, ThreadId, UtcMicros};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use crate::disk::FileStat;
use crate::home::LogPath;
use crate::listing::Fnv;
use crate::process::ProcessIdentity;
use crate::projection::{Checkpoint, ProjectedThread};
use crate::thread::ThreadSummary;

/// The version of every struct below.
pub(crate) const VERSION: u8 = 4;
const PREFIX_BYTES: usize = 5;
/// Without a limit a few damaged bytes could ask for all memory. No row comes near this one.
const LIMIT: usize = 16 << 20;

type Config = Configuration<bincode::config::LittleEndian, bincode::config::Varint, Limit<LIMIT>>;

const fn config() -> Config {
    bincode::config::standard().with_limit::<LIMIT>()
}

/// Encodes a row.
pub(crate) fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, Fault> {
    let body = bincode::serde::encode_to_vec(row, config())
        .map_err(|error| Fault::Damaged(format!("a row can't be encoded: {error}")))?;
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + body.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&checksum(VERSION, &body));
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Decodes a row, all of it.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let damaged = |why: &str| Fault::Damaged(format!("a row {why}"));
    let (prefix, body) = bytes
        .split_first_chunk::<PREFIX_BYTES>()
        .ok_or_else(|| damaged("is cut short"))?;
    let [version, stored @ ..] = *prefix;
    if stored != checksum(version, body) {
        return Err(damaged("does not match its checksum"));
    }
    if version != VERSION {
        return Err(Fault::Damaged(format!("a row has version {version}")));
    }
    let (row, consumed) = bincode::serde::decode_from_slice(body, config())
        .map_err(|error| Fault::Damaged(format!("a row can't be decoded: {error}")))?;
    if consumed != body.len() {
        return Err(damaged("has bytes behind its end"));
    }
    Ok(row)
}

fn checksum(version: u8, body: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version]);
    hasher.update(body);
    hasher.finalize().to_le_bytes()
}

/// What a file looked like. One that looks the same has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Look {
    pub(crate) len: ByteLength,
    pub(crate) mtime_nanos: i64,
    pub(crate) inode: u64,
}

impl From<FileStat> for Look {
    fn from(stat: FileStat) -> Self {
        Self {
            len: stat.len,
            mtime_nanos: stat.mtime_nanos,
            inode: stat.inode,
        }
    }
}

/// A thread, in the table of threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ThreadRow {
    pub(crate) thread: ProjectedThread,
    /// The name that lies outside of the log; the log's own goes before it.
    pub(crate) outside_name: Option<String>,
    /// Which reading of the log from its start this goes back to: what was read since went on there.
    /// Where a record lies that was met in another reading proves nothing.
    pub(crate) reading: u64,
}

/// A number for the reading of a log from its start that was made of the file as it was then.
pub(crate) fn reading_of(checkpoint: &Checkpoint) -> u64 {
    let mut hash = Fnv::new();
    hash.add(&checkpoint.inode.to_be_bytes());
    hash.add(&checkpoint.mtime_nanos.to_be_bytes());
    hash.add(&checkpoint.file_len.get().to_be_bytes());
    hash.get()
}

impl ThreadRow {
    /// Gives the summary the name that lies outside of the log, where the log says nothing of it.
    pub(crate) fn apply_name(&mut self) {
        self.thread.take_outside_name(self.outside_name.take());
    }

    /// The log that it was made of. A row's path was one when it was written.
    pub(crate) fn path(&self) -> Option<LogPath> {
        LogPath::new(self.thread.summary.rollout_path.clone())
    }

    /// What readers see.
    pub(crate) fn into_summary(mut self) -> ThreadSummary {
        self.apply_name();
        self.thread.summary
    }
}

/// A log that was projected, in the table of paths. Every log has one, also the less preferred of
/// two logs of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PathRow {
    pub(crate) thread_id: ThreadId,
    pub(crate) look: Look,
    /// The number of the boot in which it was last found changed; 0 once a later boot has read the
    /// same of it, which was on the medium then.
    pub(crate) boot: u64,
}

/// A folder whose logs are all in the table of paths, or in that of failures, as of this look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DirRow {
    pub(crate) mtime_nanos: i64,
    pub(crate) inode: u64,
    /// Whether the look came long enough after the folder's modification: a file that follows in
    /// the same tick of its clock does not move the time again.
    pub(crate) is_proven: bool,
}

/// A log that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailureRow {
    pub(crate) why: String,
    /// What it looked like, so that it is tried again when it changes; `None` for what is no
    /// file, and is tried again with its folder.
    pub(crate) look: Option<Look>,
}

/// Who may backfill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaseOwner {
    pub(crate) process: ProcessIdentity,
    /// Which of the process's backfills.
    pub(crate) backfill: u64,
}

/// The fencing number of a lease: a later owner has a larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Epoch(pub(crate) u64);

/// The backfill lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaseRow {
    pub(crate) epoch: Epoch,
    /// `None` when nobody has it.
    pub(crate) held: Option<HeldLease>,
}

/// A lease that somebody has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldLease {
    pub(crate) owner: LeaseOwner,
    pub(crate) expires: UtcMicros,
}

/// What is known of the index itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateRow {
    /// Made anew with each index: what is kept in memory of another one is void.
    pub(crate) birth: ThreadId,
    /// The boot in which the index was written to last.
    pub(crate) boot_id: String,
    /// Its number.
    pub(crate) boot: u64,
    /// The last boot in which everything was looked at: what was found changed in those before it was
    /// read again in it.
    pub(crate) settled_boot: u64,
    /// The index's own file: a copy that was put in its place knows nothing of what happened in
    /// between.
    pub(crate) inode: u64,
    /// Whether every log of the home is in the table of paths or that of failures.
    pub(crate) is_complete: bool,
    /// How many logs a backfill that is not done yet has left to do.
    pub(crate) pending: u64,
    /// The file of names beside the logs, as of when its names were taken over.
    pub(crate) names: Option<Look>,
    /// Counts the commits that touched the paths of JSON-lines logs, so that what is kept of them
    /// in memory is known to be good.
    pub(crate) lines_epoch: u64,
    /// The same for folders.
    pub(crate) dirs_epoch: u64,
    /// The latest backfill that read a log or more.
    pub(crate) last_backfill: Option<LastBackfill>,
}

impl StateRow {
    /// Notes in which boot the index is written to.
    pub(crate) fn enter_boot(&mut self, boot_id: &str) {
        if self.boot_id != boot_id {
            boot_id.clone_into(&mut self.boot_id);
            self.boot = self.boot.saturating_add(1);
            self.is_complete = false;
        }
    }

    /// Whether what was read of a file in the boot of this number may be lost, although the file looks
    /// as it did then: its last bytes may never have come to the medium before the power failed.
    pub(crate) fn doubts(&self, boot: u64, running: &str) -> bool {
        let is_of_this_boot = self.boot_id == running && self.boot == boot;
        !is_of_this_boot && boot >= self.settled_boot
    }

    /// The same of a file that could not be read, whenever that was.
    pub(crate) fn doubts_failures(&self, running: &str) -> bool {
        self.boot_id != running || self.settled_boot < self.boot
    }
}

/// How a backfill went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastBackfill {
    /// When it was done.
    pub finished_at: UtcMicros,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How many logs it read.
    pub projected: u64,
}

#[cfg(test)]
mod tests {
    use selvedge_codec::ByteOffset;

    use super::*;
    use crate::disk::{Disk, OpenMode, RealDisk};
    use crate::home::Home;
    use crate::projection::project;

    const GOLDEN: &str = include_str!("golden/thread_row.hex");
    const LOG: &str = include_str!("golden/thread_row.jsonl");

    fn row() -> ThreadRow {
        let dir = tempfile::tempdir().unwrap();
        RealDisk.create_dir(&dir.path().join("sessions")).unwrap();
        let path = LogPath::new("sessions/golden.jsonl".into()).unwrap();
        let home = Home::at(dir.path());
        RealDisk
            .open(&home.log_file(&path), OpenMode::CreateNew)
            .unwrap()
            .write_all_at(LOG.as_bytes(), ByteOffset::ZERO)
            .unwrap();
        let mut thread = project(&RealDisk, &home, &path, None).unwrap().thread;
        thread.checkpoint.mtime_nanos = 1_771_578_900_123_456_789;
        thread.checkpoint.inode = 4711;
        ThreadRow {
            thread,
            outside_name: Some("outside".into()),
            reading: 1 << 63,
        }
    }

    fn from_hex(text: &str) -> Vec<u8> {
        let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
            .collect()
    }

    fn to_hex(bytes: &[u8]) -> String {
        let lines = bytes.chunks(32).map(|line| {
            let digits = line.iter().map(|byte| format!("{byte:02x}"));
            digits.collect::<String>() + "\n"
        });
        lines.collect()
    }

    #[test]
    fn a_row_has_the_bytes_that_it_always_had() {
        let encoded = encode(&row()).unwrap();
        assert_eq!(
            to_hex(&encoded),
            GOLDEN,
            "a struct of the index has changed: it takes a new VERSION and a new golden file"
        );
        assert_eq!(decode::<ThreadRow>(&from_hex(GOLDEN)).unwrap(), row());
    }

    #[test]
    fn a_row_that_is_not_whole_is_damaged() {
        let good = encode(&row()).unwrap();
        let is_refused = |bytes: &[u8]| decode::<ThreadRow>(bytes).is_err();
        for at in 0..good.len() {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            assert!(is_refused(&flipped), "byte {at}");
            assert!(is_refused(&good[..at]), "cut at {at}");
        }
        assert!(is_refused(&[&good[..], b"x"].concat()));
    }

    #[test]
    fn a_huge_length_asks_for_no_memory() {
        // A text of 2^62 bytes, under a right checksum.
        let body = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0x40];
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&checksum(VERSION, &body));
        bytes.extend_from_slice(&body);
        assert!(decode::<String>(&bytes).is_err());
    }

    #[test]
    fn a_row_of_another_version_is_not_read() {
        let mut bytes = encode(&"text").unwrap();
        bytes[0] = VERSION + 1;
        let sum = checksum(VERSION + 1, &bytes[PREFIX_BYTES..]);
        bytes[1..PREFIX_BYTES].copy_from_slice(&sum);
        let refused = decode::<String>(&bytes);
        assert!(
            matches!(&refused, Err(Fault::Damaged(why)) if why.contains(&format!("version {}", VERSION + 1)))
        );
    }
}
