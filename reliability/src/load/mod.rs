//! Load and leaks: thousands of live threads in one process that may open few files, all appending,
//! while they are shut down, resumed, archived, forked, deleted and panicked in, and while callers
//! go away.
//!
//! What must hold:
//! - No operation hangs, and none fails but for what was done to its thread on purpose.
//! - Memory and file handles level off.
//! - A shutdown in the midst of it ends, and leaves no write to a log unsynced.
//! - Everything acknowledged is there afterwards: each batch whole, where the acknowledgement said,
//!   in the order in which it was appended.

mod disk;
mod ledger;
mod reader;
mod samples;
mod slot;
mod watch;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, setrlimit};
use selvedge::{OpenOptions, Selvedge, ThreadId, VerifyReport};
use tokio::task::JoinSet;

pub use disk::{DiskFigures, LoadDisk, silence_planned_panics};
pub use samples::Sample;

use reader::{Reader, intrude};
use samples::{memory_and_handles, not_level};
use slot::{Existence, Field, Slot};
use watch::{HANGS_AFTER, Watch};
use writer::{Common, Writer, start_all};

/// How many tasks check threads at once when all is over.
const CHECKERS: usize = 8;

/// A load.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// How many threads are live.
    pub threads: usize,
    /// For how long, once all are.
    pub duration: Duration,
    /// Between two samples.
    pub sample_every: Duration,
    /// From which everything random comes.
    pub seed: u64,
    /// RLIMIT_NOFILE for this process, from now on.
    pub max_handles: usize,
    /// How many tasks the threads are shared among.
    pub tasks: usize,
    /// Operations a second that the tasks aim at; 0: as many as they can.
    pub rate: u64,
    /// How many of a million writes and syncs of logs panic.
    pub panics_per_million: u64,
    /// How many tasks read.
    pub readers: usize,
    /// Bytes that the process has allocated and not given back: its global allocator counts them.
    /// `None` where it doesn't; resident memory alone is looked at then.
    pub heap_in_use: Option<fn() -> usize>,
}

