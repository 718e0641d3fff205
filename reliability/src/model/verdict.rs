//! What may be answered to an operation.

use selvedge::{ConflictReason, Error, InvalidRequest};

use super::ops::Said;
use super::program::{Op, Point};
use super::runner::Runner;
use super::thread::Existence;

/// What must come of an operation, where nothing fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    NotFound,
    Exists,
    Conflict,
    /// Anything that is no failure of the disk.
    Sane,
}

impl Verdict {
    pub(super) fn allows(self, said: &Said) -> bool {
        matches!(
            (self, said),
            (_, Said::Nothing)
                | (Self::Done | Self::Sane, Said::Done(_))
                | (Self::NotFound, Said::Refused(Error::ThreadNotFound { .. }))
                | (
                    Self::Exists,
                    Said::Refused(Error::InvalidRequest(InvalidRequest::ThreadExists(_))),
                )
                | (
                    Self::Conflict,
                    Said::Refused(Error::Conflict {
                        reason: ConflictReason::Writer { .. },
                        ..
                    }),
                )
                | (
                    Self::Sane,
                    Said::Refused(
                        Error::ThreadNotFound { .. }
                            | Error::InvalidRequest(_)
                            | Error::Conflict { .. },
                    ),
                )
        )
    }
}

impl Runner {
    /// Which verdict an operation gets where nothing fails.
    pub(super) fn verdict(&self, by: usize, op: &Op) -> Verdict {
        let of = |number: u8| &self.threads[usize::from(number)];
        let live = |number: u8| match of(number).live {
            Some(live) if live == by => Verdict::Done,
            _ => Verdict::NotFound,
        };
        let change = |number: u8| match (of(number).existence, of(number).live) {
            (Existence::Kept, Some(live)) if live != by => Verdict::Conflict,
            (Existence::Kept, _) => Verdict::Done,
            _ => Verdict::NotFound,
        };
        let is_deferred = |number: u8| of(number).existence == Existence::Deferred(by);
        match op {
            Op::Start { thread } => match of(*thread).existence {
                Existence::Absent => Verdict::Done,
                _ => Verdict::Exists,
            },
            Op::Append { thread, .. }
            | Op::Turn { thread, .. }
            | Op::Large { thread, .. }
            | Op::Persist { thread }
            | Op::Flush { thread }
            | Op::Shutdown { thread } => live(*thread),
            // Each of its batches has an answer of its own.
            Op::Burst { .. } => Verdict::Done,
            Op::Discard { thread } => match live(*thread) {
                Verdict::Done if !is_deferred(*thread) => Verdict::Exists,
                verdict => verdict,
            },
            Op::Rename { thread, .. } | Op::Branch { thread } if is_deferred(*thread) => {
                Verdict::Done
            }
            Op::Resume { thread }
            | Op::Rename { thread, .. }
            | Op::Branch { thread }
            | Op::Archive { thread }
            | Op::Unarchive { thread } => change(*thread),
            Op::Delete { thread } => match change(*thread) {
                Verdict::Conflict => Verdict::Conflict,
                _ => Verdict::Done,
            },
            Op::RollBack { thread, .. } => match change(*thread) {
                Verdict::Conflict => Verdict::Conflict,
                _ => Verdict::Sane,
            },
            Op::Fork {
                thread,
                source,
                point,
            } => match (of(*source).existence, of(*thread).existence, point) {
                (Existence::Kept, Existence::Absent, Point::Whole) => Verdict::Done,
                (Existence::Kept, Existence::Absent, _) => Verdict::Sane,
                (Existence::Kept, _, Point::Whole) => Verdict::Exists,
                (Existence::Kept, _, _) => Verdict::Sane,
                _ if thread == source => Verdict::Sane,
                _ => Verdict::NotFound,
            },
            Op::Read { thread } => match of(*thread).existence {
                Existence::Kept => Verdict::Done,
                _ => Verdict::NotFound,
            },
            Op::Backfill | Op::Rebuild | Op::List | Op::Reopen { .. } => Verdict::Done,
        }
    }

    /// Whether a store refused to write on a log, or to fork it, whose head a power loss took: it is
    /// read, and no more until it was repaired.
    pub(super) fn is_refused_for_harm(&self, op: &Op, said: &Said) -> bool {
        let number = match op {
            Op::Fork { source, .. } => *source,
            Op::Resume { thread }
            | Op::Rename { thread, .. }
            | Op::Branch { thread }
            | Op::RollBack { thread, .. } => *thread,
            _ => return false,
        };
        let is_harmed = self.threads[usize::from(number)].is_harmed;
        is_harmed && matches!(said, Said::Refused(Error::Corrupt { .. }))
    }

    /// Whether a store says that the disk has dropped what an earlier process had written.
    pub(super) fn is_told_lost(&mut self, op: &Op, said: &Said) -> bool {
        let Said::Refused(error) = said else {
            return false;
        };
        let mut named = op.clone();
        let numbers: Vec<_> = named
            .threads()
            .into_iter()
            .map(|(number, _)| *number)
            .collect();
        let mut told = numbers
            .into_iter()
            .map(|number| self.thread(number).is_told_lost(error));
        told.any(|told| told)
    }

    /// Whether an operation can be held against the model where it stands.
    pub(super) fn makes_sense(&self, by: usize, op: &Op) -> bool {
        let of = |number: u8| &self.threads[usize::from(number)];
        let is_sane = |number: u8| of(number).existence != Existence::Wreck;
        let is_others =
            |number: u8| matches!(of(number).existence, Existence::Deferred(other) if other != by);
        let makes = |number: u8| of(number).is_certain() && !is_others(number);
        match op {
            Op::Start { thread } => makes(*thread),
            Op::Fork { thread, source, .. } => {
                makes(*thread) && is_sane(*source) && !of(*source).is_ghost
            }
            Op::Append { thread, .. }
            | Op::Turn { thread, .. }
            | Op::Burst { thread, .. }
            | Op::Large { thread, .. }
            | Op::Persist { thread }
            | Op::Flush { thread }
            | Op::Resume { thread }
            | Op::Shutdown { thread }
            | Op::Discard { thread }
            | Op::RollBack { thread, .. }
            | Op::Rename { thread, .. }
            | Op::Branch { thread }
            | Op::Archive { thread }
            | Op::Unarchive { thread }
            | Op::Read { thread } => is_sane(*thread) && !of(*thread).is_ghost,
            Op::Delete { thread } => is_sane(*thread),
            Op::Backfill | Op::Rebuild | Op::List | Op::Reopen { .. } => true,
        }
    }
}

/// Whether a store refused before it did anything.
pub fn is_refusal(error: &Error) -> bool {
    match error {
        Error::ThreadNotFound { .. } | Error::InvalidRequest(_) => true,
        Error::Conflict { reason, .. } => !matches!(reason, ConflictReason::Fenced),
        _ => false,
    }
}
