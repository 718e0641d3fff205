//! A disk that fails, and one that panics.

use std::time::Duration;

use selvedge_actors::{AppendOptions, Durability, IndexMode, Selvedge, ThreadState};
use selvedge_codec::Ordinal;
use selvedge_engine::Error;
use selvedge_engine::listing::{Coverage, ListQuery, Verification};

use crate::{TestHome, says, start};

const SYNCED: AppendOptions = AppendOptions {
    durability: Durability::Synced,
    expected_next: None,
};

#[tokio::test]
async fn a_failed_write_is_told_and_latches_until_there_is_room() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = store.start_thread(start()).await.unwrap();
    thread.append(vec![says("a")]).await.unwrap();
    home.disk.fail_writes(true);
    for _ in 0..3 {
        let refused = thread.append(vec![says("lost")]).await;
        assert!(
            matches!(refused, Err(Error::OutOfSpace { .. })),
            "{refused:?}"
        );
        assert_eq!(thread.snapshot().await.unwrap().state, ThreadState::Failed);
    }
    home.disk.fail_writes(false);
    let ack = thread.append(vec![says("b")]).await.unwrap();
    assert_eq!(ack.first_ordinal, Ordinal::new(2));
    assert_eq!(thread.snapshot().await.unwrap().state, ThreadState::Live);
    let history = store.load_history(thread.thread_id()).await.unwrap();
    assert_eq!(history.records.len(), 3);
    assert!(history.damage.is_empty() && history.torn_tail.is_none());
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_new_thread_that_could_not_be_written_works_once_there_is_room() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = store.start_thread(start()).await.unwrap();
    home.disk.fail_writes(true);
    let refused = thread.append(vec![says("lost")]).await;
    assert!(
        matches!(refused, Err(Error::OutOfSpace { .. })),
        "{refused:?}"
    );
    home.disk.fail_writes(false);
    let ack = thread.append(vec![says("a")]).await.unwrap();
    assert_eq!(ack.first_ordinal, Ordinal::new(1));
    let history = store.load_history(thread.thread_id()).await.unwrap();
    assert_eq!(history.records.len(), 2);
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_failed_sync_is_told_to_every_waiter_and_loses_nothing_acknowledged() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = store.start_thread(start()).await.unwrap();
    thread.append(vec![says("written")]).await.unwrap();
    home.disk.fail_syncs(true);
    let (append, flush) = tokio::join!(thread.append_with(vec![says("b")], SYNCED), thread.flush());
    assert!(matches!(append, Err(Error::Io { .. })), "{append:?}");
    assert!(matches!(flush, Err(Error::Io { .. })), "{flush:?}");
    assert_eq!(thread.snapshot().await.unwrap().state, ThreadState::Failed);
    home.disk.fail_syncs(false);
    thread.append_with(vec![says("c")], SYNCED).await.unwrap();
    let history = store.load_history(thread.thread_id()).await.unwrap();
    assert!(history.records.len() >= 3, "{}", history.records.len());
    assert!(history.damage.is_empty() && history.torn_tail.is_none());
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_thread_that_can_t_be_synced_is_not_shut_down_unless_the_store_is() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = store.start_thread(start()).await.unwrap();
    thread.append(vec![says("a")]).await.unwrap();
    home.disk.fail_syncs(true);
    assert!(matches!(thread.shutdown().await, Err(Error::Io { .. })));
    home.disk.fail_syncs(false);
    thread.append(vec![says("b")]).await.unwrap();
    home.disk.fail_syncs(true);
    let told = store.shutdown().await;
    assert!(matches!(told, Err(Error::Io { .. })), "{told:?}");
    home.disk.fail_syncs(false);
    let store = home.open().await;
    let history = store.load_history(thread.thread_id()).await.unwrap();
    assert_eq!(history.records.len(), 3);
    store.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_actor_fails_its_waiters_alone_and_its_thread_is_resumed_at_once() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let other = store.start_thread(start()).await.unwrap();
    other.append(vec![says("a")]).await.unwrap();
    for round in 0..10 {
        let thread = store.start_thread(start()).await.unwrap();
        let id = thread.thread_id();
        if round % 2 == 0 {
            // The next write happens in the actor itself; otherwise in a job of the pool.
            thread.append(vec![says("a")]).await.unwrap();
        }
        home.disk.panic_writes(true);
        let (one, two) = tokio::join!(
            thread.append(vec![says("poison")]),
            thread.append_with(vec![says("poison")], SYNCED)
        );
        assert!(one.is_err() && two.is_err(), "{one:?} {two:?}");
        home.disk.panic_writes(false);
        other.append(vec![says("b")]).await.unwrap();
        if round % 2 == 0 {
            let thread = store.resume_thread(id).await.unwrap();
            let ack = thread.append(vec![says("c")]).await.unwrap();
            assert_eq!(ack.first_ordinal, Ordinal::new(2));
            let history = store.load_history(id).await.unwrap();
            assert_eq!(history.records.len(), 3);
            assert!(history.damage.is_empty() && history.torn_tail.is_none());
        }
    }
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_failed_log_is_mended_without_being_asked() {
    let home = TestHome::new();
    let options = home.options().sync_interval(Duration::from_millis(5));
    let store = Selvedge::open(options).await.unwrap();
    let thread = store.start_thread(start()).await.unwrap();
    home.disk.fail_syncs(true);
    thread.append(vec![says("written")]).await.unwrap();
    let state = async |wanted| {
        while thread.snapshot().await.unwrap().state != wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    state(ThreadState::Failed).await;
    home.disk.fail_syncs(false);
    state(ThreadState::Live).await;
    let snapshot = thread.snapshot().await.unwrap();
    assert_eq!(snapshot.durable_next_ordinal, Ordinal::new(2));
    store.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_sync_fails_its_waiters_and_loses_nothing_acknowledged() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = store.start_thread(start()).await.unwrap();
    let id = thread.thread_id();
    thread.append(vec![says("written")]).await.unwrap();
    home.disk.panic_syncs(true);
    let (append, flush) = tokio::join!(thread.append_with(vec![says("b")], SYNCED), thread.flush());
    assert!(append.is_err() && flush.is_err(), "{append:?} {flush:?}");
    home.disk.panic_syncs(false);
    let thread = store.resume_thread(id).await.unwrap();
    let ack = thread.append_with(vec![says("c")], SYNCED).await.unwrap();
    assert!(ack.first_ordinal >= Ordinal::new(2));
    let history = store.load_history(id).await.unwrap();
    assert!(
        history.records[1]
            .payload_json()
            .unwrap()
            .get()
            .contains("written")
    );
    assert!(history.damage.is_empty() && history.torn_tail.is_none());
    store.shutdown().await.unwrap();
}

/// A thread's actor had panicked, and nobody came to resume the thread before the store was shut
/// down. What it had acknowledged was never synced, although the shutdown told that all was well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_syncs_what_a_panicked_actor_has_acknowledged() {
    for panics_in_sync in [false, true] {
        let home = TestHome::new();
        let store = home.open_lazy().await;
        let thread = store.start_thread(start()).await.unwrap();
        thread.append(vec![says("written")]).await.unwrap();
        if panics_in_sync {
            home.disk.panic_syncs(true);
            assert!(thread.flush().await.is_err());
            home.disk.panic_syncs(false);
        } else {
            home.disk.panic_writes(true);
            assert!(thread.append(vec![says("poison")]).await.is_err());
            home.disk.panic_writes(false);
        }
        let before = home.disk.syncs();
        store.shutdown().await.unwrap();
        assert!(home.disk.syncs() > before, "in sync: {panics_in_sync}");
        assert_eq!(home.disk.open_logs(), 0);
        let store = home.open().await;
        let history = store.load_history(thread.thread_id()).await.unwrap();
        assert_eq!(history.records.len(), 2);
        store.shutdown().await.unwrap();
    }
}

