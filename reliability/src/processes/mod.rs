//! Many processes on one home, on the real file system. Each file but those that all share
//! ([`child`], [`homes`], [`disk`]) is a scenario:
//!
//! | scenario | what must hold |
//! |---|---|
//! | [`start`] | processes that open a home of unindexed logs at the same instant: each log is read once, none fails, each lists all |
//! | [`soak`] | processes append, list and search while they are killed and started again: every process sees every thread, and nothing acknowledged is missing |
//! | [`stopped`] | a process that is stopped, in an index transaction or anywhere else, delays nobody's appends, and others' reads for a bounded time only |
//! | [`lease`] | the lease of a killed backfiller is taken over at once, a stopped one's when it ends, and what it commits later is refused |
//! | [`handover`] | a thread is free as soon as the shutdown of it is acknowledged |
//!
//! The processes are this program again: see [`child::Launcher`].

pub mod child;
pub mod disk;
pub mod handover;
pub mod homes;
pub mod lease;
pub mod soak;
pub mod start;
pub mod stopped;

use std::fmt::{self, Display};
use std::time::{Duration, Instant};

use child::Launcher;

/// A scenario's outcome: `Err` says what did not hold.
pub type Outcome<T = Figures> = Result<T, String>;

/// What a scenario is run with.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How the other processes are started.
    pub launcher: Launcher,
    /// What all that is random follows from. Who runs when is up to the machine.
    pub seed: u64,
    /// How long it goes on, where it repeats something.
    pub duration: Duration,
    /// How many logs a home has to begin with.
    pub logs: usize,
    /// How many processes there are.
    pub processes: usize,
}

/// The scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Many open a home of unindexed logs at once.
    Start,
    /// Many append, list and search, and are killed.
    Soak,
    /// One is stopped, the others go on.
    Stopped,
    /// A backfiller is killed or stopped.
    Lease,
    /// A thread goes from one to the next.
    Handover,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Start,
        Self::Soak,
        Self::Stopped,
        Self::Lease,
        Self::Handover,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Soak => "soak",
            Self::Stopped => "stopped",
            Self::Lease => "lease",
            Self::Handover => "handover",
        }
    }

    /// Runs it, in a directory of its own, which stays where something did not hold.
    ///
    /// # Errors
    /// What did not hold.
    pub fn run(self, plan: &Plan) -> Outcome {
        let dir = tempfile::tempdir().trying("make a directory")?;
        let run = match self {
            Self::Start => start::run,
            Self::Soak => soak::run,
            Self::Stopped => stopped::run,
            Self::Lease => lease::run,
            Self::Handover => handover::run,
        };
        run(plan, dir.path()).map_err(|why| format!("{why}\nleft in {}", dir.keep().display()))
    }
}

/// What was counted and measured.
#[derive(Debug, Default)]
pub struct Figures(Vec<(&'static str, String)>);

impl Figures {
    /// Adds a figure.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.0.push((name, value.to_string()));
        self
    }
}

impl Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name} {value}")?;
        }
        Ok(())
    }
}

/// The longest and the middle one of some durations.
#[derive(Debug, Default, Clone)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Measures `work`.
    pub async fn of<T>(&mut self, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = work.await;
        self.0.push(began.elapsed());
        done
    }

    /// Takes others over.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}

impl Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let millis = |at: Option<&Duration>| at.map_or(0.0, |took| took.as_secs_f64() * 1e3);
        write!(
            f,
            "{} (median {:.1} ms, longest {:.1} ms)",
            sorted.len(),
            millis(sorted.get(sorted.len() / 2)),
            millis(sorted.last())
        )
    }
}

/// Says what was tried when it failed.
pub trait Trying<T> {
    /// # Errors
    /// The failure, behind what was tried.
    fn trying(self, what: impl Display) -> Outcome<T>;
}

impl<T, E: Display> Trying<T> for Result<T, E> {
    fn trying(self, what: impl Display) -> Outcome<T> {
        self.map_err(|why| format!("{what}: {why}"))
    }
}

/// Something that must hold.
///
/// # Errors
/// `otherwise`, when it does not.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome<()> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// One line of what goes on. Tests show it where they fail.
pub fn note(what: impl Display) {
    println!("{what}");
}

/// A runtime as an agent would run it, with as many workers as this machine has cores.
///
/// # Errors
/// What the machine refused.
pub fn runtime() -> Outcome<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .trying("start a runtime")
}
