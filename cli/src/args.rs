//! The command line: what can be asked, and in which words.

mod changes;
mod threads;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use selvedge::{Direction, SortKey, ThreadId};

pub(crate) use changes::{DeleteArgs, ForkArgs, NameArgs, RollbackArgs, SetArgs};
pub(crate) use threads::{
    ItemsArgs, LatestArgs, OccurrencesArgs, SearchArgs, ShowArgs, TailArgs, TurnsArgs, Which,
};

/// The environment variable that names the home where `--home` does not.
pub(crate) const HOME_VARIABLE: &str = "SELVEDGE_HOME";

/// Keeps, lists and reads the threads of AI agents.
#[derive(Debug, Parser)]
#[command(
    name = "selvedge",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(
    after_help = "The home is --home, or else SELVEDGE_HOME. Exit codes: 0 done, 1 failed \
                        or damage found, 2 wrong usage."
)]
pub(crate) struct Cli {
    /// The directory that holds the threads [env: SELVEDGE_HOME]
    // Not clap's `env`: the demo must never take a real home for its own.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Answer in JSON, whose fields stay as they are
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

impl Cli {
    /// The home that was named, on the command line or by the environment's `variable`.
    pub(crate) fn home(&self, variable: Option<OsString>) -> Option<PathBuf> {
        self.home
            .clone()
            .or_else(|| variable.map(PathBuf::from))
            .filter(|home| !home.as_os_str().is_empty())
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show what Selvedge does: index, append, be killed, lose nothing
    Demo(DemoArgs),
    /// List threads, newest first
    List(ListArgs),
    /// Show one thread
    Show(ShowArgs),
    /// Print a thread's records, one JSON line each
    History(HistoryArgs),
    /// Print a thread's records from one on, and those that follow
    Tail(TailArgs),
    /// List a thread's turns, newest first
    Turns(TurnsArgs),
    /// List a thread's records that still count, newest first
    Items(ItemsArgs),
    /// Find the threads in which something was said, newest first
    Search(SearchArgs),
    /// Find the places in a thread where something was said, oldest first
    Occurrences(OccurrencesArgs),
    /// Show the thread to go on with
    Latest(LatestArgs),
    /// Show how many tokens a thread has used
    Usage(ThreadArg),
    /// Print the records from which what the model sees can be rebuilt, one JSON line each
    Context(ThreadArg),
    /// Append the items on stdin, and acknowledge each batch
    Append(AppendArgs),
    /// Name a thread
    Name(NameArgs),
    /// Change what is known of a thread
    Set(SetArgs),
    /// Put a thread among the archived ones
    Archive(ThreadArg),
    /// Take a thread back from the archived ones
    Unarchive(ThreadArg),
    /// Delete a thread, for good
    Delete(DeleteArgs),
    /// Start a thread that begins with another one's history
    Fork(ForkArgs),
    /// Start a review of a thread, detached from it
    Review(ThreadArg),
    /// Drop a thread's last turns from what counts
    Rollback(RollbackArgs),
    /// Copy JSON-lines threads into native logs of the home
    Import(ImportArgs),
    /// Write threads as JSON lines
    Export(ExportArgs),
    /// Bring the index up to date, or make it anew
    Index(IndexArgs),
    /// Check every log, and the index against the logs; repair what is damaged
    Verify(VerifyArgs),
    /// Count what the home holds
    Stats,
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Print the manual page of the command, or of one of its verbs
    Man(ManArgs),
    /// The demo's writer, which the demo kills
    #[command(name = "demo-writer", hide = true)]
    DemoWriter,
}

/// `demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep the demo's home and say where it is
    #[arg(long)]
    pub(crate) keep: bool,
}

/// A thread's id.
#[derive(Debug, Args)]
pub(crate) struct ThreadArg {
    /// The thread's id, a UUID
    #[arg(value_name = "ID")]
    pub(crate) thread_id: ThreadId,
}

/// What `--sort` can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// When the thread was started
    Created,
    /// When its latest record was made
    Updated,
    /// When its user last did something
    Recency,
}

impl From<Sort> for SortKey {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Created => Self::Created,
            Sort::Updated => Self::Updated,
            Sort::Recency => Self::Recency,
        }
    }
}

/// `list`
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// At most this many threads
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) limit: u16,
    /// Go on from here: a page's `next_cursor`, or with the other direction its
    /// `backwards_cursor`
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
    /// What the threads are ordered by
    #[arg(long, value_enum, default_value_t = Sort::Created)]
    pub(crate) sort: Sort,
    /// Oldest first
    #[arg(long)]
    pub(crate) asc: bool,
    /// Archived threads instead of the others
    #[arg(long)]
    pub(crate) archived: bool,
    /// Take the index's word, without a look at the files
    #[arg(long)]
    pub(crate) index_only: bool,
    /// Also threads in which no user has said anything yet
    #[arg(long)]
    pub(crate) include_empty: bool,
    /// Only threads whose name, title, preview or first message contains this, whatever the case
    #[arg(long, value_name = "TERM")]
    pub(crate) search: Option<String>,
    /// Only threads of this working directory; may be repeated
    #[arg(long = "cwd", value_name = "DIR", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cwds: Vec<String>,
    /// Only threads of this model provider; may be repeated
    #[arg(long = "provider", value_name = "NAME")]
    pub(crate) providers: Vec<String>,
    /// Only threads from this source (cli, vscode, exec, subagent, ...); may be repeated
    #[arg(long = "source", value_name = "NAME")]
    pub(crate) sources: Vec<String>,
    /// Only sub-agents that this thread started itself
    #[arg(long, value_name = "ID")]
    pub(crate) parent: Option<ThreadId>,
    /// Only sub-agents below this thread, at any depth
    #[arg(long, value_name = "ID")]
    pub(crate) ancestor: Option<ThreadId>,
}

