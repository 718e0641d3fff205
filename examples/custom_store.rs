//! A store of one's own: a folder with one file a thread. Its first line tells how many records the
//! thread inherits, and each other one is a batch.
//!
//! It shares nothing with the stores that Selvedge brings but the rules of the contract
//! ([`ThreadRecords`] and its neighbours), and passes the same checks: `main` runs them. Every
//! question reads its thread's file again, which is as simple as it is slow. Run it with
//! `cargo run --example custom_store`.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a store of one's own brings its own files"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use selvedge::view::MetadataPatch;
use selvedge::{
    Ack, AppendOptions, Clock as _, Durability, EphemeralThread, Error, Flushed, ForkThread,
    Growth, History, InvalidRequest, Item, ItemPage, ItemQuery, ListQuery, ModelContext, Numbering,
    OccurrencePage, OccurrenceQuery, Ordinal, Page, Record, Result, ResumeThread, RolledBackThread,
    SearchPage, SearchQuery, StartThread, Subscription, SystemClock, ThreadId, ThreadRecords,
    ThreadStore, ThreadSummary, TurnPage, TurnQuery, UtcMicros, jsonl, list_of, search_of,
};
use selvedge_store::conformance::{Abilities, StoreFactory, check};
use serde_json::value::RawValue;
use tempfile::TempDir;

const ARCHIVED: &str = "archived";

/// Threads in a folder. One process has it.
#[derive(Debug)]
struct FolderStore {
    threads: Arc<Mutex<Folder>>,
}

#[derive(Debug)]
struct Folder {
    dir: PathBuf,
    /// What is not in the files: which threads are live.
    live: BTreeMap<ThreadId, Live>,
    /// How far each thread is acknowledged that somebody has asked for.
    growth: BTreeMap<ThreadId, Growth>,
}

#[derive(Debug)]
enum Live {
    /// Nothing of it is kept yet: this is its meta.
    New(Item),
    Kept,
    Ephemeral(EphemeralThread),
}

fn now() -> UtcMicros {
    SystemClock.now()
}

impl Folder {
    fn path(&self, thread_id: ThreadId, is_archived: bool) -> PathBuf {
        let dir = if is_archived {
            self.dir.join(ARCHIVED)
        } else {
            self.dir.clone()
        };
        dir.join(format!("{thread_id}.jsonl"))
    }

    /// The file of a thread, and whether it is among the archived ones.
    fn find(&self, thread_id: ThreadId) -> Result<(PathBuf, bool)> {
        [false, true]
            .map(|is_archived| (self.path(thread_id, is_archived), is_archived))
            .into_iter()
            .find(|(path, _)| path.exists())
            .ok_or(Error::ThreadNotFound { thread_id })
    }

    fn load(&self, thread_id: ThreadId) -> Result<ThreadRecords> {
        let (path, is_archived) = self.find(thread_id)?;
        let text = fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
        let (mut numbering, mut records) = (Numbering::default(), Vec::new());
        let mut lines = text.split(|byte| *byte == b'\n');
        let inherited = lines.next().map(serde_json::from_slice::<Ordinal>);
        let own_from = inherited.and_then(|read| read.ok()).unwrap_or_default();
        // A line that is cut off was never acknowledged: what a crash left of a batch.
        for batch in lines.filter_map(parse_batch) {
            records.extend(numbering.batch(batch, UtcMicros::EPOCH));
        }
        let mut thread = ThreadRecords::of(thread_id, own_from, records)?;
        thread.set_archived(is_archived);
        Ok(thread)
    }

    fn load_all(&self) -> Result<Vec<ThreadRecords>> {
        let mut threads = Vec::new();
        for dir in [self.dir.clone(), self.dir.join(ARCHIVED)] {
            for entry in fs::read_dir(&dir).map_err(|error| Error::io("list", &dir, error))? {
                let path = entry
                    .map_err(|error| Error::io("list", &dir, error))?
                    .path();
                let name = path.file_name().and_then(|name| name.to_str());
                let id = name.and_then(|name| name.strip_suffix(".jsonl"));
                if let Some(id) = id.and_then(|id| id.parse().ok()) {
                    threads.push(self.load(id)?);
                }
            }
        }
        Ok(threads)
    }

    /// Makes a thread's file: under another name first, so that it is whole once it is there.
    fn make(&mut self, thread: &ThreadRecords) -> Result<()> {
        let path = self.path(thread.thread_id(), false);
        let draft = path.with_extension("draft");
        let fail = |error| Error::io("make", &path, error);
        let mut file = File::create(&draft).map_err(fail)?;
        write!(file, "{}", thread.own_from()).map_err(fail)?;
        write(&mut file, thread.records()).map_err(fail)?;
        fs::rename(&draft, &path).map_err(fail)?;
        sync_dir(&self.dir)?;
        self.live.insert(thread.thread_id(), Live::Kept);
        self.tell(thread);
        Ok(())
    }

