//! Any text is a cursor or refused; what is read is written, and read as the same; a cursor with
//! one character changed is none; and whatever a cursor says, its page holds what lies beyond it,
//! no more than was asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use selvedge_codec::{BatchPosition, Item, Ordinal, Record, ThreadId, UtcMicros};
use selvedge_engine::fuzzing::{occurrence_cursor_again, page_cursor_again};
use selvedge_engine::listing::{Cursor, Direction, ListQuery, PageRequest, SortKey, ThreadFilter};
use selvedge_engine::paging::{ItemQuery, TurnQuery, page_items, page_turns};
use selvedge_engine::search::{OccurrenceQuery, SearchQuery, SearchRequest, occurrences_in};

const ID: ThreadId = ThreadId::from_bytes([7; 16]);
const TERM: &str = "word";
const LIMIT: usize = 3;

/// Where a cursor of pages holds its kind, its thread and its filter.
const KIND: usize = 1;
const THREAD: usize = 2;
const FILTER: usize = 18;

fn records() -> Vec<Record> {
    let payloads = [
        r#"{"type":"task_started","turn_id":"a"}"#,
        r#"{"type":"user_message","message":"a word, a word and a word"}"#,
        r#"{"type":"task_complete","turn_id":"a"}"#,
        r#"{"type":"task_started","turn_id":"b"}"#,
        r#"{"type":"agent_message","message":"word by word"}"#,
        r#"{"type":"thread_rolled_back","num_turns":1}"#,
        r#"{"type":"user_message","message":"the last word"}"#,
    ];
    let records = (0..).zip(payloads).map(|(ordinal, payload)| {
        Item::json("event_msg", payload)
            .expect("it is one")
            .into_record(
                Ordinal::new(ordinal),
                UtcMicros::EPOCH,
                BatchPosition::WHOLE,
            )
    });
    records.collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("hex"), 16).expect("hex"))
        .collect()
}

/// A cursor of these bytes under a right checksum.
fn forged(checked: &[u8]) -> String {
    to_hex(&[checked, &crc32fast::hash(checked).to_be_bytes()].concat())
}

/// A text that is read is written, and read as the same; one with a digit changed is refused.
fn check<T: std::fmt::Debug>(text: &str, at: u8, again: impl Fn(&str) -> Result<String, T>) {
    let Ok(written) = again(text) else {
        return;
    };
    assert_eq!(again(&written).ok().as_deref(), Some(&*written));
    assert_eq!(written.len(), text.len());
    let mut changed = text.to_owned().into_bytes();
    let at = usize::from(at) % changed.len();
    changed[at] = if changed[at] == b'7' { b'8' } else { b'7' };
    let changed = String::from_utf8(changed).expect("digits");
    assert!(again(&changed).is_err(), "{changed} passes for {text}");
}

fn list_query(data: &[u8]) -> ListQuery {
    let [flags, text @ ..] = data else {
        return ListQuery::default();
    };
    let text = String::from_utf8_lossy(text).into_owned();
    let mut query = ListQuery {
        sort: [SortKey::Created, SortKey::Updated, SortKey::Recency][usize::from(flags % 3)],
        limit: LIMIT,
        filter: ThreadFilter {
            archived: flags & 4 != 0,
            include_empty: flags & 8 != 0,
            top_level_only: flags & 16 != 0,
            ..ThreadFilter::default()
        },
        ..ListQuery::default()
    };
    match flags >> 5 {
        1 => query.filter.cwds = text.split(',').map(str::to_owned).collect(),
        2 => query.filter.providers = vec![text],
        3 => query.filter.sources = vec![text],
        4 => query.filter.search = Some(text),
        _ => {}
    }
    query
}

