//! A thread's turns, as changes to the rows of those that are known already.

use selvedge_codec::view::{self, View};
use selvedge_codec::{Ordinal, Record, TurnId};
use serde::{Deserialize, Serialize};

use super::words::cut;
use crate::log::{InTurn, LogPosition, RecordPlace, TurnSign, sign_of_view, turn_step};
use crate::thread::{TurnStatus, TurnSummary};

/// A turn, with where its records lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedTurn {
    /// The turn. No other turn of its thread has its first ordinal.
    pub turn: TurnSummary,
    /// Where reading forwards begins with the turn's first record.
    pub start: LogPosition,
    /// Right behind its last record, as far as they were seen.
    pub end: LogPosition,
    /// The rollback that dropped it, and with it everything from its first record on.
    pub dropped_by: Option<Ordinal>,
}

/// A change to a thread's turns. Changes are applied in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnChange {
    /// The turn that begins where this one does is now this one.
    Upsert(PlacedTurn),
    /// The last `turns` turns that are not rolled back yet are now.
    RollBack {
        /// How many: never more than there are.
        turns: u32,
        /// The record that says so.
        by: Ordinal,
    },
}

impl PlacedTurn {
    /// Where reading backwards gives all records before the turn. Those that share a batch with
    /// its first one come after it there.
    #[must_use]
    pub fn before(&self) -> LogPosition {
        match self.start.next_ordinal == self.turn.first_ordinal {
            true => self.start,
            false => self.end,
        }
    }

    /// The turn, dropped by the rollback `by`.
    #[must_use]
    pub fn rolled_back(self, by: Ordinal) -> Self {
        Self {
            turn: TurnSummary {
                rolled_back: true,
                ..self.turn
            },
            dropped_by: Some(by),
            ..self
        }
    }
}

/// Applies `changes` in their order to the turns known before.
pub fn apply_turn_changes(turns: &mut Vec<PlacedTurn>, changes: Vec<TurnChange>) {
    for change in changes {
        match change {
            TurnChange::Upsert(placed) => {
                let first = placed.turn.first_ordinal;
                // Only the last turn changes.
                match turns.last_mut() {
                    Some(known) if known.turn.first_ordinal == first => *known = placed,
                    _ => turns.push(placed),
                }
            }
            TurnChange::RollBack { turns: dropped, by } => {
                let dropped = usize::try_from(dropped).unwrap_or(usize::MAX);
                let live = turns.iter_mut().rev();
                for placed in live.filter(|turn| !turn.turn.rolled_back).take(dropped) {
                    placed.turn.rolled_back = true;
                    placed.dropped_by = Some(by);
                }
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
        fold.take((record, RecordPlace::default()), &view);
    }
    let mut turns = Vec::new();
    apply_turn_changes(&mut turns, fold.finish().1);
    turns.into_iter().map(|placed| placed.turn).collect()
}

/// What must be known of the turns so far to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TurnState {
    /// How many turns are not rolled back.
    live: u32,
    /// The turn that has not ended yet; it is the last one.
    open: Option<OpenTurn>,
}

/// A turn that has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OpenTurn {
    turn: PlacedTurn,
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
            self.changes.push(TurnChange::Upsert(turn));
        }
        (self.state, self.changes)
    }

    /// Takes the next record in, and tells what it means to the turns.
    pub(super) fn take(
        &mut self,
        (record, place): (&Record, RecordPlace),
        view: &View<'_>,
    ) -> TurnSign {
        let sign = sign_of_view(view);
        let open = self.state.open.as_ref().map(|open| InTurn {
            explicit: open.explicit,
            turn_id: open.turn.turn.turn_id.as_deref(),
        });
        let step = turn_step(open, sign, record.turn_id.as_ref());
        if step.closes_open {
            self.close_silently();
        }
        let dropped = step.rolls_back.min(self.state.live);
        if dropped > 0 {
            self.state.live -= dropped;
            let by = record.ordinal;
            self.changes
                .push(TurnChange::RollBack { turns: dropped, by });
        }
        if let Some(explicit) = step.starts {
            self.state.live = self.state.live.saturating_add(1);
            self.state.open = Some(OpenTurn {
                turn: begun_at(record, place),
                explicit,
            });
        }
        if let Some(open) = &mut self.state.open {
            open.turn.end = place.end;
            open.turn.turn.last_ordinal = record.ordinal;
            if open.turn.turn.turn_id.is_none() {
                open.turn.turn.turn_id = record.turn_id.as_ref().map(TurnId::to_string);
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
        let turn = TurnSummary {
            status,
            error: error.map(|mut error| {
                cut(&mut error);
                error
            }),
            completed_at: Some(record.time),
            duration_ms: duration_ms.and_then(|duration| duration.try_into().ok()),
            ..open.turn.turn
        };
        self.upsert_last(PlacedTurn { turn, ..open.turn });
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
        let turn = TurnSummary {
            status,
            ..open.turn.turn
        };
        self.upsert_last(PlacedTurn { turn, ..open.turn });
    }

    fn upsert_last(&mut self, turn: PlacedTurn) {
        self.open_is_dirty = false;
        self.changes.push(TurnChange::Upsert(turn));
    }
}

fn begun_at(record: &Record, place: RecordPlace) -> PlacedTurn {
    let turn = TurnSummary {
        turn_id: None,
        first_ordinal: record.ordinal,
        last_ordinal: record.ordinal,
        status: TurnStatus::InProgress,
        error: None,
        started_at: record.time,
        completed_at: None,
        duration_ms: None,
        rolled_back: false,
    };
    PlacedTurn {
        turn,
        start: place.start,
        end: place.end,
        dropped_by: None,
    }
}

/// Why a turn failed, in words where there are any.
fn failure_of(end: &view::TurnFailed<'_>) -> Option<String> {
    let of_error = end.error.map(|error| {
        let [message] = view::fields(error, ["message"]);
        view::text(error)
            .or_else(|| view::text(message?))
            .map_or_else(|| error.get().to_owned(), std::borrow::Cow::into_owned)
    });
    of_error.or_else(|| end.message.as_deref().map(str::to_owned))
}
