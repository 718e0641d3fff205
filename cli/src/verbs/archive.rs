//! `archive` and `unarchive`: where a thread is kept.

use super::{Context, Outcome};
use crate::args::ThreadArg;
use crate::error::Result;

/// Puts a thread among the archived ones.
pub(crate) fn archive(args: &ThreadArg, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let thread = home.wait(home.store().archive_thread(args.thread_id))?;
        context.answer_thread(&thread)
    })
}

/// Takes a thread back from them.
pub(crate) fn unarchive(args: &ThreadArg, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let thread = home.wait(home.store().unarchive_thread(args.thread_id))?;
        context.answer_thread(&thread)
    })
}
