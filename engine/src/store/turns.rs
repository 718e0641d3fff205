//! Pages of turns and items. The rows of the index tell which turns there are and where they lie;
//! of the log, no more is read than the page shows.

use std::collections::HashMap;

use selvedge_codec::{ByteLength, Ordinal, Record, ThreadId};

use super::Store;
use super::window::{Attempt, Stretch, Window};
use crate::Result;
use crate::index::{ReadTransaction, Tables, ThreadRow, TurnRun};
use crate::listing::Direction;
use crate::log::{
    ForwardReader, LogEvent, LogPosition, OpenLog, RecordPlace, ReverseReader, still_counts,
};
use crate::paging::{
    Hint, ItemDetail, ItemPage, ItemQuery, PagingRequest, Place, TurnPage, TurnQuery, find_turn,
    items_for, no_such_turn, page_items, page_of_turns, page_turns,
};
use crate::projection::PlacedTurn;

/// How much is read at first where nobody knows how much a page takes.
const FIRST_PIECE: ByteLength = ByteLength::new(32 << 10);
/// A turn is read at once unless it is longer.
const LARGE_PIECE: ByteLength = ByteLength::new(8 << 20);

/// An item, with where it lies, as far as that is known.
type Found = (Record, Option<RecordPlace>);

impl Store {
    /// A page of a thread's turns. Where their items are not asked for, no log is read.
    ///
    /// # Errors
    /// [`crate::InvalidRequest`] for a bad cursor or page size; otherwise as [`Store::find`] and
    /// [`Store::history`].
    pub fn turns_page(&self, id: ThreadId, query: &TurnQuery) -> Result<TurnPage> {
        let request = PagingRequest::of_turns(id, query)?;
        self.paged(
            id,
            |store, _| store.turns_by_rows(id, (&request, query.items)),
            |records| page_turns(id, records, query),
        )
    }

    fn turns_by_rows(
        &self,
        id: ThreadId,
        (request, detail): (&PagingRequest, ItemDetail),
    ) -> Result<Attempt<TurnPage>> {
        let (from, to) = request.span();
        let run = TurnRun {
            thread_id: id,
            from,
            to,
            direction: request.direction(),
        };
        let read = |txn: &ReadTransaction| {
            let Some(row) = txn.thread(id)? else {
                return Ok(None);
            };
            let live = txn
                .turns_in(run)?
                .filter(|turn| turn.as_ref().map_or(true, |turn| !turn.turn.rolled_back));
            let turns: Vec<PlacedTurn> =
                live.take(request.limit() + 1).collect::<Result<_, _>>()?;
            Ok(Some((row, turns)))
        };
        let Some((row, placed)) = self.ask_index(read)? else {
            return Ok(Attempt::Unclear);
        };
        let mut items = HashMap::new();
        if detail != ItemDetail::None {
            let Some(log) = self.open_log_of(&row)? else {
                return Ok(Attempt::Unclear);
            };
            let mut shown: Vec<&PlacedTurn> = placed.iter().take(request.limit()).collect();
            if request.direction() == Direction::Descending {
                shown.reverse();
            }
            match items_of_turns(&log, (&shown, detail))? {
                Some(found) => items = found,
                None => return Ok(Attempt::Unclear),
            }
        }
        let turns = placed.iter().map(|placed| placed.turn.clone()).collect();
        page_of_turns(request, turns, |turn| {
            Ok(items.remove(&turn.first_ordinal).unwrap_or_default())
        })
        .map(Attempt::Answer)
    }

    /// A page of a thread's items.
    ///
    /// # Errors
    /// [`crate::InvalidRequest`] for a bad cursor or page size, or a turn that is not there;
    /// otherwise as [`Store::find`] and [`Store::history`].
    pub fn items_page(&self, id: ThreadId, query: &ItemQuery) -> Result<ItemPage> {
        let request = PagingRequest::of_items(id, query)?;
        self.paged(
            id,
            |store, turns| match &query.turn_id {
                None => store.items_by_rows(id, (&request, turns)),
                Some(turn_id) => store.items_of_turn_by_rows(id, (&request, turn_id)),
            },
            |records| page_items(id, records, query),
        )
    }

