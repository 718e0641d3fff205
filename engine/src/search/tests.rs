//! What is found in records, and where.

use proptest::prelude::*;

use super::*;
use crate::log::effective;
use crate::sample_home::*;
use crate::{Error, InvalidRequest};

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn agent(text: &str) -> Sample {
    event("agent_message", &format!("\"message\":{}", quoted(text)))
}

fn item(kind: &str, parts: &[&str]) -> Sample {
    let parts: Vec<_> = parts
        .iter()
        .map(|part| format!("{{\"type\":\"text\",\"text\":{}}}", quoted(part)))
        .collect();
    let parts = parts.join(",{\"type\":\"image\"},");
    let more = format!("\"item\":{{\"type\":\"{kind}\",\"content\":[{parts}]}}");
    event("item_completed", &more)
}

fn message(role: &str, text: &str) -> Sample {
    let payload = format!(
        "{{\"type\":\"message\",\"role\":\"{role}\",\"content\":[{{\"type\":\"output_text\",\
         \"text\":{}}}]}}",
        quoted(text)
    );
    record("response_item", payload)
}

fn query(term: &str) -> OccurrenceQuery {
    OccurrenceQuery {
        term: term.to_owned(),
        ..OccurrenceQuery::default()
    }
}

fn occurrences(samples: &[Sample], term: &str) -> Vec<Occurrence> {
    let page = occurrences_in(id(1), &records(samples), &query(term)).unwrap();
    assert_eq!(page.next_cursor, None);
    page.occurrences
}

/// Ordinal and range of each.
fn places(samples: &[Sample], term: &str) -> Vec<(u64, u64, u64)> {
    let found = occurrences(samples, term);
    let place = |found: &Occurrence| {
        let range = &found.utf16_range;
        (found.ordinal.get(), range.start, range.end)
    };
    found.iter().map(place).collect()
}

#[test]
fn users_and_agents_are_heard_in_every_form_and_nobody_else() {
    let samples = [
        meta(1, "\"note\":\"word\""),
        user("word of the user"),
        agent("word of the agent"),
        item("UserMessage", &["word of an item"]),
        item("AgentMessage", &["word of the agent's item"]),
        message("assistant", "word of a response"),
        // Nobody said these.
        message("user", "word of the instructions"),
        message("developer", "word"),
        item("Reasoning", &["word"]),
        event("exec_command_end", "\"output\":\"word\""),
        record(
            "response_item",
            "{\"type\":\"reasoning\",\"role\":\"assistant\",\"content\":[{\"text\":\"word\"}]}",
        ),
        record("turn_context", "{\"cwd\":\"word\"}"),
        record("compacted", "{\"message\":\"word\"}"),
        event("user_message", "\"message\":17"),
        record("event_msg", "\"word\""),
    ];
    let found = occurrences(&samples, "WORD");
    let heard: Vec<_> = found
        .iter()
        .map(|found| (found.ordinal.get(), found.speaker))
        .collect();
    let (user, agent) = (Speaker::User, Speaker::Agent);
    assert_eq!(
        heard,
        [(1, user), (2, agent), (3, user), (4, agent), (5, agent)]
    );
    assert_eq!(found[4].snippet, "word of a response");
    assert_eq!(found[4].time, moment(6));
}

#[test]
fn a_message_that_is_there_in_several_forms_is_found_once() {
    let samples = [
        started("a"),
        agent("hello hello"),
        message("assistant", "hello hello"),
        item("AgentMessage", &["hello hello"]),
        // Said again, in two forms, the other way round.
        message("assistant", "hello hello"),
        agent("hello hello"),
        user("hello hello"),
        completed("a"),
        started("b"),
        message("assistant", "hello hello"),
    ];
    assert_eq!(
        places(&samples, "hello"),
        [
            (1, 0, 5),
            (1, 6, 11),
            (4, 0, 5),
            (4, 6, 11),
            (6, 0, 5),
            (6, 6, 11),
            (9, 0, 5),
            (9, 6, 11)
        ]
    );
}

