//! The places in one thread where something was said.

use std::ops::Range;

use selvedge_codec::{Record, ThreadId};

use super::cursor::OccurrenceCursor;
use super::said::{Repeats, said};
use super::{Needle, Occurrence, OccurrencePage, OccurrenceQuery, Said, snippet};
use crate::log::effective;
use crate::paging::{MAX_PAGE_ITEMS, turn_cursor_at, turns_of};
use crate::thread::TurnSummary;
use crate::{InvalidRequest, Result};

/// How many occurrences a page holds when the query does not say.
const DEFAULT_LIMIT: usize = 50;

/// The places where something was said, oldest first, in a thread whose records are these: all of
/// them, in order. A message that is there in several forms is searched once.
///
/// # Errors
/// [`InvalidRequest`] for a bad term, page size or cursor.
pub fn occurrences_in(
    thread_id: ThreadId,
    records: &[Record],
    query: &OccurrenceQuery,
) -> Result<OccurrencePage> {
    let needle = Needle::new(&query.term)?;
    let limit = match query.limit {
        0 => DEFAULT_LIMIT,
        asked if asked <= MAX_PAGE_ITEMS => asked,
        asked => {
            let limit = MAX_PAGE_ITEMS;
            return Err(InvalidRequest::PageSize { asked, limit }.into());
        }
    };
    let after = (query.cursor.as_deref())
        .map(|text| OccurrenceCursor::decode(text, thread_id, &query.term))
        .transpose()?;
    let mut finder = Finder {
        thread_id,
        turns: turns_of(records),
        found: Vec::new(),
        wanted: limit + 1,
    };
    let mut repeats = Repeats::default();
    for record in effective(records) {
        let Some(said) = said(record) else { continue };
        let places = said.find_all(&needle);
        if places.is_empty() || repeats.is_one(finder.turn_number(record), &said) {
            continue;
        }
        finder.add(record, &said, (places, after));
        if finder.is_full() {
            break;
        }
    }
    let mut found = finder.found;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(OccurrenceCursor::of);
    Ok(OccurrencePage {
        next_cursor: next.map(|cursor| cursor.encode(thread_id, &query.term)),
        occurrences: found,
    })
}

impl OccurrenceCursor {
    fn of(occurrence: &Occurrence) -> Self {
        Self {
            ordinal: occurrence.ordinal,
            utf16: occurrence.utf16_range.start,
        }
    }
}

/// Gathers a page.
struct Finder {
    thread_id: ThreadId,
    turns: Vec<TurnSummary>,
    found: Vec<Occurrence>,
    /// One more than the page holds, which tells whether another one follows.
    wanted: usize,
}

impl Finder {
    fn is_full(&self) -> bool {
        self.found.len() >= self.wanted
    }

    /// How many turns began up to a record: 0 before the first one.
    fn turn_number(&self, record: &Record) -> usize {
        (self.turns).partition_point(|turn| turn.first_ordinal <= record.ordinal)
    }

    fn turn(&self, record: &Record) -> Option<&TurnSummary> {
        let before = self.turn_number(record).checked_sub(1)?;
        let turn = self.turns.get(before)?;
        turn.holds(record.ordinal).then_some(turn)
    }

    /// Adds the places of one record that lie beyond the cursor.
    fn add(
        &mut self,
        record: &Record,
        said: &Said<'_>,
        (places, after): (Vec<Range<usize>>, Option<OccurrenceCursor>),
    ) {
        let turn = self.turn(record);
        let turn_id = turn.and_then(|turn| turn.turn_id.clone());
        let turn_cursor = turn.map(|turn| turn_cursor_at(self.thread_id, turn.first_ordinal));
        let mut units = Utf16 {
            text: &said.text,
            at: 0,
            units: 0,
        };
        for place in places {
            if self.is_full() {
                break;
            }
            let range = units.up_to(place.start)..units.up_to(place.end);
            let cursor = OccurrenceCursor {
                ordinal: record.ordinal,
                utf16: range.start,
            };
            if after.is_some_and(|after| cursor <= after) {
                continue;
            }
            self.found.push(Occurrence {
                ordinal: record.ordinal,
                time: record.time,
                turn_id: turn_id.clone(),
                turn_cursor: turn_cursor.clone(),
                speaker: said.speaker,
                utf16_range: range,
                snippet: snippet(&said.text, place),
            });
        }
    }
}

/// Counts UTF-16 code units along a text.
struct Utf16<'a> {
    text: &'a str,
    at: usize,
    units: u64,
}

impl Utf16<'_> {
    fn up_to(&mut self, end: usize) -> u64 {
        let more = self.text.get(self.at..end).unwrap_or_default();
        self.units += more.encode_utf16().count() as u64;
        self.at = end;
        self.units
    }
}
