//! What an idle live thread costs: memory by the kernel's count, and file handles.
//!
//! `cargo run --release -p selvedge-benches --bin idle -- [THREADS]`
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement stops at the first surprise, and prints what it saw"
)]

use std::time::Duration;

use selvedge::{OpenOptions, Selvedge, StartThread};
use selvedge_benches::{runtime, user_message};

/// Resident memory in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}

fn handles() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn main() {
    let threads = std::env::args()
        .nth(1)
        .map_or(10_000, |text| text.parse::<usize>().unwrap());
    let runtime = runtime();
    runtime.block_on(async {
        let home = tempfile::tempdir().unwrap();
        let selvedge = Selvedge::open(OpenOptions::new(home.path()).create(true))
            .await
            .unwrap();
        let warm = selvedge.start_thread(StartThread::default()).await.unwrap();
        warm.append(vec![user_message("warm")]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (memory, files) = (resident(), handles());
        let mut live = Vec::new();
        for number in 0..threads {
            let thread = selvedge.start_thread(StartThread::default()).await.unwrap();
            thread
                .append(vec![user_message(&format!("thread {number}"))])
                .await
                .unwrap();
            live.push(thread);
        }
        // Longer than the sync interval twice over: every thread is synced, then idle.
        tokio::time::sleep(Duration::from_secs(2)).await;
        println!(
            "{threads} idle live threads: {} bytes each, {} more file handles in all",
            resident().saturating_sub(memory) / threads,
            handles().saturating_sub(files),
        );
        drop(live);
        selvedge.shutdown().await.unwrap();
    });
}
