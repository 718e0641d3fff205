//! A task that owns some of the threads: it appends to them, and does to them whatever a runtime
//! may do, at random.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use selvedge::{Durability, ThreadId};
use tokio::task::JoinSet;

use super::slot::{Existence, Field, Slot};
use super::watch::{Refused, count};

/// More threads than this are not kept in memory after their deletion.
const MAX_DELETED: usize = 10_000;

/// A task's state.
#[derive(Debug)]
pub struct Writer {
    field: Field,
    random: fastrand::Rng,
    keys: Arc<AtomicU64>,
    /// Its threads.
    slots: Vec<Slot>,
    deleted: Arc<Mutex<Vec<ThreadId>>>,
    /// How long it waits between two operations, on average.
    pause: Duration,
}

/// What all writers share.
#[derive(Debug, Clone)]
pub struct Common {
    /// The store.
    pub field: Field,
    /// The next thread's key.
    pub keys: Arc<AtomicU64>,
    /// Threads that were deleted.
    pub deleted: Arc<Mutex<Vec<ThreadId>>>,
    /// How long a writer waits between two operations, on average.
    pub pause: Duration,
}

impl Writer {
    /// Starts the task's threads.
    pub async fn start(common: Common, threads: usize, seed: u64) -> Self {
        let mut this = Self {
            field: common.field,
            random: fastrand::Rng::with_seed(seed),
            keys: common.keys,
            slots: Vec::with_capacity(threads),
            deleted: common.deleted,
            pause: common.pause,
        };
        while this.slots.len() < threads && !this.field.watch.is_stopping() {
            if let Ok(slot) = Slot::start(&this.field, this.keys.fetch_add(1, SeqCst)).await {
                this.slots.push(slot);
            }
        }
        this
    }

    /// Works until the load is over, and gives the threads back with what it knows of them.
    pub async fn work(mut self) -> Vec<Slot> {
        while !self.field.watch.is_stopping() {
            let at = self.random.usize(0..self.slots.len());
            match self.step(at).await {
                Ok(()) => {}
                Err(Refused::Stopping) => break,
                Err(Refused::Ended) => {
                    // Somebody has shut it down, or the disk has panicked: it is resumed at once.
                    self.slots[at].handle = None;
                    let _ = self.slots[at].live(&self.field).await;
                }
                Err(Refused::NotFound) => {
                    let (id, existence) = (self.slots[at].id, self.slots[at].existence);
                    if existence == Existence::Sure {
                        let watch = &self.field.watch;
                        watch.violated(format!("thread {id} is not found"));
                    }
                    self.replace(at).await;
                }
            }
            if !self.pause.is_zero() {
                let most = 2 * self.pause.as_micros() as u64;
                tokio::time::sleep(Duration::from_micros(self.random.u64(0..=most))).await;
            }
        }
        self.slots
    }

    async fn step(&mut self, at: usize) -> Result<(), Refused> {
        let (field, slot) = (&self.field, &mut self.slots[at]);
        match self.random.u32(0..1000) {
            0..600 => slot.append(field, Durability::Written).await,
            600..640 => slot.append(field, Durability::Synced).await,
            640..720 => self.burst(at).await,
            720..780 => self.give_append_up(at).await,
            780..830 => self.flush(at).await,
            830..850 => self.give_something_up(at).await,
            850..880 => self.drop_handle(at).await,
            880..930 => self.end_and_resume(at).await,
            930..950 => self.look(at).await,
            950..960 => self.rename(at).await,
            960..966 => self.archive(at).await,
            966..969 => self.delete(at).await,
            969..974 => self.fork(at).await,
            _ => slot.append(field, Durability::Written).await,
        }
    }

