//! Selvedge's live threads, on tokio and kameo; no type of either is in what this crate gives.
//!
//! [`Selvedge`] is the handle on an open home. Below it run three kinds of actors: the registry
//! (the manager of live threads), one actor a live thread (the owner of its log), and the indexer
//! (the one writer of the index in this process). Whatever can wait for the medium runs on a
//! bounded pool of I/O threads, never on a runtime worker.

mod changes;
mod feed;
mod handles;
mod import;
mod indexer;
mod init_guard;
mod io_pool;
mod live_thread;
mod local_store;
mod manager;
mod options;
mod reads;
mod registry;
mod selvedge;
mod spawn;
mod thread_actor;
mod within;

pub use init_guard::InitGuard;
pub use live_thread::{LiveThread, ThreadSnapshot, ThreadState};
pub use local_store::LocalThreadStore;
pub use manager::{ThreadHandle, ThreadManager};
pub use options::{IndexMode, OpenOptions};
pub use selvedge::Selvedge;
pub use selvedge_store::{Ack, AppendOptions, Durability, Flushed, StartThread};
