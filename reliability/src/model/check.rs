//! What must hold whenever nothing fails any more: after every reopening, after the disk has been
//! healed, and in the end.

use std::collections::BTreeMap;

use selvedge::{Coverage, Error, History, ThreadStore, ThreadSummary};

use super::entry::{Fact, Known, assign, batches, is_prefix};
use super::process::{Hung, Process};
use super::program::{Index, Point, THREADS};
use super::runner::{Runner, id_of, told};
use super::thread::{Existence, Inherited, Thread};

impl Runner {
    /// Holds what a process finds, and what one without an index finds, against the model.
    pub(super) fn check(&mut self, by: usize) -> Result<(), String> {
        self.figures.checks += 1;
        let scan = Process::start(&self.seams, Index::None)
            .map_err(|Hung| "opening without an index does not end".to_owned())?
            .map_err(|why| format!("opening without an index: {}", told(&why)))?;
        let checked = self.check_with(by, &scan);
        let closed = scan
            .shut_down()
            .map_err(|Hung| "closing a store without an index does not end".to_owned())?;
        checked?;
        closed.map_err(|why| told(&why))
    }

    fn check_with(&mut self, by: usize, scan: &Process) -> Result<(), String> {
        // Its process is put back before anybody sees that it was gone.
        let Some(process) = self.processes[by].take() else {
            return Ok(());
        };
        let checked = self
            .check_histories(&process, scan)
            .and_then(|()| self.check_home(&process, scan));
        self.processes[by] = Some(process);
        self.is_fresh = false;
        checked
    }

    /// Takes in what became of things that nobody waited for.
    pub(super) fn settle(&mut self, by: usize) -> Result<(), String> {
        let Some(process) = self.processes[by].take() else {
            return Ok(());
        };
        let settled = self.check_histories(&process, &process);
        self.processes[by] = Some(process);
        settled
    }

    fn check_histories(&mut self, process: &Process, scan: &Process) -> Result<(), String> {
        for number in 0..THREADS {
            let found = history(process, number)?;
            let scanned = history(scan, number)?;
            let same = match (&found, &scanned) {
                (Ok(found), Ok(scanned)) => {
                    found.records == scanned.records && found.own_from == scanned.own_from
                }
                (Err(found), Err(scanned)) => found.to_string() == scanned.to_string(),
                _ => false,
            };
            if !same {
                return Err(format!(
                    "thread {number}: with the index {found:?}, without {scanned:?}"
                ));
            }
            let is_archived = match &found {
                Ok(_) => Some(summary(scan, number)?.is_archived()),
                Err(_) => None,
            };
            let is_fresh = self.is_fresh;
            let thread = self.thread(number);
            let held = hold(thread, found, is_fresh);
            held.and_then(|()| place(thread, is_archived, is_fresh))
                .map_err(|why| format!("thread {number}: {why}"))?;
        }
        Ok(())
    }

    fn check_home(&mut self, process: &Process, scan: &Process) -> Result<(), String> {
        let hung = |Hung| "looking at the home does not end".to_owned();
        let selvedge = process.store.selvedge();
        let expected = self.expected();
        let failed = self.list_scanned(scan, &expected)?;
        // What it says is as of the last look at the home, and what failed then may not fail now.
        super::listing::all(process, false)?;
        let coverage = process.wait(selvedge.coverage()).map_err(hung)?;
        match coverage.map_err(|why| told(&why))? {
            Coverage::Complete { failed: told } => {
                let dropped = self
                    .threads
                    .iter()
                    .filter(|thread| thread.is_dropped_wreck());
                let least = failed.saturating_sub(dropped.count() as u64);
                if !(least..=failed).contains(&told) && process.index != Index::None {
                    return Err(format!("{told} logs can't be read, and not {failed}"));
                }
            }
            Coverage::Partial { .. } => {
                let done = process.wait(selvedge.backfill(|_| {})).map_err(hung)?;
                let done = done.map_err(|why| format!("a backfill: {}", told(&why)))?;
                // It clears away what dead writers have left, which the scan counted before.
                let failed = self.list_scanned(scan, &expected)?;
                if done.coverage != (Coverage::Complete { failed }) {
                    return Err(format!(
                        "a backfill left {:?}, {failed} failed",
                        done.coverage
                    ));
                }
            }
        }
        if self.threads.iter().any(Thread::is_dropped_wreck) {
            return Ok(());
        }
        self.compare_lists(process, scan)?;
        self.check_verified(process)
    }

