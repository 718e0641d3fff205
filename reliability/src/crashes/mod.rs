//! The crash matrix: worker processes are killed at random times on the real file system, and
//! what they leave is opened and checked, round after round on the same home.

mod prepare;
mod round;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::worker::Launcher;
use crate::worker::check::{Checked, Leftovers, Model};

/// Which homes and workers a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Matrix {
    /// One process, native logs.
    Native,
    /// One process, JSON-lines logs that are there, some of them compressed.
    JsonLines,
    /// One process that appends while many logs are taken into the index.
    Backfill,
    /// Two to four processes on both kinds of logs.
    Several,
}

impl Matrix {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Native, Self::JsonLines, Self::Backfill, Self::Several];
}

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which homes and workers.
    pub matrix: Matrix,
    /// How many rounds.
    pub rounds: u64,
    /// What all choices follow from; the kill's moment in the worker's work does not.
    pub seed: u64,
    /// How many rounds a home lives.
    pub fresh_every: u64,
    /// For how long at most a worker works before the kill, in milliseconds.
    pub longest_run: u64,
    /// How many logs there are to be taken into the index, where that is what is tried.
    pub logs: usize,
    /// Where the homes are made, and kept where something is wrong.
    pub dir: PathBuf,
    /// Whether each round is told on the standard error.
    pub is_told: bool,
    /// How this program is run again as a worker.
    pub launcher: Launcher,
}

impl Plan {
    /// What a rerun of this plan is asked for with.
    pub fn command(&self) -> String {
        use clap::ValueEnum;
        let matrix = self.matrix.to_possible_value().unwrap();
        format!(
            "cargo run --release -p selvedge-reliability --bin crashes -- --role {} --rounds {} --seed {} --fresh-every {} --longest-run {} --logs {}",
            matrix.get_name(),
            self.rounds,
            self.seed,
            self.fresh_every,
            self.longest_run,
            self.logs
        )
    }
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// How many rounds there were.
    pub rounds: u64,
    /// How many processes were killed.
    pub kills: u64,
    /// How many of these before they had acknowledged anything.
    pub early_kills: u64,
    /// How many were asked to stop, and did.
    pub stops: u64,
    /// How many acknowledgements were looked after.
    pub acknowledged: u64,
    /// How many appends and patches of unknown outcome were there, whole.
    pub unknown_there: u64,
    /// How many were not.
    pub unknown_gone: u64,
    /// How many logs ended in the midst of a write.
    pub torn: u64,
    /// How many threads were read.
    pub threads: u64,
    /// How many records were read.
    pub records: u64,
    /// The most of each kind that lay beside the logs at once.
    pub leftovers: Leftovers,
    /// What must not be, each with where it is kept.
    pub violations: Vec<String>,
}

impl Figures {
    fn take(&mut self, checked: &Checked) {
        self.rounds += 1;
        self.acknowledged += checked.acknowledged;
        self.unknown_there += checked.unknown_there;
        self.unknown_gone += checked.unknown_gone;
        self.torn += checked.torn;
        self.threads += checked.threads;
        self.records += checked.records;
        self.leftovers.max(&checked.leftovers);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rounds {} kills {} early {} stops {} acknowledged {} unknown-there {} unknown-gone {} torn {} threads-read {} records-read {} leftovers {:?} violations {}",
            self.rounds,
            self.kills,
            self.early_kills,
            self.stops,
            self.acknowledged,
            self.unknown_there,
            self.unknown_gone,
            self.torn,
            self.threads,
            self.records,
            self.leftovers.of,
            self.violations.len()
        )
    }
}

/// A run that has found as many homes that are wrong has found enough.
const ENOUGH: usize = 3;

/// Runs a plan.
pub async fn run(plan: &Plan) -> Figures {
    let mut rng = fastrand::Rng::with_seed(plan.seed);
    let mut figures = Figures::default();
    let templates = prepare::Templates::make(plan).await;
    let mut home: Option<round::Home> = None;
    let mut kept = 0;
    for number in 0..plan.rounds {
        let mut current = match home.take() {
            Some(current) if !number.is_multiple_of(plan.fresh_every) => current,
            _ => round::Home::fresh(plan, number, &templates, &mut rng).await,
        };
        let outcome = current.round(plan, number, &mut rng).await;
        figures.take(&outcome.checked);
        figures.kills += outcome.kills;
        figures.early_kills += outcome.early_kills;
        figures.stops += outcome.stops;
        if plan.is_told {
            eprintln!(
                "{:?} round {number}: {}: {} acknowledged, {} threads, {} records, {:?}",
                plan.matrix,
                outcome.how,
                outcome.checked.acknowledged,
                outcome.checked.threads,
                outcome.checked.records,
                outcome.checked.leftovers.of,
            );
        }
        if outcome.checked.violations.is_empty() {
            home = Some(current);
            continue;
        }
        let place = current.keep(&outcome);
        for what in &outcome.checked.violations {
            let what = format!("round {number} ({}): {what}", outcome.how);
            eprintln!("{what}");
            figures.violations.push(what);
        }
        eprintln!("kept in {}; {}", place.display(), plan.command());
        kept += 1;
        if kept == ENOUGH {
            break;
        }
    }
    figures
}

/// Copies a folder.
fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_all(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// What a home must hold that was prepared as it is.
async fn model_of(home: &Path) -> Model {
    Model::of(home).await.unwrap()
}
