//! The verbs, one file each.

mod append;
mod archive;
mod completions;
mod context;
mod cwd;
mod delete;
mod demo;
mod export;
mod fork;
mod history;
mod import;
mod index;
mod items;
mod latest;
mod list;
mod man;
mod metadata;
mod occurrences;
mod rollback;
mod search;
mod show;
mod stats;
mod tail;
mod turns;
mod usage;
mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

use selvedge::{IndexMode, OpenOptions, Selvedge, StartThread, ThreadSummary};
use tokio::runtime::{Builder, Runtime};

use crate::args::{Cli, HOME_VARIABLE, Verb};
use crate::error::{CliError, Result};
use crate::output::json::ThreadJson;
use crate::output::thread::tell_thread;
use crate::output::{Answer, note};

/// How long a verb waits for the index to cover the home before it goes on with what there is.
const INDEX_WAIT: Duration = Duration::from_secs(60);

/// The index's file in a home.
const INDEX: &str = "index.redb";

/// How a verb ended that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well.
    Fine,
    /// The verb was asked to look for damage, and found some.
    DamageFound,
}

/// Carries out what was asked.
pub(crate) fn run(cli: &Cli) -> Result<Outcome> {
    // These need no home, and the demo has its own.
    match &cli.verb {
        Verb::Demo(args) => return demo::run(args, cli.home.as_deref()),
        Verb::Completions(args) => return completions::run(args),
        Verb::Man(args) => return man::run(args),
        _ => {}
    }
    let Some(home) = cli.home(std::env::var_os(HOME_VARIABLE)) else {
        let message = format!("no home is named: give --home DIR or set {HOME_VARIABLE}");
        return Err(CliError::usage(message));
    };
    let context = Context {
        home: absolute(&home)?,
        json: cli.json,
    };
    match &cli.verb {
        Verb::List(args) => list::run(args, &context),
        Verb::Show(args) => show::run(args, &context),
        Verb::History(args) => history::run(args, &context),
        Verb::Tail(args) => tail::run(args, &context),
        Verb::Turns(args) => turns::run(args, &context),
        Verb::Items(args) => items::run(args, &context),
        Verb::Search(args) => search::run(args, &context),
        Verb::Occurrences(args) => occurrences::run(args, &context),
        Verb::Latest(args) => latest::run(args, &context),
        Verb::Usage(args) => usage::run(args, &context),
        Verb::Context(args) => context::run(args, &context),
        Verb::Name(args) => metadata::name(args, &context),
        Verb::Set(args) => metadata::set(args, &context),
        Verb::Archive(args) => archive::archive(args, &context),
        Verb::Unarchive(args) => archive::unarchive(args, &context),
        Verb::Delete(args) => delete::run(args, &context),
        Verb::Fork(args) => fork::fork(args, &context),
        Verb::Review(args) => fork::review(args, &context),
        Verb::Rollback(args) => rollback::run(args, &context),
        Verb::Append(args) => append::run(args, &context),
        Verb::Import(args) => import::run(args, &context),
        Verb::Export(args) => export::run(args, &context),
        Verb::Index(args) => index::run(args, &context),
        Verb::Verify(args) => verify::run(args, &context),
        Verb::Stats => stats::run(&context),
        Verb::DemoWriter => demo::write_until_killed(&context),
        // Taken above, before a home was asked for.
        Verb::Demo(_) | Verb::Completions(_) | Verb::Man(_) => Ok(Outcome::Fine),
    }
}

/// What every verb is told.
#[derive(Debug)]
pub(crate) struct Context {
    /// The home's absolute path.
    pub(crate) home: PathBuf,
    /// Whether the answer is JSON where a person would get something else.
    pub(crate) json: bool,
}

impl Context {
    /// Opens the home for a verb that reads it or resumes what it holds: it must exist, and is
    /// indexed first as far as it must be. Where no index can be kept (the home is read-only, the
    /// disk is full), the logs have the same answers.
    pub(crate) fn with_home<T>(&self, work: impl FnOnce(&OpenHome) -> Result<T>) -> Result<T> {
        let home = match OpenHome::open(self, self.options()) {
            Err(CliError::Store(error)) if self.is_of_index(&error) => {
                note(format_args!(
                    "no index can be used, all logs are read: {error}"
                ));
                OpenHome::open(self, self.options().index(IndexMode::None))?
            }
            opened => opened?,
        };
        home.close_after(work)
    }

    /// Opens the home for a verb that indexes it itself.
    pub(crate) fn with_unindexed_home<T>(
        &self,
        work: impl FnOnce(&OpenHome) -> Result<T>,
    ) -> Result<T> {
        OpenHome::open(self, self.options().index(IndexMode::Existing))?.close_after(work)
    }

    /// Opens the home for a verb that may begin one.
    pub(crate) fn with_new_home<T>(&self, work: impl FnOnce(&OpenHome) -> Result<T>) -> Result<T> {
        OpenHome::open(self, self.options().create(true))?.close_after(work)
    }

    /// Answers with a thread.
    pub(crate) fn answer_thread(&self, thread: &ThreadSummary) -> Result<Outcome> {
        let mut answer = Answer::new();
        if self.json {
            answer.json(&ThreadJson::of(thread, &self.home)?)?;
        } else {
            tell_thread(thread, &self.home, &mut answer)?;
        }
        answer.finish()?;
        Ok(Outcome::Fine)
    }

    fn options(&self) -> OpenOptions {
        OpenOptions::new(self.home.clone()).index(IndexMode::Wait(INDEX_WAIT))
    }

    fn is_of_index(&self, error: &selvedge::Error) -> bool {
        match error {
            selvedge::Error::Io { path, .. } | selvedge::Error::OutOfSpace { path, .. } => {
                *path == self.home.join(INDEX)
            }
            _ => false,
        }
    }
}

/// An open home, and the runtime that its actors live on. The verb itself stays on the main
/// thread and may block.
pub(crate) struct OpenHome {
    runtime: Runtime,
    store: Selvedge,
    path: PathBuf,
}

impl OpenHome {
    fn open(context: &Context, options: OpenOptions) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|source| CliError::System {
                what: "can't start the runtime",
                source,
            })?;
        let store = runtime.block_on(Selvedge::open(options))?;
        Ok(Self {
            runtime,
            store,
            path: context.home.clone(),
        })
    }

    /// Lets `work` use the home, and shuts it down whatever came of that.
    fn close_after<T>(self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let result = work(&self);
        let closed = self.runtime.block_on(self.store.shutdown());
        let value = result?;
        closed?;
        Ok(value)
    }

    /// The store.
    pub(crate) const fn store(&self) -> &Selvedge {
        &self.store
    }

    /// The home's absolute path.
    pub(crate) fn home(&self) -> &Path {
        &self.path
    }

    /// Waits for an operation of the store.
    pub(crate) fn wait<T>(
        &self,
        operation: impl Future<Output = selvedge::Result<T>>,
    ) -> Result<T> {
        Ok(self.runtime.block_on(operation)?)
    }

    /// Waits for what a verb does with several of them.
    pub(crate) fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(work)
    }
}

/// The path from the root, without a look at the disk.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|source| CliError::System {
        what: "can't tell the current directory",
        source,
    })
}

/// What a thread that this command starts says of itself.
pub(crate) fn started_by_cli() -> StartThread {
    StartThread {
        source: Some("\"cli\"".to_owned()),
        originator: "selvedge-cli".to_owned(),
        cli_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..StartThread::default()
    }
}
