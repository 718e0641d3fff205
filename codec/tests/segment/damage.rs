//! Damaged segments: every whole batch outside of the damage is read, and what is not is named.

use crate::support::{
    Found, OFFSET, any_batches, batches_of, encoded, found, numbered, ordinals, record, seed_of,
};
use bytes::Bytes;
use proptest::prelude::*;
use selvedge_codec::segment::{Gap, ScanEnd, encode_batch};
use selvedge_codec::{ByteLength, CodecError, Ordinal, Record};

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

/// The ordinals that a scan says it did not give: those of the gaps, and all after its end.
fn is_named_lost(found: &Found, ordinal: Ordinal) -> bool {
    ordinal >= found.next_ordinal
        || found
            .gaps
            .iter()
            .any(|gap| (gap.first_ordinal..gap.next_ordinal).contains(&ordinal))
}

/// Checks that what was found is true to `batches`, of which only `damaged` may be missing.
fn check_found(
    found: &Found,
    batches: &[Vec<Record>],
    damaged: usize,
) -> Result<(), TestCaseError> {
    let expected: Vec<Record> = batches.concat();
    for (index, batch) in batches.iter().enumerate() {
        for record in batch {
            let is_given = found.records.contains(record);
            prop_assert!(is_given || index == damaged, "batch {index} is missing");
            prop_assert_ne!(is_given, is_named_lost(found, record.ordinal));
        }
    }
    let mut rest = expected.iter();
    for record in &found.records {
        prop_assert!(
            rest.any(|one| one == record),
            "{record:?} was never written"
        );
    }
    let mut at = OFFSET;
    for Gap {
        start,
        end,
        first_ordinal,
        next_ordinal,
        ..
    } in &found.gaps
    {
        prop_assert!(at <= *start && start <= end && first_ordinal <= next_ordinal);
        at = *end;
    }
    prop_assert!(at <= found.whole_end);
    Ok(())
}

#[test]
fn a_flipped_bit_anywhere_costs_its_batch_alone() {
    let mut batches = batches_of(&[&[0], &[1, 2, 3], &[4], &[5, 6]]);
    let (bytes, ends) = encoded(seed_of(1), &mut batches);
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let batch = ends.iter().filter(|end| **end <= bit / 8).count();
        let found = found(damaged);
        check_found(&found, &batches, batch).unwrap();
        let is_last = batch + 1 == batches.len();
        assert_eq!(found.gaps.len(), usize::from(!is_last), "bit {bit}");
        assert_eq!(matches!(found.end, ScanEnd::TornTail { .. }), is_last);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_flipped_bit_in_any_records_costs_its_batch_alone(
        mut batches in any_batches(),
        place in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let (mut bytes, ends) = encoded(seed_of(1), &mut batches);
        let at = place.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        let batch = ends.iter().filter(|end| **end <= at).count();
        check_found(&found(bytes), &batches, batch)?;
    }

    #[test]
    fn overwritten_bytes_cost_only_the_batches_they_touch(
        mut batches in any_batches(),
        place in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 1..80),
    ) {
        let (mut bytes, ends) = encoded(seed_of(1), &mut batches);
        let at = place.index(bytes.len());
        let end = bytes.len().min(at + with.len());
        bytes[at..end].copy_from_slice(&with[..end - at]);
        let found = found(bytes);
        for (index, batch) in batches.iter().enumerate() {
            let start = if index == 0 { 0 } else { ends[index - 1] };
            if ends[index] <= at || start >= end {
                prop_assert!(batch.iter().all(|record| found.records.contains(record)));
            }
        }
        prop_assert!(found.records.iter().all(|one| batches.concat().contains(one)));
    }

    #[test]
    fn frames_of_another_thread_never_appear(
        mut batches in any_batches(),
        mut others in any_batches(),
        place in any::<prop::sample::Index>(),
    ) {
        let (own, ends) = encoded(seed_of(1), &mut batches);
        let (spliced, _) = encoded(seed_of(2), &mut others);
        let at = place.index(ends.len());
        let (front, back) = own.split_at(ends[at]);
        let found = found([front, &spliced, back].concat());
        prop_assert_eq!(&found.records, &batches.concat());
        if at + 1 == ends.len() {
            let torn = matches!(found.end, ScanEnd::TornTail { why: CodecError::FrameChecksum, .. });
            prop_assert!(torn && found.gaps.is_empty());
        } else {
            let [gap] = &found.gaps[..] else { panic!("one gap, not {:?}", found.gaps) };
            prop_assert_eq!(gap.first_ordinal, gap.next_ordinal);
            prop_assert_eq!(gap.end.get() - gap.start.get(), spliced.len() as u64);
        }
    }

    #[test]
    fn bytes_that_are_no_frames_give_none(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let length = bytes.len() as u64;
        let found = found(bytes);
        prop_assert!(found.records.is_empty());
        match found.end {
            ScanEnd::Clean => prop_assert_eq!(length, 0),
            ScanEnd::TornTail { start, length: torn, .. } => {
                prop_assert_eq!((start, torn), (OFFSET, ByteLength::new(length)));
            }
        }
    }
}

fn bytes_of(ordinals: &[&[u64]]) -> Vec<u8> {
    encoded(seed_of(1), &mut batches_of(ordinals)).0
}

fn order(expected: u64, found: u64) -> CodecError {
    CodecError::FrameOrdinal {
        expected: Ordinal::new(expected),
        found: Ordinal::new(found),
    }
}

#[test]
fn a_repeated_batch_is_a_gap_that_misses_nothing() {
    let found = found(bytes_of(&[&[0], &[1, 2], &[1, 2], &[0], &[3]]));
    assert_eq!(ordinals(&found.records), [0, 1, 2, 3]);
    let [gap] = &found.gaps[..] else {
        panic!("one gap, not {:?}", found.gaps)
    };
    assert_eq!((gap.first_ordinal.get(), gap.next_ordinal.get()), (3, 3));
    assert_eq!(gap.why, order(3, 1));
    assert_eq!(found.end, ScanEnd::Clean);
}