    fn items_by_rows(
        &self,
        id: ThreadId,
        (request, turns): (&PagingRequest, usize),
    ) -> Result<Attempt<ItemPage>> {
        let (from, to) = request.span();
        let stretch = Stretch {
            direction: request.direction(),
            from,
            to,
        };
        let Some(window) = self.ask_index(|txn| Window::read(txn, id, (stretch, turns)))? else {
            return Ok(Attempt::Unclear);
        };
        let before = window.turns.iter();
        let before = before.rev().find(|turn| turn.turn.first_ordinal <= from);
        let behind = to.and(window.following.as_ref());
        let bounds = Bounds {
            first: Ordinal::ZERO,
            start: before.map(|turn| turn.start),
            end: behind.map_or(window.end(), PlacedTurn::before),
            until: window.end(),
        };
        self.items_within(&window.row, (request, bounds), |record| {
            window.counts(record)
        })
    }

    fn items_of_turn_by_rows(
        &self,
        id: ThreadId,
        (request, turn_id): (&PagingRequest, &str),
    ) -> Result<Attempt<ItemPage>> {
        let newest_first = TurnRun {
            direction: Direction::Descending,
            ..TurnRun::all(id)
        };
        let read = |txn: &ReadTransaction| {
            let Some(row) = txn.thread(id)? else {
                return Ok(None);
            };
            let mut turns = txn.turns_in(newest_first)?;
            let found = turns.find(|turn| {
                turn.as_ref()
                    .map_or(true, |turn| find_turn(&turn.turn, turn_id))
            });
            Ok(Some((row, found.transpose()?)))
        };
        let Some((row, placed)) = self.ask_index(read)? else {
            return Ok(Attempt::Unclear);
        };
        let placed = placed.ok_or_else(|| no_such_turn(id, turn_id))?;
        let bounds = Bounds {
            first: placed.turn.first_ordinal,
            start: Some(placed.start),
            end: placed.end,
            until: placed.end,
        };
        self.items_within(&row, (request, bounds), |record| {
            // A turn that counts has no dropped records.
            Some(placed.turn.holds(record.ordinal) && still_counts(record, false))
        })
    }

    /// Reads the page's items. `counts` says which records are items, or that it does not know.
    fn items_within(
        &self,
        row: &ThreadRow,
        (request, bounds): (&PagingRequest, Bounds),
        counts: impl Fn(&Record) -> Option<bool>,
    ) -> Result<Attempt<ItemPage>> {
        let Some(log) = self.open_log_of(row)? else {
            return Ok(Attempt::Unclear);
        };
        let reading = row.reading;
        let begin = begin_of(request, (&log, reading), bounds)?;
        let found = match request.direction() {
            Direction::Ascending => forwards(&log, (begin, bounds), (request, counts))?,
            Direction::Descending => {
                let from = (begin, row.is_clean());
                backwards(log, (from, bounds), (request, counts))?
            }
        };
        Ok(match found {
            Attempt::More => Attempt::More,
            Attempt::Unclear => Attempt::Unclear,
            Attempt::Answer(mut found) => {
                let cursors = request.cut(&mut found, |(record, place)| Place {
                    hint: place.map(|place| Hint { reading, place }),
                    ..Place::at(record.ordinal)
                });
                Attempt::Answer(ItemPage {
                    items: found.into_iter().map(|(record, _)| record).collect(),
                    next_cursor: cursors.next,
                    backwards_cursor: cursors.backwards,
                })
            }
        })
    }
}

/// Where a page's items can lie.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// No item comes before this one.
    first: Ordinal,
    /// Where to begin forwards without a hint; `None` for the log's start.
    start: Option<LogPosition>,
    /// Where to begin backwards without a hint.
    end: LogPosition,
    /// No item lies behind.
    until: LogPosition,
}

