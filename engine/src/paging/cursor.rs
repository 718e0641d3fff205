//! Where a page of turns or items ended, as a text that a client keeps.
//!
//! 80 bytes in hexadecimal: version (1), kind (1), thread id (16), fingerprint of the query's filter
//! (8), edge (1), ordinal (8); then the hint: whether there is one (1), the reading of the log (8),
//! and for start and end of a batch offset and ordinal (32); crc32 of all of these (4). Numbers
//! are big-endian.
//!
//! The ordinal alone says where the page goes on. **The hint is only a hint**: it tells a store
//! where in the log's file that is, as long as what it knows of the file goes back to the same reading
//! of it from its start.

use selvedge_codec::{ByteOffset, Ordinal, ThreadId};

use crate::listing::{from_hex, to_hex};
use crate::log::{LogPosition, RecordPlace};
use crate::{InvalidRequest, Result};

const VERSION: u8 = 2;
const HINT_BYTES: usize = 1 + 8 + 4 * 8;
const CHECKED_BYTES: usize = 1 + 1 + 16 + 8 + 1 + 8 + HINT_BYTES;
const BYTES: usize = CHECKED_BYTES + 4;

/// What a page is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageKind {
    Turns,
    Items,
}

/// What a cursor is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CursorScope {
    pub(crate) kind: PageKind,
    pub(crate) thread_id: ThreadId,
    /// Of the query's filter; 0 without one.
    pub(crate) filter: u64,
}

/// Where in a log the batch lies that holds a cursor's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hint {
    /// Which reading of the log from its start it goes back to.
    pub(crate) reading: u64,
    pub(crate) place: RecordPlace,
}

/// A place between records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The record, or the turn's first one.
    pub(crate) ordinal: Ordinal,
    /// Whether the place is right behind it, so that it is still to come on the way back.
    /// Otherwise it is left out both ways: it was on a page already.
    pub(crate) is_after: bool,
    pub(crate) hint: Option<Hint>,
}

impl Place {
    /// The place of what was on a page already.
    pub(crate) const fn at(ordinal: Ordinal) -> Self {
        Self {
            ordinal,
            is_after: false,
            hint: None,
        }
    }

    pub(crate) fn encode(&self, scope: &CursorScope) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend([VERSION, kind_byte(scope.kind)]);
        bytes.extend(scope.thread_id.as_bytes());
        bytes.extend(scope.filter.to_be_bytes());
        bytes.push(u8::from(self.is_after));
        bytes.extend(self.ordinal.get().to_be_bytes());
        bytes.push(u8::from(self.hint.is_some()));
        let numbers = self.hint.map_or([0; 5], |hint| {
            [
                hint.reading,
                hint.place.start.offset.get(),
                hint.place.start.next_ordinal.get(),
                hint.place.end.offset.get(),
                hint.place.end.next_ordinal.get(),
            ]
        });
        bytes.extend(numbers.into_iter().flat_map(u64::to_be_bytes));
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        to_hex(&bytes)
    }

    /// Reads a cursor back.
    ///
    /// # Errors
    /// [`InvalidRequest::BadCursor`] for a text that is none,
    /// [`InvalidRequest::CursorOfAnotherThread`], and [`InvalidRequest::CursorOfAnotherQuery`] for
    /// one of another kind of page or another filter.
    pub(crate) fn decode(text: &str, scope: &CursorScope) -> Result<Self> {
        let bytes = from_hex::<BYTES>(text).ok_or(InvalidRequest::BadCursor)?;
        let (place, found) = parse(&bytes).ok_or(InvalidRequest::BadCursor)?;
        if found.thread_id != scope.thread_id {
            return Err(InvalidRequest::CursorOfAnotherThread.into());
        }
        if found != *scope {
            return Err(InvalidRequest::CursorOfAnotherQuery.into());
        }
        Ok(place)
    }
}

/// A cursor with which a page of turns, newest first, begins with the turn whose first record this
/// is.
#[must_use]
pub fn turn_cursor_at(thread_id: ThreadId, first_ordinal: Ordinal) -> String {
    let place = Place {
        is_after: true,
        ..Place::at(first_ordinal)
    };
    place.encode(&CursorScope {
        kind: PageKind::Turns,
        thread_id,
        filter: 0,
    })
}

