//! The fold itself: records in, a summary and turn changes out. No I/O.

use selvedge_codec::Record;
use serde::{Deserialize, Serialize};

use super::TurnChange;
use crate::log::Damage;
use crate::thread::TurnSummary;

/// What the fold must know, beside the summary, to go on where it stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldState {
    /// Whether the thread's own meta was met.
    pub has_meta: bool,
    /// How many turns there are, rolled back ones included.
    pub turn_count: u32,
    /// How many of them are not rolled back.
    pub live_turns: u32,
    /// The turn that has not ended yet; it is the last one.
    pub open_turn: Option<OpenTurn>,
}

/// A turn that has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTurn {
    /// What is known of it.
    pub turn: TurnSummary,
    /// Whether a record said that it starts; otherwise what its user said did, and the user's
    /// next word ends it.
    pub explicit: bool,
}

/// Folds records into a summary.
#[derive(Debug)]
pub struct Projector {
    state: FoldState,
    changes: Vec<TurnChange>,
}

impl Projector {
    /// Takes a record in.
    pub fn apply(&mut self, record: &Record) {
        let _ = record;
    }

    /// Takes a report of damage in.
    pub fn note_damage(&mut self, damage: &Damage) {
        let _ = damage;
    }
}
