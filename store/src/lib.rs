//! Selvedge's storage boundary: one trait for whatever keeps an agent runtime's threads, and the
//! store that keeps them in memory. With the feature `conformance`, what every store must keep to,
//! as checks.

mod answers;
mod append;
#[cfg(feature = "conformance")]
#[expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a check that does not hold panics, as a test does"
)]
pub mod conformance;
mod ephemeral;
mod growth;
mod memory;
mod params;
mod start_thread;
mod subscription;
mod thread_records;
mod thread_store;

pub use answers::{list_of, search_of};
pub use append::{Ack, AppendOptions, Durability, Flushed, check_batch};
pub use ephemeral::EphemeralThread;
pub use growth::Growth;
pub use memory::{Call, InMemoryThreadStore, Operation};
pub use params::{ForkThread, ResumeThread, RolledBackThread};
pub use start_thread::StartThread;
pub use subscription::{EventSource, Subscription, ThreadEvent};
pub use thread_records::{ThreadRecords, rollback_item};
pub use thread_store::ThreadStore;
