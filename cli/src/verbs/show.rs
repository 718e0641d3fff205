//! `show`: one thread.

use super::{Context, Outcome};
use crate::args::ThreadArg;
use crate::error::Result;

/// Prints what is known of a thread.
pub(crate) fn run(args: &ThreadArg, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let thread = home.wait(home.store().read_thread(args.thread_id))?;
        context.answer_thread(&thread)
    })
}
