//! `demo`: the main job in one command.
//!
//! Threads of another tool are indexed where they lie; a live thread is written by a process that
//! is killed in the middle of an append; everything acknowledged is there again, and the thread
//! goes on.

mod bundled;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Instant;

use selvedge::{
    AppendOptions, Clock, Disk, Durability, ListQuery, LogPath, RealDisk, Record, SortKey,
    SystemClock, ThreadFilter, ThreadId, ThreadSummary,
};

use tempfile::TempDir;

pub(crate) use writer::write_until_killed;

use self::writer::{Writer, refused, turn};
use super::{Context, OpenHome, Outcome};
use crate::args::DemoArgs;
use crate::error::{CliError, Result};
use crate::files;
use crate::output::Answer;
use crate::output::json::AckJson;
use crate::output::table::{TableStyle, thread_table};
use crate::output::text::counted;

/// How many batches are acknowledged before the kill.
const ACKS_BEFORE_THE_KILL: usize = 40;
/// The home's name in a directory of the demo's own.
const HOME: &str = "home";
/// What stands before what belongs to a heading.
const INDENT: &str = "   ";

/// Shows what Selvedge does. `home` is only what the command line names: a home of the
/// environment is somebody's, and is left alone.
pub(crate) fn run(args: &DemoArgs, home: Option<&Path>) -> Result<Outcome> {
    let place = Place::new(args.keep, home)?;
    let context = Context {
        home: place.home(),
        json: false,
    };
    if !files::is_free(&RealDisk, &context.home)? {
        return Err(CliError::DemoHomeInUse(context.home));
    }
    let mut answer = Answer::new();
    play(&context, &mut answer)?;
    if let Place::Kept(home) = &place {
        answer.line(format_args!(
            "The home is kept: selvedge --home {} list",
            home.display()
        ))?;
    }
    answer.finish()?;
    Ok(Outcome::Fine)
}

/// Where the demo's home lies.
enum Place {
    /// Below a directory that goes with the demo, also when it fails.
    Passing(TempDir),
    /// Where it stays.
    Kept(PathBuf),
}

impl Place {
    fn new(keep: bool, home: Option<&Path>) -> Result<Self> {
        if let Some(home) = home {
            return super::absolute(home).map(Self::Kept);
        }
        let dir = tempfile::Builder::new()
            .prefix("selvedge-demo-")
            .tempdir()
            .map_err(|source| CliError::System {
                what: "can't make a directory for the demo",
                source,
            })?;
        Ok(if keep {
            Self::Kept(dir.keep().join(HOME))
        } else {
            Self::Passing(dir)
        })
    }

    fn home(&self) -> PathBuf {
        match self {
            Self::Passing(dir) => dir.path().join(HOME),
            Self::Kept(home) => home.clone(),
        }
    }
}

fn play(context: &Context, answer: &mut Answer) -> Result<()> {
    index_in_place(context, answer)?;
    let (thread_id, last) = kill_a_writer(context, answer)?;
    context.with_home(|home| {
        look_at_what_survived(home, (thread_id, &last), answer)?;
        resume(home, thread_id, answer)?;
        answer.line("5. Everything in the home")?;
        table(home, true, answer)
    })?;
    if !bundled::is_untouched(&RealDisk, &context.home)? {
        return Err(CliError::DemoHomeTouched(context.home.clone()));
    }
    answer.line("Not a byte of the JSON-lines threads was changed.")
}

fn index_in_place(context: &Context, answer: &mut Answer) -> Result<()> {
    files::create_dirs(&RealDisk, &context.home)?;
    bundled::write(&RealDisk, &context.home)?;
    answer.line("1. A home that another tool filled")?;
    let begin = Instant::now();
    context.with_home(|home| {
        answer.line(format_args!(
            "   {}, indexed where they lie in {} ms.\n",
            counted(bundled::log_count() as u64, "JSON-lines thread"),
            begin.elapsed().as_millis()
        ))?;
        table(home, false, answer)
    })
}

/// Returns the writer's thread and its last acknowledgement.
fn kill_a_writer(context: &Context, answer: &mut Answer) -> Result<(ThreadId, AckJson)> {
    answer.line("2. A live thread, and kill -9")?;
    let mut writer = Writer::start(&context.home)?;
    let mut acks = Vec::new();
    while acks.len() < ACKS_BEFORE_THE_KILL {
        let Some(ack) = writer.next_ack()? else {
            return Err(CliError::DemoWriter(
                std::io::ErrorKind::UnexpectedEof.into(),
            ));
        };
        acks.push(ack);
    }
    let pid = writer.pid();
    acks.extend(writer.kill()?);
    if let Some(first) = acks.first() {
        answer.line(format_args!(
            "   Process {pid} writes thread {}.",
            first.thread_id
        ))?;
    }
    for ack in acks.iter().take(3) {
        answer.line(format_args!("   acknowledged  {}", range(ack)))?;
    }
    answer.line(format_args!(
        "   ... {} more ...",
        acks.len().saturating_sub(4)
    ))?;
    let Some(last) = acks.pop() else {
        return Err(CliError::DemoWriter(
            std::io::ErrorKind::UnexpectedEof.into(),
        ));
    };
    answer.line(format_args!("   acknowledged  {}", range(&last)))?;
    answer.line("   SIGKILL, in the middle of the next append\n")?;
    Ok((last.thread_id, last))
}

