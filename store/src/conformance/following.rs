//! Subscriptions.

use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::Poll;

use selvedge_codec::{EventClass, Ordinal, RecordType, ThreadId};

use super::support::*;
use crate::{AppendOptions, ForkThread, StartThread, Subscription, ThreadEvent};

/// Asserts that nothing is told right now. What is told too much is met by the next look as well.
async fn assert_nothing_yet(subscription: &mut Subscription) {
    let mut next = pin!(subscription.next());
    let early = std::future::poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await;
    assert!(early.is_pending(), "{early:?}");
}

/// Polls both to their ends, the first one first.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    std::future::poll_fn(|context| {
        if of_a.is_none()
            && let Poll::Ready(done) = a.as_mut().poll(context)
        {
            of_a = Some(done);
        }
        if of_b.is_none()
            && let Poll::Ready(done) = b.as_mut().poll(context)
        {
            of_b = Some(done);
        }
        match (of_a.is_some(), of_b.is_some()) {
            (true, true) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
    (of_a.unwrap(), of_b.unwrap())
}

pub(super) async fn a_subscriber_gets_the_history_and_then_what_follows(on: Subject<'_>) {
    let id = on.thread_of(2).await;
    let mut subscription = on.follow(id, 0).await;
    let mut seen = expect_records(&mut subscription, 0..9).await;
    assert_nothing_yet(&mut subscription).await;
    on.add_turns(id, 3..=3).await;
    seen.extend(expect_records(&mut subscription, 9..13).await);
    on.patch(id, named("a name")).await;
    on.store.roll_back(id, 1).await.unwrap();
    let end = on.read(id).await.next_ordinal.get();
    let described = expect_records(&mut subscription, 13..end).await;
    assert_eq!(described[0].record_type, RecordType::MetadataPatch);
    assert_eq!(
        described.last().unwrap().event,
        Some(EventClass::RolledBack)
    );
    seen.extend(described);
    assert_eq!(told(&seen), told(&on.history(id).await.records));
}

pub(super) async fn a_subscription_begins_with_any_ordinal_up_to_the_next(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    for from in 0..=5 {
        let mut subscription = on.follow(id, from).await;
        expect_records(&mut subscription, from..5).await;
        assert_nothing_yet(&mut subscription).await;
    }
    for past in [6, u64::MAX] {
        let refused = on.store.subscribe(id, Ordinal::new(past)).await;
        invalid!(
            refused.map(drop),
            OrdinalPastEnd { asked, next } if (asked.get(), next.get()) == (past, 5)
        );
    }
}

pub(super) async fn a_dropped_wait_loses_nothing(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    let mut subscription = on.follow(id, 5).await;
    for ordinal in 5..40 {
        assert_nothing_yet(&mut subscription).await;
        on.append(id, vec![said("words")]).await;
        let record = next_record(&mut subscription).await;
        assert_eq!(record.ordinal.get(), ordinal);
    }
}

pub(super) async fn a_subscription_outlives_a_shutdown_and_goes_on_after_a_resume(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    let mut subscription = on.follow(id, 3).await;
    on.store.shutdown_thread(id).await.unwrap();
    expect_records(&mut subscription, 3..5).await;
    assert_nothing_yet(&mut subscription).await;
    // A thread that is not live changes as well.
    on.store.roll_back(id, 1).await.unwrap();
    expect_records(&mut subscription, 5..6).await;
    on.store.archive_thread(id).await.unwrap();
    on.store.resume_thread(id.into()).await.unwrap();
    on.add_turns(id, 2..=2).await;
    expect_records(&mut subscription, 6..10).await;
    on.store.unarchive_thread(id).await.unwrap();
    on.store.resume_thread(id.into()).await.unwrap();
    on.add_turns(id, 3..=3).await;
    expect_records(&mut subscription, 10..14).await;
}

pub(super) async fn every_subscriber_gets_everything(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    let mut early = [on.follow(id, 0).await, on.follow(id, 2).await];
    on.add_turns(id, 2..=20).await;
    let mut late = on.follow(id, 0).await;
    on.add_turns(id, 21..=21).await;
    expect_records(&mut early[0], 0..85).await;
    expect_records(&mut early[1], 2..85).await;
    expect_records(&mut late, 0..85).await;
}

pub(super) async fn a_subscription_ends_with_its_thread(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    let mut subscription = on.follow(id, 5).await;
    on.store.delete_thread(id).await.unwrap();
    assert_eq!(next(&mut subscription).await, None);
    assert_eq!(next(&mut subscription).await, None, "the end stays the end");
    // A thread that is made under its id is another one.
    let again = StartThread {
        thread_id: Some(id),
        ..StartThread::default()
    };
    on.start_with(again).await;
    on.add_turns(id, 1..=3).await;
    assert_eq!(next(&mut subscription).await, None);
}

pub(super) async fn a_subscription_to_an_unknown_thread_is_refused(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    on.store.delete_thread(id).await.unwrap();
    for id in [id, ThreadId::generate()] {
        not_found!(on.store.subscribe(id, Ordinal::ZERO).await.map(drop));
    }
}

