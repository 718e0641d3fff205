//! Selvedge's logs, index and store, on blocking I/O.
//!
//! The layers, each knowing only those above it in this list: [`error`], [`clock`] and [`disk`]
//! (the two seams), [`home`] (where things lie), [`thread`] (what is known of a thread), [`log`]
//! (the truth), [`projection`] (the fold from records to rows), `needle` (what a search compares),
//! [`listing`] (queries, and the plain scan that is the oracle), [`paging`] and [`search`] (within
//! threads), `index` (redb) and [`store`] (one home, opened).

pub mod clock;
pub mod disk;
pub mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod home;
mod index;
pub mod listing;
pub mod log;
mod needle;
pub mod paging;
pub mod process;
pub mod projection;
pub mod search;
pub mod store;
pub mod thread;

#[cfg(test)]
mod sample_home;

pub use error::{ConflictReason, CorruptReason, Error, InvalidRequest, MetadataReason, Result};
