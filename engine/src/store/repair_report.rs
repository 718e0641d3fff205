//! What repairing a home is asked for, and what it answers.

use selvedge_codec::ThreadId;
use serde::Serialize;

use super::verify::{LogDamage, VerifyReport};
use crate::{CorruptReason, Error};

/// How a home is repaired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RepairOptions {
    /// Nothing is changed, but for the index, which is brought up; the report says what would be.
    pub dry_run: bool,
}

/// What came of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairOutcome {
    /// It was repaired.
    Repaired,
    /// It would be, were this no dry run.
    WouldBeRepaired,
    /// It is as it was.
    Left,
}

/// Why a log was left as it is, as a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeftKind {
    /// Somebody writes it.
    Conflict,
    /// It is of a later version of the format.
    UnknownVersion,
    /// Nothing of it can be read.
    NothingReadable,
    /// Nothing says which thread it belongs to.
    NoThread,
    /// Without the damage it would be taken for another thread's.
    AnotherThread,
    /// It lacks more records than can have been in it.
    TooManyLost,
    /// The damage is in what it inherits.
    Inherited,
    /// The system refused, or the disk is full.
    Failed,
}

/// Why a log was left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The kind of reason.
    pub kind: LeftKind,
    /// The reason.
    pub why: String,
}

/// What repairing one log came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogRepair {
    /// The log, below the home.
    pub path: String,
    /// Its thread, where that is known.
    pub thread_id: Option<ThreadId>,
    /// What came of it.
    pub outcome: RepairOutcome,
    /// Where the damaged file is kept, below the home.
    pub copy: Option<String>,
    /// How many records it still has, without those that it inherits.
    pub records_kept: u64,
    /// How many are lost. The log has a record of the type `lost` for each.
    pub records_lost: u64,
    /// What was given up: where in the damaged file it lies, which ordinals are missing for it, and
    /// what is wrong with it. A torn tail or a bad line may have been a record of which nobody knows
    /// the ordinal.
    pub given_up: Vec<LogDamage>,
    /// Why the log, or the damage in what it inherits, was left as it is.
    pub left: Option<Left>,
}

/// What repairing a home came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepairReport {
    /// Whether nothing is wrong (any more).
    pub ok: bool,
    /// Whether nothing was to be changed.
    pub dry_run: bool,
    /// The logs with damage, in the order of their paths.
    pub logs: Vec<LogRepair>,
    /// Whether the index was made anew, since it was not what the logs say.
    pub index_rebuilt: bool,
    /// What verifying found afterwards.
    pub verify: VerifyReport,
}

pub(super) fn left(kind: LeftKind, why: impl ToString) -> Left {
    Left {
        kind,
        why: why.to_string(),
    }
}

impl From<Error> for Left {
    fn from(why: Error) -> Self {
        match why {
            Error::Conflict { reason, .. } => left(LeftKind::Conflict, reason),
            Error::Unsupported { what, .. } => left(LeftKind::UnknownVersion, what),
            // What was just written reads otherwise.
            why @ Error::Corrupt {
                why: CorruptReason::Lost,
                ..
            } => left(LeftKind::Failed, why),
            Error::Corrupt { why, .. } => left(LeftKind::NothingReadable, why),
            why => left(LeftKind::Failed, why),
        }
    }
}
