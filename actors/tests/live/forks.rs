//! Forks and reviews of threads, live or not.

use selvedge_actors::{Durability, StartThread};
use selvedge_codec::{Ordinal, ThreadId};
use selvedge_engine::thread::ForkPoint;
use selvedge_engine::{Error, InvalidRequest};
use selvedge_store::{ForkThread, ThreadEvent};

use crate::subscriptions::{Asked, is_ready, ordinals, thread_of};
use crate::{TestHome, says, start, turn_ends};

#[tokio::test]
async fn a_fork_is_live_at_once_and_goes_its_own_way() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let parent = thread_of(&store, 3).await;
    let fork = store
        .fork_thread(ForkThread::of(parent.thread_id()))
        .await
        .unwrap();
    let id = fork.thread_id();
    let snapshot = fork.snapshot().await.unwrap();
    assert_eq!(snapshot.next_ordinal, Ordinal::new(4));
    let ack = fork.append(vec![says("fork")]).await.unwrap();
    assert_eq!(ack.first_ordinal, Ordinal::new(4));
    parent.append(vec![says("parent")]).await.unwrap();
    let summary = store.read_thread(id).await.unwrap();
    assert_eq!(summary.forked_from_id, Some(parent.thread_id()));
    assert_eq!(
        (summary.cwd.as_str(), summary.model_provider.as_deref()),
        ("/work", Some("acme"))
    );
    let mut both = [parent.thread_id(), id];
    both.sort_unstable();
    assert_eq!(store.loaded_threads().await, both);
    store.delete_thread(parent.thread_id()).await.unwrap();
    assert_eq!(fork.flush().await.unwrap().durability, Durability::Synced);
    store.shutdown().await.unwrap();
    let store = home.open().await;
    let history = store.load_history(id).await.unwrap();
    assert_eq!(history.records.len(), 5);
    assert!(history.damage.is_empty());
    let review = store.review_thread(id).await.unwrap();
    let summary = store.read_thread(review.thread_id()).await.unwrap();
    assert_eq!(summary.source, r#"{"subagent":"review"}"#);
    store.shutdown().await.unwrap();
}

