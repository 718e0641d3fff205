//! Native segments: what is written is read.

use crate::support::{OFFSET, any_batches, batches_of, encoded, found, record, seed_of};
use proptest::prelude::*;
use selvedge_codec::segment::{ScanEnd, encode_batch};
use selvedge_codec::{CodecError, Ordinal, Record, RecordType, TurnId};

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
