//! A process without file handles: RLIMIT_NOFILE.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use selvedge::{Durability, ListQuery, OpenOptions, Selvedge};

use super::notes::{Notes, errno, start};

/// Handles that the process may have while it is tried.
const FEW: u64 = 128;

fn limit(handles: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, handles, hard).unwrap();
}

/// Takes every handle that is left.
fn take_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// Whether a file of this name is open.
fn is_open(name: &str) -> bool {
    let handles = std::fs::read_dir("/proc/self/fd").unwrap();
    handles
        .filter_map(|handle| std::fs::read_link(handle.ok()?.path()).ok())
        .any(|file| file.to_string_lossy().contains(name))
}

/// Handles are gone while threads are live.
pub async fn act(dir: &Path) -> String {
    let home = dir.join("home");
    let open = OpenOptions::new(&home).create(true);
    let store = Selvedge::open(open.sync_interval(Duration::from_millis(500)))
        .await
        .unwrap();
    let (mut busy, mut idle) = (Notes::start(&store).await, Notes::start(&store).await);
    let idle_name = idle.live.thread_id().to_string();
    while is_open(&format!("{idle_name}.rlog")) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    limit(FEW);
    let mut told = 0;
    for round in 0..20 {
        // With a handle of its own.
        busy.append_as(200, Durability::Written).await.unwrap();
        let taken = take_all();
        busy.append_as(200, Durability::Synced).await.unwrap();
        if round == 0 {
            let error = idle.append(200).await.unwrap_err();
            assert_eq!(errno(&error), Some(Errno::EMFILE as i32), "{error}");
        }
        told += usize::from(idle.append(200).await.is_err());
        let new = store.start_thread(start()).await.unwrap();
        let error = new.append(vec![idle.next_item(10).1]).await.unwrap_err();
        assert_eq!(errno(&error), Some(Errno::EMFILE as i32), "{error}");
        // Told, or answered: nothing hangs, and nothing is empty in place of an error.
        if let Ok(page) = store.list_threads(ListQuery::default()).await {
            assert!(page.threads.len() >= 2, "{page:?}");
        }
        drop(store.load_history(idle.live.thread_id()).await);
        drop(taken);
        idle.append(200).await.unwrap();
        new.append(vec![idle.next_item(10).1]).await.unwrap();
        new.shutdown().await.unwrap();
        busy.check(&store).await;
        idle.check(&store).await;
    }
    let figures = format!(
        "{told} appends told, {} records",
        busy.count() + idle.count()
    );
    let (busy, idle) = (busy.keep(), idle.keep());
    store.shutdown().await.unwrap();
    let store = Selvedge::open(OpenOptions::new(&home)).await.unwrap();
    busy.check(&store).await;
    idle.check(&store).await;
    let report = store.verify().await.unwrap();
    assert!(report.ok, "{report:?}");
    store.shutdown().await.unwrap();
    figures
}

/// There are few handles from the opening on.
pub async fn few(dir: &Path) -> String {
    let home = dir.join("home");
    let store = Selvedge::open(OpenOptions::new(&home).create(true))
        .await
        .unwrap();
    let mut kept = vec![Notes::start(&store).await.keep()];
    store.shutdown().await.unwrap();
    let (mut refused, mut worked) = (0, 0);
    for handles in 4..60 {
        limit(handles);
        match Selvedge::open(OpenOptions::new(&home)).await {
            Err(error) => {
                assert_eq!(
                    errno(&error),
                    Some(Errno::EMFILE as i32),
                    "{handles}: {error}"
                );
                refused += 1;
            }
            Ok(store) => {
                if let Ok(live) = store.start_thread(start()).await {
                    let mut notes = Notes::of(live);
                    for _ in 0..3 {
                        worked += usize::from(notes.append(100).await.is_ok());
                    }
                    if notes.count() > 0 {
                        kept.push(notes.keep());
                    }
                }
                // It may be told that there are no handles for the index's last catching up.
                drop(store.shutdown().await);
            }
        }
        limit(1024);
        let store = Selvedge::open(OpenOptions::new(&home)).await.unwrap();
        for notes in &kept {
            notes.check(&store).await;
        }
        store.shutdown().await.unwrap();
    }
    assert!(worked > 0, "nothing worked");
    format!("{refused} openings refused, {worked} appends worked")
}
