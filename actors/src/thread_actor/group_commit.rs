//! Group commit: one write for all batches that the mailbox held, and one sync for those of them
//! that want one. No timer: a batch waits for nothing but the batches before it.

use selvedge_codec::{Item, Ordinal, ThreadId};
use selvedge_engine::home::LogFormat;
use selvedge_engine::log::{Appended, LogState, MAX_UNSYNCED_BYTES, ThreadLog};
use selvedge_engine::{ConflictReason, Error, Result};

use super::append::Append;
use super::decide::DecidedReply;
use super::log_slot::LogSlot;
use super::{Reply, ThreadActor, send};
use crate::live_thread::CLOSED_THREAD;
use selvedge_store::{Ack, Durability};

/// The most batches of a group.
const MAX_GROUP_BATCHES: usize = 512;
/// A group is full when its payloads reach this many bytes.
const MAX_GROUP_BYTES: usize = 1 << 20;
/// A larger write leaves the runtime: it would hold a worker for some 100 us.
const MAX_BYTES_HERE: usize = 128 << 10;
/// What a record's envelope adds to its payload, at most, as far as these bounds care.
const ENVELOPE_BYTES: usize = 128;
/// The most batches that are written and not answered yet. What they hold is bounded by
/// [`MAX_UNSYNCED_BYTES`]; this bounds what is kept of each.
const MAX_UNANSWERED: usize = 8 * MAX_GROUP_BATCHES;

/// A batch that was taken from the mailbox.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) append: Append,
    pub(super) reply: AckReply,
}

/// Who is told what became of a batch.
#[derive(Debug)]
pub(super) enum AckReply {
    /// Who appended it.
    Append(Reply<Ack>),
    /// Who had it decided. Boxed: appends are what there are many of.
    Decided(Box<DecidedReply>),
}

impl AckReply {
    pub(super) fn answer(self, outcome: Result<Ack>) {
        match self {
            Self::Append(reply) => send(reply, outcome),
            Self::Decided(reply) => reply.answer(outcome),
        }
    }
}

/// The batches that the next write will hold.
#[derive(Debug, Default)]
pub(super) struct Group {
    queued: Vec<Queued>,
    bytes: usize,
    /// Whether one of the batches is acknowledged once it is written.
    is_urgent: bool,
}

impl Group {
    pub(super) fn push(&mut self, queued: Queued) {
        let bytes: usize = queued
            .append
            .items
            .iter()
            .map(|item| item.body.len().saturating_add(ENVELOPE_BYTES))
            .sum();
        self.bytes = self.bytes.saturating_add(bytes);
        self.is_urgent |= !queued.append.waits_for_sync();
        self.queued.push(queued);
    }

    /// Whether nothing is gained by writing the group before the sync that is in flight has ended:
    /// all of it waits for the next one, and more may join it until then.
    pub(super) fn can_wait(&self) -> bool {
        !self.is_urgent && !self.is_full()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.queued.len() >= MAX_GROUP_BATCHES || self.bytes >= MAX_GROUP_BYTES
    }

    pub(super) fn fail(&mut self, error: &Error) {
        for queued in std::mem::take(self).queued {
            queued.reply.answer(Err(error.clone()));
        }
    }
}

/// A batch on its way to the log.
#[derive(Clone)]
struct Batch {
    items: Vec<Item>,
    expected_next: Option<Ordinal>,
}

/// What became of each batch of a group, in its order.
type Outcomes = Vec<Result<Appended>>;

