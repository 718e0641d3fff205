//! What the checks are made of.

use std::sync::Arc;

use selvedge_codec::view::{Change, MetadataPatch};
use selvedge_codec::{Item, Ordinal, Record, ThreadId, UtcMicros};
use selvedge_engine::log::History;
use selvedge_engine::thread::ThreadSummary;
use tokio::time::{Duration, timeout};

use super::{Abilities, StoreFactory};
use crate::{Ack, AppendOptions, StartThread, Subscription, ThreadEvent, ThreadStore};

/// A fresh store, on which one check runs.
pub(super) struct Subject<'a> {
    pub(super) store: Arc<dyn ThreadStore>,
    pub(super) factory: &'a dyn StoreFactory,
}

/// Asserts that an operation was refused with an error of this shape.
macro_rules! refused {
    ($result:expr, $error:pat $(if $guard:expr)?) => {
        match $result {
            Err($error) $(if $guard)? => {}
            other => panic!("expected {}, got {other:?}", stringify!($error)),
        }
    };
}

/// Asserts that a request was found invalid for a reason of this shape.
macro_rules! invalid {
    ($result:expr, $why:ident $(($($of:tt)*))? $({$($with:tt)*})? $(if $guard:expr)?) => {
        match $result {
            Err(selvedge_engine::Error::InvalidRequest(
                selvedge_engine::InvalidRequest::$why $(($($of)*))? $({$($with)*})?,
            )) $(if $guard)? => {}
            other => panic!("expected {}, got {other:?}", stringify!($why)),
        }
    };
}

/// Asserts that a thread was not found.
macro_rules! not_found {
    ($result:expr) => {
        refused!($result, selvedge_engine::Error::ThreadNotFound { .. })
    };
}

impl Subject<'_> {
    pub(super) fn abilities(&self) -> Abilities {
        self.factory.abilities()
    }

    /// A new thread, of which nothing is kept yet.
    pub(super) async fn start(&self) -> ThreadId {
        self.start_in("/work").await
    }

    pub(super) async fn start_in(&self, cwd: &str) -> ThreadId {
        self.start_with(StartThread {
            cwd: cwd.into(),
            ..StartThread::default()
        })
        .await
    }

    pub(super) async fn start_with(&self, start: StartThread) -> ThreadId {
        self.store.create_thread(start).await.unwrap()
    }

    /// A live thread with so many turns: `turn-1` and so on, of [`TURN_RECORDS`] records each.
    pub(super) async fn thread_of(&self, turns: usize) -> ThreadId {
        let id = self.start().await;
        self.add_turns(id, 1..=turns).await;
        id
    }

    /// Appends turns of these numbers.
    pub(super) async fn add_turns(&self, id: ThreadId, numbers: std::ops::RangeInclusive<usize>) {
        for number in numbers {
            let items = turn(&format!("turn-{number}"), &format!("words of {number}"));
            self.append(id, items).await;
        }
    }

    pub(super) async fn append(&self, id: ThreadId, items: Vec<Item>) -> Ack {
        let appended = self.store.append_items(id, items, AppendOptions::default());
        appended.await.unwrap()
    }

    pub(super) async fn history(&self, id: ThreadId) -> History {
        let history = self.store.load_history(id).await.unwrap();
        for (expected, record) in (0..).zip(&history.records) {
            assert_eq!(record.ordinal.get(), expected, "a history has no gap");
        }
        let next = history.records.last().map(|record| record.ordinal.next());
        assert_eq!(history.position.next_ordinal, next.unwrap_or_default());
        assert!(history.damage.is_empty() && history.torn_tail.is_none());
        history
    }

    pub(super) async fn read(&self, id: ThreadId) -> ThreadSummary {
        let summary = self.store.read_thread(id).await.unwrap();
        assert_eq!(summary.thread_id, id);
        summary
    }

    pub(super) async fn patch(&self, id: ThreadId, patch: MetadataPatch) -> ThreadSummary {
        let answer = self.store.update_metadata(id, patch).await.unwrap();
        assert_eq!(
            answer,
            self.read(id).await,
            "the answer is the thread as it is"
        );
        answer
    }

    pub(super) async fn is_live(&self, id: ThreadId) -> bool {
        self.store.loaded_threads().await.unwrap().contains(&id)
    }

    pub(super) async fn follow(&self, id: ThreadId, from: u64) -> Subscription {
        let from = Ordinal::new(from);
        self.store.subscribe(id, from).await.unwrap()
    }

    /// Asserts that nothing is kept of a thread: no operation that reads finds it.
    pub(super) async fn assert_unknown(&self, id: ThreadId) {
        let store = &self.store;
        not_found!(store.read_thread(id).await);
        not_found!(store.load_history(id).await);
        not_found!(store.load_model_context(id).await);
        not_found!(store.list_turns(id, Default::default()).await);
        not_found!(store.list_items(id, Default::default()).await);
        let query = selvedge_engine::search::OccurrenceQuery {
            term: "words".into(),
            ..Default::default()
        };
        not_found!(store.search_occurrences(id, query).await);
        let listed = super::listing::all(self, Default::default()).await;
        assert!(listed.iter().all(|thread| thread.thread_id != id));
    }
}

