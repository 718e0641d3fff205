//! Archive, unarchive, delete.

use selvedge_codec::ThreadId;
use selvedge_engine::listing::{ListQuery, ThreadFilter};
use selvedge_engine::thread::ForkPoint;

use super::support::*;
use crate::{ForkThread, StartThread};

async fn listed(on: &Subject<'_>, archived: bool) -> Vec<ThreadId> {
    let query = ListQuery {
        filter: ThreadFilter {
            archived,
            ..ThreadFilter::default()
        },
        ..ListQuery::default()
    };
    let page = on.store.list_threads(query).await.unwrap();
    let mut ids: Vec<_> = page.threads.iter().map(|thread| thread.thread_id).collect();
    ids.sort();
    ids
}

pub(super) async fn an_archived_thread_is_listed_among_the_archived_alone(on: Subject<'_>) {
    let (stays, goes) = (on.thread_of(1).await, on.thread_of(1).await);
    let before = told(&on.history(goes).await.records);
    let archived = on.store.archive_thread(goes).await.unwrap();
    assert!(archived.is_archived());
    assert_eq!(archived, on.read(goes).await);
    assert!(!on.is_live(goes).await, "a live thread is shut down first");
    assert!(on.is_live(stays).await);
    assert_eq!(
        (listed(&on, false).await, listed(&on, true).await),
        (vec![stays], vec![goes])
    );
    let back = on.store.unarchive_thread(goes).await.unwrap();
    assert_eq!(back.archived_at, None);
    assert_eq!(back, on.read(goes).await);
    assert!(!on.is_live(goes).await);
    assert_eq!(listed(&on, true).await, []);
    assert_eq!(listed(&on, false).await.len(), 2);
    assert_eq!(
        told(&on.history(goes).await.records),
        before,
        "nothing is recorded"
    );
}

pub(super) async fn archiving_and_unarchiving_twice_is_as_good_as_once(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    let never = on.store.unarchive_thread(id).await.unwrap();
    assert_eq!(never, on.read(id).await);
    let once = on.store.archive_thread(id).await.unwrap();
    assert_eq!(on.store.archive_thread(id).await.unwrap(), once);
    let once = on.store.unarchive_thread(id).await.unwrap();
    assert_eq!(on.store.unarchive_thread(id).await.unwrap(), once);
    assert_eq!(on.history(id).await.records.len(), 5);
}

pub(super) async fn an_archived_thread_is_read_and_resumed_where_it_is(on: Subject<'_>) {
    let id = on.thread_of(2).await;
    on.store.archive_thread(id).await.unwrap();
    let page = on.store.list_turns(id, Default::default()).await.unwrap();
    assert_eq!(page.turns.len(), 2);
    let renamed = on.patch(id, named("in the archive")).await;
    assert!(renamed.is_archived());
    let resumed = on.store.resume_thread(id.into()).await.unwrap();
    assert!(resumed.is_archived() && on.is_live(id).await);
    on.add_turns(id, 3..=3).await;
    assert_eq!(listed(&on, true).await, [id]);
    assert_eq!(on.history(id).await.effective().len(), 14);
    let fork = on.store.fork_thread(ForkThread::of(id)).await.unwrap();
    assert!(!fork.is_archived(), "a fork is a thread of its own");
}

pub(super) async fn a_deleted_thread_is_gone_and_its_id_is_free(on: Subject<'_>) {
    let (id, stays) = (on.thread_of(2).await, on.thread_of(1).await);
    on.patch(id, named("to be forgotten")).await;
    on.store.delete_thread(id).await.unwrap();
    assert!(!on.is_live(id).await, "a live thread is shut down first");
    on.assert_unknown(id).await;
    not_found!(on.store.resume_thread(id.into()).await);
    assert_eq!(listed(&on, false).await, [stays]);
    // A second time, and one that never was.
    on.store.delete_thread(id).await.unwrap();
    on.store.delete_thread(ThreadId::generate()).await.unwrap();
    let again = StartThread {
        thread_id: Some(id),
        ..StartThread::default()
    };
    on.start_with(again).await;
    on.append(id, turn("new", "another life")).await;
    assert_eq!(on.history(id).await.records.len(), 5);
    let summary = on.read(id).await;
    assert_eq!(
        (summary.name, summary.preview.as_str()),
        (None, "another life")
    );
}

pub(super) async fn a_thread_that_is_archived_or_not_live_is_deleted_all_the_same(on: Subject<'_>) {
    let (cold, archived, new) = (
        on.thread_of(1).await,
        on.thread_of(1).await,
        on.start().await,
    );
    on.store.shutdown_thread(cold).await.unwrap();
    on.store.archive_thread(archived).await.unwrap();
    for id in [cold, archived, new] {
        on.store.delete_thread(id).await.unwrap();
        on.assert_unknown(id).await;
    }
    assert_eq!(on.store.loaded_threads().await.unwrap(), []);
    assert_eq!(listed(&on, true).await, []);
}

pub(super) async fn sub_agents_outlive_the_thread_that_started_them(on: Subject<'_>) {
    let parent = on.thread_of(1).await;
    let child = on
        .start_with(StartThread {
            parent_thread_id: Some(parent),
            ..StartThread::default()
        })
        .await;
    on.append(child, turn("a", "words")).await;
    on.store.delete_thread(parent).await.unwrap();
    assert!(on.is_live(child).await);
    assert_eq!(on.read(child).await.parent_thread_id, Some(parent));
    assert_eq!(listed(&on, false).await, [child]);
}

pub(super) async fn forks_of_forks_outlive_those_that_they_began_with(on: Subject<'_>) {
    let root = on.thread_of(3).await;
    let mut expected = told(&on.history(root).await.records);
    let mut parents = vec![root];
    // Each fork leaves the history of the one before in the middle of what it has itself.
    for number in 4..8 {
        let point = ForkPoint::AfterTurn(format!("turn-{}", number - 1));
        let fork = ForkThread {
            point,
            ..ForkThread::of(*parents.last().unwrap())
        };
        let id = on.store.fork_thread(fork).await.unwrap().thread_id;
        on.add_turns(id, number..=number).await;
        let history = told(&on.history(id).await.records);
        assert_eq!(history[..expected.len()], expected);
        expected = history;
        on.append(id, vec![said("this is left behind")]).await;
        parents.push(id);
    }
    let last = parents.pop().unwrap();
    on.store.shutdown_thread(last).await.unwrap();
    for id in parents {
        on.store.delete_thread(id).await.unwrap();
        on.assert_unknown(id).await;
        let history = told(&on.history(last).await.records);
        assert_eq!(history[..expected.len()], expected);
    }
    let point = ForkPoint::AfterTurn("turn-2".into());
    let fork = ForkThread {
        point,
        ..ForkThread::of(last)
    };
    let id = on.store.fork_thread(fork).await.unwrap().thread_id;
    assert_eq!(told(&on.history(id).await.records)[..9], expected[..9]);
}