pub(super) async fn of_a_new_thread_nothing_is_told_before_it_is_kept(on: Subject<'_>) {
    let (kept, persisted) = (on.start().await, on.start().await);
    let refused = on.store.subscribe(kept, Ordinal::new(2)).await;
    invalid!(refused.map(drop), OrdinalPastEnd { .. });
    let mut of_kept = on.follow(kept, 0).await;
    let mut of_persisted = on.follow(persisted, 0).await;
    assert_nothing_yet(&mut of_kept).await;
    on.append(kept, turn("a", "words")).await;
    let records = expect_records(&mut of_kept, 0..5).await;
    assert_eq!(records[0].record_type, RecordType::SessionMeta);
    on.store.persist_thread(persisted).await.unwrap();
    expect_records(&mut of_persisted, 0..1).await;
    for is_discarded in [true, false] {
        let id = on.start().await;
        let mut subscription = on.follow(id, 0).await;
        match is_discarded {
            true => on.store.discard_thread(id).await.unwrap(),
            false => on.store.shutdown_thread(id).await.unwrap(),
        }
        assert_eq!(next(&mut subscription).await, None);
    }
}

pub(super) async fn a_fork_is_followed_from_what_it_inherits(on: Subject<'_>) {
    let source = on.thread_of(2).await;
    let fork = on.store.fork_thread(ForkThread::of(source)).await.unwrap();
    let mut subscription = on.follow(fork.thread_id, 0).await;
    expect_records(&mut subscription, 0..10).await;
    on.add_turns(source, 3..=3).await;
    assert_nothing_yet(&mut subscription).await;
    on.add_turns(fork.thread_id, 4..=4).await;
    expect_records(&mut subscription, 10..14).await;
}

pub(super) async fn a_subscriber_beside_a_writer_meets_no_gap_and_no_repeat(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    let mut subscription = on.follow(id, 0).await;
    let writing = async {
        for number in 2..=100 {
            on.add_turns(id, number..=number).await;
        }
    };
    let reading = async { expect_records(&mut subscription, 0..401).await };
    let ((), records) = both(writing, reading).await;
    assert_eq!(told(&records), told(&on.history(id).await.records));
}

pub(super) async fn an_answer_comes_before_what_it_brings_about(on: Subject<'_>) {
    let id = on.thread_of(60).await;
    for _ in 0..20 {
        let from = on.read(id).await.next_ordinal.get();
        let mut subscription = on.follow(id, from).await;
        let order = Mutex::new(Vec::new());
        let answered = async {
            on.store.roll_back(id, 1).await.unwrap();
            order.lock().unwrap().push("answer");
        };
        let told = async {
            expect_records(&mut subscription, from..from + 1).await;
            order.lock().unwrap().push("record");
        };
        both(answered, told).await;
        assert_eq!(*order.lock().unwrap(), ["answer", "record"]);
    }
}

pub(super) async fn an_ephemeral_thread_is_followed_from_now_on(on: Subject<'_>) {
    let start = StartThread {
        ephemeral: true,
        ..StartThread::default()
    };
    let id = on.start_with(start).await;
    on.append(id, vec![said("nobody hears this")]).await;
    for (from, is_past) in [(0, false), (1, false), (3, true)] {
        let refused = on.store.subscribe(id, Ordinal::new(from)).await.map(drop);
        if is_past {
            invalid!(refused, OrdinalPastEnd { .. });
        } else {
            invalid!(refused, Ephemeral(of) if of == id);
        }
    }
    let mut subscription = on.follow(id, 2).await;
    on.append(id, turn("a", "words")).await;
    let records = expect_records(&mut subscription, 2..6).await;
    assert!(told(&records)[1].3.contains("words"));
    assert_nothing_yet(&mut subscription).await;
    on.store.shutdown_thread(id).await.unwrap();
    assert_eq!(next(&mut subscription).await, None);
}

pub(super) async fn a_subscriber_that_is_too_slow_is_told_so(on: Subject<'_>) {
    for ephemeral in [true, false] {
        let start = StartThread {
            ephemeral,
            ..StartThread::default()
        };
        let id = on.start_with(start).await;
        let mut subscription = on.follow(id, 1).await;
        const RECORDS: u64 = 20_000;
        for _ in 0..RECORDS / 1000 {
            let batch = vec![said("words"); 1000];
            on.store
                .append_items(id, batch, AppendOptions::default())
                .await
                .unwrap();
        }
        let mut expected = 1;
        // Everything, or as much as there was room for and the place where that ended.
        while expected <= RECORDS {
            match next(&mut subscription).await {
                Some(ThreadEvent::Record(record)) => {
                    let ordinal = record.ordinal.get();
                    if expected == 1 && !ephemeral && ordinal == 0 {
                        continue;
                    }
                    assert_eq!(ordinal, expected, "no gap and no repeat");
                    expected += 1;
                }
                Some(ThreadEvent::CutOff { next: from }) => {
                    assert_eq!(from.get(), expected, "cut off where it was");
                    assert_eq!(next(&mut subscription).await, None);
                    break;
                }
                other => panic!("expected a record or a cut, got {other:?}"),
            }
        }
    }
}
