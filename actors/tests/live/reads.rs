//! Reads see what this process has acknowledged.

use std::time::Duration;

use selvedge_actors::{IndexMode, Selvedge};
use selvedge_engine::listing::{Coverage, ListQuery};

use crate::{TestHome, says, start, turn_ends};

async fn listed(store: &Selvedge) -> Vec<String> {
    let page = store.list_threads(ListQuery::default()).await.unwrap();
    page.threads
        .into_iter()
        .map(|thread| thread.preview)
        .collect()
}

#[tokio::test]
async fn every_read_sees_what_was_acknowledged_before() {
    for index in [
        IndexMode::Wait(Duration::from_secs(10)),
        IndexMode::Background,
        IndexMode::Existing,
        IndexMode::None,
    ] {
        let home = TestHome::new();
        let store = Selvedge::open(home.options().index(index)).await.unwrap();
        assert_eq!(listed(&store).await, Vec::<String>::new());
        let thread = store.start_thread(start()).await.unwrap();
        let id = thread.thread_id();
        thread.append(vec![says("first")]).await.unwrap();
        assert_eq!(listed(&store).await, ["first"], "{index:?}");
        for count in 3..20 {
            thread.append(vec![says("more")]).await.unwrap();
            let summary = store.read_thread(id).await.unwrap();
            assert_eq!(summary.item_count, count, "{index:?}");
        }
        thread.append(vec![turn_ends()]).await.unwrap();
        assert!(!store.turns(id).await.unwrap().is_empty(), "{index:?}");
        let found = store.find_thread(id).await.unwrap();
        assert_eq!(Some(found.path), thread.snapshot().await.unwrap().path);
        store.shutdown().await.unwrap();

        let store = Selvedge::open(home.options().index(index)).await.unwrap();
        assert_eq!(listed(&store).await, ["first"], "{index:?}");
        store.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn another_store_of_the_home_sees_the_thread_too() {
    let home = TestHome::new();
    let (writer, reader) = (home.open().await, home.open().await);
    let thread = writer.start_thread(start()).await.unwrap();
    thread.append(vec![says("hello")]).await.unwrap();
    assert_eq!(listed(&reader).await, ["hello"]);
    let history = reader.load_history(thread.thread_id()).await.unwrap();
    assert_eq!(history.records.len(), 2);
    writer.shutdown().await.unwrap();
    assert_eq!(
        reader.coverage().await.unwrap(),
        Coverage::Complete { failed: 0 }
    );
    reader.shutdown().await.unwrap();
}

#[test]
fn everything_works_without_a_second_worker() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let home = TestHome::new();
        let store = home.open().await;
        let thread = store.start_thread(start()).await.unwrap();
        thread.append(vec![says("a")]).await.unwrap();
        thread.flush().await.unwrap();
        assert_eq!(listed(&store).await, ["a"]);
        store.shutdown().await.unwrap();
    });
}
