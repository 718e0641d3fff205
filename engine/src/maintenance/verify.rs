//! Checking every log, and the index against the logs.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use selvedge_codec::{ByteLength, ByteOffset, Ordinal, ThreadId};
use serde::Serialize;

use crate::disk::Disk;
use crate::home::Home;
use crate::listing::{FoundLog, prefer, walk};
use crate::log::{Damage, LogEvent, read_log};
use crate::projection::{ProjectedThread, project};
use crate::{Error, Result};

/// What kind of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Bytes of a log could not be read; what lies behind them could.
    Damage,
    /// A log ends with half a batch or line.
    TornTail,
    /// A log can't be read at all.
    Unreadable,
    /// The index lacks a thread.
    MissingFromIndex,
    /// The index has a thread that no log belongs to.
    ExtraInIndex,
    /// The index says something else of a thread than its log.
    DiffersFromIndex,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// The log, below the home.
    pub path: String,
    /// Its thread, where that is known.
    pub thread_id: Option<ThreadId>,
    /// Where it begins, in bytes.
    pub offset: ByteOffset,
    /// How many bytes it takes.
    pub length: ByteLength,
    /// The first ordinal that is missing for it.
    pub first_ordinal: Ordinal,
    /// The ordinal after the missing ones.
    pub next_ordinal: Ordinal,
    /// What is wrong.
    pub why: String,
}

/// The state of a home.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Whether nothing was found.
    pub ok: bool,
    /// How many logs were read.
    pub logs: u64,
    /// How many records they hold.
    pub records: u64,
    /// How many bytes they take.
    pub bytes: u64,
    /// Whether an index was compared.
    pub index_checked: bool,
    /// What was found, in the order of the logs' paths.
    pub findings: Vec<Finding>,
}

/// What an index holds, to be compared with the logs.
#[derive(Debug, Clone, Default)]
pub struct IndexContents {
    /// Every row.
    pub threads: Vec<ProjectedThread>,
}

/// One log, read from its start.
struct Checked {
    log: FoundLog,
    records: u64,
    findings: Vec<Finding>,
    projected: Option<ProjectedThread>,
}

/// Reads every log from its start, and compares the index's rows with what the logs say.
/// Threads in `being_written` may have grown since their row was read, and may end with what
/// their writer is just writing.
///
/// # Errors
/// As walking the home does. A log that can't be read is a finding.
pub fn verify_home(
    place: (&dyn Disk, &Home),
    index: Option<&IndexContents>,
    being_written: &HashSet<ThreadId>,
) -> Result<VerifyReport> {
    let (disk, home) = place;
    let found = walk(disk, home)?;
    let mut report = VerifyReport {
        index_checked: index.is_some(),
        ..VerifyReport::default()
    };
    for failure in &found.failures {
        report
            .findings
            .push(unreadable(&failure.path, &failure.why));
    }
    let mut canonical: HashMap<ThreadId, Checked> = HashMap::new();
    for mut checked in check_all(place, found.logs, being_written) {
        report.logs += 1;
        report.records += checked.records;
        report.bytes += checked.log.stat.len.get();
        report.findings.append(&mut checked.findings);
        if let Some(projected) = &checked.projected {
            let id = projected.summary.thread_id;
            let wins = canonical
                .get(&id)
                .is_none_or(|other| prefer(&checked.log.path, &other.log.path).is_lt());
            if wins {
                canonical.insert(id, checked);
            }
        }
    }
    if let Some(index) = index {
        report
            .findings
            .extend(compare(index, &canonical, being_written));
    }
    report
        .findings
        .sort_by(|a, b| (&a.path, a.offset).cmp(&(&b.path, b.offset)));
    report.ok = report.findings.is_empty();
    Ok(report)
}

fn check_all(
    place: (&dyn Disk, &Home),
    logs: Vec<FoundLog>,
    being_written: &HashSet<ThreadId>,
) -> Vec<Checked> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(logs.len()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(log) = logs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let checked = check(place, log, being_written);
                    done.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(checked);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn check(place: (&dyn Disk, &Home), log: &FoundLog, being_written: &HashSet<ThreadId>) -> Checked {
    let mut checked = Checked {
        log: log.clone(),
        records: 0,
        findings: Vec::new(),
        projected: None,
    };
    if let Err(why) = read(place, &mut checked, being_written) {
        checked.findings.push(unreadable(log.path.as_str(), &why));
    }
    checked
}

fn read(
    place: (&dyn Disk, &Home),
    checked: &mut Checked,
    being_written: &HashSet<ThreadId>,
) -> Result<()> {
    let (disk, home) = place;
    let log = &checked.log;
    let projected = project(disk, home, &log.path, None)?.thread;
    let id = projected.summary.thread_id;
    let mut scan = read_log(disk, &home.log_file(&log.path), log.format, None)?;
    let finding = |kind, damage: Damage| Finding {
        kind,
        path: log.path.to_string(),
        thread_id: Some(id),
        offset: damage.offset,
        length: damage.length,
        first_ordinal: damage.first_ordinal,
        next_ordinal: damage.next_ordinal,
        why: damage.why.to_string(),
    };
    for event in scan.by_ref() {
        match event {
            LogEvent::Record(_) => checked.records += 1,
            LogEvent::Damage(damage) => checked.findings.push(finding(FindingKind::Damage, damage)),
        }
    }
    if let Some(torn) = scan.torn_tail().filter(|_| !being_written.contains(&id)) {
        checked.findings.push(finding(FindingKind::TornTail, torn));
    }
    checked.projected = Some(projected);
    Ok(())
}

fn unreadable(path: &str, why: &Error) -> Finding {
    Finding {
        kind: FindingKind::Unreadable,
        path: path.to_owned(),
        thread_id: None,
        offset: ByteOffset::ZERO,
        length: ByteLength::ZERO,
        first_ordinal: Ordinal::ZERO,
        next_ordinal: Ordinal::ZERO,
        why: why.to_string(),
    }
}

/// What the index says otherwise than the logs.
fn compare(
    index: &IndexContents,
    logs: &HashMap<ThreadId, Checked>,
    being_written: &HashSet<ThreadId>,
) -> Vec<Finding> {
    let finding = |kind, thread: &ProjectedThread, why: &str| Finding {
        kind,
        path: thread.summary.rollout_path.clone(),
        thread_id: Some(thread.summary.thread_id),
        offset: thread.checkpoint.position.offset,
        length: ByteLength::ZERO,
        first_ordinal: thread.summary.next_ordinal,
        next_ordinal: thread.summary.next_ordinal,
        why: why.to_owned(),
    };
    let rows: HashMap<ThreadId, &ProjectedThread> = index
        .threads
        .iter()
        .map(|thread| (thread.summary.thread_id, thread))
        .collect();
    let mut findings = Vec::new();
    for (id, checked) in logs {
        let Some(log) = &checked.projected else {
            continue;
        };
        match rows.get(id) {
            None => findings.push(finding(
                FindingKind::MissingFromIndex,
                log,
                "the index lacks this thread",
            )),
            Some(_) if being_written.contains(id) => {}
            Some(row) if row.summary == log.summary => {}
            Some(_) => findings.push(finding(
                FindingKind::DiffersFromIndex,
                log,
                "the index says something else of this thread than its log",
            )),
        }
    }
    for (id, row) in &rows {
        if !logs.contains_key(id) {
            findings.push(finding(
                FindingKind::ExtraInIndex,
                row,
                "no log belongs to this thread",
            ));
        }
    }
    findings
}
