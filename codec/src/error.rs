//! What can be wrong with bytes, text and items.

use thiserror::Error;

use crate::segment::SegmentNumber;
use crate::{ByteLength, Ordinal, ThreadId};

/// Why bytes, a text or an item were refused. None of these says where: the reader that knows the
/// file and offset adds it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The text is no UUID.
    #[error("{text:?} is not a thread id (a UUID)")]
    NotAThreadId {
        /// The first 64 characters of the text.
        text: String,
    },
    /// The text is no RFC 3339 timestamp.
    #[error("{text:?} is not an RFC 3339 timestamp")]
    NotATimestamp {
        /// The first 64 characters of the text.
        text: String,
    },
    /// A payload that should be JSON is not.
    #[error("the payload is not JSON: {why}")]
    NotJson {
        /// What the JSON parser says.
        why: String,
    },
    /// A line is no record: not UTF-8, not JSON, or without `type` and `payload`.
    #[error("the line is not a record: {why}")]
    NotARecordLine {
        /// What the JSON parser says.
        why: String,
    },
    /// A record is larger than a frame may be.
    #[error("a record of {length} bytes is larger than the largest allowed, {limit} bytes")]
    RecordTooLarge {
        /// The record's length.
        length: ByteLength,
        /// The largest length allowed.
        limit: ByteLength,
    },
    /// A record type is empty or too long.
    #[error("a record type has 1 to {limit} bytes, this one has {length}")]
    BadRecordType {
        /// The type's length in bytes.
        length: usize,
        /// The longest type allowed, in bytes.
        limit: usize,
    },
    /// A turn id is too long.
    #[error("a turn id has at most {limit} bytes, this one has {length}")]
    BadTurnId {
        /// The id's length in bytes.
        length: usize,
        /// The longest id allowed, in bytes.
        limit: usize,
    },
    /// A batch has more records than are read back as one.
    #[error("a batch of {records} records is longer than the longest allowed, {limit}")]
    BatchTooLong {
        /// How many records there are.
        records: usize,
        /// The most allowed.
        limit: usize,
    },
    /// A batch has no item.
    #[error("a batch needs at least one item")]
    EmptyBatch,
    /// The bytes do not begin with a segment's magic number.
    #[error("not a Selvedge log: the magic number is missing")]
    NotASegment,
    /// The segment was written by a later version, or with features that this build lacks.
    #[error(
        "the log has format version {found} with features {features:#x}; \
         this build reads up to version {supported} with none"
    )]
    UnknownVersion {
        /// The version in the header.
        found: u16,
        /// The newest version this build reads.
        supported: u16,
        /// The header's flags, and its reserved field in the 32 bits above them.
        features: u64,
    },
    /// The segment's header is cut short.
    #[error("the log's header is cut short at {length} bytes")]
    HeaderTooShort {
        /// How many bytes there are.
        length: ByteLength,
    },
    /// The segment's header does not match its checksum.
    #[error("the log's header does not match its checksum")]
    HeaderChecksum,
    /// The segment belongs to another thread.
    #[error("the log belongs to thread {found}, not to {expected}")]
    WrongThread {
        /// The thread it was opened as.
        expected: ThreadId,
        /// The thread in its header.
        found: ThreadId,
    },
    /// A frame's length is out of bounds, or its two lengths differ.
    #[error("a frame's length is impossible")]
    FrameLength,
    /// A frame reaches past the end of the bytes.
    #[error("a frame is cut short")]
    FrameCutShort,
    /// A frame does not match its checksum.
    #[error("a frame does not match its checksum")]
    FrameChecksum,
    /// A frame is intact, and is not the one that belongs here: a copy, an old one, or one after
    /// records that are missing.
    #[error("a frame holds ordinal {found} where {expected} belongs")]
    FrameOrdinal {
        /// The ordinal that belongs here.
        expected: Ordinal,
        /// The ordinal in the frame.
        found: Ordinal,
    },
    /// A frame is intact, and its batch is not whole.
    #[error("a batch is not whole: record {expected} of it is missing")]
    BatchBroken {
        /// The position in the batch of the first record that is missing.
        expected: u32,
    },
    /// So many places looked like frames without being any that the search for the next frame was
    /// given up: nothing but bytes made for it does that.
    #[error("the search for an intact frame was given up: too many false ones")]
    SearchGivenUp,
    /// A frame's envelope can't be decoded.
    #[error("a frame's envelope can't be decoded: {why}")]
    Envelope {
        /// What the decoder says.
        why: String,
    },
    /// Compressed bytes are damaged.
    #[error("the compressed bytes are damaged: {why}")]
    Compressed {
        /// What the decompressor says.
        why: String,
    },
    /// Decompression would exceed its bound.
    #[error("the log decompresses to more than {limit} bytes")]
    DecompressedTooLarge {
        /// The bound.
        limit: ByteLength,
    },
    /// A segment that the log inherits from another thread is not as it was inherited. The offset
    /// beside this is one of that segment.
    #[error("in inherited segment {segment}: {why}")]
    Inherited {
        /// Which one.
        segment: SegmentNumber,
        /// What is wrong with it.
        why: Box<CodecError>,
    },
    /// A segment is not there.
    #[error("the segment is missing")]
    SegmentMissing,
    /// A segment ends before its last record.
    #[error("the segment ends early")]
    SegmentCutShort,
    /// A segment is intact as far as it tells, and is not the one that was inherited.
    #[error("the segment is another one than was inherited")]
    SegmentReplaced,
}
