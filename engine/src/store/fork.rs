//! Forking a thread by reference: the fork's log begins with segments that it shares.
//!
//! What must hold: the fork needs nothing of the thread that it was forked from; and the index
//! gets of a fork what projecting all of its log gives, whether it was projected or not.

use std::collections::VecDeque;
use std::io;

use selvedge_codec::segment::HEADER_BYTES;
use selvedge_codec::{ByteLength, ByteOffset, Ordinal, ThreadId};

use super::Store;
use crate::home::{Home, LogFormat, LogPath};
use crate::index::{Tables, ThreadRow};
use crate::listing::find_log;
use crate::log::{CutLog, LogContext, LogPosition, NewThread, Sharing, ThreadLog};
use crate::projection::{
    Checkpoint, PlacedTurn, ProjectedThread, Projection, TurnChange, apply_turn_changes, project,
};
use crate::thread::{ForkPoint, TurnSummary};
use crate::{Error, InvalidRequest, Result};

/// How often a fork is tried whose source is moved meanwhile.
const ATTEMPTS: usize = 3;
/// Of how many forks at most what they inherit is kept until the index has them.
const MAX_SEEDS: usize = 256;

/// What a fork is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForkSource {
    /// The thread.
    pub thread_id: ThreadId,
    /// Where its acknowledged records end, if it is being written by this process: what follows
    /// may not stay.
    pub upto: Option<Ordinal>,
    /// Whether its writer, in this process, has made these records durable.
    pub is_durable: bool,
}

/// A thread that is forked, as far as its log was read.
struct Parent {
    path: LogPath,
    projection: Projection,
    turns: Vec<PlacedTurn>,
}

/// What a fork's row begins with, until the index has it.
#[derive(Debug, Clone)]
pub(super) struct Seed {
    path: LogPath,
    thread: ProjectedThread,
    turns: Vec<PlacedTurn>,
}

