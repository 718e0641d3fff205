//! Searching what was said in 2,000 threads of 20 KB, native and JSON lines: for a term that is in
//! none, in one, and in all of them, beside reading all files.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark stops at the first surprise, and measures raw files beside the engine"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use selvedge::{OccurrenceQuery, OpenOptions, SearchQuery, Selvedge, StartThread};
use selvedge_benches::{ROUNDS, item, json_lines_home, runtime, user_message};

const THREADS: usize = 2_000;
const BYTES: usize = 20 << 10;

async fn native_home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let selvedge = Selvedge::open(OpenOptions::new(home.path()).create(true))
        .await
        .unwrap();
    for number in 0..THREADS {
        let thread = selvedge.start_thread(StartThread::default()).await.unwrap();
        let mut items = vec![user_message(&format!("please do thing {number}.0"))];
        items.extend(vec![item(1000); BYTES / 1000]);
        thread.append(items).await.unwrap();
        thread.shutdown().await.unwrap();
    }
    selvedge.shutdown().await.unwrap();
    home
}

fn logs_below(folder: &Path) -> Vec<PathBuf> {
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => logs.extend(logs_below(&path)),
            false => logs.push(path),
        }
    }
    logs
}

fn search(criterion: &mut Criterion) {
    let runtime = runtime();
    let homes = [
        ("native", runtime.block_on(native_home())),
        ("json_lines", json_lines_home(THREADS, BYTES)),
    ];
    // A folder that changed a moment ago proves nothing: let the clock move past it.
    std::thread::sleep(Duration::from_millis(2_500));
    for (format, home) in &homes {
        let selvedge = runtime
            .block_on(Selvedge::open(OpenOptions::new(home.path())))
            .unwrap();
        let logs = logs_below(&home.path().join("sessions"));
        let query = |term: &str| SearchQuery {
            term: term.to_owned(),
            ..SearchQuery::default()
        };
        let ask = |query| runtime.block_on(selvedge.search_threads(query)).unwrap();
        let last = ask(query("thing 1999.0")).hits.remove(0).thread.thread_id;
        let within = OccurrenceQuery {
            term: "please".to_owned(),
            ..OccurrenceQuery::default()
        };
        let mut group = criterion.benchmark_group(format!("search_2000_{format}"));
        group.sample_size(20);
        for round in 0..ROUNDS {
            group.bench_function(format!("raw_read/{round}"), |bencher| {
                bencher.iter(|| {
                    let read = |log| std::fs::read(log).unwrap().len();
                    logs.iter().map(read).sum::<usize>()
                });
            });
            for (name, term) in [
                ("absent", "nowhere to be found"),
                ("absent_not_ascii", "Straße"),
                ("in_one", "thing 777.0"),
                ("in_all", "PLEASE"),
            ] {
                group.bench_function(format!("{name}/{round}"), |bencher| {
                    bencher.iter(|| ask(query(term)));
                });
            }
            group.bench_function(format!("occurrences/{round}"), |bencher| {
                bencher.iter(|| {
                    let page = selvedge.search_occurrences(last, within.clone());
                    runtime.block_on(page).unwrap()
                });
            });
        }
        group.finish();
        runtime.block_on(selvedge.shutdown()).unwrap();
    }
}

criterion_group!(benches, search);
criterion_main!(benches);
