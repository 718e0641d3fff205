//! Whatever is asked of them, and in whatever order: the local store and the one in memory give
//! the same answers, errors included. Each is the other's model; the local one is reopened and
//! re-indexed in between.
#![cfg(test)]

mod common;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use common::{event, user_message};
use proptest::prelude::*;
use selvedge::view::{Change, MetadataPatch};
use selvedge::{
    AppendOptions, BatchPosition, Direction, Error, ForkPoint, ForkThread, InMemoryThreadStore,
    Item, ItemDetail, ItemQuery, ListQuery, LocalThreadStore, ManualClock, OccurrenceQuery,
    OpenOptions, Ordinal, Record, ResumeThread, SearchQuery, SortKey, StartThread, ThreadFilter,
    ThreadId, ThreadStore, ThreadSummary, TurnQuery, UtcMicros,
};
use serde_json::json;

/// How many threads a program may name: few, so that its steps meet.
const THREADS: u8 = 4;
/// 2026-11-20T14:00:00Z.
const START: i64 = 1_795_183_200_000_000;

/// One step of a program. Numbers that name no thread, turn or record are steps, too.
#[derive(Debug, Clone)]
enum Step {
    Create {
        thread: u8,
        parent: Option<u8>,
        cwd: u8,
    },
    Turn {
        thread: u8,
        words: u8,
        end: u8,
    },
    Loose {
        thread: u8,
        kind: u8,
    },
    RollBack {
        thread: u8,
        turns: u8,
    },
    Patch {
        thread: u8,
        field: u8,
        clear: bool,
    },
    Fork {
        thread: u8,
        source: u8,
        point: u8,
        at: u8,
    },
    Archive {
        thread: u8,
    },
    Unarchive {
        thread: u8,
    },
    Delete {
        thread: u8,
    },
    Resume {
        thread: u8,
        moved: bool,
    },
    Shutdown {
        thread: u8,
    },
    Discard {
        thread: u8,
    },
    Persist {
        thread: u8,
    },
    /// The local store is closed and opened again; the other one shuts its threads down.
    Reopen {
        rebuild: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let thread = || 0..THREADS;
    prop_oneof![
        4 => (thread(), prop::option::weighted(0.2, thread()), 0..3_u8)
            .prop_map(|(thread, parent, cwd)| Step::Create { thread, parent, cwd }),
        8 => (thread(), 0..4_u8, 0..4_u8)
            .prop_map(|(thread, words, end)| Step::Turn { thread, words, end }),
        4 => (thread(), 0..5_u8).prop_map(|(thread, kind)| Step::Loose { thread, kind }),
        3 => (thread(), 0..4_u8).prop_map(|(thread, turns)| Step::RollBack { thread, turns }),
        3 => (thread(), 0..7_u8, any::<bool>())
            .prop_map(|(thread, field, clear)| Step::Patch { thread, field, clear }),
        4 => (thread(), thread(), 0..3_u8, 0..12_u8)
            .prop_map(|(thread, source, point, at)| Step::Fork { thread, source, point, at }),
        1 => thread().prop_map(|thread| Step::Archive { thread }),
        1 => thread().prop_map(|thread| Step::Unarchive { thread }),
        2 => thread().prop_map(|thread| Step::Delete { thread }),
        2 => (thread(), any::<bool>())
            .prop_map(|(thread, moved)| Step::Resume { thread, moved }),
        2 => thread().prop_map(|thread| Step::Shutdown { thread }),
        1 => thread().prop_map(|thread| Step::Discard { thread }),
        1 => thread().prop_map(|thread| Step::Persist { thread }),
        1 => any::<bool>().prop_map(|rebuild| Step::Reopen { rebuild }),
    ]
}

fn id_of(number: u8) -> ThreadId {
    ThreadId::from_bytes([number.wrapping_mul(83).wrapping_add(7); 16])
}

const WORDS: [&str; 4] = [
    "the Resolver fails",
    "naïve CAFÉ ☕",
    "a\tb\n\"c\" 𝒳",
    "resolver resolver",
];

fn turn(number: usize, words: u8, end: u8) -> Vec<Item> {
    let id = format!("turn-{number}");
    let words = WORDS[usize::from(words)];
    let mut items = vec![
        event(&json!({"type": "task_started", "turn_id": id})),
        user_message(words),
        event(&json!({"type": "agent_message", "message": format!("Answer: {words}")})),
    ];
    items.extend(match end {
        0 => Some(event(
            &json!({"type": "task_complete", "turn_id": id, "duration_ms": 5}),
        )),
        1 => Some(event(
            &json!({"type": "turn_aborted", "turn_id": id, "reason": "interrupted"}),
        )),
        2 => Some(event(
            &json!({"type": "turn_failed", "turn_id": id, "message": "no"}),
        )),
        _ => None,
    });
    items
}

fn loose(kind: u8) -> Item {
    let item =
        |kind: &str, payload: serde_json::Value| Item::json(kind, payload.to_string()).unwrap();
    match kind {
        0 => item(
            "turn_context",
            json!({"model": "m-1", "effort": "high", "turn_id": "turn-0"}),
        ),
        1 => item(
            "compacted",
            json!({"message": "so far", "replacement_history": []}),
        ),
        2 => event(
            &json!({"type": "token_count", "info": {"total_token_usage": {"total_tokens": 9}}}),
        ),
        3 => user_message("said outside of a turn"),
        _ => Item::binary("blob", vec![0, 159, 146, 150]).unwrap(),
    }
}

fn patch(field: u8, clear: bool) -> MetadataPatch {
    let change = |text: &str| {
        if clear {
            Change::Clear
        } else {
            Change::Set(text.to_owned())
        }
    };
    let mut patch = MetadataPatch::default();
    match field {
        0 => patch.name = change("a name"),
        1 => patch.title = change("a title"),
        2 => patch.git_sha = change("c0ffee"),
        3 => patch.git_branch = change("main"),
        4 => patch.memory_mode = change("disabled"),
        5 => patch.preview = change("another preview"),
        _ => patch.cwd = change("/elsewhere"),
    }
    patch
}

/// What an error is, without what only one of the stores can say of it.
fn kind(error: &Error) -> String {
    match error {
        Error::InvalidRequest(why) => format!("{why:?}"),
        Error::ThreadNotFound { thread_id } => format!("not found: {thread_id}"),
        other => format!("{other:?}"),
    }
}

fn same<T: Debug + PartialEq>(
    what: &str,
    local: &selvedge::Result<T>,
    memory: &selvedge::Result<T>,
) {
    match (local, memory) {
        (Ok(local), Ok(memory)) => assert_eq!(local, memory, "{what}: local, in memory"),
        (Err(local), Err(memory)) => assert_eq!(kind(local), kind(memory), "{what}"),
        _ => panic!("{what}\n local: {local:#?}\nmemory: {memory:#?}"),
    }
}

/// A summary without what depends on where a store keeps things.
fn neutral(mut thread: ThreadSummary) -> ThreadSummary {
    thread.rollout_path.clear();
    thread
}

type Plain = (
    Ordinal,
    UtcMicros,
    BatchPosition,
    String,
    Option<String>,
    String,
);

fn plain(record: &Record) -> Plain {
    (
        record.ordinal,
        record.time,
        record.batch,
        record.record_type.as_str().to_owned(),
        record.turn_id.as_ref().map(ToString::to_string),
        record.payload_json().unwrap().get().to_owned(),
    )
}

fn plains(records: &[Record]) -> Vec<Plain> {
    records.iter().map(plain).collect()
}

struct Both {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    local: LocalThreadStore,
    memory: InMemoryThreadStore,
    turns: usize,
}

async fn open(home: &Path, clock: &Arc<ManualClock>) -> LocalThreadStore {
    let options = OpenOptions::new(home)
        .create(true)
        .clock(Arc::clone(clock) as _);
    LocalThreadStore::open(options).await.unwrap()
}

/// Asks both stores the same.
macro_rules! both {
    ($both:expr, $what:expr, |$store:ident| $ask:expr) => {{
        let local = {
            let $store: &dyn ThreadStore = &$both.local;
            $ask
        };
        let memory = {
            let $store: &dyn ThreadStore = &$both.memory;
            $ask
        };
        same($what, &local, &memory);
        local
    }};
}

impl Both {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(UtcMicros::new(START)));
        Self {
            local: open(dir.path(), &clock).await,
            memory: InMemoryThreadStore::with_clock(Arc::clone(&clock) as _),
            dir,
            clock,
            turns: 0,
        }
    }

    async fn take(&mut self, step: &Step) {
        self.clock.advance_micros(1_000_000);
        let what = &format!("{step:?}");
        match step.clone() {
            Step::Create {
                thread,
                parent,
                cwd,
            } => {
                let start = StartThread {
                    thread_id: Some(id_of(thread)),
                    cwd: format!("/w/{cwd}"),
                    parent_thread_id: parent.map(id_of),
                    source: Some("\"cli\"".into()),
                    ..StartThread::default()
                };
                both!(self, what, |store| store.create_thread(start.clone()).await).ok();
            }
            Step::Turn { thread, words, end } => {
                self.turns += 1;
                let items = turn(self.turns, words, end);
                self.append(what, thread, items).await;
            }
            Step::Loose { thread, kind } => self.append(what, thread, vec![loose(kind)]).await,
            Step::RollBack { thread, turns } => {
                let id = id_of(thread);
                both!(self, what, |store| store
                    .roll_back(id, turns.into())
                    .await
                    .map(|back| (neutral(back.thread), back.turns)))
                .ok();
            }
            Step::Patch {
                thread,
                field,
                clear,
            } => {
                let (id, patch) = (id_of(thread), patch(field, clear));
                both!(self, what, |store| store
                    .update_metadata(id, patch.clone())
                    .await
                    .map(neutral))
                .ok();
            }
            other => self.take_whole(what, other).await,
        }
    }

    /// A step that takes a thread as a whole.
    async fn take_whole(&mut self, what: &str, step: Step) {
        match step {
            Step::Fork {
                thread,
                source,
                point,
                at,
            } => {
                let fork = ForkThread {
                    point: match point {
                        0 => ForkPoint::Whole,
                        1 => ForkPoint::AfterTurn(format!("turn-{at}")),
                        _ => ForkPoint::Before(Ordinal::new(at.into())),
                    },
                    start: StartThread {
                        thread_id: Some(id_of(thread)),
                        ..StartThread::default()
                    },
                    ..ForkThread::of(id_of(source))
                };
                both!(self, what, |store| store
                    .fork_thread(fork.clone())
                    .await
                    .map(neutral))
                .ok();
            }
            Step::Archive { thread } => {
                both!(self, what, |store| store
                    .archive_thread(id_of(thread))
                    .await
                    .map(neutral))
                .ok();
            }
            Step::Unarchive { thread } => {
                both!(self, what, |store| store
                    .unarchive_thread(id_of(thread))
                    .await
                    .map(neutral))
                .ok();
            }
            Step::Delete { thread } => {
                both!(self, what, |store| store.delete_thread(id_of(thread)).await).ok();
            }
            other => self.take_life(what, other).await,
        }
    }

    /// A step in a thread's life.
    async fn take_life(&mut self, what: &str, step: Step) {
        match step {
            Step::Resume { thread, moved } => {
                let mut resume = ResumeThread::from(id_of(thread));
                if moved {
                    resume.changes.cwd = Change::Set("/moved".into());
                }
                both!(self, what, |store| store
                    .resume_thread(resume.clone())
                    .await
                    .map(neutral))
                .ok();
            }
            Step::Shutdown { thread } => {
                both!(self, what, |store| store
                    .shutdown_thread(id_of(thread))
                    .await)
                .ok();
            }
            Step::Discard { thread } => {
                both!(self, what, |store| store
                    .discard_thread(id_of(thread))
                    .await)
                .ok();
            }
            Step::Persist { thread } => {
                both!(self, what, |store| store
                    .persist_thread(id_of(thread))
                    .await)
                .ok();
            }
            Step::Reopen { rebuild } => self.reopen(rebuild).await,
            other => unreachable!("{other:?}"),
        }
    }

    async fn append(&self, what: &str, thread: u8, items: Vec<Item>) {
        let id = id_of(thread);
        both!(self, what, |store| store
            .append_items(id, items.clone(), AppendOptions::default())
            .await
            .map(|ack| (ack.first_ordinal, ack.last_ordinal)))
        .ok();
    }

    async fn reopen(&mut self, rebuild: bool) {
        for id in self.memory.loaded_threads().await.unwrap() {
            self.memory.shutdown_thread(id).await.unwrap();
        }
        self.local.selvedge().clone().shutdown().await.unwrap();
        self.local = open(self.dir.path(), &self.clock).await;
        if rebuild {
            self.local.selvedge().rebuild(|_| {}).await.unwrap();
        }
    }

    async fn compare(&self) {
        both!(self, "loaded", |store| store.loaded_threads().await).unwrap();
        self.compare_lists().await;
        for thread in 0..THREADS {
            let id = id_of(thread);
            let read = both!(self, "read", |store| store
                .read_thread(id)
                .await
                .map(neutral));
            both!(self, "history", |store| store
                .load_history(id)
                .await
                .map(|history| (history.own_from, plains(&history.records))))
            .ok();
            both!(self, "context", |store| store
                .load_model_context(id)
                .await
                .map(|context| (plains(&context.records), context.is_whole)))
            .ok();
            if read.is_ok() {
                self.compare_pages(id).await;
            }
        }
    }

    async fn compare_lists(&self) {
        for (archived, include_empty) in [(false, false), (true, true), (false, true)] {
            for filter in [
                ThreadFilter::default(),
                ThreadFilter {
                    cwds: vec!["/w/./1/".into()],
                    ..ThreadFilter::default()
                },
                ThreadFilter {
                    parent: Some(id_of(0)),
                    ..ThreadFilter::default()
                },
                ThreadFilter {
                    ancestor: Some(id_of(1)),
                    ..ThreadFilter::default()
                },
                ThreadFilter {
                    search: Some("RESOLVER".into()),
                    ..ThreadFilter::default()
                },
                ThreadFilter {
                    search: Some("a name".into()),
                    ..ThreadFilter::default()
                },
            ] {
                let filter = ThreadFilter {
                    archived,
                    include_empty,
                    ..filter
                };
                for sort in [SortKey::Created, SortKey::Updated, SortKey::Recency] {
                    let query = ListQuery {
                        filter: filter.clone(),
                        sort,
                        limit: 2,
                        ..ListQuery::default()
                    };
                    self.compare_list(query).await;
                }
            }
        }
        for term in ["resolver", "café", "\"c\"", "absent", "\n"] {
            let query = SearchQuery {
                term: term.into(),
                ..SearchQuery::default()
            };
            both!(self, term, |store| store
                .search_threads(query.clone())
                .await
                .map(|page| {
                    page.hits
                        .into_iter()
                        .map(|hit| (neutral(hit.thread), hit.snippet))
                        .collect::<Vec<_>>()
                }))
            .unwrap();
        }
    }

    async fn compare_list(&self, mut query: ListQuery) {
        loop {
            let page = both!(self, &format!("{query:?}"), |store| store
                .list_threads(query.clone())
                .await
                .map(|page| {
                    let threads: Vec<_> = page.threads.into_iter().map(neutral).collect();
                    (threads, page.next_cursor, page.backwards_cursor)
                }))
            .unwrap();
            match page.1 {
                Some(next) => query.cursor = Some(next),
                None => return,
            }
        }
    }

    /// Pages of two, either way; the cursors of each store go on in that store.
    async fn compare_pages(&self, id: ThreadId) {
        for direction in [Direction::Descending, Direction::Ascending] {
            for items in [ItemDetail::None, ItemDetail::Summary, ItemDetail::Full] {
                let local = all_turns(&self.local, id, (direction, items)).await;
                let memory = all_turns(&self.memory, id, (direction, items)).await;
                assert_eq!(local, memory, "turns of {id}, {direction:?}, {items:?}");
            }
            for turn in [None, Some("turn-1".to_owned())] {
                let local = all_items(&self.local, id, (direction, turn.clone())).await;
                let memory = all_items(&self.memory, id, (direction, turn)).await;
                same("items", &local, &memory);
            }
        }
        for term in ["resolver", "É", "absent"] {
            let query = OccurrenceQuery {
                term: term.into(),
                ..OccurrenceQuery::default()
            };
            both!(self, term, |store| store
                .search_occurrences(id, query.clone())
                .await
                .map(|page| {
                    page.occurrences
                        .into_iter()
                        .map(|found| {
                            (
                                found.ordinal,
                                found.utf16_range,
                                found.snippet,
                                found.turn_id,
                            )
                        })
                        .collect::<Vec<_>>()
                }))
            .unwrap();
        }
    }
}

