//! Native segments: a header, then frames. The crate's documentation specifies every byte.
//!
//! What must hold: there is one decoder of a frame (`frame.rs`), which every reader here stands
//! on; lengths are bounded before they are used; and a batch is read whole or not at all.

mod backward;
mod frame;
mod header;
mod scan;

pub use backward::{WalkBack, WalkBackEvent, WalkBackStart, walk_back};
pub(crate) use frame::check_body_length;
pub use frame::{
    FrameSeed, MAX_BATCH_RECORDS, MAX_BODY_BYTES, MAX_FRAME_BODY_BYTES,
    checksum_of_frame_beginning, encode_batch, length_of_frame_ending,
};
pub use header::{FORMAT_VERSION, HEADER_BYTES, SegmentHeader, SegmentNumber};
pub use scan::{Gap, Scan, ScanEnd, ScanEvent, ScanStart, scan};

pub use crate::envelope::MAX_TURN_ID_BYTES;
