//! `search`: the threads in which something was said.

use selvedge::{Clock, SearchHit, SearchQuery, SystemClock, ThreadFilter, UtcMicros};

use super::list::{tell_coverage, tell_cursor};
use super::{Context, Outcome};
use crate::args::SearchArgs;
use crate::error::Result;
use crate::output::json::SearchJson;
use crate::output::table::{stdout_columns, title};
use crate::output::text::{one_line, short_time, truncate};
use crate::output::{Answer, note};

/// Prints a page of threads, each with the first place where the words were found.
pub(crate) fn run(args: &SearchArgs, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let query = SearchQuery {
            term: args.term.clone(),
            filter: ThreadFilter {
                archived: args.archived,
                ..ThreadFilter::default()
            },
            limit: args.page.limit(),
            cursor: args.page.cursor.clone(),
            ..SearchQuery::default()
        };
        let page = home.wait(home.store().search_threads(query))?;
        let mut answer = Answer::new();
        if context.json {
            answer.json(&SearchJson::of(&page, &context.home)?)?;
        } else {
            let (columns, now) = (stdout_columns(), SystemClock.now());
            for hit in &page.hits {
                for line in lines(hit, columns, now) {
                    answer.line(line)?;
                }
            }
        }
        answer.finish()?;
        if !context.json {
            if page.hits.is_empty() {
                note("nobody said that");
            }
            tell_cursor(page.next_cursor.as_deref());
        }
        tell_coverage(page.coverage);
        Ok(Outcome::Fine)
    })
}

/// The thread, and below it what was found.
fn lines(hit: &SearchHit, columns: usize, now: UtcMicros) -> [String; 2] {
    let thread = &hit.thread;
    let time = short_time(thread.created_at, now);
    let line = format!("{}  {time:<10}  {}", thread.thread_id, title(thread));
    let snippet = format!("    {}", one_line(&hit.snippet));
    [
        truncate(line.trim_end(), columns),
        truncate(&snippet, columns),
    ]
}
