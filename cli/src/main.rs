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
use clap::error::ErrorKind;

use crate::args::Cli;
use crate::error::CliError;
use crate::verbs::Outcome;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // `--help` and `--version` are answers, and a command line of nothing asks for help.
        Err(told) if is_help(&told) => told.exit(),
        Err(error) => return failed(&CliError::of_parser(&error)),
    };
    match verbs::run(&cli) {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::DamageFound) => ExitCode::FAILURE,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Whether what the parser says is more than what is wrong.
fn is_help(told: &clap::Error) -> bool {
    !told.use_stderr() || told.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}

/// Tells why nothing came of it, in one line.
fn failed(error: &CliError) -> ExitCode {
    output::note(error);
    ExitCode::from(error.exit_code())
}
