//! Repairing a home: what is damaged is kept below `damaged/`, and what can still be read of it takes
//! its place.
//!
//! What must hold:
//! - A home in which nothing is wrong is not written to, and a repaired one is such a home: repairing
//!   it again changes nothing.
//! - A log that somebody writes, or that can't be repaired, stays as it is, and the report says why.
//! - No record that a reader was given before is lost or gets another ordinal, and no log becomes
//!   another thread's.

use std::io;

use bytes::Bytes;
use selvedge_codec::jsonl;
use selvedge_codec::segment::{HEADER_BYTES, SegmentHeader, SegmentNumber};
use selvedge_codec::{ByteLength, ByteOffset, CodecError, Ordinal, ThreadId};

use super::Store;
use super::repair_report::{
    Left, LeftKind, LogRepair, RepairOptions, RepairOutcome, RepairReport, left,
};
use super::verify::{INDEX_WAIT, LogDamage, VerifyReport};
use crate::disk::FileKind;
use crate::home::{LogFormat, LogName, LogPath, WriterLock};
use crate::log::{
    Damage, DamagedLog, Layout, MAX_LOST_RECORDS, Replaced, Rewrite, UNFINISHED, has_frames,
    header_of, repairs, replace, writers_of,
};
use crate::projection::{log_owner, owner_of_records};
use crate::{ConflictReason, Error, Result};

/// How deep damaged files lie below the folder of their repair: no deeper than logs below the home.
const MAX_DEPTH: usize = 10;

/// A log that verifying found something wrong with.
struct Suspect<'a> {
    path: &'a str,
    thread_id: Option<ThreadId>,
    damage: &'a [LogDamage],
    /// Why it can't be read at all.
    why: Option<&'a str>,
}

/// Whether a step of a repair goes on, or why the log is left.
type Step<T> = std::result::Result<T, Left>;

impl Store {
    /// Verifies the home and repairs what is damaged: each damaged log is kept below `damaged/`, and
    /// one with all that can still be read takes its place, in which each missing ordinal has a record
    /// of the type `lost`. An index that is not what the logs say is made anew.
    ///
    /// # Errors
    /// As [`Store::verify`]. What keeps a log from being repaired is in the report.
    pub fn repair(&self, options: RepairOptions) -> Result<RepairReport> {
        let found = self.verify()?;
        let mut logs = self.repair_logs(&found, options)?;
        logs.sort_by(|a, b| a.path.cmp(&b.path));
        let mut report = RepairReport {
            ok: found.ok,
            dry_run: options.dry_run,
            logs,
            index_rebuilt: false,
            verify: found,
        };
        if options.dry_run {
            return Ok(report);
        }
        self.sweep()?;
        if !report.logs.is_empty() {
            report.verify = self.verify()?;
            tell_what_is_left(&mut report);
        }
        if !report.verify.differences.is_empty() {
            report.index_rebuilt = self.rebuild_index()?;
            report.verify = self.verify()?;
        }
        report.ok = report.verify.ok;
        Ok(report)
    }

    fn repair_logs(&self, found: &VerifyReport, options: RepairOptions) -> Result<Vec<LogRepair>> {
        let damaged = found.damaged.iter().map(|log| Suspect {
            path: &log.path,
            thread_id: Some(log.thread_id),
            damage: &log.damage,
            why: None,
        });
        let unreadable = found.unreadable.iter().map(|log| Suspect {
            path: &log.path,
            thread_id: None,
            damage: &[],
            why: Some(&log.why),
        });
        let suspects: Vec<Suspect<'_>> = damaged.chain(unreadable).collect();
        let mut logs = Vec::new();
        for suspect in &suspects {
            let mut log = LogRepair {
                path: suspect.path.to_owned(),
                thread_id: suspect.thread_id,
                outcome: RepairOutcome::Left,
                copy: None,
                records_kept: 0,
                records_lost: 0,
                given_up: Vec::new(),
                left: None,
            };
            match self.repair_log(suspect, options, &mut log) {
                Ok(true) => {}
                // It was repaired, moved or removed meanwhile.
                Ok(false) => continue,
                Err(why) => log.left = Some(why),
            }
            logs.push(log);
        }
        Ok(logs)
    }

