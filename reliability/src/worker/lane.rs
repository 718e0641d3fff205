//! One task of a worker: random operations on threads of its own, and appends to the others'.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use selvedge::view::{Change, MetadataPatch};
use selvedge::{
    Ack, AppendOptions, Durability, ForkPoint, ForkThread, LiveThread, Ordinal, StartThread,
    ThreadId, ThreadSummary,
};

use super::look;
use super::payload::{self, Turn};
use super::said::{Doing, Line, Refusal, Role};
use super::shared::Shared;

/// A thread that one lane alone starts, moves, deletes and shuts down.
#[derive(Debug, Clone)]
pub(super) struct Own {
    id: ThreadId,
    live: Option<LiveThread>,
    is_on_disk: bool,
    /// The ordinal after the last batch of this lane that was acknowledged.
    next: u64,
}

impl Own {
    pub(super) fn there(thread: &ThreadSummary) -> Self {
        Self {
            id: thread.thread_id,
            live: None,
            is_on_disk: true,
            next: thread.next_ordinal.get(),
        }
    }
}

/// One task's work.
pub(super) struct Lane {
    shared: Arc<Shared>,
    rng: fastrand::Rng,
    own: Vec<Own>,
}

const NOTHING: fn(Refusal) -> bool = |_| false;

fn no_ordinals<T>(_: &T) -> Option<(u64, u64)> {
    None
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, rng: fastrand::Rng, own: Vec<Own>) -> Self {
        Self { shared, rng, own }
    }

    pub(super) async fn work(mut self) {
        while !self.shared.is_to_stop() {
            self.step().await;
            self.shared.pause().await;
        }
    }

    async fn step(&mut self) {
        let may_start = self.shared.order.role != Role::JsonLines;
        if self.own.is_empty() {
            match may_start {
                true => self.start().await,
                // There is nothing for this lane.
                false => {
                    self.shared.mouth.say(&Line::Looked);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            return;
        }
        match self.rng.u32(0..100) {
            0..5 if may_start => self.start().await,
            5..8 => self.fork().await,
            8..11 => self.delete_or_discard().await,
            11..23 => self.append_to_others().await,
            23..25 => self.poach().await,
            choice => {
                let at = self.rng.usize(0..self.own.len());
                self.step_of(at, choice).await;
            }
        }
    }

    async fn step_of(&mut self, at: usize, choice: u32) {
        match choice {
            25..29 => self.flush(at).await,
            29..31 => self.persist(at).await,
            31..38 => self.patch(at).await,
            38..41 => self.roll_back(at).await,
            41..47 => self.relocate(at).await,
            47..52 => self.shut_down(at).await,
            52..57 => self.look(at).await,
            57..61 => self.burst(at).await,
            _ => self.append(at).await,
        }
    }

    async fn start(&mut self) {
        let id = self.shared.order.new_thread_id();
        let ephemeral = self.rng.u32(0..20) == 0;
        let doing = Doing::Start {
            thread: id,
            ephemeral,
        };
        let (op, _) = self.shared.trying(doing);
        let start = StartThread {
            thread_id: Some(id),
            cwd: format!("/work/{}", self.rng.u32(0..4)),
            model_provider: Some("some".into()),
            ephemeral,
            ..StartThread::default()
        };
        let started = self.shared.selvedge.start_thread(start).await;
        let Some(live) = self.shared.answered(op, started, (no_ordinals, &NOTHING)) else {
            return;
        };
        let own = Own {
            id,
            live: Some(live.clone()),
            is_on_disk: false,
            next: 0,
        };
        if ephemeral {
            // What is appended to it is never there.
            self.append_by(&live, None).await;
            return;
        }
        self.own.push(own);
    }

    /// The thread, live.
    async fn live(&mut self, at: usize) -> Option<LiveThread> {
        let own = &mut self.own[at];
        if let Some(live) = &own.live {
            return Some(live.clone());
        }
        let id = own.id;
        let (op, _) = self.shared.trying(Doing::Resume { thread: id });
        let resumed = self.shared.selvedge.resume_thread(id).await;
        let live = self.shared.answered(op, resumed, (no_ordinals, &NOTHING))?;
        self.own[at].live = Some(live.clone());
        self.offer(&live);
        Some(live)
    }

    /// Lets the other lanes append to it.
    fn offer(&self, live: &LiveThread) {
        let mut offered = self.shared.live.lock().unwrap();
        offered.insert(live.thread_id(), live.clone());
    }

    fn withdraw(&self, id: ThreadId) {
        self.shared.live.lock().unwrap().remove(&id);
    }

    async fn append(&mut self, at: usize) {
        let Some(live) = self.live(at).await else {
            return;
        };
        let next = self.own[at].next;
        let expected = (self.rng.u32(0..6) == 0 && next > 0).then_some(next);
        if let Some(ack) = self.append_by(&live, expected).await {
            self.own[at].next = ack.last_ordinal.get() + 1;
            self.own[at].is_on_disk = true;
            self.offer(&live);
        }
    }

    /// Appends one batch.
    async fn append_by(&mut self, live: &LiveThread, expected: Option<u64>) -> Option<Ack> {
        let appending = self.appending(live.clone(), expected);
        appending.await
    }

    /// One batch, said to be tried and on its way.
    fn appending(
        &mut self,
        live: LiveThread,
        expected: Option<u64>,
    ) -> impl Future<Output = Option<Ack>> + Send + use<> {
        let turn = match self.rng.u32(0..8) {
            0 => Turn::Whole,
            1..5 => Turn::Said(1),
            _ => Turn::Said(self.rng.u32(2..9)),
        };
        let synced = self.rng.u32(0..6) == 0;
        let thread = live.thread_id();
        let shared = Arc::clone(&self.shared);
        let records = match turn {
            Turn::Whole => 4,
            Turn::Said(records) => records,
        };
        let doing = Doing::Append {
            thread,
            records,
            synced,
            expected,
        };
        let (op, mark) = shared.trying(doing);
        let items = payload::batch(&mut self.rng, thread, &mark, turn);
        let options = AppendOptions {
            durability: match synced {
                true => Durability::Synced,
                false => Durability::Written,
            },
            expected_next: expected.map(Ordinal::new),
        };
        async move {
            let answer = live.append_with(items, options).await;
            if let Ok(ack) = &answer
                && !live.is_ephemeral()
                && ack.durability < options.durability
            {
                shared.wrong(format!(
                    "{mark} was to be {:?}: {ack:?}",
                    options.durability
                ));
            }
            let may_be = move |refusal| {
                // Its owner may have shut it down, or another lane have appended.
                refusal == Refusal::Closed
                    || (refusal == Refusal::NextOrdinal && expected.is_some())
            };
            let ordinals = |ack: &Ack| Some((ack.first_ordinal.get(), ack.last_ordinal.get()));
            shared.answered(op, answer, (ordinals, &may_be))
        }
    }

    /// Some batches at once; a few of their callers go away before the answer.
    async fn burst(&mut self, at: usize) {
        let Some(live) = self.live(at).await else {
            return;
        };
        let mut burst = tokio::task::JoinSet::new();
        for _ in 0..self.rng.u32(2..8) {
            let appending = self.appending(live.clone(), None);
            match self.rng.u32(0..10) {
                0 => {
                    let wait = Duration::from_micros(self.rng.u64(0..200));
                    burst.spawn(async move {
                        let answer = tokio::time::timeout(wait, appending).await;
                        answer.ok().flatten()
                    });
                }
                _ => {
                    burst.spawn(appending);
                }
            }
        }
        while let Some(answered) = burst.join_next().await {
            if let Ok(Some(ack)) = answered {
                let own = &mut self.own[at];
                own.is_on_disk = true;
                own.next = own.next.max(ack.last_ordinal.get() + 1);
            }
        }
    }

    async fn append_to_others(&mut self) {
        let live = {
            let offered = self.shared.live.lock().unwrap();
            let all: Vec<_> = offered.values().cloned().collect();
            self.rng.choice(all)
        };
        if let Some(live) = live {
            self.append_by(&live, None).await;
        }
    }

    /// Appends to a thread that another process may have.
    async fn poach(&mut self) {
        let Some(thread) = self.rng.choice(&self.shared.others).copied() else {
            return;
        };
        let (op, _) = self.shared.trying(Doing::Resume { thread });
        let resumed = self.shared.selvedge.resume_thread(thread).await;
        let may_be = |refusal| refusal == Refusal::NotFound;
        let resumed = self.shared.answered(op, resumed, (no_ordinals, &may_be));
        let Some(live) = resumed else { return };
        self.append_by(&live, None).await;
        let (op, _) = self.shared.trying(Doing::Shutdown { thread });
        let down = live.shutdown().await;
        // Another lane has poached it too.
        let may_be = |refusal| refusal == Refusal::Closed;
        self.shared.answered(op, down, (no_ordinals, &may_be));
    }

    async fn flush(&mut self, at: usize) {
        let Some(live) = self.live(at).await else {
            return;
        };
        let thread = live.thread_id();
        let (op, _) = self.shared.trying(Doing::Flush { thread });
        let flushed = live.flush().await;
        let upto = |flushed: &selvedge::Flushed| {
            let next = flushed.next_ordinal.get();
            Some((next, next))
        };
        self.shared.answered(op, flushed, (upto, &NOTHING));
    }

    async fn persist(&mut self, at: usize) {
        let Some(live) = self.live(at).await else {
            return;
        };
        let thread = live.thread_id();
        let (op, _) = self.shared.trying(Doing::Persist { thread });
        let persisted = live.persist().await;
        let persisted = self.shared.answered(op, persisted, (no_ordinals, &NOTHING));
        self.own[at].is_on_disk |= persisted.is_some();
    }

    async fn patch(&mut self, at: usize) {
        let thread = self.own[at].id;
        let field = ["name", "name", "title", "git_branch"][self.rng.usize(0..4)];
        let doing = Doing::Patch {
            thread,
            field: field.to_owned(),
        };
        let (op, mark) = self.shared.trying(doing);
        let value = Change::Set(mark);
        let patch = match field {
            "name" => MetadataPatch {
                name: value,
                ..MetadataPatch::default()
            },
            "title" => MetadataPatch {
                title: value,
                ..MetadataPatch::default()
            },
            _ => MetadataPatch {
                git_branch: value,
                ..MetadataPatch::default()
            },
        };
        let patched = self.shared.selvedge.update_metadata(thread, patch).await;
        let patched = self.shared.answered(op, patched, (no_ordinals, &NOTHING));
        self.own[at].is_on_disk |= patched.is_some();
    }

    async fn roll_back(&mut self, at: usize) {
        let thread = self.own[at].id;
        if !self.own[at].is_on_disk {
            return;
        }
        let (op, _) = self.shared.trying(Doing::RollBack { thread });
        let rolled = self.shared.selvedge.roll_back(thread, 1).await;
        let may_be = |refusal| refusal == Refusal::Invalid;
        self.shared.answered(op, rolled, (no_ordinals, &may_be));
    }

    async fn relocate(&mut self, at: usize) {
        let thread = self.own[at].id;
        if !self.own[at].is_on_disk {
            return;
        }
        self.withdraw(thread);
        // Where it lies is not known here: one of the two changes nothing.
        let to_archive = self.rng.bool();
        let (op, moved) = match to_archive {
            true => {
                let (op, _) = self.shared.trying(Doing::Archive { thread });
                (op, self.shared.selvedge.archive_thread(thread).await)
            }
            false => {
                let (op, _) = self.shared.trying(Doing::Unarchive { thread });
                (op, self.shared.selvedge.unarchive_thread(thread).await)
            }
        };
        let moved = self.shared.answered(op, moved, (no_ordinals, &NOTHING));
        self.own[at].live = None;
        if let Some(summary) = moved
            && summary.is_archived() != to_archive
        {
            self.shared
                .wrong(format!("{thread} was moved, and lies where it lay"));
        }
    }

    async fn shut_down(&mut self, at: usize) {
        let Some(live) = self.own[at].live.take() else {
            self.live(at).await;
            return;
        };
        let thread = live.thread_id();
        self.withdraw(thread);
        let (op, _) = self.shared.trying(Doing::Shutdown { thread });
        let down = live.shutdown().await;
        let down = self.shared.answered(op, down, (no_ordinals, &NOTHING));
        if down.is_none() {
            self.own[at].live = Some(live);
        } else if !self.own[at].is_on_disk {
            // It has left nothing: a shutdown of a thread of which nothing was said.
            self.own.swap_remove(at);
        }
    }

    async fn look(&mut self, at: usize) {
        let Own {
            id,
            is_on_disk,
            next,
            ..
        } = self.own[at];
        if !is_on_disk {
            return;
        }
        match look::look_at(&self.shared.selvedge, id, next).await {
            Some(what) => self.shared.wrong(what),
            None => self.shared.mouth.say(&Line::Looked),
        }
    }

    async fn fork(&mut self) {
        let at = self.rng.usize(0..self.own.len());
        if !self.own[at].is_on_disk {
            return;
        }
        let source = self.own[at].id;
        let id = self.shared.order.new_thread_id();
        let before = (self.rng.u32(0..3) == 0).then(|| self.rng.u64(0..=self.own[at].next));
        let doing = Doing::Fork {
            source,
            thread: id,
            before,
        };
        let (op, _) = self.shared.trying(doing);
        let fork = ForkThread {
            point: before.map_or(ForkPoint::Whole, |before| {
                ForkPoint::Before(Ordinal::new(before))
            }),
            start: StartThread {
                thread_id: Some(id),
                ..StartThread::default()
            },
            ..ForkThread::of(source)
        };
        let forked = self.shared.selvedge.fork_thread(fork).await;
        // What this lane was told of lies behind a batch of another one that waits for its sync.
        let may_be = |refusal| refusal == Refusal::Invalid && before.is_some();
        let forked = self.shared.answered(op, forked, (no_ordinals, &may_be));
        if let Some(live) = forked {
            self.offer(&live);
            self.own.push(Own {
                id,
                live: Some(live),
                is_on_disk: true,
                next: 0,
            });
        }
    }

    /// Ends a thread for good. The more there are, the likelier.
    async fn delete_or_discard(&mut self) {
        let at = self.rng.usize(0..self.own.len());
        let own = self.own[at].clone();
        let thread = own.id;
        let live = own.live.filter(|_| !own.is_on_disk);
        if live.is_none() && self.rng.usize(0..8) > self.own.len() {
            return;
        }
        self.withdraw(thread);
        self.own.swap_remove(at);
        if let Some(live) = live {
            let (op, _) = self.shared.trying(Doing::Discard { thread });
            // A burst whose callers went away may have brought it to the disk.
            let discarded = live.discard().await;
            let may_be = |refusal| refusal == Refusal::Other;
            let gone = self.shared.answered(op, discarded, (no_ordinals, &may_be));
            if gone.is_some() {
                return;
            }
        }
        let (op, _) = self.shared.trying(Doing::Delete { thread });
        let deleted = self.shared.selvedge.delete_thread(thread).await;
        self.shared.answered(op, deleted, (no_ordinals, &NOTHING));
    }
}
