//! Processes that append to their own threads, and now and then to each other's, while others list,
//! search, read and subscribe; all of them are killed at random and started again.
//!
//! An appender is a [`crate::worker`], whose words go to a file, its journal. A lister reads all
//! journals before it asks the home something and again afterwards: what was acknowledged before
//! must be in the answer, as far as nobody has tried to change it meanwhile. In the end the
//! workers' own checker holds the home against everything that was said.

mod journal;
mod lister;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use selvedge::ThreadId;

use super::child::{Child, HANG, Role as ChildRole};
use super::homes::check;
use super::{Figures, Outcome, Plan, Trying, ensure, note, runtime};
use crate::worker::check::{Checked, Model, Thoroughness};
use crate::worker::said::ORDER;
use crate::worker::{Doing, Ended, Line, Order, Refusal, Report, Role, payload};
pub use lister::Part;

/// How many of the processes list and search.
const LISTERS: usize = 2;
/// The longest time between two kills.
const LONGEST_PAUSE: Duration = Duration::from_millis(1500);
/// So long an appender waits between two operations: the machine is not to be measured here.
const PAUSE_MICROS: u64 = 2_000;

/// An appender, and what it says.
struct Appender {
    journal: PathBuf,
    running: Option<(Process, Order, u64)>,
    /// What its earlier processes have said.
    reports: Vec<Report>,
}

/// The most logs that the home begins with: with those that are added, listings in an order that appends
/// change have to fit one page.
const MAX_PREPARED: usize = 5_000;

/// Appends, lists and kills with `plan.processes` processes for `plan.duration`, in a home of
/// `plan.logs` JSON-lines logs to begin with.
///
/// # Errors
/// What did not hold.
pub fn run(plan: &Plan, dir: &Path) -> Outcome {
    let (home, journals) = (dir.join("home"), dir.join("journals"));
    let sessions = home.join("sessions/2026/03/01");
    for dir in [&sessions, &journals] {
        std::fs::create_dir_all(dir).trying("make a directory")?;
    }
    for number in 0..plan.logs.min(MAX_PREPARED) {
        let id = ThreadId::generate();
        let file = sessions.join(format!("rollout-2026-03-01T10-00-00-{id}.jsonl"));
        std::fs::write(file, payload::prepared_lines(id, number)).trying("write a log")?;
    }
    let runtime = runtime()?;
    let mut model = runtime.block_on(Model::of(&home)).trying("read the home")?;
    let listers = LISTERS.min(plan.processes.saturating_sub(1)).max(1);
    let appenders = plan.processes.saturating_sub(listers).max(2);
    note(format_args!(
        "soak: {appenders} processes append, {listers} list"
    ));
    let mut scene = Scene {
        plan,
        home: &home,
        journals: &journals,
        rng: Rng::with_seed(plan.seed),
        appenders: (0..appenders)
            .map(|slot| Appender {
                journal: journals.join(format!("{slot:02}")),
                running: None,
                reports: Vec::new(),
            })
            .collect(),
        listers: Vec::new(),
        counts: Counts::default(),
    };
    scene.go_on(listers)?;
    scene.end()?;

    note("soak: everything that was said is looked for");
    let reports: Vec<Report> = scene
        .appenders
        .iter()
        .flat_map(|appender| appender.reports.iter().cloned())
        .collect();
    let conflicts = check_conflicts(&scene.appenders)?;
    let thoroughness = Thoroughness {
        resumed: 20,
        seed: plan.seed,
    };
    let found = runtime.block_on(model.check(&home, &reports, thoroughness));
    ensure(found.violations.is_empty(), || {
        found
            .violations
            .iter()
            .take(20)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    })?;
    runtime.block_on(check(&home))?;
    Ok(figures(&scene.counts, &found, conflicts))
}

fn figures(counts: &Counts, found: &Checked, conflicts: u64) -> Figures {
    Figures::default()
        .with("processes started", counts.started)
        .with("kills", counts.kills)
        .with("acknowledgements", found.acknowledged)
        .with("conflicts over a thread", conflicts)
        .with("looks of listers", counts.looks)
        .with("threads in the end", found.threads)
        .with("records", found.records)
        .with("appends of unknown outcome there", found.unknown_there)
        .with("and not there", found.unknown_gone)
        .with("torn logs", found.torn)
}

