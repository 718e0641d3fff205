//! Following a thread in memory.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError, Weak};

use async_trait::async_trait;
use selvedge_codec::{Ordinal, Record, ThreadId};
use selvedge_engine::{InvalidRequest, Result};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::threads::{Held, Threads};
use crate::{EventSource, Subscription, ThreadEvent};

/// How many records are taken at once, so that following a long thread does not hold it up.
const MAX_TAKEN: usize = 256;

/// Subscribes to a thread.
pub(super) fn follow(
    threads: &Weak<Mutex<Threads>>,
    held: &mut Held,
    (thread_id, from): (ThreadId, Ordinal),
) -> Result<Subscription> {
    let next = held.next_ordinal();
    if from > next {
        return Err(InvalidRequest::OrdinalPastEnd { asked: from, next }.into());
    }
    match held {
        Held::Lasting(thread) => Ok(Subscription::new(Following {
            threads: Weak::clone(threads),
            thread_id,
            next: from,
            taken: VecDeque::new(),
            grown: thread.grown.subscribe(),
        })),
        Held::Ephemeral(_) if from < next => Err(InvalidRequest::Ephemeral(thread_id).into()),
        Held::Ephemeral(thread) => Ok(Subscription::new(Listening {
            next,
            feed: Some(thread.feed()),
        })),
    }
}

/// A subscriber that reads what is kept, as slowly as it likes.
#[derive(Debug)]
struct Following {
    threads: Weak<Mutex<Threads>>,
    thread_id: ThreadId,
    next: Ordinal,
    taken: VecDeque<Record>,
    /// Closed with the thread, so that one which is made anew under its id is another one.
    grown: watch::Receiver<Ordinal>,
}

#[async_trait]
impl EventSource for Following {
    async fn next(&mut self) -> Result<Option<ThreadEvent>> {
        loop {
            if let Some(record) = self.taken.pop_front() {
                self.next = record.ordinal.next();
                return Ok(Some(ThreadEvent::Record(record)));
            }
            if !self.take() {
                return Ok(None);
            }
            if self.taken.is_empty() && self.grown.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}

impl Following {
    /// Takes what is acknowledged, and returns whether anything may follow.
    fn take(&mut self) -> bool {
        let Some(threads) = self.threads.upgrade() else {
            return false;
        };
        let threads = threads.lock().unwrap_or_else(PoisonError::into_inner);
        if self.grown.has_changed().is_err() {
            return false;
        }
        // What comes after this look wakes the wait that follows it.
        let acknowledged = *self.grown.borrow_and_update();
        if let Some(Held::Lasting(thread)) = threads.by_id.get(&self.thread_id) {
            let rest = thread.records.records_from(self.next).iter();
            let known = rest.take_while(|record| record.ordinal < acknowledged);
            self.taken.extend(known.take(MAX_TAKEN).cloned());
        }
        true
    }
}

/// A subscriber that hears what passes.
#[derive(Debug)]
struct Listening {
    next: Ordinal,
    /// `None` after the last event.
    feed: Option<broadcast::Receiver<Record>>,
}

#[async_trait]
impl EventSource for Listening {
    async fn next(&mut self) -> Result<Option<ThreadEvent>> {
        let Some(feed) = &mut self.feed else {
            return Ok(None);
        };
        match feed.recv().await {
            Ok(record) => {
                self.next = record.ordinal.next();
                return Ok(Some(ThreadEvent::Record(record)));
            }
            Err(RecvError::Closed) => {
                self.feed = None;
                Ok(None)
            }
            Err(RecvError::Lagged(_)) => {
                self.feed = None;
                Ok(Some(ThreadEvent::CutOff { next: self.next }))
            }
        }
    }
}
