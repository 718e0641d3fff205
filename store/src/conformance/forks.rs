//! Forks and reviews.

use selvedge_codec::view::{MetadataPatch, View};
use selvedge_codec::{Ordinal, ThreadId};
use selvedge_engine::paging::{ItemQuery, TurnQuery};
use selvedge_engine::search::{OccurrenceQuery, SearchQuery};
use selvedge_engine::thread::{ForkPoint, GitInfo, ThreadSummary};

use super::paging::{item_ordinals, turn_ids};
use super::support::*;
use crate::{ForkThread, StartThread};

async fn fork_at(on: &Subject<'_>, source: ThreadId, point: ForkPoint) -> ThreadSummary {
    let fork = ForkThread {
        point,
        ..ForkThread::of(source)
    };
    on.store.fork_thread(fork).await.unwrap()
}

fn before(ordinal: u64) -> ForkPoint {
    ForkPoint::Before(Ordinal::new(ordinal))
}

/// Asserts that a fork inherits so many records of its source, and then has its own meta.
async fn assert_inherits(on: &Subject<'_>, (fork, source): (ThreadId, ThreadId), count: usize) {
    let of_source = told(&on.history(source).await.records);
    let history = on.history(fork).await;
    assert_eq!(told(&history.records)[..count], of_source[..count]);
    let own = &history.records[count];
    match View::of(own).unwrap() {
        View::SessionMeta(meta) => {
            assert_eq!(meta.thread_id(), Some(fork));
            let from = meta.forked_from_id.as_deref().map(str::to_owned);
            assert_eq!(from, Some(source.to_string()));
        }
        other => panic!("expected the fork's own meta, got {other:?}"),
    }
}

pub(super) async fn a_fork_begins_with_all_of_its_sources_history(on: Subject<'_>) {
    let source = on.thread_of(3).await;
    let fork = on.store.fork_thread(ForkThread::of(source)).await.unwrap();
    let id = fork.thread_id;
    assert_eq!(fork, on.read(id).await);
    assert_eq!(fork.forked_from_id, Some(source));
    assert!(on.is_live(id).await);
    assert_inherits(&on, (id, source), 13).await;
    assert_eq!(on.history(id).await.records.len(), 14);
    assert_eq!(fork.next_ordinal, Ordinal::new(14));
    let ack = on.append(id, turn("own", "own words")).await;
    assert_eq!(ack.first_ordinal, Ordinal::new(14));
    assert_inherits(&on, (id, source), 13).await;
}

pub(super) async fn a_fork_leaves_the_history_after_a_turn(on: Subject<'_>) {
    let source = on.thread_of(4).await;
    on.store.roll_back(source, 1).await.unwrap();
    on.add_turns(source, 5..=5).await;
    for (turn_id, count) in [("turn-1", 5), ("turn-3", 13), ("turn-5", 22)] {
        let fork = fork_at(&on, source, ForkPoint::AfterTurn(turn_id.into())).await;
        assert_inherits(&on, (fork.thread_id, source), count).await;
        let newest = turn_ids(&on, fork.thread_id, TurnQuery::default()).await;
        assert_eq!(newest.first().map(String::as_str), Some(turn_id));
        assert!(!newest.contains(&"turn-4".to_owned()));
    }
    for turn_id in ["turn-4", "turn-9", ""] {
        let fork = ForkThread {
            point: ForkPoint::AfterTurn(turn_id.into()),
            ..ForkThread::of(source)
        };
        invalid!(on.store.fork_thread(fork).await, NoSuchTurn { turn_id: of, .. } if of == turn_id);
    }
}

pub(super) async fn a_fork_leaves_the_history_before_an_ordinal(on: Subject<'_>) {
    let source = on.thread_of(2).await;
    for count in [0_u64, 1, 3, 5, 8, 9] {
        let fork = fork_at(&on, source, before(count)).await;
        let count = usize::try_from(count).unwrap();
        assert_inherits(&on, (fork.thread_id, source), count).await;
        assert_eq!(on.history(fork.thread_id).await.records.len(), count + 1);
        on.add_turns(fork.thread_id, 7..=7).await;
        assert_eq!(on.history(fork.thread_id).await.records.len(), count + 5);
    }
    for past in [10, u64::MAX] {
        let fork = ForkThread {
            point: before(past),
            ..ForkThread::of(source)
        };
        match on.store.fork_thread(fork).await {
            Err(selvedge_engine::Error::InvalidRequest(
                selvedge_engine::InvalidRequest::OrdinalPastEnd { asked, next },
            )) => assert_eq!((asked.get(), next.get()), (past, 9)),
            other => panic!("expected a refusal, got {other:?}"),
        }
    }
}