    /// Repairs a log; `false` when there is nothing to repair.
    fn repair_log(
        &self,
        suspect: &Suspect<'_>,
        options: RepairOptions,
        report: &mut LogRepair,
    ) -> Step<bool> {
        let format = LogFormat::of_file_name(suspect.path);
        let path = LogPath::new(suspect.path.to_owned());
        let (Some(path), Some(format)) = (path, format) else {
            let why = suspect.why.unwrap_or("it is no log");
            return Err(left(LeftKind::Failed, why));
        };
        let known = match suspect.thread_id {
            Some(known) => known,
            None => match self.likely_owner(&path, format)? {
                Some(likely) => likely,
                None => return Err(no_thread(suspect)),
            },
        };
        let mut locks = vec![self.lock_for_repair(known, options)?];
        let log = match DamagedLog::read(&self.context, &path, format) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(false);
            }
            read => read?,
        };
        let rewrite = self.rewrite_of(&log, known)?;
        let owner = rewrite.thread_id().unwrap_or(known);
        if owner != known {
            locks.push(self.lock_for_repair(owner, options)?);
        }
        report.thread_id = Some(owner);
        let inherited = is_inherited(suspect, &rewrite);
        if log.format != LogFormat::Native && rewrite.kept == 0 {
            return Err(left(LeftKind::NothingReadable, "it holds no record"));
        }
        if rewrite.is_sound() {
            return inherited.map_or(Ok(false), Err);
        }
        report.records_kept = rewrite.kept;
        report.records_lost = rewrite.lost;
        report.given_up = rewrite.given_up.iter().cloned().map(Into::into).collect();
        self.check(&log, &rewrite)?;
        report.left = inherited;
        report.outcome = RepairOutcome::WouldBeRepaired;
        if !options.dry_run {
            report.outcome = RepairOutcome::Left;
            report.copy = Some(self.carry_out_repair(&log, &rewrite)?);
            report.outcome = RepairOutcome::Repaired;
        }
        Ok(true)
    }

    /// Whose log this probably is: as its name says, or else its damaged header.
    fn likely_owner(&self, path: &LogPath, format: LogFormat) -> Step<Option<ThreadId>> {
        let named = LogName::parse(path.file_name()).and_then(|name| name.thread_id);
        if named.is_some() || format != LogFormat::Native {
            return Ok(named);
        }
        let log = DamagedLog::read(&self.context, path, format)?;
        Ok(SegmentHeader::guess(&log.bytes).map(|header| header.thread_id))
    }

    /// Locks a thread; a dry run only looks whether somebody writes it.
    fn lock_for_repair(&self, id: ThreadId, options: RepairOptions) -> Step<Option<WriterLock>> {
        if !options.dry_run {
            return Ok(Some(self.context.locks.lock(id)?));
        }
        if self.open_threads()?.contains(&id) {
            let holder = "another writer".to_owned();
            return Err(left(LeftKind::Conflict, ConflictReason::Writer { holder }));
        }
        Ok(None)
    }

    /// What takes the log's place.
    fn rewrite_of(&self, log: &DamagedLog, known: ThreadId) -> Step<Rewrite> {
        let file = self.home().log_file(&log.path);
        match log.format {
            LogFormat::Native => {
                let header = self.header_for(log, known)?;
                Ok(Rewrite::plan(log.bytes.clone(), Layout::Segment(header)))
            }
            LogFormat::JsonLines => Ok(Rewrite::plan(log.bytes.clone(), Layout::Lines)),
            LogFormat::CompressedJsonLines => {
                let (lines, why) = jsonl::decompress_prefix(&log.bytes);
                let end = ByteOffset::new(lines.len() as u64);
                let mut rewrite = Rewrite::plan(lines.into(), Layout::Lines);
                match why {
                    None => {}
                    Some(why @ CodecError::DecompressedTooLarge { .. }) => {
                        return Err(Error::codec(&file, end, why).into());
                    }
                    Some(why) => rewrite.give_up(Damage {
                        offset: end,
                        length: ByteLength::ZERO,
                        first_ordinal: rewrite.next_ordinal,
                        next_ordinal: rewrite.next_ordinal,
                        why,
                    }),
                }
                Ok(rewrite)
            }
        }
    }

    /// The header of a native log: its own, or one that frames in it were written under. A log whose
    /// maker died before it had one gets what it would have got.
    fn header_for(&self, log: &DamagedLog, known: ThreadId) -> Step<SegmentHeader> {
        let refused = |why| {
            let file = self.home().log_file(&log.path);
            Left::from(Error::codec(&file, ByteOffset::ZERO, why))
        };
        let why = match SegmentHeader::decode(&log.bytes) {
            Ok(header) => return Ok(header),
            Err(why @ CodecError::UnknownVersion { .. }) => return Err(refused(why)),
            Err(why) => why,
        };
        let expected = header_of(self.disk(), self.home(), known)?;
        if log.bytes.len() < HEADER_BYTES {
            return match expected.encode().starts_with(&log.bytes) {
                true => Ok(expected),
                false => Err(refused(why)),
            };
        }
        let fits = |header: &SegmentHeader| has_frames(&log.bytes, header);
        let mut candidates = self.headers_like(&log.bytes, known, expected)?.into_iter();
        candidates.find(fits).ok_or_else(|| refused(why))
    }

    /// The headers that a log with a damaged one may have had.
    fn headers_like(
        &self,
        bytes: &Bytes,
        known: ThreadId,
        expected: SegmentHeader,
    ) -> Step<Vec<SegmentHeader>> {
        let first = |thread_id| SegmentHeader {
            thread_id,
            segment: SegmentNumber::FIRST,
            first_ordinal: Ordinal::ZERO,
        };
        let mut headers = vec![expected, first(known)];
        if let Some(guess) = SegmentHeader::guess(bytes) {
            let mut guesses = vec![
                SegmentHeader {
                    thread_id: known,
                    ..guess
                },
                guess,
                first(guess.thread_id),
            ];
            if guess.thread_id != known {
                guesses.push(header_of(self.disk(), self.home(), guess.thread_id)?);
            }
            headers.extend(guesses);
        }
        // Each is searched for whole, since its first frames may be damaged, too.
        let mut different: Vec<SegmentHeader> = Vec::new();
        for header in headers {
            if !different.contains(&header) {
                different.push(header);
            }
        }
        Ok(different)
    }

    /// Refuses what must not take the log's place.
    fn check(&self, log: &DamagedLog, rewrite: &Rewrite) -> Step<()> {
        if rewrite.lost > MAX_LOST_RECORDS {
            let why = format!(
                "it lacks {} records, and no more than {MAX_LOST_RECORDS} are replaced",
                rewrite.lost
            );
            return Err(left(LeftKind::TooManyLost, why));
        }
        self.check_owner(log, rewrite)?;
        self.check_unwritten(log)
    }

    /// Refuses a log of JSON lines that the tool which owns it has open: it would go on with a file
    /// that is no log any more.
    fn check_unwritten(&self, log: &DamagedLog) -> Step<()> {
        if log.format != LogFormat::JsonLines {
            return Ok(());
        }
        let writers = writers_of(self.disk(), &self.home().log_file(&log.path));
        if writers.is_empty() {
            return Ok(());
        }
        let pids: Vec<String> = writers.iter().map(u32::to_string).collect();
        let holder = format!("process {}", pids.join(", "));
        Err(left(LeftKind::Conflict, ConflictReason::Writer { holder }))
    }

    /// Puts the new log in the place of the damaged one; gives where that is kept.
    fn carry_out_repair(&self, log: &DamagedLog, rewrite: &Rewrite) -> Step<String> {
        let writers = std::cell::RefCell::new(None);
        let check = || {
            *writers.borrow_mut() = self.check_unwritten(log).err();
            writers.borrow().is_none()
        };
        match replace(&self.context, (log, rewrite), &check)? {
            Replaced::Done(copy) => Ok(copy),
            Replaced::Refused => {
                let changed = || left(LeftKind::Conflict, "it changed while it was repaired");
                Err(writers.take().unwrap_or_else(changed))
            }
        }
    }

    /// Refuses what would be another thread's: in a log of JSON lines the meta that comes first tells,
    /// unless damage before it shows that it may be copied history.
    fn check_owner(&self, log: &DamagedLog, rewrite: &Rewrite) -> Step<()> {
        if log.format == LogFormat::Native || !rewrite.forgets_its_head() {
            return Ok(());
        }
        let owner = log_owner(self.disk(), self.home(), &log.path)?;
        if owner_of_records(&log.path, rewrite.kept_records()) == Some(owner) {
            return Ok(());
        }
        let why = "without its damaged beginning it would be taken for another thread's";
        Err(left(LeftKind::AnotherThread, why))
    }

    /// Makes the index anew. Returns whether that was possible: what it lacks is in the report.
    fn rebuild_index(&self) -> Result<bool> {
        match self.rebuild(INDEX_WAIT, &|_| ()) {
            Ok(_) => Ok(true),
            Err(why) if self.is_of_index(&why) => {
                tracing::warn!(%why, "the index can't be made anew");
                Ok(false)
            }
            Err(why) => Err(why),
        }
    }

    /// Removes what repairs that were killed have left of files that were not whole yet.
    fn sweep(&self) -> Result<()> {
        for folder in repairs(&self.context)? {
            self.sweep_folder(&folder, &folder, 0)?;
        }
        Ok(())
    }

    fn sweep_folder(&self, repair: &str, folder: &str, depth: usize) -> Result<()> {
        let dir = self.home().resolve(folder);
        let entries = match self.disk().list(&dir) {
            // Another repair has taken it back.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|error| Error::io("list", &dir, error))?,
        };
        for entry in entries {
            let Ok(name) = entry.name else {
                continue;
            };
            let path = format!("{folder}/{name}");
            match entry.kind {
                FileKind::Directory if depth < MAX_DEPTH => {
                    self.sweep_folder(repair, &path, depth + 1)?;
                }
                FileKind::File => self.sweep_file(repair, &path)?,
                FileKind::Directory | FileKind::Other => {}
            }
        }
        Ok(())
    }

    fn sweep_file(&self, repair: &str, path: &str) -> Result<()> {
        let log = path
            .strip_prefix(repair)
            .and_then(|below| below.strip_prefix('/')?.strip_suffix(UNFINISHED))
            .and_then(|log| LogPath::new(log.to_owned()));
        let Some(log) = log else {
            return Ok(());
        };
        let named = LogName::parse(log.file_name()).and_then(|name| name.thread_id);
        let owner = named.or_else(|| log_owner(self.disk(), self.home(), &log).ok());
        // Another repair may be at it.
        let _lock = match owner.map(|owner| self.context.locks.lock(owner)) {
            Some(Err(Error::Conflict { .. })) => return Ok(()),
            Some(lock) => Some(lock?),
            None => None,
        };
        let file = self.home().resolve(path);
        match self.disk().remove(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", &file, error))
            }
            _ => Ok(()),
        }
    }
}

/// Of a log that was repaired nothing can be damaged but what it inherits.
fn tell_what_is_left(report: &mut RepairReport) {
    for log in &mut report.logs {
        let mut damaged = report.verify.damaged.iter();
        let still = damaged.find(|damaged| damaged.path == log.path);
        let found = still.and_then(|still| still.damage.first());
        if let (RepairOutcome::Repaired, None, Some(found)) = (log.outcome, &log.left, found) {
            log.left = Some(left(LeftKind::Inherited, &found.why));
        }
    }
}

fn no_thread(suspect: &Suspect<'_>) -> Left {
    let why = "nothing says which thread it belongs to";
    left(LeftKind::NoThread, suspect.why.unwrap_or(why))
}

/// Why damage of a log is left that lies in what it inherits.
fn is_inherited(suspect: &Suspect<'_>, rewrite: &Rewrite) -> Option<Left> {
    let own_from = rewrite.first_ordinal();
    let mut damage = suspect.damage.iter();
    let found =
        damage.find(|damage| damage.first_ordinal < own_from && damage.next_ordinal <= own_from)?;
    Some(left(LeftKind::Inherited, &found.why))
}
