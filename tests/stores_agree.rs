//! Two stores that are asked the same give the same answers: the local one, with its logs, index
//! and actors, is held against the one in memory, which knows nothing but records.
#![cfg(test)]

use std::sync::Arc;

use proptest::prelude::*;
use selvedge::view::{Change, MetadataPatch};
use selvedge::{
    AppendOptions, Clock, ForkPoint, ForkThread, InMemoryThreadStore, ItemDetail, ItemQuery,
    ListQuery, LocalThreadStore, ManualClock, OpenOptions, Ordinal, Record, Result, ResumeThread,
    SearchQuery, SortKey, StartThread, ThreadFilter, ThreadId, ThreadStore, ThreadSummary,
    TurnQuery, UtcMicros,
};
use tempfile::TempDir;

mod common;

const THREADS: u8 = 4;

fn id(thread: u8) -> ThreadId {
    ThreadId::from_bytes([thread + 1; 16])
}

#[derive(Debug, Clone)]
enum Step {
    Create(u8),
    /// So many turns, and whether another one is begun and not ended.
    Append(u8, usize, bool),
    Persist(u8),
    Shutdown(u8),
    Discard(u8),
    Resume(u8, bool),
    Rename(u8, Option<u8>),
    Archive(u8, bool),
    Delete(u8),
    Fork {
        source: u8,
        to: u8,
        point: Point,
    },
    RollBack(u8, u32),
}

#[derive(Debug, Clone)]
enum Point {
    Whole,
    After(usize),
    Before(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let thread = || 0..THREADS;
    let point = prop_oneof![
        Just(Point::Whole),
        (0..9_usize).prop_map(Point::After),
        (0..30_u64).prop_map(Point::Before),
    ];
    prop_oneof![
        3 => thread().prop_map(Step::Create),
        6 => (thread(), 0..3_usize, any::<bool>())
            .prop_map(|(thread, turns, begun)| Step::Append(thread, turns, begun)),
        1 => thread().prop_map(Step::Persist),
        2 => thread().prop_map(Step::Shutdown),
        1 => thread().prop_map(Step::Discard),
        3 => (thread(), any::<bool>()).prop_map(|(thread, moved)| Step::Resume(thread, moved)),
        2 => (thread(), proptest::option::of(0..3_u8))
            .prop_map(|(thread, name)| Step::Rename(thread, name)),
        2 => (thread(), any::<bool>()).prop_map(|(thread, into)| Step::Archive(thread, into)),
        1 => thread().prop_map(Step::Delete),
        3 => (thread(), thread(), point)
            .prop_map(|(source, to, point)| Step::Fork { source, to, point }),
        2 => (thread(), 0..4_u32).prop_map(|(thread, turns)| Step::RollBack(thread, turns)),
    ]
}

/// An answer, without what two stores may differ in.
fn answer<T>(result: Result<T>, told: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(value) => told(value),
        Err(error) => format!("{error:?}"),
    }
}

fn told(summary: ThreadSummary) -> String {
    let rollout_path = String::new();
    let summary = ThreadSummary {
        rollout_path,
        ..summary
    };
    format!("{summary:?}")
}

fn told_records(records: &[Record]) -> Vec<String> {
    let told = records.iter().map(|record| {
        let payload = record.payload_json().unwrap();
        let (ordinal, time, turn) = (record.ordinal, record.time, &record.turn_id);
        format!("{ordinal} {time:?} {turn:?} {:?} {payload}", record.batch)
    });
    told.collect()
}

/// Carries a step out. `turn` numbers the turns of both stores alike.
async fn take(store: &dyn ThreadStore, step: &Step, turn: usize) -> String {
    match step.clone() {
        Step::Create(thread) => {
            let start = StartThread {
                thread_id: Some(id(thread)),
                cwd: format!("/work/{thread}"),
                parent_thread_id: (thread > 1).then(|| id(thread - 1)),
                ..StartThread::default()
            };
            answer(store.create_thread(start).await, |id| id.to_string())
        }
        Step::Append(thread, turns, is_begun) => {
            let mut items: Vec<_> = (turn..turn + turns).flat_map(common::turn).collect();
            if is_begun {
                items.extend(common::turn(turn + turns).into_iter().take(2));
            }
            let appended = store.append_items(id(thread), items, AppendOptions::default());
            answer(appended.await, |ack| {
                format!("{:?}", (ack.first_ordinal, ack.last_ordinal))
            })
        }
        Step::Persist(thread) => answer(store.persist_thread(id(thread)).await, |()| "ok".into()),
        Step::Shutdown(thread) => answer(store.shutdown_thread(id(thread)).await, |()| "ok".into()),
        Step::Discard(thread) => answer(store.discard_thread(id(thread)).await, |()| "ok".into()),
        Step::Resume(thread, is_moved) => {
            let mut resume = ResumeThread::from(id(thread));
            if is_moved {
                resume.changes.cwd = Change::Set("/moved".into());
            }
            answer(store.resume_thread(resume).await, told)
        }
        Step::Rename(thread, name) => {
            let name = name.map(|name| format!("name {name}"));
            let patch = MetadataPatch {
                name: name.into(),
                ..MetadataPatch::default()
            };
            answer(store.update_metadata(id(thread), patch).await, told)
        }
        Step::Archive(thread, true) => answer(store.archive_thread(id(thread)).await, told),
        Step::Archive(thread, false) => answer(store.unarchive_thread(id(thread)).await, told),
        Step::Delete(thread) => answer(store.delete_thread(id(thread)).await, |()| "ok".into()),
        Step::Fork { source, to, point } => {
            let mut fork = ForkThread::of(id(source));
            fork.start.thread_id = Some(id(to));
            fork.point = match point {
                Point::Whole => ForkPoint::Whole,
                Point::After(turn) => ForkPoint::AfterTurn(format!("turn-{turn}")),
                Point::Before(ordinal) => ForkPoint::Before(Ordinal::new(ordinal)),
            };
            answer(store.fork_thread(fork).await, told)
        }
        Step::RollBack(thread, turns) => answer(store.roll_back(id(thread), turns).await, |done| {
            format!("{} {:?}", told(done.thread), done.turns)
        }),
    }
}

