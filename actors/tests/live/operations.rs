//! Operations on threads, live or not: metadata, rollback, archive, delete.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use selvedge_actors::{LocalThreadStore, Selvedge, ThreadManager};
use selvedge_codec::view::{Change, MetadataPatch};
use selvedge_codec::{Item, Ordinal, RecordType, ThreadId};
use selvedge_engine::listing::{ListQuery, ThreadFilter};
use selvedge_engine::{ConflictReason, Error, InvalidRequest, Result};
use selvedge_store::{ForkThread, ResumeThread, ThreadEvent, ThreadStore};

use crate::subscriptions::{Asked, is_ready, ordinals, rest, thread_of};
use crate::{TestHome, says, start};

fn named(name: &str) -> MetadataPatch {
    MetadataPatch {
        name: Change::Set(name.into()),
        ..MetadataPatch::default()
    }
}

/// A turn of three records.
fn turn(id: &str) -> Vec<Item> {
    let event = |kind: &str| {
        let payload = serde_json::json!({"type": kind, "turn_id": id});
        Item::json("event_msg", payload.to_string()).unwrap()
    };
    vec![event("task_started"), says(id), event("task_complete")]
}

/// A thread that was shut down, of `turns` turns.
async fn cold_thread(store: &Selvedge, turns: usize) -> ThreadId {
    let thread = store.start_thread(start()).await.unwrap();
    for n in 0..turns {
        thread.append(turn(&format!("turn-{n}"))).await.unwrap();
    }
    thread.persist().await.unwrap();
    thread.shutdown().await.unwrap();
    thread.thread_id()
}

