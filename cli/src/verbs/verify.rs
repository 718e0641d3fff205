//! `verify`: every log from its start, and the index against the logs.

use selvedge::{LogDamage, VerifyReport};

use super::{Context, Outcome};
use crate::error::Result;
use crate::output::Answer;
use crate::output::text::{counted, human_bytes, one_line};

/// Checks the home. Damage is the answer, and an exit code of 1.
pub(crate) fn run(context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let report = home.wait(home.store().verify())?;
        let mut answer = Answer::new();
        if context.json {
            answer.json(&report)?;
        } else {
            tell(&report, &mut answer)?;
        }
        answer.finish()?;
        Ok(if report.ok {
            Outcome::Fine
        } else {
            Outcome::DamageFound
        })
    })
}

fn tell(report: &VerifyReport, answer: &mut Answer) -> Result<()> {
    for log in &report.unreadable {
        answer.line(one_line(&format!("{}: {}", log.path, log.why)))?;
    }
    for log in &report.damaged {
        let what = log.damage.iter().map(describe);
        let tail = log
            .torn_tail
            .iter()
            .map(|tail| format!("torn tail, {}", describe(tail)));
        for what in what.chain(tail) {
            answer.line(one_line(&format!("{}: {what}", log.path)))?;
        }
    }
    for difference in &report.differences {
        let of = match &difference.thread_id {
            Some(id) => format!("thread {id}"),
            None => "the index".to_owned(),
        };
        answer.line(one_line(&format!("{of}: {}", difference.what)))?;
    }
    let rows = match report.index_rows {
        Some(rows) => format!(", {} of the index", counted(rows, "row")),
        None => String::new(),
    };
    answer.line(format_args!(
        "{} with {} in {} read{rows}: {}",
        counted(report.logs, "log"),
        counted(report.records, "record"),
        human_bytes(report.bytes.get()),
        if report.ok { "all is well" } else { "DAMAGED" }
    ))
}

fn describe(damage: &LogDamage) -> String {
    let LogDamage {
        offset,
        length,
        first_ordinal,
        next_ordinal,
        why,
    } = damage;
    let lost = if first_ordinal == next_ordinal {
        String::new()
    } else {
        format!(", records {first_ordinal} to before {next_ordinal}")
    };
    format!("{length} bytes at {offset}{lost}: {why}")
}
