//! The index: what the logs say, kept in redb so that it need not be read again. Always
//! rebuildable, and never ahead of the logs.

mod backend;
mod blocks;
mod database;
mod fault;
mod keys;
mod lease;
mod rows;
