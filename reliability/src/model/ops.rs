//! What each operation asks of a store, what may be answered, and what is known of the threads
//! then.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use selvedge::view::{Change, MetadataPatch};
use selvedge::{
    Ack, AppendOptions, ConflictReason, Durability, Error, Flushed, ForkPoint, ForkThread,
    InvalidRequest, Item, LocalThreadStore, Ordinal, ResumeThread, StartThread, ThreadId,
    ThreadStore, ThreadSummary,
};

use super::entry::{Expected, Fact, Known};
use super::program::{Op, Point};
use super::runner::{Runner, id_of, told};
use super::thread::{Existence, Inherited, Kind, Thread};

/// What a store answered.
#[derive(Debug)]
pub enum Said {
    /// It did it.
    Done(Reply),
    /// It did not.
    Refused(Error),
    /// Nobody waited for it.
    Nothing,
}

/// What a store answers with.
#[derive(Debug)]
pub enum Reply {
    /// That it is done.
    Done,
    /// Where batches lie.
    Acks(Vec<Result<Ack, Error>>),
    /// How far a thread is synced.
    Flushed(Flushed),
    /// What is known of a thread.
    Thread(Box<ThreadSummary>),
}

impl Said {
    fn of<T>(result: Result<T, Error>, reply: impl FnOnce(T) -> Reply) -> Self {
        match result {
            Ok(done) => Self::Done(reply(done)),
            Err(why) => Self::Refused(why),
        }
    }
}

/// A line of another tool.
pub fn line(fact: &Fact) -> String {
    format!(
        "{{\"timestamp\":\"2026-11-19T10:00:01.000Z\",\"type\":\"{}\",\"payload\":{}}}\n",
        fact.record_type, fact.payload
    )
}

/// The first line of another tool's log.
pub fn meta_line(id: ThreadId) -> String {
    line(&Fact {
        record_type: "session_meta".to_owned(),
        payload: format!(
            r#"{{"id":"{id}","timestamp":"2026-11-19T10:00:00.000Z","cwd":"/w","originator":"codex","cli_version":"1.0","source":"cli"}}"#
        ),
    })
}

fn item(fact: &Fact) -> Item {
    Item::json(&fact.record_type, fact.payload.clone()).expect("the harness makes JSON")
}

fn fact(record_type: &str, payload: String) -> Fact {
    Fact {
        record_type: record_type.to_owned(),
        payload,
    }
}

