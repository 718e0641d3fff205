//! A page of 50 at 10,000 threads, by every sort key, from the top and from the middle, verified
//! and from the index alone; beside it the same page from an SQLite table with an index.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark stops at the first surprise"
)]

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use selvedge::{ListQuery, OpenOptions, Page, Selvedge, SortKey, ThreadFilter, Verification};
use selvedge_benches::{ROUNDS, json_lines_home, native_home, runtime};

const THREADS: usize = 10_000;
const PAGE: usize = 50;

fn sqlite() -> rusqlite::Connection {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    connection
        .execute_batch("CREATE TABLE threads(id TEXT PRIMARY KEY, created INTEGER, preview TEXT, cwd TEXT, row TEXT); CREATE INDEX by_created ON threads(created DESC, id DESC)")
        .unwrap();
    for number in 0..THREADS {
        connection
            .execute(
                "INSERT INTO threads VALUES (?1, ?2, ?3, ?4, ?5)",
                rusqlite::params![
                    format!("{number:036}"),
                    number,
                    "please do a thing",
                    "/work",
                    "x".repeat(400)
                ],
            )
            .unwrap();
    }
    connection
}

/// What is measured: every sort key, verified or not, from the top and from the middle; a working
/// directory; a term that no thread has.
fn questions(ask: impl Fn(ListQuery) -> Page) -> Vec<(String, ListQuery)> {
    let mut questions = Vec::new();
    for sort in [SortKey::Created, SortKey::Updated, SortKey::Recency] {
        for verification in [Verification::Verified, Verification::IndexOnly] {
            let top = ListQuery {
                sort,
                verification,
                limit: PAGE,
                ..ListQuery::default()
            };
            let half = ListQuery {
                limit: THREADS / 2,
                ..top.clone()
            };
            let middle = ListQuery {
                cursor: ask(half).next_cursor,
                ..top.clone()
            };
            questions.push((format!("{sort:?}_{verification:?}_top"), top));
            questions.push((format!("{sort:?}_{verification:?}_middle"), middle));
        }
    }
    let cwd = ThreadFilter {
        cwds: vec!["/work/7".into()],
        ..ThreadFilter::default()
    };
    let absent = ThreadFilter {
        search: Some("nowhere".into()),
        ..ThreadFilter::default()
    };
    for (name, filter) in [("cwd", cwd), ("search_absent", absent)] {
        let query = ListQuery {
            filter,
            limit: PAGE,
            ..ListQuery::default()
        };
        questions.push((name.to_owned(), query));
    }
    questions
}

fn listing(criterion: &mut Criterion) {
    let runtime = runtime();
    let connection = sqlite();
    let homes = [
        ("native", runtime.block_on(native_home(THREADS))),
        ("json_lines", json_lines_home(THREADS, 2 << 10)),
    ];
    // A folder that changed a moment ago proves nothing: let the clock move past it.
    std::thread::sleep(Duration::from_millis(2_500));
    for (format, home) in &homes {
        let selvedge = runtime
            .block_on(Selvedge::open(OpenOptions::new(home.path())))
            .unwrap();
        let ask = |query| runtime.block_on(selvedge.list_threads(query)).unwrap();
        let questions = questions(ask);
        let mut group = criterion.benchmark_group(format!("page_of_50_at_10k_{format}"));
        group.sample_size(30);
        for round in 0..ROUNDS {
            group.bench_function(format!("sqlite_created/{round}"), |bencher| {
                let mut select = connection
                    .prepare_cached("SELECT * FROM threads ORDER BY created DESC, id DESC LIMIT 50")
                    .unwrap();
                bencher.iter(|| {
                    let rows = select.query_map([], |row| row.get::<_, String>(4)).unwrap();
                    rows.map(Result::unwrap).collect::<Vec<_>>()
                });
            });
            for (name, query) in &questions {
                group.bench_function(format!("{name}/{round}"), |bencher| {
                    bencher.iter(|| ask(query.clone()));
                });
            }
        }
        group.finish();
        runtime.block_on(selvedge.shutdown()).unwrap();
    }
}

criterion_group!(benches, listing);
criterion_main!(benches);
