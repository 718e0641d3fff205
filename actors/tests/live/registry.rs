//! Many threads, and several stores on one home.

use std::sync::Arc;

use selvedge_actors::StartThread;
use selvedge_codec::ThreadId;
use selvedge_engine::{ConflictReason, Error, InvalidRequest};

use crate::{TestHome, says, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_resumes_of_a_thread_give_one_actor() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = store.start_thread(start()).await.unwrap();
    let id = thread.thread_id();
    thread.append(vec![says("a")]).await.unwrap();
    thread.shutdown().await.unwrap();
    let mut resumes = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let store = store.clone();
        resumes.spawn(async move {
            let thread = store.resume_thread(id).await.unwrap();
            thread.append(vec![says("b")]).await.unwrap().first_ordinal
        });
    }
    let mut ordinals: Vec<u64> = resumes.join_all().await.iter().map(|o| o.get()).collect();
    ordinals.sort_unstable();
    assert_eq!(ordinals, (2..34).collect::<Vec<u64>>());
    assert_eq!(store.loaded_threads().await, [id]);
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_second_store_on_the_home_is_told_who_writes_a_thread_until_it_is_free() {
    let home = TestHome::new();
    let first = home.open().await;
    let second = home.open().await;
    let thread = first.start_thread(start()).await.unwrap();
    let id = thread.thread_id();
    thread.append(vec![says("a")]).await.unwrap();
    let refused = second.resume_thread(id).await;
    let Err(Error::Conflict {
        reason: ConflictReason::Writer { holder },
        ..
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(holder, format!("process {}", std::process::id()));
    first.shutdown().await.unwrap();
    let thread = second.resume_thread(id).await.unwrap();
    thread.append(vec![says("b")]).await.unwrap();
    second.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_unknown_thread_is_not_found() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread_id = ThreadId::generate();
    assert!(matches!(
        store.resume_thread(thread_id).await,
        Err(Error::ThreadNotFound { thread_id: id }) if id == thread_id
    ));
    assert!(store.live_thread(thread_id).await.is_none());
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_id_is_taken_once() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread_id = ThreadId::generate();
    let with_id = StartThread {
        thread_id: Some(thread_id),
        ..start()
    };
    let thread = store.start_thread(with_id.clone()).await.unwrap();
    assert_eq!(thread.thread_id(), thread_id);
    thread.append(vec![says("a")]).await.unwrap();
    for live in [true, false] {
        let refused = store.start_thread(with_id.clone()).await;
        assert!(
            matches!(
                refused,
                Err(Error::InvalidRequest(InvalidRequest::ThreadExists(id))) if id == thread_id
            ),
            "live: {live}"
        );
        store.remove_thread(thread_id).await.unwrap();
    }
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_removed_thread_is_no_longer_loaded_and_its_log_stays() {
    let home = TestHome::new();
    let store = home.open().await;
    let (a, b) = (
        store.start_thread(start()).await.unwrap(),
        store.start_thread(start()).await.unwrap(),
    );
    a.append(vec![says("a")]).await.unwrap();
    let mut both = [a.thread_id(), b.thread_id()];
    both.sort_unstable();
    assert_eq!(store.loaded_threads().await, both);
    store.remove_thread(a.thread_id()).await.unwrap();
    assert_eq!(store.loaded_threads().await, [b.thread_id()]);
    store.remove_thread(a.thread_id()).await.unwrap();
    let history = store.load_history(a.thread_id()).await.unwrap();
    assert_eq!(history.records.len(), 2);
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_store_that_was_shut_down_answers_closed() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = store.start_thread(start()).await.unwrap();
    thread.append(vec![says("a")]).await.unwrap();
    let again = store.clone();
    store.shutdown().await.unwrap();
    let id = thread.thread_id();
    assert!(matches!(
        again.resume_thread(id).await,
        Err(Error::Closed { .. })
    ));
    assert!(matches!(
        again.start_thread(start()).await,
        Err(Error::Closed { .. })
    ));
    assert!(matches!(
        again.read_thread(id).await,
        Err(Error::Closed { .. })
    ));
    assert!(matches!(
        again.list_threads(Default::default()).await,
        Err(Error::Closed { .. })
    ));
    assert!(again.live_thread(id).await.is_none());
    assert!(matches!(again.shutdown().await, Err(Error::Closed { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_in_the_middle_of_appends_loses_nothing_acknowledged() {
    let home = TestHome::new();
    let store = home.open().await;
    let mut producers = tokio::task::JoinSet::new();
    let go = Arc::new(tokio::sync::Barrier::new(9));
    for _ in 0..8 {
        let thread = store.start_thread(start()).await.unwrap();
        let go = Arc::clone(&go);
        producers.spawn(async move {
            thread.append(vec![says("first")]).await.unwrap();
            go.wait().await;
            let mut acked = 1;
            while thread.append(vec![says("more")]).await.is_ok() {
                acked += 1;
            }
            (thread.thread_id(), acked)
        });
    }
    go.wait().await;
    store.shutdown().await.unwrap();
    let store = home.open().await;
    for (id, acked) in producers.join_all().await {
        let history = store.load_history(id).await.unwrap();
        assert_eq!(history.records.len(), acked + 1);
    }
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn threads_outlive_their_handles_and_a_store_that_all_handles_left_closes_them() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = store.start_thread(start()).await.unwrap();
    let id = thread.thread_id();
    thread.append(vec![says("a")]).await.unwrap();
    drop(thread);
    assert_eq!(store.loaded_threads().await, [id]);
    let thread = store.live_thread(id).await.unwrap();
    drop(store);
    thread.append(vec![says("b")]).await.unwrap();
    drop(thread);
    // Its lock is free once the actors have seen that nobody is left.
    let store = home.open().await;
    loop {
        match store.resume_thread(id).await {
            Ok(thread) => {
                thread.append(vec![says("c")]).await.unwrap();
                break;
            }
            Err(Error::Conflict { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(store.load_history(id).await.unwrap().records.len(), 4);
    store.shutdown().await.unwrap();
}
