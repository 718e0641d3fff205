//! Listing threads.

use super::around::Breadth;
use super::{Store, Suspect, parallel};
use crate::Result;
use crate::home::LogPath;
use crate::index::{
    Batch, Database, Fault, Look, Outcome, Tables, ThreadRow, View, apply_names, read_page,
};
use crate::listing::{
    ListQuery, Page, PageRequest, SessionNames, SortKey, Verification, scan_list,
};

/// How often a page is read again because something changed while it was read.
const ROUNDS: usize = 4;
/// A thread is worth starting for this many looks.
const SHARE: usize = 512;

/// A page, and what may be wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListOutcome {
    /// The page as the index has it.
    pub page: Page,
    /// What to look at before it is right; empty when it is.
    pub suspects: Vec<Suspect>,
}

/// A folder that was listed is suspect again until its modification is old enough, so that only
/// the first look at a query asks for folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checks {
    None,
    Rows,
    All,
}

impl Store {
    /// Reads a page, with what may be wrong with it. Nothing is written. After
    /// [`Store::reconcile`] the page is read again by [`Store::list_page_again`].
    ///
    /// # Errors
    /// [`crate::InvalidRequest`] for a bad cursor or page size; [`crate::Error::TimedOut`] when another
    /// process holds the index; [`crate::Error::Io`].
    pub fn list_page(&self, query: &ListQuery) -> Result<ListOutcome> {
        let checks = match query.verification {
            Verification::Verified => Checks::All,
            Verification::IndexOnly => Checks::None,
        };
        self.checked_page(query, checks)
    }

    /// Reads a page whose suspects were reconciled: only its rows are checked. Rows that came
    /// onto the page by it may be suspect in their turn.
    ///
    /// # Errors
    /// As [`Store::list_page`].
    pub fn list_page_again(&self, query: &ListQuery) -> Result<ListOutcome> {
        let checks = match query.verification {
            Verification::Verified => Checks::Rows,
            Verification::IndexOnly => Checks::None,
        };
        self.checked_page(query, checks)
    }

    /// Lists threads: the whole of it, with what must be looked at and taken in. Where there is no
    /// index, or another process holds it, every log is read instead.
    ///
    /// # Errors
    /// [`crate::InvalidRequest`] for a bad cursor or page size; [`crate::Error::Io`].
    pub fn list(&self, query: &ListQuery) -> Result<Page> {
        match self.list_by_index(query, true) {
            Err(why) if self.is_of_index(&why) => scan_list(self.disk(), self.home(), query),
            done => done,
        }
    }

    /// Reads a page, and has taken in what is wrong with it. Only for the first page of a question
    /// the home is looked around in.
    pub(super) fn list_by_index(&self, query: &ListQuery, is_first: bool) -> Result<Page> {
        let mut outcome = match is_first {
            true => self.list_page(query)?,
            false => self.list_page_again(query)?,
        };
        for _ in 0..ROUNDS {
            if outcome.suspects.is_empty() {
                break;
            }
            self.reconcile(&outcome.suspects)?;
            outcome = self.list_page_again(query)?;
        }
        Ok(outcome.page)
    }

    fn checked_page(&self, query: &ListQuery, checks: Checks) -> Result<ListOutcome> {
        let request = PageRequest::of(query)?;
        let Some(index) = &self.index else {
            return Ok(ListOutcome {
                page: scan_list(self.disk(), self.home(), query)?,
                suspects: Vec::new(),
            });
        };
        self.page_of(index, query, (&request, checks))
            .map_err(|fault| self.error(index, fault))
    }

