//! Subscriptions to damaged logs: they give what the history gives, tell of the damage where it lies,
//! and go on with what is appended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use selvedge_actors::Selvedge;
use selvedge_codec::{Ordinal, Record, ThreadId};
use selvedge_engine::log::{Damage, History};
use selvedge_store::ThreadEvent;
use tokio::time::timeout;

use super::{TestHome, says, start, turn_ends};

const LOGS: usize = 36;

/// What became of the log of this number.
fn harm(number: usize, good: &[u8]) -> Vec<u8> {
    let at = number * good.len() / LOGS;
    let mut bytes = good.to_vec();
    match number % 4 {
        0 => bytes[at] ^= 0x10,
        1 => {
            let end = bytes.len().min(at + 64);
            bytes[at..end].fill(0);
        }
        2 => bytes.truncate(at.max(200)),
        _ => {
            let stretch = bytes[at..].to_vec();
            bytes.splice(at..at, stretch);
        }
    }
    bytes
}

#[expect(
    clippy::disallowed_methods,
    reason = "harms a log behind the store's back"
)]
fn harm_file(number: usize, file: &Path) {
    let good = std::fs::read(file).unwrap();
    std::fs::write(file, harm(number, &good)).unwrap();
}

/// Logs of a few batches each, harmed one way or another.
async fn harmed_logs(home: &TestHome) -> Vec<ThreadId> {
    let store = home.open().await;
    let mut logs: Vec<(ThreadId, PathBuf)> = Vec::new();
    for _ in 0..LOGS {
        let thread = store.start_thread(start()).await.unwrap();
        thread.append(vec![says("one"), says("two")]).await.unwrap();
        thread
            .append(vec![says("three"), turn_ends()])
            .await
            .unwrap();
        thread.append(vec![says("four")]).await.unwrap();
        thread.shutdown().await.unwrap();
        let id = thread.thread_id();
        let path = store.read_thread(id).await.unwrap().rollout_path;
        logs.push((id, home.dir.path().join(path)));
    }
    store.shutdown().await.unwrap();
    for (number, (_, file)) in logs.iter().enumerate() {
        harm_file(number, file);
    }
    logs.into_iter().map(|(id, _)| id).collect()
}

/// So many of what a subscription from an ordinal gives.
async fn events(
    store: &Selvedge,
    (id, from): (ThreadId, Ordinal),
    many: usize,
) -> (Vec<Record>, Vec<Damage>) {
    let mut subscription = store.subscribe(id, from).await.unwrap();
    let (mut records, mut damage) = (Vec::new(), Vec::new());
    let mut next = from;
    for _ in 0..many {
        let event = timeout(Duration::from_secs(20), subscription.next());
        match event.await.unwrap().unwrap().unwrap() {
            ThreadEvent::Record(record) => {
                assert_eq!(record.ordinal, next, "what is missing is told before");
                next = record.ordinal.next();
                records.push(record);
            }
            ThreadEvent::Damage(found) => {
                next = next.max(found.next_ordinal);
                damage.push(found);
            }
            other => panic!("{other:?}"),
        }
    }
    (records, damage)
}

/// What of a history a subscription from an ordinal gives.
fn expected(history: &History, from: Ordinal) -> (Vec<Record>, Vec<Damage>) {
    let is_asked = |damage: &&Damage| damage.first_ordinal >= from || damage.next_ordinal > from;
    let records = history
        .records
        .iter()
        .filter(|record| record.ordinal >= from);
    (
        records.cloned().collect(),
        history.damage.iter().filter(is_asked).cloned().collect(),
    )
}

#[tokio::test]
async fn a_subscription_to_a_damaged_log_gives_what_is_left_and_tells_the_rest() {
    let home = TestHome::new();
    let logs = harmed_logs(&home).await;
    let store = home.open().await;
    let (mut damaged, mut torn) = (0, 0);
    for id in logs {
        let history = store.load_history(id).await.unwrap();
        damaged += history.damage.len();
        torn += usize::from(history.torn_tail.is_some());
        let middle = history.records.get(history.records.len() / 2);
        let middle = middle.map_or(Ordinal::ZERO, |record| record.ordinal);
        for from in [Ordinal::ZERO, middle, history.position.next_ordinal] {
            let expected = expected(&history, from);
            let many = expected.0.len() + expected.1.len();
            assert_eq!(
                events(&store, (id, from), many).await,
                expected,
                "{id} {from}"
            );
        }
        // What is appended follows, and nothing of what was told is told again.
        let mut subscription = store.subscribe(id, Ordinal::ZERO).await.unwrap();
        for _ in 0..history.records.len() + history.damage.len() {
            subscription.next().await.unwrap().unwrap();
        }
        let Ok(thread) = store.resume_thread(id).await else {
            assert_eq!(
                history.damage[0].offset.get(),
                0,
                "only a header is refused"
            );
            continue;
        };
        thread.append(vec![says("five")]).await.unwrap();
        let event = timeout(Duration::from_secs(20), subscription.next());
        match event.await.unwrap().unwrap().unwrap() {
            ThreadEvent::Record(record) => {
                assert_eq!(record.ordinal, history.position.next_ordinal);
            }
            other => panic!("{other:?}"),
        }
        thread.shutdown().await.unwrap();
    }
    assert!(damaged > 10 && torn > 5, "{damaged} and {torn}");
    store.shutdown().await.unwrap();
}
