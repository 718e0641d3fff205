//! Several processes on one home. The other process is this test binary again, told by an
//! environment variable what to do.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use selvedge_codec::{Item, ThreadId, UtcMicros};

use super::home::{TestHome, WAIT, id, ids, thread};
use crate::Error;
use crate::home::marks;
use crate::index::Outcome;
use crate::listing::{Coverage, ListQuery, SortKey};
use crate::log::{NewThread, ThreadLog};
use crate::store::{Store, StoreOptions};

const ROLE: &str = "SELVEDGE_TEST_ROLE";
const HOME: &str = "SELVEDGE_TEST_HOME";

fn item(kind: &str, payload: &str) -> Item {
    Item::json(kind, payload.to_owned()).unwrap()
}

fn user_message(text: &str) -> Item {
    item(
        "event_msg",
        &format!("{{\"type\":\"user_message\",\"message\":\"{text}\"}}"),
    )
}

/// A native thread with one message of its user.
fn start(store: &Store, thread_id: ThreadId) -> ThreadLog {
    let meta = format!(
        "{{\"id\":\"{thread_id}\",\"timestamp\":\"2026-03-04T00:00:00.000Z\",\"cwd\":\"/work\",\
         \"originator\":\"test\",\"cli_version\":\"1\",\"source\":\"cli\"}}"
    );
    let new = NewThread {
        thread_id,
        created_at: UtcMicros::parse("2026-03-04T00:00:00Z").unwrap(),
        meta: item("session_meta", &meta),
    };
    let mut log = ThreadLog::create(store.log_context().clone(), new);
    log.append(vec![vec![user_message("hello")]]).unwrap();
    log.sync().unwrap();
    log
}

/// What the other process does. Not a test of its own.
#[test]
fn other_process() {
    let Some(role) = std::env::var_os(ROLE) else {
        return;
    };
    let store = Store::open(StoreOptions::new(std::env::var_os(HOME).unwrap())).unwrap();
    match role.to_str().unwrap() {
        "append" => {
            let mut log = start(&store, id(1));
            told("started");
            heard();
            log.append(vec![vec![user_message("again")]]).unwrap();
            told("appended");
            heard();
        }
        "hold" => {
            let index = store.index.as_ref().unwrap();
            store
                .write(index, |txn, state| {
                    state.pending = 77;
                    txn.put_state(state)?;
                    told("holding");
                    heard();
                    Ok(Outcome::Leave(()))
                })
                .unwrap();
            told("released");
        }
        "backfill" => {
            let report = store.backfill(WAIT, &|step| {
                if step.done > 0 {
                    told("progress");
                    heard();
                }
            });
            told(&format!("projected {}", report.unwrap().projected));
        }
        role => panic!("no such role: {role}"),
    }
}

fn told(word: &str) {
    println!("\n{word}");
}

fn heard() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// The other process; it does not outlive a test that fails, stopped or not.
struct Other {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn new(home: &TestHome, role: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "store::tests::processes::other_process",
                "--exact",
                "--nocapture",
            ])
            .env(ROLE, role)
            .env(HOME, home.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn hear(&mut self, word: &str) {
        for line in self.lines.by_ref() {
            if line.unwrap() == word {
                return;
            }
        }
        panic!("the other process never said {word:?}");
    }

    fn tell(&mut self) {
        use std::io::Write;
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()),
            signal,
        )
        .unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn by_update() -> ListQuery {
    ListQuery {
        sort: SortKey::Updated,
        ..ListQuery::default()
    }
}

fn message_count(store: &Store) -> u64 {
    let page = store.list(&by_update()).unwrap();
    page.threads[0].item_count
}

#[test]
fn what_another_process_appends_is_listed_while_it_lives_and_after_it_was_killed() {
    let home = TestHome::new();
    home.put("sessions/a.jsonl", thread(2, 100));
    let store = home.filled();
    let mut other = Other::new(&home, "append");
    other.hear("started");
    assert_eq!(ids(&store.list(&by_update()).unwrap())[0], id(1));
    assert_eq!(message_count(&store), 2);
    other.tell();
    other.hear("appended");
    // No folder has changed by it, and native logs are not swept again: the open mark tells.
    assert_eq!(message_count(&store), 3);
    assert_eq!(store.list(&by_update()).unwrap(), home.scan(&by_update()));
    other.kill();
    assert_eq!(marks_of(&home), 1);
    assert_eq!(message_count(&store), 3);
    assert_eq!(
        marks_of(&home),
        0,
        "a dead process's marks go once they were looked at"
    );
    let report = store.verify().unwrap();
    assert!(report.ok, "{report:?}");
}