/// As above, and the log of the panicked actor could not be synced when it ended either. The
/// shutdown tries again, and tells when that fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_tells_what_a_panicked_actor_could_not_sync() {
    for is_mended in [false, true] {
        let home = TestHome::new();
        let store = home.open_lazy().await;
        let thread = store.start_thread(start()).await.unwrap();
        thread.append(vec![says("written")]).await.unwrap();
        home.disk.fail_syncs(true);
        home.disk.panic_writes(true);
        let before = home.disk.syncs();
        assert!(thread.append(vec![says("poison")]).await.is_err());
        home.disk.panic_writes(false);
        while home.disk.syncs() == before {
            tokio::task::yield_now().await;
        }
        home.disk.fail_syncs(!is_mended);
        let told = store.shutdown().await;
        match is_mended {
            true => told.unwrap(),
            false => assert!(matches!(told, Err(Error::Io { .. })), "{told:?}"),
        }
    }
}

/// The disk was full, and the index could not take in what the logs had room for. Listings and
/// reads told of a full disk, although the logs have all answers.
#[tokio::test]
async fn everything_is_read_while_the_index_can_not_be_written() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = store.start_thread(start()).await.unwrap();
    let id = thread.thread_id();
    thread.append(vec![says("a")]).await.unwrap();
    assert_eq!(store.read_thread(id).await.unwrap().item_count, 2);
    home.disk.fail_index(true);
    thread.append(vec![says("b")]).await.unwrap();
    let page = store.list_threads(ListQuery::default()).await.unwrap();
    assert_eq!(page.threads[0].item_count, 3);
    assert_eq!(store.read_thread(id).await.unwrap().item_count, 3);
    assert_eq!(store.turns(id).await.unwrap().len(), 2);
    assert_eq!(store.load_history(id).await.unwrap().records.len(), 3);
    home.disk.fail_index(false);
    let page = store.list_threads(ListQuery::default()).await.unwrap();
    assert_eq!(page.threads[0].item_count, 3);
    store.shutdown().await.unwrap();
}

/// The disk was full while a home was opened in the background. Its index was never completed for
/// as long as the process lived, and every page said that its coverage is partial.
#[tokio::test]
async fn a_backfill_in_the_background_is_tried_again_until_it_succeeds() {
    let home = TestHome::new();
    let store = Selvedge::open(home.options().index(IndexMode::None))
        .await
        .unwrap();
    let thread = store.start_thread(start()).await.unwrap();
    thread.append(vec![says("a")]).await.unwrap();
    store.shutdown().await.unwrap();

    home.disk.fail_index(true);
    let store = Selvedge::open(home.options().index(IndexMode::Background))
        .await
        .unwrap();
    let query = || ListQuery {
        verification: Verification::IndexOnly,
        ..ListQuery::default()
    };
    home.disk.wait_for_index_failures(3).await;
    home.disk.fail_index(false);
    let complete = Coverage::Complete { failed: 0 };
    while store.list_threads(query()).await.unwrap().coverage != complete {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    store.shutdown().await.unwrap();
}
