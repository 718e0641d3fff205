//! A home in memory that an input has for itself: engine and redb run on the simulated disk.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use selvedge_codec::{Item, Ordinal, Record, ThreadId, UtcMicros};
use selvedge_engine::clock::ManualClock;
use selvedge_engine::disk::Disk;
use selvedge_engine::disk::simulated::SimulatedDisk;
use selvedge_engine::home::{Home, LogFormat, LogPath};
use selvedge_engine::listing::{ListQuery, ThreadFilter};
use selvedge_engine::log::{History, LogContext, LogEvent, load_history, read_log_backwards};
use selvedge_engine::store::{IndexUse, Store, StoreOptions};

/// The thread that inputs are logs of.
pub const ID: ThreadId = ThreadId::from_bytes([7; 16]);

/// 2026-02-20T09:15:00Z: long enough ago that no file passes for one that is just being made.
const NOW: UtcMicros = UtcMicros::new(1_771_578_900_000_000);

/// A home, its disk and its clock.
#[derive(Debug)]
pub struct Bench {
    pub medium: SimulatedDisk,
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<ManualClock>,
    pub home: Home,
}

impl Bench {
    /// An empty home.
    #[must_use]
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::new(NOW));
        let medium = SimulatedDisk::new(0, clock.clone());
        let home = Home::at("/home");
        medium.make_dirs(&home.resolve("sessions/2026/02/20"));
        Self {
            disk: Arc::new(medium.process()),
            medium,
            clock,
            home,
        }
    }

    /// Where the log of [`ID`] lies.
    #[must_use]
    pub fn log_path(&self, format: LogFormat) -> LogPath {
        Home::new_log_path(ID, NOW, format)
    }

    /// Makes a file hold these bytes, a while after what happened before.
    pub fn put(&self, path: &LogPath, bytes: &[u8]) {
        self.clock.advance_micros(10_000_000);
        self.medium.write_file(&self.home.log_file(path), bytes);
        self.clock.advance_micros(10_000_000);
    }

    /// A file's bytes.
    #[must_use]
    pub fn bytes(&self, path: &LogPath) -> Option<Vec<u8>> {
        self.medium.read_file(&self.home.log_file(path))
    }

    /// Every file but the index and the engine's own, with its bytes.
    #[must_use]
    pub fn logs(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let below = [
            self.home.resolve("sessions"),
            self.home.resolve("archived_sessions"),
        ];
        let files = self.medium.files().into_iter();
        files
            .filter(|file| below.iter().any(|dir| file.starts_with(dir)))
            .map(|file| {
                (
                    file.clone(),
                    self.medium.read_file(&file).unwrap_or_default(),
                )
            })
            .collect()
    }

    /// What logs are opened with.
    #[must_use]
    pub fn context(&self) -> LogContext {
        LogContext::new(self.disk.clone(), self.clock.clone(), self.home.clone())
    }

    /// All that a log holds, read forwards; checked against the same read backwards.
    pub fn history(&self, path: &LogPath) -> Result<History, selvedge_engine::Error> {
        let file = self.home.log_file(path);
        let format = LogFormat::of_file_name(path.file_name()).expect("a log's name");
        let history = load_history(&*self.disk, &file, format)?;
        let backwards = read_log_backwards(&*self.disk, &file, format, Some(history.position))
            .expect("what is read forwards is read backwards");
        let mut records: Vec<Record> = backwards
            .map(|event| event.expect("memory is read"))
            .filter_map(|event| match event {
                LogEvent::Record(record) => Some(record),
                LogEvent::Damage(_) => None,
            })
            .collect();
        records.reverse();
        if format == LogFormat::Native {
            // Where records lie twice, and the first of them is damaged, a walk from the tail gives
            // the second, which a scan has to pass over.
            records.retain(|record| {
                history.records.contains(record) || !is_missing(&history, record.ordinal)
            });
        }
        assert_eq!(records, history.records, "backwards and forwards differ");
        Ok(history)
    }

    /// The home, opened.
    pub fn store(&self, index: IndexUse) -> Store {
        let mut options = StoreOptions::new(self.home.root());
        options.disk = self.disk.clone();
        options.clock = self.clock.clone();
        options.index = index;
        Store::open(options).expect("a home in memory is opened")
    }

    /// What the index says is what the logs say, and its verification says so too.
    pub fn check_index(&self) {
        let indexed = self.store(IndexUse::Use);
        indexed
            .backfill(Duration::ZERO, &|_| {})
            .expect("a home in memory is covered");
        let scanned = self.store(IndexUse::None);
        for archived in [false, true] {
            let query = ListQuery {
                filter: ThreadFilter {
                    archived,
                    include_empty: true,
                    ..ThreadFilter::default()
                },
                ..ListQuery::default()
            };
            let of_index = indexed.list(&query).expect("the index is there");
            let of_scan = scanned.list(&query).expect("the logs are there");
            assert_eq!(of_index.threads, of_scan.threads);
        }
        let report = indexed.verify().expect("a home in memory is verified");
        assert_eq!(report.differences, []);
    }
}

fn is_missing(history: &History, ordinal: Ordinal) -> bool {
    let damage = history.damage.iter();
    damage
        .map(|damage| damage.first_ordinal..damage.next_ordinal)
        .any(|missing| missing.contains(&ordinal))
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

/// A batch of two records.
#[must_use]
pub fn batch() -> Vec<Item> {
    let payloads = [
        r#"{"type":"user_message","message":"appended"}"#,
        r#"{"type":"task_complete"}"#,
    ];
    payloads
        .map(|payload| Item::json("event_msg", payload).expect("it is one"))
        .into()
}

/// The front of an input says how the rest is damaged: each edit is three bytes.
pub fn damage(bytes: &mut Vec<u8>, edits: &[u8]) {
    for edit in edits.chunks_exact(3) {
        if bytes.is_empty() {
            return;
        }
        let place = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
        let at = (place & 0x1fff) % bytes.len();
        match place >> 13 {
            // A byte is another one; most inputs have edits that change nothing.
            0..=3 => bytes[at] ^= edit[2],
            4 => bytes.truncate(at),
            5 => {
                // A stretch comes twice.
                let end = (at + usize::from(edit[2])).min(bytes.len());
                let stretch = bytes[at..end].to_vec();
                bytes.splice(at..at, stretch);
            }
            6 => {
                let end = (at + usize::from(edit[2])).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let end = (at + usize::from(edit[2])).min(bytes.len());
                bytes[at..end].fill(0);
            }
        }
    }
}
