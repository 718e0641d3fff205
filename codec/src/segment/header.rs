//! The 48 bytes that a segment begins with.

use std::fmt;

use super::FrameSeed;
use crate::{ByteLength, CodecError, Ordinal, ThreadId};

/// The length of a segment's header; its first frame begins here.
pub const HEADER_BYTES: usize = 48;

/// The version of the format that this build writes, and the newest that it reads.
pub const FORMAT_VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"SLVDGLOG";

/// The header's bytes before its checksum.
const CHECKED_BYTES: usize = 44;

/// A segment's place among the segments of its log: 0 for the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SegmentNumber(u32);

impl SegmentNumber {
    /// The first segment of a log.
    pub const FIRST: Self = Self(0);

    /// Wraps a plain number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The plain number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a segment's header says. It is written once and never changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// The thread whose log this is.
    pub thread_id: ThreadId,
    /// The segment's place in the log.
    pub segment: SegmentNumber,
    /// The ordinal of the segment's first record.
    pub first_ordinal: Ordinal,
}

impl SegmentHeader {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let crc = crc32fast::hash(&self.checked_bytes());
        let fields = self.checked_bytes().into_iter().chain(crc.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        bytes
    }

    /// Reads the header that `bytes` begins with.
    ///
    /// # Errors
    /// [`CodecError::NotASegment`] without the magic number, [`CodecError::HeaderTooShort`],
    /// [`CodecError::UnknownVersion`] and [`CodecError::HeaderChecksum`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        if !bytes
            .iter()
            .zip(MAGIC)
            .all(|(found, magic)| *found == magic)
        {
            return Err(CodecError::NotASegment);
        }
        let Some((checked, rest)) = bytes.split_first_chunk::<CHECKED_BYTES>() else {
            return Err(too_short(bytes));
        };
        let Some((crc, _)) = rest.split_first_chunk::<4>() else {
            return Err(too_short(bytes));
        };
        check(checked, u32::from_le_bytes(*crc))?;
        Self::fields(checked).ok_or_else(|| too_short(bytes))
    }

    /// The header of which one bit was flipped in these bytes, if that is all that is wrong with
    /// them. Two different headers differ in more bits than that, so that there is at most one; but
    /// bytes that were damaged otherwise may seem to be one. Only frames under it tell.
    #[must_use]
    pub fn mended(bytes: &[u8]) -> Option<Self> {
        let (bytes, _) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let flipped = (0..HEADER_BYTES).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit)));
        flipped
            .filter_map(|(at, bit)| {
                let mut mended = *bytes;
                *mended.get_mut(at)? ^= bit;
                Self::decode(&mended).ok()
            })
            .next()
    }

    /// What the fields of a header say whatever its checksum says. They are a guess: only a frame
    /// whose checksum fits the header's makes them more.
    #[must_use]
    pub fn guess(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().and_then(Self::fields)
    }

    /// The fields after magic number, version and flags.
    fn fields(checked: &[u8; CHECKED_BYTES]) -> Option<Self> {
        let (_, rest) = checked.split_first_chunk::<12>()?;
        let (id, rest) = rest.split_first_chunk()?;
        let (segment, rest) = rest.split_first_chunk()?;
        let (first, _) = rest.split_first_chunk()?;
        Some(Self {
            thread_id: ThreadId::from_bytes(*id),
            segment: SegmentNumber(u32::from_le_bytes(*segment)),
            first_ordinal: Ordinal::new(u64::from_le_bytes(*first)),
        })
    }

    /// What every frame's checksum under this header begins with.
    #[must_use]
    pub fn seed(&self) -> FrameSeed {
        FrameSeed::of_header_crc(crc32fast::hash(&self.checked_bytes()))
    }

    fn checked_bytes(&self) -> [u8; CHECKED_BYTES] {
        let mut bytes = [0; CHECKED_BYTES];
        let fields = MAGIC
            .into_iter()
            .chain(FORMAT_VERSION.to_le_bytes())
            .chain([0; 2])
            .chain(*self.thread_id.as_bytes())
            .chain(self.segment.0.to_le_bytes())
            .chain(self.first_ordinal.get().to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        bytes
    }
}

fn too_short(bytes: &[u8]) -> CodecError {
    CodecError::HeaderTooShort {
        length: ByteLength::new(bytes.len() as u64),
    }
}

