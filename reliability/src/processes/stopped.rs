//! A process that is stopped at random moments, often in the middle of an index transaction.
//!
//! While it stands still, others' appends are not delayed by it at all, and others' listings, reads,
//! searches, changes and opens end, with the right answers: from the logs, where the index can't
//! be had. When it goes on, nothing has happened to it, and the index is right.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use selvedge::{
    AppendOptions, Disk, Durability, Error, IndexMode, ItemQuery, ListQuery, LiveThread, OpenMode,
    OpenOptions, RealDisk, SearchQuery, Selvedge, SortKey, StartThread, ThreadId, TurnQuery,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::child::{Child, HANG, Role, Voice};
use super::homes::{check, every, list_all, turn, unindexed, user_message};
use super::{Figures, Latencies, Outcome, Plan, Trying, ensure, note, runtime};

/// The byte that a writer of the index locks, and those that whoever begins or ends a transaction
/// does.
const WRITER: std::ops::Range<u64> = 1 << 62..(1 << 62) + 1;
const HEADER: std::ops::Range<u64> = 0..320;
/// How many threads the peer, and how many those beside it, append to.
const THREADS: usize = 4;
/// How many batches each of them gets while the peer is stopped.
const BATCHES: usize = 8;
/// How many rounds are tried before it is a failure that none met a transaction.
const FRUITLESS_ROUNDS: u64 = 60;

/// Whether some handle on the home's index is in the middle of a transaction that would keep
/// others from writing.
///
/// # Errors
/// What the machine refused.
pub fn is_writing(home: &Path) -> Outcome<bool> {
    let index = home.join("index.redb");
    let file = match RealDisk.open(&index, OpenMode::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        opened => opened.trying("open the index")?,
    };
    let is_locked = |range| file.is_locked_elsewhere(range).trying("look at locks");
    Ok(is_locked(WRITER)? || is_locked(HEADER)?)
}

/// A process that commits to the index all the time.
#[derive(Debug, Serialize, Deserialize)]
pub struct Peer {
    home: PathBuf,
}

impl Peer {
    pub(super) async fn play(self, voice: Voice) -> Outcome<()> {
        let selvedge = Selvedge::open(OpenOptions::new(&self.home)).await;
        let selvedge = selvedge.trying("open")?;
        let is_over = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(AtomicU64::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..THREADS {
            let (selvedge, is_over) = (selvedge.clone(), Arc::clone(&is_over));
            let rounds = Arc::clone(&rounds);
            let thread = selvedge.start_thread(StartThread::default()).await;
            let thread = thread.trying("start")?;
            thread.append(turn("first")).await.trying("append")?;
            tasks.spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    let number = rounds.fetch_add(1, Ordering::SeqCst);
                    let batch = vec![user_message(&format!("peer {number}"))];
                    let ack = thread.append(batch).await.trying("append")?;
                    // Asking for it has the index take it in.
                    let read = selvedge.read_thread(thread.thread_id()).await;
                    let read = read.trying("read")?;
                    ensure(read.next_ordinal > ack.last_ordinal, || {
                        format!("{ack:?} was acknowledged, and {read:?} read")
                    })?;
                }
                Ok::<_, String>(())
            });
        }
        voice.say(
            "at work",
            json!({"threads": selvedge.loaded_threads().await}),
        );
        // What the parent says comes through here: once for each look at how far it is.
        let asked = tokio::task::spawn_blocking(move || {
            while let Some(_look) = voice.hear() {
                let done = rounds.load(Ordering::SeqCst);
                voice.say("went on", json!({"rounds": done}));
            }
        });
        asked.await.trying("listen")?;
        is_over.store(true, Ordering::SeqCst);
        while let Some(done) = tasks.join_next().await {
            done.trying("work")??;
        }
        selvedge.shutdown().await.trying("shut down")
    }
}

