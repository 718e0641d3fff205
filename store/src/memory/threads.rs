//! The threads that a store in memory holds.
//!
//! What must hold: a thread of which nothing was kept yet is seen by nobody but its writer; and
//! whoever follows a thread is woken after the records are there.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, Weak};

use selvedge_codec::{Item, Ordinal, ThreadId, UtcMicros};
use selvedge_engine::{Error, InvalidRequest, Result};

use super::Call;
use crate::{Ack, AppendOptions, EphemeralThread, Growth, Subscription, ThreadRecords};

/// How many records are read at once for a subscriber, so that it does not hold writers up.
const MAX_READ: usize = 256;

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
    Ephemeral(EphemeralThread),
}

/// A thread that is kept, or will be.
#[derive(Debug)]
pub(super) struct Lasting {
    pub(super) records: ThreadRecords,
    /// Whether anything was kept yet; until then there is its meta alone.
    pub(super) is_kept: bool,
    pub(super) is_live: bool,
    growth: Growth,
}

impl Held {
    pub(super) const fn is_live(&self) -> bool {
        match self {
            Self::Lasting(thread) => thread.is_live,
            Self::Ephemeral(_) => true,
        }
    }

    pub(super) const fn next_ordinal(&self) -> Ordinal {
        match self {
            Self::Lasting(thread) => thread.records.next_ordinal(),
            Self::Ephemeral(thread) => thread.next_ordinal(),
        }
    }

    /// Appends a batch, and acknowledges it.
    pub(super) fn append(
        &mut self,
        items: Vec<Item>,
        options: AppendOptions,
        now: UtcMicros,
    ) -> Result<Ack> {
        match self {
            Self::Lasting(thread) => thread.append(items, options, now),
            Self::Ephemeral(thread) => thread.append(items, options, now),
        }
    }

    pub(super) fn follow(
        &mut self,
        threads: Weak<Mutex<Threads>>,
        from: Ordinal,
    ) -> Result<Subscription> {
        match self {
            Self::Lasting(thread) => thread.follow(threads, from),
            Self::Ephemeral(thread) => thread.follow(from),
        }
    }
}

impl Lasting {
    pub(super) fn new(records: ThreadRecords) -> Box<Self> {
        Box::new(Self {
            records,
            is_kept: false,
            is_live: true,
            growth: Growth::upto(Ordinal::ZERO),
        })
    }

    /// Everything so far is kept, and those who follow the thread may see it.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
        self.growth.reached(self.records.next_ordinal());
    }

    pub(super) fn append(
        &mut self,
        items: Vec<Item>,
        options: AppendOptions,
        now: UtcMicros,
    ) -> Result<Ack> {
        let ack = self.records.append(items, options, now)?;
        self.keep();
        Ok(ack)
    }

    fn follow(&self, threads: Weak<Mutex<Threads>>, from: Ordinal) -> Result<Subscription> {
        let thread_id = self.records.thread_id();
        let read = move |from| {
            let Some(threads) = threads.upgrade() else {
                return Ok(None);
            };
            let threads = threads.lock().unwrap_or_else(PoisonError::into_inner);
            let thread = threads.kept(thread_id).ok();
            Ok(thread.map(|thread| {
                let records = thread.records_from(from).iter();
                records.take(MAX_READ).cloned().collect()
            }))
        };
        self.growth
            .follow((from, self.records.next_ordinal()), read)
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
    pub(super) fn all_kept(&self) -> Vec<&ThreadRecords> {
        let held = self.by_id.values();
        let kept = held.filter_map(|held| match held {
            Held::Lasting(thread) if thread.is_kept => Some(&thread.records),
            _ => None,
        });
        kept.collect()
    }

    /// A thread that others than its writer can add records to.
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
