//! Many processes on one home, small. `cargo run --release -p selvedge-reliability --bin
//! processes` runs the same for as long as it is asked to.
#![cfg(test)]

use std::time::Duration;

use selvedge_reliability::processes::child::{Launcher, serve};
use selvedge_reliability::processes::{Plan, Scenario};

/// Not a test of its own: what the other processes do.
#[test]
fn other_process() {
    let _ = serve();
}

fn small(scenario: Scenario, (logs, processes): (usize, usize)) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let plan = Plan {
        launcher: Launcher::test("other_process"),
        seed,
        duration: Duration::from_secs(2),
        logs,
        processes,
    };
    match scenario.run(&plan) {
        Ok(figures) => println!("{figures}"),
        Err(why) => panic!("seed {seed}: {why}"),
    }
}

#[test]
fn processes_that_start_at_once_read_each_log_once_and_list_all() {
    small(Scenario::Start, (300, 6));
}

#[test]
fn processes_under_fire_see_every_thread_and_lose_nothing() {
    small(Scenario::Soak, (20, 4));
}

#[test]
fn a_stopped_process_delays_no_append_and_nothing_else_for_ever() {
    small(Scenario::Stopped, (20, 2));
}

#[test]
fn the_lease_of_a_dead_backfiller_is_free_and_a_stopped_one_s_ends() {
    small(Scenario::Lease, (200, 4));
}

#[test]
fn a_thread_that_was_shut_down_is_free_for_the_next_process() {
    small(Scenario::Handover, (0, 3));
}
