//! The header of a native file, also where its bytes are damaged.
//!
//! What must hold: a header that is not there as it was written is never believed by itself. Whole
//! batches must lie under it, whose checksums begin with its own; what tells it (a flipped bit that
//! is flipped back, or the file's name and what lies among the inherited segments) is a guess.

use bytes::Bytes;
use selvedge_codec::segment::{HEADER_BYTES, ScanEvent, ScanStart, SegmentHeader, scan};
use selvedge_codec::{ByteLength, ByteOffset, CodecError, Ordinal};

use super::inherited::header_of;
use super::{Damage, OpenLog};
use crate::Result;
use crate::home::{Home, LogName};

/// The length of a header, as a file has it.
pub(super) const HEADER_LENGTH: ByteLength = ByteLength::new(HEADER_BYTES as u64);

/// The header of a native file.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) header: SegmentHeader,
    /// What is wrong with its bytes.
    pub(super) damage: Option<CodecError>,
}

impl Head {
    /// The header of a thread's own file, which begins with `bytes`. Inside, why there is none.
    pub(super) fn of_log(log: &OpenLog<'_>, bytes: &[u8]) -> Result<Result<Self, CodecError>> {
        let why = match Self::of_segment(log, bytes)? {
            Err(why) if is_damage(&why) => why,
            told => return Ok(told),
        };
        let name = log.path().file_name().and_then(|name| name.to_str());
        let thread_id = name
            .and_then(LogName::parse)
            .and_then(|name| name.thread_id);
        if let (Some(thread_id), Some(home)) = (thread_id, Home::of_log_file(log.path())) {
            let header = header_of(log.disk(), &home, thread_id)?;
            if holds_batches(log, &header)? {
                return Ok(Ok(Self {
                    header,
                    damage: Some(why),
                }));
            }
        }
        Ok(Err(why))
    }

    /// The header of an inherited segment, whose name does not say whose it was.
    pub(super) fn of_segment(log: &OpenLog<'_>, bytes: &[u8]) -> Result<Result<Self, CodecError>> {
        let why = match SegmentHeader::decode(bytes) {
            Ok(header) => {
                return Ok(Ok(Self {
                    header,
                    damage: None,
                }));
            }
            Err(why) => why,
        };
        match SegmentHeader::mended(bytes).filter(|_| is_damage(&why)) {
            Some(header) if holds_batches(log, &header)? => Ok(Ok(Self {
                header,
                damage: Some(why),
            })),
            _ => Ok(Err(why)),
        }
    }

    /// What a reader is told of the header, before the record of this ordinal.
    pub(super) fn damage(&self, next_ordinal: Ordinal) -> Option<Damage> {
        let why = self.damage.clone()?;
        Some(Damage {
            offset: ByteOffset::ZERO,
            length: HEADER_LENGTH,
            first_ordinal: next_ordinal,
            next_ordinal,
            why,
        })
    }
}

/// Whether the bytes may once have been a header that this build reads.
const fn is_damage(why: &CodecError) -> bool {
    matches!(why, CodecError::NotASegment | CodecError::HeaderChecksum)
}

/// Whether a whole batch under this header lies anywhere in the file.
fn holds_batches(log: &OpenLog<'_>, header: &SegmentHeader) -> Result<bool> {
    let offset = ByteOffset::new(HEADER_BYTES as u64);
    let bytes: Bytes = log.read(offset, log.stat().len)?;
    let start = ScanStart {
        seed: header.seed(),
        offset,
        next_ordinal: header.first_ordinal,
    };
    Ok(scan(bytes, start).any(|event| matches!(event, ScanEvent::Record(_))))
}
