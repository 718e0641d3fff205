//! What each operation is given, and what it asks of a store.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use selvedge::view::{Change, MetadataPatch};
use selvedge::{
    Ack, AppendOptions, Durability, Error, Flushed, ForkPoint, ForkThread, Item, LocalThreadStore,
    Ordinal, ResumeThread, StartThread, ThreadId, ThreadStore, ThreadSummary,
};

use super::entry::{Expected, Fact};
use super::program::{Op, Point};
use super::runner::{Runner, id_of};

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

pub(super) fn fact(record_type: &str, payload: String) -> Fact {
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

impl Runner {
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
}
