//! Subscriptions: history, then what follows, whoever writes it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use selvedge_actors::{AppendOptions, Durability, LiveThread, Selvedge, StartThread};
use selvedge_codec::{Item, Ordinal, ThreadId};
use selvedge_engine::{Error, InvalidRequest};
use selvedge_store::{Subscription, ThreadEvent};

use crate::{TestHome, says, start};

/// What a future has come to, without waiting for it.
pub fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(future).poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

pub fn is_ready<F: Future + Unpin>(future: &mut F) -> bool {
    poll(future).is_some()
}

/// Something that was asked for, whose answer is looked for without waiting for it.
pub struct Asked<F: Future> {
    future: Pin<Box<F>>,
    answer: Option<F::Output>,
}

impl<F: Future> Asked<F> {
    /// Asks.
    pub fn new(future: F) -> Self {
        let mut asked = Self {
            future: Box::pin(future),
            answer: None,
        };
        asked.look();
        asked
    }

    /// Looks for the answer.
    pub fn look(&mut self) {
        if self.answer.is_none() {
            self.answer = poll(&mut self.future);
        }
    }

    /// The answer, which must be there.
    pub fn answer(mut self) -> F::Output {
        self.look();
        self.answer.expect("it was shown before its answer")
    }
}

/// The end of a turn.
fn ends(turn: &str) -> Item {
    let payload = serde_json::json!({"type": "task_complete", "turn_id": turn});
    Item::json("event_msg", payload.to_string()).unwrap()
}

/// The ordinals of the next `count` records, which are all that comes.
pub async fn ordinals(subscription: &mut Subscription, count: usize) -> Vec<u64> {
    let mut ordinals = Vec::new();
    while ordinals.len() < count {
        match subscription.next().await.unwrap() {
            Some(ThreadEvent::Record(record)) => ordinals.push(record.ordinal.get()),
            other => panic!("{other:?} after {ordinals:?}"),
        }
    }
    ordinals
}

/// The ordinals of all records up to the subscription's end.
pub async fn rest(mut subscription: Subscription) -> Vec<u64> {
    let mut ordinals = Vec::new();
    while let Some(event) = subscription.next().await.unwrap() {
        match event {
            ThreadEvent::Record(record) => ordinals.push(record.ordinal.get()),
            other => panic!("{other:?} after {ordinals:?}"),
        }
    }
    ordinals
}

pub async fn thread_of(store: &Selvedge, records: u64) -> LiveThread {
    let thread = store.start_thread(start()).await.unwrap();
    for _ in 1..records {
        thread.append(vec![says("a")]).await.unwrap();
    }
    thread
}

