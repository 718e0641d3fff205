//! Appends: batches, ordinals, and what an acknowledgement says.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use selvedge_codec::{Item, Ordinal, RecordType, TurnId};
use selvedge_engine::{ConflictReason, Error};

use super::support::*;
use crate::{Ack, AppendOptions, Durability};

pub(super) async fn a_batch_gets_the_next_ordinals(on: Subject<'_>) {
    let id = on.start().await;
    let mut next = 1;
    for length in [1, 3, 2] {
        let ack = on.append(id, vec![said("words"); length]).await;
        assert_eq!(ack.first_ordinal, Ordinal::new(next));
        next += length as u64;
        assert_eq!(ack.last_ordinal, Ordinal::new(next - 1));
        assert_eq!(on.read(id).await.next_ordinal, Ordinal::new(next));
    }
    assert_eq!(on.history(id).await.records.len() as u64, next);
}

pub(super) async fn payloads_are_kept_byte_for_byte(on: Subject<'_>) {
    let id = on.start().await;
    let odd =
        r#"{ "type" :"user_message","message":"a\u0062\/ \ud83d\ude00 \n", "x":1.0e+2 , "x":2}"#;
    let whatever = r#"[1, "two",{"three":null} ]"#;
    on.append(
        id,
        vec![
            event(odd),
            item("made_up_type", whatever),
            item("response_item", "\"a text\""),
        ],
    )
    .await;
    let history = on.history(id).await;
    let kept = &told(&history.records)[1..];
    assert_eq!((kept[0].2.as_str(), kept[0].3.as_str()), ("event_msg", odd));
    assert_eq!(
        (kept[1].2.as_str(), kept[1].3.as_str()),
        ("made_up_type", whatever)
    );
    assert_eq!(kept[2].3, "\"a text\"");
}

