//! `stats`: what the home holds, in numbers.

use selvedge::{FormatStats, StoreStats};

use super::{Context, Outcome};
use crate::error::Result;
use crate::output::Answer;
use crate::output::json::StatsJson;
use crate::output::text::{counted, human_bytes};

/// Prints the home's numbers.
pub(crate) fn run(context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let stats = home.wait(home.store().stats())?;
        let mut answer = Answer::new();
        if context.json {
            answer.json(&StatsJson::of(&stats))?;
        } else {
            for (label, value) in lines(&stats) {
                answer.line(format_args!("{label:<18}{value}"))?;
            }
        }
        answer.finish()?;
        if !context.json {
            super::list::tell_coverage(stats.coverage);
        }
        Ok(Outcome::Fine)
    })
}

fn lines(stats: &StoreStats) -> Vec<(&'static str, String)> {
    let logs = |format: FormatStats| {
        let count = counted(format.logs, "log");
        format!("{count}, {}", human_bytes(format.bytes.get()))
    };
    let mut lines = vec![
        ("threads", stats.threads.to_string()),
        ("  archived", stats.archived.to_string()),
        ("  empty", stats.empty.to_string()),
        ("  with damage", stats.damaged.to_string()),
        ("turns", stats.turns.to_string()),
        ("records", stats.records.to_string()),
        ("native", logs(stats.native)),
        ("JSON lines", logs(stats.json_lines)),
        ("  compressed", logs(stats.compressed_json_lines)),
    ];
    if let Some(bytes) = stats.index_bytes {
        lines.push(("index", human_bytes(bytes.get())));
    }
    if let Some(last) = &stats.last_backfill {
        let logs = counted(last.projected, "log");
        let text = format!("{logs} in {} ms, {}", last.took_ms, last.finished_at);
        lines.push(("last indexed", text));
    }
    lines
}
