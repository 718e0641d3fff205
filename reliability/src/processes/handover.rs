//! Threads that go from process to process.
//!
//! A thread is free as soon as its shutdown is acknowledged (or its holder is dead): whoever takes it
//! next has it, finds every record that was acknowledged, and goes on behind them. Meanwhile a
//! third is told who has it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use fastrand::Rng;
use selvedge::{ConflictReason, Error, LiveThread, OpenOptions, Selvedge, ThreadId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::child::{Child, Role, Voice};
use super::homes::{check, lines_log, user_message};
use super::{Figures, Outcome, Plan, Trying, ensure, note, runtime};

/// How many threads are handed around, of each format.
const THREADS: usize = 3;

/// A process that takes threads and lets them go, as it is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Holder {
    home: PathBuf,
}

/// What a holder is told.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// Resume the thread and append so many batches, named from this number on.
    Take(ThreadId, u64, u64),
    /// Only see who has it.
    Try(ThreadId),
    /// Shut it down, by its handle.
    Release(ThreadId),
    /// Shut it down, by its id.
    Remove(ThreadId),
    /// Shut all down, and open the home again.
    Close,
}

impl Holder {
    pub(super) async fn play(self, voice: Voice) -> Outcome<()> {
        let mut selvedge = Selvedge::open(OpenOptions::new(&self.home)).await;
        voice.say("ready", Value::Null);
        while let Some(order) = voice.hear() {
            let open = selvedge.as_ref().map_err(|why| format!("open: {why}"))?;
            match serde_json::from_str(&order).trying("read an order")? {
                Order::Take(id, from, count) => take(open, voice, (id, from, count)).await?,
                Order::Try(id) => match open.resume_thread(id).await {
                    Err(Error::Conflict {
                        reason: ConflictReason::Writer { holder },
                        ..
                    }) => voice.say("refused", json!({"holder": holder})),
                    Err(why) => return Err(format!("resume what another one has: {why}")),
                    Ok(_) => return Err(format!("two have thread {id}")),
                },
                Order::Release(id) => {
                    let live = open.live_thread(id).await.ok_or("it is not live")?;
                    live.shutdown().await.trying("shut a thread down")?;
                    voice.say("released", Value::Null);
                }
                Order::Remove(id) => {
                    open.remove_thread(id).await.trying("remove a thread")?;
                    voice.say("released", Value::Null);
                }
                Order::Close => {
                    let open = selvedge.map_err(|why| format!("open: {why}"))?;
                    open.shutdown().await.trying("shut down")?;
                    voice.say("released", Value::Null);
                    selvedge = Selvedge::open(OpenOptions::new(&self.home)).await;
                }
            }
        }
        Ok(())
    }
}

async fn take(selvedge: &Selvedge, voice: Voice, order: (ThreadId, u64, u64)) -> Outcome<()> {
    let (id, from, count) = order;
    let resumed = selvedge.resume_thread(id).await;
    let thread: LiveThread = resumed.trying(format_args!("resume {id}, which is free"))?;
    let next = thread.snapshot().await.trying("look at it")?.next_ordinal;
    for number in from..from + count {
        let batch = (0..2)
            .map(|part| user_message(&format!("{number}.{part}")))
            .collect();
        thread.append(batch).await.trying("append")?;
    }
    voice.say("holding", json!({"found": next.get()}));
    Ok(())
}

/// A thread that is handed around.
struct Passed {
    id: ThreadId,
    /// The ordinal of the first record of those that are appended here.
    first: u64,
    batches: u64,
    holder: Option<usize>,
}

#[derive(Debug, Default)]
struct Counts {
    handovers: u64,
    refused: u64,
    kills: u64,
    closings: u64,
}

/// Hands threads around among `plan.processes` processes for `plan.duration`.
///
/// # Errors
/// What did not hold.
pub fn run(plan: &Plan, dir: &Path) -> Outcome {
    let home = dir.join("home");
    let mut rng = Rng::with_seed(plan.seed);
    let runtime = runtime()?;
    let threads = runtime.block_on(make_threads(&home, &mut rng))?;
    let count = plan.processes.max(3);
    note(format_args!(
        "handover: {} threads among {count} processes",
        threads.len()
    ));
    let holder = Role::Handover(Holder { home: home.clone() });
    let start = || plan.launcher.start(&holder);
    let mut children: Vec<Child> = (0..count).map(|_| start()).collect::<Outcome<_>>()?;
    for child in &mut children {
        child.hear("ready")?;
    }
    let mut scene = Scene {
        plan,
        holder,
        children,
        threads,
        rng,
        counts: Counts::default(),
    };
    let began = Instant::now();
    while began.elapsed() < plan.duration || scene.counts.handovers < 50 {
        scene.pass()?;
    }
    let Scene {
        children,
        threads,
        counts,
        ..
    } = scene;
    drop(children);
    runtime.block_on(async {
        let selvedge = Selvedge::open(OpenOptions::new(&home))
            .await
            .trying("open")?;
        for thread in &threads {
            check_history(&selvedge, thread).await?;
        }
        selvedge.shutdown().await.trying("shut down")?;
        check(&home).await
    })?;
    let batches: u64 = threads.iter().map(|thread| thread.batches).sum();
    Ok(Figures::default()
        .with("processes", count)
        .with("threads", threads.len())
        .with("handovers", counts.handovers)
        .with("of them by shutting all down", counts.closings)
        .with("of them by a kill", counts.kills)
        .with("acknowledged batches", batches)
        .with("third ones refused", counts.refused))
}

