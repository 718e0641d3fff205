//! The index: what the logs say, kept in redb so that it need not be read again. Always
//! rebuildable, and never ahead of the logs.
//!
//! [`database`] is all that speaks to redb, over the storage in `backend` and `blocks`; [`tables`]
//! gives its bytes a meaning, [`apply`] takes findings in, and [`pages`] reads a page. Nothing here
//! looks at a log: the [`crate::store`] does, and brings what it found.

mod apply;
mod backend;
mod blocks;
mod check;
mod database;
mod fault;
mod keys;
mod lease;
mod pages;
mod rows;
mod tables;

pub(crate) use apply::{
    Applied, Batch, Moved, Projected, apply, apply_names, forget_thread, is_foreign,
};
pub(crate) use check::check_keys;
pub(crate) use database::{Database, Outcome, ReadTransaction, Table, View, WriteTransaction};
pub(crate) use fault::Fault;
pub(crate) use keys::TurnRun;
pub(crate) use lease::{Claim, claim, extended, new_owner, released};
pub(crate) use pages::{read_page, recent_empty_logs};
pub use rows::LastBackfill;
pub(crate) use rows::{
    DirRow, Epoch, FailureRow, LeaseOwner, LeaseRow, Look, PathRow, StateRow, ThreadRow,
};
#[cfg(feature = "fuzzing")]
pub(crate) use rows::{decode as decode_row, encode as encode_row, sealed};
pub(crate) use tables::Tables;
#[cfg(test)]
pub(crate) use {rows::HeldLease, tables::OrderChanges};