const fn kind_byte(kind: PageKind) -> u8 {
    match kind {
        PageKind::Turns => 0,
        PageKind::Items => 1,
    }
}

fn parse(bytes: &[u8; BYTES]) -> Option<(Place, CursorScope)> {
    let (checked, crc) = bytes.split_first_chunk::<CHECKED_BYTES>()?;
    if crc32fast::hash(checked).to_be_bytes() != crc {
        return None;
    }
    let mut rest = &checked[..];
    let [version, kind] = take::<2>(&mut rest)?;
    let thread_id = ThreadId::from_bytes(take(&mut rest)?);
    let filter = u64::from_be_bytes(take(&mut rest)?);
    let [is_after] = take(&mut rest)?;
    let ordinal = Ordinal::new(u64::from_be_bytes(take(&mut rest)?));
    let [has_hint] = take(&mut rest)?;
    let reading = u64::from_be_bytes(take(&mut rest)?);
    let place = RecordPlace {
        start: take_position(&mut rest)?,
        end: take_position(&mut rest)?,
    };
    let kind = match kind {
        0 => PageKind::Turns,
        1 => PageKind::Items,
        _ => return None,
    };
    let place = Place {
        ordinal,
        is_after: flag(is_after)?,
        hint: flag(has_hint)?.then_some(Hint { reading, place }),
    };
    let scope = CursorScope {
        kind,
        thread_id,
        filter,
    };
    (version == VERSION && rest.is_empty()).then_some((place, scope))
}

const fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

fn take_position(rest: &mut &[u8]) -> Option<LogPosition> {
    Some(LogPosition {
        offset: ByteOffset::new(u64::from_be_bytes(take(rest)?)),
        next_ordinal: Ordinal::new(u64::from_be_bytes(take(rest)?)),
        bad_since_record: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::sample_home::id;

    const fn position(offset: u64, ordinal: u64) -> LogPosition {
        LogPosition {
            offset: ByteOffset::new(offset),
            next_ordinal: Ordinal::new(ordinal),
            bad_since_record: 0,
        }
    }

    fn scope() -> CursorScope {
        CursorScope {
            kind: PageKind::Items,
            thread_id: id(1),
            filter: 7,
        }
    }

    fn place() -> Place {
        Place {
            hint: Some(Hint {
                reading: 1 << 40,
                place: RecordPlace {
                    start: position(48, 3),
                    end: position(99, 5),
                },
            }),
            ..Place::at(Ordinal::new(4))
        }
    }

    fn why(text: &str, scope: &CursorScope) -> InvalidRequest {
        match Place::decode(text, scope) {
            Err(Error::InvalidRequest(why)) => why,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn a_cursor_is_read_back() {
        let after = Place {
            is_after: true,
            ..Place::at(Ordinal::new(u64::MAX))
        };
        for place in [place(), after] {
            let text = place.encode(&scope());
            assert_eq!(Place::decode(&text, &scope()).unwrap(), place);
        }
    }

    #[test]
    fn a_cursor_of_something_else_is_refused_with_what_it_is_of() {
        let text = place().encode(&scope());
        let thread = CursorScope {
            thread_id: id(2),
            filter: 8,
            ..scope()
        };
        assert_eq!(why(&text, &thread), InvalidRequest::CursorOfAnotherThread);
        let filter = CursorScope {
            filter: 8,
            ..scope()
        };
        assert_eq!(why(&text, &filter), InvalidRequest::CursorOfAnotherQuery);
        let kind = CursorScope {
            kind: PageKind::Turns,
            ..scope()
        };
        assert_eq!(why(&text, &kind), InvalidRequest::CursorOfAnotherQuery);
    }

    #[test]
    fn garbage_is_no_cursor() {
        let good = place().encode(&scope());
        let mut bad: Vec<String> = ["", "0", "zz", "ä"].map(String::from).to_vec();
        bad.push(good[..good.len() - 2].to_owned());
        bad.push(format!("{good}00"));
        for at in 0..good.len() {
            let flipped = if &good[at..=at] == "0" { "1" } else { "0" };
            bad.push(format!("{}{flipped}{}", &good[..at], &good[at + 1..]));
        }
        for text in bad {
            assert_eq!(why(&text, &scope()), InvalidRequest::BadCursor, "{text:?}");
        }
    }
}
