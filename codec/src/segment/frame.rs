//! One frame: `len | crc32 | envelope | payload | len`. The only encoder and the only decoder.

use std::ops::Range;

use bytes::Bytes;
use crc32fast::Hasher;

use crate::envelope::{self, DecodedEnvelope, MAX_ENVELOPE_BYTES, MIN_ENVELOPE_BYTES};
use crate::{BatchPosition, ByteLength, CodecError, Record};

/// The longest body of a record. It bounds what a damaged length can make a reader do.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// The longest envelope and body together: what a frame's length is checked against.
pub const MAX_FRAME_BODY_BYTES: usize = MAX_BODY_BYTES + MAX_ENVELOPE_BYTES;

/// The most records of one batch: a reader holds a batch until it is whole.
pub const MAX_BATCH_RECORDS: usize = 1 << 20;

/// Leading length, checksum, trailing length.
pub(super) const FRAME_OVERHEAD_BYTES: usize = 12;

/// The shortest frame there can be.
pub(super) const MIN_FRAME_BYTES: usize = FRAME_OVERHEAD_BYTES + MIN_ENVELOPE_BYTES;

/// Refuses a body that no frame could hold.
pub(crate) fn check_body_length(length: usize) -> Result<(), CodecError> {
    if length > MAX_BODY_BYTES {
        return Err(CodecError::RecordTooLarge {
            length: ByteLength::new(length as u64),
            limit: ByteLength::new(MAX_BODY_BYTES as u64),
        });
    }
    Ok(())
}

/// What the checksum of every frame of a segment begins with: the checksum of its header. A frame
/// of another thread's log, or of another segment, therefore never validates here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameSeed(
    /// The CRC-32 of the header checksum's four bytes, from which a frame's goes on.
    u32,
);

impl FrameSeed {
    pub(super) fn of_header_crc(crc: u32) -> Self {
        Self(crc32fast::hash(&crc.to_le_bytes()))
    }

    fn checksum(self, length: [u8; 4], parts: [&[u8]; 2]) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.0);
        hasher.update(&length);
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }
}

/// Appends the frames of one batch to `out`, and sets each record's place in it. The records'
/// ordinals must follow each other.
///
/// Nothing is written to `out` on error.
///
/// # Errors
/// [`CodecError::EmptyBatch`], [`CodecError::BatchTooLong`], [`CodecError::RecordTooLarge`],
/// [`CodecError::FrameOrdinal`] for ordinals with a gap, and [`CodecError::BadRecordType`] or
/// [`CodecError::BadTurnId`] for names out of bounds.
pub fn encode_batch(
    seed: FrameSeed,
    records: &mut [Record],
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    if records.len() > MAX_BATCH_RECORDS {
        return Err(CodecError::BatchTooLong {
            records: records.len(),
            limit: MAX_BATCH_RECORDS,
        });
    }
    let first = records.first().ok_or(CodecError::EmptyBatch)?.ordinal;
    let last_index = records.len() - 1;
    let before = out.len();
    for (index, record) in (0_u32..).zip(records.iter_mut()) {
        record.batch = BatchPosition {
            index,
            is_last: index as usize == last_index,
        };
        let expected = first.plus(u64::from(index));
        let written = if record.ordinal == expected {
            encode_frame(seed, record, out)
        } else {
            Err(CodecError::FrameOrdinal {
                expected,
                found: record.ordinal,
            })
        };
        if let Err(error) = written {
            out.truncate(before);
            return Err(error);
        }
    }
    Ok(())
}

fn encode_frame(seed: FrameSeed, record: &Record, out: &mut Vec<u8>) -> Result<(), CodecError> {
    check_body_length(record.body.len())?;
    let envelope = envelope::encode(record)?;
    let parts = [envelope.as_bytes(), &record.body];
    let length = u32::try_from(parts[0].len() + parts[1].len())
        .map_err(|_| CodecError::FrameLength)?
        .to_le_bytes();
    out.reserve(FRAME_OVERHEAD_BYTES + parts[0].len() + parts[1].len());
    out.extend_from_slice(&length);
    out.extend_from_slice(&seed.checksum(length, parts).to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&length);
    Ok(())
}

/// A little-endian number at `at`, if it lies within `buf`.
fn u32_at(buf: &[u8], at: usize) -> Option<u32> {
    buf.get(at..)?
        .first_chunk()
        .map(|bytes| u32::from_le_bytes(*bytes))
}

