//! What an operator does to a home besides reading it: check it, bring logs in, take them out.

mod export;
mod import;
mod verify;

pub use export::export_lines;
pub use import::{ImportOutcome, ImportSource, find_sources, import_log, import_names};
pub use verify::{Finding, FindingKind, IndexContents, VerifyReport, verify_home};