/// How many records a [`turn`] has.
pub(super) const TURN_RECORDS: u64 = 4;

pub(super) fn event(payload: impl Into<String>) -> Item {
    Item::json("event_msg", payload.into()).unwrap()
}

pub(super) fn item(record_type: &str, payload: impl Into<String>) -> Item {
    Item::json(record_type, payload.into()).unwrap()
}

pub(super) fn started(turn_id: &str) -> Item {
    event(format!(
        r#"{{"type":"task_started","turn_id":"{turn_id}"}}"#
    ))
}

pub(super) fn completed(turn_id: &str) -> Item {
    event(format!(
        r#"{{"type":"task_complete","turn_id":"{turn_id}"}}"#
    ))
}

pub(super) fn said(words: &str) -> Item {
    let words = serde_json::to_string(words).unwrap();
    event(format!(r#"{{"type":"user_message","message":{words}}}"#))
}

pub(super) fn answered(words: &str) -> Item {
    let words = serde_json::to_string(words).unwrap();
    event(format!(r#"{{"type":"agent_message","message":{words}}}"#))
}

/// A turn from its start to its completion.
pub(super) fn turn(turn_id: &str, words: &str) -> Vec<Item> {
    vec![
        started(turn_id),
        said(words),
        answered(&format!("about {words}")),
        completed(turn_id),
    ]
}

/// The items, recorded at this second of their own.
pub(super) fn at(second: i64, items: Vec<Item>) -> Vec<Item> {
    let time = Some(time_at(second));
    items
        .into_iter()
        .map(|item| Item { time, ..item })
        .collect()
}

/// A time that no clock of a test tells.
pub(super) fn time_at(second: i64) -> UtcMicros {
    UtcMicros::new((4_000_000_000 + second) * 1_000_000)
}

pub(super) fn set(value: &str) -> Change<String> {
    Change::Set(value.to_owned())
}

pub(super) fn named(name: &str) -> MetadataPatch {
    MetadataPatch {
        name: set(name),
        ..MetadataPatch::default()
    }
}

/// What a record says, wherever it is kept.
pub(super) fn told(records: &[Record]) -> Vec<(u64, UtcMicros, String, String)> {
    let told = records.iter().map(|record| {
        (
            record.ordinal.get(),
            record.time,
            record.record_type.to_string(),
            record.payload_json().unwrap().get().to_owned(),
        )
    });
    told.collect()
}

pub(super) fn ordinals<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<u64> {
    let ordinals = records.into_iter().map(|record| record.ordinal.get());
    ordinals.collect()
}

/// The next event, which must be a record.
pub(super) async fn next_record(subscription: &mut Subscription) -> Record {
    match next(subscription).await {
        Some(ThreadEvent::Record(record)) => record,
        other => panic!("expected a record, got {other:?}"),
    }
}

/// The next event.
pub(super) async fn next(subscription: &mut Subscription) -> Option<ThreadEvent> {
    let waited = timeout(Duration::from_secs(20), subscription.next()).await;
    waited.expect("a subscriber is told in time").unwrap()
}

/// The next records, which must have these ordinals.
pub(super) async fn expect_records(
    subscription: &mut Subscription,
    ordinals: std::ops::Range<u64>,
) -> Vec<Record> {
    let mut records = Vec::new();
    for ordinal in ordinals {
        let record = next_record(subscription).await;
        assert_eq!(record.ordinal.get(), ordinal, "no gap and no repeat");
        records.push(record);
    }
    records
}
