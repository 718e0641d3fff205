//! Verifying a home: every log from its start, and the index against the logs.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use selvedge_codec::{ByteLength, ByteOffset, Ordinal, ThreadId};
use serde::Serialize;

use super::around::Breadth;
use super::{Store, parallel};
use crate::home::{LogPath, marks};
use crate::index::{Database, Fault, Look, PathRow, Tables, ThreadRow, View, check_keys};
use crate::listing::{FoundLog, prefer, walk};
use crate::log::{Damage, LogEvent, read_log};
use crate::projection::{PlacedTurn, Projection, apply_turn_changes, project};
use crate::{Error, Result};

/// How often a log is compared again that was written meanwhile.
const ROUNDS: usize = 3;
/// How long filling the index, or making it anew, waits for another process that does so already.
pub(super) const INDEX_WAIT: Duration = Duration::from_secs(30);

/// Bytes of a log that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogDamage {
    /// Where they begin: in the inherited segment, if `why` names one.
    pub offset: ByteOffset,
    /// How many they are.
    pub length: ByteLength,
    /// The first ordinal that is missing for them.
    pub first_ordinal: Ordinal,
    /// The ordinal that the log goes on with.
    pub next_ordinal: Ordinal,
    /// What is wrong with them.
    pub why: String,
}

impl From<Damage> for LogDamage {
    fn from(damage: Damage) -> Self {
        Self {
            offset: damage.offset,
            length: damage.length,
            first_ordinal: damage.first_ordinal,
            next_ordinal: damage.next_ordinal,
            why: damage.why.to_string(),
        }
    }
}

/// A log with damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// The log, below the home.
    pub path: String,
    /// Its thread.
    pub thread_id: ThreadId,
    /// What can't be read before its tail.
    pub damage: Vec<LogDamage>,
    /// What it ends with beyond its last whole batch or line.
    pub torn_tail: Option<LogDamage>,
}

/// A log that can't be read at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableLog {
    /// The log, below the home.
    pub path: String,
    /// Why.
    pub why: String,
}

/// Where the index is not what the logs say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowDifference {
    /// The thread, where the difference is one's.
    pub thread_id: Option<ThreadId>,
    /// The log, below the home.
    pub path: String,
    /// What differs.
    pub what: String,
}

/// What verifying found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// How many logs were read.
    pub logs: u64,
    /// How many records they hold. Those that forks inherit count for each log that has them.
    pub records: u64,
    /// How long they are together.
    pub bytes: ByteLength,
    /// How many logs end in the middle of a write that is going on.
    pub live_tails: u64,
    /// The logs with damage.
    pub damaged: Vec<LogReport>,
    /// The logs that can't be read at all.
    pub unreadable: Vec<UnreadableLog>,
    /// How many rows of the index were compared; `None` without an index.
    pub index_rows: Option<u64>,
    /// Where the index is not what the logs say.
    pub differences: Vec<RowDifference>,
}

/// What was found of one log.
enum Checked {
    Read(Box<CheckedLog>),
    Unreadable(UnreadableLog),
}

struct CheckedLog {
    path: LogPath,
    projection: Projection,
    bytes: ByteLength,
    report: Option<LogReport>,
    has_live_tail: bool,
}

impl Store {
    /// Reads every log from its start, and compares the index with what they say. Nothing is
    /// changed but the index, which is brought up to the logs first. One that can't be used (its file
    /// system is read-only, say) is not compared.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when another process holds the index, or has not filled it after 30 seconds;
    /// [`Error::Io`] when the home can't be listed. What is wrong with a log is in the report.
    pub fn verify(&self) -> Result<VerifyReport> {
        let is_usable = self
            .unless_unusable(|index| self.bring_up(index))?
            .is_some();
        let open = self.open_threads()?;
        let found = walk(self.disk(), self.home())?;
        let mut report = VerifyReport::default();
        let failures = found.failures.into_iter().map(|failure| UnreadableLog {
            path: failure.path,
            why: failure.why.to_string(),
        });
        report.unreadable.extend(failures);
        let mut fresh = Vec::new();
        for checked in parallel::filter_map(self.disk(), &found.logs, 1, |log| {
            self.check_log(log, &open)
        }) {
            match checked {
                Checked::Unreadable(log) => report.unreadable.push(log),
                Checked::Read(log) => fresh.push(report.count(*log)),
            }
        }
        if is_usable {
            self.unless_unusable(|index| self.check_index(index, fresh, &mut report))?;
        }
        report.finish();
        Ok(report)
    }

