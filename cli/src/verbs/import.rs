//! `import`: JSON-lines logs of other places, copied into native logs of the home.

use std::path::Path;

use selvedge::{ImportOutcome, ImportSource, Imported};

use super::history::describe;
use super::{Context, OpenHome, Outcome, absolute};
use crate::args::ImportArgs;
use crate::error::{CliError, Result};
use crate::output::json::ImportJson;
use crate::output::text::counted;
use crate::output::{Answer, note};

/// Imports what the paths name, and tells what became of each thread.
pub(crate) fn run(args: &ImportArgs, context: &Context) -> Result<Outcome> {
    context.with_new_home(|home| {
        let mut sources = Vec::new();
        for path in &args.paths {
            let path = absolute(path)?;
            let found = home.wait(home.store().import_sources(path.clone()))?;
            if found.is_empty() {
                return Err(CliError::NothingToImport(path));
            }
            sources.extend(found);
        }
        let mut import = Import {
            home,
            json: context.json,
            answer: Answer::new(),
            failed: 0,
        };
        let all = sources.len();
        for source in sources {
            import.one(source)?;
        }
        import.answer.finish()?;
        match import.failed {
            0 => Ok(Outcome::Fine),
            failed => Err(CliError::Some {
                failed,
                all,
                what: "imports",
            }),
        }
    })
}

struct Import<'a> {
    home: &'a OpenHome,
    json: bool,
    answer: Answer,
    failed: usize,
}

impl Import<'_> {
    /// Imports one log. One that can't be imported is told, and keeps no other from it.
    fn one(&mut self, source: ImportSource) -> Result<()> {
        let file = source.file();
        match self.home.wait(self.home.store().import(source)) {
            Ok(imported) => self.tell(&imported, &file),
            Err(error) => {
                self.failed += 1;
                note(format_args!("{}: {error}", file.display()));
                Ok(())
            }
        }
    }

    fn tell(&mut self, imported: &Imported, file: &Path) -> Result<()> {
        for damage in &imported.damage {
            note(format_args!(
                "{}: thread {}: {}",
                file.display(),
                imported.thread_id,
                describe(damage)
            ));
        }
        if self.json {
            self.answer.json(&ImportJson::of(imported, file))?;
        } else {
            let Imported {
                thread_id, added, ..
            } = imported;
            let what = match imported.outcome {
                ImportOutcome::Imported => format!("imported, {}", counted(*added, "record")),
                ImportOutcome::Continued => {
                    format!("continued, {}", counted(*added, "more record"))
                }
                ImportOutcome::Present => "skipped: all of it is there already".to_owned(),
                ImportOutcome::Differs => {
                    "skipped: the thread is there with another history".to_owned()
                }
            };
            self.answer.line(format_args!("{thread_id}  {what}"))?;
        }
        self.answer.flush()
    }
}
