//! Carries a program out, and keeps the model beside it.

use std::path::Path;
use std::sync::Arc;

use selvedge::simulation::SimulatedDisk;
use selvedge::{Error, ThreadId, UtcMicros};

use super::clock::SimulatedClock;
use super::entry::Known;
use super::ops::Said;
use super::outcome::{Figures, Trace, Violation};
use super::process::{HOME, Hung, Process, Seams};
use super::program::{Death, Index, Need, Op, PROCESSES, Program, Step, THREADS};
use super::thread::{Existence, Kind, Thread};

/// 2026-11-20T14:00:00Z.
const START: i64 = 1_795_183_200_000_000;
/// After this long what is written is synced, whoever asks for it.
const SYNCED_WITHIN: u16 = 400;

/// A home, who has it open, and what must hold of it.
#[derive(Debug)]
pub struct Runner {
    pub(super) seams: Seams,
    clock: Arc<SimulatedClock>,
    pub(super) processes: [Option<Process>; PROCESSES],
    pub(super) threads: Vec<Thread>,
    /// Accesses to the disk may fail.
    pub(super) is_troubled: bool,
    /// It may drop pages.
    pub(super) drops_pages: bool,
    /// The power was lost, and nobody has done anything since: what is found is on the medium.
    pub(super) is_fresh: bool,
    /// Makes each record another one.
    pub(super) serial: u64,
    pub(super) figures: Figures,
}

/// Runs a program.
///
/// # Errors
/// What must not be.
pub fn run(program: &Program) -> Result<Figures, Box<Violation>> {
    run_traced(program, None)
}

/// Runs a program, and tells what it does to the disk.
///
/// # Errors
/// What must not be.
pub fn run_traced(
    program: &Program,
    mut trace: Option<&mut Trace>,
) -> Result<Figures, Box<Violation>> {
    let mut runner = Runner::new(program.seed);
    let mut at = 0;
    let mut outcome = Ok(());
    while outcome.is_ok() && at <= program.steps.len() {
        outcome = match program.steps.get(at) {
            Some(step) => runner.take(step),
            None => runner.finish(),
        };
        if let Some(trace) = trace.as_deref_mut() {
            trace.note(at, runner.seams.disk.trace());
        }
        at += 1;
    }
    runner.figures.disk = runner.seams.disk.counts();
    match outcome {
        Ok(()) => Ok(runner.figures),
        Err(what) => Err(Box::new(Violation {
            step: at - 1,
            what,
            model: runner.threads.iter().filter_map(Thread::told).collect(),
        })),
    }
}

/// The id of a thread.
pub(super) fn id_of(number: u8) -> ThreadId {
    ThreadId::from_bytes([number.wrapping_mul(83).wrapping_add(7); 16])
}

impl Runner {
    fn new(seed: u64) -> Self {
        let clock = Arc::new(SimulatedClock::new(UtcMicros::new(START)));
        let seams = Seams {
            disk: SimulatedDisk::new(seed, Arc::clone(&clock) as _),
            clock: Arc::clone(&clock) as _,
        };
        Self {
            seams,
            clock,
            processes: [const { None }; PROCESSES],
            threads: (0..THREADS).map(Thread::new).collect(),
            is_troubled: false,
            drops_pages: false,
            is_fresh: false,
            serial: 0,
            figures: Figures::default(),
        }
    }

