//! Selvedge's storage boundary: one trait for whatever keeps an agent runtime's threads.

mod append;
mod params;
mod start_thread;
mod subscription;
mod thread_store;

pub use append::{Ack, AppendOptions, Durability, Flushed};
pub use params::{ForkThread, ResumeThread, RolledBackThread};
pub use start_thread::StartThread;
pub use subscription::{EventSource, Subscription, ThreadEvent};
pub use thread_store::ThreadStore;
