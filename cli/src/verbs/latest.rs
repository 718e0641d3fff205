//! `latest`: the thread to go on with.

use super::{Context, Outcome, cwd};
use crate::args::LatestArgs;
use crate::error::{CliError, Result};

/// Prints the thread that was used last, here or anywhere.
pub(crate) fn run(args: &LatestArgs, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let cwds = cwd::alternatives(&args.cwds)?;
        let found = home.wait(home.store().latest_thread(cwds))?;
        let thread = found.ok_or(CliError::NothingToResume)?;
        context.answer_thread(&thread)
    })
}
