//! Every damage to a small segment: cut at every byte, frames swapped, repeated, spliced in from
//! elsewhere, stretches zeroed, lengths of 4 GB. A scan gives every batch whose bytes are as they
//! were, names every ordinal that it does not give, and a walk back says the same.

use bytes::Bytes;
use selvedge_codec::segment::{
    FrameSeed, HEADER_BYTES, ScanEnd, SegmentHeader, SegmentNumber, WalkBackEvent, WalkBackStart,
    walk_back,
};
use selvedge_codec::{ByteOffset, Ordinal, PayloadEncoding, Record, ThreadId, TurnId};

use crate::support::{Found, OFFSET, encoded, found, ordinals, record, seed_of};

/// Batches of one record and of several, with and without a turn, of JSON, of bytes, of none, and
/// of a copy of another segment. No two frames that follow each other are of one length: a copy
/// that was cut right before its trailing length would have it in the leading one behind it, and
/// which frame these four bytes belong to nobody could tell.
fn batches() -> Vec<Vec<Record>> {
    let copy = encoded(seed_of(2), &mut [vec![record(1, b"copied")]]).0;
    let mut batches = vec![
        vec![record(0, b"{\"a\":1}")],
        vec![record(1, b"one"), record(2, b""), record(3, b"three")],
        vec![record(4, &copy)],
        vec![record(5, &[0; 30]), record(6, &[0xff; 9])],
        vec![record(7, b"{\"last\":true}")],
    ];
    for record in batches.iter_mut().flatten().step_by(2) {
        record.turn_id = Some(TurnId::from_text("turn"));
        record.encoding = PayloadEncoding::Json;
    }
    batches
}

struct Log {
    batches: Vec<Vec<Record>>,
    bytes: Vec<u8>,
    /// Where each batch ends.
    ends: Vec<usize>,
}

impl Log {
    fn new() -> Self {
        let mut batches = batches();
        let (bytes, ends) = encoded(seed_of(1), &mut batches);
        Self {
            batches,
            bytes,
            ends,
        }
    }

    fn range(&self, batch: usize) -> std::ops::Range<usize> {
        let start = batch.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[batch]
    }

    /// The log with its batches in this order.
    fn of(&self, order: &[usize]) -> Vec<u8> {
        let parts = order.iter().map(|batch| &self.bytes[self.range(*batch)]);
        parts.collect::<Vec<_>>().concat()
    }

    /// The batches whose bytes `damaged` has where they were.
    fn untouched(&self, damaged: &[u8]) -> Vec<usize> {
        let is_there = |batch: &usize| {
            damaged.get(self.range(*batch)) == Some(&self.bytes[self.range(*batch)])
        };
        (0..self.batches.len()).filter(is_there).collect()
    }

    /// Checks what is read of `damaged`, of which these batches must be given.
    fn check(&self, what: &str, damaged: &[u8], must: &[usize]) {
        let found = found(damaged.to_vec());
        let written = self.batches.concat();
        for batch in must {
            for record in &self.batches[*batch] {
                assert!(found.records.contains(record), "{what}: batch {batch}");
            }
        }
        let mut rest = written.iter();
        for record in &found.records {
            assert!(rest.any(|one| one == record), "{what}: {record:?}");
        }
        check_told(what, &found, written.len() as u64, damaged.len());
        check_walk(what, &found, damaged);
    }

    /// As [`Log::check`], of bytes of which those that are as they were are where they were.
    fn check_in_place(&self, what: &str, damaged: &[u8]) {
        self.check(what, damaged, &self.untouched(damaged));
    }
}

/// Every ordinal is given, or lies in a gap, or behind the end, which is torn then unless the bytes
/// end with a whole batch.
fn check_told(what: &str, found: &Found, written: u64, length: usize) {
    let given = ordinals(&found.records);
    let mut next = 0;
    let mut gaps = found.gaps.iter().peekable();
    for ordinal in given.iter().copied().chain([found.next_ordinal.get()]) {
        while let Some(gap) = gaps.next_if(|gap| gap.first_ordinal.get() <= next) {
            assert_eq!(gap.first_ordinal.get(), next, "{what}: {gap:?}");
            next = gap.next_ordinal.get();
        }
        assert_eq!(ordinal, next, "{what}: {given:?} {:?}", found.gaps);
        next += 1;
    }
    assert_eq!(gaps.next(), None, "{what}");
    assert!(found.next_ordinal.get() <= written, "{what}");
    let mut at = OFFSET;
    for gap in &found.gaps {
        assert!(at <= gap.start && gap.start <= gap.end, "{what}: {gap:?}");
        at = gap.end;
    }
    let end = OFFSET.plus(length as u64);
    match found.end {
        ScanEnd::Clean => assert_eq!(found.whole_end, end, "{what}"),
        ScanEnd::TornTail { start, length, .. } => {
            assert_eq!((start, start.plus(length.get())), (found.whole_end, end));
            assert!(length.get() > 0, "{what}");
        }
    }
}