impl ThreadActor {
    /// Writes all queued batches and answers those that need no sync, and are behind none that does.
    pub(super) async fn commit(&mut self) {
        if self.group.is_empty() {
            return;
        }
        let group = std::mem::take(&mut self.group);
        let mut asked = Vec::with_capacity(group.queued.len());
        let mut batches = Vec::with_capacity(group.queued.len());
        for Queued { append, reply } in group.queued {
            batches.push(Batch {
                items: append.items,
                expected_next: append.options.expected_next,
            });
            asked.push((append.options.durability, reply));
        }
        let outcomes = self.write(batches, group.bytes).await;
        match outcomes {
            Ok(outcomes) => {
                if let Some(Err(error)) = outcomes.iter().find(|outcome| outcome.is_err()) {
                    self.told_if_failed(error);
                }
                for ((durability, reply), outcome) in asked.into_iter().zip(outcomes) {
                    self.answer(durability, reply, outcome);
                }
            }
            Err(error) => {
                self.told_if_failed(&error);
                for (_, reply) in asked {
                    reply.answer(Err(error.clone()));
                }
            }
        }
    }

    fn answer(&mut self, wanted: Durability, reply: AckReply, outcome: Result<Appended>) {
        let appended = match outcome {
            Ok(appended) => appended,
            Err(error) => return reply.answer(Err(error)),
        };
        let has_log = !self.shared.ephemeral;
        let ack = Ack {
            thread_id: self.shared.thread_id,
            first_ordinal: appended.first_ordinal,
            last_ordinal: appended.last_ordinal,
            durability: if has_log {
                Durability::Written
            } else {
                Durability::Buffered
            },
        };
        // A turn that was told to have ended stays ended, whatever happens to the machine.
        let waits_for_sync = has_log && (wanted == Durability::Synced || appended.ends_turn);
        self.waiters.written(reply, ack, waits_for_sync);
    }

    async fn write(&mut self, batches: Vec<Batch>, bytes: usize) -> Result<Outcomes> {
        if let LogSlot::Ephemeral(thread) = &mut self.log {
            let mut next = thread.next_ordinal();
            let (outcomes, accepted) = number(self.shared.thread_id, &mut next, batches);
            thread.take(accepted, self.env.store.log_context().clock.now());
            return Ok(outcomes);
        }
        self.hold();
        self.make_room(bytes).await?;
        let outcomes = if self.may_write_here(bytes) {
            self.here(|log| Ok(write_group(log, batches)))
        } else {
            self.ready_to_write().await?;
            self.off_runtime(move |log| {
                // A new thread comes to the disk with a batch that can be written, or not at all.
                if log.state() != LogState::Deferred {
                    log.make_ready()?;
                }
                Ok(write_group(log, batches))
            })
            .await
        }?;
        if outcomes.iter().any(Result::is_ok) {
            self.note_growth();
        }
        Ok(outcomes)
    }

    /// A failed write is told to everybody who waits for a sync, too: there will be none until
    /// the log is mended.
    fn told_if_failed(&mut self, error: &Error) {
        if self
            .log
            .here()
            .is_none_or(|log| log.state() != LogState::Live)
        {
            self.waiters.fail(error);
        }
    }

    /// Whether a write of this size waits for nothing but the page cache.
    fn may_write_here(&self, bytes: usize) -> bool {
        bytes <= MAX_BYTES_HERE
            && self.permit.is_some()
            && self.log.here().is_some_and(|log| {
                log.state() == LogState::Live
                    && log.format() == LogFormat::Native
                    && log.has_handle()
            })
    }

    /// Sees to it that the log need not sync inside of its append, to keep what is unsynced in
    /// bounds, and that those are in bounds who wait for their answers.
    async fn make_room(&mut self, bytes: usize) -> Result<()> {
        let fits = self.log.here().is_none_or(|log| {
            let unsynced = usize::try_from(log.unsynced_bytes().get()).unwrap_or(usize::MAX);
            unsynced == 0 || unsynced.saturating_add(bytes) <= MAX_UNSYNCED_BYTES
        });
        if fits && self.waiters.unanswered() < MAX_UNANSWERED {
            return Ok(());
        }
        self.sync_all().await
    }