    pub(super) fn thread(&mut self, number: u8) -> &mut Thread {
        &mut self.threads[usize::from(number)]
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        self.figures.steps += 1;
        self.clock.advance_micros(1_000);
        match step {
            Step::Do { by, op } => {
                let op = self.prepare((*by).into(), op)?;
                self.act((*by).into(), &op)
            }
            Step::Cancelled { by, polls, op } => {
                let op = self.prepare((*by).into(), op)?;
                self.cancel((*by).into(), *polls, &op)
            }
            Step::CutShort {
                by,
                after,
                death,
                op,
            } => self.cut_short((*by).into(), (*after, *death), op),
            Step::Kill { by } => {
                self.kill((*by).into());
                Ok(())
            }
            Step::LosePower => {
                self.lose_power();
                Ok(())
            }
            Step::Clock { seconds } => {
                self.clock.advance_micros(i64::from(*seconds) * 1_000_000);
                Ok(())
            }
            Step::Wait { millis } => self.wait(*millis),
            Step::Plant { thread, lines } => {
                self.plant(*thread, *lines);
                Ok(())
            }
            Step::RemoveIndex => {
                self.remove_index();
                Ok(())
            }
            Step::Heal => self.heal(),
            Step::Fault(_) | Step::NoRoom { .. } | Step::ReadOnly | Step::FewHandles { .. } => {
                self.make_trouble(step);
                Ok(())
            }
        }
    }

    /// Everything is well again, everybody goes on, and everything is there once more after the
    /// power was lost.
    fn finish(&mut self) -> Result<(), String> {
        self.heal()?;
        for by in 0..PROCESSES {
            self.close(by)?;
        }
        self.open(0, Index::Wait)?;
        for number in 0..THREADS {
            let thread = self.thread(number).clone();
            if thread.is_kept() {
                self.act(0, &Op::Resume { thread: number })?;
                let append = Op::Append {
                    thread: number,
                    records: 2,
                    synced: true,
                    expect: true,
                };
                self.act(0, &append)?;
            }
        }
        self.lose_power();
        self.open(0, Index::Wait)?;
        self.close(0)
    }

    /// Gives an operation threads with which it makes sense, where it leaves that open.
    fn prepare(&mut self, by: usize, op: &Op) -> Result<Op, String> {
        let mut prepared = op.clone();
        for (number, need) in prepared.threads() {
            if *number >= THREADS {
                *number = self.thread_for(by, (*number % THREADS, need))?;
            }
        }
        Ok(prepared)
    }

    /// A thread that is what it must be, made so if need be.
    fn thread_for(&mut self, by: usize, (from, need): (u8, Need)) -> Result<u8, String> {
        let all = (0..THREADS).map(|at| (from + at) % THREADS);
        let fits = |thread: &Thread| match need {
            Need::Absent => thread.existence == Existence::Absent && thread.is_certain(),
            Need::Live => thread.live == Some(by),
            Need::Kept => thread.is_kept() && thread.live.is_none_or(|live| live == by),
            Need::Cold => thread.is_kept() && thread.live.is_none(),
            Need::Archived => thread.is_kept() && thread.archived == Some(true),
        };
        let found = all
            .clone()
            .find(|number| fits(&self.threads[usize::from(*number)]));
        if let Some(number) = found {
            return Ok(number);
        }
        let is_free = |thread: &Thread| match thread.existence {
            Existence::Absent => thread.is_certain(),
            Existence::Kept => thread.live.is_none_or(|live| live == by),
            Existence::Deferred(owner) => owner == by,
            Existence::MayBe | Existence::Wreck => false,
        };
        let mut all = all;
        let free = all.find(|number| is_free(&self.threads[usize::from(*number)]));
        let Some(thread) = free else {
            return Ok(from);
        };
        let mut before = Vec::new();
        match self.threads[usize::from(thread)].existence {
            Existence::Absent => before.push(Op::Start { thread }),
            Existence::Kept if need == Need::Live => before.push(Op::Resume { thread }),
            _ => {}
        }
        let ends = from % 2 == 0;
        match need {
            Need::Absent => before = vec![Op::Delete { thread }],
            Need::Live => {}
            Need::Kept => before.push(Op::Turn { thread, ends }),
            Need::Cold => before.extend([Op::Turn { thread, ends }, Op::Shutdown { thread }]),
            Need::Archived => before.extend([Op::Turn { thread, ends }, Op::Archive { thread }]),
        }
        for op in before {
            self.act(by, &op)?;
        }
        Ok(thread)
    }

