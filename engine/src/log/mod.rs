//! Logs: the truth. Readers never change a file.

mod effective;
mod history;
mod position;
mod reader;
mod reverse;
mod turns;

pub use effective::effective;
pub use history::{History, load_history};
pub use position::{Damage, LogEvent, LogPosition};
pub(crate) use reader::OpenLog;
pub use reader::{LogScan, read_log};
pub use reverse::{ReverseReader, read_log_backwards};
pub(crate) use turns::{InTurn, TurnSign, sign_of_view, turn_step};
