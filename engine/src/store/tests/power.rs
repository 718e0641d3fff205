//! Whatever is done to threads and at whichever operation the power fails or the process dies: what
//! was acknowledged at its level is there, batches are whole and in order, and the index opens and
//! says what the logs say.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use selvedge_codec::{ByteOffset, Item, ThreadId};

use super::home::WAIT;
use crate::clock::ManualClock;
use crate::disk::simulated::{Fault, FaultKind, Operations, SimulatedDisk, SimulatedProcess};
use crate::listing::{ListQuery, SortKey, ThreadFilter, scan_list};
use crate::log::{History, LogState, NewThread, ThreadLog};
use crate::sample_home::{id, meta, moment};
use crate::store::{ForkSource, Store, StoreOptions};
use crate::thread::ForkPoint;
use crate::{Error, Result};

const HOME: &str = "/machine/home";
const DAY_MILLIS: i64 = 86_400_000;

/// A batch: its thread, its number there, and how many records it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Batch {
    thread: u8,
    number: u32,
    size: usize,
}

impl Batch {
    fn items(self) -> Vec<Item> {
        let text = |index| format!("{}.{}.{index}.{}", self.thread, self.number, self.size);
        let payload = |index| format!(r#"{{"type":"user_message","message":"{}"}}"#, text(index));
        (0..self.size)
            .map(|index| Item::json("event_msg", payload(index)).unwrap())
            .collect()
    }
}

/// The batches of a history, which must be whole.
fn batches_of(history: &History) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut next = 0;
    for record in &history.records {
        let payload = record.payload_json().unwrap();
        let payload: serde_json::Value = serde_json::from_str(payload.get()).unwrap();
        let Some(text) = payload["message"].as_str() else {
            continue;
        };
        let parts: Vec<u32> = text.split('.').map(|part| part.parse().unwrap()).collect();
        let [thread, number, index, size] = parts[..] else {
            panic!("{text}");
        };
        let batch = Batch {
            thread: u8::try_from(thread).unwrap(),
            number,
            size: size as usize,
        };
        if index == 0 {
            assert_eq!(next, 0, "half a batch before {text}");
            batches.push(batch);
        }
        assert_eq!(batches.last(), Some(&batch));
        assert_eq!(index as usize, next, "{text}");
        next = (next + 1) % batch.size;
    }
    assert_eq!(next, 0, "half a batch at the end");
    batches
}

#[derive(Debug, Default)]
struct Thread {
    log: Option<ThreadLog>,
    /// Whether making it was acknowledged.
    is_made: bool,
    /// What was acknowledged, in order.
    batches: Vec<Batch>,
    /// How many of them were acknowledged as durable. `None`: not even the thread.
    synced: Option<usize>,
    /// What was tried last and not acknowledged.
    tried: Vec<Batch>,
    next_number: u32,
    /// A deletion has begun: all of it may be gone.
    may_be_gone: bool,
    /// What archiving has acknowledged; `None` when it was cut short.
    archived: Option<bool>,
}

/// A machine with one process that works in one home.
struct World {
    disk: SimulatedDisk,
    clock: Arc<ManualClock>,
    process: SimulatedProcess,
    store: Store,
    threads: BTreeMap<u8, Thread>,
    /// Threads whose deletion was acknowledged.
    deleted: Vec<u8>,
    next_thread: u8,
    rng: Rng,
    /// What was done, for whoever looks at a failing seed.
    done: Vec<String>,
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut trace = self.disk.trace();
            let last = trace.len().saturating_sub(40);
            let recent = trace.split_off(last);
            trace.retain(|line| line.contains(" met "));
            trace.extend(recent);
            eprintln!("{}\n{}", trace.join("\n"), self.done.join("\n"));
        }
    }
}

fn open(disk: &SimulatedDisk, clock: &Arc<ManualClock>) -> Result<(SimulatedProcess, Store)> {
    let process = disk.process();
    let store = Store::open(StoreOptions {
        disk: Arc::new(process.clone()),
        clock: clock.clone(),
        create_home: true,
        ..StoreOptions::new(HOME)
    })?;
    store.backfill(WAIT, &|_| ())?;
    Ok((process, store))
}

