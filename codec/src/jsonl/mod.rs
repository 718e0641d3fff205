//! JSON lines: one `{"timestamp","type","payload"[,"ordinal"]}` a line, as other agent tools
//! write them.
//!
//! What must hold: a line that is a record is kept byte for byte, and comes out again so; a line
//! that is none costs itself alone.

mod compressed;
mod line;
mod payload;
mod scan;

pub use compressed::{MAX_DECOMPRESSED_BYTES, compress, decompress, decompress_prefix};
pub use line::{item_from_line, render_line};
pub(crate) use line::{payload_of_line, usual_payload};
pub(crate) use payload::{base64_json, item_from_json};
pub use scan::{LineEvent, LineScan, LineScanStart, scan};
