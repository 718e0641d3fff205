//! A file system without room.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use selvedge::{AppendOptions, Durability, Error, OpenOptions, Selvedge, ThreadState};

use super::notes::{Notes, is_full, start};

/// What is left free before the appends begin.
const ROOM: u64 = 512 << 10;

pub async fn act(dir: &Path) -> String {
    let elsewhere = tempfile::tempdir_in("/tmp").unwrap();
    let (home, ballast) = (dir.join("home"), dir.join("ballast"));
    let store = Selvedge::open(OpenOptions::new(&home).create(true))
        .await
        .unwrap();
    let other = OpenOptions::new(elsewhere.path().join("home")).create(true);
    let other_store = Selvedge::open(other).await.unwrap();
    let (mut one, mut two) = (Notes::start(&store).await, Notes::start(&store).await);
    let mut other = Notes::start(&other_store).await;
    fill(&ballast);
    let error = loop {
        if let Err(error) = one.append(5000).await {
            break error;
        }
    };
    assert!(is_full(&error), "{error}");
    assert_eq!(
        one.live.snapshot().await.unwrap().state,
        ThreadState::Failed
    );
    // Everybody who waits is told.
    let (first, second) = (one.next_item(500_000).1, one.next_item(500_000).1);
    let synced = AppendOptions {
        durability: Durability::Synced,
        expected_next: None,
    };
    let (written, synced) = tokio::join!(
        one.live.append(vec![first]),
        one.live.append_with(vec![second], synced)
    );
    for told in [written.unwrap_err(), synced.unwrap_err()] {
        assert!(is_full(&told), "{told}");
    }
    let told = two.append(500_000).await.unwrap_err();
    assert!(is_full(&told), "{told}");
    let new = store.start_thread(start()).await.unwrap();
    let told = new
        .append(vec![two.next_item(500_000).1])
        .await
        .unwrap_err();
    assert!(is_full(&told), "{told}");
    other.append(500_000).await.unwrap();
    // The logs say all, whatever the index had room for.
    one.check(&store).await;
    two.check(&store).await;
    // At most its meta had room.
    match store.read_thread(new.thread_id()).await {
        Ok(found) => assert_eq!(found.item_count, 1),
        Err(error) => assert!(matches!(error, Error::ThreadNotFound { .. }), "{error}"),
    }
    assert_eq!(store.loaded_threads().await.len(), 3);
    std::fs::remove_file(&ballast).unwrap();
    for notes in [&mut one, &mut two] {
        notes.append(5000).await.unwrap();
        assert_eq!(
            notes.live.snapshot().await.unwrap().state,
            ThreadState::Live
        );
        notes.live.flush().await.unwrap();
        notes.check(&store).await;
    }
    new.append(vec![two.next_item(100).1]).await.unwrap();
    let figures = format!("{} records before and after", one.count() + two.count());
    drop(new);
    let (one, two) = (one.keep(), two.keep());
    store.shutdown().await.unwrap();
    let store = Selvedge::open(OpenOptions::new(&home)).await.unwrap();
    one.check(&store).await;
    two.check(&store).await;
    is_well(store).await;
    figures
}

async fn is_well(store: Selvedge) {
    let report = store.verify().await.unwrap();
    assert!(report.ok, "{report:?}");
    store.shutdown().await.unwrap();
}

/// Fills the disk, but for some room.
fn fill(ballast: &Path) {
    let mut file = File::create(ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length - ROOM).unwrap();
}
