//! Wrong commands, wrong homes, wrong ids: a clear error, the right exit code, nothing made.
#![cfg(test)]

mod common;

use common::{ARCHIVED, CLOCK, Homes, UNKNOWN, run, write};

#[test]
fn a_wrong_command_line_ends_with_two() {
    for words in [
        &["--home", "h"][..],
        &["--home", "h", "lst"],
        &["--home", "h", "list", "--limit", "0"],
        &["--home", "h", "list", "--limit", "many"],
        &["--home", "h", "list", "--sort", "size"],
        &["--home", "h", "show"],
        &["--home", "h", "show", "not-a-uuid"],
        &["--home", "h", "append"],
        &["--home", "h", "append", UNKNOWN, "--new"],
        &["--home", "h", "append", "--new", "--durability", "buffered"],
        &["--home", "h", "import"],
        &["--home", "h", "export", "--all"],
    ] {
        run(words).fails(2, "--help");
    }
    run(&["list"]).fails(2, "SELVEDGE_HOME");
    run(&["--home", "", "list"]).fails(2, "");
    run(&["--home", "h", "fork", UNKNOWN, "--at-ordinal", "-1"]).fails(2, "unexpected argument");
}

#[test]
fn a_command_line_of_nothing_is_answered_with_the_help() {
    let bare = run(&[]);
    assert_eq!(bare.code, Some(2));
    assert!(bare.stderr.contains("Usage: selvedge"), "{}", bare.stderr);
    assert!(!bare.stderr.contains("demo-writer"), "{}", bare.stderr);
}

#[test]
fn help_and_version_end_with_zero() {
    assert!(run(&["--help"]).ok().stdout.contains("verify"));
    assert!(!run(&["--help"]).ok().stdout.contains("demo-writer"));
    assert!(run(&["--version"]).ok().stdout.starts_with("selvedge "));
}

#[test]
fn a_reading_verb_makes_no_home() {
    let homes = Homes::new();
    let home = homes.new_home("missing");
    for words in [
        &["list"][..],
        &["show", UNKNOWN],
        &["history", UNKNOWN],
        &["append", UNKNOWN],
        &["export", UNKNOWN],
        &["index"],
        &["verify"],
        &["stats"],
        &["tail", UNKNOWN],
        &["tail", UNKNOWN, "-f"],
        &["turns", UNKNOWN],
        &["items", UNKNOWN],
        &["search", "x"],
        &["occurrences", UNKNOWN, "x"],
        &["latest"],
        &["usage", UNKNOWN],
        &["context", UNKNOWN],
        &["name", UNKNOWN, "x"],
        &["set", UNKNOWN, "--git-sha", "x"],
        &["archive", UNKNOWN],
        &["unarchive", UNKNOWN],
        &["delete", UNKNOWN, "--yes"],
        &["fork", UNKNOWN],
        &["review", UNKNOWN],
        &["rollback", UNKNOWN, "1"],
        &["show", "sessions/x.jsonl"],
    ] {
        home.run(words).fails(1, "does not exist");
        assert!(!home.0.exists(), "{words:?}");
    }
}

#[test]
fn a_home_that_is_a_file_is_refused_and_left_alone() {
    let homes = Homes::new();
    let home = homes.new_home("file");
    write(&home.0, b"mine");
    for words in [
        &["list"][..],
        &["append", "--new"],
        &["import", "/dev/null"],
        &["index"],
    ] {
        home.run(words).fails(1, "not a directory");
    }
    assert_eq!(common::read(&home.0), b"mine");
}

#[test]
fn an_empty_home_lists_nothing() {
    let homes = Homes::new();
    let home = homes.new_home("empty");
    write(&home.0.join("x"), b"");
    let page = home.list(&[]);
    assert_eq!(page["threads"].as_array().unwrap().len(), 0);
    assert_eq!(page["next_cursor"], serde_json::Value::Null);
    assert_eq!(page["coverage"]["state"], "complete");
    assert!(home.run(&["list"]).ok().stderr.contains("no thread"));
    home.run(&["verify"]).ok();
    home.run(&["stats"]).ok();
}

#[test]
fn an_unknown_thread_is_named() {
    let homes = Homes::new();
    let home = homes.bundled();
    for verb in ["show", "history", "append", "export"] {
        home.run(&[verb, UNKNOWN]).fails(1, UNKNOWN);
    }
}

#[test]
fn a_bad_cursor_is_refused() {
    let homes = Homes::new();
    let home = homes.bundled();
    home.run(&["list", "--cursor", "nonsense"])
        .fails(1, "cursor");
    let page = home.list(&["--limit", "1"]);
    let cursor = page["next_cursor"].as_str().unwrap();
    home.run(&["list", "--cursor", &cursor[..cursor.len() - 2]])
        .fails(1, "cursor");
    home.run(&["list", "--sort", "updated", "--cursor", cursor])
        .fails(1, "another query");
}

#[test]
fn the_environment_names_the_home_and_the_command_line_wins() {
    let homes = Homes::new();
    let home = homes.bundled();
    let output = common::command()
        .env("SELVEDGE_HOME", &home.0)
        .args(["show", CLOCK, "--json"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let output = common::command()
        .env("SELVEDGE_HOME", &home.0)
        .args(["show", ARCHIVED, "--home"])
        .arg(homes.path("missing"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_readme_tells_of_every_verb_and_of_no_other() {
    let readme = include_str!("../../README.md");
    let help = run(&["--help"]).ok().stdout;
    let commands = help.split("Commands:").nth(1).unwrap();
    let commands = commands.split("Options:").next().unwrap();
    let mut verbs: Vec<&str> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    let mut told: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split(['`', ' ']).next())
        .collect();
    verbs.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, verbs);
}