/// How long things took, by what they are.
#[derive(Debug, Default)]
struct Times(BTreeMap<&'static str, Latencies>);

impl Times {
    fn of(&mut self, what: &'static str) -> &mut Latencies {
        self.0.entry(what).or_default()
    }
}

#[derive(Debug, Default)]
struct Counts {
    rounds: u64,
    inside: u64,
    acknowledged: u64,
    refused_opens: u64,
}

/// Stops a peer again and again for `plan.duration`, beside a home of `plan.logs` logs.
///
/// # Errors
/// What did not hold.
pub fn run(plan: &Plan, dir: &Path) -> Outcome {
    let home = dir.join("home");
    note(format_args!("stopped: a home of {} logs", plan.logs));
    let ids = unindexed(&home, plan.logs, plan.seed)?;
    let runtime = runtime()?;
    let mut scene = runtime.block_on(Scene::new(&home, &ids))?;
    let mut peer = plan
        .launcher
        .start(&Role::Stopped(Peer { home: home.clone() }))?;
    let theirs = peer.hear("at work")?["threads"].clone();
    let theirs: Vec<ThreadId> = serde_json::from_value(theirs).trying("read ids")?;
    scene.listed.extend(theirs);
    let mut rng = Rng::with_seed(plan.seed);
    let began = Instant::now();
    note("stopped: a peer is stopped while it commits");
    loop {
        round(&runtime, &mut scene, (&mut peer, &mut rng))?;
        let Counts { rounds, inside, .. } = scene.counts;
        ensure(inside > 0 || rounds < FRUITLESS_ROUNDS, || {
            format!("none of {rounds} stops met a transaction")
        })?;
        if inside > 0 && began.elapsed() >= plan.duration {
            break;
        }
    }
    peer.end()?;
    let figures = scene.figures();
    runtime.block_on(async {
        scene.selvedge.shutdown().await.trying("shut down")?;
        check(&home).await
    })?;
    Ok(figures)
}

/// Stops the peer, has everything done beside it, and lets it go on.
fn round(
    runtime: &tokio::runtime::Runtime,
    scene: &mut Scene,
    (peer, rng): (&mut Child, &mut Rng),
) -> Outcome<()> {
    std::thread::sleep(Duration::from_micros(rng.u64(0..60_000)));
    peer.stop()?;
    // This process's own index is at rest: what is locked, the peer has locked.
    let is_inside = is_writing(&scene.home)?;
    scene.counts.rounds += 1;
    scene.counts.inside += u64::from(is_inside);
    let began = Instant::now();
    runtime.block_on(async {
        tokio::time::timeout(HANG, scene.everything(is_inside))
            .await
            .map_err(|_| "something hangs while a peer is stopped".to_owned())?
    })?;
    if is_inside {
        note(format_args!(
            "stopped: in a transaction for {:.1?}",
            began.elapsed()
        ));
    }
    peer.go_on()?;
    peer.tell("how far")?;
    let before = peer.hear("went on")?["rounds"].as_u64();
    loop {
        peer.tell("how far")?;
        if peer.hear("went on")?["rounds"].as_u64() > before {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // What waited for the peer is taken in now, so that the next stop meets nobody else's lock.
    runtime.block_on(scene.settled())
}

/// Those beside the peer.
struct Scene {
    home: PathBuf,
    selvedge: Selvedge,
    threads: Vec<LiveThread>,
    /// The next ordinal of each of them, as acknowledged.
    acknowledged: BTreeMap<ThreadId, u64>,
    /// Every thread of the home.
    listed: Vec<ThreadId>,
    named: u64,
    counts: Counts,
    inside: Times,
    outside: Times,
}

impl Scene {
    async fn new(home: &Path, ids: &[ThreadId]) -> Outcome<Self> {
        let selvedge = Selvedge::open(OpenOptions::new(home))
            .await
            .trying("open")?;
        let mut scene = Self {
            home: home.to_path_buf(),
            threads: Vec::new(),
            acknowledged: BTreeMap::new(),
            listed: ids.to_vec(),
            named: 0,
            counts: Counts::default(),
            inside: Times::default(),
            outside: Times::default(),
            selvedge,
        };
        for _ in 0..THREADS {
            scene.start().await?;
        }
        scene.settled().await?;
        Ok(scene)
    }

    async fn start(&mut self) -> Outcome<()> {
        let thread = self.selvedge.start_thread(StartThread::default()).await;
        let thread = thread.trying("start")?;
        let ack = thread.append(turn("first")).await.trying("append")?;
        let id = thread.thread_id();
        self.acknowledged.insert(id, ack.last_ordinal.get() + 1);
        self.listed.push(id);
        self.threads.push(thread);
        Ok(())
    }

    /// Waits until this process has nothing to write to the index.
    async fn settled(&self) -> Outcome<()> {
        let listed = self.selvedge.list_threads(ListQuery::default()).await;
        listed.map(drop).trying("list")
    }

    fn figures(&self) -> Figures {
        let counts = &self.counts;
        let mut figures = Figures::default()
            .with("logs", self.listed.len())
            .with("stops", counts.rounds)
            .with("of them in a transaction", counts.inside)
            .with("acknowledged batches meanwhile", counts.acknowledged)
            .with("opens that gave the index up", counts.refused_opens);
        for (what, latencies) in &self.outside.0 {
            figures = figures.with(what, latencies);
        }
        for (what, latencies) in &self.inside.0 {
            figures = figures.with("in a transaction:", format_args!("{what} {latencies}"));
        }
        figures
    }

    async fn everything(&mut self, is_inside: bool) -> Outcome<()> {
        let mut took = std::mem::take(match is_inside {
            true => &mut self.inside,
            false => &mut self.outside,
        });
        let done = self.everything_timed(&mut took).await;
        *match is_inside {
            true => &mut self.inside,
            false => &mut self.outside,
        } = took;
        done
    }

    async fn everything_timed(&mut self, took: &mut Times) -> Outcome<()> {
        self.append(took.of("appends")).await?;
        took.of("starts").of(self.start()).await?;
        took.of("lists").of(self.list(SortKey::Created)).await?;
        // While a reader waits for the index, too.
        let (appended, listed) = {
            let mut beside = Latencies::default();
            let selvedge = self.selvedge.clone();
            let list =
                tokio::spawn(
                    async move { selvedge.list_threads(every(false, 100)).await.map(drop) },
                );
            let appended = self.append(&mut beside).await;
            took.of("appends beside a waiting reader").extend(beside);
            (appended, list.await)
        };
        appended?;
        listed.trying("list")?.trying("list")?;
        took.of("lists by update")
            .of(self.list(SortKey::Updated))
            .await?;
        took.of("reads").of(self.read()).await?;
        took.of("histories").of(self.history()).await?;
        took.of("searches").of(self.search()).await?;
        took.of("changes").of(self.change()).await?;
        took.of("archives").of(self.archive()).await?;
        for mode in [IndexMode::Background, IndexMode::Existing, IndexMode::None] {
            took.of("opens").of(self.open(mode)).await?;
        }
        took.of("opens that wait")
            .of(self.open(IndexMode::Wait(Duration::from_secs(1))))
            .await
    }

    async fn append(&mut self, took: &mut Latencies) -> Outcome<()> {
        let mut tasks = tokio::task::JoinSet::new();
        for thread in self.threads.clone() {
            tasks.spawn(async move {
                let mut took = Latencies::default();
                let mut next = 0;
                for number in 0..BATCHES {
                    let durability = match number % 4 {
                        0 => Durability::Synced,
                        _ => Durability::Written,
                    };
                    let options = AppendOptions {
                        durability,
                        ..AppendOptions::default()
                    };
                    let batch = vec![user_message(&format!("beside {number}"))];
                    let ack = took.of(thread.append_with(batch, options)).await;
                    next = ack.trying("append")?.last_ordinal.get() + 1;
                }
                Ok::<_, String>((thread.thread_id(), next, took))
            });
        }
        while let Some(done) = tasks.join_next().await {
            let (id, next, times) = done.trying("append")??;
            self.acknowledged.insert(id, next);
            self.counts.acknowledged += BATCHES as u64;
            took.extend(times);
        }
        Ok(())
    }

    async fn list(&self, sort: SortKey) -> Outcome<()> {
        self.list_of(&self.selvedge, sort).await
    }

    /// Every thread is listed, and those of this process as far as they were acknowledged.
    async fn list_of(&self, selvedge: &Selvedge, sort: SortKey) -> Outcome<()> {
        let mut found = BTreeMap::new();
        for archived in [false, true] {
            let query = ListQuery {
                sort,
                ..every(archived, 10_000)
            };
            found.extend(list_all(selvedge, query).await?);
        }
        for id in &self.listed {
            ensure(found.contains_key(id), || format!("{id} is not listed"))?;
        }
        ensure(found.len() == self.listed.len(), || {
            format!("{} are listed of {}", found.len(), self.listed.len())
        })?;
        for (id, next) in &self.acknowledged {
            let listed = found.get(id).map(|thread| thread.next_ordinal.get());
            ensure(listed == Some(*next), || {
                format!("{id} ends at {next} and is listed with {listed:?}")
            })?;
        }
        Ok(())
    }

    async fn read(&self) -> Outcome<()> {
        let Some((id, next)) = self.acknowledged.iter().next() else {
            return Ok(());
        };
        let read = self.selvedge.read_thread(*id).await.trying("read")?;
        ensure(read.next_ordinal.get() == *next, || {
            format!("{id} ends at {next} and is read with {}", read.next_ordinal)
        })?;
        let turns = self.selvedge.list_turns(*id, TurnQuery::default()).await;
        let turns = turns.trying("list turns")?;
        ensure(!turns.turns.is_empty(), || format!("{id} has no turns"))?;
        let items = ItemQuery {
            limit: 10_000,
            ..ItemQuery::default()
        };
        let items = self
            .selvedge
            .list_items(*id, items)
            .await
            .trying("list items")?;
        let last = items.items.first().map(|item| item.ordinal.get() + 1);
        ensure(last == Some(*next), || {
            format!("{id} ends at {next} and its items at {last:?}")
        })
    }

    async fn history(&self) -> Outcome<()> {
        for (id, next) in self.acknowledged.iter().take(2) {
            let history = self.selvedge.load_history(*id).await;
            let count = history.trying("load a history")?.records.len() as u64;
            ensure(count == *next, || {
                format!("{id} ends at {next} and has {count} records")
            })?;
        }
        Ok(())
    }

    async fn search(&self) -> Outcome<()> {
        let query = SearchQuery {
            term: "BESIDE 7".into(),
            limit: 1000,
            ..SearchQuery::default()
        };
        let found = self.selvedge.search_threads(query).await.trying("search")?;
        let is_there = self.threads.iter().take(THREADS).all(|thread| {
            let id = thread.thread_id();
            found.hits.iter().any(|hit| hit.thread.thread_id == id)
        });
        ensure(is_there, || format!("{} hits", found.hits.len()))
    }

    async fn change(&mut self) -> Outcome<()> {
        let thread = &self.threads[0];
        self.named += 1;
        let name = format!("name {}", self.named);
        let patch = selvedge::view::MetadataPatch {
            name: selvedge::view::Change::Set(name.clone()),
            ..Default::default()
        };
        let id = thread.thread_id();
        let changed = self.selvedge.update_metadata(id, patch).await;
        let changed = changed.trying("change a name")?;
        ensure(changed.name.as_ref() == Some(&name), || {
            format!("{name} was set, {:?} answered", changed.name)
        })?;
        self.acknowledged.insert(id, changed.next_ordinal.get());
        Ok(())
    }

    /// Archives the thread that was started last. It is written to no more.
    async fn archive(&mut self) -> Outcome<()> {
        if self.threads.len() <= THREADS {
            return Ok(());
        }
        let thread = self.threads.pop().ok_or("no thread")?;
        let archived = self.selvedge.archive_thread(thread.thread_id()).await;
        ensure(archived.trying("archive")?.is_archived(), || {
            format!("{} is not archived", thread.thread_id())
        })
    }

    async fn open(&mut self, mode: IndexMode) -> Outcome<()> {
        let opened = Selvedge::open(OpenOptions::new(&self.home).index(mode)).await;
        let selvedge = match (mode, opened) {
            (IndexMode::Wait(_), Err(Error::TimedOut { .. })) => {
                self.counts.refused_opens += 1;
                return Ok(());
            }
            (_, opened) => opened.trying(format_args!("open ({mode:?})"))?,
        };
        self.list_of(&selvedge, SortKey::Created).await?;
        selvedge.shutdown().await.trying("shut down")
    }
}
