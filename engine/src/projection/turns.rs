//! A thread's turns, as changes to the rows of those that are known already.

use selvedge_codec::view::{self, View};
use selvedge_codec::{Record, TurnId};
use serde::{Deserialize, Serialize};

use super::words::cut;
use crate::log::{InTurn, TurnSign, sign_of_view, turn_step};
use crate::thread::{TurnStatus, TurnSummary};

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

/// The turns of a history, oldest first, those that were rolled back included.
#[must_use]
pub fn turns_of(records: &[Record]) -> Vec<TurnSummary> {
    let mut fold = TurnFold::resume(TurnState::default());
    for record in records {
        let view = View::of(record).unwrap_or(View::Other);
        fold.take(record, &view);
    }
    let mut turns = Vec::new();
    apply_turn_changes(&mut turns, fold.finish().1);
    turns
}

/// What must be known of the turns so far to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TurnState {
    /// How many turns there are, rolled back ones included.
    count: u32,
    /// How many of them are not rolled back.
    live: u32,
    /// The turn that has not ended yet; it is the last one.
    open: Option<OpenTurn>,
}

/// A turn that has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OpenTurn {
    turn: TurnSummary,
    /// Whether a record of its own started it.
    explicit: bool,
}

/// Folds records into turn changes.
#[derive(Debug)]
pub(super) struct TurnFold {
    state: TurnState,
    /// Whether the open turn was touched since it was told last.
    open_is_dirty: bool,
    changes: Vec<TurnChange>,
}

impl TurnFold {
    pub(super) const fn resume(state: TurnState) -> Self {
        Self {
            state,
            open_is_dirty: false,
            changes: Vec::new(),
        }
    }

    /// What there is to go on with, and what changed.
    pub(super) fn finish(mut self) -> (TurnState, Vec<TurnChange>) {
        if self.open_is_dirty
            && let Some(open) = &self.state.open
        {
            let turn = open.turn.clone();
            self.upsert_last(turn);
        }
        (self.state, self.changes)
    }

    /// Takes the next record in, and tells what it means to the turns.
    pub(super) fn take(&mut self, record: &Record, view: &View<'_>) -> TurnSign {
        let sign = sign_of_view(view);
        let open = self.state.open.as_ref().map(|open| InTurn {
            explicit: open.explicit,
            turn_id: open.turn.turn_id.as_deref(),
        });
        let step = turn_step(open, sign, record.turn_id.as_ref());
        if step.closes_open {
            self.close_silently();
        }
        let dropped = step.rolls_back.min(self.state.live);
        if dropped > 0 {
            self.state.live -= dropped;
            self.changes.push(TurnChange::RollBack { turns: dropped });
        }
        if let Some(explicit) = step.starts {
            self.state.count = self.state.count.saturating_add(1);
            self.state.live = self.state.live.saturating_add(1);
            self.state.open = Some(OpenTurn {
                turn: begun_at(record),
                explicit,
            });
        }
        if let Some(open) = &mut self.state.open {
            open.turn.last_ordinal = record.ordinal;
            if open.turn.turn_id.is_none() {
                open.turn.turn_id = record.turn_id.as_ref().map(TurnId::to_string);
            }
            self.open_is_dirty = true;
        }
        if step.ends {
            self.end(record, view);
        }
        sign
    }

    /// Ends the open turn with a record of its own.
    fn end(&mut self, record: &Record, view: &View<'_>) {
        let Some(open) = self.state.open.take() else {
            return;
        };
        let (status, duration_ms, error) = match view {
            View::TurnAborted(end) => {
                let reason = end.reason.as_deref().map(str::to_owned);
                (TurnStatus::Aborted, end.duration_ms, reason)
            }
            View::TurnFailed(end) => (TurnStatus::Failed, end.duration_ms, failure_of(end)),
            View::TurnCompleted(end) => (TurnStatus::Completed, end.duration_ms, None),
            _ => (TurnStatus::Completed, None, None),
        };
        self.upsert_last(TurnSummary {
            status,
            error: error.map(|mut error| {
                cut(&mut error);
                error
            }),
            completed_at: Some(record.time),
            duration_ms: duration_ms.and_then(|duration| duration.try_into().ok()),
            ..open.turn
        });
    }

    /// Ends the open turn without a word of its own: a turn that the user's word began has run
    /// its course by the next one; one that said when it began was cut off.
    fn close_silently(&mut self) {
        let Some(open) = self.state.open.take() else {
            return;
        };
        let status = if open.explicit {
            TurnStatus::Aborted
        } else {
            TurnStatus::Completed
        };
        self.upsert_last(TurnSummary {
            status,
            ..open.turn
        });
    }

    fn upsert_last(&mut self, turn: TurnSummary) {
        self.open_is_dirty = false;
        let index = TurnIndex(self.state.count.saturating_sub(1));
        self.changes.push(TurnChange::Upsert { index, turn });
    }
}

fn begun_at(record: &Record) -> TurnSummary {
    TurnSummary {
        turn_id: None,
        first_ordinal: record.ordinal,
        last_ordinal: record.ordinal,
        status: TurnStatus::InProgress,
        error: None,
        started_at: record.time,
        completed_at: None,
        duration_ms: None,
        rolled_back: false,
    }
}

/// Why a turn failed, in words where there are any.
fn failure_of(end: &view::TurnFailed<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct Described {
        message: String,
    }
    let of_error = end.error.map(|error| {
        view::text(error).map_or_else(
            || {
                serde_json::from_str::<Described>(error.get())
                    .map_or_else(|_| error.get().to_owned(), |error| error.message)
            },
            std::borrow::Cow::into_owned,
        )
    });
    of_error.or_else(|| end.message.as_deref().map(str::to_owned))
}