/// What a load came to.
#[derive(Debug)]
pub struct LoadReport {
    /// What must not have happened.
    pub violations: Vec<String>,
    /// The samples.
    pub samples: Vec<Sample>,
    /// The longest that each operation took.
    pub worst: Vec<(&'static str, Duration)>,
    /// What the disk has seen.
    pub disk: DiskFigures,
    /// What was done, with its name.
    pub counts: Vec<(&'static str, u64)>,
    /// How long it took to start all threads.
    pub started_in: Duration,
    /// How long the shutdown took.
    pub shut_down_in: Duration,
    /// How many threads were compared with what was acknowledged.
    pub checked: usize,
}

/// Puts a home under load, and tells what came of it. `say` is given a line at a time.
///
/// # Panics
/// When the home can't be opened at all.
pub async fn run(home: &Path, options: &LoadOptions, say: impl Fn(String)) -> LoadReport {
    let limit = options.max_handles as u64;
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit).unwrap();
    let disk = LoadDisk::new(options.seed, options.panics_per_million);
    let open = OpenOptions::new(home).create(true);
    let store = Selvedge::open(open.disk(Arc::new(disk.clone())))
        .await
        .unwrap();
    let field = Field {
        store,
        watch: Arc::new(Watch::default()),
    };
    let common = common(&field, options);
    let begun = Instant::now();
    let writers = start_all(&common, options.threads, options.tasks, options.seed).await;
    let started_in = begun.elapsed();
    say(format!(
        "{} threads live after {started_in:.1?}",
        options.threads
    ));
    let working = begin(&field, options, writers);
    let samples = sample(&field, options, &say).await;
    disk.calm_down();
    let (slots, shut_down_in) = shut_down(&field, working).await;
    say(format!("shut down after {shut_down_in:.1?}"));
    let watch = Arc::clone(&field.watch);
    drop((field, common.field));
    for wrong in not_level(&samples, options.max_handles) {
        watch.violated(wrong);
    }
    check_synced(&watch, &disk.unsynced(home).unwrap(), &slots);
    let open = disk.figures().open_logs;
    if open != 0 {
        watch.violated(format!("{open} logs are open after the shutdown"));
    }
    let deleted = std::mem::take(&mut *common.deleted.lock().unwrap());
    let checked = check(home, &watch, (slots, deleted)).await;
    LoadReport {
        violations: watch.violations(),
        samples,
        worst: watch.worst(),
        disk: disk.figures(),
        counts: counts_of(&watch),
        started_in,
        shut_down_in,
        checked,
    }
}

fn common(field: &Field, options: &LoadOptions) -> Common {
    let pause = match options.rate {
        0 => Duration::ZERO,
        rate => Duration::from_secs(1) * options.tasks as u32 / rate as u32,
    };
    Common {
        field: field.clone(),
        keys: Arc::new(AtomicU64::new(0)),
        deleted: Arc::new(Mutex::default()),
        pause,
    }
}

fn begin(field: &Field, options: &LoadOptions, writers: Vec<Writer>) -> JoinSet<Vec<Slot>> {
    let mut working = JoinSet::new();
    for writer in writers {
        working.spawn(writer.work());
    }
    for reader in 0..options.readers {
        let seed = options.seed ^ (reader as u64) << 48;
        let reader = Reader::new(field.clone(), seed, Duration::from_millis(10));
        working.spawn(async move {
            reader.work().await;
            Vec::new()
        });
    }
    let intruding = intrude(field.clone(), options.seed, Duration::from_millis(500));
    working.spawn(async move {
        intruding.await;
        Vec::new()
    });
    working
}

async fn sample(field: &Field, options: &LoadOptions, say: impl Fn(String)) -> Vec<Sample> {
    let begun = Instant::now();
    let (mut samples, mut before) = (Vec::new(), (begun, field.watch.appends.load(SeqCst)));
    while begun.elapsed() < options.duration {
        tokio::time::sleep(options.sample_every).await;
        let live = field.store.loaded_threads();
        let live = field.watch.bounded("loaded", live).await;
        let (now, appends) = (Instant::now(), field.watch.appends.load(SeqCst));
        let (rss, handles) = memory_and_handles();
        let sample = Sample {
            at: begun.elapsed(),
            rss,
            heap: options.heap_in_use.map(|heap| heap() as u64),
            handles,
            live: live.map_or(0, |live| live.len()),
            appends_per_second: (appends - before.1) as f64 / (now - before.0).as_secs_f64(),
        };
        before = (now, appends);
        say(sample.to_string());
        samples.push(sample);
    }
    samples
}

/// Shuts the store down while everybody works, and waits for everybody.
async fn shut_down(field: &Field, mut working: JoinSet<Vec<Slot>>) -> (Vec<Slot>, Duration) {
    field.watch.stop();
    let begun = Instant::now();
    let shutdown = field.store.clone().shutdown();
    if let Some(Err(error)) = field.watch.bounded("shutdown of the store", shutdown).await {
        field
            .watch
            .violated(format!("shutdown of the store: {error}"));
    }
    let took = begun.elapsed();
    let mut slots = Vec::new();
    while let Ok(Some(ended)) = tokio::time::timeout(HANGS_AFTER, working.join_next()).await {
        match ended {
            Ok(ended) => slots.extend(ended),
            Err(error) => field.watch.violated(format!("a task of the load: {error}")),
        }
    }
    if !working.is_empty() {
        let tasks = working.len();
        field.watch.violated(format!("{tasks} tasks hang"));
        working.abort_all();
    }
    for slot in &mut slots {
        slot.handle = None;
    }
    (slots, took)
}

/// What a panic has left of a thread that was never acknowledged need not be synced.
fn check_synced(watch: &Watch, unsynced: &[PathBuf], slots: &[Slot]) {
    let sure = ids_of_sure(slots);
    for log in unsynced {
        let path = log.to_string_lossy();
        if sure.iter().any(|id| path.contains(&id.to_string())) {
            watch.violated(format!("{path} holds what was never synced"));
        }
    }
}

fn ids_of_sure(slots: &[Slot]) -> Vec<ThreadId> {
    let sure = slots
        .iter()
        .filter(|slot| slot.existence == Existence::Sure);
    sure.map(|slot| slot.id).collect()
}

/// Opens the home again and holds all threads against what was acknowledged.
async fn check(home: &Path, watch: &Arc<Watch>, known: (Vec<Slot>, Vec<ThreadId>)) -> usize {
    let (slots, deleted) = known;
    let store = Selvedge::open(OpenOptions::new(home)).await.unwrap();
    for id in deleted {
        if store.find_thread(id).await.is_ok() {
            watch.violated(format!("thread {id} was deleted, and is there"));
        }
    }
    let checked = slots.len();
    let sure = ids_of_sure(&slots);
    let slots = Arc::new(Mutex::new(slots));
    let mut checking = JoinSet::new();
    for _ in 0..CHECKERS {
        let (slots, store, watch) = (Arc::clone(&slots), store.clone(), Arc::clone(watch));
        checking.spawn(async move {
            loop {
                let Some(slot) = slots.lock().unwrap().pop() else {
                    break;
                };
                if let Err(why) = slot.check(&store.load_history(slot.id).await) {
                    watch.violated(format!("thread {} after reopening: {why}", slot.id));
                }
            }
        });
    }
    checking.join_all().await;
    match store.verify().await {
        Ok(report) => check_report(watch, &report, &sure),
        Err(error) => watch.violated(format!("verify: {error}")),
    }
    store.shutdown().await.unwrap();
    checked
}

/// A panic between the making of a file and its first write leaves a file that is no log yet, as a
/// crash would: its thread was never acknowledged.
fn check_report(watch: &Watch, report: &VerifyReport, sure: &[ThreadId]) {
    for log in &report.unreadable {
        let is_sure = |id: &ThreadId| log.path.as_str().contains(&id.to_string());
        if sure.iter().any(is_sure) {
            watch.violated(format!("verify: {log:?}"));
        }
    }
    if let Some(damaged) = report.damaged.first() {
        watch.violated(format!("verify: {damaged:?}"));
    }
    if let Some(difference) = report.differences.first() {
        watch.violated(format!("verify: {difference:?}"));
    }
}

fn counts_of(watch: &Watch) -> Vec<(&'static str, u64)> {
    vec![
        ("appends", watch.appends.load(SeqCst)),
        ("futures cancelled", watch.cancelled.load(SeqCst)),
        ("shutdowns", watch.shutdowns.load(SeqCst)),
        ("resumptions", watch.resumes.load(SeqCst)),
        ("handles dropped", watch.handles_dropped.load(SeqCst)),
        ("deletions", watch.deletes.load(SeqCst)),
        ("moves", watch.moves.load(SeqCst)),
        ("forks", watch.forks.load(SeqCst)),
        ("reads", watch.reads.load(SeqCst)),
        ("events", watch.events.load(SeqCst)),
    ]
}
