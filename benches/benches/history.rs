//! Loading a history of 100 MB, native and JSON lines, beside reading the file and beside parsing
//! every line into a `serde_json::Value`.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark stops at the first surprise, and measures raw files beside the engine"
)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use selvedge::{OpenOptions, Selvedge, StartThread, ThreadId};
use selvedge_benches::{ROUNDS, item, json_lines_log, runtime, user_message};

const BYTES: usize = 100 << 20;

async fn native_thread(selvedge: &Selvedge) -> ThreadId {
    let thread = selvedge.start_thread(StartThread::default()).await.unwrap();
    thread
        .append(vec![user_message("a long one")])
        .await
        .unwrap();
    for _ in 0..BYTES / (64 << 10) {
        thread.append(vec![item(1024); 64]).await.unwrap();
    }
    thread.shutdown().await.unwrap();
    thread.thread_id()
}

fn history(criterion: &mut Criterion) {
    let runtime = runtime();
    let home = tempfile::tempdir().unwrap();
    let lines = json_lines_log(home.path(), 1, BYTES);
    let options = OpenOptions::new(home.path()).create(true);
    let selvedge = runtime.block_on(Selvedge::open(options)).unwrap();
    let native = runtime.block_on(native_thread(&selvedge));
    let lines_id: ThreadId = lines
        .file_stem()
        .unwrap()
        .to_str()
        .unwrap()
        .get(28..)
        .unwrap()
        .parse()
        .unwrap();
    let native_path = home.path().join(
        runtime
            .block_on(selvedge.read_thread(native))
            .unwrap()
            .rollout_path,
    );

    let mut group = criterion.benchmark_group("load_history_100mb");
    group
        .throughput(Throughput::Bytes(BYTES as u64))
        .sample_size(10);
    for round in 0..ROUNDS {
        group.bench_function(format!("raw_read/{round}"), |bencher| {
            bencher.iter(|| std::fs::read(&native_path).unwrap());
        });
        group.bench_function(format!("selvedge_native/{round}"), |bencher| {
            bencher.iter(|| runtime.block_on(selvedge.load_history(native)).unwrap());
        });
        group.bench_function(format!("selvedge_json_lines/{round}"), |bencher| {
            bencher.iter(|| runtime.block_on(selvedge.load_history(lines_id)).unwrap());
        });
        group.bench_function(format!("serde_json_values/{round}"), |bencher| {
            bencher.iter(|| {
                let text = std::fs::read_to_string(&lines).unwrap();
                text.lines()
                    .map(|line| serde_json::from_str(line).unwrap())
                    .collect::<Vec<serde_json::Value>>()
            });
        });
    }
    group.finish();
    runtime.block_on(selvedge.shutdown()).unwrap();
}

criterion_group!(benches, history);
criterion_main!(benches);
