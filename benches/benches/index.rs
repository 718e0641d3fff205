//! The first index of 10,000 JSON-lines logs of 20 KB, beside reading the files; and opening a
//! home whose index is complete.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark stops at the first surprise, and measures raw files beside the engine"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use selvedge::{OpenOptions, Selvedge};
use selvedge_benches::{ROUNDS, json_lines_home, native_home, runtime};

const THREADS: usize = 10_000;

/// Reads every log once: what the medium alone costs.
fn read_all(folder: &Path) -> usize {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read_all(&path)
            } else {
                std::fs::read(path).unwrap().len()
            }
        })
        .sum()
}

fn first_index(runtime: &tokio::runtime::Runtime, home: &Path) -> Duration {
    let _ = std::fs::remove_file(home.join("index.redb"));
    let start = Instant::now();
    let selvedge = runtime
        .block_on(Selvedge::open(OpenOptions::new(home)))
        .unwrap();
    let elapsed = start.elapsed();
    runtime.block_on(selvedge.shutdown()).unwrap();
    elapsed
}

fn index(criterion: &mut Criterion) {
    let runtime = runtime();
    let home = json_lines_home(THREADS, 20 << 10);
    let mut group = criterion.benchmark_group("first_index_10k_json_lines");
    group
        .throughput(Throughput::Elements(THREADS as u64))
        .sample_size(10);
    for round in 0..ROUNDS {
        group.bench_function(format!("raw_read/{round}"), |bencher| {
            bencher.iter(|| read_all(home.path()));
        });
        group.bench_function(format!("selvedge/{round}"), |bencher| {
            bencher
                .iter_custom(|times| (0..times).map(|_| first_index(&runtime, home.path())).sum());
        });
    }
    group.finish();

    let native = runtime.block_on(native_home(THREADS));
    // A folder that changed a moment ago proves nothing: let the clock move past it.
    std::thread::sleep(Duration::from_millis(2_500));
    let reopen = |path: &Path| {
        let selvedge = runtime
            .block_on(Selvedge::open(OpenOptions::new(path)))
            .unwrap();
        runtime.block_on(selvedge.shutdown()).unwrap();
    };
    reopen(native.path());
    let mut group = criterion.benchmark_group("open_complete_index_10k");
    group.sample_size(20);
    for round in 0..ROUNDS {
        for (name, path) in [("json_lines", home.path()), ("native", native.path())] {
            group.bench_function(format!("{name}/{round}"), |bencher| {
                bencher.iter_custom(|times| {
                    let mut total = Duration::ZERO;
                    for _ in 0..times {
                        let start = Instant::now();
                        let selvedge = runtime
                            .block_on(Selvedge::open(OpenOptions::new(path)))
                            .unwrap();
                        total += start.elapsed();
                        runtime.block_on(selvedge.shutdown()).unwrap();
                    }
                    total
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, index);
criterion_main!(benches);
