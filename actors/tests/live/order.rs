//! Acknowledgements of a thread go out in the order of its log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use selvedge_actors::{Ack, AppendOptions, Durability, LiveThread, Selvedge};
use selvedge_codec::{Item, Ordinal, Record};
use selvedge_engine::disk::RealDisk;
use selvedge_engine::home::LogFormat;
use selvedge_engine::log::load_history;
use selvedge_engine::{Error, Result};
use selvedge_store::ForkThread;
use tokio::task::{AbortHandle, JoinSet, yield_now};

use crate::subscriptions::{is_ready, thread_of};
use crate::{TestHome, says, start, turn_ends};

const SYNCED: AppendOptions = AppendOptions {
    durability: Durability::Synced,
    expected_next: None,
};

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }
}

/// The number that a test gave a record.
fn number_of(record: &Record) -> Option<u64> {
    let payload: serde_json::Value =
        serde_json::from_str(record.payload_json().ok()?.get()).ok()?;
    payload.get("number")?.as_u64()
}

fn numbered(number: u64, ends_turn: bool) -> Item {
    let kind = match ends_turn {
        true => "task_complete",
        false => "user_message",
    };
    let payload = serde_json::json!({
        "type": kind, "turn_id": "1", "message": "m", "number": number
    });
    Item::json("event_msg", payload.to_string()).unwrap()
}

/// A fork of the whole thread holds everything up to `last`.
async fn check_fork(store: &Selvedge, thread: &LiveThread, last: Ordinal) {
    let of = ForkThread::of(thread.thread_id());
    let fork = store.fork_thread(of).await.unwrap();
    let next = fork.snapshot().await.unwrap().next_ordinal;
    assert!(next > last, "{last:?} was acknowledged, and not forked");
}

/// What became of a batch, told in the order in which the answers were sent.
type Answers = Arc<Mutex<Vec<(u64, Result<Ack>)>>>;

/// A program of appends at mixed levels from several clones of one thread, whose syncs are held,
/// let go and failed, as are its writes.
struct Program {
    home: TestHome,
    store: Selvedge,
    clones: Vec<LiveThread>,
    dice: Dice,
    is_held: bool,
    fails: bool,
    tasks: JoinSet<()>,
    appends: Vec<AbortHandle>,
    answers: Answers,
    /// How many answers were looked at.
    seen: usize,
    last: Option<Ordinal>,
}

impl Program {
    async fn new(seed: u64) -> Self {
        let home = TestHome::new();
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (has_one_io_thread, is_lazy) = (dice.one_in(3), dice.one_in(2));
        let interval = Duration::from_millis(if is_lazy { 3_600_000 } else { 1 });
        let threads = if has_one_io_thread { 1 } else { 4 };
        let options = home.options().sync_interval(interval).io_threads(threads);
        let store = Selvedge::open(options).await.unwrap();
        let thread = store.start_thread(start()).await.unwrap();
        Self {
            home,
            store,
            clones: vec![thread.clone(), thread.clone(), thread],
            dice,
            is_held: false,
            fails: false,
            tasks: JoinSet::new(),
            appends: Vec::new(),
            answers: Answers::default(),
            seen: 0,
            last: None,
        }
    }

    fn append(&mut self) {
        let number = self.appends.len() as u64;
        let ends_turn = self.dice.one_in(6);
        let options = match self.dice.one_in(5) {
            true => SYNCED,
            false => AppendOptions::default(),
        };
        let thread = self.clones[self.dice.below(3)].clone();
        let answers = Arc::clone(&self.answers);
        let mut items = vec![numbered(number, ends_turn)];
        if self.dice.one_in(4) {
            items.push(says("another"));
        }
        let task = self.tasks.spawn(async move {
            let answer = thread.append_with(items, options).await;
            if let Ok(ack) = &answer {
                let wanted = match ends_turn {
                    true => Durability::Synced,
                    false => options.durability,
                };
                assert!(ack.durability >= wanted, "{ack:?}");
            }
            answers.lock().unwrap().push((number, answer));
        });
        self.appends.push(task);
    }

    fn hold(&mut self, hold: bool) {
        self.is_held = hold;
        self.home.disk.hold_syncs(hold);
    }

    fn heal(&mut self) {
        self.fails = false;
        self.home.disk.fail_syncs(false);
        self.home.disk.fail_writes(false);
        self.hold(false);
    }

    async fn step(&mut self) {
        let thread = self.clones[0].clone();
        match self.dice.below(20) {
            0..11 => self.append(),
            11 => drop(self.tasks.spawn(async move { drop(thread.flush().await) })),
            12 => drop(
                self.tasks
                    .spawn(async move { drop(thread.persist().await) }),
            ),
            13 | 14 => self.hold(!self.is_held),
            15 if self.dice.one_in(2) => {
                self.fails = true;
                self.home.disk.fail_syncs(true);
            }
            15 if self.dice.one_in(3) => {
                self.fails = true;
                self.home.disk.fail_writes(true);
            }
            16 if !self.appends.is_empty() => {
                let place = self.dice.below(self.appends.len());
                self.appends[place].abort();
            }
            17 if self.dice.one_in(4) => self.shut_down_and_resume().await,
            _ => self.heal(),
        }
        for _ in 0..self.dice.below(6) {
            yield_now().await;
        }
    }

