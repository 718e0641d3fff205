//! `index`: bring the index up to date, or make it anew.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use selvedge::BackfillProgress;

use super::{Context, Outcome};
use crate::args::IndexArgs;
use crate::error::Result;
use crate::output::json::IndexJson;
use crate::output::text::counted;
use crate::output::{Answer, note};

/// Indexes the home, and tells what was done and which logs can't be read.
pub(crate) fn run(args: &IndexArgs, context: &Context) -> Result<Outcome> {
    context.with_unindexed_home(|home| {
        let bar = progress_bar();
        let shown = bar.clone();
        let progress = move |step: BackfillProgress| {
            shown.set_length(step.total);
            shown.set_position(step.done);
        };
        let report = if args.rebuild {
            home.wait(home.store().rebuild(progress))
        } else {
            home.wait(home.store().backfill(progress))
        };
        bar.finish_and_clear();
        let report = report?;
        let unreadable = home.wait(home.store().unreadable_logs())?;
        let mut answer = Answer::new();
        if context.json {
            answer.json(&IndexJson::of(&report, &unreadable))?;
        } else {
            answer.line(format_args!(
                "{} read in {} ms",
                counted(report.projected, "log"),
                report.took.as_millis()
            ))?;
            for log in &unreadable {
                note(format_args!("{}: {}", log.path, log.why));
            }
            super::list::tell_coverage(report.coverage);
        }
        answer.finish()?;
        Ok(Outcome::Fine)
    })
}

/// A bar where somebody watches, and nothing elsewhere.
fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    let template = "{bar:40} {pos}/{len} logs  {per_sec}  {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
