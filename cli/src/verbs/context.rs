//! `context`: the end of a thread from which what the model sees can be rebuilt.

use super::history::print;
use super::{Context, Outcome};
use crate::args::ThreadArg;
use crate::error::Result;
use crate::output::Answer;

/// Prints the records, one JSON line each.
pub(crate) fn run(args: &ThreadArg, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let found = home.wait(home.store().load_model_context(args.thread_id))?;
        let mut answer = Answer::new();
        print(&mut answer, found.records.iter())?;
        answer.finish()?;
        Ok(Outcome::Fine)
    })
}
