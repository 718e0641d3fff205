//! Payloads: what is taken, what is refused, and how it is rendered.

use bytes::Bytes;
use selvedge_codec::jsonl::{LineEvent, item_from_line, render_line};
use selvedge_codec::segment::MAX_BODY_BYTES;
use selvedge_codec::{
    BatchPosition, CodecError, EventClass, Item, Ordinal, PayloadEncoding, UtcMicros,
};

use crate::support::{TIME, events, line, numbered, rendered};

#[test]
fn a_turn_id_too_long_to_repeat_stays_in_the_payload() {
    let payload = format!(
        r#"{{"type":"task_started","turn_id":"{}"}}"#,
        "t".repeat(300)
    );
    let item = Item::json("event_msg", payload).unwrap();
    assert_eq!(
        (item.event, item.turn_id),
        (Some(EventClass::TurnStarted), None)
    );
}

#[test]
fn a_payload_over_several_lines_becomes_one() {
    let pretty = "{\n  \"a b\" : [ 1,\r\n\t2 ],\n  \"c\" : \"x \\\" \\\\\"\n}\n";
    let item = Item::json("x", pretty).unwrap();
    assert_eq!(item.body, r#"{"a b":[1,2],"c":"x \" \\"}"#);
    let spaced = r#" { "a" : 1 } "#;
    assert_eq!(Item::json("x", spaced).unwrap().body, spaced);
}

#[test]
fn what_is_no_payload_is_refused() {
    for payload in [&b""[..], b"{", b"1 2", b"\xff", b"\"\n\"", b"{\"a\":01}"] {
        let refused = Item::json("event_msg", payload.to_vec());
        assert!(
            matches!(refused, Err(CodecError::NotJson { .. })),
            "{payload:?}"
        );
    }
    for name in ["", &"n".repeat(129)] {
        let refused = Item::json(name, "1");
        assert!(matches!(refused, Err(CodecError::BadRecordType { .. })));
    }
    let long = vec![b' '; MAX_BODY_BYTES + 1];
    for refused in [
        Item::json("x", long.clone()),
        Item::binary("x", long.clone()),
        item_from_line(long.into()),
    ] {
        assert!(matches!(refused, Err(CodecError::RecordTooLarge { .. })));
    }
}

#[test]
fn a_line_with_a_newline_is_never_rendered() {
    let whole = line("1") + "\n" + &line("2");
    assert!(item_from_line(Bytes::from(whole.clone())).is_err());
    let item = item_from_line(Bytes::from(numbered(1))).unwrap();
    let mut record = item.into_record(Ordinal::ZERO, UtcMicros::EPOCH, BatchPosition::WHOLE);
    record.body = whole.into();
    let mut out = Vec::new();
    assert!(matches!(
        render_line(&record, &mut out),
        Err(CodecError::NotARecordLine { .. })
    ));
    assert!(out.is_empty());
    record.encoding = PayloadEncoding::Json;
    record.body = Bytes::from_static(b"{\n\"a\": 1}");
    render_line(&record, &mut out).unwrap();
    assert!(out.ends_with(br#""payload":{"a":1}}"#) && !out.contains(&b'\n'));
}

#[test]
fn a_canonical_line_can_carry_its_ordinal() {
    let item = Item::json("compacted", "{}").unwrap();
    let time = UtcMicros::parse(TIME).unwrap();
    let mut record = item.into_record(Ordinal::new(41), time, BatchPosition::WHOLE);
    record.encoding = PayloadEncoding::JsonWithOrdinal;
    let mut out = Vec::new();
    render_line(&record, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), numbered(41));
}

#[test]
fn a_binary_payload_is_rendered_as_base64() {
    let item = Item::binary("blob", &b"\x00\xffab"[..]).unwrap();
    let time = UtcMicros::parse(TIME).unwrap();
    let record = item.into_record(Ordinal::ZERO, time, BatchPosition::WHOLE);
    assert_eq!(
        record.payload_json().unwrap().get(),
        r#"{"base64":"AP9hYg=="}"#
    );
    let mut out = Vec::new();
    render_line(&record, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!(r#"{{"timestamp":"{TIME}","type":"blob","payload":{{"base64":"AP9hYg=="}}}}"#)
    );
}

#[test]
fn a_repeated_field_counts_as_its_last() {
    let text =
        r#"{"type":"a","payload":1,"timestamp":"2026-02-20T09:15:00Z","type":"b","payload":2}"#;
    let (record, out) = rendered(text);
    assert_eq!(record.record_type.as_str(), "b");
    assert_eq!(record.payload_json().unwrap().get(), "2");
    assert_eq!(out, text);
}

#[test]
fn deep_nesting_is_no_danger() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [
        line(&deep),
        format!(r#"{{"payload":{deep},"type":"event_msg","timestamp":"{TIME}"}}"#),
        line(&format!(r#"{{"type":{deep}}}"#)).replace("response_item", "event_msg"),
    ] {
        let (record, out) = rendered(&text);
        assert_eq!(out, text);
        assert!(record.payload_json().is_ok());
    }
    let (events, _) = events(format!("{}\n", line(&deep[..100_000])).as_bytes());
    assert!(matches!(events[..], [LineEvent::BadLine { .. }]));
}