/// From the end of the last whole batch, a walk back gives the newest of the scan's records, and
/// ends before the first place that only the scan can judge.
fn check_walk(what: &str, found: &Found, damaged: &[u8]) {
    let whole = usize::try_from(found.whole_end.get()).unwrap() - HEADER_BYTES;
    let start = WalkBackStart {
        seed: seed_of(1),
        offset_of_buf: OFFSET,
    };
    let mut walk = walk_back(Bytes::copy_from_slice(&damaged[..whole]), start);
    let mut walked = Vec::new();
    let mut is_stopped = false;
    for event in walk.by_ref() {
        match event {
            WalkBackEvent::Record(record) => walked.push(record),
            WalkBackEvent::Damage { .. } => is_stopped = true,
            WalkBackEvent::NeedMore { .. } => panic!("{what}: all of it is there"),
        }
    }
    walked.reverse();
    assert!(found.records.ends_with(&walked), "{what}");
    assert_eq!(
        is_stopped,
        walked.len() < found.records.len() || !walk.is_at_front(),
        "{what}"
    );
}

#[test]
fn every_bit_that_is_flipped_costs_its_batch_alone_both_ways() {
    let log = Log::new();
    for bit in 0..log.bytes.len() * 8 {
        let mut damaged = log.bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(log.untouched(&damaged).len(), log.batches.len() - 1);
        log.check_in_place(&format!("bit {bit}"), &damaged);
    }
}

#[test]
fn cut_at_every_byte_every_whole_batch_is_kept() {
    let log = Log::new();
    for length in 0..log.bytes.len() {
        log.check_in_place(&format!("cut at {length}"), &log.bytes[..length]);
    }
}

#[test]
fn stretches_of_zeros_cost_only_what_they_cover() {
    let log = Log::new();
    for length in [1, 4, 8, 12, 50, 512, 4096] {
        for start in 0..log.bytes.len() {
            let mut damaged = log.bytes.clone();
            let end = damaged.len().min(start + length);
            damaged[start..end].fill(0);
            log.check_in_place(&format!("zeros {start}..{end}"), &damaged);
        }
    }
}

#[test]
fn impossible_lengths_cost_only_their_batches() {
    let log = Log::new();
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some(leading) = log.bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let length = usize::try_from(u32::from_le_bytes(*leading)).unwrap();
        frames.push((at, at + 8 + length));
        at += length + 12;
    }
    assert_eq!((at, frames.len()), (log.bytes.len(), 8));
    for (leading, trailing) in frames {
        for length in [0, 8, 9, 1 << 16, 64 << 20, (64 << 20) + 513, u32::MAX] {
            let places: [&[usize]; 3] = [&[leading], &[trailing], &[leading, trailing]];
            for at in places {
                let mut damaged = log.bytes.clone();
                for at in at {
                    damaged[*at..at + 4].copy_from_slice(&u32::to_le_bytes(length));
                }
                log.check_in_place(&format!("length {length} at {at:?}"), &damaged);
            }
        }
    }
}

/// Batches that change places are no longer where they belong: the one that comes too early hides
/// those that it comes before, and these are told as missing.
#[test]
fn swapped_batches_are_given_in_order_or_told_as_missing() {
    let log = Log::new();
    for one in 0..log.batches.len() {
        for other in one + 1..log.batches.len() {
            let mut order: Vec<_> = (0..log.batches.len()).collect();
            order.swap(one, other);
            let mut must: Vec<_> = (0..one).collect();
            must.push(other);
            must.extend(other + 1..log.batches.len());
            log.check(&format!("{order:?}"), &log.of(&order), &must);
        }
    }
}

#[test]
fn a_batch_that_is_repeated_anywhere_hides_nothing() {
    let log = Log::new();
    let all: Vec<_> = (0..log.batches.len()).collect();
    for repeated in 0..log.batches.len() {
        // Not before its own place, where it would hide those between.
        for at in repeated..=log.batches.len() {
            let mut order = all.clone();
            order.insert(at, repeated);
            log.check(&format!("{order:?}"), &log.of(&order), &all);
        }
    }
}

