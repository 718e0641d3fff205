//! One thread, 1 KB an append, acknowledged when it survives the process's death (`Written`).
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "a benchmark stops at the first surprise, and measures raw files beside the engine"
)]

use std::fs::File;
use std::io::Write;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use selvedge::{OpenOptions, Selvedge, StartThread};
use selvedge_benches::{ROUNDS, item, payload, runtime};

fn append(criterion: &mut Criterion) {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let mut raw = File::create(folder.path().join("raw")).unwrap();
    let line = payload(1024);

    let sqlite = rusqlite::Connection::open(folder.path().join("sqlite")).unwrap();
    sqlite.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; CREATE TABLE log(n INTEGER PRIMARY KEY, body TEXT)").unwrap();

    let home = folder.path().join("home");
    let selvedge = runtime
        .block_on(Selvedge::open(OpenOptions::new(&home).create(true)))
        .unwrap();
    let thread = runtime
        .block_on(selvedge.start_thread(StartThread::default()))
        .unwrap();
    let one = item(1024);

    let mut group = criterion.benchmark_group("append_1k_written");
    group.throughput(Throughput::Elements(1)).sample_size(50);
    for round in 0..ROUNDS {
        group.bench_function(format!("raw_write/{round}"), |bencher| {
            bencher.iter(|| raw.write_all(line.as_bytes()).unwrap());
        });
        group.bench_function(format!("selvedge/{round}"), |bencher| {
            bencher.to_async(&runtime).iter(|| {
                let (thread, one) = (thread.clone(), one.clone());
                // A runtime appends from a task of its own, on a worker.
                async move {
                    tokio::task::unconstrained(thread.append(vec![one]))
                        .await
                        .unwrap()
                }
            });
        });
        group.bench_function(format!("sqlite_no_sync/{round}"), |bencher| {
            let mut insert = sqlite
                .prepare_cached("INSERT INTO log(body) VALUES (?1)")
                .unwrap();
            bencher.iter(|| insert.execute([&line]).unwrap());
        });
    }
    group.finish();
    runtime.block_on(selvedge.shutdown()).unwrap();
}

criterion_group!(benches, append);
criterion_main!(benches);
