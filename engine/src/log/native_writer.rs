//! Writing native segments.

use bytes::Bytes;
use selvedge_codec::segment::{
    FrameSeed, HEADER_BYTES, ScanEnd, ScanEvent, ScanStart, SegmentHeader, SegmentNumber,
    encode_batch, scan,
};
use selvedge_codec::{ByteLength, ByteOffset, CodecError, Item, Ordinal, ThreadId};

use super::Damage;
use super::draft::{Draft, follow_turn};
use super::recovery::{Found, FoundSegment, Head, Torn};
use super::writer::{Look, Writer};

/// The header of a thread's first segment.
pub(super) const fn first_header(thread_id: ThreadId) -> SegmentHeader {
    SegmentHeader {
        thread_id,
        segment: SegmentNumber::FIRST,
        first_ordinal: Ordinal::ZERO,
    }
}

pub(super) fn encode(
    seed: FrameSeed,
    batches: Vec<Vec<Item>>,
    draft: &mut Draft,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    for batch in batches {
        let mut records = draft.records(batch);
        encode_batch(seed, &mut records, out)?;
    }
    Ok(())
}

/// Looks at a file that is opened as the log of the thread of `expected`: the header that it has
/// if that is not there yet.
pub(super) fn look(bytes: &Bytes, expected: SegmentHeader) -> Look {
    let thread_id = expected.thread_id;
    let length = ByteLength::new(bytes.len() as u64);
    match SegmentHeader::decode(bytes) {
        Ok(header) => look_at_frames(bytes, header, thread_id),
        Err(why) => {
            let header = expected;
            let is_begun = bytes.len() < HEADER_BYTES && header.encode().starts_with(bytes);
            Look {
                found: Found::Native(FoundSegment {
                    thread_id,
                    length,
                    head: if is_begun {
                        Head::Begun
                    } else {
                        Head::Bad(why)
                    },
                    is_damaged: false,
                    torn: None,
                    next_ordinal: header.first_ordinal,
                }),
                writer: Writer::Native(header.seed()),
                next_ordinal: header.first_ordinal,
                turn: None,
                damage: Vec::new(),
            }
        }
    }
}

fn look_at_frames(bytes: &Bytes, header: SegmentHeader, thread_id: ThreadId) -> Look {
    let start = ScanStart {
        seed: header.seed(),
        offset: ByteOffset::new(HEADER_BYTES as u64),
        next_ordinal: header.first_ordinal,
    };
    let mut frames = scan(bytes.slice(HEADER_BYTES.min(bytes.len())..), start);
    let (mut turn, mut damage) = (None, Vec::new());
    for event in &mut frames {
        match event {
            ScanEvent::Record(record) => follow_turn(&mut turn, &record),
            ScanEvent::Gap(gap) => damage.push(Damage {
                offset: gap.start,
                length: ByteLength::new(gap.end.get().saturating_sub(gap.start.get())),
                first_ordinal: gap.first_ordinal,
                next_ordinal: gap.next_ordinal,
                why: gap.why,
            }),
        }
    }
    let torn = match frames.end() {
        Some(ScanEnd::TornTail { start, length, why }) => Some(Torn {
            offset: start,
            length,
            why,
        }),
        Some(ScanEnd::Clean) | None => None,
    };
    Look {
        found: Found::Native(FoundSegment {
            thread_id,
            length: ByteLength::new(bytes.len() as u64),
            head: Head::Good(header),
            is_damaged: !damage.is_empty(),
            torn,
            next_ordinal: frames.next_ordinal(),
        }),
        writer: Writer::Native(header.seed()),
        next_ordinal: frames.next_ordinal(),
        turn,
        damage,
    }
}
