//! A frame whose lengths and checksum are good is read exactly when a second decoder, written from
//! FORMAT.md alone, reads it, and as the same record; a frame with one byte changed is none.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use selvedge_codec::segment::{
    HEADER_BYTES, ScanEvent, ScanStart, SegmentHeader, SegmentNumber, WalkBackEvent, WalkBackStart,
    encode_batch, scan, walk_back,
};
use selvedge_codec::{
    BatchPosition, ByteOffset, Item, Ordinal, PayloadEncoding, Record, ThreadId, UtcMicros,
};
use selvedge_fuzz::envelope::{Envelope, decode};
use selvedge_fuzz::frame_around;

const OFFSET: ByteOffset = ByteOffset::new(HEADER_BYTES as u64);

fn header() -> SegmentHeader {
    SegmentHeader {
        thread_id: ThreadId::from_bytes([7; 16]),
        segment: SegmentNumber::FIRST,
        first_ordinal: Ordinal::ZERO,
    }
}

fn scanned(frame: &Bytes, next_ordinal: Ordinal) -> Option<Record> {
    let start = ScanStart {
        seed: header().seed(),
        offset: OFFSET,
        next_ordinal,
    };
    scan(frame.clone(), start).find_map(|event| match event {
        ScanEvent::Record(record) => Some(record),
        ScanEvent::Gap(_) => None,
    })
}

fn walked(frame: &Bytes) -> Option<Record> {
    let start = WalkBackStart {
        seed: header().seed(),
        offset_of_buf: OFFSET,
    };
    walk_back(frame.clone(), start).find_map(|event| match event {
        WalkBackEvent::Record(record) => Some(record),
        WalkBackEvent::NeedMore { .. } | WalkBackEvent::Damage { .. } => None,
    })
}

fn compare(record: &Record, expected: &Envelope<'_>) {
    assert_eq!(record.ordinal.get(), expected.ordinal);
    assert_eq!(record.time, UtcMicros::new(expected.micros));
    assert_eq!(record.record_type.as_str(), expected.record_type);
    let turn = record.turn_id.as_ref().map(ToString::to_string);
    assert_eq!(turn, expected.turn_id);
    assert!(expected.event <= 11 || record.event == Some(selvedge_codec::EventClass::Other));
    assert_eq!(record.event.is_none(), expected.event == 0);
    assert_eq!(record.encoding as u8, expected.encoding);
    assert_eq!(&record.body[..], expected.payload);
}

/// What was read is written, and read as the same.
fn round_trip(record: &Record) {
    let mut bytes = Vec::new();
    let mut batch = [record.clone()];
    encode_batch(header().seed(), &mut batch, &mut bytes).expect("what was read can be written");
    let again = scanned(&bytes.into(), record.ordinal).expect("what was written can be read");
    assert_eq!(again, *record);
}

fuzz_target!(|data: &[u8]| {
    let [at, by, inner @ ..] = data else {
        return;
    };
    let bytes = header().encode();
    let frame = Bytes::from(frame_around(&bytes, inner));
    let expected = decode(inner);
    let single = expected
        .as_ref()
        .filter(|found| found.batch_index == 0 && found.is_last);
    match (scanned(&frame, Ordinal::ZERO), single) {
        (None, None) => assert_eq!(walked(&frame), None),
        (Some(record), Some(expected)) => {
            compare(&record, expected);
            assert_eq!(walked(&frame).as_ref(), Some(&record));
            round_trip(&record);
            let _ = record.payload_json();
            let _ = selvedge_codec::view::View::of(&record);
        }
        (found, expected) => panic!("read as {found:?}, and should be {expected:?}"),
    }
    if *by != 0 && !frame.is_empty() {
        let mut changed = frame.to_vec();
        let at = usize::from(*at) % changed.len();
        changed[at] ^= by;
        assert_eq!(scanned(&changed.into(), Ordinal::ZERO), None);
    }
    // The other way: any body behind an envelope of our own.
    let item = Item::binary("fuzz", Bytes::copy_from_slice(inner)).expect("a short body is fine");
    let record = item.into_record(Ordinal::new(3), UtcMicros::EPOCH, BatchPosition::WHOLE);
    assert_eq!(record.encoding, PayloadEncoding::Binary);
    round_trip(&record);
});
