//! What the index tells of a stretch of one thread: enough to read a page of it, and no more of its
//! log than that.
//!
//! **The log is the judge.** Rows and hints only tell where to look. Wherever what lies there is
//! not what they say, the whole log is read, and the plain functions over its records answer.

use selvedge_codec::{Ordinal, Record, ThreadId};

use super::Store;
use crate::home::LogFormat;
use crate::index::{Fault, Tables, ThreadRow, TurnRun};
use crate::listing::Direction;
use crate::log::{LogPosition, OpenLog, still_counts};
use crate::projection::PlacedTurn;
use crate::{Error, Result};

/// How many turns a window has at first; then so many times as many.
const FIRST_TURNS: usize = 16;
const MORE_TURNS: usize = 8;

/// What came of an attempt to answer from a part of the log.
pub(super) enum Attempt<T> {
    Answer(T),
    /// A larger window is needed.
    More,
    /// Only the whole log tells.
    Unclear,
}

/// A stretch of a thread: from its end backwards, or from a place on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) direction: Direction,
    /// The first ordinal that is in it.
    pub(super) from: Ordinal,
    /// The first one behind it, if it has an end.
    pub(super) to: Option<Ordinal>,
}

/// A thread's row, and the turns that say what of a stretch was dropped.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) row: ThreadRow,
    /// Oldest first.
    pub(super) turns: Vec<PlacedTurn>,
    /// The turn that follows a stretch with an end.
    pub(super) following: Option<PlacedTurn>,
    /// What is known reaches from here...
    known_from: Ordinal,
    /// ...to before this, if it ends.
    known_to: Option<Ordinal>,
    /// Records between these (both inclusive) were dropped. In order, and apart.
    dropped: Vec<(Ordinal, Ordinal)>,
}

impl Window {
    /// Reads the window of at most about so many turns from a stretch's beginning, in its
    /// direction.
    ///
    /// What a turn that counts begins is not dropped by any rollback of an earlier turn: so the
    /// window reaches back to such a turn, or to the first one.
    pub(super) fn read(
        txn: &impl Tables,
        id: ThreadId,
        (stretch, turns): (Stretch, usize),
    ) -> Result<Option<Self>, Fault> {
        let Some(row) = txn.thread(id)? else {
            return Ok(None);
        };
        let all = TurnRun::all(id);
        let (at, least) = match stretch.direction {
            Direction::Ascending => (Some(stretch.from.next()), 0),
            Direction::Descending => (stretch.to, turns),
        };
        let mut known = Vec::new();
        let mut known_from = Ordinal::ZERO;
        let before = TurnRun {
            to: at,
            direction: Direction::Descending,
            ..all
        };
        for turn in txn.turns_in(before)? {
            let turn = turn?;
            let (first, counts) = (turn.turn.first_ordinal, !turn.turn.rolled_back);
            known.push(turn);
            if counts && known.len() >= least {
                known_from = first;
                break;
            }
        }
        known.reverse();
        let (mut following, mut known_to) = (None, None);
        if let Some(at) = at {
            let after = TurnRun { from: at, ..all };
            let mut after = txn.turns_in(after)?;
            if stretch.direction == Direction::Ascending {
                for turn in after.by_ref().take(turns) {
                    known.push(turn?);
                }
            }
            following = after.next().transpose()?;
            known_to = match stretch.direction {
                Direction::Ascending => following.as_ref().map(|turn| turn.turn.first_ordinal),
                Direction::Descending => Some(at),
            };
        }
        Ok(Some(Self {
            row,
            dropped: dropped_by(&known),
            turns: known,
            following,
            known_from,
            known_to,
        }))
    }

    /// Whether a record still counts; `None` where this window does not tell.
    pub(super) fn counts(&self, record: &Record) -> Option<bool> {
        let ordinal = record.ordinal;
        if ordinal < self.known_from || self.known_to.is_some_and(|end| ordinal >= end) {
            return None;
        }
        let after = self.dropped.partition_point(|(first, _)| *first <= ordinal);
        let before = after.checked_sub(1).and_then(|at| self.dropped.get(at));
        let is_dropped = before.is_some_and(|(_, last)| ordinal <= *last);
        Some(still_counts(record, is_dropped))
    }

    /// The turn of the window that a record lies in, if it lies in one.
    pub(super) fn turn_of(&self, ordinal: Ordinal) -> Option<&PlacedTurn> {
        let after = self
            .turns
            .partition_point(|turn| turn.turn.first_ordinal <= ordinal);
        let turn = after.checked_sub(1).and_then(|at| self.turns.get(at))?;
        turn.turn.holds(ordinal).then_some(turn)
    }

    /// Right behind the last record that the row knows of.
    pub(super) const fn end(&self) -> LogPosition {
        self.row.thread.checkpoint.position
    }
}

/// The stretches that these turns' rollbacks dropped.
fn dropped_by(turns: &[PlacedTurn]) -> Vec<(Ordinal, Ordinal)> {
    let mut dropped: Vec<(Ordinal, Ordinal)> = Vec::new();
    for turn in turns {
        let Some(by) = turn.dropped_by else {
            continue;
        };
        match dropped.last_mut() {
            // A rollback reaches from its first turn to itself, over earlier ones between.
            Some((_, last)) if turn.turn.first_ordinal <= *last => *last = by.max(*last),
            _ => dropped.push((turn.turn.first_ordinal, by)),
        }
    }
    dropped
}

impl Store {
    /// Answers from the index and a part of the log where that is possible, and otherwise from
    /// all records.
    pub(super) fn paged<T>(
        &self,
        id: ThreadId,
        attempt: impl Fn(&Self, usize) -> Result<Attempt<T>>,
        whole: impl FnOnce(&[Record]) -> Result<T>,
    ) -> Result<T> {
        // The row is brought up to date, so that what was acknowledged before is on the page.
        if self.row(id)?.is_some() {
            let mut turns = FIRST_TURNS;
            loop {
                match attempt(self, turns) {
                    Ok(Attempt::Answer(answer)) => return Ok(answer),
                    Ok(Attempt::More) => turns = turns.saturating_mul(MORE_TURNS),
                    Ok(Attempt::Unclear) => break,
                    Err(why @ Error::InvalidRequest(_)) => return Err(why),
                    // Moved, replaced or damaged meanwhile, or the index is held by another
                    // process: what can be read of the whole log says more.
                    Err(why) => {
                        tracing::debug!(%why, thread = %id, "a page is read from the whole log");
                        break;
                    }
                }
            }
        }
        whole(&self.history(id)?.records)
    }

    /// Reads from the index, with what it says of itself in one state.
    pub(super) fn ask_index<T>(
        &self,
        read: impl Fn(&crate::index::ReadTransaction) -> Result<Option<T>, Fault>,
    ) -> Result<Option<T>> {
        let Some(index) = &self.index else {
            return Ok(None);
        };
        index.read(read).map_err(|fault| self.error(index, fault))
    }

    /// Opens the log that a row was made of; `None` where it is not that file any more, or can't
    /// be read in parts.
    pub(super) fn open_log_of(&self, row: &ThreadRow) -> Result<Option<OpenLog<'_>>> {
        let Some(path) = row.path() else {
            return Ok(None);
        };
        let format = row.thread.format;
        if format == LogFormat::CompressedJsonLines {
            return Ok(None);
        }
        let log = OpenLog::open(self.disk(), &self.home().log_file(&path), format)?;
        let checkpoint = &row.thread.checkpoint;
        let is_same =
            log.stat().inode == checkpoint.inode && log.is_boundary(checkpoint.position)?;
        Ok(is_same.then_some(log))
    }
}