#[test]
fn ranges_are_of_utf_16_code_units() {
    let samples = [user("\u{1f9f5}é日 K\u{212a}k\n\u{1f9f5}")];
    assert_eq!(places(&samples, "k"), [(0, 5, 6), (0, 6, 7), (0, 7, 8)]);
    assert_eq!(places(&samples, "\u{1f9f5}"), [(0, 0, 2), (0, 9, 11)]);
}

#[test]
fn a_place_lies_in_one_part_of_a_message() {
    let samples = [item("UserMessage", &["one t", "wo", "", "three two"])];
    assert_eq!(places(&samples, "two"), [(0, 13, 16)]);
    assert_eq!(places(&samples, "o"), [(0, 0, 1), (0, 6, 7), (0, 15, 16)]);
    assert_eq!(places(&samples, "t"), [(0, 4, 5), (0, 7, 8), (0, 13, 14)]);
}

#[test]
fn what_a_rollback_dropped_is_not_found() {
    let samples = [
        turn("kept"),
        turn("gone"),
        vec![rolled_back(1)],
        turn("new"),
    ]
    .concat();
    assert_eq!(places(&samples, "gone"), []);
    assert_eq!(places(&samples, "e"), [(1, 1, 2), (8, 1, 2)]);
    let records = records(&samples);
    let needle = |term| Needle::new(term).unwrap();
    assert_eq!(find_in(&records, &needle("gone")), None);
    assert_eq!(find_in(&records, &needle("KEPT")).as_deref(), Some("kept"));
}

#[test]
fn an_occurrence_names_its_turn_where_it_has_one() {
    let samples = [
        vec![agent("before")],
        turn("a"),
        vec![agent("between"), started("b"), agent("b")],
    ]
    .concat();
    let found = occurrences(&samples, "b");
    let cursor = found[2].turn_cursor.clone();
    let turns = crate::paging::TurnQuery {
        cursor,
        ..Default::default()
    };
    let page = crate::paging::page_turns(id(1), &records(&samples), &turns).unwrap();
    assert_eq!(page.turns[0].turn.turn_id.as_deref(), Some("b"));
    let turns: Vec<_> = found
        .into_iter()
        .map(|found| {
            (
                found.ordinal.get(),
                found.turn_id,
                found.turn_cursor.is_some(),
            )
        })
        .collect();
    let b = Some("b".to_owned());
    assert_eq!(turns, [(0, None, false), (4, None, false), (6, b, true)]);
}

#[test]
fn a_cursor_of_another_thread_or_term_is_refused() {
    let records = records(&[user("aaaa")]);
    let one = OccurrenceQuery {
        limit: 1,
        ..query("A")
    };
    let cursor = occurrences_in(id(1), &records, &one).unwrap().next_cursor;
    let ask = |thread, term: &str, cursor: Option<String>| {
        let query = OccurrenceQuery {
            cursor,
            ..query(term)
        };
        match occurrences_in(id(thread), &records, &query) {
            Ok(page) => Ok(page.occurrences.len()),
            Err(Error::InvalidRequest(why)) => Err(why),
            Err(why) => panic!("{why}"),
        }
    };
    // The same term in another case finds the same.
    assert_eq!(ask(1, "a", cursor.clone()), Ok(3));
    assert_eq!(
        ask(2, "a", cursor.clone()),
        Err(InvalidRequest::CursorOfAnotherThread)
    );
    assert_eq!(
        ask(1, "aa", cursor.clone()),
        Err(InvalidRequest::CursorOfAnotherQuery)
    );
    let text = cursor.unwrap();
    let mut bad = vec![String::new(), "zz".into(), format!("{text}00")];
    for at in 0..text.len() {
        let flipped = if &text[at..=at] == "0" { "1" } else { "0" };
        bad.push(format!("{}{flipped}{}", &text[..at], &text[at + 1..]));
    }
    for text in bad {
        assert_eq!(ask(1, "a", Some(text)), Err(InvalidRequest::BadCursor));
    }
}

