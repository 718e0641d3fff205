//! `items`: a page of a thread's records that still count.

use selvedge::{Clock, ItemQuery, SystemClock};

use super::list::tell_cursor;
use super::{Context, Outcome};
use crate::args::ItemsArgs;
use crate::error::Result;
use crate::output::json::ItemPageJson;
use crate::output::record::{record_heads, record_line};
use crate::output::table::stdout_columns;
use crate::output::{Answer, note};

/// Prints a page of items.
pub(crate) fn run(args: &ItemsArgs, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let id = args.thread.thread_id;
        let query = ItemQuery {
            turn_id: args.turn.clone(),
            direction: args.page.direction(),
            limit: args.page.limit(),
            cursor: args.page.cursor.clone(),
        };
        let page = home.wait(home.store().list_items(id, query))?;
        let mut answer = Answer::new();
        if context.json {
            answer.json(&ItemPageJson::of(&page, args.turn.as_deref(), id)?)?;
            answer.finish()?;
            return Ok(Outcome::Fine);
        }
        let (columns, now) = (stdout_columns(), SystemClock.now());
        answer.line(record_heads())?;
        for item in &page.items {
            answer.line(record_line(item, columns, now))?;
        }
        answer.finish()?;
        if page.items.is_empty() {
            note("no item");
        }
        tell_cursor(page.next_cursor.as_deref());
        Ok(Outcome::Fine)
    })
}
