//! Bytes and records of Selvedge's logs.
//!
//! Two formats, one [`Record`]: the native segment ([`segment`], specified below) and JSON lines
//! ([`jsonl`], as other agent tools write them). Nothing here opens a file, reads a clock or
//! waits: bytes go in, records and reports of damage come out.
#![doc = include_str!("../FORMAT.md")]

pub mod error;
pub mod ids;
pub mod jsonl;
pub mod record;
pub mod segment;
pub mod time;
pub mod view;

mod envelope;
mod json;

pub use error::CodecError;
pub use ids::{ByteLength, ByteOffset, Ordinal, ThreadId, TurnId};
pub use record::{BatchPosition, EventClass, Item, LOST_TYPE, PayloadEncoding, Record, RecordType};
pub use time::UtcMicros;
