//! Thousands of live threads in one process under few file handles: see `selvedge_reliability::load`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use peak_alloc::PeakAlloc;
use selvedge_reliability::load::{LoadOptions, LoadReport, run, silence_planned_panics};

/// Counts what is in use, so that a leak is told from what the allocator keeps for later.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[derive(Debug, Parser)]
struct Args {
    /// How many threads are live.
    #[arg(long, default_value_t = 10_000)]
    threads: usize,
    /// For how long, once all are.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Where everything random comes from.
    #[arg(long, default_value_t = fastrand::u64(..))]
    seed: u64,
    /// The most files that the process may have open.
    #[arg(long, default_value_t = 1024)]
    max_handles: usize,
    /// How many tasks the threads are shared among.
    #[arg(long, default_value_t = 256)]
    tasks: usize,
    /// Operations a second; 0: as many as there can be.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// How many of a million writes and syncs of logs panic.
    #[arg(long, default_value_t = 500)]
    panics_per_million: u64,
    /// How many tasks list, search and read.
    #[arg(long, default_value_t = 4)]
    readers: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let options = LoadOptions {
        threads: args.threads,
        duration: Duration::from_secs(args.seconds),
        sample_every: Duration::from_secs((args.seconds / 60).clamp(1, 5)),
        seed: args.seed,
        max_handles: args.max_handles,
        tasks: args.tasks.min(args.threads),
        rate: args.rate,
        panics_per_million: args.panics_per_million,
        readers: args.readers,
        heap_in_use: Some(|| MEMORY.current_usage()),
    };
    let again = format!(
        "cargo run --release -p selvedge-reliability --bin load -- --threads {} --seconds {} --seed {} \
         --max-handles {} --tasks {} --rate {} --panics-per-million {} --readers {}",
        args.threads,
        args.seconds,
        args.seed,
        args.max_handles,
        args.tasks,
        args.rate,
        args.panics_per_million,
        args.readers
    );
    println!("{again}");
    silence_planned_panics();
    let home = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let report = runtime.block_on(run(home.path(), &options, |line| println!("{line}")));
    print(&report);
    if report.violations.is_empty() {
        return ExitCode::SUCCESS;
    }
    for violation in &report.violations {
        println!("VIOLATED: {violation}");
    }
    println!("again: {again}");
    ExitCode::FAILURE
}

fn print(report: &LoadReport) {
    for (what, took) in &report.worst {
        println!("longest {what}: {took:.1?}");
    }
    let mut line: Vec<String> = report
        .counts
        .iter()
        .map(|(what, count)| format!("{count} {what}"))
        .collect();
    let disk = &report.disk;
    line.push(format!("{} panics", disk.panics));
    line.push(format!(
        "{} writes and {} syncs of logs",
        disk.writes, disk.syncs
    ));
    line.push(format!("at most {} logs open", disk.most_open_logs));
    let most = report.samples.iter().map(|sample| sample.handles).max();
    line.push(format!("at most {} handles", most.unwrap_or_default()));
    if let (Some(first), Some(last)) = (report.samples.first(), report.samples.last()) {
        let (first, last) = (first.rss as f64 / 1e6, last.rss as f64 / 1e6);
        line.push(format!("{first:.0} MB, then {last:.0} MB"));
    }
    line.push(format!("started in {:.1?}", report.started_in));
    line.push(format!("shut down in {:.1?}", report.shut_down_in));
    line.push(format!("{} threads compared", report.checked));
    line.push(format!("{} violations", report.violations.len()));
    println!("{}", line.join(", "));
}
