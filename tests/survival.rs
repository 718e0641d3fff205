//! A process that writes is killed; another finds everything that was acknowledged.
//!
//! The writer is this test binary, run again with an environment variable that says what to do.
#![cfg(test)]

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{open, turn, user_message};
use selvedge::{ConflictReason, Error, ListQuery, SortKey, StartThread, ThreadId};
use serde_json::Value;

const ROLE: &str = "SELVEDGE_TEST_WRITES_TO";

/// Not a test of its own: what the child does. Without its environment variable it does nothing.
#[test]
fn child_writer() {
    let Some(home) = std::env::var_os(ROLE) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let selvedge = open(Path::new(&home)).await;
        let thread = selvedge.start_thread(StartThread::default()).await.unwrap();
        println!("\nthread {}", thread.thread_id());
        for number in 0.. {
            // A batch of three, so that half a batch would be seen.
            let batch = (0..3)
                .map(|part| user_message(&format!("{number}.{part}")))
                .collect();
            let acknowledged = thread.append(batch).await.unwrap();
            println!("\nacknowledged {}", acknowledged.last_ordinal);
        }
    });
}

/// A writing process and what it said so far.
struct Writer {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    thread_id: ThreadId,
}

impl Writer {
    fn start(home: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_writer", "--nocapture"])
            .env(ROLE, home)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let thread_id = next(&mut output, "thread ").unwrap().parse().unwrap();
        Self {
            child,
            output,
            thread_id,
        }
    }

    fn wait_for_acknowledgements(&mut self, count: usize) -> u64 {
        let mut last = 0;
        for _ in 0..count {
            last = next(&mut self.output, "acknowledged ")
                .unwrap()
                .parse()
                .unwrap();
        }
        last
    }

    /// Kills the writer; gives the last ordinal that it acknowledged.
    fn kill(mut self, mut last: u64) -> u64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        while let Some(more) = next(&mut self.output, "acknowledged ") {
            // The last line may be cut by the kill: then it was not said.
            last = more.parse::<u64>().map_or(last, |more| more.max(last));
        }
        last
    }
}

fn next(output: &mut impl BufRead, what: &str) -> Option<String> {
    let mut line = String::new();
    loop {
        line.clear();
        if output.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        if let Some(rest) = line
            .strip_suffix('\n')
            .and_then(|line| line.strip_prefix(what))
        {
            return Some(rest.to_owned());
        }
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_to_a_kill() {
    let home = tempfile::tempdir().unwrap();
    for round in 1..=8 {
        let mut writer = Writer::start(home.path());
        let thread_id = writer.thread_id;
        let seen = writer.wait_for_acknowledgements(round * 7);
        let last = writer.kill(seen);

        let selvedge = open(home.path()).await;
        let history = selvedge.load_history(thread_id).await.unwrap();
        assert!(history.damage.is_empty(), "{:?}", history.damage);
        let count = u64::try_from(history.records.len()).unwrap();
        assert!(
            count > last,
            "{last} was acknowledged, {count} records are there"
        );
        // Record 0 is the thread's meta; batches of three follow.
        assert_eq!((count - 1) % 3, 0, "half a batch is there");
        for (at, record) in history.records.iter().enumerate().skip(1) {
            let payload: Value =
                serde_json::from_str(record.payload_json().unwrap().get()).unwrap();
            assert_eq!(
                payload["message"],
                format!("{}.{}", (at - 1) / 3, (at - 1) % 3)
            );
        }
        let page = selvedge.list_threads(ListQuery::default()).await.unwrap();
        assert_eq!(page.threads.len(), round);
        assert_eq!(page.threads[0].item_count, count, "the index lags the log");

        let thread = selvedge.resume_thread(thread_id).await.unwrap();
        let more = thread.append(turn(1)).await.unwrap();
        assert_eq!(more.first_ordinal.get(), count);
        selvedge.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_second_process_sees_the_thread_and_may_not_write_it() {
    let home = tempfile::tempdir().unwrap();
    let selvedge = open(home.path()).await;
    let mut writer = Writer::start(home.path());
    let thread_id = writer.thread_id;
    for _ in 0..5 {
        let last = writer.wait_for_acknowledgements(10);
        let by_update = ListQuery {
            sort: SortKey::Updated,
            ..ListQuery::default()
        };
        let page = selvedge.list_threads(by_update).await.unwrap();
        assert_eq!(page.threads.len(), 1);
        assert!(
            page.threads[0].next_ordinal.get() > last,
            "a listing misses what was acknowledged"
        );
        assert!(
            selvedge
                .read_thread(thread_id)
                .await
                .unwrap()
                .next_ordinal
                .get()
                > last
        );
    }
    let refused = selvedge.resume_thread(thread_id).await.unwrap_err();
    let holder = format!("process {}", writer.child.id());
    assert!(
        matches!(&refused, Error::Conflict { reason: ConflictReason::Writer { holder: named }, .. }
            if named.contains(&holder)),
        "{refused}"
    );
    writer.kill(0);
    // The dead process's lock is free at once.
    let thread = selvedge.resume_thread(thread_id).await.unwrap();
    thread.append(turn(1)).await.unwrap();
    selvedge.shutdown().await.unwrap();
}