pub(super) async fn opaque_payloads_are_kept_byte_for_byte(on: Subject<'_>) {
    let id = on.start().await;
    let bytes: Vec<u8> = (0..=255).collect();
    on.append(id, vec![Item::binary("snapshot", bytes).unwrap()])
        .await;
    let history = on.history(id).await;
    let payload = history.records[1].payload_json().unwrap();
    // The base64 of all bytes, in the one shape that every log can hold.
    assert!(
        payload.get().starts_with(r#"{"base64":"AAECAwQF"#),
        "{payload}"
    );
    assert!(payload.get().ends_with(r#"+fr7/P3+/w=="}"#), "{payload}");
}

pub(super) async fn an_acknowledgement_says_what_was_reached(on: Subject<'_>) {
    let best = on.abilities().durability;
    let id = on.start().await;
    for asked in [
        Durability::Buffered,
        Durability::Written,
        Durability::Synced,
    ] {
        let options = AppendOptions {
            durability: asked,
            ..AppendOptions::default()
        };
        let ack = on
            .store
            .append_items(id, vec![said("words")], options)
            .await;
        assert!(ack.unwrap().durability >= asked.min(best), "{asked:?}");
    }
    let ended = on.append(id, vec![completed("a")]).await;
    assert_eq!(
        ended.durability, best,
        "the end of a turn is as safe as can be"
    );
    on.append(id, vec![said("words")]).await;
    let flushed = on.store.flush_thread(id).await.unwrap();
    assert_eq!(flushed.thread_id, id);
    assert_eq!(flushed.durability, best);
    assert_eq!(flushed.next_ordinal, on.read(id).await.next_ordinal);
}

pub(super) async fn an_empty_batch_is_refused(on: Subject<'_>) {
    let id = on.start().await;
    let empty = || {
        on.store
            .append_items(id, Vec::new(), AppendOptions::default())
    };
    invalid!(empty().await, Codec(_));
    on.assert_unknown(id).await;
    on.append(id, turn("a", "words")).await;
    invalid!(empty().await, Codec(_));
    assert_eq!(on.history(id).await.records.len(), 5);
}

pub(super) async fn what_no_log_can_hold_is_refused_with_its_whole_batch(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    let mut bad = said("words");
    bad.record_type = RecordType::Other("t".repeat(1000).into());
    let mut worse = said("words");
    worse.turn_id = Some(TurnId::Text("t".repeat(100_000).into()));
    for item in [bad, worse] {
        let batch = vec![said("before"), item, said("after")];
        let appended = on.store.append_items(id, batch, AppendOptions::default());
        invalid!(appended.await, Codec(_));
    }
    assert_eq!(on.history(id).await.records.len(), 5);
    on.add_turns(id, 2..=2).await;
    assert_eq!(on.history(id).await.records.len(), 9);
}

pub(super) async fn an_append_that_expected_another_ordinal_writes_nothing(on: Subject<'_>) {
    let id = on.start().await;
    let expecting = |next| AppendOptions {
        expected_next: Some(Ordinal::new(next)),
        ..AppendOptions::default()
    };
    let append = |next| {
        on.store
            .append_items(id, vec![said("words")], expecting(next))
    };
    // The first record of a new thread is its meta.
    refused!(append(0).await, Error::Conflict { .. });
    on.assert_unknown(id).await;
    assert_eq!(append(1).await.unwrap().first_ordinal, Ordinal::new(1));
    for wrong in [0, 1, 3, u64::MAX] {
        match append(wrong).await {
            Err(Error::Conflict {
                thread_id,
                reason: ConflictReason::NextOrdinal { expected, actual },
            }) => {
                assert_eq!(thread_id, id);
                assert_eq!((expected.get(), actual.get()), (wrong, 2));
            }
            other => panic!("expected a conflict, got {other:?}"),
        }
    }
    assert_eq!(append(2).await.unwrap().last_ordinal, Ordinal::new(2));
    assert_eq!(on.history(id).await.records.len(), 3);
}

pub(super) async fn an_item_keeps_the_time_that_it_brings(on: Subject<'_>) {
    let id = on.start().await;
    on.append(id, at(7, vec![said("then")])).await;
    on.append(id, vec![answered("now")]).await;
    let history = on.history(id).await;
    assert_eq!(history.records[1].time, time_at(7));
    assert!(
        history.records[2].time < time_at(0),
        "the store's clock dates the rest"
    );
    let summary = on.read(id).await;
    assert_eq!(
        summary.updated_at,
        time_at(7),
        "the latest time of any record"
    );
    assert_eq!(
        summary.recency_at,
        time_at(7),
        "when the user last said something"
    );
    assert_eq!(summary.created_at, history.records[0].time);
}

pub(super) async fn records_belong_to_the_turn_that_they_are_made_in(on: Subject<'_>) {
    let id = on.start().await;
    on.append(id, vec![said("before any turn"), started("a")])
        .await;
    on.append(id, vec![said("words"), answered("more")]).await;
    on.append(id, vec![completed("a"), answered("after it")])
        .await;
    let history = on.history(id).await;
    let turns: Vec<_> = history
        .records
        .iter()
        .map(|record| record.turn_id.as_ref().map(TurnId::to_string))
        .collect();
    let a = || Some("a".to_owned());
    assert_eq!(turns, [None, None, a(), a(), a(), a(), None]);
}

/// Polls all of them until each has answered.
async fn all<'a, T>(mut futures: Vec<Pin<Box<dyn Future<Output = T> + Send + 'a>>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(answer) = future.as_mut().poll(context)
            {
                *done = Some(answer);
            }
        }
        match done.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

pub(super) async fn batches_of_many_writers_lie_whole_one_after_the_other(on: Subject<'_>) {
    let id = on.start().await;
    let writers = (0..40).map(|number| {
        let batch = vec![said(&format!("{number}")); 3];
        on.store.append_items(id, batch, AppendOptions::default())
    });
    let acks: Vec<Ack> = all(writers.collect())
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let history = on.history(id).await;
    assert_eq!(history.records.len(), 121);
    let mut firsts: Vec<u64> = Vec::new();
    for (number, ack) in (0..).zip(&acks) {
        assert_eq!(ack.last_ordinal, ack.first_ordinal.plus(2));
        firsts.push(ack.first_ordinal.get());
        let first = usize::try_from(ack.first_ordinal.get()).unwrap();
        for record in &history.records[first..first + 3] {
            let payload = record.payload_json().unwrap().get().to_owned();
            assert!(payload.contains(&format!("\"{number}\"")), "{payload}");
        }
    }
    firsts.sort_unstable();
    let expected: Vec<u64> = (0..40).map(|batch| 1 + 3 * batch).collect();
    assert_eq!(firsts, expected);
}
