//! `name` and `set`: explicit changes of what is known of a thread.

use selvedge::ThreadId;
use selvedge::view::MetadataPatch;

use super::{Context, Outcome};
use crate::args::{NameArgs, SetArgs};
use crate::error::{CliError, Result};

/// Names a thread, or takes its name away.
pub(crate) fn name(args: &NameArgs, context: &Context) -> Result<Outcome> {
    change(args.thread.thread_id, args.patch(), context)
}

/// Changes what is known of a thread.
pub(crate) fn set(args: &SetArgs, context: &Context) -> Result<Outcome> {
    match args.patch() {
        Ok(patch) => change(args.thread.thread_id, patch, context),
        Err(why) => Err(CliError::usage(why)),
    }
}

fn change(thread_id: ThreadId, patch: MetadataPatch, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let thread = home.wait(home.store().update_metadata(thread_id, patch))?;
        context.answer_thread(&thread)
    })
}
