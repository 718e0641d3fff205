//! Limits for real, as `limits` tries them: full disk, file size, file handles, read-only.

use std::path::Path;

use selvedge_reliability::limits::{Scenario, Verdict};

fn holds(scenario: Scenario) {
    match scenario.run(Path::new(env!("CARGO_BIN_EXE_limits"))) {
        Verdict::Held(figures) => println!("{}: {figures}", scenario.name()),
        Verdict::Skipped(why) => println!("{}: skipped, {why}", scenario.name()),
        Verdict::Failed(why) => panic!("{}: {why}", scenario.name()),
    }
}

#[test]
fn a_full_disk_loses_nothing_acknowledged() {
    holds(Scenario::DiskFull);
}

#[test]
fn a_read_only_home_is_read_and_refuses_to_be_written() {
    holds(Scenario::ReadOnly);
}

#[test]
fn a_file_that_may_not_grow_loses_nothing_acknowledged() {
    holds(Scenario::FileSize);
}

#[test]
fn a_process_without_file_handles_goes_on_once_there_are_some() {
    holds(Scenario::Handles);
    holds(Scenario::FewHandles);
}
