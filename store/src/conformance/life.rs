//! A thread's life: created, kept, shut down, resumed.

use selvedge_codec::{Ordinal, RecordType, ThreadId};
use selvedge_engine::thread::{ForkPoint, GitInfo};

use super::support::*;
use crate::{AppendOptions, Durability, ForkThread, ResumeThread, StartThread};

pub(super) async fn a_new_thread_is_live_and_nothing_of_it_is_kept(on: Subject<'_>) {
    let id = on.start().await;
    assert!(on.is_live(id).await);
    on.assert_unknown(id).await;
    not_found!(on.store.resume_thread(id.into()).await);
    not_found!(on.store.fork_thread(ForkThread::of(id)).await);
    not_found!(on.store.archive_thread(id).await);
    not_found!(on.store.unarchive_thread(id).await);
    assert!(on.is_live(id).await, "being asked for ends no thread");
}

pub(super) async fn the_first_append_keeps_a_thread_whose_meta_comes_first(on: Subject<'_>) {
    let id = on.start().await;
    let ack = on.append(id, turn("a", "hello")).await;
    assert_eq!(ack.thread_id, id);
    assert_eq!(ack.first_ordinal, Ordinal::new(1));
    assert_eq!(ack.last_ordinal, Ordinal::new(TURN_RECORDS));
    let history = on.history(id).await;
    assert_eq!(history.records.len(), 5);
    let meta = &history.records[0];
    assert_eq!(meta.record_type, RecordType::SessionMeta);
    let payload = meta.payload_json().unwrap().get().to_owned();
    assert!(payload.contains(&id.to_string()), "{payload}");
    let summary = on.read(id).await;
    assert_eq!(summary.item_count, 5);
    assert_eq!(summary.next_ordinal, Ordinal::new(5));
    assert_eq!(summary.first_user_message.as_deref(), Some("hello"));
    assert_eq!(summary.preview, "hello");
    assert_eq!(summary.damaged_count, 0);
    assert_eq!(summary.created_at, meta.time);
}

pub(super) async fn persist_keeps_a_thread_without_an_append(on: Subject<'_>) {
    let id = on.start().await;
    on.store.persist_thread(id).await.unwrap();
    assert_eq!(ordinals(&on.history(id).await.records), [0]);
    let summary = on.read(id).await;
    assert_eq!((summary.item_count, summary.preview.as_str()), (1, ""));
    on.store.persist_thread(id).await.unwrap();
    on.store.shutdown_thread(id).await.unwrap();
    assert_eq!(on.read(id).await, summary);
}

pub(super) async fn a_discarded_thread_leaves_nothing(on: Subject<'_>) {
    let id = on.start().await;
    on.store.discard_thread(id).await.unwrap();
    assert!(!on.is_live(id).await);
    on.assert_unknown(id).await;
    not_found!(on.store.discard_thread(id).await);
    // Its id is free.
    let again = StartThread {
        thread_id: Some(id),
        ..StartThread::default()
    };
    assert_eq!(on.start_with(again).await, id);
}

pub(super) async fn a_thread_that_is_kept_is_not_discarded(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    invalid!(on.store.discard_thread(id).await, ThreadExists(of) if of == id);
    assert!(on.is_live(id).await);
    on.add_turns(id, 2..=2).await;
    assert_eq!(on.history(id).await.records.len(), 9);
}

pub(super) async fn a_new_thread_that_is_shut_down_is_gone(on: Subject<'_>) {
    let id = on.start().await;
    on.store.shutdown_thread(id).await.unwrap();
    assert!(!on.is_live(id).await);
    on.assert_unknown(id).await;
    not_found!(on.store.resume_thread(id.into()).await);
}

