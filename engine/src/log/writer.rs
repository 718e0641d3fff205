//! What differs between the formats when a log is written: encoding, and making sense of a file
//! that is opened to be written on.

use bytes::Bytes;
use selvedge_codec::segment::{FrameSeed, SegmentHeader};
use selvedge_codec::{ByteOffset, CodecError, Item, Ordinal, TurnId};

use super::Damage;
use super::draft::Draft;
use super::jsonl_writer::{self, LinesWriter};
use super::native_writer;
use super::recovery::Found;
use crate::home::{LogFormat, LogName, LogPath};

#[derive(Debug)]
pub(super) enum Writer {
    Native(FrameSeed),
    Lines(LinesWriter),
}

impl Writer {
    /// Appends the bytes of `batches` to `out`. On error, what `out` holds beyond its length
    /// before is to be taken out again.
    pub(super) fn encode(
        &self,
        batches: Vec<Vec<Item>>,
        draft: &mut Draft,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        match self {
            Self::Native(seed) => native_writer::encode(*seed, batches, draft, out),
            Self::Lines(writer) => writer.encode(batches, draft, out),
        }
    }

    /// What was encoded is written: the file ends at `end` now.
    pub(super) fn written(&mut self, end: ByteOffset, next_ordinal: Ordinal) {
        match self {
            Self::Native(_) => {}
            Self::Lines(writer) => writer.written(end, next_ordinal),
        }
    }
}

/// What a file holds, for a writer that wants to go on with it.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) found: Found,
    pub(super) writer: Writer,
    pub(super) next_ordinal: Ordinal,
    /// The turn that is open at the end.
    pub(super) turn: Option<TurnId>,
    pub(super) damage: Vec<Damage>,
}

/// Looks at a file that is opened as the log of the thread of `expected`: the header that a native
/// log has if that is not there yet.
pub(super) fn look(bytes: &Bytes, expected: SegmentHeader, path: &LogPath) -> Look {
    match LogFormat::of_file_name(path.file_name()) {
        Some(LogFormat::JsonLines | LogFormat::CompressedJsonLines) => {
            let name = LogName::parse(path.file_name()).and_then(|name| name.thread_id);
            jsonl_writer::look(bytes, expected.thread_id, name)
        }
        Some(LogFormat::Native) | None => native_writer::look(bytes, expected),
    }
}