/// Checks version, features and checksum, in an order in which neither a damaged header of this
/// version is taken for a later one, nor a later one for a damaged one.
fn check(checked: &[u8; CHECKED_BYTES], crc: u32) -> Result<(), CodecError> {
    let [_, _, _, _, _, _, _, _, v0, v1, f0, f1, .., r0, r1, r2, r3] = *checked;
    let version = u16::from_le_bytes([v0, v1]);
    let flags = u16::from_le_bytes([f0, f1]);
    let reserved = u32::from_le_bytes([r0, r1, r2, r3]);
    let is_intact = crc32fast::hash(checked) == crc;
    if version == FORMAT_VERSION && !is_intact {
        return Err(CodecError::HeaderChecksum);
    }
    if version == FORMAT_VERSION && flags == 0 && reserved == 0 {
        return Ok(());
    }
    if !is_intact && is_ours_but_for_the_version(checked, crc) {
        return Err(CodecError::HeaderChecksum);
    }
    Err(CodecError::UnknownVersion {
        found: version,
        supported: FORMAT_VERSION,
        features: u64::from(flags) | u64::from(reserved) << 32,
    })
}

/// Whether the checksum fits once the version is this build's: then the damage is in the version.
fn is_ours_but_for_the_version(checked: &[u8; CHECKED_BYTES], crc: u32) -> bool {
    let mut repaired = *checked;
    let [_, _, _, _, _, _, _, _, v0, v1, ..] = &mut repaired;
    [*v0, *v1] = FORMAT_VERSION.to_le_bytes();
    crc32fast::hash(&repaired) == crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            thread_id: "019c7a54-be6a-76c0-aff8-58a6fce3280a".parse().unwrap(),
            segment: SegmentNumber::new(3),
            first_ordinal: Ordinal::new(0x0102_0304_0506),
        }
    }

    /// The header with some bytes replaced and a checksum that fits.
    fn resealed(at: usize, with: &[u8]) -> [u8; HEADER_BYTES] {
        let mut bytes = header().encode();
        bytes[at..at + with.len()].copy_from_slice(with);
        let crc = crc32fast::hash(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    #[test]
    fn a_header_is_read_back() {
        assert_eq!(SegmentHeader::decode(&header().encode()), Ok(header()));
    }

    #[test]
    fn a_header_cut_at_any_byte_is_too_short() {
        for length in 0..HEADER_BYTES {
            assert_eq!(
                SegmentHeader::decode(&header().encode()[..length]),
                Err(CodecError::HeaderTooShort {
                    length: ByteLength::new(length as u64)
                })
            );
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_damage_and_no_other_version() {
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = header().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let expected = if bit < 64 {
                CodecError::NotASegment
            } else {
                CodecError::HeaderChecksum
            };
            assert_eq!(SegmentHeader::decode(&bytes), Err(expected), "bit {bit}");
        }
    }

    #[test]
    fn a_header_with_one_flipped_bit_is_mended_and_no_other() {
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = header().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::mended(&bytes), Some(header()), "bit {bit}");
            for other in (bit + 1..HEADER_BYTES * 8).step_by(61) {
                let mut bytes = bytes;
                bytes[other / 8] ^= 1 << (other % 8);
                let mended = SegmentHeader::mended(&bytes);
                assert_eq!(mended, None, "bits {bit} and {other}");
            }
        }
        assert_eq!(SegmentHeader::mended(&header().encode()[..47]), None);
        assert_eq!(SegmentHeader::mended(&[0; HEADER_BYTES]), None);
    }

    #[test]
    fn a_later_version_and_unknown_features_are_refused_by_name() {
        for (at, with, found, features) in [
            (8, [2, 0], 2, 0),
            (10, [1, 0], 1, 1),
            (40, [7, 0], 1, 7 << 32),
        ] {
            assert_eq!(
                SegmentHeader::decode(&resealed(at, &with)),
                Err(CodecError::UnknownVersion {
                    found,
                    supported: FORMAT_VERSION,
                    features
                })
            );
        }
    }

    #[test]
    fn the_fields_of_a_damaged_header_can_be_guessed() {
        let mut bytes = header().encode();
        bytes[45] ^= 1;
        bytes[0] ^= 1;
        assert_eq!(SegmentHeader::guess(&bytes), Some(header()));
        assert_eq!(SegmentHeader::guess(&bytes[..40]), None);
    }

    #[test]
    fn every_field_changes_the_seed() {
        let base = header();
        let others = [
            SegmentHeader {
                thread_id: ThreadId::from_bytes([7; 16]),
                ..base
            },
            SegmentHeader {
                segment: SegmentNumber::new(4),
                ..base
            },
            SegmentHeader {
                first_ordinal: Ordinal::new(9),
                ..base
            },
        ];
        for other in others {
            assert_ne!(base.seed(), other.seed());
        }
    }
}