    /// Appends to a thread that is kept, or makes one that is new.
    fn append(
        &mut self,
        thread_id: ThreadId,
        items: Vec<Item>,
        options: AppendOptions,
    ) -> Result<(Ack, ThreadRecords)> {
        let new = match self.live.get(&thread_id) {
            Some(Live::New(meta)) => Some(meta.clone()),
            Some(Live::Ephemeral(_)) => return Err(InvalidRequest::Ephemeral(thread_id).into()),
            Some(Live::Kept) | None => None,
        };
        let is_new = new.is_some();
        let mut thread = match new {
            Some(meta) => ThreadRecords::begin(thread_id, &[], meta)?,
            None => self.load(thread_id)?,
        };
        let ack = thread.append(items, options, now())?;
        if is_new {
            self.make(&thread)?;
        } else {
            let (path, _) = self.find(thread_id)?;
            let file = File::options().append(true).open(&path);
            file.and_then(|mut file| write(&mut file, thread.records_from(ack.first_ordinal)))
                .map_err(|error| Error::io("append to", &path, error))?;
            self.tell(&thread);
        }
        let durability = Durability::Synced;
        Ok((Ack { durability, ..ack }, thread))
    }

    fn change(&mut self, thread_id: ThreadId, patch: &MetadataPatch) -> Result<ThreadSummary> {
        let items = ThreadRecords::patch(patch)?;
        if items.is_empty() {
            return Ok(self.load(thread_id)?.summary());
        }
        let (_, thread) = self.append(thread_id, items, AppendOptions::default())?;
        Ok(thread.summary())
    }

    fn move_to(&mut self, thread_id: ThreadId, is_archived: bool) -> Result<ThreadSummary> {
        self.check_lasting(thread_id)?;
        let (from, _) = self.find(thread_id)?;
        self.live.remove(&thread_id);
        let to = self.path(thread_id, is_archived);
        fs::rename(&from, &to).map_err(|error| Error::io("move", &from, error))?;
        sync_dir(&self.dir)?;
        sync_dir(&self.dir.join(ARCHIVED))?;
        Ok(self.load(thread_id)?.summary())
    }

    /// The thread's subscribers may see all that it has now.
    fn tell(&mut self, thread: &ThreadRecords) {
        let growth = self.growth_of(thread.thread_id(), Ordinal::ZERO);
        growth.reached(thread.next_ordinal());
    }

    fn growth_of(&mut self, thread_id: ThreadId, upto: Ordinal) -> &Growth {
        self.growth
            .entry(thread_id)
            .or_insert_with(|| Growth::upto(upto))
    }

    fn live(&mut self, thread_id: ThreadId) -> Result<&mut Live> {
        self.live
            .get_mut(&thread_id)
            .ok_or(Error::ThreadNotFound { thread_id })
    }

    fn check_lasting(&self, thread_id: ThreadId) -> Result<()> {
        match self.live.get(&thread_id) {
            Some(Live::Ephemeral(_)) => Err(InvalidRequest::Ephemeral(thread_id).into()),
            _ => Ok(()),
        }
    }

    fn check_free(&self, thread_id: ThreadId) -> Result<()> {
        if self.live.contains_key(&thread_id) || self.find(thread_id).is_ok() {
            return Err(InvalidRequest::ThreadExists(thread_id).into());
        }
        Ok(())
    }

    /// Ends a thread. One that was not kept is gone, and so are its subscriptions.
    fn end(&mut self, thread_id: ThreadId) {
        self.live.remove(&thread_id);
        if self.find(thread_id).is_err() {
            self.growth.remove(&thread_id);
        }
    }
}

/// A batch as it lies in a file: an array of lines.
fn parse_batch(line: &[u8]) -> Option<Vec<Item>> {
    let lines: Vec<&RawValue> = serde_json::from_slice(line).ok()?;
    let items = lines.into_iter().map(|line| {
        let line = Bytes::copy_from_slice(line.get().as_bytes());
        jsonl::item_from_line(line).ok()
    });
    items.collect()
}

/// Writes records, a line for each of their batches, and syncs them.
fn write(file: &mut File, records: &[Record]) -> std::io::Result<()> {
    let mut text = Vec::new();
    for batch in records.split_inclusive(|record| record.batch.is_last) {
        // The newline comes first: it also ends what a crash may have left of an earlier batch.
        text.extend_from_slice(b"\n[");
        for (number, record) in batch.iter().enumerate() {
            text.extend_from_slice(if number > 0 { b"," } else { b"" });
            jsonl::render_line(record, &mut text).map_err(std::io::Error::other)?;
        }
        text.push(b']');
    }
    file.write_all(&text)?;
    file.sync_data()
}

