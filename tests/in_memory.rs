//! A whole runtime's session over the store in memory: it needs no path, writes no file, and the
//! store tells what it was asked for.
#![cfg(test)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use selvedge::view::{Change, MetadataPatch};
use selvedge::{
    AppendOptions, ForkThread, InMemoryThreadStore, InvalidRequest, ItemQuery, ListQuery,
    OccurrenceQuery, Operation, Ordinal, SearchQuery, StartThread, ThreadEvent, ThreadId,
    ThreadManager, ThreadStore, TurnQuery,
};
use tempfile::TempDir;

mod common;

/// Everything that a runtime does, once. Fails where anything is refused.
async fn session(store: Arc<InMemoryThreadStore>) -> selvedge::Result<()> {
    let manager = ThreadManager::new(Arc::<InMemoryThreadStore>::clone(&store));
    let never_begun = manager.start(StartThread::default()).await?;
    never_begun.discard().await?;
    let thread = manager.start(StartThread::default()).await?;
    let id = thread.thread_id();
    thread.persist().await?;
    let mut subscription = thread.subscribe(Ordinal::ZERO).await?;
    thread.append(common::turn(1)).await?;
    let again = AppendOptions {
        expected_next: Some(Ordinal::new(5)),
        ..AppendOptions::default()
    };
    thread.append_with(common::turn(2), again).await?;
    for _ in 0..9 {
        assert!(subscription.next().await?.is_some());
    }
    let patch = MetadataPatch {
        name: Change::Set("a name".into()),
        ..MetadataPatch::default()
    };
    thread.update_metadata(patch).await?;
    thread.flush().await?;
    assert_eq!(manager.loaded().await?, [id]);
    thread.shutdown().await?;

    let (thread, summary) = manager.resume(id).await?;
    assert_eq!(thread.thread_id(), id);
    assert_eq!(summary.name.as_deref(), Some("a name"));
    assert_eq!(summary.rollout_path, "");
    reads(&*store, id).await?;
    let (fork, _) = manager.fork(ForkThread::of(id)).await?;
    assert_eq!(manager.review(id).await?.1.forked_from_id, Some(id));
    assert_eq!(thread.roll_back(1).await?.turns.len(), 1);
    assert_eq!(
        store
            .list_threads(ListQuery::default())
            .await?
            .threads
            .len(),
        3
    );
    manager.archive(id).await?;
    manager.unarchive(id).await?;
    manager.delete(id).await?;
    while let Some(event) = subscription.next().await? {
        assert!(matches!(event, ThreadEvent::Record(_)));
    }
    assert!(
        store
            .read_thread(fork.thread_id())
            .await?
            .first_user_message
            .is_some()
    );
    let by_path = store
        .read_thread_by_path(Path::new("sessions/any.rlog"))
        .await;
    assert!(matches!(
        by_path,
        Err(selvedge::Error::InvalidRequest(InvalidRequest::NoPaths))
    ));
    Ok(())
}

/// Everything that a runtime reads of a thread of two turns and a name.
async fn reads(store: &dyn ThreadStore, id: ThreadId) -> selvedge::Result<()> {
    assert_eq!(store.load_history(id).await?.records.len(), 10);
    assert_eq!(store.load_model_context(id).await?.records.len(), 10);
    let turns = store.list_turns(id, TurnQuery::default()).await?;
    assert_eq!(turns.turns.len(), 2);
    let items = store.list_items(id, ItemQuery::default()).await?;
    assert_eq!(items.items.len(), 10);
    let term = || "question".to_owned();
    let search = SearchQuery {
        term: term(),
        ..SearchQuery::default()
    };
    assert_eq!(store.search_threads(search).await?.hits.len(), 1);
    let places = OccurrenceQuery {
        term: term(),
        ..OccurrenceQuery::default()
    };
    let places = store.search_occurrences(id, places).await?;
    assert_eq!(places.occurrences.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_session_in_memory_uses_every_operation_and_each_is_told() {
    let store = Arc::new(InMemoryThreadStore::new());
    session(Arc::clone(&store)).await.unwrap();
    let calls = store.calls();
    for operation in Operation::ALL {
        let count = calls.iter().filter(|call| call.operation == *operation);
        assert!(count.count() > 0, "{operation:?} was not told");
    }
    assert_eq!(calls[0].operation, Operation::CreateThread);
    assert_eq!(calls[1].operation, Operation::DiscardThread);
    assert_eq!(calls[0].thread_id, calls[1].thread_id);
    let by_id = calls.iter().filter(|call| call.thread_id.is_some()).count();
    // But for listings, searches, the live threads and what names a path.
    assert_eq!(calls.len() - by_id, 4);
}

/// What lies below a folder.
fn entries(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        #[expect(
            clippy::disallowed_methods,
            reason = "looks for what must not be there"
        )]
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}

/// Runs the session above in a process of its own, for which every place where a program may
/// keep its data is an empty folder.
#[test]
fn a_session_in_memory_writes_nothing_anywhere() {
    let (home, work, scratch) = (dir(), dir(), dir());
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_session_in_memory_uses_every_operation_and_each_is_told",
        ])
        .current_dir(work.path())
        .env("HOME", home.path())
        .env("SELVEDGE_HOME", home.path())
        .env("CODEX_HOME", home.path())
        .env("XDG_DATA_HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path())
        .env("XDG_STATE_HOME", home.path())
        .env("XDG_CACHE_HOME", home.path())
        .env("TMPDIR", scratch.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{told}");
    assert!(told.contains("1 passed"), "the session was run: {told}");
    for place in [&home, &work, &scratch] {
        assert_eq!(entries(place.path()), [] as [&Path; 0]);
    }
}

fn dir() -> TempDir {
    TempDir::new().unwrap()
}
