//! The life of one thread.

use std::sync::Arc;
use std::time::Duration;

use selvedge_actors::{AppendOptions, Durability, InitGuard, StartThread, ThreadState};
use selvedge_codec::Ordinal;
use selvedge_engine::listing::ListQuery;
use selvedge_engine::{ConflictReason, Error, InvalidRequest};

use crate::{TestHome, says, start, turn_ends};

#[tokio::test]
async fn a_new_thread_is_on_disk_from_its_first_append_on() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = store.start_thread(start()).await.unwrap();
    assert_eq!(
        thread.snapshot().await.unwrap().state,
        ThreadState::Deferred
    );
    assert!(matches!(
        store.load_history(thread.thread_id()).await,
        Err(Error::ThreadNotFound { .. })
    ));
    assert!(matches!(
        store.read_thread(thread.thread_id()).await,
        Err(Error::ThreadNotFound { .. })
    ));
    let ack = thread.append(vec![says("a"), says("b")]).await.unwrap();
    assert_eq!(
        (ack.first_ordinal, ack.last_ordinal, ack.durability),
        (Ordinal::new(1), Ordinal::new(2), Durability::Written)
    );
    let snapshot = thread.snapshot().await.unwrap();
    assert_eq!(snapshot.state, ThreadState::Live);
    assert_eq!(snapshot.next_ordinal, Ordinal::new(3));
    let history = store.load_history(thread.thread_id()).await.unwrap();
    assert_eq!(history.records.len(), 3);
    assert_eq!(history.records[0].record_type.as_str(), "session_meta");
    store.shutdown().await.unwrap();
}