    /// A process does something.
    pub(super) fn act(&mut self, by: usize, op: &Op) -> Result<(), String> {
        if let Op::Reopen { index } = op {
            self.close(by)?;
            return self.open(by, *index);
        }
        if !self.is_possible(by, op)? {
            return Ok(());
        }
        self.is_fresh = false;
        let given = self.given(by, op);
        let batches = given.batches.clone();
        let said = {
            let process = self.processes[by].as_ref().expect("it was opened");
            let doing = super::ops::carry_out(&process.store, op, given);
            process.wait(doing).map_err(|Hung| hangs(op))?
        };
        self.learn(by, op, (batches, said))?;
        self.check_loaded(by)
    }

    /// Whether a process, which is started if need be, can do something that makes sense.
    fn is_possible(&mut self, by: usize, op: &Op) -> Result<bool, String> {
        if !self.makes_sense(by, op) {
            return Ok(false);
        }
        if self.processes[by].is_none() {
            self.open(by, Index::Wait)?;
        }
        // What was found on the way may be something else than what was expected.
        Ok(self.processes[by].is_some() && self.makes_sense(by, op))
    }

    /// A process begins something that nobody waits for.
    fn cancel(&mut self, by: usize, polls: u8, op: &Op) -> Result<(), String> {
        if matches!(op, Op::Reopen { .. }) || !self.is_possible(by, op)? {
            return Ok(());
        }
        self.is_fresh = false;
        let given = self.given(by, op);
        let batches = given.batches.clone();
        if let Some(process) = &self.processes[by] {
            let doing = super::ops::carry_out(&process.store, op, given);
            process.begin(polls, doing).map_err(|Hung| hangs(op))?;
            self.learn(by, op, (batches, Said::Nothing))?;
            self.adopt_loaded(by)?;
            if !self.is_troubled {
                self.settle(by)?;
            }
        }
        Ok(())
    }

    /// A process does something, and dies meanwhile.
    fn cut_short(
        &mut self,
        by: usize,
        (after, death): (u16, Death),
        op: &Op,
    ) -> Result<(), String> {
        let op = self.prepare(by, op)?;
        let was_troubled = self.is_troubled;
        self.fail_everything_after(after);
        let acted = self.act(by, &op);
        match death {
            Death::Kill => self.kill(by),
            Death::Power => self.lose_power(),
        }
        acted?;
        self.is_troubled = was_troubled;
        // The other faults that were planned are forgotten with it; nobody has noticed them yet,
        // or there is still something to be mended.
        self.seams.disk.heal();
        Ok(())
    }

    pub(super) fn kill(&mut self, by: usize) {
        let Some(process) = self.processes[by].take() else {
            return;
        };
        self.figures.kills += 1;
        process.kill();
        self.lose_live(by);
    }

    /// A process's memory is gone.
    pub(super) fn lose_live(&mut self, by: usize) {
        for thread in &mut self.threads {
            if thread.live == Some(by) || thread.existence == Existence::Deferred(by) {
                thread.lose_process(self.drops_pages);
            }
        }
    }

    fn lose_power(&mut self) {
        self.figures.power_losses += 1;
        self.seams.disk.lose_power();
        for process in &mut self.processes {
            if let Some(process) = process.take() {
                process.kill();
            }
        }
        for thread in &mut self.threads {
            thread.lose_power();
        }
        self.is_fresh = true;
    }

    /// Shuts a process down.
    fn close(&mut self, by: usize) -> Result<(), String> {
        let Some(process) = self.processes[by].take() else {
            return Ok(());
        };
        let closed = process
            .shut_down()
            .map_err(|Hung| "a shutdown does not end".to_owned())?;
        match closed {
            Ok(()) => {
                for thread in &mut self.threads {
                    if thread.live == Some(by) {
                        thread.sync();
                        thread.has_dropped &= self.drops_pages;
                    }
                }
            }
            Err(why) if self.is_troubled => drop(why),
            Err(why) if self.is_any_told_lost(by, &why) => drop(why),
            Err(why) => return Err(format!("a shutdown failed: {why}")),
        }
        self.lose_live(by);
        Ok(())
    }