    /// What the model expects of each thread that can be listed: whether it is archived.
    fn expected(&self) -> BTreeMap<u8, bool> {
        let kept = self.threads.iter().filter(|thread| thread.is_kept());
        kept.map(|thread| (thread.number, thread.archived == Some(true)))
            .collect()
    }

    /// Holds what a scan lists against the model, and gives how many logs can't be read.
    fn list_scanned(&self, scan: &Process, expected: &BTreeMap<u8, bool>) -> Result<u64, String> {
        let mut failed = 0;
        let mut found = BTreeMap::new();
        for archived in [false, true] {
            let (threads, coverage) = super::listing::all(scan, archived)?;
            if let Coverage::Complete { failed: told } = coverage {
                failed = told;
            }
            for thread in threads {
                let number = (0..THREADS).find(|number| id_of(*number) == thread.thread_id);
                let Some(number) = number else {
                    return Err(format!("a thread that nobody made: {thread:?}"));
                };
                if self.threads[usize::from(number)].existence == Existence::Wreck {
                    continue;
                }
                if found.insert(number, thread.is_archived()).is_some() {
                    return Err(format!("thread {number} is listed twice"));
                }
                describes(&self.threads[usize::from(number)], &thread)?;
            }
        }
        match found == *expected {
            true => Ok(failed),
            false => Err(format!("listed {found:?}, not {expected:?}")),
        }
    }

    fn check_verified(&self, process: &Process) -> Result<(), String> {
        let selvedge = process.store.selvedge();
        let report = process
            .wait(selvedge.verify())
            .map_err(|Hung| "verifying does not end".to_owned())?
            .map_err(|why| format!("verifying: {}", told(&why)))?;
        let of = |text: &str| {
            self.threads
                .iter()
                .find(|thread| text.contains(&id_of(thread.number).to_string()))
        };
        let is_wreck = |thread: &Thread| thread.existence == Existence::Wreck;
        let harmed = |path: &str| {
            of(path).is_some_and(|thread| thread.is_harmed || thread.is_torn || is_wreck(thread))
        };
        let fine = report.differences.is_empty()
            && report.damaged.iter().all(|log| harmed(&log.path))
            && report
                .unreadable
                .iter()
                .all(|log| of(&log.path).is_some_and(is_wreck));
        match fine {
            true => Ok(()),
            false => Err(format!("verified: {report:#?}")),
        }
    }
}

type Loaded = Result<History, Error>;

fn history(process: &Process, number: u8) -> Result<Loaded, String> {
    process
        .wait(process.store.load_history(id_of(number)))
        .map_err(|Hung| format!("reading thread {number} does not end"))
}

fn summary(process: &Process, number: u8) -> Result<ThreadSummary, String> {
    process
        .wait(process.store.read_thread(id_of(number)))
        .map_err(|Hung| format!("reading thread {number} does not end"))?
        .map_err(|why| format!("thread {number} has a history, and {}", told(&why)))
}

/// Holds a thread's history against the model, and takes in what nobody knew.
fn hold(thread: &mut Thread, found: Loaded, is_fresh: bool) -> Result<(), String> {
    let history = match found {
        Ok(history) => history,
        Err(Error::ThreadNotFound { .. }) => return miss(thread, is_fresh),
        Err(why) => {
            return match thread.existence {
                Existence::MayBe | Existence::Wreck => {
                    thread.existence = Existence::Wreck;
                    Ok(())
                }
                _ => Err(format!("it can't be read: {}", told(&why))),
            };
        }
    };
    match thread.existence {
        Existence::Wreck => return Ok(()),
        Existence::Absent | Existence::Deferred(_) => {
            return Err(format!("it is there: {:?}", facts(&history)));
        }
        Existence::Kept | Existence::MayBe => {}
    }
    check_damage(thread, &history)?;
    let own = batches(&history)?;
    if own.is_empty() && thread.existence == Existence::MayBe {
        thread.existence = Existence::Wreck;
        return Ok(());
    }
    let inherited = facts(&history)
        .into_iter()
        .zip(&history.records)
        .filter(|(_, record)| record.ordinal < history.own_from)
        .map(|(fact, _)| fact)
        .collect();
    match hold_inherited(thread, inherited) {
        Err(_) if thread.existence == Existence::MayBe && thread.is_harmed => {
            thread.existence = Existence::Wreck;
            return Ok(());
        }
        held => held?,
    }
    let assigned = assign(&thread.entries, &own)?;
    let mut entries = Vec::new();
    for (mut entry, place) in thread.entries.drain(..).zip(assigned) {
        let Some(place) = place else { continue };
        entry.first = own.get(place).map(|batch| batch.first);
        entry.known = entry.known.max(match is_fresh {
            true => Known::Synced,
            false => Known::Written,
        });
        entry.is_fragile &= !is_fresh;
        entries.push(entry);
    }
    thread.entries = entries;
    thread.existence = Existence::Kept;
    thread.is_ghost = false;
    Ok(())
}