    /// Takes what a write needs that leaves the runtime: a permit for the file, and no sync in
    /// flight when the log is to be mended.
    pub(super) async fn ready_to_write(&mut self) -> Result<()> {
        let state = self.log.here().map(ThreadLog::state);
        match state {
            None | Some(LogState::Closed) => return Err(CLOSED_THREAD),
            Some(LogState::Failed) => self.await_sync().await,
            Some(LogState::Deferred | LogState::Live) => {}
        }
        if self.permit.is_none() {
            self.permit = Some(self.env.permits.acquire().await?);
        }
        self.arm_tick();
        Ok(())
    }

    /// Tells the indexer that the log has grown, and sees to its sync.
    pub(super) fn note_growth(&mut self) {
        self.wrote_since_tick = true;
        self.failed_mends = 0;
        self.arm_tick();
        if let (Some(log), Some(_)) = (self.log.here(), &self.env.indexer) {
            self.env.grown.note(&self.shared, log.path());
        }
    }
}

/// Writes the batches that expect no other ordinal than they get, in one write.
fn write_group(log: &mut ThreadLog, batches: Vec<Batch>) -> Outcomes {
    // A clone shares the payloads.
    let spare = (batches.len() > 1).then(|| batches.clone());
    let expected: Vec<_> = batches.iter().map(|batch| batch.expected_next).collect();
    let mut next = log.next_ordinal();
    let (mut outcomes, accepted) = number(log.thread_id(), &mut next, batches);
    if accepted.is_empty() {
        return outcomes;
    }
    let result = log.append(accepted);
    let written = outcomes
        .iter_mut()
        .zip(expected)
        .filter(|(outcome, _)| outcome.is_ok());
    match (result, spare) {
        // What the log says is what holds: a log that other tools write to may have moved on.
        (Ok(appended), _) => written
            .zip(appended)
            .for_each(|((outcome, expected), appended)| {
                *outcome = as_expected(log.thread_id(), expected, appended);
            }),
        // A batch that can't be encoded fails the whole write, and is no fault of its neighbours.
        (Err(Error::InvalidRequest(_)), Some(batches)) => {
            return batches
                .into_iter()
                .flat_map(|batch| write_group(log, vec![batch]))
                .collect();
        }
        (Err(error), _) => written.for_each(|(outcome, _)| *outcome = Err(error.clone())),
    }
    outcomes
}

/// Tells a batch that another tool has got in before where it expected to be. It can't be taken
/// back: others may have read it by now.
fn as_expected(
    thread_id: ThreadId,
    expected: Option<Ordinal>,
    appended: Appended,
) -> Result<Appended> {
    match expected.filter(|expected| *expected != appended.first_ordinal) {
        None => Ok(appended),
        Some(expected) => Err(conflict(thread_id, expected, appended.first_ordinal)),
    }
}

fn conflict(thread_id: ThreadId, expected: Ordinal, actual: Ordinal) -> Error {
    let reason = ConflictReason::NextOrdinal { expected, actual };
    Error::Conflict { thread_id, reason }
}

/// Numbers the batches from `next` on, and refuses those that expect another ordinal. Gives the
/// items of the others.
fn number(
    thread_id: ThreadId,
    next: &mut Ordinal,
    batches: Vec<Batch>,
) -> (Outcomes, Vec<Vec<Item>>) {
    let mut accepted = Vec::with_capacity(batches.len());
    let outcomes = batches
        .into_iter()
        .map(|batch| {
            if let Some(expected) = batch.expected_next.filter(|expected| expected != next) {
                return Err(conflict(thread_id, expected, *next));
            }
            let first_ordinal = *next;
            *next = next.plus(batch.items.len() as u64);
            let ends_turn = batch
                .items
                .iter()
                .any(|item| item.event.is_some_and(|event| event.ends_turn()));
            accepted.push(batch.items);
            Ok(Appended {
                first_ordinal,
                last_ordinal: Ordinal::new(next.get().saturating_sub(1)),
                ends_turn,
            })
        })
        .collect();
    (outcomes, accepted)
}
