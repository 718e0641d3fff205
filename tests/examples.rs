//! The examples run: what an author copies works.
#![cfg(test)]

use std::path::Path;
use std::process::Command;

/// Runs an example, as a reader of its head does.
fn run(example: &str) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["run", "--quiet", "--example", example])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    // They sync what they write, and nothing here is about the medium.
    if Path::new("/dev/shm").is_dir() {
        cargo.env("TMPDIR", "/dev/shm");
    }
    let ran = cargo.output().unwrap();
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{example}: {told}");
}

#[test]
fn an_agent_goes_on_after_a_crash() {
    run("agent");
}

#[test]
fn a_hundred_sub_agents_are_live_at_once() {
    run("subagents");
}

#[test]
fn a_store_of_one_s_own_keeps_to_the_contract() {
    run("custom_store");
}

#[test]
fn a_home_is_embedded() {
    run("embed");
}
