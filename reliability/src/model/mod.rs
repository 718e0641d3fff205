//! Random programs of store operations on a simulated disk, against a plain model of what the
//! home must hold.
//!
//! What must hold after every reopening:
//! - Everything acknowledged is there at its level: `Written` after a process's death, `Synced`
//!   after the loss of power, and so are acknowledged deletions, moves, forks and changes of
//!   metadata.
//! - Nothing is there that was not written. Batches are whole, in their order, without gaps that
//!   nothing reports.
//! - The index has the answers of the scan, and both are what the model says.
//! - What coverage says is true.
//! - The same program does the same to the disk, access by access.
//!
//! A program is made from its seed alone, so that a failing one can be run again by it, and it is
//! made smaller before it is shown.

mod bytes;
mod check;
mod clock;
mod entry;
mod learn;
mod listing;
mod ops;
mod outcome;
mod process;
mod program;
mod runner;
pub mod seeds;
mod thread;
mod trouble;
mod verdict;

pub use outcome::{Figures, Trace, Violation};
pub use program::Program;
pub use runner::run;
pub use seeds::{Failure, replay, run_bytes, run_seed};
