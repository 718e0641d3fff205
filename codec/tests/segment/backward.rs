//! Walking back: the scan's records, newest first, from no more bytes than that takes.

use crate::support::{OFFSET, any_batches, batches_of, encoded, found, ordinals, seed_of};
use bytes::Bytes;
use proptest::prelude::*;
use selvedge_codec::segment::{HEADER_BYTES, WalkBackEvent, WalkBackStart, walk_back};
use selvedge_codec::{ByteOffset, CodecError, Record};

fn start(offset_of_buf: ByteOffset) -> WalkBackStart {
    WalkBackStart {
        seed: seed_of(1),
        offset_of_buf,
    }
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

/// Walks back over `bytes`, which begin at `OFFSET`, in buffers of `step` bytes or of what is
/// asked for, and gives the records and the damage met.
fn walked(bytes: &[u8], step: usize) -> (Vec<Record>, Option<(ByteOffset, CodecError)>) {
    let mut records = Vec::new();
    let mut end = bytes.len();
    let mut length = step;
    loop {
        let from = end.saturating_sub(length);
        let buf = Bytes::copy_from_slice(&bytes[from..end]);
        let mut walk = walk_back(buf, start(OFFSET.plus(from as u64)));
        let mut more = None;
        for event in walk.by_ref() {
            match event {
                WalkBackEvent::Record(record) => records.push(record),
                WalkBackEvent::NeedMore { at_least } => more = Some(at_least),
                WalkBackEvent::Damage { end, why } => return (records, Some((end, why))),
            }
        }
        end = usize::try_from(walk.whole_start().get()).unwrap() - HEADER_BYTES;
        match more {
            None => {
                assert!(walk.is_at_front());
                return (records, None);
            }
            Some(at_least) => {
                let at_least = usize::try_from(at_least.get()).unwrap();
                assert!(at_least > end - from, "a walk asks for what it had");
                length = step.max(at_least);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_walk_back_is_the_scan_reversed(mut batches in any_batches(), step in 1_usize..300) {
        let (bytes, _) = encoded(seed_of(1), &mut batches);
        let (records, damage) = walked(&bytes, step);
        prop_assert_eq!(damage, None);
        let mut scanned = found(bytes).records;
        scanned.reverse();
        prop_assert_eq!(records, scanned);
    }

    #[test]
    fn damage_ends_a_walk_and_changes_no_record(
        mut batches in any_batches(),
        place in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        step in 1_usize..300,
    ) {
        let (mut bytes, ends) = encoded(seed_of(1), &mut batches);
        let at = place.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        let damaged = ends.iter().filter(|end| **end <= at).count();
        let (records, damage) = walked(&bytes, step);
        let mut newer = batches[damaged + 1..].concat();
        newer.reverse();
        prop_assert_eq!(records, newer);
        let (end, _) = damage.expect("the damage is met");
        prop_assert_eq!(end, OFFSET.plus(ends[damaged] as u64));
    }

    #[test]
    fn bytes_that_are_no_frames_end_a_walk(bytes in prop::collection::vec(any::<u8>(), 1..500)) {
        let (records, damage) = walked(&bytes, 64);
        prop_assert!(records.is_empty() && damage.is_some());
    }
}

#[test]
fn a_buffer_may_hold_the_header_too() {
    let mut batches = batches_of(&[&[0], &[1, 2]]);
    let (bytes, _) = encoded(seed_of(1), &mut batches);
    let whole = [vec![0xaa; HEADER_BYTES], bytes].concat();
    let mut walk = walk_back(whole.into(), start(ByteOffset::ZERO));
    assert_eq!(walk.by_ref().count(), 3);
    assert!(walk.is_at_front());
    assert_eq!(walk.whole_start(), OFFSET);
}

#[test]
fn a_walk_stops_at_what_only_a_scan_can_judge() {
    for (log, records, why) in [
        (&[&[0][..], &[1], &[1], &[2]][..], &[2, 1][..], (0, 1)),
        (&[&[0], &[3]], &[3], (2, 0)),
    ] {
        let (bytes, _) = encoded(seed_of(1), &mut batches_of(log));
        let (found, damage) = walked(&bytes, 4096);
        assert_eq!(ordinals(&found), records);
        let (_, found) = damage.unwrap();
        assert_eq!(
            found,
            CodecError::FrameOrdinal {
                expected: selvedge_codec::Ordinal::new(why.0),
                found: selvedge_codec::Ordinal::new(why.1)
            }
        );
    }
}

#[test]
fn a_batch_without_its_end_is_not_given() {
    let (bytes, _) = encoded(seed_of(1), &mut batches_of(&[&[0], &[1, 2, 3]]));
    let (one, _) = encoded(seed_of(1), &mut batches_of(&[&[0]]));
    let frame = (bytes.len() - one.len()) / 3;
    let (records, damage) = walked(&bytes[..bytes.len() - frame], 4096);
    assert!(records.is_empty());
    assert!(matches!(
        damage,
        Some((_, CodecError::BatchBroken { expected: 2 }))
    ));
}

/// Found by the fuzzer: a walk read the last frame's trailing length and took whatever intact frame
/// began so many bytes before the end. With that one number damaged it could lead to an earlier
/// frame, which was then given as the newest, and the records behind it were gone without a word.
#[test]
fn a_damaged_trailing_length_does_not_lead_to_an_earlier_frame() {
    let (bytes, ends) = encoded(seed_of(1), &mut batches_of(&[&[0], &[1], &[2]]));
    for earlier in [0, ends[0]] {
        let mut damaged = bytes.clone();
        let length = u32::try_from(bytes.len() - earlier - 12).unwrap();
        let trailing = damaged.len() - 4;
        damaged[trailing..].copy_from_slice(&length.to_le_bytes());
        let (records, damage) = walked(&damaged, 4096);
        assert!(records.is_empty(), "{:?}", ordinals(&records));
        assert!(damage.is_some());
    }
}