/// Everything that a store says, each by what it was asked.
async fn state(store: &dyn ThreadStore) -> Vec<(String, String)> {
    let live = store.loaded_threads().await.unwrap();
    let mut state = vec![("live".to_owned(), format!("{live:?}"))];
    for thread in 0..THREADS {
        for (asked, said) in of_thread(store, id(thread)).await {
            state.push((format!("{asked} of {thread}"), said));
        }
    }
    for sort in [SortKey::Created, SortKey::Updated, SortKey::Recency] {
        for archived in [false, true] {
            for (asked, said) in of_all(store, (sort, archived)).await {
                state.push((format!("{asked} {sort:?} {archived}"), said));
            }
        }
    }
    state
}

async fn of_thread(store: &dyn ThreadStore, id: ThreadId) -> [(&'static str, String); 5] {
    let turns = TurnQuery {
        items: ItemDetail::Summary,
        limit: 3,
        ..TurnQuery::default()
    };
    let turns = answer(store.list_turns(id, turns).await, |page| {
        let turns = page.turns.into_iter();
        let turns: Vec<_> = turns
            .map(|entry| (entry.turn, told_records(&entry.items)))
            .collect();
        format!("{} {turns:#?}", page.next_cursor.is_some())
    });
    let items = store.list_items(id, ItemQuery::default()).await;
    let items = answer(items, |page| {
        let items = told_records(&page.items);
        format!("{} {items:#?}", page.next_cursor.is_some())
    });
    let history = answer(store.load_history(id).await, |history| {
        format!("{} {:#?}", history.own_from, told_records(&history.records))
    });
    let context = answer(store.load_model_context(id).await, |context| {
        format!("{} {:#?}", context.is_whole, told_records(&context.records))
    });
    [
        ("summary", answer(store.read_thread(id).await, told)),
        ("history", history),
        ("context", context),
        ("turns", turns),
        ("items", items),
    ]
}

async fn of_all(
    store: &dyn ThreadStore,
    (sort, archived): (SortKey, bool),
) -> [(&'static str, String); 2] {
    let filter = ThreadFilter {
        archived,
        include_empty: true,
        ..ThreadFilter::default()
    };
    let query = ListQuery {
        sort,
        filter: filter.clone(),
        ..ListQuery::default()
    };
    let page = store.list_threads(query).await.unwrap();
    let threads: Vec<_> = page.threads.into_iter().map(told).collect();
    let query = SearchQuery {
        term: "QUESTION 1".into(),
        filter,
        sort,
        ..SearchQuery::default()
    };
    let page = store.search_threads(query).await.unwrap();
    let hits = page.hits.into_iter();
    let hits: Vec<_> = hits.map(|hit| (told(hit.thread), hit.snippet)).collect();
    [
        ("list", format!("{threads:#?}")),
        ("search", format!("{hits:#?}")),
    ]
}

async fn assert_same(found: &dyn ThreadStore, expected: &dyn ThreadStore) {
    let (found, expected) = (state(found).await, state(expected).await);
    for ((asked, found), (_, expected)) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "{asked}");
    }
    assert_eq!(found.len(), expected.len());
}

async fn assert_agree(steps: &[Step]) {
    let clock = Arc::new(ManualClock::new(UtcMicros::new(1_700_000_000_000_000)));
    let home = TempDir::new().unwrap();
    let open = async || {
        let options = OpenOptions::new(home.path())
            .create(true)
            .clock(Arc::<ManualClock>::clone(&clock) as Arc<dyn Clock>);
        LocalThreadStore::open(options).await.unwrap()
    };
    let memory = InMemoryThreadStore::with_clock(Arc::<ManualClock>::clone(&clock));
    let local = open().await;
    let mut turn = 0;
    for (number, step) in steps.iter().enumerate() {
        clock.advance_micros(1_000_000);
        let expected = take(&memory, step, turn).await;
        let found = take(&local, step, turn).await;
        assert_eq!(found, expected, "step {number}: {step:?}");
        turn += 3;
    }
    assert_same(&local, &memory).await;
    // What is kept is the same when it is read again.
    for thread in memory.loaded_threads().await.unwrap() {
        memory.shutdown_thread(thread).await.unwrap();
    }
    local.selvedge().clone().shutdown().await.unwrap();
    let local = open().await;
    assert_same(&local, &memory).await;
    local.selvedge().clone().shutdown().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_stores_that_are_asked_the_same_answer_the_same(
        steps in proptest::collection::vec(step(), 1..70),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(assert_agree(&steps));
    }
}