    /// Shuts the thread down beneath what waits for it.
    async fn shut_down_and_resume(&mut self) {
        let (thread, id) = (self.clones[0].clone(), self.clones[0].thread_id());
        // It ends unless its last sync fails.
        let shutdown = self
            .tasks
            .spawn(async move { drop(thread.shutdown().await) });
        yield_now().await;
        self.append();
        yield_now().await;
        self.heal();
        while !shutdown.is_finished() {
            yield_now().await;
        }
        match self.store.resume_thread(id).await {
            Ok(thread) => self.clones.fill(thread),
            // Nothing of it came to the disk.
            Err(Error::ThreadNotFound { .. }) => {
                assert!(self.last.is_none());
                self.clones
                    .fill(self.store.start_thread(start()).await.unwrap());
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Looks at the answers that have come, and at a fork that is made after them.
    async fn look(&mut self) {
        let fresh: Vec<Ack> = {
            let answers = self.answers.lock().unwrap();
            let acks = answers[self.seen..]
                .iter()
                .filter_map(|(_, it)| it.clone().ok());
            acks.collect()
        };
        self.seen = self.answers.lock().unwrap().len();
        for ack in &fresh {
            assert!(
                self.last < Some(ack.first_ordinal),
                "{:?} {ack:?}",
                self.last
            );
            self.last = Some(ack.last_ordinal);
        }
        // A fork waits until what it begins with is synced.
        let may_fork = !self.fails && !self.is_held;
        if let Some(last) = self.last.filter(|_| !fresh.is_empty() && may_fork) {
            check_fork(&self.store, &self.clones[0], last).await;
        }
    }

    /// Lets go of everything: each is answered, and what was acknowledged is in the log.
    async fn end(mut self) {
        self.heal();
        self.append();
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Err(lost) if lost.is_cancelled() => {}
                ended => ended.unwrap(),
            }
        }
        self.look().await;
        let answers = std::mem::take(&mut *self.answers.lock().unwrap());
        assert!(answers.last().unwrap().1.is_ok(), "there is no fault left");
        let thread_id = self.clones[0].thread_id();
        let history = self.store.load_history(thread_id).await.unwrap();
        let places: HashMap<u64, Ordinal> = history
            .records
            .iter()
            .filter_map(|record| Some((number_of(record)?, record.ordinal)))
            .collect();
        for (number, answer) in &answers {
            if let Ok(ack) = answer {
                assert_eq!(places[number], ack.first_ordinal);
            }
        }
        // Those that failed and are in the log all the same were told in their turn, too.
        let told = answers.iter().filter_map(|(number, _)| places.get(number));
        assert!(told.is_sorted(), "{answers:?}");
        self.store.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_log_and_a_fork_after_any_holds_its_record() {
    for seed in 1..=40 {
        let mut program = Program::new(seed).await;
        for _ in 0..80 {
            program.step().await;
            program.look().await;
        }
        program.end().await;
    }
}

/// Producers on several workers fork what they were told is in the log, while the thread is shut
/// down and resumed beneath them. Its feed said what was acknowledged before it began to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whoever_was_answered_finds_its_record_in_a_fork_while_the_thread_ends() {
    let home = TestHome::new();
    let store = home.open().await;
    let id = thread_of(&store, 2).await.thread_id();
    let mut producers = JoinSet::new();
    for producer in 0..6 {
        let store = store.clone();
        producers.spawn(async move {
            let mut done = 0;
            while done < 30 {
                let thread = store.resume_thread(id).await.unwrap();
                let item = numbered(done, (done + producer) % 4 == 0);
                match thread.append(vec![item]).await {
                    Ok(ack) => {
                        done += 1;
                        if done % 3 == 0 {
                            check_fork(&store, &thread, ack.last_ordinal).await;
                        }
                    }
                    Err(Error::Closed { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
                if producer == 0 && done % 5 == 0 {
                    store.remove_thread(id).await.unwrap();
                }
            }
        });
    }
    producers.join_all().await;
    let history = store.load_history(id).await.unwrap();
    assert!(history.records.len() >= 182 && history.damage.is_empty());
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_written_behind_a_failed_sync_is_acknowledged_as_written() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = thread_of(&store, 2).await;
    home.disk.hold_syncs(true);
    let mut ends = Box::pin(thread.append(vec![turn_ends()]));
    assert!(!is_ready(&mut ends));
    while thread.snapshot().await.unwrap().next_ordinal < Ordinal::new(3) {}
    let mut written = Box::pin(thread.append(vec![says("written")]));
    let mut synced = Box::pin(thread.append_with(vec![says("synced")], SYNCED));
    let mut behind = Box::pin(thread.append(vec![says("behind")]));
    assert!(!is_ready(&mut written) && !is_ready(&mut synced) && !is_ready(&mut behind));
    while thread.snapshot().await.unwrap().next_ordinal < Ordinal::new(6) {}
    home.disk.fail_syncs(true);
    home.disk.hold_syncs(false);
    let outcomes = tokio::join!(ends, written, synced, behind);
    assert!(matches!(outcomes.0, Err(Error::Io { .. })), "{outcomes:?}");
    assert!(matches!(outcomes.2, Err(Error::Io { .. })), "{outcomes:?}");
    for (ack, ordinal) in [(outcomes.1, 3), (outcomes.3, 5)] {
        let ack = ack.unwrap();
        let reached = (ack.first_ordinal.get(), ack.durability);
        assert_eq!(reached, (ordinal, Durability::Written));
    }
    home.disk.fail_syncs(false);
    check_fork(&store, &thread, Ordinal::new(5)).await;
    store.shutdown().await.unwrap();
    let store = home.open().await;
    let history = store.load_history(thread.thread_id()).await.unwrap();
    assert_eq!(history.records.len(), 6);
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_waits_for_others_alone_says_synced_when_their_sync_held_it() {
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = thread_of(&store, 2).await;
    let (ends, written) = tokio::join!(
        thread.append(vec![turn_ends()]),
        thread.append(vec![says("in the same write")])
    );
    assert_eq!(ends.unwrap().durability, Durability::Synced);
    assert_eq!(written.unwrap().durability, Durability::Synced);
    store.shutdown().await.unwrap();
}

/// The bound of a thread whose actor had panicked was that of a batch which would never be
/// acknowledged, until the actor's end was over: a fork left out what was, behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_for_others_is_acknowledged_when_the_actor_panics() {
    for panics_in_sync in [false, true] {
        let home = TestHome::new();
        let store = home.open_lazy().await;
        let thread = thread_of(&store, 2).await;
        home.disk.hold_syncs(true);
        let append = |item| Box::pin(thread.append(vec![item]));
        let reach = async |next| {
            while thread.snapshot().await.unwrap().next_ordinal < Ordinal::new(next) {}
        };
        let mut ends = append(turn_ends());
        assert!(!is_ready(&mut ends));
        reach(3).await;
        let mut written = append(says("written"));
        assert!(!is_ready(&mut written));
        reach(4).await;
        if panics_in_sync {
            home.disk.panic_syncs(true);
            home.disk.hold_syncs(false);
        } else {
            home.disk.panic_writes(true);
            assert!(thread.append(vec![says("poison")]).await.is_err());
        }
        assert!(ends.await.is_err());
        let ack = written.await.unwrap();
        assert_eq!(ack.durability, Durability::Written);
        assert_eq!(ack.first_ordinal, Ordinal::new(3));
        home.disk.panic_syncs(false);
        home.disk.panic_writes(false);
        tokio::join!(check_fork(&store, &thread, Ordinal::new(3)), async {
            yield_now().await;
            home.disk.hold_syncs(false);
        });
        let thread = store.resume_thread(thread.thread_id()).await.unwrap();
        let next = thread.append(vec![says("next")]).await.unwrap();
        assert_eq!(next.first_ordinal, Ordinal::new(4), "{panics_in_sync}");
        store.shutdown().await.unwrap();
    }
}

/// Whoever waits for the answers before his own is kept in memory, and callers that go away do not
/// take that with them.
#[tokio::test]
async fn no_more_is_written_behind_a_sync_than_answers_can_be_kept() {
    const BOUND: u64 = 4096;
    let home = TestHome::new();
    let store = home.open_lazy().await;
    let thread = thread_of(&store, 2).await;
    let path = thread.snapshot().await.unwrap().path.unwrap();
    let file = selvedge_engine::home::Home::at(home.dir.path()).log_file(&path);
    let written = || {
        let history = load_history(&RealDisk, &file, LogFormat::Native).unwrap();
        history.records.len() as u64
    };
    home.disk.hold_syncs(true);
    let mut ends = Box::pin(thread.append(vec![turn_ends()]));
    assert!(!is_ready(&mut ends));
    let mut appends = JoinSet::new();
    for _ in 0..2 * BOUND {
        let thread = thread.clone();
        appends.spawn(async move { thread.append(vec![says("a")]).await });
    }
    while written() < BOUND {
        yield_now().await;
    }
    for _ in 0..10_000 {
        yield_now().await;
    }
    assert!(written() < BOUND + 1024, "{}", written());
    home.disk.hold_syncs(false);
    ends.await.unwrap();
    for ack in appends.join_all().await {
        ack.unwrap();
    }
    assert_eq!(written(), 2 * BOUND + 3);
    store.shutdown().await.unwrap();
}
