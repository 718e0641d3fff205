//! A thread's turns, as changes to the rows of those that are known already.

use serde::{Deserialize, Serialize};

use crate::thread::TurnSummary;

/// A turn's position among its thread's turns, from 0. Turns that were rolled back keep theirs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TurnIndex(u32);

impl TurnIndex {
    /// Wraps a plain number.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The plain number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The index after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A change to a thread's turns. Changes are applied in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnChange {
    /// The turn at `index` is now this one.
    Upsert {
        /// Which turn.
        index: TurnIndex,
        /// What is known of it.
        turn: TurnSummary,
    },
    /// The last `turns` turns that are not rolled back yet are now.
    RollBack {
        /// How many: never more than there are.
        turns: u32,
    },
}

/// Applies `changes` in their order to the turns known before.
pub fn apply_turn_changes(turns: &mut Vec<TurnSummary>, changes: Vec<TurnChange>) {
    for change in changes {
        match change {
            TurnChange::Upsert { index, turn } => {
                match usize::try_from(index.get())
                    .ok()
                    .and_then(|at| turns.get_mut(at))
                {
                    Some(known) => *known = turn,
                    // Indices are handed out gaplessly.
                    None => turns.push(turn),
                }
            }
            TurnChange::RollBack { turns: dropped } => {
                let dropped = usize::try_from(dropped).unwrap_or(usize::MAX);
                turns
                    .iter_mut()
                    .rev()
                    .filter(|turn| !turn.rolled_back)
                    .take(dropped)
                    .for_each(|turn| turn.rolled_back = true);
            }
        }
    }
}
