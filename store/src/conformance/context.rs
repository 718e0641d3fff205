//! The end of a history from which what the model sees can be rebuilt.

use selvedge_codec::{Item, ThreadId};

use super::support::*;

fn context_of(turn_id: &str) -> Item {
    item(
        "turn_context",
        format!(r#"{{"turn_id":"{turn_id}","model":"m","cwd":"/w"}}"#),
    )
}

fn compacted() -> Item {
    item(
        "compacted",
        r#"{"message":"so far","replacement_history":[]}"#,
    )
}

/// A turn of six records, of which the second is its context.
fn turn_with_context(turn_id: &str) -> Vec<Item> {
    let mut items = turn(turn_id, "words");
    items.insert(1, context_of(turn_id));
    items
}

/// Asserts what the context is: `first` is its first ordinal, `None` when it is all there is.
async fn assert_begins_at(on: &Subject<'_>, id: ThreadId, first: Option<u64>) {
    let context = on.store.load_model_context(id).await.unwrap();
    let history = on.history(id).await;
    let counting = ordinals(history.effective());
    let expected: Vec<u64> = (counting.into_iter())
        .filter(|ordinal| first.is_none_or(|first| *ordinal >= first))
        .collect();
    assert_eq!(ordinals(&context.records), expected);
    assert_eq!(context.is_whole, first.is_none());
}

pub(super) async fn a_context_without_a_safe_cut_is_the_whole_history(on: Subject<'_>) {
    let id = on.start().await;
    on.store.persist_thread(id).await.unwrap();
    assert_begins_at(&on, id, None).await;
    on.append(id, turn_with_context("a")).await;
    assert_begins_at(&on, id, None).await;
    // Without a replacement history it stands for nothing.
    on.append(id, vec![item("compacted", r#"{"message":"so far"}"#)])
        .await;
    assert_begins_at(&on, id, None).await;
}

pub(super) async fn a_context_begins_with_the_newest_compaction_and_a_turns_settings(
    on: Subject<'_>,
) {
    let id = on.start().await;
    on.append(id, turn_with_context("a")).await;
    on.append(id, turn_with_context("b")).await;
    let ack = on.append(id, vec![compacted()]).await;
    // The settings are those of the turn before the compaction.
    assert_begins_at(&on, id, Some(7)).await;
    on.append(id, turn_with_context("c")).await;
    assert_begins_at(&on, id, Some(ack.first_ordinal.get())).await;
    // A turn that is not completed yet tells no settings.
    on.append(id, vec![started("d"), context_of("d"), compacted()])
        .await;
    assert_begins_at(&on, id, Some(ack.first_ordinal.get() + 2)).await;
}

pub(super) async fn a_context_knows_nothing_of_what_was_rolled_back(on: Subject<'_>) {
    let id = on.start().await;
    on.append(id, turn_with_context("a")).await;
    on.append(id, vec![compacted()]).await;
    on.append(id, turn_with_context("b")).await;
    let mut dropped = turn_with_context("c");
    dropped.insert(3, compacted());
    on.append(id, dropped).await;
    on.store.roll_back(id, 1).await.unwrap();
    assert_begins_at(&on, id, Some(6)).await;
    on.store.roll_back(id, 1).await.unwrap();
    assert_begins_at(&on, id, Some(2)).await;
    on.store.roll_back(id, 1).await.unwrap();
    assert_begins_at(&on, id, None).await;
}

pub(super) async fn token_usage_is_restored_from_a_loaded_history(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    assert_eq!(on.history(id).await.token_usage(), None);
    let usage = |total: u32| {
        event(format!(
            r#"{{"type":"token_count","info":{{"total_token_usage":{{"total_tokens":{total}}},"last_token_usage":{{"total_tokens":3}},"model_context_window":1000}}}}"#
        ))
    };
    on.append(id, vec![started("b"), usage(5)]).await;
    on.append(id, vec![usage(8), completed("b")]).await;
    let restored = on.history(id).await.token_usage().unwrap();
    assert_eq!(restored.total.as_deref(), Some(r#"{"total_tokens":8}"#));
    assert_eq!(restored.last.as_deref(), Some(r#"{"total_tokens":3}"#));
    assert_eq!(restored.model_context_window, Some(1000));
    assert_eq!(restored.turn_id.as_deref(), Some("b"));
    assert_eq!(on.read(id).await.token_usage, restored.total);
}
