//! What a home holds, in numbers.

use selvedge_codec::ByteLength;
use serde::Serialize;

use super::around::Breadth;
use super::{LastBackfill, Store, UnreadableLog};
use crate::Result;
use crate::home::{LogFormat, LogPath};
use crate::index::{Database, Fault, Table, Tables, View};
use crate::listing::{Coverage, scan_home, walk};
use crate::thread::ThreadSummary;

/// The logs of one format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FormatStats {
    /// How many.
    pub logs: u64,
    /// How long they are together.
    pub bytes: ByteLength,
}

/// What a home holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreStats {
    /// How many threads.
    pub threads: u64,
    /// How many of them are archived.
    pub archived: u64,
    /// In how many of them no user has said anything yet.
    pub empty: u64,
    /// How many of them have lines or gaps that can't be read.
    pub damaged: u64,
    /// How many turns, rolled back ones included.
    pub turns: u64,
    /// How many records. Those that forks inherit count for each thread that has them.
    pub records: u64,
    /// The native logs.
    pub native: FormatStats,
    /// The plain JSON-lines logs.
    pub json_lines: FormatStats,
    /// The compressed JSON-lines logs.
    pub compressed_json_lines: FormatStats,
    /// Whether every log was covered, and how many can't be read.
    pub coverage: Coverage,
    /// How large the index's file is; `None` without an index.
    pub index_bytes: Option<ByteLength>,
    /// The latest backfill that read a log or more.
    pub last_backfill: Option<LastBackfill>,
}

impl StoreStats {
    const fn new(coverage: Coverage) -> Self {
        let none = FormatStats {
            logs: 0,
            bytes: ByteLength::ZERO,
        };
        Self {
            threads: 0,
            archived: 0,
            empty: 0,
            damaged: 0,
            turns: 0,
            records: 0,
            native: none,
            json_lines: none,
            compressed_json_lines: none,
            coverage,
            index_bytes: None,
            last_backfill: None,
        }
    }

    fn count_thread(&mut self, thread: &ThreadSummary) {
        self.threads += 1;
        self.archived += u64::from(thread.is_archived());
        self.empty += u64::from(!thread.has_user_message());
        self.damaged += u64::from(thread.damaged_count > 0);
        self.records += thread.item_count;
    }

    fn count_log(&mut self, path: &LogPath, len: ByteLength) {
        let format = match LogFormat::of_file_name(path.file_name()) {
            Some(LogFormat::Native) => &mut self.native,
            Some(LogFormat::JsonLines) => &mut self.json_lines,
            Some(LogFormat::CompressedJsonLines) => &mut self.compressed_json_lines,
            None => return,
        };
        format.logs += 1;
        format.bytes = format.bytes.plus(len.get());
    }
}

impl Store {
    /// The logs that can't be read, as far as they were looked at, each with its reason.
    ///
    /// # Errors
    /// As [`Store::stats`].
    pub fn unreadable_logs(&self) -> Result<Vec<UnreadableLog>> {
        let log = |(path, why)| UnreadableLog { path, why };
        let told = self.unless_unusable(|index| index.read(|txn| txn.failures()))?;
        let Some(failures) = told else {
            let failures = scan_home(self.disk(), self.home())?.failures.into_iter();
            return Ok(failures
                .map(|failure| log((failure.path, failure.why.to_string())))
                .collect());
        };
        Ok(failures
            .into_iter()
            .map(|(path, failure)| log((path, failure.why)))
            .collect())
    }

    /// What the home holds, in numbers.
    ///
    /// # Errors
    /// [`crate::Error::TimedOut`] when another process holds the index; [`crate::Error::Io`].
    pub fn stats(&self) -> Result<StoreStats> {
        match self.unless_unusable(|index| self.stats_by_index(index))? {
            Some(stats) => Ok(stats),
            None => self.stats_by_scan(),
        }
    }

    fn stats_by_index(&self, index: &Database) -> Result<StoreStats, Fault> {
        let suspects = self.look_around(index, (Breadth::Logs, None))?;
        self.reconcile_in(index, &suspects)?;
        let index_bytes = index.stat()?.map(|stat| stat.len);
        index.read(|txn| {
            let state = txn.state()?;
            let mut stats = StoreStats::new(self.coverage_in(txn, state.as_ref())?);
            for row in txn.threads()? {
                stats.count_thread(&row.thread.summary);
            }
            for (path, row) in txn.paths()? {
                stats.count_log(&path, row.look.len);
            }
            stats.turns = txn.count(Table::Turns)?;
            stats.index_bytes = index_bytes;
            stats.last_backfill = state.and_then(|state| state.last_backfill);
            Ok(stats)
        })
    }

    fn stats_by_scan(&self) -> Result<StoreStats> {
        let scan = scan_home(self.disk(), self.home())?;
        let failed = scan.failures.len() as u64;
        let mut stats = StoreStats::new(Coverage::Complete { failed });
        for projection in &scan.threads {
            stats.count_thread(&projection.thread.summary);
            let mut turns = Vec::new();
            crate::projection::apply_turn_changes(&mut turns, projection.turns.clone());
            stats.turns += turns.len() as u64;
        }
        let failed: std::collections::HashSet<_> =
            scan.failures.iter().map(|failure| &failure.path).collect();
        for log in walk(self.disk(), self.home())?.logs {
            if !failed.contains(&String::from(log.path.clone())) {
                stats.count_log(&log.path, log.stat.len);
            }
        }
        Ok(stats)
    }
}