fn check_list(text: &str, at: u8, rest: &[u8]) {
    let query = list_query(rest);
    let again = |text: &str| Cursor::decode(text, &query).map(|cursor| cursor.encode(&query));
    check(text, at, again);
    // An honest one, of this place.
    let mut place = [0; 24];
    for (to, from) in place.iter_mut().zip(rest) {
        *to = *from;
    }
    let (time, id) = place.split_first_chunk::<8>().expect("24 bytes");
    let cursor = Cursor {
        time: UtcMicros::new(i64::from_be_bytes(*time)),
        thread_id: ThreadId::from_bytes(id.try_into().expect("16 bytes")),
    };
    let honest = cursor.encode(&query);
    assert_eq!(Cursor::decode(&honest, &query).ok(), Some(cursor));
    check(&honest, at, again);
    let mut other = query.clone();
    other.filter.archived ^= true;
    assert!(Cursor::decode(&honest, &other).is_err());
    for direction in [Direction::Ascending, Direction::Descending] {
        let query = ListQuery {
            direction,
            cursor: Some(honest.clone()),
            ..query.clone()
        };
        if let Ok(request) = PageRequest::of(&query) {
            assert!(!request.is_beyond(cursor));
        }
    }
    let search = SearchQuery {
        term: TERM.to_owned(),
        filter: query.filter.clone(),
        cursor: Some(honest),
        ..SearchQuery::default()
    };
    assert!(
        SearchRequest::of(&search).is_err(),
        "a listing's cursor is no search's"
    );
}

fn check_pages(text: &str, at: u8) {
    let records = records();
    for is_of_items in [false, true] {
        check(text, at, |text| page_cursor_again(text, ID, is_of_items, 0));
    }
    for direction in [Direction::Ascending, Direction::Descending] {
        let cursor = Some(text.to_owned());
        let items = ItemQuery {
            direction,
            limit: LIMIT,
            cursor: cursor.clone(),
            turn_id: None,
        };
        if let Ok(page) = page_items(ID, &records, &items) {
            assert!(page.items.len() <= LIMIT);
            assert!(page.backwards_cursor.is_some());
            let all = ItemQuery {
                limit: 0,
                cursor: None,
                ..items
            };
            let all = page_items(ID, &records, &all).expect("without a cursor");
            assert!(page.items.iter().all(|item| all.items.contains(item)));
        }
        let turns = TurnQuery {
            direction,
            limit: LIMIT,
            cursor,
            ..TurnQuery::default()
        };
        if let Ok(page) = page_turns(ID, &records, &turns) {
            assert!(page.turns.len() <= LIMIT);
        }
    }
}

fn check_occurrences(text: &str, at: u8, rest: &[u8]) {
    check(text, at, |text| occurrence_cursor_again(text, ID, TERM));
    let records = records();
    let query = |cursor| OccurrenceQuery {
        term: TERM.to_owned(),
        limit: 1,
        cursor,
    };
    let first = occurrences_in(ID, &records, &query(None)).expect("the word is there");
    let honest = first.next_cursor.expect("and again");
    check(&honest, at, |text| occurrence_cursor_again(text, ID, TERM));
    // The same with any place in it.
    let mut bytes = from_hex(&honest);
    bytes.truncate(bytes.len() - 4);
    let places = bytes.len() - 16;
    for (to, from) in bytes[places..].iter_mut().zip(rest) {
        *to = *from;
    }
    let forged = forged(&bytes);
    let page = occurrences_in(ID, &records, &query(Some(forged.clone()))).expect("it is a cursor");
    assert!(page.occurrences.len() <= 1);
    check(&forged, at, |text| occurrence_cursor_again(text, ID, TERM));
}

fuzz_target!(|data: &[u8]| {
    let [kind, at, rest @ ..] = data else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    match kind % 4 {
        0 => return check_list(&text, *at, rest),
        1 => return check_occurrences(&text, *at, rest),
        _ => check_pages(&text, *at),
    }

    // A cursor of pages with anything in it but for its kind, thread and filter.
    let mut checked = [0; 76];
    checked[0] = 2;
    for (to, from) in checked.iter_mut().zip(rest) {
        *to = *from;
    }
    checked[KIND] &= 1;
    checked[THREAD..FILTER].copy_from_slice(ID.as_bytes());
    checked[FILTER..FILTER + 8].fill(0);
    check_pages(&forged(&checked), *at);
    // One of any length.
    check_pages(&forged(rest), *at);
});
