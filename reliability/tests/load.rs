//! The load, small: see `selvedge_reliability::load`.
#![cfg(test)]

use std::time::Duration;

use selvedge_reliability::load::{LoadOptions, run, silence_planned_panics};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_levels_off_hangs_nowhere_and_loses_nothing_acknowledged() {
    silence_planned_panics();
    let home = tempfile::tempdir().unwrap();
    let options = LoadOptions {
        threads: 300,
        duration: Duration::from_secs(5),
        sample_every: Duration::from_millis(250),
        seed: 4,
        max_handles: 400,
        tasks: 32,
        rate: 2000,
        panics_per_million: 2000,
        readers: 2,
    };
    let report = run(home.path(), &options, |_| {}).await;
    assert_eq!(report.violations, Vec::<String>::new());
    // Otherwise it shows nothing.
    assert!(
        report.disk.panics > 0 && report.checked >= 290,
        "{report:?}"
    );
    assert!(
        report.counts.iter().all(|(_, count)| *count > 0),
        "{report:?}"
    );
}
