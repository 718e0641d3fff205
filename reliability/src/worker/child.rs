//! The worker's own process: it opens the home, lets its lanes work, and shuts down when nobody
//! holds its standard input any more.

use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use selvedge::{IndexMode, LogFormat, OpenOptions, Selvedge, ThreadId, ThreadSummary};

use super::lane::{Lane, Own};
use super::look;
use super::said::{Line, Mouth, ORDER, Order, Role, short};
use super::shared::Shared;

/// Works, if this process was started as a worker; `None` otherwise. Programs call this before
/// anything else, tests in a test of its own.
pub fn run_if_asked() -> Option<ExitCode> {
    let order = std::env::var(ORDER).ok()?;
    let order: Order = serde_json::from_str(&order).unwrap();
    let mouth = Arc::new(Mouth::stdout());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let outcome = runtime.block_on(work(order, Arc::clone(&mouth)));
    Some(match outcome {
        Ok(()) => {
            mouth.say(&Line::Stopped);
            ExitCode::SUCCESS
        }
        Err(what) => {
            mouth.say(&Line::Wrong { what: short(what) });
            ExitCode::FAILURE
        }
    })
}

/// Set when nobody holds the standard input any more: the parent wants an end, or is dead.
fn stop_at_end_of_input() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        told.store(true, Ordering::SeqCst);
    });
    stop
}

async fn work(order: Order, mouth: Arc<Mouth>) -> Result<(), String> {
    let stop = stop_at_end_of_input();
    let index = match order.background {
        true => IndexMode::Background,
        false => IndexMode::Wait(Duration::from_secs(60)),
    };
    let options = OpenOptions::new(&order.home)
        .create(true)
        .index(index)
        .sync_interval(Duration::from_millis(20));
    let selvedge = Selvedge::open(options)
        .await
        .map_err(|error| format!("opening: {error}"))?;
    mouth.say(&Line::Opened);
    let mut rng = fastrand::Rng::with_seed(order.seed);
    let (there, others) = threads_for(&selvedge, &order, &mut rng).await?;
    let shared = Arc::new(Shared {
        selvedge: selvedge.clone(),
        mouth,
        stop,
        operations: AtomicU64::new(0),
        live: std::sync::Mutex::default(),
        others,
        order: order.clone(),
    });
    let mut lanes = tokio::task::JoinSet::new();
    for number in 0..order.lanes {
        let own = there.iter().skip(number).step_by(order.lanes).cloned();
        let rng = rng.fork();
        match order.role {
            Role::Reader => lanes.spawn(look::read_on(Arc::clone(&shared), rng)),
            _ => lanes.spawn(Lane::new(Arc::clone(&shared), rng, own.collect()).work()),
        };
    }
    while let Some(ended) = lanes.join_next().await {
        ended.map_err(|error| format!("a lane: {error}"))?;
    }
    shared.live.lock().unwrap().clear();
    drop(shared);
    let stopped = selvedge.shutdown().await;
    stopped.map_err(|error| format!("shutting down: {error}"))
}

/// The threads that are there and that this worker goes on with, and those that it leaves to others.
async fn threads_for(
    selvedge: &Selvedge,
    order: &Order,
    rng: &mut fastrand::Rng,
) -> Result<(Vec<Own>, Vec<ThreadId>), String> {
    let is_mine = |thread: &ThreadSummary| order.is_mine(thread.thread_id);
    let is_wanted = |thread: &ThreadSummary| {
        let is_native = LogFormat::of_file_name(&thread.rollout_path) == Some(LogFormat::Native);
        match order.role {
            Role::Native => is_native,
            Role::JsonLines => !is_native,
            Role::Mixed => true,
            Role::Reader => false,
        }
    };
    let mut there = Vec::new();
    for archived in [false, true] {
        let listed = look::list_all(selvedge, archived).await;
        there.extend(listed.map_err(|error| format!("listing: {error}"))?);
    }
    there.retain(is_wanted);
    rng.shuffle(&mut there);
    let (mine, others): (Vec<_>, Vec<_>) = there.into_iter().partition(is_mine);
    let mine = mine
        .iter()
        .take(order.max_threads)
        .map(Own::there)
        .collect();
    let others = others.iter().map(|thread| thread.thread_id);
    Ok((mine, others.take(order.max_threads).collect()))
}