impl World {
    fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(moment(0)));
        let disk = SimulatedDisk::new(seed, clock.clone());
        let (process, store) = open(&disk, &clock).unwrap();
        Self {
            disk,
            clock,
            process,
            store,
            threads: BTreeMap::new(),
            deleted: Vec::new(),
            next_thread: 1,
            rng: Rng::with_seed(seed),
            done: Vec::new(),
        }
    }

    fn any_thread(&mut self) -> Option<u8> {
        let numbers: Vec<u8> = self.threads.keys().copied().collect();
        self.rng.choice(numbers)
    }

    fn new_thread(&mut self) -> (u8, NewThread) {
        let number = self.next_thread;
        self.next_thread += 1;
        let created_at = moment(self.rng.i64(0..3) * DAY_MILLIS);
        let meta = Item::json("session_meta", meta(number, "").payload).unwrap();
        let new = NewThread {
            thread_id: id(number),
            created_at,
            meta,
        };
        (number, new)
    }

    fn start(&mut self) -> Result<()> {
        let (number, new) = self.new_thread();
        let mut log = ThreadLog::create(self.store.log_context().clone(), new);
        let thread = Thread {
            archived: Some(false),
            ..Thread::default()
        };
        let started = log.materialize();
        let thread = Thread {
            is_made: started.is_ok(),
            ..thread
        };
        self.threads.insert(
            number,
            Thread {
                log: Some(log),
                ..thread
            },
        );
        started
    }

    /// A thread whose log another tool has begun.
    fn put_lines(&mut self) {
        let (number, new) = self.new_thread();
        let log = crate::home::Home::new_log_path(
            new.thread_id,
            new.created_at,
            crate::home::LogFormat::JsonLines,
        );
        let line = crate::sample_home::line(0, &meta(number, ""), None);
        let file = self.store.log_context().home.log_file(&log);
        self.disk.write_file(&file, line.as_bytes());
        let thread = Thread {
            is_made: true,
            synced: Some(0),
            archived: Some(false),
            ..Thread::default()
        };
        self.threads.insert(number, thread);
    }

    /// The open log of a thread.
    fn log(&mut self, number: u8) -> Result<&mut Thread> {
        let thread = self.threads.get_mut(&number).unwrap();
        if thread.log.is_none() {
            let found = self.store.find(id(number))?;
            let context = self.store.log_context().clone();
            let (log, _) = ThreadLog::open(context, id(number), &found.path)?;
            thread.log = Some(log);
        }
        Ok(thread)
    }

    fn append(&mut self, number: u8) -> Result<()> {
        let sizes: Vec<usize> = (0..self.rng.usize(1..4))
            .map(|_| self.rng.usize(1..4))
            .collect();
        let thread = self.log(number)?;
        let is_lines = thread.log.as_ref().unwrap().format() != crate::home::LogFormat::Native;
        let mut batches = Vec::new();
        for size in sizes {
            thread.next_number += 1;
            batches.push(Batch {
                thread: number,
                number: thread.next_number,
                // Of JSON lines each counts for itself.
                size: if is_lines { 1 } else { size },
            });
        }
        thread.tried.clone_from(&batches);
        let items = batches.iter().map(|batch| batch.items()).collect();
        thread.log.as_mut().unwrap().append(items)?;
        thread.is_made = true;
        thread.tried.clear();
        thread.batches.extend(batches);
        Ok(())
    }

    fn sync(&mut self, number: u8) -> Result<()> {
        let thread = self.log(number)?;
        let log = thread.log.as_mut().unwrap();
        log.sync()?;
        if log.state() == LogState::Live {
            thread.synced = Some(thread.batches.len());
        }
        Ok(())
    }

    fn close(&mut self, number: u8) -> Result<()> {
        let thread = self.threads.get_mut(&number).unwrap();
        if let Some(log) = &mut thread.log {
            log.close()?;
            thread.synced = Some(thread.batches.len());
            thread.log = None;
        }
        Ok(())
    }

    fn fork(&mut self, parent: u8) -> Result<()> {
        let (number, new) = self.new_thread();
        let source = ForkSource {
            thread_id: id(parent),
            upto: None,
            is_durable: false,
        };
        let thread = Thread {
            batches: self.threads[&parent].batches.clone(),
            archived: Some(false),
            ..Thread::default()
        };
        self.threads.insert(number, thread);
        let log = self.store.fork(&source, &ForkPoint::Whole, new)?;
        let thread = self.threads.get_mut(&number).unwrap();
        thread.log = Some(log);
        thread.is_made = true;
        Ok(())
    }

    fn relocate(&mut self, number: u8) -> Result<()> {
        self.close(number)?;
        let to_archive = self.rng.bool();
        let thread = self.threads.get_mut(&number).unwrap();
        let before = thread.archived.take();
        let moved = match to_archive {
            true => self.store.archive(id(number)),
            false => self.store.unarchive(id(number)),
        };
        match moved {
            Ok(_) => thread.archived = Some(to_archive),
            Err(Error::ThreadNotFound { .. }) => thread.archived = before,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn delete(&mut self, number: u8) -> Result<()> {
        let thread = self.threads.get_mut(&number).unwrap();
        thread.log = None;
        thread.may_be_gone = true;
        self.store.delete(id(number))?;
        self.threads.remove(&number);
        self.deleted.push(number);
        Ok(())
    }

    fn catch_up(&mut self) -> Result<()> {
        let logs: Vec<(ThreadId, _)> = self
            .threads
            .values()
            .filter_map(|thread| thread.log.as_ref())
            .map(|log| (log.thread_id(), log.path().clone()))
            .collect();
        self.store.catch_up(&logs)
    }

    fn step(&mut self) -> Result<()> {
        self.clock
            .advance_micros(self.rng.choice([0, 1, 4_000, 2_500_000]).unwrap());
        let step = self.rng.u8(0..34);
        let Some(number) = self.any_thread() else {
            return self.start();
        };
        let (what, done) = match step {
            0..=2 => ("start", self.start()),
            3 => {
                self.put_lines();
                ("put lines", Ok(()))
            }
            4..=15 => ("append", self.append(number)),
            16..=20 => ("sync", self.sync(number)),
            21 | 22 => ("close", self.close(number)),
            23 | 24 => ("fork", self.fork(number)),
            25 | 26 => ("relocate", self.relocate(number)),
            27 => ("delete", self.delete(number)),
            28..=30 => ("catch up", self.catch_up()),
            31 => ("list", self.store.list(&ListQuery::default()).map(drop)),
            32 => ("backfill", self.store.backfill(WAIT, &|_| ()).map(drop)),
            _ => ("reopen", self.reopen()),
        };
        let thread = self.threads.get(&number).map(|thread| &thread.batches);
        self.done.push(format!(
            "{what} {number}: {done:?} {}",
            thread.map_or(0, Vec::len)
        ));
        done
    }

    fn reopen(&mut self) -> Result<()> {
        let numbers: Vec<u8> = self.threads.keys().copied().collect();
        for number in numbers {
            self.close(number)?;
        }
        self.store.close()?;
        (self.process, self.store) = open(&self.disk, &self.clock)?;
        Ok(())
    }

    /// Ends the process, or takes the power away, and looks at what is left.
    fn crash(&mut self, loses_power: bool) {
        self.done.push(format!("crash {loses_power}"));
        if loses_power {
            self.disk.lose_power();
        } else {
            self.process.kill();
        }
        self.disk.heal();
        for thread in self.threads.values_mut() {
            thread.log = None;
        }
        (self.process, self.store) = open(&self.disk, &self.clock).unwrap();
        let numbers: Vec<u8> = self.threads.keys().copied().collect();
        for number in numbers {
            self.check(number, loses_power);
        }
        for number in &self.deleted {
            let found = self.store.find(id(*number));
            assert!(
                matches!(found, Err(Error::ThreadNotFound { .. })),
                "thread {number} was deleted: {found:?}"
            );
        }
        self.check_index();
    }

    fn check(&mut self, number: u8, loses_power: bool) {
        let thread = self.threads.get_mut(&number).unwrap();
        let must_be = match loses_power {
            true => thread.synced,
            false => thread.is_made.then_some(thread.batches.len()),
        };
        let found = match self.store.history(id(number)) {
            // It was never synced, and has lost its head: it is not written on.
            Ok(history) if must_be.is_none() && has_lost_its_head(&history) => {
                self.threads.remove(&number);
                return;
            }
            Ok(history) => batches_of(&history),
            Err(error) => {
                let is_gone = matches!(error, Error::ThreadNotFound { .. });
                assert!(
                    must_be.is_none() || is_gone && thread.may_be_gone,
                    "thread {number}: {must_be:?} of {:?}: {error}",
                    thread.batches
                );
                if thread.may_be_gone {
                    // It is gone for good once that is acknowledged.
                    self.store.delete(id(number)).unwrap();
                    self.deleted.push(number);
                }
                self.threads.remove(&number);
                return;
            }
        };
        let must_be = &thread.batches[..must_be.unwrap_or(0)];
        assert!(
            found.starts_with(must_be),
            "thread {number}: {found:?} lacks some of {must_be:?}"
        );
        let mut written = thread.batches.iter().chain(&thread.tried);
        for batch in &found {
            assert!(
                written.any(|written| written == batch),
                "thread {number}: {batch:?} was not written there: {found:?} of {thread:?}"
            );
        }
        if let Some(archived) = thread.archived {
            let summary = self.store.read_thread(id(number)).unwrap();
            assert_eq!(summary.archived_at.is_some(), archived, "thread {number}");
        }
        if loses_power {
            // What is there now is on the medium.
            thread.synced = Some(found.len());
        }
        thread.batches = found;
        thread.is_made = true;
        thread.tried.clear();
        thread.archived = None;
        thread.may_be_gone = false;
    }

    fn check_index(&self) {
        let (disk, home) = (&*self.store.context.disk, &self.store.context.home);
        for archived in [false, true] {
            let query = ListQuery {
                sort: SortKey::Updated,
                filter: ThreadFilter {
                    archived,
                    include_empty: true,
                    ..ThreadFilter::default()
                },
                limit: 100,
                ..ListQuery::default()
            };
            let scanned = scan_list(disk, home, &query).unwrap();
            assert_eq!(self.store.list(&query).unwrap(), scanned);
        }
        let report = self.store.verify().unwrap();
        assert_eq!(report.differences, [], "{report:?}");
        assert!(home.root() == Path::new(HOME));
    }
}

fn has_lost_its_head(history: &History) -> bool {
    let first = history.damage.first();
    first.is_some_and(|damage| damage.offset == ByteOffset::ZERO)
}

/// Some programs, each with some crashes. Prints the seed that fails, and what the disk did last.
fn run_crashes(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..3 {
        let loses_power = world.rng.u8(0..4) > 0;
        // Everything fails from some operation on, until the crash.
        let after = world.rng.u64(1..1500);
        world
            .disk
            .plan(Fault::always(Operations::Any, FaultKind::Io).after(after));
        for _ in 0..60 {
            if let Err(error) = world.step() {
                let is_fault = matches!(error, Error::Io { .. } | Error::OutOfSpace { .. });
                let is_unwritten = matches!(error, Error::ThreadNotFound { .. });
                assert!(is_fault || is_unwritten, "{error:?}");
                if is_fault {
                    break;
                }
            }
        }
        world.crash(loses_power);
    }
    world
}

/// One program in which single operations fail, each until it was told and the disk is healed.
fn run_faults(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..12 {
        let on = world.rng.choice(Operations::EACH).unwrap();
        let kind = world.rng.choice(kinds_for(on)).unwrap();
        world.disk.plan(Fault {
            times: world.rng.u64(1..4),
            ..Fault::once(on, *kind).after(world.rng.u64(0..60))
        });
        for _ in 0..8 {
            if let Err(error) = world.step() {
                world.check_told(&error);
                world.disk.heal();
                world.go_on();
            }
        }
        world.disk.heal();
    }
    world.go_on();
    world.check_index();
    world.crash(true);
    world
}

/// What an operation may meet. That a directory's sync drops entries is assumed not to happen.
fn kinds_for(on: Operations) -> &'static [FaultKind] {
    use FaultKind::{DroppedPages, Interrupted, Io, NoSpace, ReadOnly, Short, TooManyFiles};
    match on {
        Operations::Sync => &[Io, NoSpace, DroppedPages, DroppedPages, Interrupted],
        Operations::Open | Operations::List => &[Io, TooManyFiles, ReadOnly, NoSpace],
        Operations::SyncDir => &[Io, TooManyFiles, NoSpace],
        _ => &[Io, NoSpace, ReadOnly, Short, Interrupted],
    }
}

