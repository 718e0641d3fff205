//! `turns`: a page of a thread's turns.

use selvedge::{Clock, SystemClock, TurnQuery};

use super::list::tell_cursor;
use super::{Context, Outcome};
use crate::args::TurnsArgs;
use crate::error::Result;
use crate::output::json::TurnPageJson;
use crate::output::table::stdout_columns;
use crate::output::turn::{TurnStyle, turn_heads, turn_lines};
use crate::output::{Answer, note};

/// Prints a page of turns.
pub(crate) fn run(args: &TurnsArgs, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let id = args.thread.thread_id;
        let query = TurnQuery {
            direction: args.page.direction(),
            limit: args.page.limit(),
            cursor: args.page.cursor.clone(),
            items: args.items.into(),
        };
        let page = home.wait(home.store().list_turns(id, query))?;
        let mut answer = Answer::new();
        if context.json {
            answer.json(&TurnPageJson::of(&page, id)?)?;
            answer.finish()?;
            return Ok(Outcome::Fine);
        }
        let style = TurnStyle {
            columns: stdout_columns(),
            now: SystemClock.now(),
        };
        answer.line(turn_heads())?;
        for entry in &page.turns {
            for line in turn_lines(&entry.turn, &entry.items, style) {
                answer.line(line)?;
            }
        }
        answer.finish()?;
        if page.turns.is_empty() {
            note("no turn");
        }
        tell_cursor(page.next_cursor.as_deref());
        Ok(Outcome::Fine)
    })
}