fn sync_dir(dir: &Path) -> Result<()> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| Error::io("sync", dir, error))
}

impl FolderStore {
    fn open(dir: &Path) -> Result<Self> {
        let archived = dir.join(ARCHIVED);
        fs::create_dir_all(&archived).map_err(|error| Error::io("make", &archived, error))?;
        Ok(Self {
            threads: Arc::new(Mutex::new(Folder {
                dir: dir.to_path_buf(),
                live: BTreeMap::new(),
                growth: BTreeMap::new(),
            })),
        })
    }

    /// A store for a runtime with many threads would do what follows elsewhere: it blocks.
    fn folder(&self) -> MutexGuard<'_, Folder> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ThreadStore for FolderStore {
    async fn create_thread(&self, start: StartThread) -> Result<ThreadId> {
        let thread_id = start.thread_id.unwrap_or_else(ThreadId::generate);
        let mut folder = self.folder();
        folder.check_free(thread_id)?;
        let meta = start.session_meta(thread_id, now())?;
        let live = if start.ephemeral {
            Live::Ephemeral(EphemeralThread::new(thread_id))
        } else {
            Live::New(meta)
        };
        folder.live.insert(thread_id, live);
        Ok(thread_id)
    }

    async fn resume_thread(&self, resume: ResumeThread) -> Result<ThreadSummary> {
        let mut folder = self.folder();
        let summary = folder.change(resume.thread_id, &resume.changes)?;
        folder.live.insert(resume.thread_id, Live::Kept);
        Ok(summary)
    }

    async fn append_items(
        &self,
        thread_id: ThreadId,
        items: Vec<Item>,
        options: AppendOptions,
    ) -> Result<Ack> {
        let mut folder = self.folder();
        if let Live::Ephemeral(thread) = folder.live(thread_id)? {
            return thread.append(items, options, now());
        }
        folder.append(thread_id, items, options).map(|(ack, _)| ack)
    }

    async fn persist_thread(&self, thread_id: ThreadId) -> Result<()> {
        let mut folder = self.folder();
        match folder.live(thread_id)? {
            Live::New(meta) => {
                let thread = ThreadRecords::begin(thread_id, &[], meta.clone())?;
                folder.make(&thread)
            }
            Live::Kept => Ok(()),
            Live::Ephemeral(_) => Err(InvalidRequest::Ephemeral(thread_id).into()),
        }
    }

    async fn flush_thread(&self, thread_id: ThreadId) -> Result<Flushed> {
        let mut folder = self.folder();
        let (next_ordinal, durability) = match folder.live(thread_id)? {
            Live::New(_) => (Ordinal::new(1), Durability::Buffered),
            Live::Ephemeral(thread) => (thread.next_ordinal(), Durability::Buffered),
            // Every append is synced.
            Live::Kept => (folder.load(thread_id)?.next_ordinal(), Durability::Synced),
        };
        Ok(Flushed {
            thread_id,
            next_ordinal,
            durability,
        })
    }

    async fn shutdown_thread(&self, thread_id: ThreadId) -> Result<()> {
        let mut folder = self.folder();
        folder.live(thread_id)?;
        folder.end(thread_id);
        Ok(())
    }

    async fn discard_thread(&self, thread_id: ThreadId) -> Result<()> {
        let mut folder = self.folder();
        if matches!(folder.live(thread_id)?, Live::Kept) {
            return Err(InvalidRequest::ThreadExists(thread_id).into());
        }
        folder.end(thread_id);
        Ok(())
    }

    async fn loaded_threads(&self) -> Result<Vec<ThreadId>> {
        Ok(self.folder().live.keys().copied().collect())
    }

    async fn load_history(&self, thread_id: ThreadId) -> Result<History> {
        Ok(self.folder().load(thread_id)?.history())
    }

    async fn load_model_context(&self, thread_id: ThreadId) -> Result<ModelContext> {
        Ok(self.folder().load(thread_id)?.model_context())
    }

