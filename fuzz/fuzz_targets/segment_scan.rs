//! Any bytes are scanned and walked without a panic, and no damage to a log yields a record that
//! was not written.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use selvedge_codec::segment::{
    HEADER_BYTES, ScanEnd, ScanEvent, ScanStart, SegmentHeader, SegmentNumber, WalkBackEvent,
    WalkBackStart, encode_batch, scan, walk_back,
};
use selvedge_codec::{BatchPosition, ByteOffset, Item, Ordinal, Record, ThreadId, UtcMicros};

const OFFSET: ByteOffset = ByteOffset::new(HEADER_BYTES as u64);

fn header() -> SegmentHeader {
    SegmentHeader {
        thread_id: ThreadId::from_bytes([7; 16]),
        segment: SegmentNumber::FIRST,
        first_ordinal: Ordinal::ZERO,
    }
}

/// Scans `bytes` and checks what holds of every scan.
fn scanned(bytes: &Bytes) -> Vec<Record> {
    let mut scan = scan(
        bytes.clone(),
        ScanStart {
            seed: header().seed(),
            offset: OFFSET,
            next_ordinal: Ordinal::ZERO,
        },
    );
    let mut records: Vec<Record> = Vec::new();
    let mut next = Ordinal::ZERO;
    let mut at = OFFSET;
    for event in scan.by_ref() {
        match event {
            ScanEvent::Record(record) => {
                assert_eq!(
                    record.ordinal, next,
                    "an ordinal is missing and no gap says so"
                );
                next = record.ordinal.next();
                records.push(record);
            }
            ScanEvent::Gap(gap) => {
                assert_eq!(gap.first_ordinal, next);
                assert!(gap.next_ordinal >= next && at <= gap.start && gap.start <= gap.end);
                next = gap.next_ordinal;
                at = gap.end;
            }
        }
    }
    assert_eq!(scan.next_ordinal(), next);
    let end = OFFSET.plus(bytes.len() as u64);
    match scan.end().expect("an exhausted scan has an end") {
        ScanEnd::Clean => assert_eq!(scan.whole_end(), end),
        ScanEnd::TornTail { start, length, .. } => {
            assert_eq!(start, scan.whole_end());
            assert_eq!(start.plus(length.get()), end);
        }
    }
    records
}

fn walked(bytes: &Bytes) -> Vec<Record> {
    let start = WalkBackStart {
        seed: header().seed(),
        offset_of_buf: OFFSET,
    };
    walk_back(bytes.clone(), start)
        .filter_map(|event| match event {
            WalkBackEvent::Record(record) => Some(record),
            WalkBackEvent::NeedMore { .. } | WalkBackEvent::Damage { .. } => None,
        })
        .collect()
}

/// Batches whose bodies and sizes the input gives.
fn written(mut input: &[u8]) -> (Vec<u8>, Vec<Record>) {
    let mut bytes = Vec::new();
    let mut all = Vec::new();
    while let [size, length, rest @ ..] = input {
        let body = rest.get(..usize::from(*length)).unwrap_or(rest);
        let mut batch: Vec<_> = (0..=size % 3)
            .map(|index| {
                let ordinal = Ordinal::new(all.len() as u64 + u64::from(index));
                Item::binary("fuzz", Bytes::copy_from_slice(body))
                    .expect("a short body is fine")
                    .into_record(ordinal, UtcMicros::EPOCH, BatchPosition::WHOLE)
            })
            .collect();
        encode_batch(header().seed(), &mut batch, &mut bytes).expect("a batch is encoded");
        all.append(&mut batch);
        input = &rest[body.len()..];
    }
    (bytes, all)
}

fuzz_target!(|data: &[u8]| {
    let _ = SegmentHeader::decode(data);
    let raw = Bytes::copy_from_slice(data);
    scanned(&raw);
    walked(&raw);

    // The front of the input says how a log made of the rest is damaged.
    let (edits, rest) = data.split_at(data.len().min(6));
    let (mut bytes, mut all) = written(rest);
    assert_eq!(scanned(&bytes.clone().into()), all);
    for edit in edits.chunks_exact(3) {
        if !bytes.is_empty() {
            let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
            bytes[at] ^= edit[2];
        }
    }
    let bytes = Bytes::from(bytes);
    let found = scanned(&bytes);
    assert!(found.iter().all(|record| all.contains(record)));
    all.reverse();
    assert!(all.starts_with(&walked(&bytes)));
});
