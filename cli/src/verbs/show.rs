//! `show`: one thread.

use std::path::{Path, PathBuf};

use selvedge::RealDisk;

use super::{Context, Outcome, absolute};
use crate::args::{ShowArgs, Which};
use crate::error::Result;
use crate::files;

/// Prints what is known of a thread.
pub(crate) fn run(args: &ShowArgs, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let thread = match &args.which {
            Which::Id(id) => home.wait(home.store().read_thread(*id))?,
            Which::Log(path) => {
                let path = where_it_is(path)?;
                home.wait(home.store().read_thread_by_path(&path))?
            }
        };
        context.answer_thread(&thread)
    })
}

/// The path from the root where it leads somewhere from here, otherwise as it was given: below the
/// home.
fn where_it_is(path: &Path) -> Result<PathBuf> {
    let from_here = absolute(path)?;
    let is_here = files::exists(&RealDisk, &from_here).unwrap_or(false);
    Ok(if is_here { from_here } else { path.to_owned() })
}
