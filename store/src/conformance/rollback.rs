//! Rollbacks.

use selvedge_codec::Ordinal;
use selvedge_engine::listing::Direction;
use selvedge_engine::paging::{ItemQuery, TurnQuery};

use super::paging::{item_ordinals, turn_ids};
use super::support::*;

pub(super) async fn a_rollback_keeps_the_history_and_drops_what_counts(on: Subject<'_>) {
    let id = on.thread_of(4).await;
    let before = told(&on.history(id).await.records);
    let answer = on.store.roll_back(id, 2).await.unwrap();
    let ids: Vec<_> = answer
        .turns
        .iter()
        .map(|turn| turn.turn_id.as_deref().unwrap())
        .collect();
    assert_eq!(ids, ["turn-1", "turn-2"]);
    assert!(answer.turns.iter().all(|turn| !turn.rolled_back));
    assert_eq!(answer.thread, on.read(id).await);
    assert!(on.is_live(id).await);
    let history = on.history(id).await;
    assert_eq!(told(&history.records)[..17], before);
    assert_eq!(history.records.len(), 18, "the rollback is a record");
    assert_eq!(ordinals(history.effective()), (0..9).collect::<Vec<_>>());
    assert_eq!(
        turn_ids(&on, id, TurnQuery::default()).await,
        ["turn-2", "turn-1"]
    );
    let items = ItemQuery {
        direction: Direction::Ascending,
        ..ItemQuery::default()
    };
    assert_eq!(
        item_ordinals(&on, id, items).await,
        (0..9).collect::<Vec<_>>()
    );
}

pub(super) async fn rollbacks_add_up_and_what_follows_counts(on: Subject<'_>) {
    let id = on.thread_of(3).await;
    on.store.roll_back(id, 1).await.unwrap();
    on.add_turns(id, 4..=4).await;
    let answer = on.store.roll_back(id, 2).await.unwrap();
    assert_eq!(answer.turns.len(), 1);
    on.add_turns(id, 5..=5).await;
    assert_eq!(
        turn_ids(&on, id, TurnQuery::default()).await,
        ["turn-5", "turn-1"]
    );
    let answer = on.store.roll_back(id, 2).await.unwrap();
    assert!(answer.turns.is_empty());
    let kept = ordinals(on.history(id).await.effective());
    assert_eq!(kept, [0], "the thread's own meta is of no turn");
}

pub(super) async fn a_rollback_of_no_turn_or_too_many_is_refused(on: Subject<'_>) {
    let id = on.thread_of(2).await;
    let count = on.read(id).await.item_count;
    for turns in [0, 3, u32::MAX] {
        let answer = on.store.roll_back(id, turns).await;
        invalid!(answer, RollbackTurns { asked, there: 2 } if asked == turns);
    }
    assert_eq!(on.read(id).await.item_count, count, "nothing is recorded");
    on.store.roll_back(id, 2).await.unwrap();
    invalid!(
        on.store.roll_back(id, 1).await,
        RollbackTurns { asked: 1, there: 0 }
    );
}

pub(super) async fn the_turn_in_progress_is_rolled_back_too(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    on.append(id, vec![started("running"), said("oh no")]).await;
    let answer = on.store.roll_back(id, 1).await.unwrap();
    assert_eq!(answer.turns.len(), 1);
    on.add_turns(id, 2..=2).await;
    assert_eq!(
        turn_ids(&on, id, TurnQuery::default()).await,
        ["turn-2", "turn-1"]
    );
}

pub(super) async fn a_thread_that_is_not_live_is_rolled_back_and_not_live_then(on: Subject<'_>) {
    let id = on.thread_of(2).await;
    on.store.shutdown_thread(id).await.unwrap();
    let answer = on.store.roll_back(id, 1).await.unwrap();
    assert_eq!(answer.turns.len(), 1);
    assert!(!on.is_live(id).await);
    on.store.resume_thread(id.into()).await.unwrap();
    let ack = on.append(id, vec![said("on")]).await;
    assert_eq!(ack.first_ordinal, Ordinal::new(10));
}

pub(super) async fn a_rollback_undoes_no_description(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    on.append(id, vec![started("turn-2"), said("words")]).await;
    on.patch(id, named("kept")).await;
    on.append(id, vec![completed("turn-2")]).await;
    let answer = on.store.roll_back(id, 1).await.unwrap();
    assert_eq!(answer.thread.name.as_deref(), Some("kept"));
    on.store.roll_back(id, 1).await.unwrap();
    let summary = on.read(id).await;
    assert_eq!(summary.name.as_deref(), Some("kept"));
    assert_eq!(
        summary.preview, "words of 1",
        "what was said first was said"
    );
}

pub(super) async fn a_new_thread_has_no_turn_to_roll_back(on: Subject<'_>) {
    let id = on.start().await;
    invalid!(
        on.store.roll_back(id, 1).await,
        RollbackTurns { asked: 1, there: 0 }
    );
    on.assert_unknown(id).await;
}
