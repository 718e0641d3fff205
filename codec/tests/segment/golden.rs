//! The golden segment: the bytes of version 1 never change.

use bytes::Bytes;
use selvedge_codec::segment::{
    HEADER_BYTES, ScanEnd, ScanEvent, ScanStart, SegmentHeader, SegmentNumber, encode_batch, scan,
};
use selvedge_codec::{
    BatchPosition, ByteOffset, EventClass, Ordinal, PayloadEncoding, Record, RecordType, TurnId,
    UtcMicros,
};

pub const SEGMENT: &[u8] = include_bytes!("../golden/segment.rlog");

fn header() -> SegmentHeader {
    SegmentHeader {
        thread_id: "019c7a54-be6b-7e31-86dd-b589bd944286".parse().unwrap(),
        segment: SegmentNumber::new(2),
        // Ordinals of one byte and of three.
        first_ordinal: Ordinal::new(249),
    }
}

fn record(record_type: &str, encoding: PayloadEncoding, body: &[u8]) -> Record {
    Record {
        ordinal: Ordinal::ZERO,
        time: UtcMicros::parse("2026-02-20T09:15:00.076Z").unwrap(),
        record_type: RecordType::from_name(record_type).unwrap(),
        event: None,
        turn_id: None,
        batch: BatchPosition::WHOLE,
        encoding,
        body: Bytes::copy_from_slice(body),
    }
}

fn event(event: EventClass, payload: &str) -> Record {
    Record {
        event: Some(event),
        turn_id: Some(TurnId::from_text("019c7a54-be6b-7e31-86dd-b5a09a87bd12")),
        ..record("event_msg", PayloadEncoding::Json, payload.as_bytes())
    }
}

/// Every type, event, encoding and form of a turn id, and times at their bounds.
fn batches() -> Vec<Vec<Record>> {
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let mut line = record(
        "response_item",
        PayloadEncoding::JsonLine,
        br#"{ "type":"response_item","timestamp":"2026-02-20T09:15:00.076Z","payload":{"type":"message"}}"#,
    );
    line.turn_id = Some(TurnId::from_text("turn-ä"));
    let mut before = record("compacted", PayloadEncoding::JsonWithOrdinal, b"{}");
    before.time = UtcMicros::new(-1);
    let mut first = record("world_state", PayloadEncoding::Json, b"null");
    first.time = UtcMicros::new(i64::MIN);
    let mut last = record("inter_agent_communication", PayloadEncoding::Binary, b"");
    last.time = UtcMicros::new(i64::MAX);
    let mut batches = vec![
        vec![record(
            "session_meta",
            PayloadEncoding::Json,
            br#"{"id":"019c7a54-be6b-7e31-86dd-b589bd944286"}"#,
        )],
        vec![
            event(EventClass::TurnStarted, r#"{"type":"task_started"}"#),
            record(
                "turn_context",
                PayloadEncoding::Json,
                br#"{"cwd":"/home/user/app"}"#,
            ),
            event(
                EventClass::UserMessage,
                r#"{"type":"user_message","message":"größer"}"#,
            ),
        ],
        vec![line],
        vec![before],
        vec![
            event(EventClass::AgentMessage, r#"{"type":"agent_message"}"#),
            event(EventClass::TurnCompleted, r#"{"type":"task_complete"}"#),
            event(EventClass::TurnAborted, r#"{"type":"turn_aborted"}"#),
            event(EventClass::TurnFailed, r#"{"type":"turn_failed"}"#),
            event(EventClass::TokenCount, r#"{"type":"token_count"}"#),
            event(EventClass::RolledBack, r#"{"type":"thread_rolled_back"}"#),
            event(EventClass::NameUpdated, r#"{"type":"thread_name_updated"}"#),
            event(EventClass::ItemCompleted, r#"{"type":"item_completed"}"#),
            event(EventClass::Other, r#"{"type":"context_compacted"}"#),
        ],
        vec![first, last],
        vec![record(
            "metadata_patch",
            PayloadEncoding::Json,
            br#"{"name":null}"#,
        )],
        vec![record(
            "response_item",
            PayloadEncoding::Binary,
            &every_byte,
        )],
    ];
    for (ordinal, record) in (249..).zip(batches.iter_mut().flatten()) {
        record.ordinal = Ordinal::new(ordinal);
    }
    batches
}

fn encoded() -> (Vec<u8>, Vec<Record>) {
    let mut bytes = header().encode().to_vec();
    let mut batches = batches();
    for batch in &mut batches {
        encode_batch(header().seed(), batch, &mut bytes).unwrap();
    }
    (bytes, batches.concat())
}

/// The records of a whole segment.
pub fn records_of(segment: &[u8]) -> Vec<Record> {
    let header = SegmentHeader::decode(segment).unwrap();
    let start = ScanStart {
        seed: header.seed(),
        offset: ByteOffset::new(HEADER_BYTES as u64),
        next_ordinal: header.first_ordinal,
    };
    let mut scan = scan(Bytes::copy_from_slice(&segment[HEADER_BYTES..]), start);
    let records = scan
        .by_ref()
        .map(|event| match event {
            ScanEvent::Record(record) => record,
            ScanEvent::Gap(gap) => panic!("{gap:?}"),
        })
        .collect();
    assert_eq!(scan.end(), Some(ScanEnd::Clean));
    records
}

#[test]
fn the_golden_records_are_encoded_as_ever() {
    assert_eq!(encoded().0, SEGMENT);
}

#[test]
fn the_golden_segment_is_decoded_as_ever() {
    assert_eq!(SegmentHeader::decode(SEGMENT), Ok(header()));
    assert_eq!(records_of(SEGMENT), encoded().1);
}

#[test]
fn an_event_of_a_later_build_is_some_event() {
    // The event's code is the byte after the type's; the checksum is made to fit again.
    let mut batch = [event(EventClass::UserMessage, "{}")];
    batch[0].ordinal = header().first_ordinal;
    let mut bytes = header().encode().to_vec();
    encode_batch(header().seed(), &mut batch, &mut bytes).unwrap();
    let code = bytes.iter().rposition(|byte| *byte == 2).unwrap();
    assert_eq!(bytes[code - 1], 3, "the code of event_msg");
    bytes[code] = 200;
    let body = HEADER_BYTES + 8..bytes.len() - 4;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[HEADER_BYTES - 4..HEADER_BYTES + 4]);
    hasher.update(&bytes[body]);
    bytes[HEADER_BYTES + 4..HEADER_BYTES + 8].copy_from_slice(&hasher.finalize().to_le_bytes());
    let records = records_of(&bytes);
    assert_eq!(records[0].event, Some(EventClass::Other));
    assert_eq!(records[0].record_type, RecordType::EventMsg);
}