fn range(ack: &AckJson) -> String {
    format!(
        "records {} to {}, {}",
        ack.first_ordinal,
        ack.last_ordinal,
        ack.durability.as_str()
    )
}

/// Compares what is there with what was acknowledged, byte for byte. Anything missing or changed
/// fails the demo.
fn look_at_what_survived(
    home: &OpenHome,
    (thread_id, last): (ThreadId, &AckJson),
    answer: &mut Answer,
) -> Result<()> {
    let history = home.wait(home.store().load_history(thread_id))?;
    let survived = survivors(thread_id, &history.records)?;
    let acknowledged = last.last_ordinal.get();
    answer.line("3. Opened again")?;
    answer.line(format_args!(
        "   acknowledged  records up to {acknowledged}"
    ))?;
    answer.line(format_args!("   survived      records up to {survived}"))?;
    if survived < acknowledged {
        return Err(CliError::Lost {
            thread_id,
            what: format!("records {} to {acknowledged}", survived + 1),
        });
    }
    answer.line("   lost          none of what was acknowledged")?;
    let more = survived - acknowledged;
    if more > 0 {
        answer.line(format_args!(
            "   ({} on disk already, with the acknowledgement still to come)",
            counted(more, "whole record")
        ))?;
    }
    if let Some(tail) = &history.torn_tail {
        answer.line(format_args!(
            "   ({} bytes of a batch cut in half: it is dropped whole, and kept beside the log)",
            tail.length
        ))?;
    }
    answer.line("")
}

/// The last ordinal up to which the records are what the writer appended. Record 0 is the
/// thread's own meta.
fn survivors(thread_id: ThreadId, records: &[Record]) -> Result<u64> {
    let mut records = records.iter().skip(1);
    let mut last = 0;
    for number in 1.. {
        for item in turn(number).map_err(refused)?.into_iter().flatten() {
            let Some(record) = records.next() else {
                return Ok(last);
            };
            if record.body != item.body || record.ordinal.get() != last + 1 {
                return Err(CliError::Lost {
                    thread_id,
                    what: format!("record {} is not what was appended", last + 1),
                });
            }
            last += 1;
        }
    }
    Ok(last)
}

fn resume(home: &OpenHome, thread_id: ThreadId, answer: &mut Answer) -> Result<()> {
    answer.line("4. Resumed, and appended to")?;
    let thread = home.wait(home.store().resume_thread(thread_id))?;
    // Far from the writer's own turns, so that nobody takes it for one of them.
    for batch in turn(1_000_000).map_err(refused)? {
        let options = AppendOptions {
            durability: Durability::Synced,
            ..AppendOptions::default()
        };
        let ack = home.wait(thread.append_with(batch, options))?;
        answer.line(format_args!(
            "   acknowledged  {}",
            range(&AckJson::of(&ack))
        ))?;
    }
    home.wait(thread.shutdown())?;
    let found = home.wait(home.store().find_thread(thread_id))?;
    tell_torn_bytes(home, &found.path, answer)?;
    answer.line("")
}

/// Tells where the bytes of a batch that the kill cut in half are kept.
fn tell_torn_bytes(home: &OpenHome, log: &LogPath, answer: &mut Answer) -> Result<()> {
    let dir = home.home().join(log.parent());
    let entries = RealDisk
        .list(&dir)
        .map_err(|source| selvedge::Error::io("list", &dir, source))?;
    for name in entries.into_iter().filter_map(|entry| entry.name.ok()) {
        if name.starts_with(log.file_name()) && name.contains(".torn-") {
            answer.line(format_args!("   the torn bytes are kept in {name}"))?;
        }
    }
    Ok(())
}

/// Prints the home's threads, and those in its archive after them.
fn table(home: &OpenHome, archive: bool, answer: &mut Answer) -> Result<()> {
    let mut threads: Vec<ThreadSummary> = Vec::new();
    for archived in [false, true] {
        let query = ListQuery {
            filter: ThreadFilter {
                archived,
                ..ThreadFilter::default()
            },
            sort: SortKey::Updated,
            ..ListQuery::default()
        };
        if !archived || archive {
            threads.extend(home.wait(home.store().list_threads(query))?.threads);
        }
    }
    let style = TableStyle::for_stdout(SortKey::Updated, SystemClock.now());
    for line in thread_table(&threads, &style.indented(INDENT.len())).lines() {
        answer.line(format_args!("{INDENT}{line}"))?;
    }
    answer.line("")
}
