//! Many processes on one home: the scenarios of [`selvedge_reliability::processes`], as long as
//! they are asked to run.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use selvedge_reliability::processes::child::{Launcher, serve};
use selvedge_reliability::processes::{Plan, Scenario};

/// Tries what must hold when several processes share a home.
#[derive(Debug, Parser)]
struct Args {
    /// Which scenario; all of them, one after another, when none is named.
    #[arg(long, value_enum)]
    scenario: Option<Scenario>,
    /// What all that is random follows from; random itself unless it is given.
    #[arg(long)]
    seed: Option<u64>,
    /// How long each scenario goes on that repeats something.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many logs a home has to begin with.
    #[arg(long, default_value_t = 10_000)]
    logs: usize,
    /// How many processes there are.
    #[arg(long, default_value_t = 10)]
    processes: usize,
}

fn main() -> ExitCode {
    if serve() {
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let plan = Plan {
        launcher: Launcher::program(),
        seed,
        duration: Duration::from_secs(args.seconds),
        logs: args.logs,
        processes: args.processes,
    };
    let scenarios = args
        .scenario
        .map_or(Scenario::ALL.to_vec(), |one| vec![one]);
    let mut is_well = true;
    for scenario in scenarios {
        let name = scenario.name();
        println!("{name}: seed {seed}");
        let began = Instant::now();
        match scenario.run(&plan) {
            Ok(figures) => println!("{name}: ok in {:.1?}: {figures}", began.elapsed()),
            Err(why) => {
                is_well = false;
                println!("{name}: FAILED after {:.1?}: {why}", began.elapsed());
                println!(
                    "again: cargo run --release -p selvedge-reliability --bin processes -- \
                     --scenario {name} --seed {seed} --seconds {} --logs {} --processes {}",
                    args.seconds, args.logs, args.processes
                );
            }
        }
    }
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
