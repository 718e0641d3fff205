//! Pages of turns.

use selvedge_codec::{Record, ThreadId};

use super::summary::summary_items;
use super::{ItemDetail, PagingRequest, Place, TurnEntry, TurnPage, TurnQuery, turns_of};
use crate::Result;
use crate::log::effective;
use crate::thread::TurnSummary;

/// A page of a thread's turns, from all of its records.
///
/// # Errors
/// [`crate::InvalidRequest`] for a bad cursor or page size.
pub fn page_turns(thread_id: ThreadId, records: &[Record], query: &TurnQuery) -> Result<TurnPage> {
    let request = PagingRequest::of_turns(thread_id, query)?;
    let turns = turns_of(records).into_iter();
    let found = turns.filter(|turn| !turn.rolled_back && request.takes(turn.first_ordinal));
    let found = request.gather(found);
    let kept = match query.items {
        ItemDetail::None => Vec::new(),
        ItemDetail::Summary | ItemDetail::Full => effective(records),
    };
    page_of_turns(&request, found, |turn| {
        let from = kept.partition_point(|record| record.ordinal < turn.first_ordinal);
        let of_turn = kept.iter().skip(from);
        let of_turn = of_turn.take_while(|record| turn.holds(record.ordinal));
        let items = of_turn.map(|record| (*record).clone()).collect();
        Ok(items_for(query.items, items))
    })
}

/// Makes the page of turns that lie beyond the cursor, up to one more than it holds. `items` gives
/// a turn's items.
pub(crate) fn page_of_turns(
    request: &PagingRequest,
    mut found: Vec<TurnSummary>,
    mut items: impl FnMut(&TurnSummary) -> Result<Vec<Record>>,
) -> Result<TurnPage> {
    let cursors = request.cut(&mut found, |turn| Place::at(turn.first_ordinal));
    let entries = found.into_iter().map(|turn| {
        let items = items(&turn)?;
        Ok(TurnEntry { turn, items })
    });
    Ok(TurnPage {
        turns: entries.collect::<Result<_>>()?,
        next_cursor: cursors.next,
        backwards_cursor: cursors.backwards,
    })
}

/// What is shown of a turn's items.
pub(crate) fn items_for(detail: ItemDetail, items: Vec<Record>) -> Vec<Record> {
    match detail {
        ItemDetail::None => Vec::new(),
        ItemDetail::Summary => summary_items(items),
        ItemDetail::Full => items,
    }
}