impl World {
    fn check_told(&self, error: &Error) {
        let is_told = matches!(
            error,
            Error::Io { .. } | Error::OutOfSpace { .. } | Error::ThreadNotFound { .. }
        );
        assert!(is_told, "{error:?}");
    }

    /// Once the disk works again, so does everything.
    fn go_on(&mut self) {
        let numbers: Vec<u8> = self.threads.keys().copied().collect();
        for number in numbers {
            let thread = self.threads.get_mut(&number).unwrap();
            if thread.may_be_gone {
                self.delete(number).unwrap();
                continue;
            }
            if thread.log.is_none() && !thread.is_made {
                // A fork that was refused is not there.
                self.threads.remove(&number);
                continue;
            }
            if let Some(log) = &mut thread.log {
                log.materialize().unwrap();
                thread.is_made = true;
            }
            match self.sync(number) {
                Ok(()) => {}
                // What a dead writer left and no sync has ever written.
                Err(Error::Corrupt { .. }) => panic!("nobody died"),
                Err(error) => panic!("thread {number}: {error:?}"),
            }
            let thread = self.threads.get_mut(&number).unwrap();
            let found = batches_of(&self.store.history(id(number)).unwrap());
            assert_eq!(found, thread.batches, "thread {number}");
            thread.tried.clear();
        }
    }
}