type PlainTurn = (selvedge::TurnSummary, Vec<Plain>);

async fn all_turns(
    store: &dyn ThreadStore,
    id: ThreadId,
    (direction, items): (Direction, ItemDetail),
) -> Vec<PlainTurn> {
    let mut query = TurnQuery {
        direction,
        limit: 2,
        items,
        cursor: None,
    };
    let mut all = Vec::new();
    loop {
        let page = store.list_turns(id, query.clone()).await.unwrap();
        all.extend(
            page.turns
                .into_iter()
                .map(|entry| (entry.turn, plains(&entry.items))),
        );
        match page.next_cursor {
            Some(next) => query.cursor = Some(next),
            None => return all,
        }
    }
}

async fn all_items(
    store: &dyn ThreadStore,
    id: ThreadId,
    (direction, turn_id): (Direction, Option<String>),
) -> selvedge::Result<Vec<Plain>> {
    let mut query = ItemQuery {
        turn_id,
        direction,
        limit: 2,
        cursor: None,
    };
    let mut all = Vec::new();
    loop {
        let page = store.list_items(id, query.clone()).await?;
        all.extend(plains(&page.items));
        match page.next_cursor {
            Some(next) => query.cursor = Some(next),
            None => return Ok(all),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn both_stores_give_the_same_answers(steps in prop::collection::vec(step(), 1..28)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut both = Both::new().await;
            for (number, step) in steps.iter().enumerate() {
                both.take(step).await;
                if number % 7 == 6 {
                    both.compare().await;
                }
            }
            both.compare().await;
            both.reopen(true).await;
            both.compare().await;
        });
    }
}
