//! `occurrences`: the places in one thread where something was said.

use selvedge::{Clock, Occurrence, OccurrenceQuery, Speaker, SystemClock, UtcMicros};

use super::list::tell_cursor;
use super::{Context, Outcome};
use crate::args::OccurrencesArgs;
use crate::error::Result;
use crate::output::json::OccurrencePageJson;
use crate::output::table::stdout_columns;
use crate::output::text::{one_line, short_time, truncate, truncate_front, width};
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
            answer.line(line(place, &args.term, (columns, now)))?;
        }
        answer.finish()?;
        if page.occurrences.is_empty() {
            note("nobody said that");
        }
        tell_cursor(page.next_cursor.as_deref());
        Ok(Outcome::Fine)
    })
}

/// How many characters of a snippet can stand before what was found, `... ` included.
const MAX_BEFORE: usize = 53;

/// A place in `columns` columns, cut so that what was found is seen: it is what was asked for.
fn line(place: &Occurrence, term: &str, (columns, now): (usize, UtcMicros)) -> String {
    let who = match place.speaker {
        Speaker::User => "user",
        Speaker::Agent => "agent",
    };
    let time = short_time(place.time, now);
    let head = format!("{:>6}  {time:<10}  {who:<5}  ", place.ordinal);
    let snippet = one_line(&place.snippet);
    let room = columns.saturating_sub(width(&head));
    if width(&snippet) <= room {
        return format!("{head}{snippet}");
    }
    let (before, rest) = snippet.split_at(found_at(&snippet, place, &one_line(term)));
    let before = truncate_front(before, room / 3);
    truncate(&format!("{head}{before}{rest}"), columns)
}

/// Where in the snippet the place is: the last time that the term begins no later than the place
/// can. 0 where the term is not seen, because the snippet has other white space.
fn found_at(snippet: &str, place: &Occurrence, term: &str) -> usize {
    let latest = if snippet.starts_with("... ") {
        MAX_BEFORE
    } else {
        usize::try_from(place.utf16_range.start).unwrap_or(usize::MAX)
    };
    let folded = |text: &str| {
        text.chars()
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    let term = folded(term);
    let begins =
        |&at: &usize| (snippet.get(at..)).is_some_and(|rest| folded(rest).starts_with(&term));
    let starts = snippet.char_indices().map(|(at, _)| at);
    starts
        .take(latest.saturating_add(1))
        .filter(begins)
        .last()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge::Ordinal;

    #[test]
    fn what_was_found_is_seen_however_much_stands_before_it() {
        let now = UtcMicros::parse("2026-02-20T09:15:00Z").unwrap();
        let place = |snippet: &str, start| Occurrence {
            ordinal: Ordinal::new(8),
            time: now,
            turn_id: None,
            turn_cursor: None,
            speaker: Speaker::Agent,
            utf16_range: start..start + 6,
            snippet: snippet.to_owned(),
        };
        let seen = |snippet: &str, start| line(&place(snippet, start), "needle", (80, now));
        let (before, after) = ("b".repeat(49), "a".repeat(96));

        let cut = seen(&format!("... {before}NEEDLE{after} ..."), 500);
        assert!(cut.contains("bNEEDLEa") && width(&cut) <= 80, "{cut}");
        let second = seen(&format!("needle {}Needle{after}", "b".repeat(42)), 49);
        assert!(second.contains("bNeedlea"), "{second}");
        let short = seen("a needle", 2);
        assert!(short.ends_with("agent  a needle"), "{short}");
        let narrow = line(&place(&format!("{before} x"), 3), "needle", (10, now));
        assert!(width(&narrow) <= 10, "{narrow}");
    }
}
