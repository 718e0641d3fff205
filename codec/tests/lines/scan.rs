//! Reading lines: in order, past damage, and on from where an earlier scan left off.

use bytes::Bytes;
use selvedge_codec::jsonl::{LineEvent, LineScanStart, scan};
use selvedge_codec::{BatchPosition, EventClass, PayloadEncoding, UtcMicros};

use crate::support::{TIME, events, line, numbered};

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

/// The oracle: a whole parse of a line, and what it must have.
fn is_record_line(line: &[u8]) -> bool {
    let Ok(line) = serde_json::from_slice::<serde_json::Value>(line) else {
        return false;
    };
    let text = |name: &str| line.get(name).and_then(serde_json::Value::as_str);
    line.get("payload").is_some()
        && text("timestamp").is_some_and(|time| time.parse::<jiff::Timestamp>().is_ok())
        && text("type").is_some_and(|name| (1..=128).contains(&name.len()))
}

#[test]
fn every_changed_byte_of_a_line_is_judged_as_a_whole_parse_judges_it() {
    let line = br#"{"timestamp":"2026-02-20T09:15:00.128Z","ordinal":10,"type":"event_msg","payload":{"type":"x","n":[1,-2.5e3,true,null,"\u00e4\n"]}}"#;
    assert!(is_record_line(line));
    let mut accepted = 0;
    for at in 0..line.len() {
        for byte in (b' '..=b'~').chain([0, b'\t', b'\r', 0x80, 0xff]) {
            let mut changed = line.to_vec();
            changed[at] = byte;
            let (events, _) = events(&[&changed[..], b"\n"].concat());
            let is_record = matches!(events[..], [LineEvent::Record { .. }]);
            let text = String::from_utf8_lossy(&changed);
            assert_eq!(is_record, is_record_line(&changed), "{text}");
            accepted += usize::from(is_record);
        }
    }
    assert!(accepted > 1000, "only {accepted} lines were records");
}
