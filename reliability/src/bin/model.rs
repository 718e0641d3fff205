//! Runs random programs against a plain model: see `selvedge_reliability::model`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use selvedge_reliability::model::{Figures, run_seed, seeds};

/// Runs random programs of store operations on a simulated disk, and holds what is found after
/// every reopening against a plain model.
#[derive(Debug, Parser)]
struct Args {
    /// How many programs are run.
    #[arg(long, default_value_t = 1_000)]
    programs: u64,
    /// What the programs are made from; a random one unless it is given.
    #[arg(long, value_parser = number)]
    seed: Option<u64>,
    /// The most steps of a program.
    #[arg(long, default_value_t = 40)]
    steps: usize,
    /// Runs the program of this seed alone.
    #[arg(long, value_parser = number)]
    program: Option<u64>,
    /// Goes on after a violation, and shows the first of each.
    #[arg(long)]
    keep_going: bool,
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|why| why.to_string())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let run = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let programs = if args.program.is_some() {
        1
    } else {
        args.programs
    };
    println!(
        "model: {programs} programs of up to {} steps, seed {run:#x}",
        args.steps
    );
    let began = Instant::now();
    let mut sum = Figures::default();
    let mut failed = 0_u64;
    for at in 0..programs {
        let seed = args.program.unwrap_or_else(|| seeds::seed_of(run, at));
        match run_seed(seed, args.steps) {
            Ok(figures) => sum.add(&figures),
            Err(failure) => {
                failed += 1;
                println!("\nprogram {at} of seed {run:#x}: {failure}\n");
                if !args.keep_going {
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "model: {programs} programs, {failed} violations, {} steps, {} acknowledged, {} checks, {} kills, \
         {} power losses, {} faults met, {} accesses to the disk, {seconds:.1} s, {:.1} programs/s",
        sum.steps,
        sum.acknowledged,
        sum.checks,
        sum.kills,
        sum.power_losses,
        sum.disk.faults,
        sum.disk.operations,
        programs as f64 / seconds
    );
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
