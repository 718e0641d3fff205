//! `completions`: what a shell needs to complete the command's words.

use clap::{Command, CommandFactory};

use super::Outcome;
use crate::args::{Cli, CompletionsArgs};
use crate::error::Result;
use crate::output::Answer;

/// Prints a shell's completions.
pub(crate) fn run(args: &CompletionsArgs) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut shown(), "selvedge", &mut script);
    let mut answer = Answer::new();
    answer.bytes(&script)?;
    answer.finish()?;
    Ok(Outcome::Fine)
}

/// The command line without its hidden verbs, which the scripts would offer.
fn shown() -> Command {
    let all = Cli::command();
    let verbs = all.get_subcommands().filter(|verb| !verb.is_hide_set());
    Command::new("selvedge")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .args(all.get_arguments().cloned())
        .subcommands(verbs.cloned())
}
