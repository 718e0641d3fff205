//! The threads that a store in memory holds.
//!
//! What must hold: a thread of which nothing was kept yet is seen by nobody but its writer; an
//! ephemeral one has no records at all, only their number; and whoever follows a thread is woken
//! after the records are there.

use std::collections::BTreeMap;

use selvedge_codec::{Item, Ordinal, Record, ThreadId, UtcMicros};
use selvedge_engine::log::Numbering;
use selvedge_engine::{Error, InvalidRequest, Result};
use tokio::sync::{broadcast, watch};

use super::Call;
use crate::thread_records::check_expected;
use crate::{Ack, AppendOptions, Durability, ThreadRecords, check_batch};

/// How many records of an ephemeral thread wait for a subscriber: it is cut off beyond.
const MAX_WAITING: usize = 1024;

/// What a store in memory holds.
#[derive(Debug, Default)]
pub(super) struct Threads {
    pub(super) by_id: BTreeMap<ThreadId, Held>,
    pub(super) calls: Vec<Call>,
}

/// A thread.
#[derive(Debug)]
pub(super) enum Held {
    /// One that is kept, or will be.
    Lasting(Box<Lasting>),
    /// One without records; it is live.
    Ephemeral(Ephemeral),
}

/// A thread that is kept, or will be.
#[derive(Debug)]
pub(super) struct Lasting {
    pub(super) records: ThreadRecords,
    /// Whether anything was kept yet; until then there is its meta alone.
    pub(super) is_kept: bool,
    pub(super) is_live: bool,
    /// The ordinal below which all is acknowledged. Gone with the thread.
    pub(super) grown: watch::Sender<Ordinal>,
}

/// A thread without records.
#[derive(Debug)]
pub(super) struct Ephemeral {
    numbering: Numbering,
    /// Made for the first subscriber.
    feed: Option<broadcast::Sender<Record>>,
}

impl Held {
    pub(super) fn ephemeral() -> Self {
        Self::Ephemeral(Ephemeral {
            // As in a log, the thread's meta has ordinal 0.
            numbering: Numbering::starting_at(Ordinal::new(1)),
            feed: None,
        })
    }

    pub(super) const fn is_live(&self) -> bool {
        match self {
            Self::Lasting(thread) => thread.is_live,
            Self::Ephemeral(_) => true,
        }
    }

    pub(super) fn next_ordinal(&self) -> Ordinal {
        match self {
            Self::Lasting(thread) => thread.records.next_ordinal(),
            Self::Ephemeral(thread) => thread.numbering.next_ordinal(),
        }
    }

    /// Appends a batch, and acknowledges it.
    pub(super) fn append(
        &mut self,
        thread_id: ThreadId,
        (items, options): (Vec<Item>, AppendOptions),
        now: UtcMicros,
    ) -> Result<Ack> {
        let first_ordinal = self.next_ordinal();
        match self {
            Self::Lasting(thread) => {
                thread.records.append(items, options, now)?;
                thread.keep();
            }
            Self::Ephemeral(thread) => {
                check_batch(&items)?;
                check_expected(thread_id, options, first_ordinal)?;
                thread.pass_on(items, now);
            }
        }
        Ok(Ack {
            thread_id,
            first_ordinal,
            last_ordinal: Ordinal::new(self.next_ordinal().get().saturating_sub(1)),
            durability: Durability::Buffered,
        })
    }
}

impl Lasting {
    pub(super) fn new(records: ThreadRecords) -> Box<Self> {
        Box::new(Self {
            records,
            is_kept: false,
            is_live: true,
            grown: watch::Sender::new(Ordinal::ZERO),
        })
    }

    /// Everything so far is kept, and those who follow the thread may see it.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
        self.grown.send_replace(self.records.next_ordinal());
    }
}

impl Ephemeral {
    fn pass_on(&mut self, items: Vec<Item>, now: UtcMicros) {
        let batch = self.numbering.batch(items, now);
        if let Some(feed) = &self.feed {
            for record in batch {
                // Nobody listens any more: nothing is lost that anybody wants.
                let _heard_by = feed.send(record);
            }
        }
    }

    pub(super) fn feed(&mut self) -> broadcast::Receiver<Record> {
        let feed = self
            .feed
            .get_or_insert_with(|| broadcast::Sender::new(MAX_WAITING));
        feed.subscribe()
    }
}

impl Threads {
    /// A thread of which something is kept.
    pub(super) fn kept(&self, thread_id: ThreadId) -> Result<&ThreadRecords> {
        match self.by_id.get(&thread_id) {
            Some(Held::Lasting(thread)) if thread.is_kept => Ok(&thread.records),
            _ => Err(Error::ThreadNotFound { thread_id }),
        }
    }

    /// All threads of which something is kept.
    pub(super) fn all_kept(&self) -> impl Iterator<Item = &ThreadRecords> {
        self.by_id.values().filter_map(|held| match held {
            Held::Lasting(thread) if thread.is_kept => Some(&thread.records),
            _ => None,
        })
    }

    /// A thread that records can be added to by others than its writer.
    pub(super) fn lasting(&mut self, thread_id: ThreadId) -> Result<&mut Lasting> {
        match self.by_id.get_mut(&thread_id) {
            Some(Held::Lasting(thread)) => Ok(thread),
            Some(Held::Ephemeral(_)) => Err(InvalidRequest::Ephemeral(thread_id).into()),
            None => Err(Error::ThreadNotFound { thread_id }),
        }
    }

    pub(super) fn live(&mut self, thread_id: ThreadId) -> Result<&mut Held> {
        let held = self.by_id.get_mut(&thread_id);
        held.filter(|held| held.is_live())
            .ok_or(Error::ThreadNotFound { thread_id })
    }

    /// Ends a live thread: one of which nothing is kept is gone.
    pub(super) fn end(&mut self, thread_id: ThreadId) {
        if let Some(Held::Lasting(thread)) = self.by_id.get_mut(&thread_id)
            && thread.is_kept
        {
            thread.is_live = false;
        } else {
            self.by_id.remove(&thread_id);
        }
    }

    /// Refuses an id that is taken.
    pub(super) fn check_free(&self, thread_id: ThreadId) -> Result<()> {
        if self.by_id.contains_key(&thread_id) {
            return Err(InvalidRequest::ThreadExists(thread_id).into());
        }
        Ok(())
    }
}