async fn make_threads(home: &std::path::Path, rng: &mut Rng) -> Outcome<Vec<Passed>> {
    let options = OpenOptions::new(home).create(true);
    let selvedge = Selvedge::open(options).await.trying("open a new home")?;
    let mut ids = Vec::new();
    for number in 0..THREADS {
        let thread = selvedge
            .start_thread(selvedge::StartThread::default())
            .await;
        let thread = thread.trying("start")?;
        thread.persist().await.trying("persist")?;
        ids.push(thread.thread_id());
        ids.push(lines_log(home, number, rng).trying("write a JSON-lines log")?);
    }
    let mut threads = Vec::new();
    for id in ids {
        let known = selvedge.read_thread(id).await.trying("read a new thread")?;
        threads.push(Passed {
            id,
            first: known.next_ordinal.get(),
            batches: 0,
            holder: None,
        });
    }
    selvedge.shutdown().await.trying("shut down")?;
    Ok(threads)
}

async fn check_history(selvedge: &Selvedge, thread: &Passed) -> Outcome<()> {
    let id = thread.id;
    let history = selvedge.load_history(id).await.trying("load a history")?;
    ensure(history.damage.is_empty(), || {
        format!("{id}: {:?}", history.damage)
    })?;
    let expected = thread.first + 2 * thread.batches;
    let records = history.records;
    ensure(records.len() as u64 == expected, || {
        format!("{id} has {} records, not {expected}", records.len())
    })?;
    for (ordinal, record) in (0..).zip(&records) {
        ensure(record.ordinal.get() == ordinal, || {
            format!("{id}: ordinal {} in place {ordinal}", record.ordinal)
        })?;
        let Some(at) = ordinal.checked_sub(thread.first) else {
            continue;
        };
        let payload = record.payload_json().map(|json| json.get().to_owned());
        let payload = payload.map_err(|why| format!("{id}: record {ordinal}: {why}"))?;
        let said: Value = serde_json::from_str(&payload).trying("read a payload")?;
        ensure(said["message"] == format!("{}.{}", at / 2, at % 2), || {
            format!("{id}: record {ordinal} is {said}")
        })?;
    }
    Ok(())
}

struct Scene<'a> {
    plan: &'a Plan,
    holder: Role,
    children: Vec<Child>,
    threads: Vec<Passed>,
    rng: Rng,
    counts: Counts,
}

impl Scene<'_> {
    fn order(&mut self, child: usize, order: &Order, answer: &str) -> Outcome<Value> {
        let order_text = serde_json::to_string(order).trying("spell an order")?;
        let child = &mut self.children[child];
        child.tell(&order_text)?;
        child
            .hear(answer)
            .map_err(|why| format!("{order:?}: {why}"))
    }

    /// Passes one thread on, and has the next one append to it.
    fn pass(&mut self) -> Outcome<()> {
        let at = self.rng.usize(0..self.threads.len());
        let Passed {
            id,
            first,
            batches,
            holder,
        } = self.threads[at];
        if let Some(holder) = holder {
            if self.rng.bool() {
                self.try_third(id, holder)?;
            }
            self.let_go(at, id, holder)?;
        }
        let next = self.rng.usize(0..self.children.len());
        let count = self.rng.u64(0..4);
        let taken = self.order(next, &Order::Take(id, batches, count), "holding")?;
        let expected = first + 2 * batches;
        ensure(taken["found"] == expected, || {
            format!("{id}: {expected} records were acknowledged, {taken} was found")
        })?;
        self.counts.handovers += 1;
        self.threads[at].batches += count;
        self.threads[at].holder = Some(next);
        Ok(())
    }

    fn try_third(&mut self, id: ThreadId, holder: usize) -> Outcome<()> {
        let third = (holder + 1 + self.rng.usize(0..self.children.len() - 1)) % self.children.len();
        let refused = self.order(third, &Order::Try(id), "refused")?;
        let named = format!("process {}", self.children[holder].pid());
        ensure(refused["holder"] == named, || {
            format!("{named} has thread {id}, and {refused} was told")
        })?;
        self.counts.refused += 1;
        Ok(())
    }

    fn let_go(&mut self, at: usize, id: ThreadId, holder: usize) -> Outcome<()> {
        match self.rng.u8(0..20) {
            0 => {
                self.children[holder].kill()?;
                self.children[holder] = self.plan.launcher.start(&self.holder)?;
                self.children[holder].hear("ready")?;
                self.counts.kills += 1;
                self.frees_all(holder);
            }
            1 | 2 => {
                self.order(holder, &Order::Close, "released")?;
                self.counts.closings += 1;
                self.frees_all(holder);
            }
            3..=10 => {
                self.order(holder, &Order::Remove(id), "released")?;
            }
            _ => {
                self.order(holder, &Order::Release(id), "released")?;
            }
        }
        self.threads[at].holder = None;
        Ok(())
    }

    fn frees_all(&mut self, holder: usize) {
        for thread in &mut self.threads {
            thread.holder.take_if(|of| *of == holder);
        }
    }
}