pub(super) async fn a_thread_that_was_shut_down_is_read_and_not_written(on: Subject<'_>) {
    let id = on.thread_of(2).await;
    let before = (on.read(id).await, told(&on.history(id).await.records));
    on.store.shutdown_thread(id).await.unwrap();
    assert!(!on.is_live(id).await);
    let store = &on.store;
    let appended = store.append_items(id, turn("x", "no"), AppendOptions::default());
    not_found!(appended.await);
    not_found!(store.persist_thread(id).await);
    not_found!(store.flush_thread(id).await);
    not_found!(store.shutdown_thread(id).await);
    not_found!(store.discard_thread(id).await);
    let after = (on.read(id).await, told(&on.history(id).await.records));
    assert_eq!(after, before);
}

pub(super) async fn a_resumed_thread_goes_on_where_it_ended(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    on.store.shutdown_thread(id).await.unwrap();
    let resumed = on.store.resume_thread(id.into()).await.unwrap();
    assert_eq!(resumed, on.read(id).await);
    assert_eq!(resumed.next_ordinal, Ordinal::new(5));
    assert!(on.is_live(id).await);
    let ack = on.append(id, turn("turn-2", "more")).await;
    assert_eq!(ack.first_ordinal, Ordinal::new(5));
    assert_eq!(on.history(id).await.records.len(), 9);
}

pub(super) async fn resuming_a_live_thread_changes_nothing(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    let first = on.store.resume_thread(id.into()).await.unwrap();
    let second = on.store.resume_thread(id.into()).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(on.history(id).await.records.len(), 5);
    on.store.shutdown_thread(id).await.unwrap();
    assert!(!on.is_live(id).await, "one shutdown ends it");
}

pub(super) async fn resuming_with_changes_records_them(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    on.store.shutdown_thread(id).await.unwrap();
    let mut resume = ResumeThread::from(id);
    resume.changes.cwd = set("/elsewhere");
    resume.changes.model_provider = set("provider-2");
    let resumed = on.store.resume_thread(resume).await.unwrap();
    assert_eq!(resumed.cwd, "/elsewhere");
    assert_eq!(resumed.model_provider.as_deref(), Some("provider-2"));
    assert_eq!(resumed, on.read(id).await);
    let history = on.history(id).await;
    assert!(history.records.len() > 5, "the change is in the history");
}

pub(super) async fn a_resume_that_is_refused_makes_nothing_live(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    on.store.shutdown_thread(id).await.unwrap();
    let before = on.read(id).await;
    let resume = ResumeThread {
        thread_id: id,
        changes: named(&"x".repeat(1 << 20)),
    };
    invalid!(on.store.resume_thread(resume).await, Metadata { .. });
    assert!(!on.is_live(id).await);
    assert_eq!(on.read(id).await, before);
}

pub(super) async fn an_unknown_thread_is_not_found_whatever_is_asked(on: Subject<'_>) {
    on.thread_of(1).await;
    let id = ThreadId::generate();
    on.assert_unknown(id).await;
    let store = &on.store;
    not_found!(store.resume_thread(id.into()).await);
    let appended = store.append_items(id, turn("x", "no"), AppendOptions::default());
    not_found!(appended.await);
    not_found!(store.persist_thread(id).await);
    not_found!(store.flush_thread(id).await);
    not_found!(store.shutdown_thread(id).await);
    not_found!(store.discard_thread(id).await);
    not_found!(store.update_metadata(id, named("no")).await);
    not_found!(store.update_metadata(id, Default::default()).await);
    not_found!(store.archive_thread(id).await);
    not_found!(store.unarchive_thread(id).await);
    not_found!(store.fork_thread(ForkThread::of(id)).await);
    not_found!(store.roll_back(id, 1).await);
    not_found!(store.subscribe(id, Ordinal::ZERO).await);
    assert!(!on.is_live(id).await);
}

