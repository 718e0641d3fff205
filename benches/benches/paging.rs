//! Pages of one thread of 100 MB and the end of it that the model sees, beside reading the log's
//! last 64 KiB and beside loading all of it.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark stops at the first surprise, and measures raw files beside the engine"
)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use selvedge::{Item, ThreadId};
use selvedge_benches::{ROUNDS, item, payload, user_message};
use selvedge_engine::clock::{Clock, SystemClock};
use selvedge_engine::log::{NewThread, ThreadLog};
use selvedge_engine::paging::{ItemDetail, ItemQuery, TurnQuery};
use selvedge_engine::store::{Store, StoreOptions};

const BYTES: usize = 100 << 20;
/// Items of 1 KiB in a turn.
const ITEMS: usize = 20;
/// The model's history was replaced this often, and last so many turns before the end.
const COMPACTION_EVERY: usize = 100;

fn event(kind: &str, turn: usize) -> Item {
    let payload = format!(r#"{{"type":"{kind}","turn_id":"turn-{turn}"}}"#);
    Item::json("event_msg", payload).unwrap()
}

fn turn(at: usize) -> Vec<Item> {
    let context = format!(r#"{{"turn_id":"turn-{at}","model":"m","cwd":"/work"}}"#);
    let mut items = vec![
        event("task_started", at),
        Item::json("turn_context", context).unwrap(),
        user_message("go on"),
    ];
    items.extend(vec![item(1024); ITEMS]);
    if at % COMPACTION_EVERY == COMPACTION_EVERY - 3 {
        let history = format!(
            r#"{{"message":"m","replacement_history":[{}]}}"#,
            payload(8 << 10)
        );
        items.push(Item::json("compacted", history).unwrap());
    }
    items.push(event("task_complete", at));
    items
}

/// A thread of 100 MB whose history was replaced three turns before its end.
fn long_thread(store: &Store) -> ThreadId {
    let thread_id = ThreadId::generate();
    let meta = format!(r#"{{"id":"{thread_id}","cwd":"/work","source":"cli"}}"#);
    let new = NewThread {
        thread_id,
        created_at: SystemClock.now(),
        meta: Item::json("session_meta", meta).unwrap(),
    };
    let mut log = ThreadLog::create(store.log_context().clone(), new);
    let turns = BYTES / (ITEMS << 10) / COMPACTION_EVERY * COMPACTION_EVERY;
    for at in 0..turns {
        log.append(turn(at).into_iter().map(|item| vec![item]).collect())
            .unwrap();
    }
    log.sync().unwrap();
    log.close().unwrap();
    thread_id
}

/// The same thread as JSON lines.
fn as_lines(store: &Store, native: ThreadId, home: &Path) -> ThreadId {
    let thread_id = ThreadId::generate();
    let mut lines = Vec::new();
    for record in store.history(native).unwrap().records {
        let payload = record.payload_json().unwrap();
        let line = format!(
            "{{\"timestamp\":\"{}\",\"type\":\"{}\",\"payload\":{}}}\n",
            record.time.to_line_text(),
            record.record_type,
            payload
                .get()
                .replace(&native.to_string(), &thread_id.to_string()),
        );
        lines.extend(line.into_bytes());
    }
    let day = home.join("sessions/2026/01/01");
    std::fs::create_dir_all(&day).unwrap();
    let name = format!("rollout-2026-01-01T00-00-00-{thread_id}.jsonl");
    std::fs::write(day.join(name), lines).unwrap();
    thread_id
}

fn raw_tail(path: &Path) -> Vec<u8> {
    let file = File::open(path).unwrap();
    let mut tail = vec![0; 64 << 10];
    let length = file.metadata().unwrap().len();
    file.read_exact_at(&mut tail, length - (64 << 10)).unwrap();
    tail
}

fn paging(criterion: &mut Criterion) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(StoreOptions::new(home.path())).unwrap();
    let native = long_thread(&store);
    let lines = as_lines(&store, native, home.path());
    store.backfill(Duration::from_secs(60), &|_| ()).unwrap();
    let path = home
        .path()
        .join(store.read_thread(native).unwrap().rollout_path);

    let mut group = criterion.benchmark_group("paging_100mb");
    group.sample_size(20);
    for round in 0..ROUNDS {
        group.bench_function(format!("raw_tail/{round}"), |bencher| {
            bencher.iter(|| raw_tail(&path));
        });
        for (format, thread) in [("native", native), ("lines", lines)] {
            group.bench_function(format!("model_context/{format}/{round}"), |bencher| {
                bencher.iter(|| {
                    let context = store.model_context(thread).unwrap();
                    assert!(!context.is_whole);
                    context
                });
            });
            let items = ItemQuery::default();
            group.bench_function(format!("newest_50_items/{format}/{round}"), |bencher| {
                bencher.iter(|| store.items_page(thread, &items).unwrap());
            });
            let turns = TurnQuery::default();
            group.bench_function(format!("newest_50_turns/{format}/{round}"), |bencher| {
                bencher.iter(|| store.turns_page(thread, &turns).unwrap());
            });
            let full = TurnQuery {
                items: ItemDetail::Full,
                limit: 10,
                ..TurnQuery::default()
            };
            group.bench_function(
                format!("newest_10_full_turns/{format}/{round}"),
                |bencher| {
                    bencher.iter(|| store.turns_page(thread, &full).unwrap());
                },
            );
        }
    }
    group.bench_function("load_history/native", |bencher| {
        bencher.iter(|| store.history(native).unwrap());
    });
    group.finish();
}

criterion_group!(benches, paging);
criterion_main!(benches);