    async fn read_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        Ok(self.folder().load(thread_id)?.summary())
    }

    async fn read_thread_by_path(&self, _: &Path) -> Result<ThreadSummary> {
        Err(InvalidRequest::NoPaths.into())
    }

    async fn list_threads(&self, query: ListQuery) -> Result<Page> {
        let threads = self.folder().load_all()?;
        list_of(&threads.iter().collect::<Vec<_>>(), &query)
    }

    async fn search_threads(&self, query: SearchQuery) -> Result<SearchPage> {
        let threads = self.folder().load_all()?;
        search_of(&threads.iter().collect::<Vec<_>>(), &query)
    }

    async fn search_occurrences(
        &self,
        thread_id: ThreadId,
        query: OccurrenceQuery,
    ) -> Result<OccurrencePage> {
        self.folder().load(thread_id)?.occurrences(&query)
    }

    async fn list_turns(&self, thread_id: ThreadId, query: TurnQuery) -> Result<TurnPage> {
        self.folder().load(thread_id)?.turn_page(&query)
    }

    async fn list_items(&self, thread_id: ThreadId, query: ItemQuery) -> Result<ItemPage> {
        self.folder().load(thread_id)?.item_page(&query)
    }

    async fn update_metadata(
        &self,
        thread_id: ThreadId,
        patch: MetadataPatch,
    ) -> Result<ThreadSummary> {
        let mut folder = self.folder();
        folder.check_lasting(thread_id)?;
        folder.change(thread_id, &patch)
    }

    async fn archive_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        self.folder().move_to(thread_id, true)
    }

    async fn unarchive_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        self.folder().move_to(thread_id, false)
    }

    async fn delete_thread(&self, thread_id: ThreadId) -> Result<()> {
        let mut folder = self.folder();
        while let Ok((path, _)) = folder.find(thread_id) {
            fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error))?;
        }
        sync_dir(&folder.dir)?;
        sync_dir(&folder.dir.join(ARCHIVED))?;
        folder.end(thread_id);
        Ok(())
    }

    async fn fork_thread(&self, fork: ForkThread) -> Result<ThreadSummary> {
        let mut folder = self.folder();
        folder.check_lasting(fork.source)?;
        let source = folder.load(fork.source)?;
        let thread_id = fork.start.thread_id.unwrap_or_else(ThreadId::generate);
        folder.check_free(thread_id)?;
        if fork.start.ephemeral {
            return Err(InvalidRequest::Ephemeral(thread_id).into());
        }
        // A copy: what a fork begins with outlives its source.
        let inherited = source.before(&fork.point)?;
        let start = fork.resolve(&source.summary(), source.originator());
        let meta = start.session_meta(thread_id, now())?;
        let thread = ThreadRecords::begin(thread_id, inherited, meta)?;
        folder.make(&thread)?;
        Ok(thread.summary())
    }

    async fn roll_back(&self, thread_id: ThreadId, turns: u32) -> Result<RolledBackThread> {
        let mut folder = self.folder();
        folder.check_lasting(thread_id)?;
        let rollback = match folder.live.get(&thread_id) {
            Some(Live::New(_)) => selvedge::rollback_item(turns, 0)?,
            _ => folder.load(thread_id)?.rollback(turns)?,
        };
        let (_, thread) = folder.append(thread_id, vec![rollback], AppendOptions::default())?;
        Ok(RolledBackThread {
            thread: thread.summary(),
            turns: thread.turns(),
        })
    }

    async fn subscribe(&self, thread_id: ThreadId, from: Ordinal) -> Result<Subscription> {
        let mut folder = self.folder();
        let (next, upto) = match folder.live.get_mut(&thread_id) {
            Some(Live::Ephemeral(thread)) => return thread.follow(from),
            Some(Live::New(_)) => (Ordinal::new(1), Ordinal::ZERO),
            Some(Live::Kept) | None => {
                let next = folder.load(thread_id)?.next_ordinal();
                (next, next)
            }
        };
        let folder_again: Weak<Mutex<Folder>> = Arc::downgrade(&self.threads);
        let read = move |from| {
            let Some(folder) = folder_again.upgrade() else {
                return Ok(None);
            };
            let folder = folder.lock().unwrap_or_else(PoisonError::into_inner);
            match folder.load(thread_id) {
                Ok(thread) => Ok(Some(thread.records_from(from).to_vec())),
                Err(Error::ThreadNotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        folder.growth_of(thread_id, upto).follow((from, next), read)
    }
}

/// Makes stores for the checks.
struct Folders {
    last: Mutex<Option<TempDir>>,
}

#[async_trait]
impl StoreFactory for Folders {
    async fn make(&self) -> Result<Arc<dyn ThreadStore>> {
        let dir = TempDir::new();
        let dir = dir.map_err(|error| Error::io("make", Path::new("a temporary folder"), error))?;
        let store = FolderStore::open(dir.path())?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(dir);
        Ok(Arc::new(store))
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            durability: Durability::Synced,
            paths: false,
        }
    }

    async fn reopen(&self, store: Arc<dyn ThreadStore>) -> Result<Option<Arc<dyn ThreadStore>>> {
        drop(store);
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(dir) = last.as_ref() else {
            return Ok(None);
        };
        Ok(Some(Arc::new(FolderStore::open(dir.path())?)))
    }
}

#[tokio::main]
async fn main() {
    let folders = Folders {
        last: Mutex::new(None),
    };
    check(&folders).await;
}