pub(super) async fn a_fork_is_kept_from_its_beginning(on: Subject<'_>) {
    let source = on.thread_of(1).await;
    let fork = fork_at(&on, source, ForkPoint::Whole).await;
    let id = fork.thread_id;
    invalid!(on.store.discard_thread(id).await, ThreadExists(of) if of == id);
    on.store.shutdown_thread(id).await.unwrap();
    assert_eq!(on.read(id).await, fork);
    let listed = super::listing::all(&on, Default::default()).await;
    assert_eq!(listed.len(), 2);
    assert!(listed.contains(&fork));
}

pub(super) async fn a_fork_and_its_source_go_on_apart(on: Subject<'_>) {
    let source = on.thread_of(2).await;
    let fork = fork_at(&on, source, ForkPoint::Whole).await.thread_id;
    on.append(source, turn("of-source", "words")).await;
    on.append(fork, turn("of-fork", "words")).await;
    on.store.roll_back(fork, 2).await.unwrap();
    on.patch(source, named("the source")).await;
    let turns = TurnQuery::default;
    assert_eq!(
        turn_ids(&on, source, turns()).await,
        ["of-source", "turn-2", "turn-1"]
    );
    assert_eq!(turn_ids(&on, fork, turns()).await, ["turn-1"]);
    assert_eq!(on.read(fork).await.name, None);
    assert_eq!(on.history(source).await.records.len(), 14);
    invalid!(
        on.store.roll_back(fork, 2).await,
        RollbackTurns { there: 1, .. }
    );
    on.store.roll_back(fork, 1).await.unwrap();
    assert_eq!(turn_ids(&on, source, turns()).await.len(), 3);
}