fn marks_of(home: &TestHome) -> usize {
    let home = crate::home::Home::at(home.root());
    marks::read_all(&crate::disk::RealDisk, &home)
        .unwrap()
        .len()
}

#[test]
fn what_a_killed_process_appended_last_is_found_by_the_next_one_that_opens_the_home() {
    let home = TestHome::new();
    let mut other = Other::new(&home, "append");
    other.hear("started");
    let store = home.filled();
    store.close().unwrap();
    for dir in [
        "sessions/2026/03/04",
        "sessions/2026/03",
        "sessions/2026",
        "sessions",
    ] {
        home.age(dir);
    }
    home.filled().close().unwrap();
    other.tell();
    other.hear("appended");
    other.kill();
    let store = home.filled();
    let index_only = ListQuery {
        verification: crate::listing::Verification::IndexOnly,
        ..by_update()
    };
    assert_eq!(store.list(&index_only).unwrap().threads[0].item_count, 3);
}

#[test]
fn a_process_stopped_in_a_transaction_keeps_nobody_from_the_answers() {
    let home = TestHome::new();
    home.put("sessions/a.jsonl", thread(2, 100));
    let store = home.filled();
    let mut other = Other::new(&home, "hold");
    other.hear("holding");
    other.signal(Signal::SIGSTOP);

    home.put("sessions/b.jsonl", thread(3, 200));
    let query = ListQuery::default();
    let began = Instant::now();
    assert_eq!(store.list(&query).unwrap(), home.scan(&query));
    assert_eq!(store.read_thread(id(3)).unwrap().thread_id, id(3));
    assert!(matches!(
        store.backfill(Duration::ZERO, &|_| ()),
        Err(Error::TimedOut { .. })
    ));
    // A store that opens only now can't open the index at all.
    let late = home.store();
    assert_eq!(late.list(&query).unwrap(), home.scan(&query));
    assert_eq!(late.history(id(2)).unwrap().records.len(), 2);
    // Not a measurement: half a second of patience each, not for ever.
    assert!(began.elapsed() < WAIT);

    other.signal(Signal::SIGCONT);
    other.tell();
    other.hear("released");
    store.backfill(WAIT, &|_| ()).unwrap();
    late.backfill(WAIT, &|_| ()).unwrap();
    assert_eq!(late.coverage().unwrap(), Coverage::Complete { failed: 0 });
    assert!(!home.file("index.redb.damaged").exists());
}

/// Whoever waited for a home to be covered waited as long as was asked for a lease, and for a
/// transaction only as long as any operation does: a process that was stopped for some seconds in
/// the middle of one failed all that opened the home meanwhile.
#[test]
fn a_backfill_waits_for_a_transaction_as_long_as_for_a_lease() {
    let home = TestHome::new();
    home.put("sessions/a.jsonl", thread(2, 100));
    let store = Store::open(StoreOptions {
        index_patience: Duration::from_millis(30),
        ..home.options()
    })
    .unwrap();
    let mut other = Other::new(&home, "hold");
    other.hear("holding");
    let report = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| store.backfill(WAIT, &|_| ()));
        for _ in 0..5 {
            let refused = store.backfill(Duration::ZERO, &|_| ());
            assert!(
                matches!(refused, Err(Error::TimedOut { .. })),
                "{refused:?}"
            );
        }
        assert!(!waiting.is_finished());
        other.tell();
        waiting.join().unwrap()
    });
    assert_eq!(report.unwrap().projected, 1);
    other.hear("released");
}

#[test]
fn a_backfill_that_was_killed_is_gone_on_with_at_once() {
    let home = TestHome::new();
    for number in 0..2500 {
        home.put(
            &format!("sessions/{}/{number}.jsonl", number % 7),
            thread(number, number % 80),
        );
    }
    let mut other = Other::new(&home, "backfill");
    other.hear("progress");
    let store = home.store();
    let waiting = store.backfill(Duration::ZERO, &|_| ());
    assert!(
        matches!(waiting, Err(Error::TimedOut { .. })),
        "{waiting:?}"
    );
    assert!(matches!(
        store.coverage().unwrap(),
        Coverage::Partial {
            indexed: 2000,
            pending: 500,
            failed: 0
        }
    ));
    other.kill();
    let report = store.backfill(Duration::ZERO, &|_| ()).unwrap();
    assert_eq!(report.projected, 500, "what was taken in is not read again");
    assert_eq!(report.coverage, Coverage::Complete { failed: 0 });
    let query = ListQuery {
        limit: 3000,
        ..ListQuery::default()
    };
    assert_eq!(store.list(&query).unwrap(), home.scan(&query));
}
