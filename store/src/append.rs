//! Appends: what is asked of them, and what they reached.

use selvedge_codec::{Ordinal, ThreadId};

/// What a record survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing: it is in memory only. Ephemeral threads never reach more.
    Buffered,
    /// The process's death.
    Written,
    /// The loss of power.
    Synced,
}

/// How a batch is appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendOptions {
    /// What must be reached before the append is acknowledged: `Written` unless said otherwise.
    /// A batch that ends a turn is always synced first.
    pub durability: Durability,
    /// The ordinal that the batch's first record must get. When it would be another one, the
    /// append is refused with [`selvedge_engine::Error::Conflict`] and nothing is written.
    pub expected_next: Option<Ordinal>,
}

impl Default for AppendOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Written,
            expected_next: None,
        }
    }
}

/// The acknowledgement of a batch: where it lies, and what it survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The thread.
    pub thread_id: ThreadId,
    /// The ordinal of the batch's first record.
    pub first_ordinal: Ordinal,
    /// The ordinal of its last one.
    pub last_ordinal: Ordinal,
    /// What was reached.
    pub durability: Durability,
}

/// What a flush reached: every record below `next_ordinal` has this durability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flushed {
    /// The thread.
    pub thread_id: ThreadId,
    /// The ordinal after the last record.
    pub next_ordinal: Ordinal,
    /// What was reached: `Synced`, or `Buffered` where nothing is on disk.
    pub durability: Durability,
}
