//! Backfill: projecting the logs that the index does not cover, by one process at a time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::Store;
use super::around::Breadth;
use super::examine::{Seen, Subject};
use crate::home::LogPath;
use crate::index::{
    Applied, Batch, Claim, Database, DirRow, Epoch, Fault, LastBackfill, LeaseOwner, LeaseRow,
    Outcome, StateRow, Tables, View, WriteTransaction, apply, claim, extended, new_owner, released,
};
use crate::listing::{Coverage, walk};
use crate::process::ProcessIdentity;
use crate::{Error, Result};

/// How many logs are taken in with one transaction.
const CHUNK: usize = 2000;
/// A transaction is made at least this often, since each makes the lease last anew.
const COMMIT_INTERVAL: Duration = Duration::from_secs(2);
/// How often a waiter asks whether another process's backfill is done.
const POLL: Duration = Duration::from_millis(10);

/// How far a backfill has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackfillProgress {
    /// How many logs there are to read.
    pub total: u64,
    /// How many of them are done.
    pub done: u64,
}

/// What a backfill did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackfillReport {
    /// How many logs were read and taken in.
    pub projected: u64,
    /// Whether the home is covered now.
    pub coverage: Coverage,
    /// How long it took.
    pub took: Duration,
}

/// A claim that was granted: what each commit under it is checked against.
#[derive(Debug)]
pub(super) struct Tenure {
    owner: LeaseOwner,
    epoch: Epoch,
}

/// What a claim of the lease gave.
pub(super) enum Lease {
    Mine(Tenure),
    Held(LeaseOwner),
}

/// Another owner took over: the work is theirs now.
pub(super) struct Fenced;

/// What came of an attempt to cover the home.
enum Step {
    /// It is covered, and so many logs were read for it.
    Covered(u64),
    /// Somebody else is at it.
    Held(LeaseOwner),
    /// Somebody else took over.
    Fenced,
}

impl Store {
    /// Brings the index up to the home's logs. What it takes is proportional to what changed; a
    /// complete index that nothing has changed for is not written to. `wait` is how long another
    /// process's backfill is waited for.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when another process is still at it, or still holds the index, after
    /// `wait` (and no sooner than an operation on the index gives up);
    /// [`Error::Io`] and [`Error::OutOfSpace`] when the index can't be written;
    /// [`Error::Closed`] after [`Store::stop_backfill`].
    pub fn backfill(
        &self,
        wait: Duration,
        progress: &(dyn Fn(BackfillProgress) + Sync),
    ) -> Result<BackfillReport> {
        let began = Instant::now();
        let Some(index) = &self.index else {
            return Ok(BackfillReport {
                projected: 0,
                coverage: self.coverage()?,
                took: began.elapsed(),
            });
        };
        let projected = self
            .cover(index, wait, progress)
            .map_err(|fault| self.error(index, fault))?;
        self.was_complete.store(true, Ordering::Release);
        Ok(BackfillReport {
            projected,
            coverage: self.coverage()?,
            took: began.elapsed(),
        })
    }

    /// Makes the index anew from the logs alone.
    ///
    /// # Errors
    /// As [`Store::backfill`].
    pub fn rebuild(
        &self,
        wait: Duration,
        progress: &(dyn Fn(BackfillProgress) + Sync),
    ) -> Result<BackfillReport> {
        if let Some(index) = &self.index {
            index.discard().map_err(|fault| self.error(index, fault))?;
        }
        self.backfill(wait, progress)
    }

    /// Takes in what these logs have grown by, in one transaction: so that readers see what was
    /// acknowledged.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when another process holds the index; [`Error::Io`].
    pub fn catch_up(&self, logs: &[(selvedge_codec::ThreadId, LogPath)]) -> Result<()> {
        let Some(index) = &self.index else {
            return Ok(());
        };
        let imported = self.catching_up(logs);
        let paths = logs.iter().map(|(_, path)| path.clone()).collect();
        self.look_at(index, paths)
            .map_err(|fault| self.error(index, fault))?;
        imported.done();
        Ok(())
    }

