//! The `selvedge` command: a home of agent threads, from a shell.
//!
//! `args` says what can be asked, `verbs` carries it out (one file a verb), `output` writes the
//! answer. An answer goes to stdout, everything else to stderr; the exit code is 0 when all went
//! well, 1 when something failed or is damaged, 2 for a wrong command line. A reader of stdout
//! that has enough (`selvedge list | head -1`) is no failure.

mod args;
mod error;
mod files;
mod output;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::verbs::Outcome;

fn main() -> ExitCode {
    match verbs::run(&Cli::parse()) {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::DamageFound) => ExitCode::FAILURE,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            output::note(error);
            ExitCode::FAILURE
        }
    }
}