/// A thread was resumed whose last writer had died before it came to sync it. As long as nothing was
/// appended nobody synced it, and a power loss took what had been acknowledged long before.
#[tokio::test]
async fn what_an_earlier_writer_left_is_synced_within_the_interval() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = store.start_thread(start()).await.unwrap();
    thread.append(vec![says("one")]).await.unwrap();
    store.shutdown().await.unwrap();
    let store = home.open().await;
    let thread = store.resume_thread(thread.thread_id()).await.unwrap();
    loop {
        let snapshot = thread.snapshot().await.unwrap();
        if snapshot.durable_next_ordinal == snapshot.next_ordinal {
            break;
        }
        tokio::task::yield_now().await;
    }
    while home.disk.open_logs() > 0 {
        tokio::task::yield_now().await;
    }
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_shutdown_and_a_resume() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = store.start_thread(start()).await.unwrap();
    let id = thread.thread_id();
    thread.append(vec![says("one")]).await.unwrap();
    store.shutdown().await.unwrap();
    assert!(matches!(
        thread.append(vec![says("late")]).await,
        Err(Error::Closed { .. })
    ));

    let store = home.open().await;
    let thread = store.resume_thread(id).await.unwrap();
    let ack = thread.append(vec![says("two")]).await.unwrap();
    assert_eq!(ack.first_ordinal, Ordinal::new(2));
    let history = store.load_history(id).await.unwrap();
    let ordinals: Vec<u64> = history.records.iter().map(|r| r.ordinal.get()).collect();
    assert_eq!(ordinals, [0, 1, 2]);
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_thread_that_was_shut_down_can_be_resumed_at_once() {
    let home = TestHome::new();
    let store = home.open().await;
    let id = store.start_thread(start()).await.unwrap().thread_id();
    for round in 0..20 {
        let thread = match store.live_thread(id).await {
            Some(thread) => thread,
            None => store.resume_thread(id).await.unwrap(),
        };
        thread.append(vec![says("again")]).await.unwrap();
        thread.shutdown().await.unwrap();
        assert!(store.live_thread(id).await.is_none(), "round {round}");
        assert!(matches!(
            thread.append(vec![says("late")]).await,
            Err(Error::Closed { .. })
        ));
        let again = store.resume_thread(id).await.unwrap();
        again.append(vec![says("and again")]).await.unwrap();
    }
    let history = store.load_history(id).await.unwrap();
    assert_eq!(history.records.len(), 41);
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_record_that_ends_a_turn_is_synced_before_it_is_acknowledged() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = store.start_thread(start()).await.unwrap();
    thread.append(vec![says("a")]).await.unwrap();
    assert_eq!(home.disk.syncs(), 0);
    let ack = thread.append(vec![turn_ends()]).await.unwrap();
    assert_eq!(ack.durability, Durability::Synced);
    assert_eq!(home.disk.syncs(), 1);
    let synced = AppendOptions {
        durability: Durability::Synced,
        ..AppendOptions::default()
    };
    let ack = thread.append_with(vec![says("b")], synced).await.unwrap();
    assert_eq!(ack.durability, Durability::Synced);
    let snapshot = thread.snapshot().await.unwrap();
    assert_eq!(snapshot.durable_next_ordinal, snapshot.next_ordinal);
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn persist_and_flush_sync() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = store.start_thread(start()).await.unwrap();
    let flushed = thread.flush().await.unwrap();
    assert_eq!(flushed.durability, Durability::Buffered);
    thread.persist().await.unwrap();
    assert_eq!(home.disk.syncs(), 1);
    assert_eq!(thread.snapshot().await.unwrap().state, ThreadState::Live);
    thread.persist().await.unwrap();
    assert_eq!(home.disk.syncs(), 1, "there was nothing to sync");
    thread.append(vec![says("a")]).await.unwrap();
    let flushed = thread.flush().await.unwrap();
    assert_eq!(
        (flushed.durability, flushed.next_ordinal),
        (Durability::Synced, Ordinal::new(2))
    );
    assert_eq!(home.disk.syncs(), 2);
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_nobody_asked_to_be_synced_is_synced_after_the_interval() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = store.start_thread(start()).await.unwrap();
    thread.append(vec![says("a")]).await.unwrap();
    loop {
        let snapshot = thread.snapshot().await.unwrap();
        if snapshot.durable_next_ordinal == snapshot.next_ordinal {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(home.disk.syncs() > 0);
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_shutdown_syncs_what_was_only_written() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let mut threads = Vec::new();
    for _ in 0..20 {
        let thread = store.start_thread(start()).await.unwrap();
        thread.append(vec![says("a")]).await.unwrap();
        threads.push(thread);
    }
    assert_eq!(home.disk.syncs(), 0);
    store.shutdown().await.unwrap();
    assert_eq!(home.disk.syncs(), 20);
    assert_eq!(home.disk.open_logs(), 0);
}

#[tokio::test]
async fn an_append_that_expects_another_ordinal_is_refused_and_harms_no_other() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = store.start_thread(start()).await.unwrap();
    let expecting = |ordinal| AppendOptions {
        expected_next: Some(Ordinal::new(ordinal)),
        ..AppendOptions::default()
    };
    thread
        .append_with(vec![says("a")], expecting(1))
        .await
        .unwrap();
    // In one group: the second of them is refused, and those around it are not.
    let (b, refused, c) = tokio::join!(
        thread.append_with(vec![says("b")], expecting(2)),
        thread.append_with(vec![says("x")], expecting(2)),
        thread.append(vec![says("c")]),
    );
    assert_eq!(b.unwrap().first_ordinal, Ordinal::new(2));
    assert_eq!(c.unwrap().first_ordinal, Ordinal::new(3));
    let Err(Error::Conflict { reason, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(
        reason,
        ConflictReason::NextOrdinal {
            expected: Ordinal::new(2),
            actual: Ordinal::new(3)
        }
    );
    let history = store.load_history(thread.thread_id()).await.unwrap();
    assert_eq!(history.records.len(), 4);
    store.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_are_logged_gaplessly_in_the_order_they_were_acknowledged() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = store.start_thread(start()).await.unwrap();
    let mut producers = tokio::task::JoinSet::new();
    for producer in 0..16 {
        let thread = thread.clone();
        producers.spawn(async move {
            let mut acked = Vec::new();
            for n in 0..50 {
                let text = format!("{producer}-{n}");
                let options = AppendOptions {
                    durability: if n % 7 == 0 {
                        Durability::Synced
                    } else {
                        Durability::Written
                    },
                    expected_next: None,
                };
                let ack = thread
                    .append_with(vec![says(&text)], options)
                    .await
                    .unwrap();
                assert!(ack.durability >= options.durability);
                acked.push((ack.first_ordinal, text));
            }
            assert!(acked.is_sorted(), "a producer's own order");
            acked
        });
    }
    let mut acked: Vec<_> = producers.join_all().await.into_iter().flatten().collect();
    acked.sort();
    let history = store.load_history(thread.thread_id()).await.unwrap();
    assert_eq!(history.records.len(), 801);
    assert!(history.damage.is_empty() && history.torn_tail.is_none());
    for ((ordinal, text), record) in acked.iter().zip(&history.records[1..]) {
        assert_eq!(*ordinal, record.ordinal);
        let payload = record.payload_json().unwrap();
        assert!(payload.get().contains(&format!("\"{text}\"")), "{payload}");
    }
    // Many batches shared a write.
    assert!(home.disk.writes() < 801, "{} writes", home.disk.writes());
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_append_is_not_undone_by_its_caller_going_away() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = store.start_thread(start()).await.unwrap();
    thread.append(vec![says("a")]).await.unwrap();
    home.disk.hold_syncs(true);
    let synced = AppendOptions {
        durability: Durability::Synced,
        ..AppendOptions::default()
    };
    let append = thread.append_with(vec![says("b")], synced);
    tokio::select! {
        biased;
        outcome = append => panic!("acknowledged before its sync: {outcome:?}"),
        () = async {
            while thread.snapshot().await.unwrap().next_ordinal < Ordinal::new(3) {}
        } => {}
    }
    home.disk.hold_syncs(false);
    let history = store.load_history(thread.thread_id()).await.unwrap();
    assert_eq!(history.records.len(), 3);
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn writes_go_on_while_a_sync_is_in_flight() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = store.start_thread(start()).await.unwrap();
    thread.append(vec![says("a")]).await.unwrap();
    home.disk.hold_syncs(true);
    let mut flushing = tokio::task::JoinSet::new();
    flushing.spawn({
        let thread = thread.clone();
        async move { thread.flush().await }
    });
    // Acknowledged although the sync before them has not ended.
    for _ in 0..10 {
        thread.append(vec![says("b")]).await.unwrap();
    }
    home.disk.hold_syncs(false);
    flushing.join_next().await.unwrap().unwrap().unwrap();
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_guard_that_is_dropped_leaves_nothing_of_a_new_thread() {
    let home = TestHome::new();
    let store = home.open().await;
    let guard = InitGuard::new(store.start_thread(start()).await.unwrap());
    let id = guard.thread_id();
    drop(guard);
    while store.live_thread(id).await.is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(home.disk.writes(), 0);
    assert!(!home.dir.path().join("sessions").exists());

    // One that reached the disk stays.
    let guard = InitGuard::new(store.start_thread(start()).await.unwrap());
    let id = guard.thread_id();
    guard.append(vec![says("a")]).await.unwrap();
    drop(guard);
    let thread = store.resume_thread(id).await.unwrap();
    thread.append(vec![says("b")]).await.unwrap();

    let kept = InitGuard::new(store.start_thread(start()).await.unwrap()).commit();
    kept.append(vec![says("a")]).await.unwrap();
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn only_a_thread_with_nothing_on_disk_is_discarded() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = store.start_thread(start()).await.unwrap();
    thread.discard().await.unwrap();
    assert!(matches!(thread.snapshot().await, Err(Error::Closed { .. })));
    let thread = store.start_thread(start()).await.unwrap();
    thread.append(vec![says("a")]).await.unwrap();
    assert!(matches!(
        thread.discard().await,
        Err(Error::InvalidRequest(InvalidRequest::ThreadExists(_)))
    ));
    thread.append(vec![says("b")]).await.unwrap();
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_ephemeral_thread_leaves_nothing_on_disk() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = store
        .start_thread(StartThread {
            ephemeral: true,
            ..start()
        })
        .await
        .unwrap();
    let synced = AppendOptions {
        durability: Durability::Synced,
        ..AppendOptions::default()
    };
    let ack = thread
        .append_with(vec![says("a"), turn_ends()], synced)
        .await
        .unwrap();
    assert_eq!(ack.durability, Durability::Buffered);
    assert_eq!(ack.last_ordinal, Ordinal::new(2));
    assert_eq!(
        thread.flush().await.unwrap().durability,
        Durability::Buffered
    );
    assert!(matches!(
        thread.persist().await,
        Err(Error::InvalidRequest(InvalidRequest::Ephemeral(_)))
    ));
    assert!(store.loaded_threads().await.contains(&thread.thread_id()));
    let page = store.list_threads(ListQuery::default()).await.unwrap();
    assert!(page.threads.is_empty());
    thread.shutdown().await.unwrap();
    store.shutdown().await.unwrap();
    assert_eq!(home.disk.writes(), 0);
}

#[tokio::test]
async fn an_empty_batch_is_refused() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = store.start_thread(start()).await.unwrap();
    assert!(matches!(
        thread.append(Vec::new()).await,
        Err(Error::InvalidRequest(InvalidRequest::Codec(_)))
    ));
    assert_eq!(
        thread.snapshot().await.unwrap().state,
        ThreadState::Deferred
    );
    store.shutdown().await.unwrap();
}

/// A store was shut down in the middle of a backfill, which went on in its home all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_backfill_outlives_a_shutdown() {
    let home = TestHome::new();
    let store = home.open().await;
    let (told, begun) = tokio::sync::oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    let running = Arc::new(());
    let held = Arc::clone(&running);
    let other = store.clone();
    let mut backfill = tokio::task::JoinSet::new();
    backfill.spawn(async move {
        let progress = move |_| {
            let _running = &held;
            if let Some(told) = told.lock().unwrap().take() {
                told.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        other.rebuild(progress).await
    });
    begun.await.unwrap();
    store.shutdown().await.unwrap();
    assert_eq!(Arc::strong_count(&running), 1, "its job is over");
    drop(backfill.join_next().await);
}