    fn bring_up(&self, index: &Database) -> Result<(), Fault> {
        let is_complete = index.read(|txn| {
            let state = txn.state()?;
            Ok(state.is_some_and(|state| self.is_complete(&state, txn.inode())))
        })?;
        if !is_complete {
            self.backfill(INDEX_WAIT, &|_| ())?;
        }
        let suspects = self.look_around(index, (Breadth::Logs, None))?;
        self.reconcile_in(index, &suspects).map(drop)
    }

    /// The threads that anybody has open for writing.
    pub(super) fn open_threads(&self) -> Result<HashSet<ThreadId>> {
        let files = marks::read_all(self.disk(), self.home())?;
        let alive = files.into_iter().filter(|marks| marks.alive);
        Ok(alive
            .flat_map(|marks| marks.threads)
            .map(|(id, _)| id)
            .collect())
    }

    fn check_log(&self, log: &FoundLog, open: &HashSet<ThreadId>) -> Option<Checked> {
        match self.read_whole(log, open) {
            Ok(checked) => Some(Checked::Read(Box::new(checked))),
            // Moved or removed meanwhile.
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
            Err(why) => Some(Checked::Unreadable(UnreadableLog {
                path: log.path.as_str().to_owned(),
                why: why.to_string(),
            })),
        }
    }

    fn read_whole(&self, log: &FoundLog, open: &HashSet<ThreadId>) -> Result<CheckedLog> {
        let file = self.home().log_file(&log.path);
        let mut scan = read_log(self.disk(), &file, log.format, None)?;
        let mut damage = Vec::new();
        for event in &mut scan {
            if let LogEvent::Damage(found) = event {
                damage.push(LogDamage::from(found));
            }
        }
        let stat = scan.stat();
        let projection = project(self.disk(), self.home(), &log.path, None)?;
        let thread_id = projection.thread.summary.thread_id;
        // A marked thread's writer may be in the middle of a write. Another tool leaves no marks:
        // its half line is told, since nothing tells it from one that was cut short.
        let is_live = open.contains(&thread_id);
        let torn_tail = scan.torn_tail().map(LogDamage::from);
        let has_live_tail = torn_tail.is_some() && is_live;
        let torn_tail = torn_tail.filter(|_| !is_live);
        let report = (!damage.is_empty() || torn_tail.is_some()).then(|| LogReport {
            path: log.path.as_str().to_owned(),
            thread_id,
            damage,
            torn_tail,
        });
        Ok(CheckedLog {
            path: log.path.clone(),
            projection,
            bytes: stat.len,
            report,
            has_live_tail,
        })
    }

    /// Compares the index with what the logs say.
    fn check_index(
        &self,
        index: &Database,
        fresh: Vec<(LogPath, Projection)>,
        report: &mut VerifyReport,
    ) -> Result<(), Fault> {
        let (rows, paths, keys) = index.read(|txn| {
            let rows = txn.threads()?;
            let paths: BTreeMap<_, _> = txn.paths()?.into_iter().collect();
            let keys = check_keys(txn, &rows)?;
            Ok((rows, paths, keys))
        })?;
        report.index_rows = Some(rows.len() as u64);
        let wrong_keys = keys.into_iter().map(|what| RowDifference {
            thread_id: None,
            path: String::new(),
            what,
        });
        report.differences.extend(wrong_keys);
        let mut rows: BTreeMap<ThreadId, ThreadRow> = rows
            .into_iter()
            .map(|row| (row.thread.summary.thread_id, row))
            .collect();
        let mut threads: BTreeMap<ThreadId, (LogPath, Projection)> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (path, projection) in fresh {
            seen.insert(path.clone());
            let id = projection.thread.summary.thread_id;
            match threads.get(&id) {
                Some((other, _)) if prefer(other, &path).is_lt() => {}
                _ => {
                    threads.insert(id, (path, projection));
                }
            }
        }
        for (id, (path, projection)) in threads {
            let found = (&path, projection);
            if let Some(what) = self.compare(index, rows.remove(&id), found)? {
                report.differences.push(RowDifference {
                    thread_id: Some(id),
                    path: path.as_str().to_owned(),
                    what,
                });
            }
        }
        let extra = self.extra(&rows, &paths, &seen);
        report.differences.extend(extra);
        Ok(())
    }