/// A length that a frame may have, as a number of bytes.
fn bounded(length: u32) -> Option<usize> {
    usize::try_from(length)
        .ok()
        .filter(|length| (MIN_ENVELOPE_BYTES..=MAX_FRAME_BODY_BYTES).contains(length))
}

/// How long the frame is that ends with these four bytes, as they say; `None` when none can be.
#[must_use]
pub fn length_of_frame_ending(trailing: [u8; 4]) -> Option<ByteLength> {
    let length = bounded(u32::from_le_bytes(trailing))? + FRAME_OVERHEAD_BYTES;
    Some(ByteLength::new(length as u64))
}

/// The checksum of the frame that begins with these eight bytes, unchecked.
#[must_use]
pub const fn checksum_of_frame_beginning(leading: [u8; 8]) -> u32 {
    let [_, _, _, _, checksum @ ..] = leading;
    u32::from_le_bytes(checksum)
}

/// Where a frame lies, as its two lengths say. Nothing else of it is checked yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FrameBounds {
    /// Envelope and payload.
    pub(super) inner: Range<usize>,
    /// The first byte after the frame.
    pub(super) end: usize,
}

impl FrameBounds {
    /// The bounds of the frame that begins at `at`.
    pub(super) fn at(buf: &[u8], at: usize) -> Result<Self, CodecError> {
        let leading = u32_at(buf, at).ok_or(CodecError::FrameCutShort)?;
        let length = bounded(leading).ok_or(CodecError::FrameLength)?;
        let inner = at + 8..at + 8 + length;
        let trailing = u32_at(buf, inner.end).ok_or(CodecError::FrameCutShort)?;
        if trailing != leading {
            return Err(CodecError::FrameLength);
        }
        let end = inner.end + 4;
        Ok(Self { inner, end })
    }

    /// Where the frame that ends at `end` begins, as its trailing length says: how many bytes
    /// before `end`.
    pub(super) fn length_before(buf: &[u8], end: usize) -> Result<usize, CodecError> {
        let at = end.checked_sub(4).ok_or(CodecError::FrameCutShort)?;
        let trailing = u32_at(buf, at).ok_or(CodecError::FrameCutShort)?;
        let length = bounded(trailing).ok_or(CodecError::FrameLength)?;
        Ok(length + FRAME_OVERHEAD_BYTES)
    }

    /// Envelope and payload of the frame, unchecked.
    pub(super) fn inner_of<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        buf.get(self.inner.clone()).unwrap_or_default()
    }

    /// Checks the frame against its checksum.
    pub(super) fn check(&self, buf: &[u8], seed: FrameSeed) -> Result<(), CodecError> {
        let inner = self.inner_of(buf);
        let length = u32_at(buf, self.inner.end).ok_or(CodecError::FrameCutShort)?;
        let crc = u32_at(buf, self.inner.start - 4).ok_or(CodecError::FrameCutShort)?;
        if seed.checksum(length.to_le_bytes(), [inner, &[]]) == crc {
            Ok(())
        } else {
            Err(CodecError::FrameChecksum)
        }
    }
}

/// A frame whose lengths, checksum and envelope are all good.
pub(super) struct Frame {
    envelope: DecodedEnvelope,
    bounds: FrameBounds,
}

impl Frame {
    /// Reads the frame that begins at `at`.
    pub(super) fn read(buf: &[u8], at: usize, seed: FrameSeed) -> Result<Self, CodecError> {
        let bounds = FrameBounds::at(buf, at)?;
        bounds.check(buf, seed)?;
        let envelope = envelope::decode(bounds.inner_of(buf))?;
        Ok(Self { envelope, bounds })
    }

    pub(super) fn envelope(&self) -> &DecodedEnvelope {
        &self.envelope
    }

    /// The first byte after the frame.
    pub(super) fn end(&self) -> usize {
        self.bounds.end
    }

    /// The record, whose body is a slice of `buf`.
    pub(super) fn into_record(self, buf: &Bytes) -> Record {
        let envelope = self.envelope;
        // An envelope never takes more than the bytes it was decoded from.
        let taken = usize::try_from(envelope.length.get()).unwrap_or(usize::MAX);
        let start = self
            .bounds
            .inner
            .end
            .min(self.bounds.inner.start.saturating_add(taken));
        Record {
            ordinal: envelope.ordinal,
            time: envelope.time,
            record_type: envelope.record_type,
            event: envelope.event,
            turn_id: envelope.turn_id,
            batch: envelope.batch,
            encoding: envelope.encoding,
            body: buf.slice(start..self.bounds.inner.end),
        }
    }
}
