//! `list`: a page of threads.

use selvedge::{Clock, Coverage, ListQuery, Page, SystemClock, ThreadFilter, Verification};

use super::{Context, Outcome, cwd};
use crate::args::ListArgs;
use crate::error::Result;
use crate::output::json::PageJson;
use crate::output::table::{TableStyle, thread_table};
use crate::output::text::counted;
use crate::output::{Answer, note};

/// Prints a page of threads.
pub(crate) fn run(args: &ListArgs, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let page = home.wait(home.store().list_threads(query(args)?))?;
        let mut answer = Answer::new();
        if context.json {
            answer.json(&PageJson::of(&page, &context.home)?)?;
        } else {
            let style = TableStyle::for_stdout(args.sort.into(), SystemClock.now());
            answer.line(thread_table(&page.threads, &style))?;
        }
        answer.finish()?;
        if !context.json {
            tell_the_rest(&page);
        }
        Ok(Outcome::Fine)
    })
}

fn query(args: &ListArgs) -> Result<ListQuery> {
    Ok(ListQuery {
        filter: ThreadFilter {
            archived: args.archived,
            include_empty: args.include_empty,
            cwds: cwd::alternatives(&args.cwds)?,
            providers: args.providers.clone(),
            sources: args.sources.clone(),
            search: args.search.clone(),
            parent: args.parent,
            ancestor: args.ancestor,
            ..ThreadFilter::default()
        },
        sort: args.sort.into(),
        direction: args.direction(),
        limit: usize::from(args.limit),
        cursor: args.cursor.clone(),
        verification: if args.index_only {
            Verification::IndexOnly
        } else {
            Verification::Verified
        },
    })
}

/// What a person must know besides the table: whether it is all, and how to go on.
fn tell_the_rest(page: &Page) {
    if page.threads.is_empty() {
        note("no thread matches");
    }
    tell_cursor(page.next_cursor.as_deref());
    tell_coverage(page.coverage);
}

/// Says how to go on.
pub(super) fn tell_cursor(next: Option<&str>) {
    if let Some(cursor) = next {
        note(format_args!(
            "there are more: repeat with --cursor {cursor}"
        ));
    }
}

/// Says what an answer does not cover.
pub(super) fn tell_coverage(coverage: Coverage) {
    match coverage {
        Coverage::Complete { failed: 0 } => {}
        Coverage::Complete { failed } => note(format_args!(
            "{} can't be read; `selvedge verify` tells which and why",
            counted(failed, "log")
        )),
        Coverage::Partial {
            indexed,
            pending,
            failed,
        } => note(format_args!(
            "this is not all yet: {indexed} logs are indexed, {pending} are not, {failed} can't be \
             read; `selvedge index` goes on"
        )),
    }
}
