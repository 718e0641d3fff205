//! `history`: a thread's records, one JSON line each.

use std::path::Path;

use selvedge::{Damage, History, Record};

use super::{Context, Outcome};
use crate::args::HistoryArgs;
use crate::error::Result;
use crate::output::json::RecordJson;
use crate::output::{Answer, note};

/// Prints a thread's records. What can't be read of it is told on stderr, and hides nothing else.
pub(crate) fn run(args: &HistoryArgs, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let id = args.thread.thread_id;
        let found = home.wait(home.store().find_thread(id))?;
        let history = home.wait(home.store().load_history(id))?;
        let mut answer = Answer::new();
        if args.effective {
            print(&mut answer, history.effective())?;
        } else {
            print(&mut answer, history.records.iter())?;
        }
        answer.finish()?;
        tell_damage(&history, Path::new(found.path.as_str()));
        Ok(Outcome::Fine)
    })
}

/// Prints records, a line each.
pub(super) fn print<'a>(
    answer: &mut Answer,
    records: impl IntoIterator<Item = &'a Record>,
) -> Result<()> {
    for record in records {
        match RecordJson::of(record) {
            Ok(line) => answer.json(&line)?,
            Err(why) => note(format_args!("record {}: {why}", record.ordinal)),
        }
    }
    Ok(())
}

/// Tells what of a log could not be read, a line each.
pub(super) fn tell_damage(history: &History, path: &Path) {
    for damage in &history.damage {
        tell_one(damage, path);
    }
    tell_torn_tail(history, path);
}

/// Tells of one piece of damage.
pub(super) fn tell_one(damage: &Damage, path: &Path) {
    note(format_args!("{}: {}", path.display(), describe(damage)));
}

/// Tells what a log ends in that is no record.
pub(super) fn tell_torn_tail(history: &History, path: &Path) {
    let path = path.display();
    if let Some(tail) = &history.torn_tail {
        note(format_args!(
            "{path}: the log ends in {} bytes at {} of something half written: {}",
            tail.length, tail.offset, tail.why
        ));
    }
}

/// One piece of damage, in words.
pub(super) fn describe(damage: &Damage) -> String {
    let Damage {
        offset,
        length,
        first_ordinal,
        next_ordinal,
        why,
    } = damage;
    // A bad line takes no ordinal; a gap in a native log has lost records.
    if first_ordinal == next_ordinal {
        format!("{length} bytes at {offset} can't be read: {why}")
    } else {
        format!(
            "{length} bytes at {offset} can't be read, and with them the records from \
             {first_ordinal} to before {next_ordinal}: {why}"
        )
    }
}
