//! A full disk, a file size limit, no file handles, a read-only file system, for real: see
//! `selvedge_reliability::limits`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use selvedge_reliability::limits::{Scenario, Verdict};

#[derive(Debug, Parser)]
struct Args {
    /// Try this one alone: disk-full, read-only, file-size, handles, few-handles.
    #[arg(long)]
    only: Option<String>,
    /// Try this in this very process, whose limits are set already.
    #[arg(long, requires = "dir", hide = true)]
    act: Option<String>,
    /// Where.
    #[arg(long, hide = true)]
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let named = |name: &str| {
        Scenario::ALL
            .into_iter()
            .find(|scenario| scenario.name() == name)
    };
    if let (Some(name), Some(dir)) = (&args.act, &args.dir) {
        named(name).unwrap().act(dir);
        return ExitCode::SUCCESS;
    }
    let exe = std::env::current_exe().unwrap();
    let mut code = ExitCode::SUCCESS;
    for scenario in Scenario::ALL {
        if args
            .only
            .as_deref()
            .is_some_and(|only| only != scenario.name())
        {
            continue;
        }
        let verdict = scenario.run(&exe);
        println!("{}: {verdict}", scenario.name());
        if matches!(verdict, Verdict::Failed(_)) {
            let name = scenario.name();
            println!(
                "again: cargo run --release -p selvedge-reliability --bin limits -- --only {name}"
            );
            code = ExitCode::FAILURE;
        }
    }
    code
}
