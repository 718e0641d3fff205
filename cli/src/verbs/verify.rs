//! `verify`: every log from its start, and the index against the logs; and repairs.

use selvedge::{LogDamage, LogRepair, RepairOptions, RepairOutcome, RepairReport, VerifyReport};

use super::{Context, Outcome};
use crate::args::VerifyArgs;
use crate::error::Result;
use crate::output::Answer;
use crate::output::text::{counted, human_bytes, one_line, wrapped};

/// What a usual terminal shows in a line.
const COLUMNS: usize = 80;
/// So much of what was given up of one log is told in words; JSON tells all of it.
const MAX_TOLD: usize = 10;

/// Checks the home, or repairs it. Damage is the answer, and an exit code of 1.
pub(crate) fn run(args: &VerifyArgs, context: &Context) -> Result<Outcome> {
    if args.repair {
        let dry_run = args.dry_run;
        return repair(RepairOptions { dry_run }, context);
    }
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

fn repair(options: RepairOptions, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let report = home.wait(home.store().repair(options))?;
        let mut answer = Answer::new();
        if context.json {
            answer.json(&report)?;
        } else {
            tell_repair(&report, &mut answer)?;
        }
        answer.finish()?;
        Ok(if report.ok {
            Outcome::Fine
        } else {
            Outcome::DamageFound
        })
    })
}

fn tell_repair(report: &RepairReport, answer: &mut Answer) -> Result<()> {
    for log in &report.logs {
        tell_log(log, answer)?;
    }
    for difference in &report.verify.differences {
        answer.line(one_line(&format!("the index: {}", difference.what)))?;
    }
    if report.index_rebuilt {
        answer.line("the index was made anew")?;
    }
    if report.logs.iter().any(|log| log.copy.is_some()) {
        answer.line("the damaged files can be deleted once nobody wants them any more")?;
    }
    tell_sum(&report.verify, answer)
}

/// A block of one log.
fn tell_log(log: &LogRepair, answer: &mut Answer) -> Result<()> {
    answer.line(one_line(&log.path))?;
    let mut lines = Vec::new();
    let sum = || {
        let kept = counted(log.records_kept, "record");
        format!("{kept} kept, {} lost", log.records_lost)
    };
    match log.outcome {
        RepairOutcome::Repaired => lines.push(format!("repaired: {}", sum())),
        RepairOutcome::WouldBeRepaired => lines.push(format!("would be repaired: {}", sum())),
        RepairOutcome::Left => {}
    }
    if let Some(left) = &log.left {
        lines.push(match log.outcome {
            RepairOutcome::Left => format!("left as it is: {}", left.why),
            _ => format!("damage stays in what it inherits: {}", left.why),
        });
    }
    if log.outcome != RepairOutcome::Left {
        let told = log.given_up.iter().take(MAX_TOLD);
        lines.extend(told.map(|damage| format!("given up: {}", describe(damage))));
        if let Some(more @ 1..) = log.given_up.len().checked_sub(MAX_TOLD) {
            lines.push(format!("given up: {more} more, which --json tells"));
        }
    }
    for line in lines {
        for line in wrapped(&line, "  ", COLUMNS) {
            answer.line(line)?;
        }
    }
    if let Some(copy) = &log.copy {
        answer.line("  the damaged file:")?;
        answer.line(one_line(copy))?;
    }
    Ok(())
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
    tell_sum(report, answer)
}

fn tell_sum(report: &VerifyReport, answer: &mut Answer) -> Result<()> {
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
