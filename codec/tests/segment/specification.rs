//! The specification says what the code does.

use bytes::Bytes;
use selvedge_codec::jsonl::MAX_DECOMPRESSED_BYTES;
use selvedge_codec::segment::{
    FORMAT_VERSION, HEADER_BYTES, MAX_BATCH_RECORDS, MAX_BODY_BYTES, MAX_FRAME_BODY_BYTES,
    MAX_TURN_ID_BYTES, SegmentHeader, SegmentNumber, encode_batch,
};
use selvedge_codec::{BatchPosition, EventClass, Item, Ordinal, TurnId};

use crate::golden::records_of;

const FORMAT: &str = include_str!("../../FORMAT.md");

/// The bytes of the worked example. Each line's offset is checked on the way.
fn example() -> Vec<u8> {
    let (_, rest) = FORMAT.split_once("### A worked example").unwrap();
    let (_, rest) = rest.split_once("```text\n").unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    let mut bytes = Vec::new();
    for line in block.lines() {
        let (data, _) = line.split_once('|').unwrap();
        let mut words = data.split_whitespace();
        let offset = usize::from_str_radix(words.next().unwrap(), 16).unwrap();
        assert_eq!(offset, bytes.len(), "the offset of {line:?}");
        bytes.extend(words.map(|word| u8::from_str_radix(word, 16).unwrap()));
    }
    bytes
}

#[test]
fn the_worked_example_is_what_is_written_and_read() {
    let header = SegmentHeader {
        thread_id: "019c7a54-be6b-7e31-86dd-b589bd944286".parse().unwrap(),
        segment: SegmentNumber::FIRST,
        first_ordinal: Ordinal::ZERO,
    };
    let payload = r#"{"type":"user_message","message":"hi"}"#;
    let time = "2026-02-20T09:15:00.076Z".parse().unwrap();
    let item = Item::json("event_msg", payload)
        .unwrap()
        .in_turn(Some(&TurnId::from_text("t1")));
    let mut batch = [item.into_record(Ordinal::ZERO, time, BatchPosition::WHOLE)];
    let mut bytes = header.encode().to_vec();
    encode_batch(header.seed(), &mut batch, &mut bytes).unwrap();
    assert_eq!(example(), bytes);
    assert_eq!(records_of(&example()), batch);
    assert_eq!(batch[0].event, Some(EventClass::UserMessage));
    assert_eq!(batch[0].body, Bytes::from(payload));
}

#[test]
fn the_bounds_are_those_of_the_specification() {
    for (what, number) in [
        ("header, {} bytes", HEADER_BYTES as u64),
        ("| format version | {} |", u64::from(FORMAT_VERSION)),
        ("9 to {} (64 MiB + 512)", MAX_FRAME_BODY_BYTES as u64),
        ("at most {} bytes (64 MiB)", MAX_BODY_BYTES as u64),
        ("below {} |", MAX_BATCH_RECORDS as u64),
        ("a string of at most {} bytes", MAX_TURN_ID_BYTES as u64),
        (
            "a string of 1 to {} bytes",
            selvedge_codec::record::MAX_RECORD_TYPE_BYTES as u64,
        ),
        ("beyond {} GiB", MAX_DECOMPRESSED_BYTES >> 30),
    ] {
        let said = what.replace("{}", &with_commas(number));
        assert!(FORMAT.contains(&said), "FORMAT.md does not say {said:?}");
    }
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn the_spellings_of_events_are_those_of_the_specification() {
    let (_, rest) = FORMAT.split_once("| event | `payload.type` |").unwrap();
    let (table, _) = rest.split_once("\n\n").unwrap();
    let rows: Vec<_> = table.lines().filter(|line| line.contains('`')).collect();
    assert_eq!(rows.len(), 10);
    for row in rows {
        let mut cells = row.split('|').skip(1);
        let event = cells.next().unwrap().trim().replace(' ', "");
        for spelling in cells.next().unwrap().split(',') {
            let class = EventClass::from_name(spelling.trim().trim_matches('`'));
            assert_eq!(format!("{class:?}").to_lowercase(), event, "{spelling}");
        }
    }
}
