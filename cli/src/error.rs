//! Why a verb failed, in one clear line.

use std::io;
use std::path::PathBuf;

use clap::error::ErrorKind;
use selvedge::{CodecError, Ordinal, ThreadId};
use thiserror::Error;

/// The result of a verb's work.
pub(crate) type Result<T> = std::result::Result<T, CliError>;

/// Why a verb failed.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// The store says no.
    #[error(transparent)]
    Store(#[from] selvedge::Error),
    /// Stdout is gone or refuses. A broken pipe is no failure: whoever read it has enough.
    #[error("can't write the answer: {0}")]
    Stdout(#[source] io::Error),
    /// Stdin can't be read.
    #[error("can't read stdin: {0}")]
    Stdin(#[source] io::Error),
    /// A line of stdin holds no item.
    #[error("line {line}: {why}")]
    BadLine {
        /// The line's number, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A batch was not appended.
    #[error("line {line}: {source}")]
    Append {
        /// The line's number, from 1.
        line: u64,
        /// Why.
        source: Box<CliError>,
    },
    /// An answer has no JSON form.
    #[error("can't write the answer as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A record has no JSON line.
    #[error("thread {thread_id}, record {ordinal}: {why}")]
    Record {
        /// The thread.
        thread_id: ThreadId,
        /// The record.
        ordinal: Ordinal,
        /// Why.
        why: CodecError,
    },
    /// A directory holds no log.
    #[error("{} holds no JSON-lines log", .0.display())]
    NothingToImport(PathBuf),
    /// An export would replace a file.
    #[error("{} exists already; --force replaces it", .0.display())]
    FileExists(PathBuf),
    /// Some of many were not carried out; each has been told on its own line.
    #[error("{failed} of {all} {what} failed")]
    Some {
        /// How many failed.
        failed: usize,
        /// How many there were.
        all: usize,
        /// What they are: "imports", "exports".
        what: &'static str,
    },
    /// The demo's home holds something.
    #[error("the demo wants a home of its own: {} is not empty", .0.display())]
    DemoHomeInUse(PathBuf),
    /// The demo changed what it only had to read.
    #[error("a bundled JSON-lines file in {} was changed", .0.display())]
    DemoHomeTouched(PathBuf),
    /// The demo's writer could not be started or ended.
    #[error("the demo's writer: {0}")]
    DemoWriter(#[source] io::Error),
    /// What the demo is there to rule out.
    #[error("thread {thread_id} lost what was acknowledged: {what}")]
    Lost {
        /// The thread.
        thread_id: ThreadId,
        /// What is missing.
        what: String,
    },
    /// The command line can't be understood, or asks for what can't be.
    #[error("{0}; try --help")]
    Usage(String),
    /// Whoever was asked did not say yes.
    #[error("thread {0} stays as it is: nobody said yes")]
    NotDeleted(ThreadId),
    /// No thread can be gone on with.
    #[error("there is no thread to go on with")]
    NothingToResume,
    /// The runtime or a directory could not be made.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl CliError {
    /// A mistake on the command line.
    pub(crate) fn usage(why: impl Into<String>) -> Self {
        Self::Usage(why.into())
    }

    /// A mistake that the command line's parser found, in one line: what is wrong, and what the
    /// parser would take instead.
    pub(crate) fn of_parser(error: &clap::Error) -> Self {
        if error.kind() == ErrorKind::MissingSubcommand {
            return Self::usage("no verb is given");
        }
        let text = error.to_string();
        let mut why = String::new();
        for line in text.lines().map(str::trim) {
            if line.starts_with("Usage:") || line.starts_with("For more information") {
                break;
            }
            if line.starts_with("tip:") {
                why.push(';');
            }
            if !line.is_empty() && !why.is_empty() {
                why.push(' ');
            }
            why.push_str(line.strip_prefix("error: ").unwrap_or(line));
        }
        Self::Usage(why)
    }

    /// What the command ends with: 2 for a wrong command line, 1 for all else.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }

    /// Whether the reader of stdout has gone, which is no failure.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn what_the_parser_says_is_told_in_one_line() {
        let id = "019c7a54-be6b-7e31-86dd-b589bd944286";
        for (words, told) in [
            (vec!["--home", "x"], "no verb is given; try --help"),
            (
                vec!["name", id],
                "the following required arguments were not provided: <NAME>; try --help",
            ),
            (
                vec!["set", id, "--memory-mode", "x"],
                "invalid value 'x' for '--memory-mode <MODE>' [possible values: enabled, \
                 disabled]; try --help",
            ),
            (
                vec!["turn", id],
                "unrecognized subcommand 'turn'; tip: a similar subcommand exists: 'turns'; try \
                 --help",
            ),
        ] {
            let all = std::iter::once("selvedge").chain(words.iter().copied());
            let error = CliError::of_parser(&Cli::try_parse_from(all).unwrap_err());
            assert_eq!(error.to_string(), told, "{words:?}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
