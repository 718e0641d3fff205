//! Homes to begin with, and the questions that every scenario asks of one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use selvedge::{
    IndexMode, Item, ListQuery, ManualClock, OpenOptions, Selvedge, StartThread, ThreadFilter,
    ThreadId, ThreadSummary, UtcMicros,
};
use serde_json::json;

use super::{Outcome, Trying, ensure, runtime};

/// 2026-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_767_225_600_000_000;
const DAY_MICROS: i64 = 86_400_000_000;
/// How many native threads are made at the same time.
const AT_ONCE: usize = 64;

/// What a user says.
#[must_use]
pub fn user_message(text: &str) -> Item {
    event(json!({"type": "user_message", "message": text}))
}

/// An event.
#[must_use]
pub fn event(payload: serde_json::Value) -> Item {
    Item::json("event_msg", payload.to_string()).expect("an event is JSON")
}

/// One turn, as an agent writes it.
#[must_use]
pub fn turn(label: &str) -> Vec<Item> {
    let id = format!("turn-{label}");
    vec![
        event(json!({"type": "task_started", "turn_id": id})),
        user_message(label),
        Item::json(
            "response_item",
            json!({"type": "message", "role": "assistant",
                   "content": [{"type": "output_text", "text": format!("done {label}")}]})
            .to_string(),
        )
        .expect("a message is JSON"),
        event(json!({"type": "task_complete", "turn_id": id})),
    ]
}

/// Makes a home of so many logs that no index knows: native ones and JSON lines, over some weeks.
///
/// # Errors
/// What the machine refused.
pub fn unindexed(home: &Path, logs: usize, seed: u64) -> Outcome<Vec<ThreadId>> {
    let mut rng = Rng::with_seed(seed);
    let lines = logs / 2;
    let mut ids = Vec::with_capacity(logs);
    for number in 0..lines {
        ids.push(lines_log(home, number, &mut rng).trying("write a JSON-lines log")?);
    }
    let native = native_logs(home, logs - lines, &mut rng);
    ids.extend(runtime()?.block_on(native)?);
    ids.sort_unstable();
    Ok(ids)
}

/// Writes a JSON-lines log of a few turns, as its tool would.
///
/// # Errors
/// What the machine refused.
pub fn lines_log(home: &Path, number: usize, rng: &mut Rng) -> std::io::Result<ThreadId> {
    let thread_id = ThreadId::generate();
    let time = UtcMicros::new(NEW_YEAR + rng.i64(0..40 * DAY_MICROS));
    let stamp = time.to_line_text();
    let folder = home.join(format!("sessions/{}", stamp[..10].replace('-', "/")));
    fs::create_dir_all(&folder)?;
    let name = format!("rollout-{}-{thread_id}.jsonl", time.to_file_name_text());
    let mut file = BufWriter::new(fs::File::create(folder.join(name))?);
    let meta = json!({"id": thread_id.to_string(), "timestamp": stamp, "source": "cli",
        "cwd": format!("/work/{}", number % 7), "originator": "test", "cli_version": "1"});
    let mut line = |kind: &str, payload: &str| {
        writeln!(
            file,
            r#"{{"timestamp":"{stamp}","type":"{kind}","payload":{payload}}}"#
        )
    };
    line("session_meta", &meta.to_string())?;
    for turn_number in 0..rng.usize(1..4) {
        for item in turn(&format!("lines {number}.{turn_number}")) {
            line(
                item.record_type.as_str(),
                &String::from_utf8_lossy(&item.body),
            )?;
        }
    }
    file.flush()?;
    Ok(thread_id)
}

async fn native_logs(home: &Path, count: usize, rng: &mut Rng) -> Outcome<Vec<ThreadId>> {
    let clock = Arc::new(ManualClock::new(UtcMicros::new(NEW_YEAR)));
    let options = OpenOptions::new(home)
        .create(true)
        .index(IndexMode::None)
        .clock(Arc::clone(&clock) as _);
    let selvedge = Selvedge::open(options).await.trying("open a new home")?;
    let mut ids = Vec::with_capacity(count);
    for first in (0..count).step_by(AT_ONCE) {
        clock.set(UtcMicros::new(NEW_YEAR + rng.i64(0..40 * DAY_MICROS)));
        let mut made = tokio::task::JoinSet::new();
        for number in first..count.min(first + AT_ONCE) {
            let selvedge = selvedge.clone();
            made.spawn(async move { native_log(&selvedge, number).await });
        }
        while let Some(done) = made.join_next().await {
            ids.push(done.trying("make a native log")??);
        }
    }
    selvedge.shutdown().await.trying("shut a new home down")?;
    Ok(ids)
}

async fn native_log(selvedge: &Selvedge, number: usize) -> Outcome<ThreadId> {
    let start = StartThread {
        cwd: format!("/work/{}", number % 7),
        ..StartThread::default()
    };
    let thread = selvedge.start_thread(start).await.trying("start")?;
    let items = turn(&format!("native {number}"));
    thread.append(items).await.trying("append")?;
    thread.shutdown().await.trying("shut down")?;
    Ok(thread.thread_id())
}

/// A question for every thread of one kind, whether a user has said anything in it or not.
#[must_use]
pub fn every(archived: bool, limit: usize) -> ListQuery {
    ListQuery {
        filter: ThreadFilter {
            archived,
            include_empty: true,
            ..ThreadFilter::default()
        },
        limit,
        ..ListQuery::default()
    }
}

/// All threads that a question is for, over its pages. None may be there twice.
///
/// # Errors
/// What the listing failed with, and which thread is there twice.
pub async fn list_all(
    selvedge: &Selvedge,
    mut query: ListQuery,
) -> Outcome<BTreeMap<ThreadId, ThreadSummary>> {
    let mut all = BTreeMap::new();
    loop {
        let page = selvedge.list_threads(query.clone()).await.trying("list")?;
        for thread in page.threads {
            let id = thread.thread_id;
            ensure(all.insert(id, thread).is_none(), || {
                format!("{id} is listed twice: {query:?}")
            })?;
        }
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(all),
        }
    }
}

/// Verifies a home, and holds its index's listing against the logs'. Gives the number of logs.
///
/// # Errors
/// What is wrong with it.
pub async fn check(home: &Path) -> Outcome<u64> {
    let by_index = Selvedge::open(OpenOptions::new(home)).await;
    let by_index = by_index.trying("open the home in the end")?;
    let report = by_index.verify().await.trying("verify")?;
    ensure(report.ok, || format!("verify found: {report:#?}"))?;
    let by_logs = Selvedge::open(OpenOptions::new(home).index(IndexMode::None)).await;
    let by_logs = by_logs.trying("open the home without its index")?;
    for archived in [false, true] {
        let query = every(archived, 1000);
        let found = list_all(&by_index, query.clone()).await?;
        let expected = list_all(&by_logs, query).await?;
        for (id, thread) in &expected {
            ensure(found.get(id) == Some(thread), || {
                let found = found.get(id);
                format!("by the index {found:#?}, by the logs {thread:#?}")
            })?;
        }
        ensure(found.len() == expected.len(), || {
            format!(
                "{} by the index, {} by the logs",
                found.len(),
                expected.len()
            )
        })?;
    }
    by_logs.shutdown().await.trying("shut down")?;
    by_index.shutdown().await.trying("shut down")?;
    Ok(report.logs)
}