impl ListArgs {
    pub(crate) const fn direction(&self) -> Direction {
        if self.asc {
            Direction::Ascending
        } else {
            Direction::Descending
        }
    }
}

/// `history`
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) thread: ThreadArg,
    /// Leave out what a rollback dropped
    #[arg(long)]
    pub(crate) effective: bool,
}

/// What `--durability` can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DurabilityArg {
    /// Survives the process's death
    Written,
    /// Survives a power loss
    Synced,
}

/// `append`
#[derive(Debug, Args)]
#[command(
    after_help = "Each line of stdin is an item {\"type\",\"payload\"[,\"timestamp\"]}, or an \
                        array of items, which is one batch: all of it is kept, or none."
)]
pub(crate) struct AppendArgs {
    /// The thread's id, a UUID
    #[arg(
        value_name = "ID",
        required_unless_present = "new",
        conflicts_with = "new"
    )]
    pub(crate) thread_id: Option<ThreadId>,
    /// Start a new thread; its id is in every acknowledgement
    #[arg(long)]
    pub(crate) new: bool,
    /// The new thread's working directory [default: the current one]
    #[arg(long, value_name = "DIR", conflicts_with = "thread_id")]
    pub(crate) cwd: Option<String>,
    /// The new thread's model provider
    #[arg(long, value_name = "NAME", conflicts_with = "thread_id")]
    pub(crate) provider: Option<String>,
    /// What each acknowledgement promises at least
    #[arg(long, value_enum, default_value_t = DurabilityArg::Written)]
    pub(crate) durability: DurabilityArg,
}

/// `import`
#[derive(Debug, Args)]
#[command(
    after_help = "Ids, times, order and lines are kept byte for byte. The sources stay as \
                        they are."
)]
pub(crate) struct ImportArgs {
    /// JSON-lines files (.jsonl, .jsonl.zst), or directories that hold some
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

/// `export`
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The thread's id, a UUID
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(crate) thread_id: Option<ThreadId>,
    /// Every thread, archived ones too
    #[arg(long, requires = "output")]
    pub(crate) all: bool,
    /// The directory for the files; without it one thread goes to stdout
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Replace files that are there already
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
}

/// `index`
#[derive(Debug, Args)]
pub(crate) struct IndexArgs {
    /// Forget the index and make it anew from the logs
    #[arg(long)]
    pub(crate) rebuild: bool,
}

/// `verify`
#[derive(Debug, Args)]
#[command(
    after_help = "A repair keeps each damaged log below damaged/ in the home, and puts one with all \
                        that can still be read in its place. Where a record with an ordinal is \
                        lost, a record of the type \"lost\" says so. A log that somebody writes is \
                        left as it is. What lies in damaged/ can be deleted once nobody wants it \
                        any more. Exit codes: 0 all is well (after a repair: by now), 1 it is not."
)]
pub(crate) struct VerifyArgs {
    /// Repair what is damaged, and say what was given up
    #[arg(long)]
    pub(crate) repair: bool,
    /// Change nothing, and say what a repair would do
    #[arg(short = 'n', long, requires = "repair")]
    pub(crate) dry_run: bool,
}

/// `completions`
#[derive(Debug, Args)]
#[command(after_help = "For bash: selvedge completions bash > \
                        ~/.local/share/bash-completion/completions/selvedge")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// `man`
#[derive(Debug, Args)]
#[command(after_help = "To read it: selvedge man | man -l -")]
pub(crate) struct ManArgs {
    /// The verb [default: the command as a whole]
    #[arg(value_name = "VERB")]
    pub(crate) verb: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"selvedge").chain(words))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn home_and_json_stand_before_or_after_the_verb() {
        for words in [
            ["--home", "h", "--json", "list"],
            ["list", "--home", "h", "--json"],
        ] {
            let cli = parse(&words).unwrap();
            assert_eq!(cli.home(Some("other".into())), Some("h".into()));
            assert!(cli.json);
        }
        let cli = parse(&["list"]).unwrap();
        assert_eq!(cli.home(Some("v".into())), Some("v".into()));
        assert_eq!(cli.home(Some("".into())), None);
        assert_eq!(cli.home(None), None);
    }

    #[test]
    fn words_that_contradict_each_other_are_refused() {
        let id = "019c7a54-be6b-7e31-86dd-b589bd944286";
        for words in [
            &["append"][..],
            &["append", id, "--new"],
            &["append", id, "--cwd", "/x"],
            &["export"],
            &["export", "--all"],
            &["export", id, "--all", "-o", "d"],
            &["export", id, "--force"],
            &["import"],
            &["show", "no-uuid"],
            &["list", "--limit", "0"],
            &["list", "--limit", "10001"],
            &["list", "--sort", "size"],
            &["verify", "-n"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
        assert!(parse(&["append", "--new", "--cwd", "/x"]).is_ok());
        assert!(parse(&["export", "--all", "-o", "d", "--force"]).is_ok());
    }
}