fn message(serial: u64) -> Fact {
    let payload = format!(r#"{{"type":"user_message","message":"word{serial} of it"}}"#);
    fact("event_msg", payload)
}

fn answer(serial: u64) -> Fact {
    let payload = format!(r#"{{"type":"message","role":"assistant","serial":{serial}}}"#);
    fact("response_item", payload)
}

fn next(serial: &mut u64) -> u64 {
    *serial += 1;
    *serial
}

/// A new record.
pub fn plain(serial: &mut u64) -> Fact {
    match next(serial) {
        odd if odd % 2 == 1 => message(odd),
        even => answer(even),
    }
}

/// What an operation appends: batches of items.
pub fn items_of(op: &Op, serial: &mut u64) -> Vec<Vec<Item>> {
    let mut batch =
        |records: u8| -> Vec<Item> { (0..records.max(1)).map(|_| item(&plain(serial))).collect() };
    match op {
        Op::Append { records, .. } => vec![batch(*records)],
        Op::Burst { batches, .. } => (0..*batches).map(|at| batch(1 + at % 2)).collect(),
        Op::Turn { ends, .. } => {
            let number = next(serial);
            let mark = |kind: &str| {
                let payload = format!(r#"{{"type":"{kind}","turn_id":"turn-{number}"}}"#);
                item(&fact("event_msg", payload))
            };
            let mut items = vec![mark("task_started"), item(&message(number))];
            items.push(item(&answer(next(serial))));
            if *ends {
                items.push(mark("task_complete"));
            }
            vec![items]
        }
        Op::Large { kilobytes, .. } => {
            let number = next(serial);
            let text = "x".repeat(usize::from(*kilobytes) << 10);
            let payload = format!(r#"{{"type":"blob","serial":{number},"text":"{text}"}}"#);
            vec![vec![item(&fact("world_state", payload))]]
        }
        Op::Rename { .. } | Op::Branch { .. } => {
            next(serial);
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn patch_of(op: &Op, serial: u64) -> MetadataPatch {
    let mut patch = MetadataPatch::default();
    match op {
        Op::Rename { clear: true, .. } => patch.name = Change::Clear,
        Op::Rename { .. } => patch.name = Change::Set(format!("name {serial}")),
        _ => patch.git_branch = Change::Set(format!("branch-{serial}")),
    }
    patch
}

/// What else an operation is given.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// What it appends.
    pub batches: Vec<Vec<Item>>,
    /// Which ordinal it expects.
    pub expected_next: Option<Ordinal>,
    /// Its number.
    pub serial: u64,
    /// The turn that it names.
    pub turn: Option<String>,
}

/// Asks a store.
pub async fn carry_out(store: &LocalThreadStore, op: &Op, given: Given) -> Said {
    let Given {
        mut batches,
        expected_next,
        serial,
        turn,
    } = given;
    let done = |()| Reply::Done;
    let summary = |thread| Reply::Thread(Box::new(thread));
    let sync = match op {
        Op::Append { synced: true, .. } => Durability::Synced,
        _ => Durability::Written,
    };
    let options = AppendOptions {
        durability: sync,
        expected_next,
    };
    match op {
        Op::Start { thread } => {
            let start = StartThread {
                thread_id: Some(id_of(*thread)),
                cwd: format!("/w/{thread}"),
                source: Some("\"cli\"".into()),
                ..StartThread::default()
            };
            Said::of(store.create_thread(start).await, |_| Reply::Done)
        }
        Op::Append { thread, .. } | Op::Turn { thread, .. } | Op::Large { thread, .. } => {
            let items = batches.pop().unwrap_or_default();
            let ack = store.append_items(id_of(*thread), items, options).await;
            Said::of(ack, |ack| Reply::Acks(vec![Ok(ack)]))
        }
        Op::Burst { thread, .. } => {
            let appends = batches
                .into_iter()
                .map(|items| store.append_items(id_of(*thread), items, options));
            Said::Done(Reply::Acks(all(appends.collect()).await))
        }
        Op::Persist { thread } => Said::of(store.persist_thread(id_of(*thread)).await, done),
        Op::Flush { thread } => Said::of(store.flush_thread(id_of(*thread)).await, Reply::Flushed),
        Op::Resume { thread } => {
            let resume = ResumeThread::from(id_of(*thread));
            Said::of(store.resume_thread(resume).await, summary)
        }
        Op::Shutdown { thread } => Said::of(store.shutdown_thread(id_of(*thread)).await, done),
        Op::Discard { thread } => Said::of(store.discard_thread(id_of(*thread)).await, done),
        Op::Rename { thread, .. } | Op::Branch { thread } => {
            let patch = patch_of(op, serial);
            Said::of(store.update_metadata(id_of(*thread), patch).await, summary)
        }
        other => carry_out_whole(store, other, turn).await,
    }
}

/// An operation on a thread as a whole, or on the home.
async fn carry_out_whole(store: &LocalThreadStore, op: &Op, turn: Option<String>) -> Said {
    let done = |()| Reply::Done;
    let summary = |thread| Reply::Thread(Box::new(thread));
    match op {
        Op::Fork {
            thread,
            source,
            point,
        } => {
            let fork = ForkThread {
                point: match point {
                    Point::Whole => ForkPoint::Whole,
                    Point::Before(at) => ForkPoint::Before(Ordinal::new((*at).into())),
                    Point::AfterTurn(_) => ForkPoint::AfterTurn(turn.unwrap_or_default()),
                },
                start: StartThread {
                    thread_id: Some(id_of(*thread)),
                    ..StartThread::default()
                },
                ..ForkThread::of(id_of(*source))
            };
            Said::of(store.fork_thread(fork).await, summary)
        }
        Op::RollBack { thread, turns } => {
            let back = store.roll_back(id_of(*thread), (*turns).into()).await;
            Said::of(back, |back| Reply::Thread(Box::new(back.thread)))
        }
        Op::Archive { thread } => Said::of(store.archive_thread(id_of(*thread)).await, summary),
        Op::Unarchive { thread } => Said::of(store.unarchive_thread(id_of(*thread)).await, summary),
        Op::Delete { thread } => Said::of(store.delete_thread(id_of(*thread)).await, done),
        Op::Backfill => Said::of(store.selvedge().backfill(|_| {}).await, |_| Reply::Done),
        Op::Rebuild => Said::of(store.selvedge().rebuild(|_| {}).await, |_| Reply::Done),
        Op::List => {
            let query = selvedge::ListQuery::default();
            Said::of(store.list_threads(query).await, |_| Reply::Done)
        }
        Op::Read { thread } => {
            let read = store.read_thread(id_of(*thread)).await;
            Said::of(read, summary)
        }
        _ => Said::Nothing,
    }
}

/// Waits for all, which begin in their order.
async fn all<T, F: Future<Output = T> + ?Sized>(futures: Vec<Pin<Box<F>>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.into_iter().map(Some).collect();
    let mut done: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in waiting.iter_mut().zip(&mut done) {
            if let Some(running) = future
                && let Poll::Ready(answer) = running.as_mut().poll(cx)
            {
                *done = Some(answer);
                *future = None;
            }
        }
        match waiting.iter().all(Option::is_none) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// What must come of an operation, where nothing fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Done,
    NotFound,
    Exists,
    Conflict,
    /// Anything that is no failure of the disk.
    Sane,
}

impl Verdict {
    fn allows(self, said: &Said) -> bool {
        matches!(
            (self, said),
            (_, Said::Nothing)
                | (Self::Done | Self::Sane, Said::Done(_))
                | (Self::NotFound, Said::Refused(Error::ThreadNotFound { .. }))
                | (
                    Self::Exists,
                    Said::Refused(Error::InvalidRequest(InvalidRequest::ThreadExists(_))),
                )
                | (
                    Self::Conflict,
                    Said::Refused(Error::Conflict {
                        reason: ConflictReason::Writer { .. },
                        ..
                    }),
                )
                | (
                    Self::Sane,
                    Said::Refused(
                        Error::ThreadNotFound { .. }
                            | Error::InvalidRequest(_)
                            | Error::Conflict { .. },
                    ),
                )
        )
    }
}

impl Runner {
    /// Which verdict an operation gets where nothing fails.
    fn verdict(&self, by: usize, op: &Op) -> Verdict {
        let of = |number: u8| &self.threads[usize::from(number)];
        let live = |number: u8| match of(number).live {
            Some(live) if live == by => Verdict::Done,
            _ => Verdict::NotFound,
        };
        let change = |number: u8| match (of(number).existence, of(number).live) {
            (Existence::Kept, Some(live)) if live != by => Verdict::Conflict,
            (Existence::Kept, _) => Verdict::Done,
            _ => Verdict::NotFound,
        };
        let is_deferred = |number: u8| of(number).existence == Existence::Deferred(by);
        match op {
            Op::Start { thread } => match of(*thread).existence {
                Existence::Absent => Verdict::Done,
                _ => Verdict::Exists,
            },
            Op::Append { thread, .. }
            | Op::Turn { thread, .. }
            | Op::Large { thread, .. }
            | Op::Persist { thread }
            | Op::Flush { thread }
            | Op::Shutdown { thread } => live(*thread),
            // Each of its batches has an answer of its own.
            Op::Burst { .. } => Verdict::Done,
            Op::Discard { thread } => match live(*thread) {
                Verdict::Done if !is_deferred(*thread) => Verdict::Exists,
                verdict => verdict,
            },
            Op::Rename { thread, .. } | Op::Branch { thread } if is_deferred(*thread) => {
                Verdict::Done
            }
            Op::Resume { thread }
            | Op::Rename { thread, .. }
            | Op::Branch { thread }
            | Op::Archive { thread }
            | Op::Unarchive { thread } => change(*thread),
            Op::Delete { thread } => match change(*thread) {
                Verdict::Conflict => Verdict::Conflict,
                _ => Verdict::Done,
            },
            Op::RollBack { thread, .. } => match change(*thread) {
                Verdict::Conflict => Verdict::Conflict,
                _ => Verdict::Sane,
            },
            Op::Fork {
                thread,
                source,
                point,
            } => match (of(*source).existence, of(*thread).existence, point) {
                (Existence::Kept, Existence::Absent, Point::Whole) => Verdict::Done,
                (Existence::Kept, Existence::Absent, _) => Verdict::Sane,
                (Existence::Kept, _, Point::Whole) => Verdict::Exists,
                (Existence::Kept, _, _) => Verdict::Sane,
                _ if thread == source => Verdict::Sane,
                _ => Verdict::NotFound,
            },
            Op::Read { thread } => match of(*thread).existence {
                Existence::Kept => Verdict::Done,
                _ => Verdict::NotFound,
            },
            Op::Backfill | Op::Rebuild | Op::List | Op::Reopen { .. } => Verdict::Done,
        }
    }

    /// Whether an operation can be held against the model where it stands.
    pub(super) fn makes_sense(&self, by: usize, op: &Op) -> bool {
        let of = |number: u8| &self.threads[usize::from(number)];
        let is_sane = |number: u8| of(number).existence != Existence::Wreck;
        let is_others =
            |number: u8| matches!(of(number).existence, Existence::Deferred(other) if other != by);
        let makes = |number: u8| of(number).is_certain() && !is_others(number);
        match op {
            Op::Start { thread } => makes(*thread),
            Op::Fork { thread, source, .. } => {
                makes(*thread) && is_sane(*source) && !of(*source).is_ghost
            }
            Op::Append { thread, .. }
            | Op::Turn { thread, .. }
            | Op::Burst { thread, .. }
            | Op::Large { thread, .. }
            | Op::Persist { thread }
            | Op::Flush { thread }
            | Op::Resume { thread }
            | Op::Shutdown { thread }
            | Op::Discard { thread }
            | Op::RollBack { thread, .. }
            | Op::Rename { thread, .. }
            | Op::Branch { thread }
            | Op::Archive { thread }
            | Op::Unarchive { thread }
            | Op::Read { thread } => is_sane(*thread) && !of(*thread).is_ghost,
            Op::Delete { thread } => is_sane(*thread),
            Op::Backfill | Op::Rebuild | Op::List | Op::Reopen { .. } => true,
        }
    }

    /// What an operation is given with it.
    pub(super) fn given(&mut self, by: usize, op: &Op) -> Given {
        let batches = items_of(op, &mut self.serial);
        let turn = match op {
            Op::Fork {
                source,
                point: Point::AfterTurn(at),
                ..
            } => self.turn_of(*source, *at),
            _ => None,
        };
        Given {
            batches,
            expected_next: self.expected_next(by, op),
            serial: self.serial,
            turn,
        }
    }

    /// One of the turns that a thread may have.
    fn turn_of(&self, number: u8, at: u8) -> Option<String> {
        let thread = &self.threads[usize::from(number)];
        let records = thread.entries.iter().flat_map(|entry| &entry.records);
        let turns: Vec<&str> = records
            .filter_map(|record| match record {
                Expected::Exactly(fact) => fact.payload.split_once("turn-"),
                _ => None,
            })
            .filter_map(|(_, rest)| rest.split('"').next())
            .collect();
        let at = usize::from(at).checked_rem(turns.len())?;
        Some(format!("turn-{}", turns[at]))
    }

    /// The ordinal that an append expects, where it does.
    fn expected_next(&self, by: usize, op: &Op) -> Option<Ordinal> {
        match op {
            Op::Append {
                thread,
                expect: true,
                ..
            } if !self.is_troubled => {
                let thread = &self.threads[usize::from(*thread)];
                let is_here = thread.live == Some(by) && thread.is_kept();
                thread.next_ordinal().filter(|_| is_here).map(Ordinal::new)
            }
            _ => None,
        }
    }

    /// Takes in what a store said.
    pub(super) fn learn(
        &mut self,
        by: usize,
        op: &Op,
        (items, said): (Vec<Vec<Item>>, Said),
    ) -> Result<(), String> {
        if !self.is_troubled && !self.verdict(by, op).allows(&said) {
            let verdict = self.verdict(by, op);
            let said = match &said {
                Said::Refused(why) => told(why),
                said => format!("{said:?}"),
            };
            return Err(format!("process {by}, {op:?}: {said}, not {verdict:?}"));
        }
        if matches!(said, Said::Done(_)) {
            self.figures.acknowledged += 1;
        }
        match op {
            Op::Append { thread, .. }
            | Op::Turn { thread, .. }
            | Op::Burst { thread, .. }
            | Op::Large { thread, .. } => self.learn_append(by, *thread, (items, said)),
            Op::Start { thread } => {
                if let Said::Done(_) = said {
                    let thread = self.thread(*thread);
                    if thread.existence != Existence::Absent {
                        return Err(format!("{op:?}: it was there already"));
                    }
                    thread.forget();
                    thread.existence = Existence::Deferred(by);
                    thread.live = Some(by);
                }
                Ok(())
            }
            Op::Rename { thread, .. } | Op::Branch { thread } | Op::RollBack { thread, .. } => {
                self.learn_change((by, *thread), op, &said)
            }
            Op::Fork {
                thread,
                source,
                point,
            } => {
                let is_new = self.thread(*thread).existence == Existence::Absent;
                match said {
                    Said::Done(_) if !is_new => Err(format!("{op:?}: it was there already")),
                    said => {
                        if is_new {
                            self.learn_fork(by, (*thread, *source, *point), &said);
                        }
                        Ok(())
                    }
                }
            }
            Op::Archive { thread } | Op::Unarchive { thread } => {
                let archived = matches!(op, Op::Archive { .. });
                self.learn_place(by, (*thread, archived), &said)
            }
            Op::Delete { thread } => {
                self.learn_delete(by, *thread, &said);
                Ok(())
            }
            other => self.learn_life(by, other, &said),
        }
    }

    /// The thread's log is begun with the next batch.
    fn begin_log(&mut self, by: usize, number: u8) {
        let id = id_of(number).to_string();
        let thread = self.thread(number);
        if thread.existence == Existence::Deferred(by) {
            thread.existence = Existence::MayBe;
            thread.push(vec![Expected::Meta(id)]);
        }
    }

    fn learn_append(
        &mut self,
        by: usize,
        number: u8,
        (items, said): (Vec<Vec<Item>>, Said),
    ) -> Result<(), String> {
        let ends_turn = |batch: &[Item]| {
            batch
                .iter()
                .any(|item| item.event.is_some_and(selvedge::EventClass::ends_turn))
        };
        let acks = match said {
            Said::Done(Reply::Acks(acks)) => acks.into_iter().map(Some).collect::<Vec<_>>(),
            Said::Refused(error) if is_refusal(&error) => return Ok(()),
            _ => vec![None; items.len()],
        };
        if self.thread(number).live != Some(by) {
            return match acks.iter().flatten().any(Result::is_ok) {
                true => Err(format!("an append to a thread that is not live: {acks:?}")),
                false => Ok(()),
            };
        }
        for (batch, ack) in items.iter().zip(acks) {
            if matches!(&ack, Some(Err(error)) if is_refusal(error)) {
                if !self.is_troubled {
                    return Err(format!("an append to a live thread: {ack:?}"));
                }
                continue;
            }
            self.begin_log(by, number);
            let is_troubled = self.is_troubled;
            let thread = self.thread(number);
            let facts = batch.iter().map(|item| {
                let payload = String::from_utf8_lossy(&item.body).into_owned();
                Expected::Exactly(fact(item.record_type.as_str(), payload))
            });
            let expected = thread.next_ordinal();
            let which = thread.push(facts.collect());
            let ack = match ack {
                Some(Ok(ack)) => ack,
                Some(Err(error)) if !is_troubled => {
                    return Err(format!("an append to a live thread: {}", told(&error)));
                }
                _ => continue,
            };
            let (first, last) = (ack.first_ordinal.get(), ack.last_ordinal.get());
            if expected.is_some_and(|expected| expected != first) {
                return Err(format!("{ack:?}, not {expected:?}"));
            }
            if last + 1 != first + batch.len() as u64 {
                return Err(format!("{ack:?} of {} records", batch.len()));
            }
            let known = match ack.durability {
                Durability::Synced => Known::Synced,
                Durability::Written if !ends_turn(batch) => Known::Written,
                level => return Err(format!("a batch that ends a turn reached {level:?} only")),
            };
            thread.acknowledge(which, known, Some(first));
            self.note_mended(number, known);
        }
        Ok(())
    }

    /// A log that was synced where nothing fails is whole, whatever was dropped before.
    fn note_mended(&mut self, number: u8, known: Known) {
        if known == Known::Synced && !self.drops_pages {
            self.thread(number).has_dropped = false;
        }
    }

    fn learn_change(
        &mut self,
        (by, number): (usize, u8),
        op: &Op,
        said: &Said,
    ) -> Result<(), String> {
        if matches!(said, Said::Refused(error) if is_refusal(error)) && !self.is_troubled {
            return Ok(());
        }
        let serial = self.serial;
        let records = match op {
            Op::Rename { clear: true, .. } => vec![Expected::Name(None)],
            Op::Rename { .. } => vec![Expected::Name(Some(format!("name {serial}")))],
            Op::Branch { .. } => vec![Expected::Branch(format!("branch-{serial}"))],
            Op::RollBack { turns, .. } => {
                let payload = format!(r#"{{"type":"thread_rolled_back","num_turns":{turns}}}"#);
                vec![Expected::Exactly(fact("event_msg", payload))]
            }
            _ => Vec::new(),
        };
        self.begin_log(by, number);
        let thread = self.thread(number);
        if !matches!(thread.existence, Existence::Kept | Existence::MayBe) {
            return match said {
                Said::Done(_) => Err(format!("{op:?} of a thread that is not there")),
                _ => Ok(()),
            };
        }
        let which = thread.push(records);
        if let Said::Done(Reply::Thread(summary)) = said {
            thread.acknowledge(which, Known::Synced, None);
            if thread.live.is_some() || !thread.has_dropped {
                self.note_mended(number, Known::Synced);
            }
            let thread = self.thread(number);
            if let Some(name) = thread.name()
                && !matches!(op, Op::RollBack { .. })
                && summary.name.as_deref() != name
            {
                return Err(format!(
                    "{op:?} gave the name {:?}, not {name:?}",
                    summary.name
                ));
            }
        }
        Ok(())
    }

    fn learn_fork(&mut self, by: usize, (number, source, point): (u8, u8, Point), said: &Said) {
        match said {
            Said::Refused(error) if is_refusal(error) => return,
            _ => {}
        }
        let parent = self.thread(source).clone();
        let (before, entries) = match parent.inherited.clone() {
            Inherited::Exactly(before) => (before, parent.entries.clone()),
            // Nobody has looked at it yet: what it holds is not asked either.
            Inherited::From {
                before,
                mut entries,
                ..
            } => {
                entries
                    .iter_mut()
                    .for_each(|entry| entry.known = Known::MayBe);
                entries.extend(parent.entries.clone());
                (before, entries)
            }
        };
        let is_placed = self.thread(number).is_haunted;
        let thread = self.thread(number);
        *thread = Thread {
            existence: Existence::MayBe,
            inherited: Inherited::From {
                before,
                entries,
                point,
            },
            is_harmed: parent.is_harmed,
            is_haunted: is_placed,
            ..Thread::new(number)
        };
        let which = thread.push(vec![Expected::Meta(id_of(number).to_string())]);
        if let Said::Done(_) = said {
            thread.acknowledge(which, Known::Written, None);
            thread.live = Some(by);
        }
    }

    fn learn_place(
        &mut self,
        by: usize,
        (number, archived): (u8, bool),
        said: &Said,
    ) -> Result<(), String> {
        let thread = self.thread(number);
        match said {
            Said::Done(Reply::Thread(summary)) => {
                thread.sync();
                if thread.live == Some(by) {
                    thread.live = None;
                }
                thread.archived = Some(archived);
                thread.is_placed = true;
                match summary.is_archived() == archived {
                    true => Ok(()),
                    false => Err(format!(
                        "archived {archived} gave {:?}",
                        summary.archived_at
                    )),
                }
            }
            Said::Refused(error) if is_refusal(error) => Ok(()),
            _ => {
                if thread.archived != Some(archived) {
                    thread.archived = None;
                    thread.is_placed = false;
                }
                Ok(())
            }
        }
    }

    fn learn_delete(&mut self, by: usize, number: u8, said: &Said) {
        let thread = self.thread(number);
        match said {
            Said::Done(_) => match thread.existence {
                Existence::Deferred(owner) if owner != by => {}
                _ => {
                    thread.forget();
                    thread.is_haunted = false;
                }
            },
            Said::Refused(error) if is_refusal(error) => {}
            _ => match thread.existence {
                Existence::Deferred(owner) if owner != by => {}
                Existence::Absent if !thread.is_ghost => thread.is_haunted = true,
                Existence::Deferred(_) => {}
                _ => {
                    thread.existence = Existence::MayBe;
                    thread.is_ghost = true;
                    thread.is_haunted = true;
                }
            },
        }
    }

    fn learn_life(&mut self, by: usize, op: &Op, said: &Said) -> Result<(), String> {
        let is_refused = matches!(said, Said::Refused(error) if is_refusal(error));
        match op {
            Op::Persist { thread } if !is_refused => {
                self.begin_log(by, *thread);
                if let Said::Done(_) = said {
                    let thread_of = self.thread(*thread);
                    thread_of.acknowledge(0..0, Known::Synced, None);
                    thread_of.sync();
                    self.note_mended(*thread, Known::Synced);
                }
            }
            Op::Flush { thread } => {
                if let Said::Done(Reply::Flushed(flushed)) = said
                    && flushed.durability == Durability::Synced
                {
                    self.thread(*thread).sync();
                    self.note_mended(*thread, Known::Synced);
                } else if let Said::Done(_) = said
                    && self.thread(*thread).is_kept()
                {
                    return Err(format!("a flush of a thread that is there: {said:?}"));
                }
            }
            Op::Shutdown { thread } => {
                if let Said::Done(_) = said {
                    self.note_mended(*thread, Known::Synced);
                    let thread = self.thread(*thread);
                    thread.sync();
                    thread.lose_process();
                }
            }
            Op::Discard { thread } => {
                if let Said::Done(_) = said {
                    self.thread(*thread).lose_process();
                }
            }
            Op::Resume { thread } => {
                if let Said::Done(_) = said {
                    let thread = self.thread(*thread);
                    thread.live = Some(by);
                    if thread.existence == Existence::MayBe {
                        thread.existence = Existence::Kept;
                    }
                    thread.is_torn &= thread.kind == Kind::Lines;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a store refused before it did anything.
pub fn is_refusal(error: &Error) -> bool {
    match error {
        Error::ThreadNotFound { .. } | Error::InvalidRequest(_) => true,
        Error::Conflict { reason, .. } => !matches!(reason, ConflictReason::Fenced),
        _ => false,
    }
}
