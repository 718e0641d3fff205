//! 64 threads, 16 producers each, 1 KB an append, acknowledged when it survives power loss
//! (`Synced`); beside it a file a log with `fdatasync` from 64 OS threads, and how late a timer
//! of the same runtime fires meanwhile.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a benchmark stops at the first surprise, and measures raw files beside the engine"
)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use selvedge::{AppendOptions, Durability, LiveThread, OpenOptions, Selvedge, StartThread};
use selvedge_benches::{ROUNDS, item, payload, runtime};

const LOGS: usize = 64;
const PRODUCERS: usize = 16;
/// Appends of each log in one measured iteration.
const APPENDS: usize = 64;

fn raw(folder: &Path) -> Duration {
    let line = payload(1024);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for log in 0..LOGS {
            let (line, path) = (&line, folder.join(format!("raw-{log}")));
            scope.spawn(move || {
                let mut file = File::options()
                    .create(true)
                    .append(true)
                    .open(path)
                    .unwrap();
                for _ in 0..APPENDS {
                    file.write_all(line.as_bytes()).unwrap();
                    file.sync_data().unwrap();
                }
            });
        }
    });
    start.elapsed()
}

async fn selvedge_appends(threads: &[LiveThread]) -> Duration {
    let start = Instant::now();
    let mut tasks = Vec::new();
    for thread in threads {
        for _ in 0..PRODUCERS {
            let thread = thread.clone();
            tasks.push(tokio::spawn(async move {
                for _ in 0..APPENDS / PRODUCERS {
                    let synced = AppendOptions {
                        durability: Durability::Synced,
                        ..AppendOptions::default()
                    };
                    thread.append_with(vec![item(1024)], synced).await.unwrap();
                }
            }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    start.elapsed()
}

fn sqlite_appends(connection: &rusqlite::Connection) -> Duration {
    let line = payload(1024);
    let start = Instant::now();
    // One writer is all that SQLite has; a transaction an append, as its users do it.
    for _ in 0..APPENDS {
        connection
            .execute("INSERT INTO log(body) VALUES (?1)", [&line])
            .unwrap();
    }
    start.elapsed() * u32::try_from(LOGS).unwrap()
}

/// Sleeps a millisecond again and again; the worst lateness in microseconds.
fn watch_timers(runtime: &tokio::runtime::Runtime, stop: Arc<AtomicBool>) -> Arc<AtomicU64> {
    let worst = Arc::new(AtomicU64::new(0));
    for _ in 0..2 {
        let (worst, stop) = (Arc::clone(&worst), Arc::clone(&stop));
        runtime.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                tokio::time::sleep(Duration::from_millis(1)).await;
                let late = asked.elapsed().saturating_sub(Duration::from_millis(2));
                worst.fetch_max(u64::try_from(late.as_micros()).unwrap(), Ordering::Relaxed);
            }
        });
    }
    worst
}

fn durable(criterion: &mut Criterion) {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let selvedge = runtime
        .block_on(Selvedge::open(OpenOptions::new(&home).create(true)))
        .unwrap();
    let threads: Vec<LiveThread> = (0..LOGS)
        .map(|_| {
            runtime
                .block_on(selvedge.start_thread(StartThread::default()))
                .unwrap()
        })
        .collect();
    runtime.block_on(selvedge_appends(&threads));
    let connection = rusqlite::Connection::open(folder.path().join("sqlite")).unwrap();
    connection.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE log(n INTEGER PRIMARY KEY, body TEXT)").unwrap();

    let mut group = criterion.benchmark_group("durable_64_logs");
    group
        .throughput(Throughput::Elements((LOGS * APPENDS) as u64))
        .sample_size(10);
    for round in 0..ROUNDS {
        group.bench_function(format!("raw_fdatasync/{round}"), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| raw(folder.path())).sum());
        });
        let stop = Arc::new(AtomicBool::new(false));
        let worst = watch_timers(&runtime, Arc::clone(&stop));
        group.bench_function(format!("selvedge/{round}"), |bencher| {
            bencher.iter_custom(|times| {
                (0..times)
                    .map(|_| runtime.block_on(selvedge_appends(&threads)))
                    .sum()
            });
        });
        stop.store(true, Ordering::Relaxed);
        eprintln!(
            "worst timer lateness beside selvedge: {} us",
            worst.load(Ordering::Relaxed)
        );
        group.bench_function(format!("sqlite_full/{round}"), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| sqlite_appends(&connection)).sum());
        });
    }
    group.finish();
    runtime.block_on(selvedge.shutdown()).unwrap();
}

criterion_group!(benches, durable);
criterion_main!(benches);