pub(super) async fn a_fork_takes_its_settings_from_its_source_unless_told(on: Subject<'_>) {
    let text = |text: &str| Some(text.to_owned());
    let source = on
        .start_with(StartThread {
            cwd: "/work/source".into(),
            model_provider: text("p"),
            source: text("\"cli\""),
            thread_source: text("user"),
            originator: "runtime".into(),
            cli_version: "9".into(),
            git: Some(GitInfo {
                branch: text("main"),
                ..GitInfo::default()
            }),
            parent_thread_id: Some(ThreadId::generate()),
            agent_nickname: text("nick"),
            memory_mode: text("disabled"),
            history_mode: text("paginated"),
            ..StartThread::default()
        })
        .await;
    on.append(source, turn("a", "words")).await;
    let patch = MetadataPatch {
        cwd: set("/work/moved"),
        title: set("title"),
        ..named("name")
    };
    on.patch(source, patch).await;
    let fork = fork_at(&on, source, ForkPoint::Whole).await;
    assert_eq!(fork.cwd, "/work/moved", "as the source is now");
    assert_eq!(fork.model_provider, text("p"));
    assert_eq!(fork.source, "\"cli\"");
    assert_eq!(fork.cli_version, text("9"));
    assert_eq!(fork.git_info.unwrap().branch, text("main"));
    assert_eq!(fork.memory_mode, "disabled");
    assert_eq!(fork.history_mode, "paginated");
    assert_eq!((fork.name, fork.title), (None, None));
    assert_eq!((fork.parent_thread_id, fork.agent_nickname), (None, None));
    assert_eq!(fork.thread_source, None);
    let payload = on.history(fork.thread_id).await.records[6].clone();
    let payload = payload.payload_json().unwrap().get().to_owned();
    assert!(payload.contains(r#""originator":"runtime""#), "{payload}");
    let mut told_fork = ForkThread::of(source);
    told_fork.start = StartThread {
        cwd: "/own".into(),
        model_provider: text("q"),
        agent_role: text("role"),
        ..StartThread::default()
    };
    let fork = on.store.fork_thread(told_fork).await.unwrap();
    assert_eq!(
        (fork.cwd.as_str(), fork.model_provider),
        ("/own", text("q"))
    );
    assert_eq!(fork.agent_role, text("role"));
}

pub(super) async fn what_a_fork_inherits_tells_of_its_turns_and_not_of_itself(on: Subject<'_>) {
    let source = on.thread_of(2).await;
    let usage = r#"{"type":"token_count","info":{"total_token_usage":{"total_tokens":5}}}"#;
    on.append(source, vec![event(usage)]).await;
    let patch = MetadataPatch {
        preview: set("chosen"),
        agent_role: set("role"),
        git_branch: set("explicit"),
        ..named("a name")
    };
    on.patch(source, patch).await;
    on.append(source, at(5, vec![answered("later than any clock")]))
        .await;
    let name =
        format!(r#"{{"type":"thread_name_updated","thread_id":"{source}","thread_name":"b"}}"#);
    let nameless = r#"{"type":"thread_name_updated","thread_name":"c"}"#;
    on.append(source, vec![event(name), event(nameless)]).await;
    let fork = fork_at(&on, source, ForkPoint::Whole).await;
    let source = on.read(source).await;
    assert_eq!(fork.item_count, source.item_count + 1);
    assert_eq!(fork.first_user_message.as_deref(), Some("words of 1"));
    assert_eq!(
        fork.preview, "words of 1",
        "not the preview that its source was given"
    );
    assert_eq!(fork.token_usage, source.token_usage);
    assert_eq!((&fork.name, &fork.agent_role), (&None, &None));
    let own = on.history(fork.thread_id).await;
    let own = own.records.last().unwrap();
    assert_eq!(fork.created_at, own.time, "its beginning is its own");
    assert!(fork.created_at >= source.created_at);
    assert_eq!(fork.updated_at, own.time, "and so are its times");
    assert_eq!(
        turn_ids(&on, fork.thread_id, TurnQuery::default())
            .await
            .len(),
        2
    );
    let renamed = on.patch(fork.thread_id, named("the fork")).await;
    assert_eq!(renamed.name.as_deref(), Some("the fork"));
}

pub(super) async fn an_inherited_history_is_paged_and_searched_as_ones_own(on: Subject<'_>) {
    let source = on.thread_of(3).await;
    let fork = fork_at(&on, source, ForkPoint::Whole).await.thread_id;
    on.store.delete_thread(source).await.unwrap();
    on.add_turns(fork, 4..=4).await;
    for limit in [1, 2, 5, 0] {
        let query = TurnQuery {
            limit,
            ..TurnQuery::default()
        };
        let found = turn_ids(&on, fork, query).await;
        assert_eq!(found, ["turn-4", "turn-3", "turn-2", "turn-1"]);
        let query = ItemQuery {
            limit,
            ..ItemQuery::default()
        };
        let found = item_ordinals(&on, fork, query).await;
        assert_eq!(found, (0..18).rev().collect::<Vec<_>>());
    }
    let of_turn = ItemQuery {
        turn_id: Some("turn-2".into()),
        ..ItemQuery::default()
    };
    assert_eq!(item_ordinals(&on, fork, of_turn).await, [8, 7, 6, 5]);
    let query = OccurrenceQuery {
        term: "words of".into(),
        ..OccurrenceQuery::default()
    };
    let found = on.store.search_occurrences(fork, query).await.unwrap();
    let found: Vec<_> = found
        .occurrences
        .iter()
        .map(|one| one.ordinal.get())
        .collect();
    assert_eq!(found, [2, 3, 6, 7, 10, 11, 15, 16]);
    let context = on.store.load_model_context(fork).await.unwrap();
    assert_eq!((context.records.len(), context.is_whole), (18, true));
    let query = SearchQuery {
        term: "about words of 2".into(),
        ..SearchQuery::default()
    };
    let found = on.store.search_threads(query).await.unwrap();
    let found: Vec<_> = found.hits.iter().map(|hit| hit.thread.thread_id).collect();
    assert_eq!(found, [fork], "what was said before the fork as well");
}

pub(super) async fn a_review_is_a_fork_that_says_so(on: Subject<'_>) {
    let source = on.thread_of(2).await;
    on.append(source, vec![started("running"), said("not done")])
        .await;
    let review = on
        .store
        .fork_thread(ForkThread::review(source))
        .await
        .unwrap();
    assert_eq!(review.source_name(), "subagent");
    assert_eq!(review.source, r#"{"subagent":"review"}"#);
    assert_eq!(review.thread_source.as_deref(), Some("subagent"));
    assert_eq!(review.forked_from_id, Some(source));
    assert_inherits(&on, (review.thread_id, source), 11).await;
    assert_eq!(on.read(source).await.source_name(), "null");
    on.append(review.thread_id, turn("review", "looks good"))
        .await;
    assert_eq!(on.history(source).await.records.len(), 11);
}

pub(super) async fn a_fork_may_take_the_id_of_a_thread_that_it_inherits_from(on: Subject<'_>) {
    let root = on.thread_of(2).await;
    let middle = fork_at(&on, root, ForkPoint::Whole).await.thread_id;
    on.store.delete_thread(root).await.unwrap();
    let mut fork = ForkThread::of(middle);
    fork.start.thread_id = Some(root);
    let fork = on.store.fork_thread(fork).await.unwrap();
    assert_eq!(fork, on.read(root).await);
    assert_eq!(fork.forked_from_id, Some(middle));
    assert_inherits(&on, (root, middle), 10).await;
    let own = on.history(root).await.records[10].time;
    assert_eq!((fork.created_at, fork.updated_at), (own, own));
    assert_eq!(fork.item_count, 11);
}

pub(super) async fn a_fork_of_a_fork_of_nothing_is_a_plain_thread(on: Subject<'_>) {
    let source = on.thread_of(1).await;
    let empty = fork_at(&on, source, before(0)).await;
    assert_eq!((empty.item_count, empty.first_user_message), (1, None));
    assert_eq!(empty.preview, "");
    let again = fork_at(&on, empty.thread_id, ForkPoint::Whole).await;
    assert_inherits(&on, (again.thread_id, empty.thread_id), 1).await;
    assert_eq!(again.item_count, 2);
    on.add_turns(again.thread_id, 1..=1).await;
    assert_eq!(on.read(again.thread_id).await.preview, "words of 1");
}
