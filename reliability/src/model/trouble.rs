//! What goes wrong, and how everybody goes on afterwards.

use selvedge::ThreadStore;
use selvedge::simulation::{Fault, FaultKind, Operations};

use super::entry::Known;
use super::process::{HOME, Hung};
use super::program::{Files, Harm, Op, PROCESSES, Plan, Step, THREADS, Target};
use super::runner::{Runner, id_of, told};
use super::thread::Existence;

impl Runner {
    /// Plans what a step says.
    pub(super) fn make_trouble(&mut self, step: &Step) {
        let disk = self.seams.disk.clone();
        match step {
            Step::Fault(plan) => {
                disk.plan(fault(*plan));
                if plan.harm == Harm::DroppedPages {
                    self.drops_pages = true;
                }
                if plan.harm.is_invisible() {
                    return;
                }
            }
            Step::NoRoom { bytes } => disk.set_capacity(Some(disk.used() + u64::from(*bytes))),
            Step::ReadOnly => disk.set_read_only(true),
            Step::FewHandles { handles } => disk.set_max_handles(Some((*handles).into())),
            _ => return,
        }
        self.is_troubled = true;
        self.note_drops();
    }

    /// Whoever is live now may meet dropped pages.
    fn note_drops(&mut self) {
        if self.drops_pages {
            for thread in &mut self.threads {
                thread.has_dropped = true;
            }
        }
    }

    /// From now on so many accesses go well, and no more.
    pub(super) fn fail_everything_after(&mut self, after: u16) {
        self.seams.disk.plan(Fault {
            on: Operations::Any,
            path_ends_with: None,
            after: after.into(),
            times: u64::MAX,
            kind: FaultKind::Io,
        });
        self.is_troubled = true;
    }

    /// Nothing fails any more: live threads can be appended to, and everything is there.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        self.note_drops();
        self.seams.disk.heal();
        self.drops_pages = false;
        if !self.is_troubled {
            return Ok(());
        }
        self.is_troubled = false;
        for by in 0..PROCESSES {
            self.adopt_loaded(by)?;
            for number in 0..THREADS {
                let thread = self.thread(number);
                let is_new = matches!(thread.existence, Existence::Deferred(_));
                if thread.live == Some(by) && !is_new && thread.existence != Existence::Wreck {
                    let append = Op::Append {
                        thread: number,
                        records: 1,
                        synced: true,
                        expect: false,
                    };
                    self.act(by, &append)?;
                }
            }
        }
        for by in 0..PROCESSES {
            if self.processes[by].is_some() {
                self.check(by)?;
            }
        }
        Ok(())
    }

    /// The threads that are live in a process are those that should be.
    pub(super) fn check_loaded(&mut self, by: usize) -> Result<(), String> {
        if self.is_troubled {
            return self.adopt_loaded(by);
        }
        let loaded = self.loaded(by)?;
        for (thread, is_loaded) in self.threads.iter().zip(loaded) {
            if (thread.live == Some(by)) != is_loaded {
                return Err(format!(
                    "process {by}: thread {} is live: {is_loaded}, which is not what is known of it",
                    thread.number
                ));
            }
        }
        Ok(())
    }

    /// Whoever is live is live.
    pub(super) fn adopt_loaded(&mut self, by: usize) -> Result<(), String> {
        if self.processes[by].is_none() {
            return Ok(());
        }
        let loaded = self.loaded(by)?;
        let drops_pages = self.drops_pages;
        for (thread, is_loaded) in self.threads.iter_mut().zip(loaded) {
            if is_loaded && thread.is_ghost {
                // A deletion shuts a thread down before anything else.
                thread.is_ghost = false;
                if thread
                    .entries
                    .iter()
                    .any(|entry| entry.known > Known::MayBe)
                {
                    thread.existence = Existence::Kept;
                } else if thread.existence == Existence::Absent {
                    // What nobody waited for was never begun.
                    thread.existence = Existence::Deferred(by);
                }
            }
            match (thread.live == Some(by), is_loaded) {
                (false, true) => {
                    thread.live = Some(by);
                    if thread.existence == Existence::Absent {
                        thread.existence = Existence::Deferred(by);
                    }
                }
                (true, false) => thread.lose_process(drops_pages),
                _ => {}
            }
        }
        Ok(())
    }

    fn loaded(&self, by: usize) -> Result<Vec<bool>, String> {
        let Some(process) = &self.processes[by] else {
            return Ok(vec![false; self.threads.len()]);
        };
        let loaded = process
            .wait(process.store.loaded_threads())
            .map_err(|Hung| "asking for the live threads does not end".to_owned())?
            .map_err(|why| told(&why))?;
        let is_loaded = |number| loaded.contains(&id_of(number));
        Ok((0..THREADS).map(is_loaded).collect())
    }
}

fn fault(plan: Plan) -> Fault {
    let on = match plan.on {
        Target::Any => Operations::Any,
        Target::Changes => Operations::Changes,
        Target::Open => Operations::Open,
        Target::Read => Operations::Read,
        Target::Write => Operations::Write,
        Target::SetLen => Operations::SetLen,
        Target::Sync => Operations::Sync,
        Target::SyncDir => Operations::SyncDir,
        Target::Rename => Operations::Rename,
        Target::Link => Operations::Link,
        Target::Remove => Operations::Remove,
        Target::CreateDir => Operations::CreateDir,
        Target::List => Operations::List,
        Target::Stat => Operations::Stat,
        Target::Lock => Operations::Lock,
    };
    let kind = match plan.harm {
        Harm::Io => FaultKind::Io,
        Harm::NoSpace => FaultKind::NoSpace,
        Harm::Interrupted => FaultKind::Interrupted,
        Harm::Short => FaultKind::Short,
        Harm::ReadOnly => FaultKind::ReadOnly,
        Harm::TooManyFiles => FaultKind::TooManyFiles,
        Harm::DroppedPages => FaultKind::DroppedPages,
        Harm::Panic => FaultKind::Panic,
    };
    let path = match plan.files {
        Files::All => None,
        Files::Native => Some(".rlog".to_owned()),
        Files::Lines => Some(".jsonl".to_owned()),
        Files::Index => Some(format!("{HOME}/index.redb")),
    };
    Fault {
        on,
        path_ends_with: path,
        after: plan.after.into(),
        times: match plan.times {
            0 => u64::MAX,
            times => times.into(),
        },
        kind,
    }
}
