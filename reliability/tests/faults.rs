//! A disk that fails under live threads: whoever waits is told, the thread has failed, others go on,
//! and once the disk works again so does the thread, with all that was acknowledged; also after a
//! power loss.

use std::sync::Arc;
use std::time::Duration;

use selvedge::simulation::{Fault, FaultKind, Operations, SimulatedDisk};
use selvedge::{
    AppendOptions, Durability, Error, Item, LiveThread, ManualClock, OpenOptions, Selvedge,
    StartThread, ThreadId, ThreadState, UtcMicros,
};

/// 2026-11-20T14:00:00Z.
const NOW: i64 = 1_795_183_200_000_000;
const SEEDS: u64 = 6;

struct Home {
    disk: SimulatedDisk,
    clock: Arc<ManualClock>,
}

impl Home {
    fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(UtcMicros::new(NOW)));
        Self {
            disk: SimulatedDisk::new(seed, Arc::clone(&clock) as _),
            clock,
        }
    }

    async fn open(&self) -> Selvedge {
        let options = OpenOptions::new("/agent")
            .create(true)
            .sync_interval(Duration::from_secs(3600))
            .disk(Arc::new(self.disk.process()))
            .clock(Arc::clone(&self.clock) as _);
        Selvedge::open(options).await.unwrap()
    }
}

fn says(text: &str) -> Item {
    let payload = format!(r#"{{"type":"user_message","message":"{text}"}}"#);
    Item::json("event_msg", payload).unwrap()
}

async fn append(thread: &LiveThread, text: &str, durability: Durability) -> Result<(), Error> {
    let options = AppendOptions {
        durability,
        ..AppendOptions::default()
    };
    let appended = thread.append_with(vec![says(text)], options).await;
    appended.map(drop)
}

async fn synced(thread: &LiveThread, text: &str) -> Result<(), Error> {
    append(thread, text, Durability::Synced).await
}

/// What the user said in a thread.
async fn said(store: &Selvedge, id: ThreadId) -> Vec<String> {
    let history = store.load_history(id).await.unwrap();
    assert!(history.damage.is_empty(), "{:?}", history.damage);
    let messages = history.records.iter().filter_map(|record| {
        let payload = record.payload_json().ok()?;
        let (_, message) = payload.get().split_once(r#""message":""#)?;
        Some(message.trim_end_matches(r#""}"#).to_owned())
    });
    messages.collect()
}

/// The name that a thread's log ends with.
fn log_of(thread: &LiveThread) -> String {
    format!("{}.rlog", thread.thread_id())
}

#[tokio::test]
async fn a_sync_that_drops_its_pages_is_told_to_all_and_written_again() {
    for seed in 0..SEEDS {
        let home = Home::new(seed);
        let store = home.open().await;
        let thread = store.start_thread(StartThread::default()).await.unwrap();
        let other = store.start_thread(StartThread::default()).await.unwrap();
        for live in [&thread, &other] {
            synced(live, "first").await.unwrap();
        }
        append(&thread, "written", Durability::Written)
            .await
            .unwrap();
        let fault = Fault::always(Operations::Sync, FaultKind::DroppedPages);
        home.disk.plan(fault.on_path(log_of(&thread)));
        let (one, two, flush) = tokio::join!(
            synced(&thread, "unsure"),
            synced(&thread, "unsure"),
            thread.flush()
        );
        assert!(one.is_err() && two.is_err() && flush.is_err());
        let snapshot = thread.snapshot().await.unwrap();
        assert_eq!(snapshot.state, ThreadState::Failed);
        synced(&other, "goes on").await.unwrap();
        home.disk.heal();
        synced(&thread, "last").await.unwrap();
        home.disk.lose_power();
        drop(store);

        let store = home.open().await;
        let mut found = said(&store, thread.thread_id()).await;
        found.retain(|said| said != "unsure");
        assert_eq!(found, ["first", "written", "last"], "seed {seed}");
        let found = said(&store, other.thread_id()).await;
        assert_eq!(found, ["first", "goes on"], "seed {seed}");
        store.shutdown().await.unwrap();
    }
}

/// Has the disk refuse what is written, and then no more.
async fn refused(refuse: impl Fn(&SimulatedDisk), seed: u64) {
    let home = Home::new(seed);
    let store = home.open().await;
    let thread = store.start_thread(StartThread::default()).await.unwrap();
    synced(&thread, "first").await.unwrap();
    append(&thread, "written", Durability::Written)
        .await
        .unwrap();
    refuse(&home.disk);
    for _ in 0..3 {
        let told = append(&thread, "refused", Durability::Written).await;
        assert!(
            matches!(told, Err(Error::OutOfSpace { .. } | Error::Io { .. })),
            "{told:?}"
        );
    }
    // What was acknowledged is read meanwhile.
    assert!(said(&store, thread.thread_id()).await.len() >= 2);
    home.disk.heal();
    home.disk.set_read_only(false);
    synced(&thread, "last").await.unwrap();
    assert_eq!(
        said(&store, thread.thread_id()).await,
        ["first", "written", "last"]
    );
    home.disk.lose_power();
    drop(store);
    let store = home.open().await;
    assert_eq!(
        said(&store, thread.thread_id()).await,
        ["first", "written", "last"],
        "seed {seed}"
    );
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_and_loses_nothing() {
    for seed in 0..SEEDS {
        refused(|disk| disk.set_capacity(Some(disk.used())), seed).await;
    }
}

#[tokio::test]
async fn a_disk_turned_read_only_is_told_and_loses_nothing() {
    for seed in 0..SEEDS {
        refused(|disk| disk.set_read_only(true), seed).await;
    }
}

#[tokio::test]
async fn errors_and_interruptions_of_writes_are_told_or_not_seen() {
    for seed in 0..SEEDS {
        let fail = |disk: &SimulatedDisk| {
            disk.plan(Fault::always(Operations::Write, FaultKind::Io).on_path(".rlog"));
        };
        refused(fail, seed).await;
        let home = Home::new(seed);
        let store = home.open().await;
        for kind in [FaultKind::Interrupted, FaultKind::Short] {
            home.disk.plan(Fault {
                times: 40,
                ..Fault::once(Operations::Any, kind)
            });
        }
        let thread = store.start_thread(StartThread::default()).await.unwrap();
        for _ in 0..5 {
            synced(&thread, "said").await.unwrap();
        }
        assert_eq!(said(&store, thread.thread_id()).await.len(), 5);
        store.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_thread_that_no_handle_is_left_for_starts_once_there_is_one() {
    let home = Home::new(1);
    let store = home.open().await;
    let thread = store.start_thread(StartThread::default()).await.unwrap();
    home.disk.set_max_handles(Some(home.disk.open_handles()));
    for _ in 0..3 {
        let told = synced(&thread, "refused").await;
        assert!(matches!(told, Err(Error::Io { .. })), "{told:?}");
    }
    home.disk.heal();
    synced(&thread, "said").await.unwrap();
    assert_eq!(said(&store, thread.thread_id()).await, ["said"]);
    store.shutdown().await.unwrap();
}
