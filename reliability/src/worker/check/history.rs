//! One thread's history against what was said of it.

use std::collections::HashMap;

use selvedge::{RecordType, ThreadId};

use super::super::payload::{Told, told};
use super::super::said::Doing;
use super::attempts::{Attempt, Outcome};
use super::{Checked, Known, Read, digest};

/// What a history is compared with.
pub(super) struct Expected<'a> {
    pub(super) known: Option<&'a Known>,
    pub(super) attempts: &'a [Attempt],
    /// How many workers were killed: each may have left half a line.
    pub(super) killed: usize,
}

/// The history of a thread that is there; gives what is known of it from now on.
pub(super) fn examine(read: &Read, expected: &Expected<'_>, checked: &mut Checked) -> Known {
    let mut examiner = Examiner {
        read,
        thread: read.summary.thread_id,
        expected,
        checked,
        found: HashMap::new(),
        rollbacks: 0,
        latest: HashMap::new(),
    };
    examiner.damage();
    let digests: Vec<u64> = read.history.records.iter().map(digest).collect();
    let begin = examiner.begin(&digests);
    examiner.records_from(begin);
    examiner.attempts();
    examiner.summary();
    Known {
        digests,
        is_archived: read.summary.is_archived(),
        bad_lines: read.history.damage.len() + usize::from(read.history.torn_tail.is_some()),
    }
}

/// Whether a thread must be there, and whether it may.
pub(super) fn existence(is_known: bool, attempts: &[Attempt]) -> (bool, bool) {
    let is = |attempt: &Attempt, outcome: Outcome| attempt.outcome == outcome;
    let done = |attempt: &&Attempt| matches!(attempt.outcome, Outcome::Done(_));
    let is_ephemeral = attempts.iter().any(|attempt| {
        matches!(
            attempt.doing,
            Doing::Start {
                ephemeral: true,
                ..
            }
        )
    });
    let mut gone = attempts
        .iter()
        .filter(|attempt| matches!(attempt.doing, Doing::Delete { .. } | Doing::Discard { .. }));
    let is_deleted = gone.clone().any(|attempt| done(&attempt));
    let may_be_deleted = gone.any(|attempt| !is(attempt, Outcome::Refused));
    let mut writes = attempts.iter().filter(|attempt| attempt.doing.writes());
    let is_written = is_known || writes.clone().any(|attempt| done(&attempt));
    let may_be_written = is_known || writes.any(|attempt| !is(attempt, Outcome::Refused));
    let must = is_written && !may_be_deleted && !is_ephemeral;
    let may = may_be_written && !is_deleted && !is_ephemeral;
    (must, may)
}

/// Whether a thread may be archived, and whether it may be not.
pub(super) fn places(was_archived: bool, attempts: &[Attempt]) -> (bool, bool) {
    let (mut archived, mut not) = (was_archived, !was_archived);
    for attempt in attempts {
        let to_archive = match attempt.doing {
            Doing::Archive { .. } => true,
            Doing::Unarchive { .. } => false,
            _ => continue,
        };
        match attempt.outcome {
            Outcome::Refused => {}
            Outcome::Done(_) => (archived, not) = (to_archive, !to_archive),
            Outcome::Unknown => {
                archived |= to_archive;
                not |= !to_archive;
            }
        }
    }
    (archived, not)
}

struct Examiner<'a> {
    read: &'a Read,
    thread: ThreadId,
    expected: &'a Expected<'a>,
    checked: &'a mut Checked,
    /// Where each operation's records begin, and how many there are.
    found: HashMap<String, (u64, u32)>,
    rollbacks: usize,
    /// The mark that each field got last.
    latest: HashMap<&'static str, String>,
}

