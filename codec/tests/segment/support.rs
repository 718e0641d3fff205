//! Records to write, and what is found of them.

use bytes::Bytes;
use proptest::prelude::*;
use selvedge_codec::segment::{
    FrameSeed, HEADER_BYTES, ScanEnd, ScanEvent, ScanStart, SegmentHeader, SegmentNumber,
    encode_batch, scan,
};
use selvedge_codec::{
    BatchPosition, ByteOffset, EventClass, Ordinal, PayloadEncoding, Record, RecordType, ThreadId,
    TurnId, UtcMicros,
};

pub fn seed_of(thread: u8) -> FrameSeed {
    SegmentHeader {
        thread_id: ThreadId::from_bytes([thread; 16]),
        segment: SegmentNumber::FIRST,
        first_ordinal: Ordinal::ZERO,
    }
    .seed()
}

pub const OFFSET: ByteOffset = ByteOffset::new(HEADER_BYTES as u64);

pub fn start() -> ScanStart {
    ScanStart {
        seed: seed_of(1),
        offset: OFFSET,
        next_ordinal: Ordinal::ZERO,
    }
}

/// Everything a scan says.
#[derive(Debug, PartialEq)]
pub struct Found {
    pub records: Vec<Record>,
    pub gaps: Vec<selvedge_codec::segment::Gap>,
    pub end: ScanEnd,
    pub next_ordinal: Ordinal,
    pub whole_end: ByteOffset,
}

pub fn found(bytes: impl Into<Bytes>) -> Found {
    let mut scan = scan(bytes.into(), start());
    let mut records = Vec::new();
    let mut gaps = Vec::new();
    for event in scan.by_ref() {
        match event {
            ScanEvent::Record(record) => records.push(record),
            ScanEvent::Gap(gap) => gaps.push(gap),
        }
    }
    Found {
        records,
        gaps,
        end: scan.end().expect("an exhausted scan has an end"),
        next_ordinal: scan.next_ordinal(),
        whole_end: scan.whole_end(),
    }
}

pub fn any_record() -> impl Strategy<Value = Record> {
    let record_type = prop_oneof![
        3 => prop::sample::select(vec![
            "session_meta", "response_item", "event_msg", "turn_context", "compacted",
            "world_state", "metadata_patch",
        ]).prop_map(str::to_owned),
        1 => "[a-zäß_]{1,40}",
    ]
    .prop_map(|name| RecordType::from_name(&name).unwrap());
    let event = prop::option::of(prop::sample::select(vec![
        EventClass::UserMessage,
        EventClass::AgentMessage,
        EventClass::TurnStarted,
        EventClass::TurnCompleted,
        EventClass::TurnAborted,
        EventClass::TurnFailed,
        EventClass::TokenCount,
        EventClass::RolledBack,
        EventClass::NameUpdated,
        EventClass::ItemCompleted,
        EventClass::Other,
    ]));
    let turn_id = prop::option::of(prop_oneof![
        any::<[u8; 16]>().prop_map(|bytes| TurnId::Uuid(uuid::Uuid::from_bytes(bytes))),
        "\\PC{0,40}".prop_map(|text| TurnId::from_text(&text)),
    ]);
    let encoding = prop::sample::select(vec![
        PayloadEncoding::Json,
        PayloadEncoding::JsonWithOrdinal,
        PayloadEncoding::JsonLine,
        PayloadEncoding::Binary,
    ]);
    let body = prop::collection::vec(any::<u8>(), 0..60);
    (record_type, event, turn_id, any::<i64>(), encoding, body).prop_map(
        |(record_type, event, turn_id, micros, encoding, body)| Record {
            ordinal: Ordinal::ZERO,
            time: UtcMicros::new(micros),
            record_type,
            event,
            turn_id,
            batch: BatchPosition::WHOLE,
            encoding,
            body: body.into(),
        },
    )
}

/// Batches with ordinals from `first` on.
pub fn numbered(first: u64, mut batches: Vec<Vec<Record>>) -> Vec<Vec<Record>> {
    for (ordinal, record) in (first..).zip(batches.iter_mut().flatten()) {
        record.ordinal = Ordinal::new(ordinal);
    }
    batches
}

pub fn any_batches() -> impl Strategy<Value = Vec<Vec<Record>>> {
    prop::collection::vec(prop::collection::vec(any_record(), 1..4), 1..5)
        .prop_map(|batches| numbered(0, batches))
}

/// The bytes of `batches`, and where each batch ends. Their places in the batch are set.
pub fn encoded(seed: FrameSeed, batches: &mut [Vec<Record>]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::new();
    let ends = batches
        .iter_mut()
        .map(|batch| {
            encode_batch(seed, batch, &mut bytes).unwrap();
            bytes.len()
        })
        .collect();
    (bytes, ends)
}

pub fn record(ordinal: u64, body: &[u8]) -> Record {
    Record {
        ordinal: Ordinal::new(ordinal),
        time: UtcMicros::new(1_771_578_900_000_000),
        record_type: RecordType::ResponseItem,
        event: None,
        turn_id: None,
        batch: BatchPosition::WHOLE,
        encoding: PayloadEncoding::Binary,
        body: Bytes::copy_from_slice(body),
    }
}

/// One batch for each list of ordinals.
pub fn batches_of(ordinals: &[&[u64]]) -> Vec<Vec<Record>> {
    ordinals
        .iter()
        .map(|batch| {
            batch
                .iter()
                .map(|ordinal| record(*ordinal, &ordinal.to_be_bytes()))
                .collect()
        })
        .collect()
}

pub fn ordinals(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.ordinal.get()).collect()
}
