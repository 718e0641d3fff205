//! Reading one thread.

use std::io;

use selvedge_codec::{Ordinal, ThreadId};

use super::{Store, Suspect};
use crate::home::{LogFormat, LogName, LogPath};
use crate::index::{Database, Fault, Look, Tables, ThreadRow, TurnRun, View};
use crate::listing::{Direction, SessionNames, find_log};
use crate::log::{History, LogPosition, load_history};
use crate::projection::{PlacedTurn, ProjectedThread, Projection, apply_turn_changes, project};
use crate::thread::{ThreadSummary, TurnSummary};
use crate::{Error, Result};

/// How often a row is read again because its log changed while it was read.
const ROUNDS: usize = 4;

/// Where a thread's log lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundThread {
    /// Below the home.
    pub path: LogPath,
    /// How its bytes are laid out.
    pub format: LogFormat,
}

impl Store {
    /// Finds a thread's log.
    ///
    /// # Errors
    /// [`Error::ThreadNotFound`]; when its only log can't be read, why.
    pub fn find(&self, id: ThreadId) -> Result<FoundThread> {
        let found = match self.row(id)? {
            Some(row) => row.path().map(|path| FoundThread {
                path,
                format: row.thread.format,
            }),
            None => Some(self.find_by_walk(id)?),
        };
        found.ok_or(Error::ThreadNotFound { thread_id: id })
    }

