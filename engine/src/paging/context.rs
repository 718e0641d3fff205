//! The end of a history from which what the model sees can be rebuilt.
//!
//! What must hold: everything the model sees is in the records from the cut on. A compaction with a
//! replacement history stands for all before it, and the context of a completed turn tells the
//! settings that it ran under; the cut is before both. Records that were rolled back are neither.

use selvedge_codec::view::View;
use selvedge_codec::{Ordinal, Record, RecordType};

use super::{ModelContext, turns_of};
use crate::log::effective;
use crate::thread::{TurnStatus, TurnSummary};

/// What a walk from the newest record backwards has found.
#[derive(Debug, Default)]
pub(crate) struct ContextSearch {
    has_compaction: bool,
    has_context: bool,
}

impl ContextSearch {
    /// Takes the record before, which still counts. Returns whether it is the cut.
    pub(crate) fn take(
        &mut self,
        record: &Record,
        is_in_completed_turn: impl FnOnce() -> bool,
    ) -> bool {
        match record.record_type {
            RecordType::Compacted if !self.has_compaction => {
                self.has_compaction = replaces_history(record);
            }
            RecordType::TurnContext if !self.has_context => {
                self.has_context = is_in_completed_turn();
            }
            _ => {}
        }
        self.has_compaction && self.has_context
    }
}

fn replaces_history(record: &Record) -> bool {
    let Ok(View::Compacted(compacted)) = View::of(record) else {
        return false;
    };
    let replacement = compacted.replacement_history;
    replacement.is_some_and(|history| history.get().starts_with('['))
}

/// Whether a turn ran to its end, and still counts.
pub(crate) fn counts_as_completed(turn: &TurnSummary) -> bool {
    turn.status == TurnStatus::Completed && !turn.rolled_back
}

/// Whether a record lies in a turn of these (oldest first) that ran to its end.
fn is_in_a_completed_turn(turns: &[TurnSummary], ordinal: Ordinal) -> bool {
    let after = turns.partition_point(|turn| turn.first_ordinal <= ordinal);
    let turn = after.checked_sub(1).and_then(|at| turns.get(at));
    turn.is_some_and(|turn| turn.holds(ordinal) && counts_as_completed(turn))
}

/// The end of a thread's history from which what the model sees can be rebuilt, from all of its
/// records: those that still count, from the newest compaction with a replacement history or from
/// the newest context of a completed turn, whichever is earlier. All of them where there is not
/// both.
#[must_use]
pub fn model_context(records: &[Record]) -> ModelContext {
    let turns = turns_of(records);
    let kept = effective(records);
    let mut search = ContextSearch::default();
    let cut = kept
        .iter()
        .rposition(|record| search.take(record, || is_in_a_completed_turn(&turns, record.ordinal)));
    let suffix = kept.into_iter().skip(cut.unwrap_or(0));
    ModelContext {
        records: suffix.cloned().collect(),
        is_whole: cut.is_none(),
    }
}
