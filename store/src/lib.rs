//! Selvedge's storage boundary: one trait for whatever keeps an agent runtime's threads, and the
//! store that keeps them in memory.

mod append;
mod memory;
mod params;
mod start_thread;
mod subscription;
mod thread_records;
mod thread_store;

pub use append::{Ack, AppendOptions, Durability, Flushed, check_batch};
pub use memory::{Call, InMemoryThreadStore, Operation};
pub use params::{ForkThread, ResumeThread, RolledBackThread};
pub use start_thread::StartThread;
pub use subscription::{EventSource, Subscription, ThreadEvent};
pub use thread_records::{ThreadRecords, rollback_item};
pub use thread_store::ThreadStore;
