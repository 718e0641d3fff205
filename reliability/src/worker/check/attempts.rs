//! What was tried of each thread, and what came of it.

use std::collections::{BTreeMap, HashMap};

use selvedge::ThreadId;

use super::super::launch::{Ended, Report};
use super::super::said::{Doing, Line, Refusal};

/// What came of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nobody knows.
    Unknown,
    /// It was acknowledged.
    Done(Option<(u64, u64)>),
    /// It was refused, and nothing was changed.
    Refused,
}

/// An operation.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) mark: String,
    pub(super) doing: Doing,
    pub(super) outcome: Outcome,
    /// How many records of the thread (of a fork: of its source) were acknowledged when it was
    /// tried.
    pub(super) floor: u64,
    /// When it was tried and answered: which line of which worker.
    tried: (usize, usize),
    answered: Option<usize>,
}

impl Attempt {
    /// Whether it was answered before another one was tried.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        let ((of, _), (of_other, at)) = (self.tried, other.tried);
        of == of_other && self.answered.is_some_and(|answered| answered < at)
    }
}

/// Everything that workers tried between two checks.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    of: BTreeMap<ThreadId, Vec<Attempt>>,
    pub(super) acknowledged: u64,
    /// How many workers were killed.
    pub(super) killed: usize,
    /// What the workers themselves found wrong.
    pub(super) wrong: Vec<String>,
}

impl Attempts {
    pub(super) fn of(reports: &[Report], known: impl Fn(ThreadId) -> u64) -> Self {
        let mut all = Self::default();
        for (of, report) in reports.iter().enumerate() {
            all.take((of, report), &known);
        }
        all
    }

    pub(super) fn threads(&self) -> impl Iterator<Item = ThreadId> {
        self.of.keys().copied()
    }

    /// In the order in which each worker said them.
    pub(super) fn on(&self, thread: ThreadId) -> &[Attempt] {
        self.of.get(&thread).map_or(&[], Vec::as_slice)
    }

    fn take(&mut self, (of, report): (usize, &Report), known: impl Fn(ThreadId) -> u64) {
        let tag = &report.order.tag;
        let mut floors: HashMap<ThreadId, u64> = HashMap::new();
        // Where each operation's attempt lies.
        let mut places: HashMap<u64, (ThreadId, usize)> = HashMap::new();
        for (number, line) in report.lines.iter().enumerate() {
            match line {
                Line::Trying { op, doing } => {
                    let thread = doing.thread();
                    let of_floor = match doing {
                        Doing::Fork { source, .. } => *source,
                        _ => thread,
                    };
                    let attempts = self.of.entry(thread).or_default();
                    places.insert(*op, (thread, attempts.len()));
                    attempts.push(Attempt {
                        mark: format!("{tag}.{op}"),
                        doing: doing.clone(),
                        outcome: Outcome::Unknown,
                        floor: *floors.entry(of_floor).or_insert_with(|| known(of_floor)),
                        tried: (of, number),
                        answered: None,
                    });
                }
                Line::Done { op, ordinals } => {
                    self.acknowledged += 1;
                    let attempt = self.at(&places, *op);
                    attempt.outcome = Outcome::Done(*ordinals);
                    attempt.answered = Some(number);
                    let is_append = matches!(attempt.doing, Doing::Append { .. });
                    let thread = attempt.doing.thread();
                    if let (true, Some((_, last))) = (is_append, ordinals) {
                        let floor = floors.entry(thread).or_insert_with(|| known(thread));
                        *floor = (*floor).max(last + 1);
                    }
                }
                Line::Refused {
                    op,
                    refusal,
                    fine,
                    why,
                } => {
                    let attempt = self.at(&places, *op);
                    attempt.answered = Some(number);
                    if !matches!(refusal, Refusal::Closed | Refusal::Other) {
                        attempt.outcome = Outcome::Refused;
                    }
                    if !fine {
                        let what = format!("{tag}.{op} {:?}: {why}", attempt.doing);
                        self.wrong.push(what);
                    }
                }
                Line::Wrong { what } => self.wrong.push(format!("{tag}: {what}")),
                Line::Opened | Line::Looked | Line::Stopped => {}
            }
        }
        match report.ended {
            Ended::Killed => self.killed += 1,
            Ended::Stopped => {}
            Ended::Otherwise => self.wrong.push(format!("{tag} ended by itself")),
        }
    }

    fn at(&mut self, places: &HashMap<u64, (ThreadId, usize)>, op: u64) -> &mut Attempt {
        let (thread, at) = places[&op];
        &mut self.of.get_mut(&thread).unwrap()[at]
    }
}