    fn page_of(
        &self,
        index: &Database,
        query: &ListQuery,
        (request, checks): (&PageRequest<'_>, Checks),
    ) -> Result<ListOutcome, Fault> {
        let mut suspects = Vec::new();
        if checks == Checks::All {
            let breadth = match query.sort {
                // A term may be in any row, not only in those that the page shows and checks.
                _ if query.filter.search_term().is_some() => Breadth::LogsNow,
                SortKey::Created => Breadth::Folders,
                SortKey::Updated | SortKey::Recency => Breadth::Logs,
            };
            suspects = self.look_around(index, (breadth, Some(&query.filter)))?;
        }
        let (rows, coverage, is_complete) = index.read(|txn| {
            let state = txn.state()?;
            let is_complete = state
                .as_ref()
                .is_some_and(|state| self.is_complete(state, txn.inode()));
            let coverage = self.coverage_in(txn, state.as_ref())?;
            Ok((read_page(txn, query, request)?, coverage, is_complete))
        })?;
        if checks != Checks::None {
            suspects.extend(self.changed_rows(&rows));
            if !is_complete && self.was_complete() {
                suspects = vec![Suspect::Home];
            }
        }
        let threads = rows.into_iter().map(ThreadRow::into_summary).collect();
        Ok(ListOutcome {
            page: request.page(threads, coverage),
            suspects,
        })
    }

    /// The logs of rows that do not look as they did.
    fn changed_rows(&self, rows: &[ThreadRow]) -> Vec<Suspect> {
        parallel::filter_map(self.disk(), rows, SHARE, |row| {
            let path = row.path()?;
            let stat = self.disk().stat(&self.home().log_file(&path)).ok();
            let is_same = stat.map(Look::from) == Some(Look::from(&row.thread.checkpoint));
            (!is_same).then_some(Suspect::Log(path))
        })
    }

    /// Looks at what a read found suspect, and takes in what it has become.
    ///
    /// # Errors
    /// [`crate::Error::TimedOut`] when another process holds the index; [`crate::Error::Io`].
    pub fn reconcile(&self, suspects: &[Suspect]) -> Result<()> {
        let Some(index) = &self.index else {
            return Ok(());
        };
        let reconciled = self.reconcile_in(index, suspects);
        if reconciled.is_err() {
            // What a sweep found is still to be taken in.
            self.memory().forget_sweep();
        }
        reconciled
            .map(drop)
            .map_err(|fault| self.error(index, fault))
    }

    /// Returns how many rows were written.
    pub(super) fn reconcile_in(
        &self,
        index: &Database,
        suspects: &[Suspect],
    ) -> Result<u64, Fault> {
        if suspects.contains(&Suspect::Home) {
            let report = self.backfill(index.patience(), &|_| ())?;
            return Ok(report.projected);
        }
        if suspects.contains(&Suspect::Names) {
            self.take_names_in(index)?;
        }
        let mut dirs = Vec::new();
        let mut paths = Vec::new();
        let mut dead = Vec::new();
        for suspect in suspects {
            match suspect {
                Suspect::Log(path) => paths.push(path.clone()),
                Suspect::Folder(dir) => dirs.push(dir.clone()),
                Suspect::DeadWriter(marks) => {
                    self.clear_up_after(index, marks)?;
                    paths.extend(marks.threads.iter().map(|(_, path)| path.clone()));
                    dead.push(marks);
                }
                Suspect::Home | Suspect::Names => {}
            }
        }
        let rows = self.take_in_all(index, &dirs, paths)?;
        self.memory().settle(suspects);
        for marks in dead {
            crate::home::marks::remove(self.disk(), marks)?;
        }
        Ok(rows)
    }

    /// Lists folders, looks at logs, and takes all of it in: the folders last, since they count as
    /// covered then.
    fn take_in_all(
        &self,
        index: &Database,
        dirs: &[String],
        mut paths: Vec<LogPath>,
    ) -> Result<u64, Fault> {
        let relisted = self.relist(index, dirs)?;
        paths.extend(relisted.paths);
        let mut batch = relisted.batch;
        if paths.len() <= ONE_BATCH {
            paths.sort_unstable();
            paths.dedup();
            self.examine_all(index, &paths, &mut batch)?;
            paths.clear();
        }
        let listed = std::mem::take(&mut batch.dirs);
        if paths.is_empty() {
            batch.dirs = listed;
            let applied = self.take_in(index, &batch)?;
            return Ok(applied.rows + self.look_at(index, applied.again)?);
        }
        // What is gone goes first: a log that moved is then nobody's.
        let applied = self.take_in(index, &batch)?;
        paths.extend(applied.again);
        let rows = applied.rows + self.look_at(index, paths)?;
        let dirs = Batch {
            dirs: listed,
            ..Batch::default()
        };
        self.take_in(index, &dirs)?;
        Ok(rows)
    }

    /// Takes the names beside the logs over, where their file changed.
    pub(super) fn take_names_in(&self, index: &Database) -> Result<(), Fault> {
        let names = SessionNames::load(self.disk(), self.home())?;
        self.write(index, |txn, state| {
            if state.names == names.stat().map(Look::from) {
                return Ok(Outcome::Leave(()));
            }
            apply_names(txn, state, &names)?;
            Ok(Outcome::Commit(()))
        })
    }
}

/// Logs up to this many are taken in with the folders that they lie in, in one transaction.
const ONE_BATCH: usize = 500;
