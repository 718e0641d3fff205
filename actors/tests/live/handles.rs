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