    /// Reads what is known of a thread.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub fn read_thread(&self, id: ThreadId) -> Result<ThreadSummary> {
        match self.row(id)? {
            Some(row) => self.named(row),
            None => {
                let mut thread = self.project_by_walk(id)?.thread;
                SessionNames::load(self.disk(), self.home())?.apply(&mut thread);
                Ok(thread.summary)
            }
        }
    }

    /// A row's summary, with the thread's name as the file beside the logs has it now.
    fn named(&self, mut row: ThreadRow) -> Result<ThreadSummary> {
        if let Some(index) = &self.index {
            let state = match index.read(|txn| txn.state()) {
                Ok(state) => state,
                Err(fault) => match self.error(index, fault) {
                    why if self.is_of_index(&why) => None,
                    why => return Err(why),
                },
            };
            let is_changed = match &state {
                Some(state) => self.changed_names(state)?.is_some(),
                None => true,
            };
            if is_changed {
                // Only read: a listing takes the names over.
                let names = SessionNames::load(self.disk(), self.home())?;
                row.outside_name = names.get(row.thread.summary.thread_id).map(str::to_owned);
            }
        }
        Ok(row.into_summary())
    }

    /// Reads a thread's turns.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub fn turns(&self, id: ThreadId) -> Result<Vec<TurnSummary>> {
        if let (Some(index), Some(_)) = (&self.index, self.row(id)?) {
            return index
                .read(|txn| txn.turns(id))
                .map(summaries)
                .map_err(|fault| self.error(index, fault));
        }
        let mut turns = Vec::new();
        apply_turn_changes(&mut turns, self.project_by_walk(id)?.turns);
        Ok(summaries(turns))
    }

    /// Loads all that a thread's log holds.
    ///
    /// # Errors
    /// As [`Store::find`], and as [`load_history`].
    pub fn history(&self, id: ThreadId) -> Result<History> {
        let load = |found: &FoundThread| {
            load_history(
                self.disk(),
                &self.home().log_file(&found.path),
                found.format,
            )
        };
        let found = self.find(id)?;
        match load(&found) {
            // It was moved since it was found.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                load(&self.find(id)?)
            }
            loaded => loaded,
        }
    }

    /// Where reading a thread's log forwards comes to the record of this ordinal without all that
    /// comes before it, as far as the index knows such a place.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub fn position_before(&self, id: ThreadId, ordinal: Ordinal) -> Result<Option<LogPosition>> {
        let Some(row) = self.row(id)? else {
            return Ok(None);
        };
        let end = row.thread.checkpoint.position;
        if end.next_ordinal <= ordinal {
            return Ok(Some(end));
        }
        let newest_first = TurnRun {
            to: Some(ordinal.next()),
            direction: Direction::Descending,
            ..TurnRun::all(id)
        };
        let turn = self.ask_index(|txn| txn.turns_in(newest_first)?.next().transpose())?;
        Ok(turn.map(|placed| placed.start))
    }

    /// What a thread's log says of it now.
    pub(super) fn projected(&self, id: ThreadId) -> Result<ProjectedThread> {
        match self.row(id)? {
            Some(row) => Ok(row.thread),
            None => Ok(self.project_by_walk(id)?.thread),
        }
    }

    /// The thread's row, as its log is now; `None` where the logs must be asked, since there is
    /// no index, or another process holds it, or it can't know.
    pub(super) fn row(&self, id: ThreadId) -> Result<Option<ThreadRow>> {
        let Some(index) = &self.index else {
            return Ok(None);
        };
        match self.fresh_row(index, id) {
            Ok(Some(row)) => Ok(Some(row)),
            Ok(None) => self.why_not(index, id)?.map_or(Ok(None), Err),
            Err(fault) => match self.error(index, fault) {
                why if self.is_of_index(&why) => Ok(None),
                why => Err(why),
            },
        }
    }

    fn fresh_row(&self, index: &Database, id: ThreadId) -> Result<Option<ThreadRow>, Fault> {
        let mut searched = false;
        for _ in 0..ROUNDS {
            let (row, is_doubtful) = index.read(|txn| self.row_and_doubt(txn, id))?;
            let path = row.as_ref().and_then(ThreadRow::path);
            let (Some(row), Some(path)) = (row, path) else {
                if searched || !self.find_missing(index, id)? {
                    return Ok(None);
                }
                searched = true;
                continue;
            };
            let stat = self.disk().stat(&self.home().log_file(&path));
            let look = stat.as_ref().ok().copied().map(Look::from);
            if look == Some(Look::from(&row.thread.checkpoint)) && !is_doubtful {
                return Ok(Some(row));
            }
            if stat.is_err() && !searched {
                // It may lie elsewhere now, or be another one.
                self.find_missing(index, id)?;
                searched = true;
            }
            self.reconcile_in(index, &[Suspect::Log(path)])?;
        }
        // The row of a log that is written without a pause was right when it was taken in.
        index.read(|txn| txn.thread(id))
    }

    /// A thread's row, and whether a power loss may have taken what it was made of.
    pub(super) fn row_and_doubt(
        &self,
        txn: &impl Tables,
        id: ThreadId,
    ) -> Result<(Option<ThreadRow>, bool), Fault> {
        let row = txn.thread(id)?;
        let known = match row.as_ref().and_then(ThreadRow::path) {
            Some(path) => txn.path(&path)?,
            None => None,
        };
        let is_doubtful = match (txn.state()?, known) {
            (Some(state), Some(known)) => state.doubts(known.boot, &self.boot_id),
            _ => false,
        };
        Ok((row, is_doubtful))
    }

    /// Looks for a thread that the index does not know. Returns whether anything was taken in.
    fn find_missing(&self, index: &Database, id: ThreadId) -> Result<bool, Fault> {
        let is_complete = index.read(|txn| {
            let state = txn.state()?;
            Ok(state.is_some_and(|state| self.is_complete(&state, txn.inode())))
        })?;
        if is_complete {
            return self.search_home(index);
        }
        match find_log(self.disk(), self.home(), id) {
            Ok(found) => self.look_at(index, vec![found.path]).map(|rows| rows > 0),
            Err(Error::ThreadNotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Why a thread has no row: a log of its name that can't be read, or none at all. `None` where only
    /// the logs tell: the index forgets what lies where the system refuses to look.
    fn why_not(&self, index: &Database, id: ThreadId) -> Result<Option<Error>> {
        let failures = index
            .read(|txn| txn.failures())
            .map_err(|fault| self.error(index, fault))?;
        let is_refused = failures.values().any(|row| row.look.is_none());
        for path in failures.into_keys().filter_map(LogPath::new) {
            let name = LogName::parse(path.file_name());
            if name.and_then(|name| name.thread_id) == Some(id)
                && let Err(why) = project(self.disk(), self.home(), &path, None)
            {
                return Ok(Some(why));
            }
        }
        Ok((!is_refused).then_some(Error::ThreadNotFound { thread_id: id }))
    }

    fn find_by_walk(&self, id: ThreadId) -> Result<FoundThread> {
        let found = find_log(self.disk(), self.home(), id)?;
        Ok(FoundThread {
            path: found.path,
            format: found.format,
        })
    }

    fn project_by_walk(&self, id: ThreadId) -> Result<Projection> {
        let found = find_log(self.disk(), self.home(), id)?;
        project(self.disk(), self.home(), &found.path, None)
    }
}

fn summaries(turns: Vec<PlacedTurn>) -> Vec<TurnSummary> {
    turns.into_iter().map(|placed| placed.turn).collect()
}
