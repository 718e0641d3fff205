//! Pages of one thread of 100 MB and the end of it that the model sees, beside reading the log's
//! last 64 KiB and beside loading all of it; and a fork of that thread, beside copying its file.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark stops at the first surprise, and measures raw files beside the engine"
)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use selvedge::{
    ForkThread, Item, ItemDetail, ItemQuery, OpenOptions, Selvedge, StartThread, ThreadId,
    TurnQuery,
};
use selvedge_benches::{ROUNDS, item, payload, runtime, user_message};

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
async fn long_thread(selvedge: &Selvedge) -> ThreadId {
    let thread = selvedge.start_thread(StartThread::default()).await.unwrap();
    let turns = BYTES / (ITEMS << 10) / COMPACTION_EVERY * COMPACTION_EVERY;
    for at in 0..turns {
        thread.append(turn(at)).await.unwrap();
    }
    thread.shutdown().await.unwrap();
    thread.thread_id()
}

/// The same thread as JSON lines.
async fn as_lines(selvedge: &Selvedge, native: ThreadId, home: &Path) -> ThreadId {
    let thread_id = ThreadId::generate();
    let mut lines = Vec::new();
    for record in selvedge.load_history(native).await.unwrap().records {
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

/// The most that a fork may write.
const FORK_BYTES: u64 = 8 << 10;

/// How long so many forks take. They are deleted as they come, which is not counted: a file has
/// only so many names.
fn forks(selvedge: &Selvedge, home: &Path, (id, many): (ThreadId, u64)) -> Duration {
    let runtime = runtime();
    let one = || {
        let begun = Instant::now();
        let fork = runtime
            .block_on(selvedge.fork_thread(ForkThread::of(id)))
            .unwrap();
        let took = begun.elapsed();
        let fork_id = fork.thread_id();
        let path = runtime
            .block_on(selvedge.read_thread(fork_id))
            .unwrap()
            .rollout_path;
        let written = std::fs::metadata(home.join(path)).unwrap().len();
        assert!(written <= FORK_BYTES, "a fork has written {written} bytes");
        runtime.block_on(selvedge.delete_thread(fork_id)).unwrap();
        took
    };
    (0..many).map(|_| one()).sum()
}

/// A page of each kind, and the model's context.
fn pages(group: &mut BenchmarkGroup<'_, WallTime>, what: &str, selvedge: &Selvedge, id: ThreadId) {
    let runtime = runtime();
    group.bench_function(format!("model_context/{what}"), |bencher| {
        bencher.iter(|| {
            let context = runtime.block_on(selvedge.load_model_context(id)).unwrap();
            assert!(!context.is_whole);
            context
        });
    });
    group.bench_function(format!("newest_50_items/{what}"), |bencher| {
        bencher.iter(|| {
            let page = selvedge.list_items(id, ItemQuery::default());
            runtime.block_on(page).unwrap()
        });
    });
    let full = TurnQuery {
        items: ItemDetail::Full,
        limit: 10,
        ..TurnQuery::default()
    };
    for (name, query) in [("50_turns", TurnQuery::default()), ("10_full_turns", full)] {
        group.bench_function(format!("newest_{name}/{what}"), |bencher| {
            bencher.iter(|| {
                let page = selvedge.list_turns(id, query.clone());
                runtime.block_on(page).unwrap()
            });
        });
    }
}

fn paging(criterion: &mut Criterion) {
    let runtime = runtime();
    let home = tempfile::tempdir().unwrap();
    let options = OpenOptions::new(home.path()).create(true);
    let selvedge = runtime.block_on(Selvedge::open(options)).unwrap();
    let native = runtime.block_on(long_thread(&selvedge));
    let lines = runtime.block_on(as_lines(&selvedge, native, home.path()));
    let summary = runtime.block_on(selvedge.read_thread(native)).unwrap();
    let path = home.path().join(summary.rollout_path);

    let mut group = criterion.benchmark_group("paging_100mb");
    group.sample_size(20);
    for round in 0..ROUNDS {
        group.bench_function(format!("raw_tail/{round}"), |bencher| {
            bencher.iter(|| raw_tail(&path));
        });
        group.bench_function(format!("raw_copy/{round}"), |bencher| {
            bencher.iter(|| std::fs::copy(&path, home.path().join("copy")).unwrap());
        });
        group.bench_function(format!("fork/{round}"), |bencher| {
            bencher.iter_custom(|many| forks(&selvedge, home.path(), (native, many)));
        });
        pages(&mut group, &format!("native/{round}"), &selvedge, native);
        pages(&mut group, &format!("json_lines/{round}"), &selvedge, lines);
    }
    group.bench_function("load_history/native", |bencher| {
        bencher.iter(|| runtime.block_on(selvedge.load_history(native)).unwrap());
    });
    group.finish();
    runtime.block_on(selvedge.shutdown()).unwrap();
}

criterion_group!(benches, paging);
criterion_main!(benches);