    /// Several batches at once.
    async fn burst(&mut self, at: usize) -> Result<(), Refused> {
        let slot = &mut self.slots[at];
        let live = slot.live(&self.field).await?;
        let mut tasks = Vec::new();
        for _ in 0..self.random.usize(2..7) {
            let (serial, items) = slot.ledger.next_batch();
            let mut append = Box::pin(live.append(items));
            // Polled once in this order, so that they are logged in it.
            let first = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(std::future::Future::poll(append.as_mut(), cx))
            })
            .await;
            tasks.push((serial, append, first));
        }
        let mut outcome = Ok(());
        for (serial, append, first) in tasks {
            let ack = match first {
                std::task::Poll::Ready(done) => {
                    self.field.watch.ask("append", async { done }).await
                }
                std::task::Poll::Pending => self.field.watch.ask("append", append).await,
            };
            match ack {
                Ok(ack) => slot.acknowledged(&self.field, serial, &ack),
                Err(refused) => outcome = Err(refused),
            }
        }
        outcome
    }

    /// An append whose caller goes away. It is carried out, or not; either way whole.
    async fn give_append_up(&mut self, at: usize) -> Result<(), Refused> {
        let slot = &mut self.slots[at];
        let live = slot.live(&self.field).await?;
        let (serial, items) = slot.ledger.next_batch();
        let watch = &self.field.watch;
        match watch.give_up(&mut self.random, live.append(items)).await {
            Some(Ok(ack)) => slot.acknowledged(&self.field, serial, &ack),
            Some(Err(error)) => return Err(watch.judge("append", &error)),
            None => {}
        }
        Ok(())
    }

    async fn flush(&mut self, at: usize) -> Result<(), Refused> {
        let live = self.slots[at].live(&self.field).await?;
        let watch = &self.field.watch;
        match self.random.u8(0..3) {
            0 => watch.ask("persist", live.persist()).await,
            1 => watch.ask("snapshot", live.snapshot()).await.map(drop),
            _ => watch.ask("flush", live.flush()).await.map(drop),
        }
    }

    /// A flush, persist, shutdown or resumption whose caller goes away.
    async fn give_something_up(&mut self, at: usize) -> Result<(), Refused> {
        let slot = &mut self.slots[at];
        let live = slot.live(&self.field).await?;
        let (watch, store, random) = (&self.field.watch, &self.field.store, &mut self.random);
        match random.u8(0..6) {
            0 => drop(watch.give_up(random, live.flush()).await),
            1 => drop(watch.give_up(random, live.persist()).await),
            2 => drop(watch.give_up(random, live.shutdown()).await),
            3 => drop(watch.give_up(random, store.remove_thread(slot.id)).await),
            4 => {
                watch.ask("remove", store.remove_thread(slot.id)).await?;
                slot.handle = None;
                drop(watch.give_up(random, store.resume_thread(slot.id)).await);
            }
            _ => drop(watch.give_up(random, store.load_history(slot.id)).await),
        }
        Ok(())
    }

    /// The thread stays live without anybody who holds on to it.
    async fn drop_handle(&mut self, at: usize) -> Result<(), Refused> {
        let slot = &mut self.slots[at];
        let held = slot.handle.take();
        let was_held = held.is_some();
        drop(held);
        count(&self.field.watch.handles_dropped);
        let looked_up = self.field.store.live_thread(slot.id);
        let found = self.field.watch.bounded("look up", looked_up).await;
        slot.handle = found.flatten();
        if was_held && slot.handle.is_none() {
            return Err(Refused::Ended);
        }
        Ok(())
    }

    async fn end_and_resume(&mut self, at: usize) -> Result<(), Refused> {
        let slot = &mut self.slots[at];
        let live = slot.live(&self.field).await?;
        let (watch, store) = (&self.field.watch, &self.field.store);
        slot.handle = None;
        if self.random.bool() {
            watch.ask("shutdown", live.shutdown()).await?;
        } else {
            watch.ask("remove", store.remove_thread(slot.id)).await?;
        }
        count(&watch.shutdowns);
        drop(live);
        if self.random.bool() {
            // Two want it back at once, and get the same.
            let (_, second) = tokio::join!(
                watch.ask("resume", store.resume_thread(slot.id)),
                watch.ask("resume", store.resume_thread(slot.id))
            );
            slot.handle = second.ok();
        }
        slot.live(&self.field).await.map(drop)
    }

    /// What is acknowledged is read, whatever state the thread is in.
    async fn look(&mut self, at: usize) -> Result<(), Refused> {
        let slot = &self.slots[at];
        let watch = &self.field.watch;
        let reading = self.field.store.load_history(slot.id);
        let history = watch.ask("load history", reading).await;
        count(&watch.reads);
        let history = match history {
            Ok(history) => history,
            Err(refused) => return Err(refused),
        };
        // What is being written meanwhile may be half there.
        let history = selvedge::History {
            torn_tail: None,
            ..history
        };
        if let Err(why) = slot.check(&Ok(history)) {
            watch.violated(format!("live thread {}: {why}", slot.id));
        }
        Ok(())
    }

    async fn rename(&mut self, at: usize) -> Result<(), Refused> {
        let patch = selvedge::view::MetadataPatch {
            name: selvedge::view::Change::Set(format!("name {}", self.random.u16(..))),
            ..Default::default()
        };
        let updating = self.field.store.update_metadata(self.slots[at].id, patch);
        let updated = self.field.watch.ask("update metadata", updating).await;
        updated.map(drop)
    }

    /// Away to the archive, and back.
    async fn archive(&mut self, at: usize) -> Result<(), Refused> {
        let slot = &mut self.slots[at];
        let (watch, store) = (&self.field.watch, &self.field.store);
        slot.handle = None;
        watch.ask("archive", store.archive_thread(slot.id)).await?;
        count(&watch.moves);
        if self.random.bool() {
            slot.append(&self.field, Durability::Written).await?;
            slot.handle = None;
        }
        watch
            .ask("unarchive", store.unarchive_thread(slot.id))
            .await?;
        count(&watch.moves);
        slot.live(&self.field).await.map(drop)
    }

    /// Deletes the thread, and starts another one in its place.
    async fn delete(&mut self, at: usize) -> Result<(), Refused> {
        let slot = &mut self.slots[at];
        let watch = &self.field.watch;
        slot.handle = None;
        slot.existence = Existence::Unsure;
        let deleting = self.field.store.delete_thread(slot.id);
        watch.ask("delete", deleting).await?;
        slot.existence = Existence::Deleted;
        count(&watch.deletes);
        let id = slot.id;
        self.remember_deleted(id);
        self.replace(at).await;
        Ok(())
    }

    fn remember_deleted(&self, id: ThreadId) {
        let mut deleted = self.deleted.lock().unwrap();
        if deleted.len() < MAX_DELETED {
            deleted.push(id);
        }
    }

    /// Starts a thread in place of one that is not there any more.
    async fn replace(&mut self, at: usize) {
        let key = self.keys.fetch_add(1, SeqCst);
        if let Ok(slot) = Slot::start(&self.field, key).await {
            self.slots[at] = slot;
        }
    }

    /// Forks a thread in place of another one, which is deleted.
    async fn fork(&mut self, at: usize) -> Result<(), Refused> {
        let other = self.random.usize(0..self.slots.len());
        if other == at || self.slots[at].inherited.len() > 2 {
            return Ok(());
        }
        let key = self.keys.fetch_add(1, SeqCst);
        let fork = self.slots[at].fork(&self.field, key).await?;
        self.slots[other].existence = Existence::Unsure;
        self.slots[other].handle = None;
        let deleting = self.field.store.delete_thread(self.slots[other].id);
        let deleted = self.field.watch.ask("delete", deleting).await;
        if deleted.is_ok() {
            count(&self.field.watch.deletes);
        }
        self.slots[other] = fork;
        deleted
    }
}

/// Starts writers, each with its share of the threads, and waits until all are live.
pub async fn start_all(common: &Common, threads: usize, tasks: usize, seed: u64) -> Vec<Writer> {
    let mut starting = JoinSet::new();
    for task in 0..tasks {
        let share = threads * (task + 1) / tasks - threads * task / tasks;
        starting.spawn(Writer::start(
            common.clone(),
            share,
            seed ^ (task as u64) << 32,
        ));
    }
    starting.join_all().await
}