#[test]
fn an_old_beginning_that_is_spliced_in_hides_nothing() {
    let log = Log::new();
    let all: Vec<_> = (0..log.batches.len()).collect();
    for length in 0..=log.bytes.len() {
        for end in &log.ends {
            // An old beginning of which more is there than comes before it is the log itself.
            if length > *end {
                continue;
            }
            let (front, back) = log.bytes.split_at(*end);
            let damaged = [front, &log.bytes[..length], back].concat();
            log.check(&format!("{length} before {end}"), &damaged, &all);
        }
    }
}

/// The seeds of another thread's log, and of another segment of this one's.
fn other_seeds() -> [FrameSeed; 3] {
    let header = |thread, segment, first| {
        SegmentHeader {
            thread_id: ThreadId::from_bytes([thread; 16]),
            segment: SegmentNumber::new(segment),
            first_ordinal: Ordinal::new(first),
        }
        .seed()
    };
    [
        header(2, 0, 0),
        header(1, 1, 0),
        header(1, 0, u64::MAX), // Nothing follows the last ordinal there is.
    ]
}

#[test]
fn frames_under_another_header_are_never_given() {
    let log = Log::new();
    let all: Vec<_> = (0..log.batches.len()).collect();
    for seed in other_seeds() {
        let (theirs, their_ends) = encoded(seed, &mut batches());
        let mut at = 0;
        for (end, their_end) in log.ends.iter().zip(their_ends) {
            let frames = &theirs[at..their_end];
            let (front, back) = log.bytes.split_at(*end);
            let spliced = [front, frames, back].concat();
            log.check(&format!("{seed:?} spliced in at {end}"), &spliced, &all);
            let mut replaced = log.bytes.clone();
            replaced[end - frames.len()..*end].copy_from_slice(frames);
            log.check_in_place(&format!("{seed:?} in place at {end}"), &replaced);
            at = their_end;
        }
    }
}

#[test]
fn whatever_follows_the_last_batch_hides_nothing() {
    let log = Log::new();
    let all: Vec<_> = (0..log.batches.len()).collect();
    let theirs = encoded(other_seeds()[0], &mut [vec![record(8, b"theirs")]]).0;
    let far = encoded(seed_of(1), &mut [vec![record(7, b"another last")]]).0;
    for tail in [
        &b"\n"[..],
        b"garbage",
        &[0; 5000],
        &[0xff; 5000],
        &u32::MAX.to_le_bytes(),
        &[[9, 0, 0, 0], [1; 4], [1; 4], [9, 0, 0, 0]].concat(),
        &theirs,
        &far,
        &far[..far.len() - 1],
        &log.bytes,
    ] {
        let damaged = [&log.bytes[..], tail].concat();
        log.check(&format!("{} bytes behind", tail.len()), &damaged, &all);
    }
}

/// A header says which ordinals a segment begins with. One that says the last there are leaves no
/// room for more than one record, and nothing overflows.
#[test]
fn ordinals_at_the_end_of_their_range_do_not_overflow() {
    use selvedge_codec::segment::{ScanStart, scan};
    for first in [u64::MAX, u64::MAX - 1] {
        let header = SegmentHeader {
            thread_id: ThreadId::from_bytes([1; 16]),
            segment: SegmentNumber::new(u32::MAX),
            first_ordinal: Ordinal::new(first),
        };
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        for ordinals in [&[first][..], &[first, first], &[0, first], &[first, 0, 7]] {
            let mut bytes = Vec::new();
            for ordinal in ordinals {
                let (frame, _) = encoded(header.seed(), &mut [vec![record(*ordinal, b"x")]]);
                bytes.extend(frame);
            }
            let start = ScanStart {
                seed: header.seed(),
                offset: ByteOffset::new(HEADER_BYTES as u64),
                next_ordinal: header.first_ordinal,
            };
            let mut scan = scan(bytes.clone().into(), start);
            for event in scan.by_ref() {
                drop(event);
            }
            assert!(scan.end().is_some());
            let start = WalkBackStart {
                seed: header.seed(),
                offset_of_buf: OFFSET,
            };
            assert!(walk_back(bytes.into(), start).count() <= ordinals.len() + 1);
        }
    }
}