/// Whether the home has a log of a thread, which only the logs tell.
pub(super) fn has_log(context: &LogContext, id: ThreadId) -> Result<bool> {
    match find_log(&*context.disk, &context.home, id) {
        Ok(_) => Ok(true),
        Err(Error::ThreadNotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The seeds of forks that the index does not know yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct Seeds(VecDeque<Seed>);

impl Seeds {
    fn add(&mut self, seed: Seed) {
        self.forget(&seed.path);
        if self.0.len() >= MAX_SEEDS {
            self.0.pop_front();
        }
        self.0.push_back(seed);
    }

    fn get(&self, path: &LogPath) -> Option<Seed> {
        self.0.iter().find(|seed| seed.path == *path).cloned()
    }

    fn forget(&mut self, path: &LogPath) {
        self.0.retain(|seed| seed.path != *path);
    }

    fn forget_thread(&mut self, id: ThreadId) {
        self.0.retain(|seed| seed.thread.summary.thread_id != id);
    }
}

impl Store {
    /// Makes a thread that begins with the history of another one up to `point`, and shares it with
    /// that one. Its log is open for writing, with its own meta written and not synced: its first
    /// sync makes the entries of what it inherits durable too. What it inherits is synced. The history
    /// of a log of JSON lines is copied, since another tool owns that file.
    ///
    /// # Errors
    /// [`Error::ThreadNotFound`]; [`InvalidRequest::NoSuchTurn`],
    /// [`InvalidRequest::OrdinalPastEnd`] and [`InvalidRequest::ThreadExists`];
    /// [`Error::Conflict`] when the new thread is being written; [`Error::Io`] and
    /// [`Error::OutOfSpace`], with nothing of the new thread left on disk.
    pub fn fork(
        &self,
        source: &ForkSource,
        point: &ForkPoint,
        new: NewThread,
    ) -> Result<ThreadLog> {
        self.check_is_new(source, new.thread_id)?;
        self.forget_seeds_of(new.thread_id);
        for _ in 1..ATTEMPTS {
            match self.try_fork(source, point, new.clone()) {
                // It was moved since it was found, or while it was looked for.
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(Error::ThreadNotFound { .. }) => {}
                forked => return forked,
            }
        }
        self.try_fork(source, point, new)
    }

    /// A folder of inherited segments without a thread is of a fork that was never made whole; that
    /// of a thread must not be taken for it.
    fn check_is_new(&self, source: &ForkSource, id: ThreadId) -> Result<()> {
        let exists = || Err(InvalidRequest::ThreadExists(id).into());
        if id == source.thread_id {
            return exists();
        }
        let folder = self.home().resolve(&Home::inherited_dir(id));
        if self.disk().stat(&folder).is_ok() {
            return match has_log(self.log_context(), id)? {
                true => exists(),
                false => Ok(()),
            };
        }
        let Some(index) = &self.index else {
            return Ok(());
        };
        match index.read(|txn| txn.thread(id)) {
            Ok(row) if row.as_ref().is_some_and(|row| self.has_log(row)) => exists(),
            Ok(_) => Ok(()),
            Err(fault) => match self.error(index, fault) {
                why if self.is_of_index(&why) => Ok(()),
                why => Err(why),
            },
        }
    }

    fn has_log(&self, row: &ThreadRow) -> bool {
        row.path()
            .is_some_and(|path| self.disk().stat(&self.home().log_file(&path)).is_ok())
    }

    fn try_fork(
        &self,
        source: &ForkSource,
        point: &ForkPoint,
        new: NewThread,
    ) -> Result<ThreadLog> {
        let parent = self.parent(source.thread_id)?;
        let next_ordinal = parent.cut(source, point)?;
        let thread = &parent.projection.thread;
        let cut = CutLog {
            thread_id: source.thread_id,
            disk: self.disk(),
            file: &self.home().log_file(&parent.path),
            format: thread.format,
            known: parent.end_near(next_ordinal),
            has_log,
        };
        let inheritance = cut.inheritance(next_ordinal, self.sharing(source, thread.format)?)?;
        let fork = new.thread_id;
        let mut log = ThreadLog::fork(self.context.clone(), new, inheritance);
        log.materialize()?;
        let is_all = next_ordinal == thread.checkpoint.position.next_ordinal;
        if self.index.is_some() && is_all && next_ordinal > Ordinal::ZERO {
            let own = begin_of(&log, next_ordinal);
            if let Some(thread) = thread.inherited_by(fork, own) {
                self.seeds().add(Seed {
                    path: log.path().clone(),
                    thread,
                    turns: parent.turns,
                });
            }
        }
        Ok(log)
    }

    /// How a fork is to come by what its source's own log holds.
    fn sharing(&self, source: &ForkSource, format: LogFormat) -> Result<Sharing> {
        if source.is_durable || format != LogFormat::Native {
            return Ok(Sharing::Durable);
        }
        // Who begins to write it at this very moment reads it first, and its own sync follows.
        Ok(match self.context.locks.is_free(source.thread_id)? {
            true => Sharing::Idle,
            false => Sharing::Busy,
        })
    }

    /// The thread that is forked: what the index knows of it, and what its log has grown by.
    fn parent(&self, id: ThreadId) -> Result<Parent> {
        if let Some(parent) = self.known_parent(id)? {
            return Ok(parent);
        }
        let path = self.find(id)?.path;
        let projection = project(self.disk(), self.home(), &path, None)?;
        Ok(Parent::new(path, Vec::new(), projection))
    }

    fn known_parent(&self, id: ThreadId) -> Result<Option<Parent>> {
        let Some(index) = &self.index else {
            return Ok(None);
        };
        let known = index.read(|txn| {
            match self.row_and_doubt(txn, id)? {
                (Some(row), false) => Ok(Some((row, txn.turns(id)?))),
                // The log tells what is left.
                _ => Ok(None),
            }
        });
        let (row, turns) = match known {
            Ok(Some(known)) => known,
            Ok(None) => return Ok(None),
            Err(fault) => match self.error(index, fault) {
                why if self.is_of_index(&why) => return Ok(None),
                why => return Err(why),
            },
        };
        let Some(path) = row.path() else {
            return Ok(None);
        };
        // What can't be read there may be elsewhere.
        let Ok(projection) = project(self.disk(), self.home(), &path, Some(row.thread)) else {
            return Ok(None);
        };
        let is_still = projection.thread.summary.thread_id == id;
        Ok(is_still.then(|| Parent::new(path, turns, projection)))
    }

    /// What projecting a log that the index does not know may begin with.
    pub(super) fn seed(&self, path: &LogPath) -> Option<Seed> {
        self.seeds().get(path)
    }

    /// The index has the log.
    pub(super) fn forget_seed(&self, path: &LogPath) {
        self.seeds().forget(path);
    }

    /// The thread is gone, or is about to be another one: a log of its name inherits something else.
    pub(super) fn forget_seeds_of(&self, id: ThreadId) {
        self.seeds().forget_thread(id);
    }

    /// Projects a fork that the index does not know on what it inherits.
    pub(super) fn project_seeded(&self, path: &LogPath, seed: Seed) -> Result<Projection> {
        let mut projection = project(self.disk(), self.home(), path, Some(seed.thread))?;
        if !projection.from_start {
            let inherited = seed.turns.into_iter().map(TurnChange::Upsert);
            let own = std::mem::take(&mut projection.turns);
            projection.turns = inherited.chain(own).collect();
            projection.from_start = true;
        }
        Ok(projection)
    }
}

/// Where a fork's own records begin.
fn begin_of(log: &ThreadLog, next_ordinal: Ordinal) -> Checkpoint {
    Checkpoint {
        position: LogPosition {
            offset: ByteOffset::new(HEADER_BYTES as u64),
            next_ordinal,
            bad_since_record: 0,
        },
        // As it never was: its own records are still to be read.
        file_len: ByteLength::ZERO,
        mtime_nanos: 0,
        inode: log.inode(),
        fingerprint: None,
    }
}

impl Parent {
    fn new(path: LogPath, known: Vec<PlacedTurn>, mut projection: Projection) -> Self {
        let mut turns = if projection.from_start {
            Vec::new()
        } else {
            known
        };
        apply_turn_changes(&mut turns, std::mem::take(&mut projection.turns));
        Self {
            path,
            projection,
            turns,
        }
    }

    /// The nearest known end of a batch that is not before this ordinal.
    fn end_near(&self, next_ordinal: Ordinal) -> LogPosition {
        let all = self.projection.thread.checkpoint.position;
        let ends = self.turns.iter().map(|placed| placed.end);
        ends.filter(|end| end.next_ordinal >= next_ordinal)
            .min_by_key(|end| end.next_ordinal)
            .unwrap_or(all)
    }

    /// How many of its records are inherited.
    fn cut(&self, source: &ForkSource, point: &ForkPoint) -> Result<Ordinal> {
        let read = self.projection.thread.checkpoint.position.next_ordinal;
        let next = source.upto.map_or(read, |upto| upto.min(read));
        match point {
            ForkPoint::Whole => Ok(next),
            ForkPoint::Before(ordinal) if *ordinal <= next => Ok(*ordinal),
            ForkPoint::Before(ordinal) => Err(InvalidRequest::OrdinalPastEnd {
                asked: *ordinal,
                next,
            }
            .into()),
            ForkPoint::AfterTurn(id) => {
                let is_asked_for = |turn: &&TurnSummary| {
                    !turn.rolled_back
                        && turn.first_ordinal < next
                        && turn.turn_id.as_deref() == Some(id)
                };
                let turns = self.turns.iter().map(|placed| &placed.turn);
                let turn = turns.rev().find(is_asked_for);
                let no_such = || InvalidRequest::NoSuchTurn {
                    thread_id: source.thread_id,
                    turn_id: id.clone(),
                };
                let turn = turn.ok_or_else(no_such)?;
                Ok(turn.last_ordinal.next().min(next))
            }
        }
    }
}