/// Where to begin reading: where the cursor's hint says, as long as what is known of the log goes back
/// to the reading that it speaks of, or else at the bounds.
fn begin_of(
    request: &PagingRequest,
    (log, reading): (&OpenLog<'_>, u64),
    bounds: Bounds,
) -> Result<Option<LogPosition>> {
    let direction = request.direction();
    let otherwise = match direction {
        Direction::Ascending => bounds.start,
        Direction::Descending => Some(bounds.end),
    };
    let Some(from) = request.from() else {
        return Ok(otherwise);
    };
    let Some(hint) = from.hint.filter(|hint| hint.reading == reading) else {
        return Ok(otherwise);
    };
    let RecordPlace { start, end } = hint.place;
    let hinted = match direction {
        // The batch itself is read again only where it holds more than what the cursor names.
        Direction::Ascending if end.next_ordinal == from.ordinal.next() => end,
        Direction::Ascending => start,
        Direction::Descending if !from.is_after && start.next_ordinal == from.ordinal => start,
        Direction::Descending => end,
    };
    let is_good = hinted.next_ordinal <= bounds.until.next_ordinal && log.is_boundary(hinted)?;
    Ok(if is_good { Some(hinted) } else { otherwise })
}

fn forwards(
    log: &OpenLog<'_>,
    (begin, bounds): (Option<LogPosition>, Bounds),
    (request, counts): (&PagingRequest, impl Fn(&Record) -> Option<bool>),
) -> Result<Attempt<Vec<Found>>> {
    let start = match begin {
        Some(begin) => begin,
        None => log.first_position(),
    };
    let mut reader = ForwardReader::between(log, (start, bounds.until), FIRST_PIECE)?;
    let mut found = Vec::new();
    // Where there are bytes, there is the record that they should begin with.
    let mut is_first = begin.is_some() && start.next_ordinal < bounds.until.next_ordinal;
    while found.len() <= request.limit()
        && let Some((record, place)) = reader.next()?
    {
        if std::mem::take(&mut is_first) && place.start.next_ordinal != start.next_ordinal {
            return Ok(Attempt::Unclear);
        }
        match request.takes(record.ordinal).then(|| counts(&record)) {
            None | Some(Some(false)) => {}
            Some(Some(true)) => found.push((record, Some(place))),
            Some(None) => return Ok(Attempt::More),
        }
    }
    Ok(match is_first {
        true => Attempt::Unclear,
        false => Attempt::Answer(found),
    })
}

fn backwards(
    log: OpenLog<'_>,
    (from, bounds): ((Option<LogPosition>, bool), Bounds),
    (request, counts): (&PagingRequest, impl Fn(&Record) -> Option<bool>),
) -> Result<Attempt<Vec<Found>>> {
    let mut reader = ReverseReader::over(log, from)?;
    let mut found = Vec::new();
    while found.len() <= request.limit()
        && let Some(event) = reader.next().transpose()?
    {
        let LogEvent::Record(record) = event else {
            continue;
        };
        if record.ordinal < bounds.first {
            break;
        }
        match request.takes(record.ordinal).then(|| counts(&record)) {
            None | Some(Some(false)) => {}
            Some(Some(true)) => found.push((record, reader.record_place())),
            Some(None) => return Ok(Attempt::More),
        }
    }
    Ok(Attempt::Answer(found))
}

/// What is shown of the items of turns that count, oldest first, by the turns' first ordinals;
/// `None` where they do not lie where their rows say. A batch that several of them share is read
/// once.
fn items_of_turns(
    log: &OpenLog<'_>,
    (turns, detail): (&[&PlacedTurn], ItemDetail),
) -> Result<Option<HashMap<Ordinal, Vec<Record>>>> {
    let mut items = HashMap::new();
    for run in turns.chunk_by(|turn, next| turn.end.next_ordinal > next.start.next_ordinal) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        // Of a run that lies in several files this says nothing, and then what follows is read in
        // pieces.
        let bytes = (last.end.offset.get()).saturating_sub(first.start.offset.get());
        let piece = ByteLength::new(bytes.clamp(FIRST_PIECE.get(), LARGE_PIECE.get()));
        let mut reader = ForwardReader::between(log, (first.start, last.end), piece)?;
        let mut ahead = None;
        for placed in run {
            let Some(found) = items_of_turn((&mut reader, &mut ahead), placed)? else {
                return Ok(None);
            };
            items.insert(placed.turn.first_ordinal, items_for(detail, found));
        }
    }
    Ok(Some(items))
}

/// All items of a turn; `None` where it does not lie where its row says. `ahead` is the record that
/// was read behind the turn before, and then the one behind this turn.
fn items_of_turn(
    (reader, ahead): (&mut ForwardReader<'_>, &mut Option<(Record, RecordPlace)>),
    placed: &PlacedTurn,
) -> Result<Option<Vec<Record>>> {
    let mut items = Vec::new();
    let mut is_there = false;
    loop {
        let Some((record, place)) = ahead
            .take()
            .map_or_else(|| reader.next(), |it| Ok(Some(it)))?
        else {
            break;
        };
        is_there |= place.start.next_ordinal == placed.start.next_ordinal;
        if record.ordinal > placed.turn.last_ordinal {
            *ahead = Some((record, place));
            break;
        }
        if placed.turn.holds(record.ordinal) && still_counts(&record, false) {
            items.push(record);
        }
    }
    Ok(is_there.then_some(items))
}
