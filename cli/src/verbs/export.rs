//! `export`: threads as JSON lines, byte for byte those that were imported.

use std::path::Path;

use selvedge::{
    Coverage, Direction, ListQuery, MAX_PAGE_SIZE, RealDisk, ThreadFilter, ThreadId, ThreadSummary,
    jsonl,
};

use super::history::tell_damage;
use super::{Context, OpenHome, Outcome, absolute};
use crate::args::ExportArgs;
use crate::error::{CliError, Result};
use crate::files;
use crate::output::{Answer, note};

/// Exports one thread or all of them.
pub(crate) fn run(args: &ExportArgs, context: &Context) -> Result<Outcome> {
    context.with_home(|home| match (args.thread_id, &args.output) {
        (Some(id), None) => {
            let mut answer = Answer::new();
            answer.bytes(&lines_of(home, id)?)?;
            answer.finish()?;
            Ok(Outcome::Fine)
        }
        (Some(id), Some(dir)) => {
            let thread = home.wait(home.store().read_thread(id))?;
            let export = Export::new(home, dir, args.force)?;
            export.to_file(&thread, &mut Answer::new())?;
            Ok(Outcome::Fine)
        }
        (None, Some(dir)) => export_all(&Export::new(home, dir, args.force)?),
        // The command line asks for a directory with --all.
        (None, None) => Ok(Outcome::Fine),
    })
}

/// The thread's JSON lines. What can't be read of it is told, and hides nothing else.
fn lines_of(home: &OpenHome, id: ThreadId) -> Result<Vec<u8>> {
    let found = home.wait(home.store().find_thread(id))?;
    let history = home.wait(home.store().load_history(id))?;
    let mut lines = Vec::new();
    for record in history.exported() {
        jsonl::render_line(record, &mut lines).map_err(|why| CliError::Record {
            thread_id: id,
            ordinal: record.ordinal,
            why,
        })?;
        lines.push(b'\n');
    }
    tell_damage(&history, Path::new(found.path.as_str()));
    Ok(lines)
}

struct Export<'a> {
    home: &'a OpenHome,
    dir: std::path::PathBuf,
    force: bool,
}

impl<'a> Export<'a> {
    fn new(home: &'a OpenHome, dir: &Path, force: bool) -> Result<Self> {
        let dir = absolute(dir)?;
        files::create_dirs(&RealDisk, &dir)?;
        Ok(Self { home, dir, force })
    }

    fn to_file(&self, thread: &ThreadSummary, answer: &mut Answer) -> Result<()> {
        let stamp = thread.created_at.to_file_name_text();
        let name = format!("rollout-{stamp}-{}.jsonl", thread.thread_id);
        let path = self.dir.join(name);
        if !self.force && files::exists(&RealDisk, &path)? {
            return Err(CliError::FileExists(path));
        }
        let lines = lines_of(self.home, thread.thread_id)?;
        files::write(&RealDisk, &path, &lines)?;
        answer.line(path.display())?;
        answer.flush()
    }
}

/// Exports every thread. One that can't be exported is told, and keeps no other from it; so is a log
/// that can't be read: whoever asked for all of them must not take the rest for that.
fn export_all(export: &Export<'_>) -> Result<Outcome> {
    let (threads, coverage) = all_threads(export.home)?;
    super::list::tell_coverage(coverage);
    let unread = match coverage {
        Coverage::Complete { failed } => failed,
        Coverage::Partial {
            pending, failed, ..
        } => pending.saturating_add(failed).max(1),
    };
    let unread = usize::try_from(unread).unwrap_or(usize::MAX);
    let mut answer = Answer::new();
    let mut failed = unread;
    for thread in &threads {
        match export.to_file(thread, &mut answer) {
            Err(error @ CliError::Stdout(_)) => return Err(error),
            Err(error) => {
                failed += 1;
                note(error);
            }
            Ok(()) => {}
        }
    }
    answer.finish()?;
    if failed > 0 {
        return Err(CliError::Some {
            failed,
            all: threads.len().saturating_add(unread),
            what: "exports",
        });
    }
    Ok(Outcome::Fine)
}

/// Every thread of the home, archived ones and those in which nothing was said included.
fn all_threads(home: &OpenHome) -> Result<(Vec<ThreadSummary>, Coverage)> {
    let mut threads = Vec::new();
    let mut coverage = Coverage::Complete { failed: 0 };
    for archived in [false, true] {
        let mut query = ListQuery {
            filter: ThreadFilter {
                archived,
                include_empty: true,
                ..ThreadFilter::default()
            },
            direction: Direction::Ascending,
            limit: MAX_PAGE_SIZE,
            ..ListQuery::default()
        };
        loop {
            let page = home.wait(home.store().list_threads(query.clone()))?;
            threads.extend(page.threads);
            coverage = page.coverage;
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
    }
    Ok((threads, coverage))
}
