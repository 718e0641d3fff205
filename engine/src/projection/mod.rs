//! The projection: the pure fold from a log's records to what the index keeps of them.
//!
//! Projecting what a log has grown by gives what projecting it from its start gives: the index
//! relies on it, and a property test holds it.

mod checkpoint;
mod fold;
mod meta;
mod project;
mod turns;
mod words;

pub use checkpoint::{Checkpoint, ProjectedThread};
pub use fold::{FoldState, Folded, LogIdentity, OwnMeta, Projector};
pub(crate) use meta::is_kept_usage;
pub(crate) use project::owner_of_records;
pub use project::{Projection, log_owner, project};
pub use turns::{PlacedTurn, TurnChange, apply_turn_changes, turns_of};
pub(crate) use words::cut;

#[cfg(test)]
mod tests;
