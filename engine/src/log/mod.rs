//! Logs: the truth. Readers never change a file; a [`ThreadLog`] is the only writer of its own.
//!
//! A fork's log begins with segments that it inherits (`inherited/` in its home, see the codec's
//! FORMAT.md): every reader here goes through them, whatever it is asked for.

mod context;
mod cutting;
mod draft;
mod effective;
mod failing;
mod forward;
mod handle;
mod head;
mod history;
mod inherited;
mod inheriting;
mod jsonl_writer;
mod making;
mod native_writer;
mod numbering;
mod open_elsewhere;
mod opening;
mod pieces;
mod position;
mod reader;
pub mod recovery;
mod replacing;
mod reverse;
mod rewrite;
mod scan;
mod sync;
mod tail;
mod thread_log;
mod token_usage;
mod torn;
mod turns;
mod unpack;
mod writer;

#[cfg(test)]
mod tests;

pub use context::{DurableDirs, LogContext};
pub(crate) use cutting::CutLog;
pub use effective::effective;
pub(crate) use effective::still_counts;
pub(crate) use forward::ForwardReader;
pub use history::{History, load_history};
pub(crate) use inherited::header_of;
pub(crate) use inheriting::Sharing;
#[cfg(test)]
pub(crate) use inheriting::name_in;
pub use inheriting::remove_inherited;
pub use numbering::Numbering;
pub(crate) use open_elsewhere::writers_of;
pub use position::{Damage, LogEvent, LogPosition, RecordPlace};
pub(crate) use reader::OpenLog;
pub use reader::read_log;
pub use recovery::RecoveryReport;
pub(crate) use replacing::{DamagedLog, Replaced, UNFINISHED, repairs, replace};
pub use reverse::{ReverseReader, read_log_backwards};
pub(crate) use rewrite::{Layout, MAX_LOST_RECORDS, Rewrite, has_frames};
pub use scan::LogScan;
pub(crate) use sync::sync_found;
pub use sync::{SyncDone, SyncJob};
pub use thread_log::{Appended, LogState, MAX_UNSYNCED_BYTES, NewThread, ThreadLog};
pub use token_usage::{TokenUsageReport, token_usage};
pub(crate) use turns::{InTurn, TurnSign, sign_of_view, turn_step};