impl Examiner<'_> {
    fn wrong(&mut self, what: impl std::fmt::Display) {
        let path = &self.read.summary.rollout_path;
        self.checked.violation(format!("{path}: {what}"));
    }

    fn damage(&mut self) {
        let history = &self.read.history;
        let gap = history
            .records
            .iter()
            .zip(0..)
            .find(|(record, at)| record.ordinal.get() != *at);
        if let Some((record, at)) = gap {
            self.wrong(format!("ordinal {} stands at {at}", record.ordinal));
        }
        let may_be_bad = match self.read.is_lines {
            true => self.expected.known.map_or(0, |known| known.bad_lines) + self.expected.killed,
            false => 0,
        };
        if history.damage.len() > may_be_bad {
            self.wrong(format!("damage: {:?}", history.damage));
        }
        if let Some(torn) = &history.torn_tail {
            self.checked.torn += 1;
            let was_cut = self.expected.known.is_some_and(|known| known.bad_lines > 0);
            let mut attempts = self.expected.attempts.iter();
            if !was_cut && !attempts.any(|attempt| attempt.outcome == Outcome::Unknown) {
                self.wrong(format!("a tail is torn that nobody wrote: {torn:?}"));
            }
        }
    }

    /// What was there before; gives where the rest begins.
    fn begin(&mut self, digests: &[u64]) -> usize {
        if let Some(known) = self.expected.known {
            let common = known
                .digests
                .iter()
                .zip(digests)
                .take_while(|(a, b)| a == b)
                .count();
            if common < known.digests.len() {
                self.wrong(format!(
                    "of {} records that were there {common} are left, of {} in all",
                    known.digests.len(),
                    digests.len()
                ));
            }
            return known.digests.len();
        }
        let own_from = usize::try_from(self.read.history.own_from.get()).unwrap();
        let mut attempts = self.expected.attempts.iter();
        let begun = attempts
            .find(|attempt| matches!(attempt.doing, Doing::Start { .. } | Doing::Fork { .. }));
        match begun.map(|attempt| &attempt.doing) {
            None => self.wrong("nobody has started it"),
            Some(Doing::Start { .. }) if own_from > 0 => self.wrong("it begins with a history"),
            _ => {}
        }
        let meta = self.read.history.records.get(own_from);
        if meta.is_none_or(|record| record.record_type != RecordType::SessionMeta) {
            self.wrong("it has no meta");
        }
        own_from + 1
    }

    fn records_from(&mut self, begin: usize) {
        let records = &self.read.history.records;
        let mut at = begin;
        while at < records.len() {
            match told(&records[at]) {
                Told::Batch {
                    thread, mark, of, ..
                } => {
                    let run = records[at..]
                        .iter()
                        .zip(0..of)
                        .take_while(|(record, at)| is_of(&told(record), (&mark, *at)))
                        .count();
                    if thread != self.thread {
                        self.wrong(format!("{mark} at {at} is thread {thread}'s"));
                    }
                    self.batch((at as u64, u32::try_from(run).unwrap()), &mark, of);
                    at += run.max(1);
                }
                Told::Patch(field, mark) => {
                    self.note(&mark, (at as u64, 1));
                    let is_tried = |attempt: &&Attempt| {
                        attempt.mark == mark
                            && matches!(&attempt.doing, Doing::Patch { field: tried, .. } if tried == field)
                    };
                    if !self.expected.attempts.iter().any(|one| is_tried(&one)) {
                        self.wrong(format!("nobody has set {field} to {mark}, at {at}"));
                    }
                    self.latest.insert(field, mark);
                    at += 1;
                }
                Told::RollBack => {
                    self.rollbacks += 1;
                    at += 1;
                }
                told @ (Told::Meta(_) | Told::Nothing) => {
                    self.wrong(format!("nobody has written {told:?} at {at}"));
                    at += 1;
                }
            }
        }
    }

    fn note(&mut self, mark: &str, place: (u64, u32)) {
        if let Some((before, _)) = self.found.insert(mark.to_owned(), place) {
            self.wrong(format!(
                "{mark} is there twice, at {before} and {}",
                place.0
            ));
        }
    }

    fn batch(&mut self, (at, run): (u64, u32), mark: &str, of: u32) {
        self.note(mark, (at, run));
        let tried = self.expected.attempts.iter().find(|one| one.mark == mark);
        let Some(tried) = tried else {
            return self.wrong(format!("nobody has appended {mark}, at {at}"));
        };
        let (outcome, doing) = (tried.outcome, tried.doing.clone());
        match doing {
            Doing::Append { records, .. } if records == of => {}
            other => self.wrong(format!("{mark} at {at} is a batch of {of}, not {other:?}")),
        }
        // Each JSON line is whole or not; a batch of them may be cut between two by a kill.
        let may_be_cut = self.read.is_lines && outcome == Outcome::Unknown;
        if run < of && !(may_be_cut && run > 0) {
            self.wrong(format!("of {mark} at {at} {run} of {of} records are there"));
        }
    }

    fn attempts(&mut self) {
        let (mut rolled, mut may_be_rolled) = (0, 0);
        for attempt in self.expected.attempts {
            match (&attempt.doing, attempt.outcome) {
                (Doing::RollBack { .. }, Outcome::Done(_)) => rolled += 1,
                (Doing::RollBack { .. }, Outcome::Unknown) => may_be_rolled += 1,
                (Doing::Append { .. } | Doing::Patch { .. }, _) => self.attempt(attempt),
                _ => {}
            }
        }
        if !(rolled..=rolled + may_be_rolled).contains(&self.rollbacks) {
            let there = self.rollbacks;
            self.wrong(format!(
                "{rolled} rollbacks were acknowledged, {may_be_rolled} more tried, {there} are there"
            ));
        }
    }

    /// An append or a patch.
    fn attempt(&mut self, attempt: &Attempt) {
        let Attempt {
            mark,
            outcome,
            floor,
            ..
        } = attempt;
        let found = self.found.get(mark).copied();
        match (outcome, found) {
            (Outcome::Done(_), None) => {
                self.wrong(format!(
                    "{mark} was acknowledged, and is not there: {attempt:?}"
                ));
            }
            (Outcome::Done(Some((first, last))), Some((at, records)))
                if *first != at || last + 1 != at + u64::from(records) =>
            {
                self.wrong(format!(
                    "{mark} was acknowledged as {first} to {last}, and {records} records are at {at}"
                ));
            }
            (Outcome::Refused, Some((at, _))) => {
                self.wrong(format!("{mark} was refused, and is there at {at}"));
            }
            (Outcome::Unknown, None) => self.checked.unknown_gone += 1,
            (Outcome::Unknown, Some(_)) => self.checked.unknown_there += 1,
            _ => {}
        }
        if let Some((at, _)) = found
            && at < *floor
        {
            self.wrong(format!("{mark} at {at} was tried when there were {floor}"));
        }
        if let (Doing::Append { expected, .. }, Some((at, _))) = (&attempt.doing, found)
            && expected.is_some_and(|expected| expected != at)
        {
            self.wrong(format!(
                "{mark} was expected at {expected:?} and is at {at}"
            ));
        }
    }

    fn summary(&mut self) {
        let summary = self.read.summary.clone();
        let records = self.read.history.records.len() as u64;
        if (summary.item_count, summary.next_ordinal.get()) != (records, records) {
            self.wrong(format!(
                "{} records and next ordinal {} are told, {records} read",
                summary.item_count, summary.next_ordinal
            ));
        }
        let branch = summary.git_info.and_then(|git| git.branch);
        let told = [
            ("name", summary.name),
            ("title", summary.title),
            ("git_branch", branch),
        ];
        for (field, told) in told {
            if let Some(mark) = self.latest.get(field).cloned()
                && told.as_deref() != Some(&mark)
            {
                self.wrong(format!(
                    "its {field} is told as {told:?}, and was set to {mark}"
                ));
            }
        }
        let was_archived = self.expected.known.is_some_and(|known| known.is_archived);
        let (archived, not) = places(was_archived, self.expected.attempts);
        let is_archived = self.read.summary.is_archived();
        if !(if is_archived { archived } else { not }) {
            self.wrong(format!("is archived: {is_archived}, which it must not be"));
        }
    }
}

fn is_of(told: &Told, (mark, at): (&str, u32)) -> bool {
    matches!(told, Told::Batch { mark: of, position, .. } if of == mark && *position == at)
}
