//! Pages of items.

use selvedge_codec::{Record, ThreadId};

use super::{ItemPage, ItemQuery, PagingRequest, Place, turns_of};
use crate::log::effective;
use crate::thread::TurnSummary;
use crate::{Error, InvalidRequest, Result};

/// A page of a thread's items, from all of its records.
///
/// # Errors
/// [`InvalidRequest`] for a bad cursor or page size, and [`InvalidRequest::NoSuchTurn`] for a turn
/// that is not there or was rolled back.
pub fn page_items(thread_id: ThreadId, records: &[Record], query: &ItemQuery) -> Result<ItemPage> {
    let request = PagingRequest::of_items(thread_id, query)?;
    let turn = match &query.turn_id {
        None => None,
        Some(turn_id) => {
            let mut turns = turns_of(records).into_iter();
            let found = turns.rfind(|turn| find_turn(turn, turn_id));
            Some(found.ok_or_else(|| no_such_turn(thread_id, turn_id))?)
        }
    };
    let kept = effective(records);
    let found = kept.into_iter().filter(|record| {
        request.takes(record.ordinal) && turn.as_ref().is_none_or(|turn| turn.holds(record.ordinal))
    });
    let mut found = request.gather(found);
    let cursors = request.cut(&mut found, |record| Place::at(record.ordinal));
    Ok(ItemPage {
        items: found.into_iter().cloned().collect(),
        next_cursor: cursors.next,
        backwards_cursor: cursors.backwards,
    })
}

/// Whether this is the turn of this id, still counting. Of several the newest is meant.
pub(crate) fn find_turn(turn: &TurnSummary, turn_id: &str) -> bool {
    !turn.rolled_back && turn.turn_id.as_deref() == Some(turn_id)
}

pub(crate) fn no_such_turn(thread_id: ThreadId, turn_id: &str) -> Error {
    let turn_id = turn_id.to_owned();
    InvalidRequest::NoSuchTurn { thread_id, turn_id }.into()
}
