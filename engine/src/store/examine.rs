//! Looking at logs and taking in what they have become.

use std::io;

use nix::errno::Errno;

use super::{Store, parallel};
use crate::home::LogPath;
use crate::index::{
    Applied, Batch, Database, FailureRow, Fault, Look, Outcome, PathRow, Projected, Tables,
    ThreadRow, apply,
};
use crate::listing::prefer;
use crate::projection::project;
use crate::{Error, Result};

/// How many logs are taken in with one transaction: many, since each is synced twice, and not
/// all, since nobody else writes meanwhile.
const CHUNK: usize = 2000;
/// How often logs are looked at again that somebody else was faster with.
const ATTEMPTS: usize = 4;

/// A log to look at, with what the index knows of it.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) path: LogPath,
    known: Option<PathRow>,
    /// Whether its thread has a row of this log, or of one that goes before it.
    is_served: bool,
    /// The row that was made of this log.
    row: Option<ThreadRow>,
    failure: Option<FailureRow>,
    /// What the index knows may be of what a power loss has taken.
    is_doubtful: bool,
}

impl Subject {
    pub(super) fn of(txn: &impl Tables, path: &LogPath, boot_id: &str) -> Result<Self, Fault> {
        let known = txn.path(path)?;
        let is_doubtful = txn.state()?.is_none_or(|state| match known {
            Some(known) => state.doubts(known.boot, boot_id),
            None => state.doubts_failures(boot_id),
        });
        let row = known
            .map(|known| txn.thread(known.thread_id))
            .transpose()?
            .flatten();
        let place = row.as_ref().and_then(ThreadRow::path);
        Ok(Self {
            path: path.clone(),
            known,
            is_served: place
                .as_ref()
                .is_some_and(|place| prefer(place, path).is_le()),
            row: row.filter(|_| place.as_ref() == Some(path)),
            failure: txn.failure(path.as_str())?,
            is_doubtful,
        })
    }
}

/// What was seen of a log that is not as the index knows it.
#[derive(Debug)]
pub(super) enum Seen {
    Gone(LogPath),
    Failed(LogPath, FailureRow),
    Projected(Box<Projected>),
}

impl Seen {
    pub(super) fn add_to(self, batch: &mut Batch) {
        match self {
            Self::Gone(path) => batch.gone.push(path),
            Self::Failed(path, failure) => batch.failed.push((path.into(), failure)),
            Self::Projected(projected) => batch.projected.push(*projected),
        }
    }
}

/// Whether an error says something of this process or moment, and nothing of the log.
pub(super) fn is_passing(why: &Error) -> bool {
    matches!(why, Error::Io { source, .. } if matches!(
        source.raw_os_error().map(Errno::from_raw),
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EINTR | Errno::EAGAIN)
    ))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

impl Store {
    /// Looks at one log: `None` when it is as the index knows it.
    ///
    /// # Errors
    /// Only what has nothing to do with the log: see [`is_passing`].
    pub(super) fn examine(&self, subject: Subject) -> Result<Option<Seen>> {
        let file = self.home().log_file(&subject.path);
        let stat = match self.disk().stat(&file) {
            Ok(stat) if stat.kind == crate::disk::FileKind::File => stat,
            // What took its place is found with its folder.
            Ok(_) => return Ok(subject.gone()),
            Err(error) if is_missing(&error) => return Ok(subject.gone()),
            Err(error) => {
                let why = Error::io("look at", &file, error);
                return subject.failed(why, None);
            }
        };
        let look = Look::from(stat);
        let is_known = subject.known.is_some_and(|known| known.look == look) && subject.is_served;
        let is_known_to_fail =
            matches!(&subject.failure, Some(failure) if failure.look == Some(look));
        if subject.row.is_some() {
            self.forget_seed(&subject.path);
        }
        if (is_known || is_known_to_fail) && !subject.is_doubtful {
            return Ok(None);
        }
        let base = subject.row.as_ref().map(|row| row.thread.checkpoint);
        let known = subject.row.as_ref().filter(|_| !subject.is_doubtful);
        let thread = known.map(|row| row.thread.clone());
        let projected = match self.seed(&subject.path) {
            Some(seed) => self.project_seeded(&subject.path, seed),
            None => project(self.disk(), self.home(), &subject.path, thread),
        };
        match projected {
            Ok(projection) => Ok(Some(Seen::Projected(Box::new(Projected {
                path: subject.path,
                base,
                projection,
            })))),
            Err(Error::Io { source, .. }) if is_missing(&source) => Ok(subject.gone()),
            // What the system refuses may be granted without a change of the file.
            Err(why @ (Error::Io { .. } | Error::OutOfSpace { .. })) => subject.failed(why, None),
            Err(why) => subject.failed(why, Some(look)),
        }
    }

    /// Looks at logs, and takes in what is not as the index knows it. Returns how many rows were
    /// written.
    pub(super) fn look_at(&self, index: &Database, mut paths: Vec<LogPath>) -> Result<u64, Fault> {
        let mut rows = 0;
        for _ in 0..ATTEMPTS {
            paths.sort_unstable();
            paths.dedup();
            let mut again = Vec::new();
            for chunk in paths.chunks(CHUNK) {
                let mut batch = Batch::default();
                self.examine_all(index, chunk, &mut batch)?;
                let applied = self.take_in(index, &batch)?;
                again.extend(applied.again);
                rows += applied.rows;
            }
            if again.is_empty() {
                break;
            }
            paths = again;
        }
        Ok(rows)
    }

    /// Looks at logs, all of them at once.
    pub(super) fn examine_all(
        &self,
        index: &Database,
        paths: &[LogPath],
        batch: &mut Batch,
    ) -> Result<(), Fault> {
        if paths.is_empty() {
            return Ok(());
        }
        let subjects: Vec<_> = index.read(|txn| {
            let subjects = paths
                .iter()
                .map(|path| Subject::of(txn, path, &self.boot_id));
            // A subject is taken by the one thread that looks at it.
            subjects
                .map(|subject| subject.map(|subject| std::sync::Mutex::new(Some(subject))))
                .collect()
        })?;
        let seen = parallel::filter_map(self.disk(), &subjects, 8, |subject| {
            let subject = subject.lock().ok()?.take()?;
            self.examine(subject).transpose()
        });
        for seen in seen {
            seen?.add_to(batch);
        }
        Ok(())
    }

    /// Takes a batch in.
    pub(super) fn take_in(&self, index: &Database, batch: &Batch) -> Result<Applied, Fault> {
        if batch.is_empty() {
            return Ok(Applied::default());
        }
        self.write(index, |txn, state| {
            Ok(Outcome::Commit(apply(txn, state, batch)?))
        })
    }
}

impl Subject {
    /// Nothing is to be done about a log that the index does not know either.
    fn gone(self) -> Option<Seen> {
        (self.known.is_some() || self.failure.is_some()).then_some(Seen::Gone(self.path))
    }

    fn failed(self, why: Error, look: Option<Look>) -> Result<Option<Seen>> {
        if is_passing(&why) {
            return Err(why);
        }
        let failure = FailureRow {
            why: why.to_string(),
            look,
        };
        if self.known.is_none() && self.failure.as_ref() == Some(&failure) {
            return Ok(None);
        }
        Ok(Some(Seen::Failed(self.path, failure)))
    }
}
