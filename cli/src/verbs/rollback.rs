//! `rollback`: a thread's last turns no longer count.

use selvedge::{Clock, SystemClock};

use super::{Context, Outcome};
use crate::args::RollbackArgs;
use crate::error::Result;
use crate::output::Answer;
use crate::output::json::RolledBackJson;
use crate::output::table::stdout_columns;
use crate::output::thread::tell_thread;
use crate::output::turn::{TurnStyle, turn_heads, turn_lines};

/// Drops turns, and prints the thread with those that are left, oldest first.
pub(crate) fn run(args: &RollbackArgs, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let id = args.thread.thread_id;
        let after = home.wait(home.store().roll_back(id, args.turns))?;
        let mut answer = Answer::new();
        if context.json {
            answer.json(&RolledBackJson::of(&after, &context.home)?)?;
        } else {
            let style = TurnStyle {
                columns: stdout_columns(),
                now: SystemClock.now(),
            };
            tell_thread(&after.thread, &context.home, &mut answer)?;
            answer.line(format_args!("\n{}", turn_heads()))?;
            for turn in &after.turns {
                for line in turn_lines(turn, &[], style) {
                    answer.line(line)?;
                }
            }
        }
        answer.finish()?;
        Ok(Outcome::Fine)
    })
}