#[test]
fn a_repeated_batch_at_the_end_is_a_torn_tail() {
    let found = found(bytes_of(&[&[0], &[1], &[1]]));
    assert_eq!(ordinals(&found.records), [0, 1]);
    assert!(matches!(found.end, ScanEnd::TornTail { why, .. } if why == order(2, 1)));
}

#[test]
fn a_batch_that_is_missing_is_a_gap_of_no_bytes() {
    let found = found(bytes_of(&[&[0], &[3, 4], &[5]]));
    assert_eq!(ordinals(&found.records), [0, 3, 4, 5]);
    let [gap] = &found.gaps[..] else {
        panic!("one gap, not {:?}", found.gaps)
    };
    assert_eq!(gap.start, gap.end);
    assert_eq!((gap.first_ordinal.get(), gap.next_ordinal.get()), (1, 3));
    assert_eq!(gap.why, order(1, 3));
}

#[test]
fn swapped_batches_are_two_gaps() {
    let found = found(bytes_of(&[&[0], &[2], &[1], &[3]]));
    assert_eq!(ordinals(&found.records), [0, 2, 3]);
    let lost: Vec<_> = found
        .gaps
        .iter()
        .map(|gap| (gap.first_ordinal.get(), gap.next_ordinal.get()))
        .collect();
    assert_eq!(lost, [(1, 2), (3, 3)]);
}

#[test]
fn a_batch_whose_end_was_never_written_hides_nothing_after_it() {
    let mut unfinished = batches_of(&[&[1, 2, 3]]);
    let (bytes, _) = encoded(seed_of(1), &mut unfinished);
    let two_of_three = bytes.len() / 3 * 2;
    let bytes = [
        bytes_of(&[&[0]]),
        bytes[..two_of_three].to_vec(),
        bytes_of(&[&[1], &[2]]),
    ]
    .concat();
    let found = found(bytes);
    assert_eq!(ordinals(&found.records), [0, 1, 2]);
    let [gap] = &found.gaps[..] else {
        panic!("one gap, not {:?}", found.gaps)
    };
    assert_eq!(gap.why, CodecError::BatchBroken { expected: 2 });
    assert_eq!(gap.first_ordinal, gap.next_ordinal);
}

#[test]
fn zeros_after_the_last_batch_are_a_torn_tail() {
    let mut bytes = bytes_of(&[&[0], &[1]]);
    let whole = bytes.len() as u64;
    bytes.extend([0; 5000]);
    let found = found(bytes);
    assert_eq!(ordinals(&found.records), [0, 1]);
    assert_eq!(
        found.end,
        ScanEnd::TornTail {
            start: OFFSET.plus(whole),
            length: ByteLength::new(5000),
            why: CodecError::FrameLength
        }
    );
}

/// A payload may hold a copy of a log. When the frame around it is damaged, the copy must not be
/// taken for the log: the frame's lengths still say where the next one begins.
#[test]
fn frames_inside_a_damaged_payload_are_not_taken_for_the_log() {
    let copy = bytes_of(&[&[1], &[2], &[3]]);
    let mut batches = vec![
        vec![record(0, b"")],
        vec![record(1, &copy)],
        vec![record(2, b"")],
    ];
    let (mut bytes, ends) = encoded(seed_of(1), &mut batches);
    bytes[ends[0] + 12] ^= 1;
    let found = found(bytes);
    assert_eq!(ordinals(&found.records), [0, 2]);
    assert_eq!(found.records[1], batches[2][0]);
}

#[test]
fn a_search_among_false_frames_is_given_up() {
    // Wherever one looks there are two equal lengths of 16 MiB and an envelope of version 1.
    let payload = vec![1; 18 << 20];
    let mut batches = vec![vec![record(0, &payload)], vec![record(1, b"")]];
    let (mut bytes, _) = encoded(seed_of(1), &mut batches);
    bytes[3] ^= 1;
    let found = found(bytes);
    assert!(found.records.is_empty());
    assert!(matches!(
        found.end,
        ScanEnd::TornTail {
            start: OFFSET,
            why: CodecError::SearchGivenUp,
            ..
        }
    ));
}

#[test]
fn a_huge_length_is_refused_before_it_is_used() {
    for length in [0, 8, u32::MAX, 64 << 20, (64 << 20) + 600] {
        let mut bytes = bytes_of(&[&[0], &[1]]);
        bytes[..4].copy_from_slice(&u32::to_le_bytes(length));
        let found = found(bytes);
        assert_eq!(ordinals(&found.records), [1]);
        assert_eq!(found.gaps.len(), 1);
    }
}

#[test]
fn the_last_ordinal_there_is_does_not_overflow() {
    let mut bytes = Vec::new();
    let mut last = [record(u64::MAX, b"")];
    encode_batch(seed_of(1), &mut last, &mut bytes).unwrap();
    encode_batch(seed_of(1), &mut last, &mut bytes).unwrap();
    let found = found(bytes);
    assert!(!found.records.is_empty());
    assert_eq!(found.next_ordinal, Ordinal::new(u64::MAX));
}

#[test]
fn bodies_are_slices_of_the_buffer() {
    let mut batches = numbered(0, vec![vec![record(0, b"one body")]]);
    let (bytes, _) = encoded(seed_of(1), &mut batches);
    let buf = Bytes::from(bytes);
    let found = found(buf.clone());
    let body = &found.records[0].body;
    let buf = buf.as_ptr_range();
    assert!(buf.contains(&body.as_ptr()));
}
