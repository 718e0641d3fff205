//! `occurrences`: the places in one thread where something was said.

use selvedge::{Clock, Occurrence, OccurrenceQuery, Speaker, SystemClock, UtcMicros};

use super::list::tell_cursor;
use super::{Context, Outcome};
use crate::args::OccurrencesArgs;
use crate::error::Result;
use crate::output::json::OccurrencePageJson;
use crate::output::table::stdout_columns;
use crate::output::text::{one_line, short_time, truncate};
use crate::output::{Answer, note};

/// Prints a page of places, oldest first.
pub(crate) fn run(args: &OccurrencesArgs, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let query = OccurrenceQuery {
            term: args.term.clone(),
            limit: args.page.limit(),
            cursor: args.page.cursor.clone(),
        };
        let id = args.thread.thread_id;
        let page = home.wait(home.store().search_occurrences(id, query))?;
        let mut answer = Answer::new();
        if context.json {
            answer.json(&OccurrencePageJson::of(&page))?;
            answer.finish()?;
            return Ok(Outcome::Fine);
        }
        let (columns, now) = (stdout_columns(), SystemClock.now());
        for place in &page.occurrences {
            answer.line(line(place, columns, now))?;
        }
        answer.finish()?;
        if page.occurrences.is_empty() {
            note("nobody said that");
        }
        tell_cursor(page.next_cursor.as_deref());
        Ok(Outcome::Fine)
    })
}

fn line(place: &Occurrence, columns: usize, now: UtcMicros) -> String {
    let who = match place.speaker {
        Speaker::User => "user",
        Speaker::Agent => "agent",
    };
    let time = short_time(place.time, now);
    let snippet = one_line(&place.snippet);
    let line = format!("{:>6}  {time:<10}  {who:<5}  {snippet}", place.ordinal);
    truncate(&line, columns)
}
