//! Writing logs, on the machine's file system and on one that fails when told to.

mod faults;
mod faulty_disk;
mod forks;
mod found;
mod inherited;
mod lines;
mod model;
mod native;
mod rows;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_codec::segment::{HEADER_BYTES, ScanStart, SegmentHeader, scan};
use selvedge_codec::{ByteLength, ByteOffset, Item, Ordinal, Record, ThreadId, UtcMicros};

use super::{Appended, LogContext, NewThread, ThreadLog};
use crate::clock::ManualClock;
use crate::disk::{Disk, OpenMode, RealDisk, read_range};
use crate::home::{Home, LogPath};

/// 2026-02-20T09:15:00Z
const START: UtcMicros = UtcMicros::new(1_771_578_900_000_000);

struct TestHome {
    dir: tempfile::TempDir,
}

impl TestHome {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn home(&self) -> Home {
        Home::at(self.dir.path())
    }

    /// The context of a store of its own.
    fn context(&self) -> LogContext {
        self.context_on(Arc::new(RealDisk))
    }

    fn context_on(&self, disk: Arc<dyn Disk>) -> LogContext {
        LogContext::new(disk, Arc::new(ManualClock::new(START)), self.home())
    }

    fn file(&self, path: &LogPath) -> PathBuf {
        self.home().log_file(path)
    }

    fn bytes(&self, path: &LogPath) -> Bytes {
        bytes_of(&self.file(path))
    }

    /// Puts a file in the home, with its folders.
    fn put(&self, path: &str, bytes: &[u8]) -> LogPath {
        let path = LogPath::new(path.to_owned()).unwrap();
        let mut dir = self.home().root().to_path_buf();
        for part in path.parent().split('/').filter(|part| !part.is_empty()) {
            dir.push(part);
            RealDisk.create_dir(&dir).unwrap();
        }
        let file = RealDisk
            .open(&self.file(&path), OpenMode::CreateOrOpen)
            .unwrap();
        file.set_len(ByteLength::ZERO).unwrap();
        file.write_all_at(bytes, ByteOffset::ZERO).unwrap();
        path
    }

    /// What lies beside a log, by name.
    fn beside(&self, path: &LogPath) -> Vec<String> {
        let dir = self.home().resolve(path.parent());
        let mut names: Vec<String> = RealDisk
            .list(&dir)
            .unwrap()
            .into_iter()
            .map(|entry| entry.name.unwrap())
            .filter(|name| name != path.file_name())
            .collect();
        names.sort();
        names
    }
}

fn bytes_of(path: &std::path::Path) -> Bytes {
    let file = RealDisk.open(path, OpenMode::Read).unwrap();
    let len = file.len().unwrap();
    read_range(&*file, ByteOffset::ZERO, len).unwrap().into()
}

fn message(text: &str) -> Item {
    let payload = serde_json::json!({"type": "user_message", "message": text});
    Item::json("event_msg", payload.to_string()).unwrap()
}

fn event(kind: &str, turn: &str) -> Item {
    let payload = serde_json::json!({"type": kind, "turn_id": turn});
    Item::json("event_msg", payload.to_string()).unwrap()
}

fn new_thread(thread_id: ThreadId) -> NewThread {
    let meta = serde_json::json!({"id": thread_id.to_string(), "cwd": "/w"});
    NewThread {
        thread_id,
        created_at: START,
        meta: Item::json("session_meta", meta.to_string()).unwrap(),
    }
}

fn append(log: &mut ThreadLog, text: &str) -> Appended {
    let appended = log.append(vec![vec![message(text)]]).unwrap();
    assert_eq!(appended.len(), 1);
    appended[0]
}

/// The records of a native log's bytes, by the codec's own scan. There must be no damage.
fn native_records(bytes: &Bytes) -> Vec<Record> {
    let header = SegmentHeader::decode(bytes).unwrap();
    let start = ScanStart {
        seed: header.seed(),
        offset: ByteOffset::new(HEADER_BYTES as u64),
        next_ordinal: Ordinal::ZERO,
    };
    let mut frames = scan(bytes.slice(HEADER_BYTES..), start);
    let records = (&mut frames)
        .map(|event| match event {
            selvedge_codec::segment::ScanEvent::Record(record) => record,
            gap => panic!("{gap:?}"),
        })
        .collect();
    assert_eq!(frames.end(), Some(selvedge_codec::segment::ScanEnd::Clean));
    records
}

/// The messages of a log's records, without its meta; their ordinals must be gapless.
fn messages(records: &[Record]) -> Vec<String> {
    for (ordinal, record) in (0..).zip(records) {
        assert_eq!(record.ordinal, Ordinal::new(ordinal));
    }
    records
        .iter()
        .filter_map(|record| {
            let payload = record.payload_json().unwrap();
            let payload: serde_json::Value = serde_json::from_str(payload.get()).unwrap();
            payload["message"].as_str().map(str::to_owned)
        })
        .collect()
}
