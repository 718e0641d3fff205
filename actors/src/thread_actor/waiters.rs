//! Who waits for a sync, and who for them.
//!
//! What must hold:
//! - Acknowledgements go out in the order of the log: a batch that is written is answered once all
//!   batches before it are. The first of those that are not answered waits for a sync.
//! - Each is told what was reached, and no more: a batch that waited for others alone is written,
//!   whatever becomes of their sync.
//! - A flush has nothing in the log, and keeps no batch waiting.

use std::collections::VecDeque;

use selvedge_codec::Ordinal;
use selvedge_engine::{Error, Result};
use selvedge_store::{Ack, Durability, Flushed};

use super::group_commit::AckReply;
use super::{Reply, send};

/// The ordinal of a new thread's first record after its meta.
const FIRST_OF_NEW: Ordinal = Ordinal::new(1);

/// Those who are told something once a sync has ended.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    /// What is in the log and not answered yet, in the order of the log.
    unanswered: VecDeque<Unanswered>,
    /// In the order of the ordinals.
    flushes: VecDeque<Flushing>,
}

/// Something in the log whose answer was not sent yet.
#[derive(Debug)]
enum Unanswered {
    Batch {
        reply: AckReply,
        ack: Ack,
        /// Otherwise it waits for nothing but the answers before its own.
        waits_for_sync: bool,
    },
    /// The meta of a new thread that is brought to the disk without a batch.
    Meta { reply: Reply<()>, up_to: Ordinal },
}

/// Somebody who waits until everything below an ordinal is synced, of which nothing is his.
#[derive(Debug)]
enum Flushing {
    Flush(Reply<Flushed>, Flushed),
    Persist(Reply<()>, Ordinal),
}

impl Unanswered {
    /// From where on subscribers see nothing before this is answered.
    fn holds_from(&self) -> Ordinal {
        match self {
            // A new thread's meta is written with its first batch.
            Self::Batch { ack, .. } if ack.first_ordinal == FIRST_OF_NEW => Ordinal::ZERO,
            Self::Batch { ack, .. } => ack.first_ordinal,
            Self::Meta { .. } => Ordinal::ZERO,
        }
    }

    fn up_to(&self) -> Ordinal {
        match self {
            Self::Batch { ack, .. } => ack.last_ordinal.next(),
            Self::Meta { up_to, .. } => *up_to,
        }
    }

    fn waits_for_sync(&self) -> bool {
        match self {
            Self::Batch { waits_for_sync, .. } => *waits_for_sync,
            Self::Meta { .. } => true,
        }
    }

    /// Answers with what was reached.
    fn acknowledge(self, durability: Durability) {
        match self {
            Self::Batch { reply, ack, .. } => reply.answer(Ok(Ack { durability, ..ack })),
            Self::Meta { reply, .. } => send(reply, Ok(())),
        }
    }

    fn fail(self, error: &Error) {
        match self {
            Self::Batch { reply, .. } => reply.answer(Err(error.clone())),
            Self::Meta { reply, .. } => send(reply, Err(error.clone())),
        }
    }
}

impl Flushing {
    fn up_to(&self) -> Ordinal {
        match self {
            Self::Flush(_, flushed) => flushed.next_ordinal,
            Self::Persist(_, up_to) => *up_to,
        }
    }

    fn answer(self, outcome: Result<()>) {
        let durability = Durability::Synced;
        match self {
            Self::Flush(reply, flushed) => {
                let flushed = Flushed {
                    durability,
                    ..flushed
                };
                send(reply, outcome.map(|()| flushed));
            }
            Self::Persist(reply, _) => send(reply, outcome),
        }
    }
}

impl Waiters {
    /// A batch is written, and is answered in its turn.
    pub(super) fn written(&mut self, reply: AckReply, ack: Ack, waits_for_sync: bool) {
        if waits_for_sync || !self.unanswered.is_empty() {
            self.unanswered.push_back(Unanswered::Batch {
                reply,
                ack,
                waits_for_sync,
            });
        } else {
            reply.answer(Ok(ack));
        }
    }

    /// A new thread was brought to the disk by itself.
    pub(super) fn made(&mut self, reply: Reply<()>, up_to: Ordinal) {
        self.unanswered.push_back(Unanswered::Meta { reply, up_to });
    }

    /// A thread that was there is to be synced.
    pub(super) fn persisting(&mut self, reply: Reply<()>, up_to: Ordinal) {
        self.flushes.push_back(Flushing::Persist(reply, up_to));
    }

    pub(super) fn flushing(&mut self, reply: Reply<Flushed>, flushed: Flushed) {
        self.flushes.push_back(Flushing::Flush(reply, flushed));
    }

    /// Whether nobody waits. Otherwise somebody waits for a sync.
    pub(super) fn is_empty(&self) -> bool {
        self.unanswered.is_empty() && self.flushes.is_empty()
    }

    /// How many batches are not answered yet.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// From where on nothing was answered yet; `None` when everything was.
    pub(super) fn unanswered_from(&self) -> Option<Ordinal> {
        self.unanswered.front().map(Unanswered::holds_from)
    }

    /// Tells everybody whose turn it is, now that all below `durable` is synced.
    pub(super) fn synced(&mut self, durable: Ordinal) {
        let is_due = |it: &Unanswered| !it.waits_for_sync() || it.up_to() <= durable;
        while self.unanswered.front().is_some_and(is_due)
            && let Some(next) = self.unanswered.pop_front()
        {
            let is_synced = next.up_to() <= durable;
            next.acknowledge(if is_synced {
                Durability::Synced
            } else {
                Durability::Written
            });
        }
        let is_due = |it: &Flushing| it.up_to() <= durable;
        while self.flushes.front().is_some_and(is_due)
            && let Some(next) = self.flushes.pop_front()
        {
            next.answer(Ok(()));
        }
    }

    /// Tells everybody who waits for a sync that it failed, and the others that they are written.
    pub(super) fn fail(&mut self, error: &Error) {
        for next in std::mem::take(&mut self.unanswered) {
            if next.waits_for_sync() {
                next.fail(error);
            } else {
                next.acknowledge(Durability::Written);
            }
        }
        for next in std::mem::take(&mut self.flushes) {
            next.answer(Err(error.clone()));
        }
    }

    pub(super) fn shrink_to_fit(&mut self) {
        self.unanswered.shrink_to_fit();
        self.flushes.shrink_to_fit();
    }
}
