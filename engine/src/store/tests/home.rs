//! Homes for the store's tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use selvedge_codec::ThreadId;

use crate::home::LogPath;
use crate::listing::{ListQuery, Page, scan_list};
use crate::store::{Store, StoreOptions};

pub(super) const WAIT: Duration = Duration::from_secs(20);

/// A home that is made by hand, and removed with this.
pub(super) struct TestHome(tempfile::TempDir);

/// A thread's id from a small number.
pub(super) fn id(number: u64) -> ThreadId {
    let mut bytes = [0x77; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    ThreadId::from_bytes(bytes)
}

/// One JSON line, at so many seconds of a day.
pub(super) fn line(second: u64, kind: &str, payload: &str) -> String {
    let (hour, minute, second) = (second / 3600 % 24, second / 60 % 60, second % 60);
    format!(
        "{{\"timestamp\":\"2026-03-04T{hour:02}:{minute:02}:{second:02}.000Z\",\
         \"type\":\"{kind}\",\"payload\":{payload}}}\n"
    )
}

pub(super) fn meta(thread: u64, cwd: &str, second: u64) -> String {
    let payload = format!(
        "{{\"id\":\"{}\",\"timestamp\":\"2026-03-04T00:00:00.000Z\",\"cwd\":\"{cwd}\",\
         \"originator\":\"test\",\"cli_version\":\"1\",\"source\":\"cli\",\
         \"model_provider\":\"p\"}}",
        id(thread)
    );
    let stamp = line(second, "session_meta", "");
    let stamp = stamp.split('"').nth(3).unwrap().to_owned();
    line(
        second,
        "session_meta",
        &payload.replace("2026-03-04T00:00:00.000Z", &stamp),
    )
}

pub(super) fn said(second: u64, text: &str) -> String {
    line(
        second,
        "event_msg",
        &format!("{{\"type\":\"user_message\",\"message\":\"{text}\"}}"),
    )
}

/// A whole small thread, started at `second`.
pub(super) fn thread(number: u64, second: u64) -> String {
    meta(number, "/work", second) + &said(second + 1, &format!("hello {number}"))
}

impl TestHome {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Writes a file, with the folders above it.
    pub(super) fn put(&self, path: &str, text: impl AsRef<[u8]>) {
        let file = self.file(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    pub(super) fn append(&self, path: &str, text: &str) {
        use std::io::Write;
        let mut file = fs::File::options()
            .append(true)
            .open(self.file(path))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Moves a folder's modification so far back that a look proves something.
    pub(super) fn age(&self, dir: &str) {
        let times = fs::FileTimes::new()
            .set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        fs::File::open(self.file(dir))
            .unwrap()
            .set_times(times)
            .unwrap();
    }

    pub(super) fn store(&self) -> Store {
        Store::open(self.options()).unwrap()
    }

    pub(super) fn options(&self) -> StoreOptions {
        StoreOptions {
            index_patience: Duration::from_millis(500),
            ..StoreOptions::new(self.root())
        }
    }

    /// A store that covers the home.
    pub(super) fn filled(&self) -> Store {
        let store = self.store();
        store.backfill(WAIT, &|_| ()).unwrap();
        store
    }

    /// What the logs alone say.
    pub(super) fn scan(&self, query: &ListQuery) -> Page {
        scan_list(
            &crate::disk::RealDisk,
            &crate::home::Home::at(self.root()),
            query,
        )
        .unwrap()
    }
}

pub(super) fn path(text: &str) -> LogPath {
    LogPath::new(text.to_owned()).unwrap()
}

pub(super) fn ids(page: &Page) -> Vec<ThreadId> {
    page.threads.iter().map(|thread| thread.thread_id).collect()
}
