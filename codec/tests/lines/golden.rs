//! The golden lines: what was read of a file once is read of it for ever.

use selvedge_codec::jsonl::LineEvent;

use crate::support::{events, rendered};

const GOLDEN: &[u8] = include_bytes!("../golden/lines.jsonl");

/// The golden file as a scan sees it, a row an event.
const GOLDEN_EVENTS: &str = include_str!("../golden/lines.events");

fn row(event: &LineEvent) -> String {
    match event {
        LineEvent::Record { record, offset } => format!(
            "{offset} {} {} {} {} {} {} {}",
            record.ordinal,
            record.time.get(),
            record.record_type,
            record
                .event
                .map_or("-".to_owned(), |event| format!("{event:?}")),
            record
                .turn_id
                .as_ref()
                .map_or("-".to_owned(), ToString::to_string),
            record.body.len(),
            record.payload_json().unwrap().get(),
        ),
        LineEvent::BadLine { offset, length, .. } => format!("{offset} bad {length}"),
    }
}

#[test]
fn the_golden_lines_are_read_as_ever() {
    let (events, scan) = events(GOLDEN);
    let rows: String = events.iter().map(|event| row(event) + "\n").collect();
    assert_eq!(rows, GOLDEN_EVENTS);
    let (torn, length) = scan.torn_tail().unwrap();
    assert_eq!(torn.get() + length.get(), GOLDEN.len() as u64);
}

#[test]
fn the_golden_lines_are_written_as_ever() {
    let (events, _) = events(GOLDEN);
    for event in events {
        if let LineEvent::Record { record, .. } = event {
            let line = String::from_utf8(record.body.to_vec()).unwrap();
            assert_eq!(rendered(&line).1, line);
        }
    }
}
