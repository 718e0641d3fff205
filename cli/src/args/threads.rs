//! The words of the verbs that read threads: pages of one thread, searches, what follows.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};
use selvedge::{CodecError, Direction, ItemDetail, Ordinal, ThreadId};

use super::ThreadArg;

/// How many entries a page has, and where it begins.
#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) limit: u16,
    /// Go on from here: a page's `next_cursor`
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
}

impl PageArgs {
    pub(crate) fn limit(&self) -> usize {
        usize::from(self.limit)
    }
}

/// The same for pages that can be turned both ways.
#[derive(Debug, Args)]
pub(crate) struct TwoWayPageArgs {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) limit: u16,
    /// Go on from here: a page's `next_cursor`, or with the other direction its
    /// `backwards_cursor`
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
    /// Oldest first
    #[arg(long)]
    pub(crate) asc: bool,
}

impl TwoWayPageArgs {
    pub(crate) fn limit(&self) -> usize {
        usize::from(self.limit)
    }

    pub(crate) const fn direction(&self) -> Direction {
        if self.asc {
            Direction::Ascending
        } else {
            Direction::Descending
        }
    }
}

/// `show`
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The thread's id, a UUID, or its log's path, absolute or below the home
    #[arg(value_name = "ID", value_parser = OsStringValueParser::new().try_map(which))]
    pub(crate) which: Which,
}

/// What names a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Which {
    /// Its id.
    Id(ThreadId),
    /// Its log's path.
    Log(PathBuf),
}

/// A path has a `/` or a log's extension; all else must be an id.
fn which(text: OsString) -> Result<Which, CodecError> {
    let path = PathBuf::from(text);
    let words = path.to_string_lossy();
    let is_log = [".rlog", ".jsonl", ".jsonl.zst"];
    if words.contains('/') || is_log.iter().any(|end| words.ends_with(end)) {
        return Ok(Which::Log(path));
    }
    words.parse().map(Which::Id)
}

/// What `--items` can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Items {
    /// None of them
    None,
    /// What the user said, and what the agent said last
    Summary,
    /// All of them
    Full,
}

impl From<Items> for ItemDetail {
    fn from(items: Items) -> Self {
        match items {
            Items::None => Self::None,
            Items::Summary => Self::Summary,
            Items::Full => Self::Full,
        }
    }
}

/// `turns`
#[derive(Debug, Args)]
pub(crate) struct TurnsArgs {
    #[command(flatten)]
    pub(crate) thread: ThreadArg,
    #[command(flatten)]
    pub(crate) page: TwoWayPageArgs,
    /// How much of its items each turn comes with
    #[arg(long, value_enum, default_value_t = Items::None)]
    pub(crate) items: Items,
}

/// `items`
#[derive(Debug, Args)]
pub(crate) struct ItemsArgs {
    #[command(flatten)]
    pub(crate) thread: ThreadArg,
    /// Only the items of this turn
    #[arg(long, value_name = "TURN")]
    pub(crate) turn: Option<String>,
    #[command(flatten)]
    pub(crate) page: TwoWayPageArgs,
}

/// `tail`
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    pub(crate) thread: ThreadArg,
    /// Begin with the record of this ordinal
    #[arg(long, value_name = "ORDINAL", default_value = "0", value_parser = ordinal)]
    pub(crate) from: Ordinal,
    /// Go on with the records that follow, until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// `search`
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// What was said: these words as they are, whatever the case
    #[arg(value_name = "TERM")]
    pub(crate) term: String,
    /// Archived threads instead of the others
    #[arg(long)]
    pub(crate) archived: bool,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// `occurrences`
#[derive(Debug, Args)]
pub(crate) struct OccurrencesArgs {
    #[command(flatten)]
    pub(crate) thread: ThreadArg,
    /// What was said: these words as they are, whatever the case
    #[arg(value_name = "TERM")]
    pub(crate) term: String,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// `latest`
#[derive(Debug, Args)]
pub(crate) struct LatestArgs {
    /// Only threads of this working directory; may be repeated
    #[arg(long = "cwd", value_name = "DIR", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cwds: Vec<String>,
}

/// An ordinal as the command line spells it.
pub(super) fn ordinal(text: &str) -> Result<Ordinal, std::num::ParseIntError> {
    text.parse().map(Ordinal::new)
}