fn run_seeds(seeds: std::ops::Range<u64>, run: fn(u64) -> World) {
    let fails = |seed: &u64| std::panic::catch_unwind(|| drop(run(*seed))).is_err();
    let failed: Vec<u64> = seeds.filter(fails).collect();
    assert_eq!(failed, [0; 0], "these seeds fail");
}

/// `SEEDS=from:to` tries others.
fn seeds(most: u64) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("SEEDS") else {
        return 0..most;
    };
    let (from, to) = text.split_once(':').unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_any_operation() {
    run_seeds(seeds(25), run_crashes);
}

#[test]
fn a_fault_is_told_and_costs_nothing_that_was_acknowledged() {
    run_seeds(seeds(25), run_faults);
}

#[test]
fn one_seed_does_the_same_again() {
    // The names of open marks are numbered through all stores of this process.
    let is_log = |path: &std::path::PathBuf| path.to_string_lossy().contains("rollout-");
    let of = |world: World| {
        let mut counts = world.disk.counts();
        let logs: Vec<_> = world.disk.files().into_iter().filter(is_log).collect();
        let bytes: Vec<_> = logs.iter().map(|log| world.disk.read_file(log)).collect();
        counts.bytes_written = 0;
        let steps = world.done.iter().filter_map(|done| done.split(':').next());
        let steps: Vec<_> = steps.map(str::to_owned).collect();
        (steps, counts, logs, bytes)
    };
    for seed in 0..3 {
        assert_eq!(of(run_crashes(seed)), of(run_crashes(seed)), "seed {seed}");
    }
}
