//! JSON lines: every record is kept byte for byte, and a bad line costs itself alone.
#![cfg(test)]

use bytes::Bytes;
use selvedge_codec::jsonl::{
    LineEvent, LineScan, LineScanStart, item_from_line, render_line, scan,
};
use selvedge_codec::{BatchPosition, EventClass, Ordinal, PayloadEncoding, UtcMicros};

const TIME: &str = "2026-02-20T09:15:00.128Z";

fn events(text: &[u8]) -> (Vec<LineEvent>, LineScan) {
    let mut lines = scan(Bytes::copy_from_slice(text), LineScanStart::default());
    let events = lines.by_ref().collect();
    (events, lines)
}

/// A record's ordinal and body, or a bad line's offset.
fn short(events: &[LineEvent]) -> Vec<(u64, String)> {
    events
        .iter()
        .map(|event| match event {
            LineEvent::Record { record, .. } => (
                record.ordinal.get(),
                String::from_utf8(record.body.to_vec()).unwrap(),
            ),
            LineEvent::BadLine { offset, .. } => (offset.get(), "bad".to_owned()),
        })
        .collect()
}

fn line(payload: &str) -> String {
    format!(r#"{{"timestamp":"{TIME}","type":"response_item","payload":{payload}}}"#)
}

fn numbered(ordinal: u64) -> String {
    format!(r#"{{"timestamp":"{TIME}","ordinal":{ordinal},"type":"compacted","payload":{{}}}}"#)
}

#[test]
fn a_line_is_a_record_with_the_line_as_its_body() {
    let text = format!(
        r#"{{"timestamp":"{TIME}","type":"event_msg","payload":{{"type":"task_complete","turn_id":"019c7a54-be9f-7160-9803-bdd34e41ed4e"}}}}"#
    );
    let (events, lines) = events(format!("{text}\n").as_bytes());
    let [LineEvent::Record { record, offset }] = &events[..] else {
        panic!("one record, not {events:?}")
    };
    assert_eq!(offset.get(), 0);
    assert_eq!(record.body, text);
    assert_eq!(record.time, UtcMicros::parse(TIME).unwrap());
    assert_eq!(record.event, Some(EventClass::TurnCompleted));
    assert_eq!(
        record.turn_id.as_ref().map(ToString::to_string).as_deref(),
        Some("019c7a54-be9f-7160-9803-bdd34e41ed4e")
    );
    assert_eq!(record.encoding, PayloadEncoding::JsonLine);
    assert_eq!(record.batch, BatchPosition::WHOLE);
    assert!(
        record
            .payload_json()
            .unwrap()
            .get()
            .starts_with(r#"{"type":"task_complete""#)
    );
    assert_eq!(lines.state().offset.get(), text.len() as u64 + 1);
    assert_eq!(lines.torn_tail(), None);
}

#[test]
fn a_bad_line_costs_itself_alone() {
    for bad in [
        &b"{"[..],
        b"null",
        b"[1]",
        b"\xff\xfe",
        "\u{feff}{}".as_bytes(),
        br#"{"timestamp":"2026-02-20T09:15:00Z","type":"x"}"#,
        br#"{"timestamp":"2026-02-20T09:15:00Z","payload":1}"#,
        br#"{"timestamp":"yesterday","type":"x","payload":1}"#,
        br#"{"type":"x","payload":1}"#,
        br#"{"timestamp":"2026-02-20T09:15:00Z","type":"","payload":1}"#,
        br#"{"timestamp":"2026-02-20T09:15:00Z","type":7,"payload":1}"#,
        br#"{"timestamp":"2026-02-20T09:15:00Z","type":"x","payload":1}}"#,
        b"{\"timestamp\":\"2026-02-20T09:15:00Z\",\"type\":\"x\",\"payload\":\"\xff\"}",
        &[0; 10],
    ] {
        let good = line("1");
        let mut text = format!("{good}\n").into_bytes();
        text.extend_from_slice(bad);
        text.extend_from_slice(format!("\n\n \r\n{good}\n").as_bytes());
        let (events, lines) = events(&text);
        assert_eq!(
            short(&events),
            [
                (0, good.clone()),
                (good.len() as u64 + 1, "bad".to_owned()),
                (1, good)
            ],
            "{}",
            String::from_utf8_lossy(bad)
        );
        assert_eq!(lines.state().offset.get(), text.len() as u64);
        assert_eq!(lines.torn_tail(), None);
    }
}

#[test]
fn a_torn_last_line_is_neither_consumed_nor_counted() {
    let good = line(r#"{"a":"b"}"#);
    let whole = format!("{good}\n{good}");
    for length in good.len() + 2..whole.len() {
        let (events, lines) = events(&whole.as_bytes()[..length]);
        assert_eq!(short(&events), [(0, good.clone())]);
        let (offset, torn) = lines.torn_tail().unwrap();
        assert_eq!(offset.get(), good.len() as u64 + 1);
        assert_eq!(offset.get() + torn.get(), length as u64);
        assert_eq!(lines.state().offset, offset);
        assert_eq!(lines.state().bad_since_record, 0);
    }
    let (events, lines) = events(whole.as_bytes());
    assert_eq!(short(&events), [(0, good.clone()), (1, good)]);
    assert_eq!(lines.torn_tail(), None);
    assert!(lines.is_unterminated());
}

#[test]
fn a_records_own_ordinal_is_kept_where_it_can_be_true() {
    let text = [
        numbered(0),
        "bad".to_owned(),
        "bad".to_owned(),
        numbered(2),
        numbered(2),
        numbered(9),
        "bad".to_owned(),
        line("1"),
    ]
    .map(|line| line + "\n")
    .concat();
    let (events, lines) = events(text.as_bytes());
    let ordinals: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            LineEvent::Record { record, .. } => Some(record.ordinal.get()),
            LineEvent::BadLine { .. } => None,
        })
        .collect();
    assert_eq!(ordinals, [0, 2, 3, 4, 5]);
    assert!(lines.has_explicit_ordinals());
}

#[test]
fn a_scan_goes_on_where_an_earlier_one_left_off() {
    let text = [numbered(0), "bad".to_owned(), numbered(2), line("1")]
        .map(|line| line + "\n")
        .concat();
    let (whole, end) = events(text.as_bytes());
    for cut in 0..=text.len() {
        let mut first = scan(
            Bytes::copy_from_slice(&text.as_bytes()[..cut]),
            LineScanStart::default(),
        );
        let mut both: Vec<_> = first.by_ref().collect();
        let state = first.state();
        let from = usize::try_from(state.offset.get()).unwrap();
        let mut second = scan(Bytes::copy_from_slice(&text.as_bytes()[from..]), state);
        both.extend(second.by_ref());
        assert_eq!(both, whole, "cut at {cut}");
        assert_eq!(second.state(), end.state());
    }
}

#[test]
fn a_line_in_is_the_line_out() {
    for text in [
        line(r#"{"a":1}"#),
        line(r#"  {"a" : 1}  "#),
        numbered(7),
        line("1") + "\r",
        format!(" {}", line("null")),
        line("1").replace(".128Z", ".128000Z"),
        line("1").replace(".128Z", ".128+00:00"),
        line("1").replace("response_item", "t\\u0079pe"),
        line("1").replace("}", r#","more":[1,2]}"#),
    ] {
        let item = item_from_line(Bytes::from(text.clone())).unwrap();
        let record = item.into_record(Ordinal::new(3), UtcMicros::EPOCH, BatchPosition::WHOLE);
        let mut out = Vec::new();
        render_line(&record, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), text);
        assert!(record.payload_json().is_ok());
    }
}
