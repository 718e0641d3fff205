//! A decoder in another language, written from the specification, reads what is written here.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use selvedge_codec::segment::{SegmentHeader, SegmentNumber};
use selvedge_codec::{EventClass, Ordinal, PayloadEncoding, Record, ThreadId};
use serde_json::{Value, json};

use crate::golden;
use crate::support::{any_batches, encoded, numbered};

fn event_code(event: Option<EventClass>) -> u8 {
    match event {
        None => 0,
        Some(EventClass::UserMessage) => 2,
        Some(EventClass::AgentMessage) => 3,
        Some(EventClass::TurnStarted) => 4,
        Some(EventClass::TurnCompleted) => 5,
        Some(EventClass::TurnAborted) => 6,
        Some(EventClass::TurnFailed) => 7,
        Some(EventClass::TokenCount) => 8,
        Some(EventClass::RolledBack) => 9,
        Some(EventClass::NameUpdated) => 10,
        Some(EventClass::ItemCompleted) => 11,
        Some(_) => 1,
    }
}

fn as_json(record: &Record) -> Value {
    json!({
        "ordinal": record.ordinal,
        "micros": record.time,
        "type": record.record_type.as_str(),
        "event": event_code(record.event),
        "turn": record.turn_id.as_ref().map(ToString::to_string),
        "batch_index": record.batch.index,
        "is_last": record.batch.is_last,
        "encoding": match record.encoding {
            PayloadEncoding::Json => "json",
            PayloadEncoding::JsonWithOrdinal => "json_with_ordinal",
            PayloadEncoding::JsonLine => "json_line",
            PayloadEncoding::Binary => "binary",
        },
        "payload": record.body.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    })
}

/// What the other decoder reads, or `None` where there is no Python.
fn decoded_by_python(segment: &[u8]) -> Option<Vec<Value>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/decode_segment.py");
    let child = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match child {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("skipped: there is no python3 on the PATH");
            return None;
        }
        child => child.unwrap(),
    };
    // It reads to the end before it writes, so that neither waits for the other.
    child.stdin.take().unwrap().write_all(segment).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "the other decoder refuses the segment"
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

fn agree(segment: &[u8], records: &[Record]) {
    if let Some(decoded) = decoded_by_python(segment) {
        assert_eq!(decoded, records.iter().map(as_json).collect::<Vec<_>>());
    }
}

#[test]
fn another_language_reads_the_golden_segment() {
    agree(golden::SEGMENT, &golden::records_of(golden::SEGMENT));
}

#[test]
fn another_language_reads_any_segment() {
    let mut runner = TestRunner::deterministic();
    let batches = (0..40).flat_map(|_| any_batches().new_tree(&mut runner).unwrap().current());
    let first_ordinal = Ordinal::new(u64::from(u32::MAX) - 50);
    let mut batches = numbered(first_ordinal.get(), batches.collect());
    let header = SegmentHeader {
        thread_id: ThreadId::from_bytes([9; 16]),
        segment: SegmentNumber::new(7),
        first_ordinal,
    };
    let (frames, _) = encoded(header.seed(), &mut batches);
    let segment = [&header.encode()[..], &frames].concat();
    agree(&segment, &batches.concat());
}