    fn is_any_told_lost(&mut self, by: usize, why: &Error) -> bool {
        let live = self
            .threads
            .iter_mut()
            .filter(|thread| thread.live == Some(by));
        live.fold(false, |told, thread| thread.is_told_lost(why) | told)
    }

    /// Starts a process, and checks what it finds.
    pub(super) fn open(&mut self, by: usize, index: Index) -> Result<(), String> {
        let started = Process::start(&self.seams, index);
        match started.map_err(|Hung| "opening does not end".to_owned())? {
            Ok(process) => self.processes[by] = Some(process),
            Err(_) if self.is_troubled => return Ok(()),
            Err(why) => return Err(format!("opening failed: {why}")),
        }
        match self.is_troubled {
            true => Ok(()),
            false => self.check(by),
        }
    }

    fn wait(&mut self, millis: u16) -> Result<(), String> {
        self.clock.advance_micros(i64::from(millis) * 1_000);
        for by in 0..PROCESSES {
            let Some(process) = &self.processes[by] else {
                continue;
            };
            process
                .sleep(millis)
                .map_err(|Hung| "time stands still".to_owned())?;
            if millis >= SYNCED_WITHIN && !self.is_troubled {
                for thread in &mut self.threads {
                    if thread.live == Some(by) {
                        thread.sync();
                    }
                }
            }
            self.check_loaded(by)?;
        }
        Ok(())
    }

    /// Another tool writes into a log that nobody has open.
    fn plant(&mut self, number: u8, lines: u8) {
        let id = id_of(number);
        let thread = self.thread(number).clone();
        if thread.live.is_some() || !thread.is_certain() {
            return;
        }
        let path = match thread.existence {
            Existence::Absent => None,
            Existence::Kept if thread.kind == Kind::Lines => {
                let name = format!("{id}.jsonl");
                let of_thread = |path: &std::path::PathBuf| path.to_string_lossy().ends_with(&name);
                match self.seams.disk.files().into_iter().find(of_thread) {
                    Some(path) => Some(path),
                    None => return,
                }
            }
            _ => return,
        };
        let mut bytes = path
            .as_ref()
            .and_then(|path| self.seams.disk.read_file(path))
            .unwrap_or_default();
        if bytes.last().is_some_and(|last| *last != b'\n') {
            bytes.push(b'\n');
        }
        let mut records = Vec::new();
        if path.is_none() {
            bytes.extend(super::ops::meta_line(id).into_bytes());
            records.push(super::entry::Expected::Meta(id.to_string()));
        }
        for _ in 0..lines {
            let fact = super::ops::plain(&mut self.serial);
            bytes.extend(super::ops::line(&fact).into_bytes());
            records.push(super::entry::Expected::Exactly(fact));
        }
        let path = path.unwrap_or_else(|| {
            let day = "sessions/2026/11/19";
            format!("{HOME}/{day}/rollout-2026-11-19T10-00-00-{id}.jsonl").into()
        });
        self.seams.disk.write_file(&path, &bytes);
        // Whoever has swept the home sees it again only later.
        self.clock.advance_micros(3_000_000);
        let thread = self.thread(number);
        if !thread.is_kept() {
            thread.forget();
        }
        thread.kind = Kind::Lines;
        let which = thread.push(records);
        thread.acknowledge(which, Known::Synced, None);
        thread.existence = Existence::Kept;
    }

    fn remove_index(&mut self) {
        if self.processes.iter().all(Option::is_none) {
            let index = Path::new(HOME).join("index.redb");
            if self.seams.disk.files().contains(&index) {
                self.seams.disk.remove_file(&index);
            }
        }
    }
}

pub(super) fn hangs(op: &Op) -> String {
    format!("{op:?} does not end")
}

/// An error that stands for something which could have been foreseen.
pub(super) fn told(error: &Error) -> String {
    format!("{error} ({error:?})")
}
