//! `usage`: how many tokens a thread has used.

use selvedge::TokenUsageReport;
use serde_json::Value;

use super::{Context, Outcome};
use crate::args::ThreadArg;
use crate::error::Result;
use crate::output::json::UsageJson;
use crate::output::text::one_line;
use crate::output::{Answer, note};

/// Where the numbers begin.
const LABEL_COLUMNS: usize = 30;

/// Prints the latest usage that the thread's log tells of.
pub(crate) fn run(args: &ThreadArg, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let id = args.thread_id;
        let usage = home.wait(home.store().token_usage(id))?;
        let mut answer = Answer::new();
        if context.json {
            answer.json(&UsageJson::of(usage.as_ref(), id)?)?;
        } else if let Some(usage) = &usage {
            for (label, value) in lines(usage) {
                let label = one_line(&label);
                answer.line(format_args!("{label:<LABEL_COLUMNS$}{}", one_line(&value)))?;
            }
        }
        answer.finish()?;
        if !context.json && usage.is_none() {
            note("the thread's log tells of no token usage");
        }
        Ok(Outcome::Fine)
    })
}

/// The numbers, by the names that the log has for them.
fn lines(usage: &TokenUsageReport) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for (whose, text) in [("total", &usage.total), ("last", &usage.last)] {
        let object = text
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok());
        if let Some(Value::Object(counts)) = object {
            for (name, count) in &counts {
                let label = format!("{whose}: {}", name.replace('_', " "));
                lines.push((label, count.to_string()));
            }
        }
    }
    if let Some(window) = usage.model_context_window {
        lines.push(("context window".to_owned(), window.to_string()));
    }
    lines
}
