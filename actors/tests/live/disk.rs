//! A disk that counts, and fails when told to.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};

use selvedge_codec::{ByteLength, ByteOffset};
use selvedge_engine::disk::{DirEntry, Disk, DiskFile, FileStat, OpenMode, RealDisk};

/// The machine's disk, watched. Only logs are counted, and fail; the index fails on its own.
#[derive(Debug, Clone, Default)]
pub struct TestDisk {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    open_logs: AtomicI64,
    most_open_logs: AtomicI64,
    writes: AtomicU64,
    read_bytes: AtomicU64,
    syncs: AtomicU64,
    fail_writes: AtomicBool,
    fail_syncs: AtomicBool,
    fail_index: AtomicBool,
    index_failures: AtomicU64,
    panic_writes: AtomicBool,
    panic_syncs: AtomicBool,
    held: Mutex<bool>,
    /// What another tool writes just before the next append of ours.
    gets_in: Mutex<Vec<u8>>,
    released: Condvar,
}

impl TestDisk {
    /// How many logs are open.
    pub fn open_logs(&self) -> i64 {
        self.state.open_logs.load(SeqCst)
    }

    /// The most that were ever open at once.
    pub fn most_open_logs(&self) -> i64 {
        self.state.most_open_logs.load(SeqCst)
    }

    pub fn writes(&self) -> u64 {
        self.state.writes.load(SeqCst)
    }

    /// How many bytes of logs were read.
    pub fn read_bytes(&self) -> u64 {
        self.state.read_bytes.load(SeqCst)
    }

    pub fn syncs(&self) -> u64 {
        self.state.syncs.load(SeqCst)
    }

    /// Writes to logs fail as on a full disk.
    pub fn fail_writes(&self, fail: bool) {
        self.state.fail_writes.store(fail, SeqCst);
    }

    /// Syncs of logs fail.
    pub fn fail_syncs(&self, fail: bool) {
        self.state.fail_syncs.store(fail, SeqCst);
    }

    /// The index can't be written, as on a full disk.
    pub fn fail_index(&self, fail: bool) {
        self.state.fail_index.store(fail, SeqCst);
    }

    /// Waits until the index was refused this often.
    pub async fn wait_for_index_failures(&self, count: u64) {
        while self.state.index_failures.load(SeqCst) < count {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Writes to logs panic.
    pub fn panic_writes(&self, panic: bool) {
        self.state.panic_writes.store(panic, SeqCst);
    }

    /// Syncs of logs panic.
    pub fn panic_syncs(&self, panic: bool) {
        self.state.panic_syncs.store(panic, SeqCst);
    }

    /// Another tool writes this just before the next append to a log of JSON lines.
    pub fn gets_in(&self, bytes: &[u8]) {
        *self.state.gets_in.lock().unwrap() = bytes.to_vec();
    }

    /// Syncs of logs wait until they are let go.
    pub fn hold_syncs(&self, hold: bool) {
        *self.state.held.lock().unwrap() = hold;
        self.state.released.notify_all();
    }
}

#[derive(Debug)]
struct TestFile {
    file: Box<dyn DiskFile>,
    /// `None` for what is no log, or is not written.
    state: Option<Arc<State>>,
    /// `None` for what is no log.
    reads: Option<Arc<State>>,
    /// `None` for what is no index.
    index: Option<Arc<State>>,
}

impl TestFile {
    fn check_index(&self) -> io::Result<()> {
        match &self.index {
            Some(state) if state.fail_index.load(SeqCst) => {
                state.index_failures.fetch_add(1, SeqCst);
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        if let Some(state) = &self.state {
            state.open_logs.fetch_sub(1, SeqCst);
        }
    }
}

impl Disk for TestDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let file = RealDisk.open(path, mode)?;
        let is_log = path
            .extension()
            .is_some_and(|extension| extension == "rlog" || extension == "jsonl");
        let state = (is_log && mode != OpenMode::Read).then(|| {
            let open = self.state.open_logs.fetch_add(1, SeqCst) + 1;
            self.state.most_open_logs.fetch_max(open, SeqCst);
            Arc::clone(&self.state)
        });
        let reads = is_log.then(|| Arc::clone(&self.state));
        let is_index = path.file_name().is_some_and(|name| name == "index.redb");
        let index = is_index.then(|| Arc::clone(&self.state));
        Ok(Box::new(TestFile {
            file,
            state,
            reads,
            index,
        }))
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        RealDisk.stat(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        RealDisk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<bool> {
        RealDisk.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
}

impl DiskFile for TestFile {
    fn stat(&self) -> io::Result<FileStat> {
        self.file.stat()
    }

    fn len(&self) -> io::Result<ByteLength> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: ByteOffset) -> io::Result<usize> {
        let read = self.file.read_at(buffer, offset)?;
        if let Some(state) = &self.reads {
            state.read_bytes.fetch_add(read as u64, SeqCst);
        }
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: ByteOffset) -> io::Result<()> {
        self.check_index()?;
        if let Some(state) = &self.state {
            state.writes.fetch_add(1, SeqCst);
            assert!(!state.panic_writes.load(SeqCst), "poisoned write");
            if state.fail_writes.load(SeqCst) {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        self.file.write_all_at(bytes, offset)
    }

    fn append_all(&self, bytes: &[u8]) -> io::Result<()> {
        if let Some(state) = &self.state {
            let theirs = std::mem::take(&mut *state.gets_in.lock().unwrap());
            self.file.append_all(&theirs)?;
        }
        self.file.append_all(bytes)
    }

    fn set_len(&self, len: ByteLength) -> io::Result<()> {
        self.check_index()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if let Some(state) = &self.state {
            let mut held = state.held.lock().unwrap();
            while *held {
                held = state.released.wait(held).unwrap();
            }
            drop(held);
            state.syncs.fetch_add(1, SeqCst);
            assert!(!state.panic_syncs.load(SeqCst), "poisoned sync");
            if state.fail_syncs.load(SeqCst) {
                return Err(io::Error::other("the medium is gone"));
            }
        }
        self.file.sync_data()
    }

    fn try_lock_range(&self, range: Range<u64>, shared: bool) -> io::Result<bool> {
        self.file.try_lock_range(range, shared)
    }

    fn unlock_range(&self, range: Range<u64>) -> io::Result<()> {
        self.file.unlock_range(range)
    }

    fn is_locked_elsewhere(&self, range: Range<u64>) -> io::Result<bool> {
        self.file.is_locked_elsewhere(range)
    }
}