    fn cover(
        &self,
        index: &Database,
        wait: Duration,
        progress: &(dyn Fn(BackfillProgress) + Sync),
    ) -> Result<u64, Fault> {
        let owner = new_owner(&self.process);
        // Since when others have been in the way.
        let clock = &self.context.clock;
        let mut waiting: Option<Duration> = None;
        loop {
            self.check_stopped()?;
            let stepped = self.step(index, &owner, progress);
            let waited = || {
                clock
                    .elapsed()
                    .saturating_sub(waiting.unwrap_or(clock.elapsed()))
            };
            match stepped {
                Ok(Step::Covered(projected)) => return Ok(projected),
                Ok(Step::Fenced) => waiting = None,
                Ok(Step::Held(owner)) if waited() >= wait => {
                    return Err(Fault::Engine(Error::TimedOut {
                        waiting_for: format!(
                            "process {} to index {}",
                            owner.process.pid,
                            self.home().root().display()
                        ),
                        waited: wait,
                    }));
                }
                // A transaction of theirs is what somebody who waits for a lease waits for, too.
                Err(Fault::Busy) if waited() >= wait => return Err(Fault::Busy),
                Ok(Step::Held(_)) | Err(Fault::Busy) => {
                    waiting.get_or_insert_with(|| clock.elapsed());
                    clock.pause(POLL);
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    fn step(
        &self,
        index: &Database,
        owner: &LeaseOwner,
        progress: &(dyn Fn(BackfillProgress) + Sync),
    ) -> Result<Step, Fault> {
        let is_complete = index.read(|txn| {
            let state = txn.state()?;
            Ok(state.is_some_and(|state| self.is_complete(&state, txn.inode())))
        })?;
        if is_complete {
            let suspects = self.look_around(index, (Breadth::Folders, None))?;
            return self.reconcile_in(index, &suspects).map(Step::Covered);
        }
        match self.claim_lease(index, owner)? {
            Lease::Held(owner) => Ok(Step::Held(owner)),
            Lease::Mine(tenure) => match self.fill(index, &tenure, progress) {
                Ok(Ok(projected)) => Ok(Step::Covered(projected)),
                Ok(Err(Fenced)) => Ok(Step::Fenced),
                Err(fault) => {
                    self.give_up(index, &tenure);
                    Err(fault)
                }
            },
        }
    }

    pub(super) fn claim_lease(&self, index: &Database, owner: &LeaseOwner) -> Result<Lease, Fault> {
        let now = || self.context.clock.now();
        let is_alive = |owner: &ProcessIdentity| owner.is_alive(self.disk());
        let decide = |found: &LeaseRow| claim(found, owner, now(), is_alive);
        // A lease that is held is not worth a write transaction to see.
        if let Claim::Held(owner) = index.read(|txn| Ok(decide(&txn.lease()?)))? {
            return Ok(Lease::Held(owner));
        }
        self.write(index, |txn, state| match decide(&txn.lease()?) {
            Claim::Held(owner) => Ok(Outcome::Leave(Lease::Held(owner))),
            Claim::Granted(lease) => {
                let tenure = Tenure {
                    owner: owner.clone(),
                    epoch: lease.epoch,
                };
                txn.put_lease(&lease)?;
                txn.put_state(state)?;
                Ok(Outcome::Commit(Lease::Mine(tenure)))
            }
        })
    }

    /// Lets go of the lease after a backfill that failed, so that nobody waits for its end.
    fn give_up(&self, index: &Database, tenure: &Tenure) {
        let given_up = self.write_leased(index, tenure, |txn, _| {
            txn.put_lease(&released(tenure.epoch))
        });
        if given_up.is_err() {
            tracing::debug!(?tenure, "the lease of a failed backfill ends by itself");
        }
    }

    /// Writes under the lease: nothing, when it was lost.
    pub(super) fn write_leased<T>(
        &self,
        index: &Database,
        tenure: &Tenure,
        work: impl Fn(&mut WriteTransaction<'_>, &mut StateRow) -> Result<T, Fault>,
    ) -> Result<Result<T, Fenced>, Fault> {
        self.write(index, |txn, state| {
            let now = self.context.clock.now();
            match extended(&txn.lease()?, tenure.epoch, &tenure.owner, now) {
                None => Ok(Outcome::Leave(Err(Fenced))),
                Some(lease) => {
                    txn.put_lease(&lease)?;
                    Ok(Outcome::Commit(Ok(work(txn, state)?)))
                }
            }
        })
    }

    /// Does what writes nothing, and makes the lease last until it is done.
    fn keeping_lease<T>(
        &self,
        index: &Database,
        tenure: &Tenure,
        work: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        std::thread::scope(|scope| {
            let (done, is_done) = sync_channel::<()>(0);
            scope.spawn(move || {
                while is_done.recv_timeout(COMMIT_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    let kept = self.write_leased(index, tenure, |_, _| Ok(()));
                    if matches!(kept, Ok(Err(Fenced))) {
                        // The first commit will find out.
                        break;
                    }
                }
            });
            let worked = work();
            drop(done);
            worked
        })
    }

    /// Covers the home, as the owner of the lease.
    fn fill(
        &self,
        index: &Database,
        tenure: &Tenure,
        progress: &(dyn Fn(BackfillProgress) + Sync),
    ) -> Result<Result<u64, Fenced>, Fault> {
        let began = Instant::now();
        self.take_names_in(index)?;
        self.clear_up(index)?;
        let plan = self.keeping_lease(index, tenure, || {
            let looked = self.context.clock.now();
            let found = walk(self.disk(), self.home())?;
            self.plan(index, (found, looked))
        })?;
        let total = plan.todo.len() as u64;
        progress(BackfillProgress { total, done: 0 });
        let mut again = Vec::new();
        let first = self.write_leased(index, tenure, |txn, state| {
            state.pending = total;
            apply(txn, state, &plan.first)
        })?;
        let Ok(first) = first else {
            return Ok(Err(Fenced));
        };
        again.extend(first.again);
        let filled = self.project_all(index, &plan.todo, |batch, done| {
            let applied = self.write_leased(index, tenure, |txn, state| {
                state.pending = total.saturating_sub(done);
                apply(txn, state, batch)
            })?;
            if applied.is_ok() {
                progress(BackfillProgress { total, done });
            }
            Ok(applied)
        })?;
        let Ok(filled) = filled else {
            return Ok(Err(Fenced));
        };
        again.extend(filled.again);
        self.look_at(index, again)?;
        let last = LastBackfill {
            finished_at: self.context.clock.now(),
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            projected: total,
        };
        self.finish(index, tenure, (&plan.dirs, last))
            .map(|done| done.map(|()| total))
    }

    fn finish(
        &self,
        index: &Database,
        tenure: &Tenure,
        (dirs, last): (&[(String, Option<DirRow>)], LastBackfill),
    ) -> Result<Result<(), Fenced>, Fault> {
        let batch = Batch {
            dirs: dirs.to_vec(),
            ..Batch::default()
        };
        self.write_leased(index, tenure, |txn, state| {
            state.is_complete = true;
            state.pending = 0;
            state.settled_boot = state.boot;
            state.inode = txn.inode();
            if last.projected > 0 {
                state.last_backfill = Some(last);
            }
            txn.put_lease(&released(tenure.epoch))?;
            apply(txn, state, &batch).map(drop)
        })
    }

    /// Projects logs on as many threads as the disk is worth, and has `commit` take them in, in
    /// large batches.
    fn project_all(
        &self,
        index: &Database,
        todo: &[LogPath],
        mut commit: impl FnMut(&Batch, u64) -> Result<Result<Applied, Fenced>, Fault>,
    ) -> Result<Result<Applied, Fenced>, Fault> {
        let look = |path: &LogPath| {
            self.check_stopped()
                .map_err(Fault::from)
                .and_then(|()| index.read(|txn| Subject::of(txn, path, &self.boot_id)))
                .and_then(|subject| Ok(self.examine(subject)?))
        };
        let threads = self.disk().concurrency().min(todo.len());
        if threads <= 1 {
            let mut rest = todo.iter();
            let next = |left: Duration| match left.is_zero() {
                true => Next::Later,
                false => rest.next().map_or(Next::End, |path| Next::Seen(look(path))),
            };
            return gather(next, &mut commit);
        }
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = |results: SyncSender<Result<Option<Seen>, Fault>>| {
            while let Some(path) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
                let seen = look(path);
                if stop.load(Ordering::Relaxed) || results.send(seen).is_err() {
                    break;
                }
            }
        };
        std::thread::scope(|scope| {
            // As much room as a batch: reading goes on while one is taken in.
            let (sender, results) = sync_channel(CHUNK);
            for _ in 0..threads {
                let sender = sender.clone();
                scope.spawn(move || work(sender));
            }
            drop(sender);
            let next = |left| match results.recv_timeout(left) {
                Ok(seen) => Next::Seen(seen),
                Err(RecvTimeoutError::Timeout) => Next::Later,
                Err(RecvTimeoutError::Disconnected) => Next::End,
            };
            let done = gather(next, &mut commit);
            stop.store(true, Ordering::Relaxed);
            // Ends the helpers that wait for room.
            drop(results);
            done
        })
    }
}

/// What comes next of the logs that are looked at.
enum Next {
    Seen(Result<Option<Seen>, Fault>),
    /// Nothing, within the time that was given.
    Later,
    /// That was all.
    End,
}

/// Gathers results into batches.
fn gather(
    mut next: impl FnMut(Duration) -> Next,
    commit: &mut impl FnMut(&Batch, u64) -> Result<Result<Applied, Fenced>, Fault>,
) -> Result<Result<Applied, Fenced>, Fault> {
    let mut all = Applied::default();
    let mut done = 0;
    loop {
        let mut batch = Batch::default();
        let deadline = Instant::now() + COMMIT_INTERVAL;
        let mut gathered = 0;
        let is_last = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match next(left) {
                Next::Seen(seen) => {
                    if let Some(seen) = seen? {
                        seen.add_to(&mut batch);
                    }
                    gathered += 1;
                    if gathered >= CHUNK {
                        break false;
                    }
                }
                Next::Later => break false,
                Next::End => break true,
            }
        };
        done += gathered as u64;
        if gathered > 0 || !is_last {
            match commit(&batch, done)? {
                Ok(applied) => {
                    all.again.extend(applied.again);
                    all.rows += applied.rows;
                }
                Err(fenced) => return Ok(Err(fenced)),
            }
        }
        if is_last {
            return Ok(Ok(all));
        }
    }
}