pub(super) async fn a_chosen_id_is_taken_once(on: Subject<'_>) {
    let id = ThreadId::generate();
    let start = || StartThread {
        thread_id: Some(id),
        ..StartThread::default()
    };
    assert_eq!(on.start_with(start()).await, id);
    let exists = || on.store.create_thread(start());
    invalid!(exists().await, ThreadExists(of) if of == id);
    on.append(id, turn("a", "hello")).await;
    invalid!(exists().await, ThreadExists(of) if of == id);
    on.store.shutdown_thread(id).await.unwrap();
    invalid!(exists().await, ThreadExists(of) if of == id);
    on.store.archive_thread(id).await.unwrap();
    invalid!(exists().await, ThreadExists(of) if of == id);
    let source = on.thread_of(1).await;
    let mut fork = ForkThread::of(source);
    fork.start.thread_id = Some(id);
    invalid!(on.store.fork_thread(fork).await, ThreadExists(of) if of == id);
    assert_eq!(on.history(id).await.records.len(), 5);
}

pub(super) async fn a_thread_says_what_it_was_started_with(on: Subject<'_>) {
    let parent = ThreadId::generate();
    let text = |text: &str| Some(text.to_owned());
    let git = GitInfo {
        commit_hash: text("c0ffee"),
        branch: text("main"),
        repository_url: text("https://example.org/r"),
    };
    let id = on
        .start_with(StartThread {
            thread_id: None,
            cwd: "/work/ü".into(),
            model_provider: text("provider"),
            source: text(r#"{"subagent":{"thread_spawn":{"depth":1}}}"#),
            thread_source: text("subagent"),
            originator: "conformance".into(),
            cli_version: "1.2.3".into(),
            git: Some(git.clone()),
            parent_thread_id: Some(parent),
            forked_from_id: None,
            agent_nickname: text("nick"),
            agent_role: text("role"),
            agent_path: text("/root/nick"),
            memory_mode: text("disabled"),
            history_mode: text("paginated"),
            ephemeral: false,
        })
        .await;
    on.store.persist_thread(id).await.unwrap();
    let summary = on.read(id).await;
    assert_eq!(summary.cwd, "/work/ü");
    assert_eq!(summary.model_provider, text("provider"));
    assert_eq!(
        summary.source,
        r#"{"subagent":{"thread_spawn":{"depth":1}}}"#
    );
    assert_eq!(summary.thread_source, text("subagent"));
    assert_eq!(summary.cli_version, text("1.2.3"));
    assert_eq!(summary.git_info, Some(git));
    assert_eq!(summary.parent_thread_id, Some(parent));
    assert_eq!(summary.forked_from_id, None);
    assert_eq!(summary.agent_nickname, text("nick"));
    assert_eq!(summary.agent_role, text("role"));
    assert_eq!(summary.agent_path, text("/root/nick"));
    assert_eq!(summary.memory_mode, "disabled");
    assert_eq!(summary.history_mode, "paginated");
    assert_eq!(summary.name, None);
    assert_eq!(summary.archived_at, None);
    assert_eq!(summary.updated_at, summary.created_at);
    assert_eq!(summary.recency_at, summary.created_at);
}

pub(super) async fn a_source_that_is_no_json_is_refused(on: Subject<'_>) {
    let id = ThreadId::generate();
    let start = StartThread {
        thread_id: Some(id),
        source: Some("cli".into()),
        ..StartThread::default()
    };
    invalid!(on.store.create_thread(start).await, Codec(_));
    assert!(!on.is_live(id).await);
}

pub(super) async fn live_threads_are_told_in_the_order_of_their_ids(on: Subject<'_>) {
    assert_eq!(on.store.loaded_threads().await.unwrap(), []);
    let mut ids: Vec<ThreadId> = (0..8_u8)
        .map(|number| ThreadId::from_bytes([number.wrapping_mul(77); 16]))
        .collect();
    for id in &ids {
        let start = StartThread {
            thread_id: Some(*id),
            ephemeral: id.as_bytes()[0] % 2 == 1,
            ..StartThread::default()
        };
        on.start_with(start).await;
    }
    ids.sort();
    assert_eq!(on.store.loaded_threads().await.unwrap(), ids);
    let ended = ids.remove(3);
    on.store.shutdown_thread(ended).await.unwrap();
    assert_eq!(on.store.loaded_threads().await.unwrap(), ids);
}

pub(super) async fn an_ephemeral_thread_is_never_kept(on: Subject<'_>) {
    let id = on
        .start_with(StartThread {
            ephemeral: true,
            ..StartThread::default()
        })
        .await;
    let store = &on.store;
    let synced = AppendOptions {
        durability: Durability::Synced,
        expected_next: Some(Ordinal::new(1)),
    };
    let ack = store.append_items(id, turn("a", "hello"), synced).await;
    let ack = ack.unwrap();
    assert_eq!(ack.durability, Durability::Buffered);
    assert_eq!((ack.first_ordinal.get(), ack.last_ordinal.get()), (1, 4));
    let conflict = store.append_items(id, turn("b", "no"), synced).await;
    refused!(conflict, selvedge_engine::Error::Conflict { .. });
    let flushed = store.flush_thread(id).await.unwrap();
    assert_eq!(flushed.durability, Durability::Buffered);
    on.assert_unknown(id).await;
    not_found!(store.resume_thread(id.into()).await);
    invalid!(store.persist_thread(id).await, Ephemeral(of) if of == id);
    invalid!(store.update_metadata(id, named("no")).await, Ephemeral(of) if of == id);
    invalid!(store.roll_back(id, 1).await, Ephemeral(of) if of == id);
    invalid!(store.archive_thread(id).await, Ephemeral(of) if of == id);
    invalid!(store.fork_thread(ForkThread::of(id)).await, Ephemeral(of) if of == id);
    assert!(on.is_live(id).await, "a refusal ends no thread");
    store.shutdown_thread(id).await.unwrap();
    assert!(!on.is_live(id).await);
    on.assert_unknown(id).await;
}

pub(super) async fn a_fork_is_not_ephemeral(on: Subject<'_>) {
    let source = on.thread_of(1).await;
    let mut fork = ForkThread::of(source);
    fork.start.ephemeral = true;
    invalid!(on.store.fork_thread(fork).await, Ephemeral(_));
    assert_eq!(on.store.loaded_threads().await.unwrap(), [source]);
}

pub(super) async fn many_threads_are_live_at_once(on: Subject<'_>) {
    let mut ids = Vec::new();
    for number in 0..200 {
        let id = on.start().await;
        on.append(id, turn("a", &format!("words of {number}")))
            .await;
        ids.push(id);
    }
    ids.sort();
    assert_eq!(on.store.loaded_threads().await.unwrap(), ids);
    for id in ids {
        on.add_turns(id, 2..=2).await;
        assert_eq!(on.history(id).await.records.len(), 9);
        on.store.shutdown_thread(id).await.unwrap();
    }
    assert_eq!(on.store.loaded_threads().await.unwrap(), []);
}

pub(super) async fn what_is_kept_outlives_the_store(mut on: Subject<'_>) {
    let plain = on.thread_of(2).await;
    on.patch(plain, named("a name")).await;
    let mut point = ForkThread::of(plain);
    point.point = ForkPoint::AfterTurn("turn-1".into());
    let fork = on.store.fork_thread(point).await.unwrap().thread_id;
    on.add_turns(fork, 7..=7).await;
    let archived = on.thread_of(1).await;
    on.store.archive_thread(archived).await.unwrap();
    let deleted = on.thread_of(1).await;
    on.store.delete_thread(deleted).await.unwrap();
    let new = on.start().await;
    let mut before = Vec::new();
    for id in [plain, fork, archived] {
        before.push((on.read(id).await, told(&on.history(id).await.records)));
    }
    let Some(store) = on.factory.reopen(on.store).await.unwrap() else {
        return;
    };
    on.store = store;
    assert_eq!(on.store.loaded_threads().await.unwrap(), []);
    for (id, before) in [plain, fork, archived].into_iter().zip(before) {
        let after = (on.read(id).await, told(&on.history(id).await.records));
        assert_eq!(after, before);
    }
    on.assert_unknown(deleted).await;
    on.assert_unknown(new).await;
}