async fn next_record(
    subscription: &mut selvedge_store::Subscription,
    wanted: impl Fn(&selvedge_codec::Record) -> bool,
) -> Ordinal {
    loop {
        match subscription.next().await.unwrap() {
            Some(ThreadEvent::Record(record)) if wanted(&record) => return record.ordinal,
            Some(ThreadEvent::Record(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn is_patch(record: &selvedge_codec::Record) -> bool {
    record.record_type == RecordType::MetadataPatch
}

#[tokio::test]
async fn live_and_cold_threads_answer_metadata_changes_through_the_same_call() {
    let home = TestHome::new();
    let store = home.open().await;
    let cold = cold_thread(&store, 1).await;
    let live = thread_of(&store, 2).await.thread_id();
    for id in [cold, live] {
        let before = store.loaded_threads().await;
        let summary = store.update_metadata(id, named("first")).await.unwrap();
        assert_eq!(summary.name.as_deref(), Some("first"));
        let count = summary.item_count;
        let same = store.update_metadata(id, MetadataPatch::default()).await;
        assert_eq!(same.unwrap().item_count, count, "nothing is recorded");
        assert_eq!(store.loaded_threads().await, before);
    }
    assert_eq!(store.loaded_threads().await, [live]);
    let unknown = store
        .update_metadata(ThreadId::generate(), named("x"))
        .await;
    assert!(matches!(unknown, Err(Error::ThreadNotFound { .. })));
    let long = store
        .update_metadata(cold, named(&"x".repeat(1 << 20)))
        .await;
    assert!(matches!(
        long,
        Err(Error::InvalidRequest(InvalidRequest::Metadata {
            field: "name",
            ..
        }))
    ));
    store.shutdown().await.unwrap();
    let store = home.open().await;
    for id in [cold, live] {
        let summary = store.read_thread(id).await.unwrap();
        assert_eq!(summary.name.as_deref(), Some("first"));
    }
    // The operation has let go of the thread: another store may write it.
    let other = home.open().await;
    store.update_metadata(cold, named("second")).await.unwrap();
    let summary = other.update_metadata(cold, named("third")).await.unwrap();
    assert_eq!(summary.name.as_deref(), Some("third"));
    let held = other.resume_thread(cold).await.unwrap();
    let refused = store.update_metadata(cold, named("fourth")).await;
    assert!(matches!(
        refused,
        Err(Error::Conflict {
            reason: ConflictReason::Writer { .. },
            ..
        })
    ));
    drop(held);
    store.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_new_thread_is_on_disk_with_its_first_change() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = store.start_thread(start()).await.unwrap();
    let id = thread.thread_id();
    let summary = store.update_metadata(id, named("new")).await.unwrap();
    assert_eq!(summary.name.as_deref(), Some("new"));
    assert_eq!(summary.item_count, 2);
    let ephemeral = selvedge_actors::StartThread {
        ephemeral: true,
        ..start()
    };
    let ephemeral = store.start_thread(ephemeral).await.unwrap().thread_id();
    for refused in [
        store.update_metadata(ephemeral, named("x")).await.map(drop),
        store.roll_back(ephemeral, 1).await.map(drop),
        store.archive_thread(ephemeral).await.map(drop),
    ] {
        assert!(matches!(
            refused,
            Err(Error::InvalidRequest(InvalidRequest::Ephemeral(_)))
        ));
    }
    store.delete_thread(ephemeral).await.unwrap();
    assert_eq!(store.loaded_threads().await, [id]);
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_rollback_drops_turns_that_count_and_answers_what_the_store_holds() {
    let home = TestHome::new();
    let store = home.open().await;
    let id = cold_thread(&store, 3).await;
    let ids = |turns: &[selvedge_engine::thread::TurnSummary]| -> Vec<String> {
        turns
            .iter()
            .filter_map(|turn| turn.turn_id.clone())
            .collect()
    };
    let refused = async |turns| match store.roll_back(id, turns).await {
        Err(Error::InvalidRequest(InvalidRequest::RollbackTurns { there, .. })) => there,
        other => panic!("{other:?}"),
    };
    assert_eq!((refused(0).await, refused(4).await), (3, 3));
    assert_eq!(store.read_thread(id).await.unwrap().item_count, 10);
    let rolled_back = store.roll_back(id, 2).await.unwrap();
    assert_eq!(ids(&rolled_back.turns), ["turn-0"]);
    assert_eq!(rolled_back.thread.item_count, 11);
    assert_eq!(refused(2).await, 1);
    // The same of a live thread, whose last turn is running.
    let thread = store.resume_thread(id).await.unwrap();
    let mut running = turn("turn-3");
    running.pop();
    thread.append(running).await.unwrap();
    assert_eq!(refused(3).await, 2);
    let rolled_back = store.roll_back(id, 1).await.unwrap();
    assert_eq!(ids(&rolled_back.turns), ["turn-0"]);
    let rolled_back = store.roll_back(id, 1).await.unwrap();
    assert!(rolled_back.turns.is_empty());
    assert_eq!(refused(1).await, 0);
    let history = store.load_history(id).await.unwrap();
    assert_eq!(history.records.len(), 15);
    store.shutdown().await.unwrap();
}

/// Rollbacks race appends of whole turns: none drops a turn that it has not counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_comes_between_the_count_of_a_rollback_and_its_record() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = thread_of(&store, 1).await;
    let id = thread.thread_id();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..3 {
        let thread = thread.clone();
        tasks.spawn(async move {
            for n in 0..20 {
                thread.append(turn(&format!("{writer}-{n}"))).await.unwrap();
            }
            0
        });
    }
    for _ in 0..2 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut dropped = 0;
            for _ in 0..15 {
                let there = match store.roll_back(id, u32::MAX).await {
                    Err(Error::InvalidRequest(InvalidRequest::RollbackTurns { there, .. })) => {
                        there
                    }
                    other => panic!("{other:?}"),
                };
                match store.roll_back(id, there).await {
                    Ok(_) => dropped += there as usize,
                    // The other one was faster.
                    Err(Error::InvalidRequest(InvalidRequest::RollbackTurns { .. })) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            dropped
        });
    }
    let dropped: usize = tasks.join_all().await.into_iter().sum();
    let turns = store.turns(id).await.unwrap();
    assert_eq!(turns.len(), 60);
    assert_eq!(
        turns.iter().filter(|turn| turn.rolled_back).count(),
        dropped
    );
    store.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn operations_are_answered_before_a_subscriber_sees_what_they_appended() {
    let home = TestHome::new();
    let store = home.open().await;
    let id = cold_thread(&store, 0).await;
    for n in 0..40 {
        if n % 2 == 0 {
            // Every other time the thread is made live for the operation.
            store.remove_thread(id).await.unwrap();
        } else {
            store.resume_thread(id).await.unwrap();
        }
        let next = store.read_thread(id).await.unwrap().next_ordinal;
        let mut subscription = store.subscribe(id, next).await.unwrap();
        let update = Asked::new(store.update_metadata(id, named(&format!("n{n}"))));
        next_record(&mut subscription, is_patch).await;
        let updated = update.answer().unwrap();
        assert_eq!(updated.name, Some(format!("n{n}")));

        let changes = MetadataPatch {
            cwd: Change::Set(format!("/{n}")),
            ..MetadataPatch::default()
        };
        let resume = ResumeThread {
            thread_id: id,
            changes,
        };
        let resume = Asked::new(store.resume_with(resume));
        next_record(&mut subscription, is_patch).await;
        let (thread, summary) = resume.answer().unwrap();
        assert_eq!(summary.cwd, format!("/{n}"));
        thread.append(turn("t")).await.unwrap();

        let roll_back = Asked::new(store.roll_back(id, 1));
        let is_rollback = |record: &selvedge_codec::Record| {
            record.event == Some(selvedge_codec::EventClass::RolledBack)
        };
        next_record(&mut subscription, is_rollback).await;
        assert!(roll_back.answer().unwrap().turns.is_empty());
    }
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_subscription_follows_its_thread_into_the_archive_and_back() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = thread_of(&store, 2).await;
    let id = thread.thread_id();
    let mut subscription = store.subscribe(id, Ordinal::ZERO).await.unwrap();
    let mut new = store.subscribe(id, Ordinal::new(2)).await.unwrap();
    assert_eq!(ordinals(&mut subscription, 1).await, [0]);
    let archived = store.archive_thread(id).await.unwrap();
    assert!(archived.is_archived());
    assert!(store.loaded_threads().await.is_empty());
    assert_eq!(ordinals(&mut subscription, 1).await, [1]);
    let again = store.archive_thread(id).await.unwrap();
    assert_eq!(again, archived);
    let thread = store.resume_thread(id).await.unwrap();
    thread.append(vec![says("archived")]).await.unwrap();
    for subscription in [&mut subscription, &mut new] {
        assert_eq!(ordinals(subscription, 1).await, [2]);
    }
    let back = store.unarchive_thread(id).await.unwrap();
    assert!(!back.is_archived());
    let thread = store.resume_thread(id).await.unwrap();
    thread.append(vec![says("back")]).await.unwrap();
    for subscription in [&mut subscription, &mut new] {
        assert_eq!(ordinals(subscription, 1).await, [3]);
    }
    let unknown = store.archive_thread(ThreadId::generate()).await;
    assert!(matches!(unknown, Err(Error::ThreadNotFound { .. })));
    store.shutdown().await.unwrap();
    assert_eq!(rest(subscription).await, [0_u64; 0]);
}

#[tokio::test]
async fn a_subscription_ends_when_its_thread_is_deleted() {
    let home = TestHome::new();
    let (store, other) = (home.open().await, home.open().await);
    let thread = thread_of(&store, 2).await;
    let id = thread.thread_id();
    let mut here = store.subscribe(id, Ordinal::new(2)).await.unwrap();
    let mut there = other.subscribe(id, Ordinal::new(2)).await.unwrap();
    assert!(!is_ready(&mut Box::pin(here.next())));
    let refused = other.delete_thread(id).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })));
    store.delete_thread(id).await.unwrap();
    assert_eq!(here.next().await.unwrap(), None);
    assert_eq!(there.next().await.unwrap(), None);
    assert!(matches!(
        thread.append(vec![says("late")]).await,
        Err(Error::Closed { .. })
    ));
    for store in [&store, &other] {
        assert!(matches!(
            store.read_thread(id).await,
            Err(Error::ThreadNotFound { .. })
        ));
        assert!(matches!(
            store.resume_thread(id).await,
            Err(Error::ThreadNotFound { .. })
        ));
        store.delete_thread(id).await.unwrap();
    }
    store.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}

/// Somebody resumes, appends and removes a thread all the time while others rename it and move it
/// back and forth. Every operation is carried out, every record is in the log once, and a
/// subscriber sees all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn resumes_race_operations_on_the_whole_thread() {
    let home = TestHome::new();
    let store = home.open().await;
    let id = cold_thread(&store, 1).await;
    let mut subscription = store.subscribe(id, Ordinal::ZERO).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..6_u64 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut records = 0;
            for n in 0..25 {
                match task {
                    0 => drop(store.archive_thread(id).await.unwrap()),
                    1 => drop(store.unarchive_thread(id).await.unwrap()),
                    2 | 3 => {
                        let name = format!("{task}-{n}");
                        let summary = store.update_metadata(id, named(&name)).await.unwrap();
                        assert!(summary.name.is_some());
                        records += 1;
                    }
                    _ => {
                        let thread = store.resume_thread(id).await.unwrap();
                        // It may be archived at any time.
                        match thread.append(vec![says("x")]).await {
                            Ok(_) => records += 1,
                            Err(Error::Closed { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                        store.remove_thread(id).await.unwrap();
                    }
                }
            }
            records
        });
    }
    let records: u64 = 4 + tasks.join_all().await.into_iter().sum::<u64>();
    let history = store.load_history(id).await.unwrap();
    assert_eq!(history.records.len() as u64, records);
    let count = history.records.len();
    assert!(
        ordinals(&mut subscription, count)
            .await
            .into_iter()
            .eq(0..records)
    );
    store.remove_thread(id).await.unwrap();
    assert!(store.loaded_threads().await.is_empty());
    // Nothing has kept it: another store may write it.
    let other = home.open().await;
    other.resume_thread(id).await.unwrap();
    other.shutdown().await.unwrap();
    store.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thread_that_is_resumed_during_an_operation_stays_live() {
    let home = TestHome::new();
    let store = home.open().await;
    for _ in 0..20 {
        let id = cold_thread(&store, 0).await;
        let (updated, resumed) = tokio::join!(
            store.update_metadata(id, named("cold")),
            store.resume_thread(id)
        );
        updated.unwrap();
        let thread = resumed.unwrap();
        thread.append(vec![says("kept")]).await.unwrap();
        assert!(store.loaded_threads().await.contains(&id));
    }
    store.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_delete_races_resumes_and_wins() {
    let home = TestHome::new();
    let store = home.open().await;
    for _ in 0..20 {
        let id = cold_thread(&store, 1).await;
        let mut resumes = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let store = store.clone();
            resumes.spawn(async move {
                loop {
                    let outcome: Result<()> = async {
                        let thread = store.resume_thread(id).await?;
                        thread.append(vec![says("x")]).await.map(drop)
                    }
                    .await;
                    match outcome {
                        Ok(()) | Err(Error::Closed { .. }) => {}
                        Err(Error::ThreadNotFound { .. }) => return,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        tokio::task::yield_now().await;
        store.delete_thread(id).await.unwrap();
        resumes.join_all().await;
        assert!(store.loaded_threads().await.is_empty());
    }
    let all = ListQuery {
        filter: ThreadFilter {
            include_empty: true,
            ..ThreadFilter::default()
        },
        ..ListQuery::default()
    };
    assert!(store.list_threads(all).await.unwrap().threads.is_empty());
    store.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_shutdown_in_the_middle_of_operations_answers_all_of_them() {
    let home = TestHome::new();
    let store = home.open().await;
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(cold_thread(&store, 2).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    let go = Arc::new(tokio::sync::Barrier::new(9));
    for id in ids.clone() {
        let (store, go) = (store.clone(), Arc::clone(&go));
        tasks.spawn(async move {
            go.wait().await;
            let mut renamed = 0;
            loop {
                let outcome = match renamed % 3 {
                    0 => store.archive_thread(id).await,
                    1 => store.unarchive_thread(id).await,
                    _ => store.update_metadata(id, named("x")).await,
                };
                match outcome {
                    Ok(_) => renamed += 1,
                    Err(Error::Closed { .. }) => return (id, renamed / 3),
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    go.wait().await;
    store.update_metadata(ids[0], named("y")).await.unwrap();
    store.shutdown().await.unwrap();
    let store = home.open().await;
    for (id, renamed) in tasks.join_all().await {
        let history = store.load_history(id).await.unwrap();
        let patches = history.records.iter().filter(|record| is_patch(record));
        let patches = patches.count() - usize::from(id == ids[0]);
        // The last one may have been written, and not answered any more.
        assert!((renamed..=renamed + 1).contains(&patches), "{patches}");
    }
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_local_store_addresses_live_threads_by_their_ids() {
    let home = TestHome::new();
    let store = LocalThreadStore::open(home.options()).await.unwrap();
    let manager = ThreadManager::new(Arc::new(store.clone()));
    let thread = manager.start(start()).await.unwrap();
    let id = thread.thread_id();
    assert!(manager.look_up(id).await.unwrap().is_some());
    let ack = thread.append(vec![says("a")]).await.unwrap();
    assert_eq!(ack.first_ordinal, Ordinal::new(1));
    thread.persist().await.unwrap();
    let refused = thread.discard().await;
    assert!(matches!(
        refused,
        Err(Error::InvalidRequest(InvalidRequest::ThreadExists(_)))
    ));
    thread.shutdown().await.unwrap();
    for gone in [
        thread.append(vec![says("b")]).await.map(drop),
        thread.flush().await.map(drop),
        thread.persist().await,
        thread.shutdown().await,
        thread.discard().await,
    ] {
        assert!(matches!(gone, Err(Error::ThreadNotFound { .. })));
    }
    manager.remove(id).await.unwrap();
    assert!(manager.look_up(id).await.unwrap().is_none());
    let (again, summary) = manager.resume(id).await.unwrap();
    assert_eq!((summary.thread_id, summary.item_count), (id, 2));
    again.append(vec![says("c")]).await.unwrap();
    assert_eq!(manager.loaded().await.unwrap(), [id]);
    manager.delete(id).await.unwrap();
    assert!(matches!(
        manager.store().read_thread(id).await,
        Err(Error::ThreadNotFound { .. })
    ));
    store.selvedge().clone().shutdown().await.unwrap();
    for closed in [
        manager.loaded().await.map(drop),
        again.append(vec![says("d")]).await.map(drop),
        manager.archive(id).await.map(drop),
        store.subscribe(id, Ordinal::ZERO).await.map(drop),
    ] {
        assert!(matches!(closed, Err(Error::Closed { .. })), "{closed:?}");
    }
}

/// Whatever is asked of three threads at once, by callers of whom many go away half way, with one
/// I/O thread and one open log for all of them: a shutdown in the midst of it ends, and so does
/// whoever waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_shutdown_ends_in_the_midst_of_everything() {
    for round in 0..4 {
        let home = TestHome::new();
        let options = home.options().io_threads(1).max_open_logs(1);
        let store = Selvedge::open(options).await.unwrap();
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(cold_thread(&store, 2).await);
        }
        let done = Arc::new(AtomicUsize::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..24_usize {
            let (store, id, done) = (store.clone(), ids[task % 3], Arc::clone(&done));
            tasks.spawn(async move {
                for n in task.. {
                    let ended = tokio::select! {
                        biased;
                        ended = one_of_all(&store, id, n) => {
                            done.fetch_add(1, SeqCst);
                            ended
                        }
                        () = give_up_after(n % 400), if n % 2 == 0 => false,
                    };
                    if ended {
                        return;
                    }
                }
            });
        }
        for id in &ids {
            let (store, id) = (store.clone(), *id);
            tasks.spawn(async move {
                while let Ok(mut subscription) = store.subscribe(id, Ordinal::ZERO).await {
                    while let Ok(Some(_)) = subscription.next().await {}
                }
            });
        }
        while done.load(SeqCst) < 40 << round {
            tokio::task::yield_now().await;
        }
        let ended = async {
            store.shutdown().await.unwrap();
            tasks.join_all().await;
        };
        let ended = tokio::time::timeout(std::time::Duration::from_secs(60), ended).await;
        assert!(ended.is_ok(), "round {round}");
    }
}

async fn give_up_after(turns: usize) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

/// Does one of all that can be done with a thread. Returns whether the store is closed.
async fn one_of_all(store: &Selvedge, id: ThreadId, n: usize) -> bool {
    let done = match n % 9 {
        0 => store.archive_thread(id).await.map(drop),
        1 => store.unarchive_thread(id).await.map(drop),
        2 => store.update_metadata(id, named("x")).await.map(drop),
        3 => store.roll_back(id, 1).await.map(drop),
        4 => store.remove_thread(id).await,
        5 => match store.resume_thread(id).await {
            Ok(thread) => thread.append(turn(&format!("{n}"))).await.map(drop),
            Err(error) => Err(error),
        },
        6 => store.fork_thread(ForkThread::review(id)).await.map(drop),
        7 => store.resume_with(id.into()).await.map(drop),
        _ => store.read_thread(id).await.map(drop),
    };
    match done {
        Err(Error::Closed { what }) => what == "the store",
        Err(Error::ThreadNotFound { thread_id }) => panic!("{thread_id} is there"),
        _ => false,
    }
}
