//! A thread under load, and what its one owner knows of it.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use selvedge::{
    Ack, AppendOptions, Durability, Error, ForkThread, History, LiveThread, Result, Selvedge,
    StartThread, ThreadId,
};

use super::ledger::{Ledger, check_whole};
use super::watch::{Refused, Watch, count};

/// More resumptions in a row that find the thread ended again are a violation.
const MAX_RESUMES: u32 = 100;

/// Whether a thread's log must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existence {
    /// Something of it was acknowledged.
    Sure,
    /// It was not, or a deletion was not.
    Unsure,
    /// Its deletion was acknowledged.
    Deleted,
}

/// A thread, owned by one task.
#[derive(Debug)]
pub struct Slot {
    /// The thread.
    pub id: ThreadId,
    /// Whether it must be there.
    pub existence: Existence,
    /// What was appended to it.
    pub ledger: Ledger,
    /// What it inherits: the ledgers of its ancestors, as they were when it was forked.
    pub inherited: Vec<Ledger>,
    /// `None` until somebody looks for it.
    pub handle: Option<LiveThread>,
}

/// The store under load and what is shared about it.
#[derive(Debug, Clone)]
pub struct Field {
    /// The store.
    pub store: Selvedge,
    /// What is shared.
    pub watch: Arc<Watch>,
}

impl Slot {
    fn new(id: ThreadId, key: u64) -> Self {
        Self {
            id,
            existence: Existence::Unsure,
            ledger: Ledger::new(key),
            inherited: Vec::new(),
            handle: None,
        }
    }

    /// Starts a thread, and appends to it, so that it is on disk.
    ///
    /// # Errors
    /// Why it could not be, where that is no violation.
    pub async fn start(field: &Field, key: u64) -> Result<Self, Refused> {
        let mut slot = Self::new(ThreadId::generate(), key);
        let mut start = start_of(key);
        // A runtime may choose the id, and the home is searched for it then.
        start.thread_id = (key % 8 == 0).then_some(slot.id);
        let started = field.store.start_thread(start);
        let live = field.watch.ask("start", started).await?;
        slot.id = live.thread_id();
        slot.handle = Some(live);
        slot.append(field, Durability::Written).await?;
        Ok(slot)
    }

    /// Forks the thread.
    ///
    /// # Errors
    /// As [`Slot::start`].
    pub async fn fork(&mut self, field: &Field, key: u64) -> Result<Self, Refused> {
        let mut fork = Self::new(ThreadId::generate(), key);
        fork.inherited = self.inherited.clone();
        fork.inherited.push(self.ledger.clone());
        let forking = field.store.fork_thread(ForkThread {
            start: start_of(key),
            ..ForkThread::of(self.id)
        });
        let live = field.watch.ask("fork", forking).await?;
        fork.id = live.thread_id();
        fork.handle = Some(live);
        fork.existence = Existence::Sure;
        count(&field.watch.forks);
        Ok(fork)
    }

    /// The live thread: the handle that is there, or the thread resumed.
    ///
    /// # Errors
    /// As [`Slot::start`].
    pub async fn live(&mut self, field: &Field) -> Result<LiveThread, Refused> {
        if let Some(handle) = &self.handle {
            return Ok(handle.clone());
        }
        for _ in 0..MAX_RESUMES {
            let resuming = field.store.resume_thread(self.id);
            match field.watch.ask("resume", resuming).await {
                Ok(handle) => {
                    count(&field.watch.resumes);
                    self.handle = Some(handle.clone());
                    return Ok(handle);
                }
                Err(Refused::Ended) => {}
                Err(refused) => return Err(refused),
            }
        }
        let id = self.id;
        field
            .watch
            .violated(format!("thread {id} can't be resumed"));
        Err(Refused::Ended)
    }

    /// Appends one batch and waits for it.
    ///
    /// # Errors
    /// As [`Slot::start`]; the thread is to be resumed when it has ended.
    pub async fn append(&mut self, field: &Field, durability: Durability) -> Result<(), Refused> {
        let live = self.live(field).await?;
        let (serial, items) = self.ledger.next_batch();
        let options = AppendOptions {
            durability,
            expected_next: None,
        };
        let appended = live.append_with(items, options);
        let ack = field.watch.ask("append", appended).await;
        let ack = ack.inspect_err(|_| self.handle = None)?;
        self.acknowledged(field, serial, &ack);
        Ok(())
    }

    /// Takes note of an acknowledgement.
    pub fn acknowledged(&mut self, field: &Field, serial: u64, ack: &Ack) {
        self.existence = Existence::Sure;
        field.watch.appends.fetch_add(1, SeqCst);
        if let Err(why) = self.ledger.acknowledge(serial, ack) {
            let id = self.id;
            field.watch.violated(format!("thread {id}: {why}"));
        }
    }

    /// Holds what a store reads of the thread against what was acknowledged.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self, read: &Result<History>) -> std::result::Result<(), String> {
        let history = match (read, self.existence) {
            (Err(Error::ThreadNotFound { .. }), Existence::Deleted | Existence::Unsure) => {
                return Ok(());
            }
            (Ok(_), Existence::Deleted) => return Err("deleted, and there".to_owned()),
            (Err(error), _) => return Err(error.to_string()),
            (Ok(history), _) => history,
        };
        check_whole(history)?;
        self.ledger.check(history)?;
        self.inherited
            .iter()
            .try_for_each(|ledger| ledger.check(history))
    }
}

fn start_of(key: u64) -> StartThread {
    StartThread {
        cwd: format!("/work/{}", key % 17),
        originator: "load".into(),
        cli_version: "1".into(),
        source: Some(r#""cli""#.into()),
        model_provider: Some("acme".into()),
        ..StartThread::default()
    }
}