/// A writer's conflict is one where another process has wanted the thread. Gives how many there
/// were.
fn check_conflicts(appenders: &[Appender]) -> Outcome<u64> {
    let wants = |slot: usize, thread: ThreadId| {
        let lines = appenders[slot]
            .reports
            .iter()
            .flat_map(|report| &report.lines);
        lines.clone().any(|line| match line {
            Line::Trying { doing, .. } => doing.thread() == thread,
            _ => false,
        })
    };
    let mut conflicts = 0;
    for (slot, appender) in appenders.iter().enumerate() {
        for report in &appender.reports {
            let mut tried = std::collections::BTreeMap::new();
            for line in &report.lines {
                match line {
                    Line::Trying { op, doing } => {
                        tried.insert(*op, doing);
                    }
                    Line::Refused {
                        op,
                        refusal: Refusal::Writer,
                        why,
                        ..
                    } => {
                        conflicts += 1;
                        let Some(thread) = tried.get(op).map(|doing: &&Doing| doing.thread())
                        else {
                            continue;
                        };
                        let mut others = (0..appenders.len()).filter(|other| *other != slot);
                        ensure(others.any(|other| wants(other, thread)), || {
                            format!("nobody else has ever wanted {thread}: {why}")
                        })?;
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(conflicts)
}

#[derive(Debug, Default)]
struct Counts {
    started: u64,
    kills: u64,
    looks: u64,
}

struct Scene<'a> {
    plan: &'a Plan,
    home: &'a Path,
    journals: &'a Path,
    rng: Rng,
    appenders: Vec<Appender>,
    listers: Vec<Child>,
    counts: Counts,
}

impl Scene<'_> {
    /// Starts all, and kills one after another.
    fn go_on(&mut self, listers: usize) -> Outcome<()> {
        for slot in 0..self.appenders.len() {
            self.start_appender(slot)?;
        }
        for _ in 0..listers {
            let lister = self.start_lister()?;
            self.listers.push(lister);
        }
        let began = Instant::now();
        while began.elapsed() < self.plan.duration || self.counts.kills < 3 {
            let pause = self.rng.u64(0..LONGEST_PAUSE.as_micros() as u64);
            std::thread::sleep(Duration::from_micros(pause));
            self.hear_listers()?;
            let who = self.rng.usize(0..self.appenders.len() + self.listers.len());
            self.counts.kills += 1;
            match who.checked_sub(self.appenders.len()) {
                None => {
                    self.end_appender(who, true)?;
                    self.start_appender(who)?;
                }
                Some(at) => {
                    self.listers[at].kill()?;
                    self.hear_lister(at)?;
                    self.listers[at] = self.start_lister()?;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Outcome<()> {
        for slot in 0..self.appenders.len() {
            self.end_appender(slot, false)?;
        }
        for mut lister in std::mem::take(&mut self.listers) {
            // Whatever is said now is in the journals for good: it looks once more at all of it.
            lister.tell("once more")?;
            loop {
                let said = lister.hear_any(HANG).ok_or("a lister ended")?;
                self.counts.looks += u64::from(said["said"] == "looked");
                if said["said"] == "done" {
                    break;
                }
                ensure(said["said"] == "looked", || said.to_string())?;
            }
            lister.end()?;
        }
        Ok(())
    }

    fn start_lister(&mut self) -> Outcome<Child> {
        self.counts.started += 1;
        self.plan.launcher.start(&ChildRole::Soak(Part::new(
            self.home,
            self.journals,
            self.rng.u64(..),
        )))
    }

    fn hear_listers(&mut self) -> Outcome<()> {
        (0..self.listers.len()).try_for_each(|at| self.hear_lister(at))
    }

    fn hear_lister(&mut self, at: usize) -> Outcome<()> {
        while let Some(said) = self.listers[at].hear_any(Duration::ZERO) {
            ensure(said["said"] == "looked", || said.to_string())?;
            self.counts.looks += 1;
        }
        Ok(())
    }

    fn start_appender(&mut self, slot: usize) -> Outcome<()> {
        self.counts.started += 1;
        let slots = self.appenders.len() as u64;
        let appender = &mut self.appenders[slot];
        let order = Order {
            seed: self.rng.u64(..),
            lanes: 3,
            share: (slot as u64, slots),
            background: self.rng.bool(),
            pause_micros: PAUSE_MICROS,
            ..Order::new(
                self.home,
                format!("s{slot}.{}", appender.reports.len()),
                Role::Mixed,
            )
        };
        let journal = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&appender.journal);
        let journal: File = journal.trying("open a journal")?;
        let begins = journal.metadata().trying("look at a journal")?.len();
        let process = Command::new(std::env::current_exe().trying("find this program")?)
            .args(self.plan.launcher.args())
            .env(
                ORDER,
                serde_json::to_string(&order).trying("spell an order")?,
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::from(journal))
            .spawn()
            .trying("start an appender")?;
        appender.running = Some((process, order, begins));
        Ok(())
    }

    /// Ends an appender, and takes its words in.
    fn end_appender(&mut self, slot: usize, kills: bool) -> Outcome<()> {
        let appender = &mut self.appenders[slot];
        let Some((mut process, order, begins)) = appender.running.take() else {
            return Ok(());
        };
        if kills {
            process.kill().trying("kill an appender")?;
        }
        drop(process.stdin.take());
        let began = Instant::now();
        let status = loop {
            match process.try_wait().trying("wait for an appender")? {
                Some(status) => break status,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
            ensure(began.elapsed() < HANG, || {
                // It ends with whoever started it.
                let _ = process.kill();
                format!("{} does not end", order.tag)
            })?;
        };
        let said = std::fs::read(&appender.journal).trying("read a journal")?;
        let said = said.get(usize::try_from(begins).trying("measure")?..);
        let lines: Vec<Line> = journal::lines(said.unwrap_or_default()).collect();
        let ended = match (kills, status.success(), lines.last()) {
            (true, false, _) => Ended::Killed,
            (_, true, Some(Line::Stopped)) => Ended::Stopped,
            _ => Ended::Otherwise,
        };
        let wrong = lines.iter().find(|line| match line {
            Line::Wrong { .. } => true,
            Line::Refused { fine, .. } => !fine,
            _ => false,
        });
        ensure(wrong.is_none() && ended != Ended::Otherwise, || {
            format!("{} ended with {status}: {wrong:?}", order.tag)
        })?;
        appender.reports.push(Report {
            order,
            lines,
            ended,
        });
        Ok(())
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        for (process, ..) in self
            .appenders
            .iter_mut()
            .filter_map(|one| one.running.as_mut())
        {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
