//! Kills processes that work on a home, hundreds of times, and checks what they leave.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use selvedge_reliability::crashes::{Matrix, Plan, run};
use selvedge_reliability::worker::{self, Launcher};

/// Kills processes that work on a home, and checks what they leave.
#[derive(Parser)]
struct Args {
    /// How many rounds, of each role.
    #[arg(long, default_value_t = 100)]
    rounds: u64,
    /// What all choices follow from; random unless said.
    #[arg(long)]
    seed: Option<u64>,
    /// Which homes and workers; all of them unless said.
    #[arg(long)]
    role: Option<Matrix>,
    /// How many rounds a home lives.
    #[arg(long, default_value_t = 20)]
    fresh_every: u64,
    /// For how long at most workers work before the kill, in milliseconds.
    #[arg(long, default_value_t = 400)]
    longest_run: u64,
    /// How many logs are taken into the index where that is what is tried.
    #[arg(long, default_value_t = 2000)]
    logs: usize,
    /// Where homes are made, and kept when something is wrong.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Tells each round.
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    if let Some(worked) = worker::run_if_asked() {
        return worked;
    }
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let roles = args.role.map_or(Matrix::ALL.to_vec(), |role| vec![role]);
    let mut is_right = true;
    for matrix in roles {
        let dir = args.dir.clone().unwrap_or_else(std::env::temp_dir);
        let plan = Plan {
            matrix,
            rounds: args.rounds,
            seed,
            fresh_every: args.fresh_every.max(1),
            longest_run: args.longest_run,
            logs: args.logs,
            dir: dir.join(format!("selvedge-crashes-{}", std::process::id())),
            is_told: args.verbose,
            launcher: Launcher::program(),
        };
        let figures = runtime.block_on(run(&plan));
        println!("{matrix:?}: {figures}");
        is_right &= figures.violations.is_empty();
        // Where nothing is kept the folder is empty.
        let _ = std::fs::remove_dir(&plan.dir);
    }
    match is_right {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
