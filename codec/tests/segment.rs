//! Native segments: what is written is read, and what is damaged costs only itself.
#![cfg(test)]

use bytes::Bytes;
use proptest::prelude::*;
use selvedge_codec::segment::{
    FrameSeed, HEADER_BYTES, ScanEnd, ScanEvent, ScanStart, SegmentHeader, SegmentNumber,
    WalkBackEvent, WalkBackStart, encode_batch, scan, walk_back,
};
use selvedge_codec::{
    BatchPosition, ByteOffset, CodecError, EventClass, Ordinal, PayloadEncoding, Record,
    RecordType, ThreadId, TurnId, UtcMicros,
};

fn seed_of(thread: u8) -> FrameSeed {
    SegmentHeader {
        thread_id: ThreadId::from_bytes([thread; 16]),
        segment: SegmentNumber::FIRST,
        first_ordinal: Ordinal::ZERO,
    }
    .seed()
}

const OFFSET: ByteOffset = ByteOffset::new(HEADER_BYTES as u64);

fn start() -> ScanStart {
    ScanStart {
        seed: seed_of(1),
        offset: OFFSET,
        next_ordinal: Ordinal::ZERO,
    }
}

/// Everything a scan says.
#[derive(Debug, PartialEq)]
struct Found {
    records: Vec<Record>,
    gaps: Vec<selvedge_codec::segment::Gap>,
    end: ScanEnd,
    next_ordinal: Ordinal,
    whole_end: ByteOffset,
}

fn found(bytes: impl Into<Bytes>) -> Found {
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

fn any_record() -> impl Strategy<Value = Record> {
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
fn numbered(first: u64, mut batches: Vec<Vec<Record>>) -> Vec<Vec<Record>> {
    for (ordinal, record) in (first..).zip(batches.iter_mut().flatten()) {
        record.ordinal = Ordinal::new(ordinal);
    }
    batches
}

fn any_batches() -> impl Strategy<Value = Vec<Vec<Record>>> {
    prop::collection::vec(prop::collection::vec(any_record(), 1..4), 1..5)
        .prop_map(|batches| numbered(0, batches))
}

/// The bytes of `batches`, and where each batch ends. Their places in the batch are set.
fn encoded(seed: FrameSeed, batches: &mut [Vec<Record>]) -> (Vec<u8>, Vec<usize>) {
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

fn record(ordinal: u64, body: &[u8]) -> Record {
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
fn batches_of(ordinals: &[&[u64]]) -> Vec<Vec<Record>> {
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

fn ordinals(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.ordinal.get()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_encoded_is_read(mut batches in any_batches()) {
        let (bytes, ends) = encoded(seed_of(1), &mut batches);
        let found = found(bytes);
        prop_assert_eq!(found.end, ScanEnd::Clean);
        prop_assert!(found.gaps.is_empty());
        prop_assert_eq!(found.whole_end, OFFSET.plus(*ends.last().unwrap() as u64));
        prop_assert_eq!(found.records, batches.concat());
    }
}

#[test]
fn a_segment_cut_at_any_byte_is_a_prefix_of_whole_batches() {
    let mut batches = batches_of(&[&[0], &[1, 2, 3], &[4], &[5, 6]]);
    let (bytes, ends) = encoded(seed_of(1), &mut batches);
    for length in 0..=bytes.len() {
        let found = found(bytes[..length].to_vec());
        let whole = ends.iter().filter(|end| **end <= length).count();
        let whole_end = if whole == 0 { 0 } else { ends[whole - 1] };
        assert_eq!(found.records, batches[..whole].concat());
        assert_eq!(found.gaps, []);
        assert_eq!(found.whole_end, OFFSET.plus(whole_end as u64));
        match found.end {
            ScanEnd::Clean => assert_eq!(length, whole_end),
            ScanEnd::TornTail {
                start,
                length: torn,
                ..
            } => {
                assert_eq!(start, found.whole_end);
                assert_eq!(torn.get(), (length - whole_end) as u64);
                assert_ne!(torn.get(), 0);
            }
        }
    }
}

#[test]
fn an_empty_segment_is_clean() {
    let found = found(Vec::new());
    assert_eq!(found.end, ScanEnd::Clean);
    assert_eq!(found.next_ordinal, Ordinal::ZERO);
}

#[test]
fn nothing_is_written_for_a_batch_that_is_refused() {
    let mut out = b"before".to_vec();
    let refused = |records: &mut [Record], out: &mut Vec<u8>| {
        encode_batch(seed_of(1), records, out).unwrap_err()
    };
    assert_eq!(refused(&mut [], &mut out), CodecError::EmptyBatch);
    assert_eq!(
        refused(&mut [record(0, b"a"), record(2, b"b")], &mut out),
        CodecError::FrameOrdinal {
            expected: Ordinal::new(1),
            found: Ordinal::new(2)
        }
    );
    let mut long = record(1, b"");
    long.turn_id = Some(TurnId::from_text(&"t".repeat(257)));
    assert!(matches!(
        refused(&mut [record(0, b"a"), long], &mut out),
        CodecError::BadTurnId { length: 257, .. }
    ));
    let mut nameless = record(1, b"");
    nameless.record_type = RecordType::Other("".into());
    assert!(matches!(
        refused(&mut [record(0, b"a"), nameless], &mut out),
        CodecError::BadRecordType { length: 0, .. }
    ));
    let large = record(1, &vec![0; selvedge_codec::segment::MAX_BODY_BYTES + 1]);
    assert!(matches!(
        refused(&mut [record(0, b"a"), large], &mut out),
        CodecError::RecordTooLarge { .. }
    ));
    assert_eq!(out, b"before");
}

#[test]
fn a_damaged_batch_is_a_gap_with_its_ordinals() {
    let mut batches = batches_of(&[&[0], &[1, 2, 3], &[4]]);
    let (mut bytes, ends) = encoded(seed_of(1), &mut batches);
    bytes[ends[1] - 10] ^= 1;
    let found = found(bytes);
    assert_eq!(ordinals(&found.records), [0, 4]);
    let [gap] = &found.gaps[..] else {
        panic!("one gap, not {:?}", found.gaps)
    };
    assert_eq!(gap.start, OFFSET.plus(ends[0] as u64));
    assert_eq!(gap.end, OFFSET.plus(ends[1] as u64));
    assert_eq!((gap.first_ordinal.get(), gap.next_ordinal.get()), (1, 4));
    assert_eq!(gap.why, CodecError::FrameChecksum);
    assert_eq!(found.end, ScanEnd::Clean);
}

#[test]
fn walking_back_gives_the_records_of_a_scan_newest_first() {
    let mut batches = batches_of(&[&[0], &[1, 2, 3], &[4], &[5, 6]]);
    let (bytes, _) = encoded(seed_of(1), &mut batches);
    let walked: Vec<_> = walk_back(
        bytes.into(),
        WalkBackStart {
            seed: seed_of(1),
            offset_of_buf: OFFSET,
        },
    )
    .collect();
    let expected: Vec<_> = batches
        .concat()
        .into_iter()
        .rev()
        .map(WalkBackEvent::Record)
        .collect();
    assert_eq!(walked, expected);
}