#[test]
fn a_page_size_out_of_bounds_is_refused_and_0_is_the_usual_one() {
    let limit = crate::paging::MAX_PAGE_ITEMS;
    let records = records(&[user(&"a".repeat(2 * limit))]);
    let of = |limit| {
        let query = OccurrenceQuery {
            limit,
            ..query("a")
        };
        occurrences_in(id(1), &records, &query).map(|page| page.occurrences.len())
    };
    assert_eq!(of(0).unwrap(), 50);
    assert_eq!(of(limit).unwrap(), limit);
    assert!(matches!(
        of(limit + 1),
        Err(Error::InvalidRequest(InvalidRequest::PageSize { .. }))
    ));
}

#[test]
fn a_snippet_is_one_line_around_the_place() {
    let of = |text: &str, term: &str| {
        let place = Needle::new(term).unwrap().find(text).unwrap();
        snippet(text, place)
    };
    assert_eq!(of("one", "one"), "one");
    assert_eq!(of(" \n one\t\ttwo \r\n", "one"), "one two");
    assert_eq!(of("a\u{2028}b\u{1b}[0mc", "b"), "a b [0mc");
    assert_eq!(of("x  two   words", "o  "), "x two words");
    let long = format!("{} term {}", "b".repeat(60), "a".repeat(120));
    let expected = format!("... {} term {} ...", "b".repeat(48), "a".repeat(95));
    assert_eq!(of(&long, "term"), expected);
    // What is left out is more than white space.
    let blank = format!("{}b term a{}", " ".repeat(300), " ".repeat(300));
    assert_eq!(of(&blank, "term"), "b term a");
    let wide = format!("{}x{}", "日".repeat(60), "\u{1f9f5}".repeat(120));
    let expected = format!("... {}x{} ...", "日".repeat(49), "\u{1f9f5}".repeat(96));
    assert_eq!(of(&wide, "x"), expected);
}

/// Any record, many of which say one of a few words.
fn any_saying() -> impl Strategy<Value = Sample> {
    let words = || "[ab \u{1f9f5}]{0,6}";
    prop_oneof![
        3 => any_sample(),
        2 => words().prop_map(|text| user(&text)),
        1 => words().prop_map(|text| agent(&text)),
        1 => words().prop_map(|text| message("assistant", &text)),
        1 => (words(), words()).prop_map(|(a, b)| item("AgentMessage", &[&a, &b])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn pages_of_occurrences_are_the_whole_list_cut_in_pieces(
        samples in prop::collection::vec(any_saying(), 0..24),
        term in prop::sample::select(vec!["a", "B", "ab", " ", "\u{1f9f5}", "word"]),
        limit in 1usize..4,
    ) {
        let records = records(&samples);
        let whole = occurrences_in(id(1), &records, &OccurrenceQuery { limit: 1000, ..query(term) })
            .unwrap();
        prop_assert_eq!(&whole.next_cursor, &None);
        let mut pieces = Vec::new();
        let mut next = OccurrenceQuery { limit, ..query(term) };
        loop {
            let page = occurrences_in(id(1), &records, &next).unwrap();
            prop_assert!(page.occurrences.len() <= limit);
            pieces.extend(page.occurrences);
            next.cursor = page.next_cursor;
            if next.cursor.is_none() {
                break;
            }
        }
        prop_assert_eq!(&pieces, &whole.occurrences);
        // Each is where it says it is, in a record that counts, and in order.
        let needle = Needle::new(term).unwrap();
        let mut last = None;
        for found in &pieces {
            let record = effective(&records)
                .into_iter()
                .find(|record| record.ordinal == found.ordinal)
                .unwrap();
            let said = said(record).unwrap();
            let units: Vec<u16> = said.text.encode_utf16().collect();
            let range = usize::try_from(found.utf16_range.start).unwrap()
                ..usize::try_from(found.utf16_range.end).unwrap();
            let text = String::from_utf16(&units[range]).unwrap();
            prop_assert_eq!(needle.find(&text), Some(0..text.len()));
            let place = Some((found.ordinal, found.utf16_range.start));
            prop_assert!(place > last);
            last = place;
        }
        // A thread is found exactly where something in it is.
        let snippet = find_in(&records, &needle);
        prop_assert_eq!(snippet.as_ref(), pieces.first().map(|found| &found.snippet));
    }
}
