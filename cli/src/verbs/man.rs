//! `man`: the manual pages, made from the same words as the help.

use clap::CommandFactory;
use clap_mangen::Man;

use super::Outcome;
use crate::args::{Cli, ManArgs};
use crate::error::{CliError, Result};
use crate::output::Answer;

/// Prints the page of the command, or of a verb.
pub(crate) fn run(args: &ManArgs) -> Result<Outcome> {
    let mut command = Cli::command();
    // Only then do the verbs know the arguments that all of them take, and their full names.
    command.build();
    let page = match &args.verb {
        None => command,
        Some(verb) => {
            let found = command
                .get_subcommands()
                .find(|command| command.get_name() == verb && !command.is_hide_set());
            match found {
                Some(found) => found.clone(),
                None => return Err(CliError::usage(format!("there is no verb '{verb}'"))),
            }
        }
    };
    let mut text = Vec::new();
    Man::new(page)
        .source(concat!("selvedge ", env!("CARGO_PKG_VERSION")))
        .manual("Selvedge")
        .render(&mut text)
        .map_err(CliError::Stdout)?;
    let mut answer = Answer::new();
    answer.bytes(&text)?;
    answer.finish()?;
    Ok(Outcome::Fine)
}