fn facts(history: &History) -> Vec<Fact> {
    history.records.iter().map(Fact::of).collect()
}

/// It is not there.
fn miss(thread: &mut Thread, is_fresh: bool) -> Result<(), String> {
    match thread.existence {
        Existence::Kept => Err("it is not there".to_owned()),
        Existence::MayBe if is_fresh => {
            thread.forget();
            Ok(())
        }
        // The loss of power may bring it back, or what there was of it.
        Existence::MayBe | Existence::Wreck => {
            thread.existence = Existence::Absent;
            thread.is_ghost = true;
            Ok(())
        }
        Existence::Absent | Existence::Deferred(_) => Ok(()),
    }
}

fn check_damage(thread: &Thread, history: &History) -> Result<(), String> {
    if !history.damage.is_empty() && !thread.is_harmed {
        return Err(format!("it is damaged: {:?}", history.damage));
    }
    if history.torn_tail.is_some() && !thread.is_torn && !thread.is_harmed {
        return Err(format!("it has a torn tail: {:?}", history.torn_tail));
    }
    let mut next = 0;
    for record in &history.records {
        let ordinal = record.ordinal.get();
        // Gaps follow each other.
        let reported = history.damage.iter().fold(next, |upto, damage| {
            match damage.first_ordinal.get() <= upto {
                true => upto.max(damage.next_ordinal.get()),
                false => upto,
            }
        });
        let is_reported = ordinal <= reported;
        if ordinal != next && !(ordinal > next && is_reported) {
            return Err(format!(
                "ordinal {ordinal} follows where {next} should, and nothing reports it: {:?}",
                history.damage
            ));
        }
        next = ordinal + 1;
    }
    Ok(())
}

fn hold_inherited(thread: &mut Thread, found: Vec<Fact>) -> Result<(), String> {
    match &thread.inherited {
        Inherited::Exactly(expected) if *expected == found => return Ok(()),
        Inherited::Exactly(expected) => {
            return Err(format!("it inherits {found:?}, not {expected:?}"));
        }
        Inherited::From {
            before,
            entries,
            point,
        } => {
            is_prefix((before, entries), &found, *point == Point::Whole)?;
            if let Point::Before(at) = point
                && found.len() != usize::from(*at)
                && !thread.is_harmed
            {
                return Err(format!("it inherits {found:?}, and not {at} records"));
            }
        }
    }
    thread.inherited = Inherited::Exactly(found);
    Ok(())
}

/// Whether it lies where it should.
fn place(thread: &mut Thread, is_archived: Option<bool>, is_fresh: bool) -> Result<(), String> {
    let Some(found) = is_archived else {
        return Ok(());
    };
    match thread.archived {
        Some(archived) if archived != found => {
            return Err(format!("archived: {found}, and not {archived}"));
        }
        _ => thread.archived = Some(found),
    }
    thread.is_placed |= is_fresh;
    Ok(())
}

/// Whether a summary is what the model says.
fn describes(thread: &Thread, summary: &ThreadSummary) -> Result<(), String> {
    let Inherited::Exactly(inherited) = &thread.inherited else {
        return Ok(());
    };
    let own: usize = thread.entries.iter().map(|entry| entry.records.len()).sum();
    let count = (inherited.len() + own) as u64;
    if summary.item_count != count {
        return Err(format!(
            "thread {} is said to have {} records, not {count}",
            thread.number, summary.item_count
        ));
    }
    let name = match thread.name() {
        // What lies beside the logs counts for a log that says nothing.
        None if thread.is_haunted => summary.name.as_deref(),
        None => None,
        Some(name) => name,
    };
    let branch = summary
        .git_info
        .as_ref()
        .and_then(|git| git.branch.as_deref());
    let branch_fits = thread.branch().is_none_or(|said| branch == Some(said));
    match summary.name.as_deref() == name && branch_fits {
        true => Ok(()),
        false => Err(format!(
            "thread {} is said to be {:?} on {branch:?}, not {name:?} on {:?}",
            thread.number,
            summary.name,
            thread.branch()
        )),
    }
}
