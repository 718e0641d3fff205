//! `fork` and `review`: a new thread that begins with another one's history.

use selvedge::{ForkThread, LiveThread};

use super::{Context, OpenHome, Outcome};
use crate::args::{ForkArgs, ThreadArg};
use crate::error::Result;

/// Forks a thread.
pub(crate) fn fork(args: &ForkArgs, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let fork = ForkThread {
            point: args.point(),
            ..ForkThread::of(args.thread.thread_id)
        };
        let new = home.wait(home.store().fork_thread(fork))?;
        keep(&new, home, context)
    })
}

/// Starts a review of a thread, detached from it.
pub(crate) fn review(args: &ThreadArg, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let new = home.wait(home.store().review_thread(args.thread_id))?;
        keep(&new, home, context)
    })
}

/// Tells of the new thread once a loss of power can't take it any more.
fn keep(new: &LiveThread, home: &OpenHome, context: &Context) -> Result<Outcome> {
    home.wait(new.persist())?;
    home.wait(new.shutdown())?;
    let thread = home.wait(home.store().read_thread(new.thread_id()))?;
    context.answer_thread(&thread)
}