/// What was written behind the end of a turn was acknowledged while that one waited for its sync. A
/// fork left out both, although one of them was acknowledged.
#[tokio::test]
async fn a_fork_of_a_live_thread_begins_with_what_it_has_acknowledged() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let parent = thread_of(&store, 3).await;
    let whole = || store.fork_thread(ForkThread::of(parent.thread_id()));
    parent.flush().await.unwrap();
    home.disk.hold_syncs(true);
    let mut ends = Box::pin(parent.append(vec![turn_ends()]));
    let mut written = Box::pin(parent.append(vec![says("written")]));
    assert!(!is_ready(&mut ends) && !is_ready(&mut written));
    while parent.snapshot().await.unwrap().next_ordinal < Ordinal::new(5) {}
    let fork = whole().await.unwrap();
    assert!(!is_ready(&mut ends) && !is_ready(&mut written));
    let history = store.load_history(fork.thread_id()).await.unwrap();
    assert_eq!(history.own_from, Ordinal::new(3));
    home.disk.hold_syncs(false);
    written.await.unwrap();
    assert!(is_ready(&mut ends), "it is before what was acknowledged");
    let fork = whole().await.unwrap();
    let history = store.load_history(fork.thread_id()).await.unwrap();
    assert_eq!(history.own_from, Ordinal::new(5));
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_fork_is_synced_within_the_interval_and_gives_its_file_back() {
    let home = TestHome::new();
    let options = home.options().max_open_logs(2);
    let store = selvedge_actors::Selvedge::open(options).await.unwrap();
    let parent = thread_of(&store, 3).await;
    let mut forks = Vec::new();
    for _ in 0..12 {
        let fork = ForkThread::of(parent.thread_id());
        forks.push(store.fork_thread(fork).await.unwrap());
    }
    for fork in &forks {
        loop {
            let snapshot = fork.snapshot().await.unwrap();
            if snapshot.durable_next_ordinal == snapshot.next_ordinal {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    assert!(home.disk.most_open_logs() <= 3, "two, and what is linked");
    while home.disk.open_logs() > 0 {
        tokio::task::yield_now().await;
    }
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_fork_needs_a_thread_a_place_in_it_and_an_id_of_its_own() {
    let home = TestHome::new();
    let store = home.open().await;
    let parent = thread_of(&store, 3).await.thread_id();
    let unknown = store
        .fork_thread(ForkThread::of(ThreadId::generate()))
        .await;
    assert!(matches!(unknown, Err(Error::ThreadNotFound { .. })));
    let new = store.start_thread(start()).await.unwrap();
    let nothing = store.fork_thread(ForkThread::of(new.thread_id())).await;
    assert!(matches!(nothing, Err(Error::ThreadNotFound { .. })));
    let ephemeral = StartThread {
        ephemeral: true,
        ..start()
    };
    let without_log = store.start_thread(ephemeral.clone()).await.unwrap();
    let fork = |point, start| ForkThread {
        source: parent,
        point,
        start,
    };
    let taken = StartThread {
        thread_id: Some(new.thread_id()),
        ..StartThread::default()
    };
    let before = |ordinal| {
        fork(
            ForkPoint::Before(Ordinal::new(ordinal)),
            StartThread::default(),
        )
    };
    for (forked, is_expected) in [
        (
            store
                .fork_thread(ForkThread::of(without_log.thread_id()))
                .await,
            (|why| matches!(why, InvalidRequest::Ephemeral(_))) as fn(&InvalidRequest) -> bool,
        ),
        (
            store.fork_thread(fork(ForkPoint::Whole, ephemeral)).await,
            |why| matches!(why, InvalidRequest::Ephemeral(_)),
        ),
        (
            store.fork_thread(fork(ForkPoint::Whole, taken)).await,
            |why| matches!(why, InvalidRequest::ThreadExists(_)),
        ),
        (store.fork_thread(before(4)).await, |why| {
            matches!(why, InvalidRequest::OrdinalPastEnd { .. })
        }),
        (
            store
                .fork_thread(fork(
                    ForkPoint::AfterTurn("none".into()),
                    StartThread::default(),
                ))
                .await,
            |why| matches!(why, InvalidRequest::NoSuchTurn { .. }),
        ),
    ] {
        match forked {
            Err(Error::InvalidRequest(why)) => assert!(is_expected(&why), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    let fork = store.fork_thread(before(2)).await.unwrap();
    assert_eq!(fork.snapshot().await.unwrap().next_ordinal, Ordinal::new(3));
    store.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fork_is_answered_before_a_subscriber_sees_anything_of_it() {
    let home = TestHome::new();
    let store = home.open().await;
    let parent = thread_of(&store, 3).await.thread_id();
    for _ in 0..30 {
        let thread_id = ThreadId::generate();
        let mut fork = ForkThread::of(parent);
        fork.start.thread_id = Some(thread_id);
        let mut forking = Asked::new(store.fork_thread(fork));
        // Whoever knows the id may look for the thread all the time.
        let mut subscription = loop {
            match store.subscribe(thread_id, Ordinal::ZERO).await {
                Ok(subscription) => break subscription,
                // Its file is there before anything is in it.
                Err(Error::ThreadNotFound { .. } | Error::Corrupt { .. }) => forking.look(),
                Err(error) => panic!("{error}"),
            }
        };
        let first = subscription.next().await.unwrap().unwrap();
        assert!(matches!(first, ThreadEvent::Record(record) if record.ordinal == Ordinal::ZERO));
        let fork = forking.answer().unwrap();
        fork.append(vec![says("own")]).await.unwrap();
        assert_eq!(ordinals(&mut subscription, 4).await, [1, 2, 3, 4]);
    }
    store.shutdown().await.unwrap();
}

/// A parent is appended to, archived and resumed while it is forked: each fork begins with a whole
/// prefix of its history.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forks_race_everything_that_is_done_with_their_parent() {
    let home = TestHome::new();
    let store = home.open().await;
    let parent = thread_of(&store, 3).await.thread_id();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut forks = Vec::new();
            for _ in 0..12 {
                match task {
                    0 => drop(store.archive_thread(parent).await.unwrap()),
                    1 => {
                        let thread = store.resume_thread(parent).await.unwrap();
                        drop(thread.append(vec![says("more")]).await);
                        drop(store.unarchive_thread(parent).await.unwrap());
                    }
                    _ => {
                        let fork = store.fork_thread(ForkThread::of(parent)).await.unwrap();
                        fork.append(vec![says("own")]).await.unwrap();
                        forks.push(fork.thread_id());
                    }
                }
            }
            forks
        });
    }
    let forks: Vec<ThreadId> = tasks.join_all().await.into_iter().flatten().collect();
    let whole = store.load_history(parent).await.unwrap().records;
    for fork in forks {
        let history = store.load_history(fork).await.unwrap();
        let inherited = usize::try_from(history.own_from.get()).unwrap();
        assert!(inherited >= 3);
        let same = |(a, b): (&selvedge_codec::Record, &selvedge_codec::Record)| a.body == b.body;
        assert!(history.records[..inherited].iter().zip(&whole).all(same));
        assert_eq!(history.records.len(), inherited + 2);
        assert!(history.damage.is_empty());
    }
    store.shutdown().await.unwrap();
}
