//! The turns that occurrences lie in.

use selvedge_codec::{Ordinal, Record, TurnId};

use crate::log::{InTurn, turn_sign, turn_step};

/// A turn, as far as a search needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TurnSpan {
    pub(super) turn_id: Option<String>,
    pub(super) first: Ordinal,
    pub(super) last: Ordinal,
}

/// A thread's turns in their order, those that were rolled back included.
pub(super) fn turns_of(records: &[Record]) -> Vec<TurnSpan> {
    let mut turns: Vec<TurnSpan> = Vec::new();
    // Whether the last turn was started explicitly; `None` once it has ended.
    let mut open: Option<bool> = None;
    for record in records {
        let in_turn = open.and_then(|explicit| {
            let turn_id = turns.last()?.turn_id.as_deref();
            Some(InTurn { explicit, turn_id })
        });
        let step = turn_step(in_turn, turn_sign(record), record.turn_id.as_ref());
        if step.closes_open {
            open = None;
        }
        if let Some(explicit) = step.starts {
            turns.push(TurnSpan {
                turn_id: None,
                first: record.ordinal,
                last: record.ordinal,
            });
            open = Some(explicit);
        }
        if let Some(turn) = turns.last_mut().filter(|_| open.is_some()) {
            turn.last = record.ordinal;
            if turn.turn_id.is_none() {
                turn.turn_id = record.turn_id.as_ref().map(TurnId::to_string);
            }
        }
        if step.ends {
            open = None;
        }
    }
    turns
}

/// A cursor with which a page of turns, newest first, begins with the turn at this place.
pub(super) fn turn_cursor_at(_thread_id: selvedge_codec::ThreadId, first: Ordinal) -> String {
    first.to_string()
}