#[tokio::test]
async fn a_subscriber_gets_the_history_and_then_what_follows() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = thread_of(&store, 4).await;
    let id = thread.thread_id();
    let mut all = store.subscribe(id, Ordinal::ZERO).await.unwrap();
    let mut some = store.subscribe(id, Ordinal::new(2)).await.unwrap();
    let mut new = store.subscribe(id, Ordinal::new(4)).await.unwrap();
    assert_eq!(ordinals(&mut all, 4).await, [0, 1, 2, 3]);
    assert_eq!(ordinals(&mut some, 2).await, [2, 3]);
    thread.append(vec![says("b"), says("c")]).await.unwrap();
    for subscription in [&mut all, &mut some, &mut new] {
        assert_eq!(ordinals(subscription, 2).await, [4, 5]);
    }
    store.shutdown().await.unwrap();
    for mut subscription in [all, some, new] {
        assert_eq!(subscription.next().await.unwrap(), None);
        assert_eq!(subscription.next().await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_subscription_begins_at_an_ordinal_that_there_is_or_that_comes_next() {
    let home = TestHome::new();
    let store = home.open().await;
    let unknown = store.subscribe(ThreadId::generate(), Ordinal::ZERO).await;
    assert!(matches!(unknown, Err(Error::ThreadNotFound { .. })));
    let thread = thread_of(&store, 3).await;
    for is_live in [true, false] {
        let refused = store.subscribe(thread.thread_id(), Ordinal::new(4)).await;
        assert!(
            matches!(
                refused,
                Err(Error::InvalidRequest(InvalidRequest::OrdinalPastEnd { next, .. }))
                    if next == Ordinal::new(3)
            ),
            "live: {is_live}"
        );
        store.remove_thread(thread.thread_id()).await.unwrap();
    }
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_new_thread_is_subscribed_to_before_anything_is_on_disk() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = store.start_thread(start()).await.unwrap();
    let id = thread.thread_id();
    let mut subscription = store.subscribe(id, Ordinal::ZERO).await.unwrap();
    {
        let mut first = Box::pin(subscription.next());
        assert!(!is_ready(&mut first));
    }
    thread.append(vec![says("a")]).await.unwrap();
    assert_eq!(ordinals(&mut subscription, 2).await, [0, 1]);

    // One of which nothing is ever on disk ends its subscriptions.
    let thread = store.start_thread(start()).await.unwrap();
    let subscription = store.subscribe(thread.thread_id(), Ordinal::ZERO).await;
    thread.discard().await.unwrap();
    assert_eq!(rest(subscription.unwrap()).await, [0_u64; 0]);
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_comes_before_a_subscription_is_not_read() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = store.start_thread(start()).await.unwrap();
    let id = thread.thread_id();
    let text = "x".repeat(10_000);
    for n in 0..100 {
        let turn = vec![says(&text), ends(&format!("{n}"))];
        thread.append(turn).await.unwrap();
    }
    assert_eq!(store.read_thread(id).await.unwrap().item_count, 201);
    let before = home.disk.read_bytes();
    let mut late = store.subscribe(id, Ordinal::new(198)).await.unwrap();
    assert_eq!(ordinals(&mut late, 3).await, [198, 199, 200]);
    let mut new = store.subscribe(id, Ordinal::new(201)).await.unwrap();
    assert!(!is_ready(&mut Box::pin(new.next())));
    thread.append(vec![says("new")]).await.unwrap();
    for subscription in [&mut late, &mut new] {
        assert_eq!(ordinals(subscription, 1).await, [201]);
    }
    let read = home.disk.read_bytes() - before;
    assert!(read < 100_000, "{read} bytes");
    store.shutdown().await.unwrap();
}

/// Sixteen subscribe at different times while eight append; each gets every record from its
/// ordinal on, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn there_is_no_gap_and_no_repeat_while_many_append() {
    const LAST: u64 = 2 + 8 * 60 * 2;
    let home = TestHome::new();
    let store = home.open().await;
    let thread = thread_of(&store, 2).await;
    let id = thread.thread_id();
    let mut readers = tokio::task::JoinSet::new();
    let mut writers = tokio::task::JoinSet::new();
    let all_subscribed = Arc::new(tokio::sync::Barrier::new(17));
    for writer in 0..8_u64 {
        let thread = thread.clone();
        writers.spawn(async move {
            for n in 0..60 {
                let durability = match (writer + n) % 9 {
                    0 => Durability::Synced,
                    _ => Durability::Written,
                };
                let options = AppendOptions {
                    durability,
                    expected_next: None,
                };
                let batch = (0..=n % 3).map(|_| says("x")).collect();
                thread.append_with(batch, options).await.unwrap();
            }
        });
    }
    for reader in 0..16_u64 {
        let (store, thread) = (store.clone(), thread.clone());
        let all_subscribed = Arc::clone(&all_subscribed);
        readers.spawn(async move {
            while thread.snapshot().await.unwrap().next_ordinal < Ordinal::new(reader * 30) {
                tokio::task::yield_now().await;
            }
            let from = reader * 20;
            let mut subscription = store.subscribe(id, Ordinal::new(from)).await.unwrap();
            all_subscribed.wait().await;
            let count = usize::try_from(LAST - from).unwrap();
            let seen = ordinals(&mut subscription, count).await;
            assert_eq!(seen, (from..LAST).collect::<Vec<_>>());
            subscription
        });
    }
    all_subscribed.wait().await;
    writers.join_all().await;
    let subscriptions = readers.join_all().await;
    store.shutdown().await.unwrap();
    for subscription in subscriptions {
        assert_eq!(rest(subscription).await, [0_u64; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_append_is_answered_before_a_subscriber_sees_it() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = thread_of(&store, 2).await;
    let id = thread.thread_id();
    let mut others = tokio::task::JoinSet::new();
    let mut own = tokio::task::JoinSet::new();
    let is_over = Arc::new(AtomicBool::new(false));
    for _ in 0..2 {
        let (thread, is_over) = (thread.clone(), Arc::clone(&is_over));
        others.spawn(async move {
            while !is_over.load(SeqCst) {
                thread.append(vec![says("other")]).await.unwrap();
            }
        });
    }
    for number in 0..4 {
        let (store, thread) = (store.clone(), thread.clone());
        own.spawn(async move {
            let next = thread.snapshot().await.unwrap().next_ordinal;
            let mut subscription = store.subscribe(id, next).await.unwrap();
            for n in 0..100 {
                let text = format!("{number}-{n}");
                let item = match n % 10 {
                    0 => ends(&text),
                    _ => says(&text),
                };
                let ours = item.body.clone();
                let append = Asked::new(thread.append(vec![item]));
                loop {
                    let event = subscription.next().await.unwrap();
                    let Some(ThreadEvent::Record(record)) = event else {
                        panic!("{event:?}");
                    };
                    if record.body == ours {
                        break;
                    }
                }
                append.answer().unwrap();
            }
        });
    }
    own.join_all().await;
    is_over.store(true, SeqCst);
    others.join_all().await;
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_waits_for_its_sync_is_not_shown_nor_what_follows_it() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = thread_of(&store, 2).await;
    let id = thread.thread_id();
    home.disk.hold_syncs(true);
    let synced = AppendOptions {
        durability: Durability::Synced,
        expected_next: None,
    };
    let mut append = Box::pin(thread.append_with(vec![says("synced")], synced));
    assert!(!is_ready(&mut append));
    let mut written = Box::pin(thread.append(vec![says("written")]));
    assert!(!is_ready(&mut written));
    while thread.snapshot().await.unwrap().next_ordinal < Ordinal::new(4) {}
    let mut subscription = store.subscribe(id, Ordinal::ZERO).await.unwrap();
    assert_eq!(ordinals(&mut subscription, 2).await, [0, 1]);
    tokio::select! {
        biased;
        event = subscription.next() => panic!("{event:?}"),
        () = async {
            // Each of them waits for a job on the pool, which takes them in their order.
            for _ in 0..50 {
                assert_eq!(store.load_history(id).await.unwrap().records.len(), 4);
            }
        } => {}
    }
    home.disk.hold_syncs(false);
    assert_eq!(ordinals(&mut subscription, 2).await, [2, 3]);
    assert!(is_ready(&mut append) && is_ready(&mut written));
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_slow_subscriber_keeps_nobody_waiting_and_misses_nothing() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = thread_of(&store, 2).await;
    let slow = store.subscribe(thread.thread_id(), Ordinal::ZERO).await;
    let text = "x".repeat(1000);
    for _ in 0..2000 {
        thread.append(vec![says(&text)]).await.unwrap();
    }
    let mut slow = slow.unwrap();
    assert!(ordinals(&mut slow, 2002).await.into_iter().eq(0..2002));
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_subscription_goes_on_when_the_thread_is_shut_down_and_resumed() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = thread_of(&store, 2).await;
    let id = thread.thread_id();
    let mut subscription = store.subscribe(id, Ordinal::ZERO).await.unwrap();
    let mut next = 2;
    assert_eq!(ordinals(&mut subscription, 2).await, [0, 1]);
    for _ in 0..5 {
        store.remove_thread(id).await.unwrap();
        let thread = store.resume_thread(id).await.unwrap();
        thread.append(vec![says("again")]).await.unwrap();
        assert_eq!(ordinals(&mut subscription, 1).await, [next]);
        next += 1;
    }
    // What was appended last before the store was shut down is given after it.
    let thread = store.resume_thread(id).await.unwrap();
    thread.append(vec![says("last")]).await.unwrap();
    store.shutdown().await.unwrap();
    assert_eq!(rest(subscription).await, [next]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_store_on_the_home_may_be_the_writer() {
    let home = TestHome::new();
    let (reader, writer) = (home.open().await, home.open().await);
    let thread = thread_of(&writer, 2).await;
    let id = thread.thread_id();
    let mut subscription = reader.subscribe(id, Ordinal::ZERO).await.unwrap();
    let mut writing = tokio::task::JoinSet::new();
    writing.spawn(async move {
        for n in 0..300 {
            let batch = (0..=n % 3).map(|_| says("theirs")).collect();
            thread.append(batch).await.unwrap();
        }
        thread
    });
    assert!(
        ordinals(&mut subscription, 602)
            .await
            .into_iter()
            .eq(0..602)
    );
    let thread = writing.join_next().await.unwrap().unwrap();
    thread.shutdown().await.unwrap();
    // The two take turns.
    let thread = reader.resume_thread(id).await.unwrap();
    thread.append(vec![says("ours")]).await.unwrap();
    assert_eq!(ordinals(&mut subscription, 1).await, [602]);
    thread.shutdown().await.unwrap();
    let thread = writer.resume_thread(id).await.unwrap();
    thread.append(vec![says("theirs")]).await.unwrap();
    assert_eq!(ordinals(&mut subscription, 1).await, [603]);
    reader.shutdown().await.unwrap();
    assert_eq!(rest(subscription).await, [0_u64; 0]);
    writer.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_call_that_was_dropped_loses_nothing() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = thread_of(&store, 2).await;
    let mut subscription = store
        .subscribe(thread.thread_id(), Ordinal::ZERO)
        .await
        .unwrap();
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let dropped = tokio::select! {
            biased;
            event = subscription.next() => Some(event),
            () = tokio::task::yield_now() => None,
        };
        match dropped {
            Some(event) => match event.unwrap().unwrap() {
                ThreadEvent::Record(record) => seen.push(record.ordinal.get()),
                other => panic!("{other:?}"),
            },
            None => drop(thread.append(vec![says("more")]).await.unwrap()),
        }
    }
    assert!(seen.into_iter().eq(0..100));
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_ephemeral_threads_subscribers_get_what_comes_and_are_cut_off_when_they_are_slow() {
    let home = TestHome::new();
    let store = home.open().await;
    let ephemeral = StartThread {
        ephemeral: true,
        ..start()
    };
    let thread = store.start_thread(ephemeral).await.unwrap();
    let id = thread.thread_id();
    let mut first = store.subscribe(id, Ordinal::new(1)).await.unwrap();
    thread.append(vec![says("a"), says("b")]).await.unwrap();
    assert_eq!(ordinals(&mut first, 2).await, [1, 2]);
    let past = store.subscribe(id, Ordinal::new(1)).await;
    assert!(matches!(
        past,
        Err(Error::InvalidRequest(InvalidRequest::Ephemeral(_)))
    ));
    let beyond = store.subscribe(id, Ordinal::new(4)).await;
    assert!(matches!(
        beyond,
        Err(Error::InvalidRequest(InvalidRequest::OrdinalPastEnd { .. }))
    ));
    let mut slow = store.subscribe(id, Ordinal::new(3)).await.unwrap();
    for next in 3..3003 {
        let mut append = Box::pin(thread.append(vec![says("more")]));
        assert!(!is_ready(&mut append));
        assert_eq!(ordinals(&mut first, 1).await, [next]);
        assert!(is_ready(&mut append), "answered first");
    }
    let mut next = 3;
    loop {
        match slow.next().await.unwrap().unwrap() {
            ThreadEvent::Record(record) => assert_eq!(record.ordinal.get(), next),
            ThreadEvent::CutOff { next: cut } => break assert_eq!(cut.get(), next),
            other => panic!("{other:?}"),
        }
        next += 1;
    }
    assert_eq!(slow.next().await.unwrap(), None);
    assert!(next < 3003);
    thread.shutdown().await.unwrap();
    assert_eq!(rest(first).await, [0_u64; 0]);
    store.shutdown().await.unwrap();
    assert_eq!(home.disk.writes(), 0);
}

/// What was acknowledged last went with the thread, unseen, when the end was asked for at once.
#[tokio::test]
async fn an_ephemeral_threads_last_records_are_shown_before_it_ends() {
    let home = TestHome::new();
    let store = home.open().await;
    let ephemeral = StartThread {
        ephemeral: true,
        ..start()
    };
    for is_discarded in [false, true] {
        let thread = store.start_thread(ephemeral.clone()).await.unwrap();
        let id = thread.thread_id();
        let subscription = store.subscribe(id, Ordinal::new(1)).await.unwrap();
        let last = thread.append(vec![says("last")]);
        let (appended, ended) = tokio::join!(last, async {
            match is_discarded {
                false => thread.shutdown().await,
                true => thread.discard().await,
            }
        });
        appended.unwrap();
        ended.unwrap();
        assert_eq!(rest(subscription).await, [1], "discarded: {is_discarded}");
    }
    store.shutdown().await.unwrap();
}

/// A subscriber who had not looked meanwhile was given the records of the thread that was made
/// anew under the id, as if they were those of the one that was gone.
#[tokio::test]
async fn a_thread_that_is_made_anew_under_an_id_is_another_one() {
    let home = TestHome::new();
    let store = home.open().await;
    let id = ThreadId::generate();
    let chosen = || StartThread {
        thread_id: Some(id),
        ..start()
    };
    let mut gone = Vec::new();
    for round in 0..3 {
        let thread = store.start_thread(chosen()).await.unwrap();
        gone.push(store.subscribe(id, Ordinal::ZERO).await.unwrap());
        match round {
            0 => thread.discard().await.unwrap(),
            1 => thread.shutdown().await.unwrap(),
            _ => {
                thread.append(vec![says("a")]).await.unwrap();
                assert_eq!(ordinals(&mut gone[2], 2).await, [0, 1]);
                gone.push(store.subscribe(id, Ordinal::new(2)).await.unwrap());
                store.delete_thread(id).await.unwrap();
            }
        }
    }
    let thread = store.start_thread(chosen()).await.unwrap();
    let new = store.subscribe(id, Ordinal::ZERO).await.unwrap();
    for _ in 0..3 {
        thread.append(vec![says("b")]).await.unwrap();
    }
    for subscription in gone {
        assert_eq!(rest(subscription).await, [0_u64; 0]);
    }
    store.shutdown().await.unwrap();
    assert_eq!(rest(new).await, [0, 1, 2, 3]);
}

/// The meta was shown while the batch that it was written with still waited for its sync.
#[tokio::test]
async fn nothing_of_a_new_thread_is_shown_before_what_brings_it_to_the_disk_is_answered() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = store.start_thread(start()).await.unwrap();
    let id = thread.thread_id();
    let mut subscription = store.subscribe(id, Ordinal::ZERO).await.unwrap();
    home.disk.hold_syncs(true);
    let mut append = Box::pin(thread.append(vec![ends("1")]));
    assert!(!is_ready(&mut append));
    tokio::select! {
        biased;
        event = subscription.next() => panic!("{event:?}"),
        () = async {
            while !store.load_history(id).await.is_ok_and(|it| it.records.len() == 2) {}
            // Each of them waits for a job on the pool, which takes them in their order.
            for _ in 0..50 {
                store.load_history(id).await.unwrap();
            }
        } => {}
    }
    home.disk.hold_syncs(false);
    assert_eq!(ordinals(&mut subscription, 2).await, [0, 1]);
    assert!(is_ready(&mut append));
    store.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_subscribers_of_a_thread_all_get_everything_and_its_end() {
    let home = TestHome::new();
    let store = home.open().await;
    let thread = thread_of(&store, 2).await;
    let id = thread.thread_id();
    let mut subscribers = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let mut subscription = store.subscribe(id, Ordinal::new(2)).await.unwrap();
        subscribers.spawn(async move {
            let seen = ordinals(&mut subscription, 40).await;
            assert!(seen.into_iter().eq(2..42));
            rest(subscription).await
        });
    }
    for _ in 0..40 {
        thread.append(vec![says("a")]).await.unwrap();
        tokio::task::yield_now().await;
    }
    store.shutdown().await.unwrap();
    for rest in subscribers.join_all().await {
        assert_eq!(rest, [0_u64; 0]);
    }
}
