//! The demo, as the README promises it.
#![cfg(test)]

mod common;

use common::{CLOCK, Homes, command, run};

#[test]
fn the_demo_loses_nothing_and_leaves_nothing() {
    let run = run(&["demo"]).ok();
    assert!(run.stdout.contains("SIGKILL"), "{}", run.stdout);
    assert!(run.stdout.contains("none of what was acknowledged"));
    assert!(run.stdout.contains(CLOCK));
    for line in run.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn the_demo_takes_no_home_of_the_environment_and_none_in_use() {
    let homes = Homes::new();
    let home = homes.bundled();
    let before = home.files();
    let output = command()
        .env("SELVEDGE_HOME", &home.0)
        .arg("demo")
        .output()
        .unwrap();
    assert!(output.status.success());
    home.run(&["demo"]).fails(1, "not empty");
    assert_eq!(home.files(), before);
}

#[test]
fn a_demo_s_home_that_was_named_is_kept() {
    let homes = Homes::new();
    let home = homes.new_home("kept");
    home.run(&["demo"]).ok();
    assert_eq!(common::ids(&home.list(&[])).len(), 5);
    assert_eq!(common::ids(&home.list(&["--archived"])).len(), 1);
}
