//! Live threads under load, as `load` puts them there, but hundreds instead of thousands. This limits
//! how many files its process may open, so it is alone in its binary.

use std::time::Duration;

use selvedge_reliability::load::{LoadOptions, run, silence_planned_panics};

const THREADS: usize = 300;

#[test]
fn a_load_with_panics_ends_with_everything_acknowledged_there_and_synced() {
    silence_planned_panics();
    let options = LoadOptions {
        threads: THREADS,
        duration: Duration::from_secs(2),
        // Too few samples to tell whether memory levels off: that wants minutes.
        sample_every: Duration::from_secs(1),
        seed: 4,
        // More threads than logs that may be open at once.
        max_handles: 512,
        tasks: 32,
        rate: 0,
        panics_per_million: 10_000,
        readers: 2,
        heap_in_use: None,
    };
    let home = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let report = runtime.block_on(run(home.path(), &options, |line| println!("{line}")));
    for (what, count) in &report.counts {
        println!("{count} {what}");
    }
    assert_eq!(report.violations, Vec::<String>::new());
    assert_eq!(report.disk.open_logs, 0);
    // Else nothing was tried.
    assert_eq!(report.checked, THREADS);
    assert!(report.disk.panics > 0, "{:?}", report.disk);
}
