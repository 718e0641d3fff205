//! Many live threads on few file handles.

use std::time::Duration;

use selvedge_actors::Selvedge;

use crate::{TestHome, says, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_idle_live_threads_hold_no_file_handle() {
    let home = TestHome::new();
    let options = home.options().sync_interval(Duration::from_millis(20));
    let store = Selvedge::open(options.max_open_logs(64)).await.unwrap();
    let mut threads = Vec::new();
    for _ in 0..2_000 {
        threads.push(store.start_thread(start()).await.unwrap());
    }
    let mut appends = tokio::task::JoinSet::new();
    for thread in &threads {
        let thread = thread.clone();
        appends.spawn(async move { thread.append(vec![says("a")]).await });
    }
    for ack in appends.join_all().await {
        ack.unwrap();
    }
    assert!(
        home.disk.most_open_logs() <= 64,
        "{}",
        home.disk.most_open_logs()
    );
    while home.disk.open_logs() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(store.loaded_threads().await.len(), 2_000);
    // They are live all the same.
    for thread in threads.iter().step_by(100) {
        assert_eq!(
            thread
                .append(vec![says("b")])
                .await
                .unwrap()
                .first_ordinal
                .get(),
            2
        );
    }
    store.shutdown().await.unwrap();
    assert_eq!(home.disk.open_logs(), 0);
}

#[tokio::test]
async fn one_handle_serves_many_busy_threads() {
    let home = TestHome::new();
    let options = home
        .options()
        .max_open_logs(1)
        .sync_interval(Duration::from_secs(3600));
    let store = Selvedge::open(options).await.unwrap();
    let mut threads = Vec::new();
    for _ in 0..8 {
        threads.push(store.start_thread(start()).await.unwrap());
    }
    for _ in 0..5 {
        for thread in &threads {
            thread.append(vec![says("a")]).await.unwrap();
        }
    }
    assert_eq!(home.disk.most_open_logs(), 1);
    for thread in &threads {
        let history = store.load_history(thread.thread_id()).await.unwrap();
        assert_eq!(history.records.len(), 6);
    }
    store.shutdown().await.unwrap();
}

/// Of several threads that waited for a file at once all but one asked nobody for it: they got it
/// only once its holder had been idle for a sync interval.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_handle_serves_many_threads_that_are_busy_at_once() {
    let home = TestHome::new();
    let options = home.options().max_open_logs(1);
    let options = options.sync_interval(Duration::from_secs(3600));
    let store = Selvedge::open(options).await.unwrap();
    let mut appends = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let thread = store.start_thread(start()).await.unwrap();
        appends.spawn(async move {
            for _ in 0..5 {
                thread.append(vec![says("a")]).await.unwrap();
            }
        });
    }
    appends.join_all().await;
    assert_eq!(home.disk.most_open_logs(), 1);
    store.shutdown().await.unwrap();
}

/// A log that could not be mended kept its file, and with it the others from theirs.
#[tokio::test]
async fn a_failed_log_keeps_no_other_from_its_file() {
    let home = TestHome::new();
    let options = home.options().max_open_logs(1);
    let options = options.sync_interval(Duration::from_secs(3600));
    let store = Selvedge::open(options).await.unwrap();
    let (failed, other) = (
        store.start_thread(start()).await.unwrap(),
        store.start_thread(start()).await.unwrap(),
    );
    failed.append(vec![says("a")]).await.unwrap();
    home.disk.fail_syncs(true);
    assert!(failed.flush().await.is_err());
    other.append(vec![says("b")]).await.unwrap();
    home.disk.fail_syncs(false);
    failed.flush().await.unwrap();
    // A log that is mended is opened anew before its old file is closed.
    assert!(home.disk.most_open_logs() <= 2);
    let history = store.load_history(failed.thread_id()).await.unwrap();
    assert_eq!(history.records.len(), 2);
    store.shutdown().await.unwrap();
}