    /// Rows and paths of logs that are not there. A log that was made meanwhile is.
    fn extra(
        &self,
        rows: &BTreeMap<ThreadId, ThreadRow>,
        paths: &BTreeMap<LogPath, PathRow>,
        seen: &BTreeSet<LogPath>,
    ) -> Vec<RowDifference> {
        let is_there = |path: &str| self.disk().stat(&self.home().resolve(path)).is_ok();
        let rows = rows.iter().map(|(id, row)| {
            let path = row.thread.summary.rollout_path.clone();
            (*id, path, "the index has a thread that no log tells of")
        });
        let paths = paths.iter().filter(|(path, _)| !seen.contains(path));
        let paths = paths.map(|(path, row)| {
            let path = path.as_str().to_owned();
            (row.thread_id, path, "the index has a log that is not there")
        });
        rows.chain(paths)
            .filter(|(_, path, _)| !is_there(path))
            .map(|(id, path, what)| RowDifference {
                thread_id: Some(id),
                path,
                what: what.to_owned(),
            })
            .collect()
    }

    /// How a row differs from what its log says. A log that is written meanwhile is read again.
    fn compare(
        &self,
        index: &Database,
        row: Option<ThreadRow>,
        (path, mut fresh): (&LogPath, Projection),
    ) -> Result<Option<String>, Fault> {
        let id = fresh.thread.summary.thread_id;
        let mut row = row;
        for _ in 0..ROUNDS {
            let (known, turns) = match &row {
                Some(row) => (row, index.read(|txn| txn.turns(id))?),
                None => {
                    let is_there = self.disk().stat(&self.home().log_file(path)).is_ok();
                    let missing = "the index has no row of it".to_owned();
                    return Ok(is_there.then_some(missing));
                }
            };
            let known_look = Look::from(&known.thread.checkpoint);
            let is_same_file = known.thread.summary.rollout_path != path.as_str()
                || known_look == Look::from(&fresh.thread.checkpoint);
            if is_same_file {
                return Ok(difference(known, &turns, &fresh));
            }
            self.look_at(index, vec![path.clone()])?;
            row = index.read(|txn| txn.thread(id))?;
            match project(self.disk(), self.home(), path, None) {
                Ok(again) => fresh = again,
                // Moved or damaged since it was read whole.
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }
}

fn difference(row: &ThreadRow, turns: &[PlacedTurn], fresh: &Projection) -> Option<String> {
    if row.thread.summary != fresh.thread.summary {
        let fields = |summary| match serde_json::to_value(summary) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let (known, found) = (fields(&row.thread.summary), fields(&fresh.thread.summary));
        let names: Vec<_> = found
            .iter()
            .filter(|(name, value)| known.get(*name) != Some(value))
            .map(|(name, _)| name.as_str())
            .collect();
        return Some(format!("the index has another {}", names.join(", ")));
    }
    if row.thread != fresh.thread {
        return Some("the index has another checkpoint".to_owned());
    }
    let mut expected = Vec::new();
    apply_turn_changes(&mut expected, fresh.turns.clone());
    (turns != expected).then(|| "the index has other turns".to_owned())
}

impl VerifyReport {
    fn count(&mut self, log: CheckedLog) -> (LogPath, Projection) {
        self.logs += 1;
        self.records += log.projection.thread.summary.item_count;
        self.bytes = self.bytes.plus(log.bytes.get());
        self.live_tails += u64::from(log.has_live_tail);
        self.damaged.extend(log.report);
        (log.path, log.projection)
    }

    fn finish(&mut self) {
        self.damaged.sort_by(|a, b| a.path.cmp(&b.path));
        self.unreadable.sort_by(|a, b| a.path.cmp(&b.path));
        self.differences.sort_by(|a, b| a.path.cmp(&b.path));
        self.ok =
            self.damaged.is_empty() && self.unreadable.is_empty() && self.differences.is_empty();
    }
}
