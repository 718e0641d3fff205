//! `verify --repair`: what it changes, what it says, and what it leaves alone.
#![cfg(test)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::{CLOCK, DAMAGED, Home, Homes, both, command, fields, read, run, shown, write};
use serde_json::Value;

/// The log of a thread.
fn log_of(home: &Home, id: &str) -> PathBuf {
    let files = home.files().into_iter();
    let mut logs = files.filter(|(path, _)| {
        let path = path.to_str().unwrap();
        path.contains(id) && !path.starts_with("damaged")
    });
    logs.next().unwrap().0
}

/// Flips a bit in the middle of a file.
fn harm(file: &Path) -> Vec<u8> {
    let mut bytes = read(file);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    write(file, &bytes);
    bytes
}

/// All lines that are no path fit a terminal.
fn fits(text: &str) {
    for line in text.lines().filter(|line| !line.contains("rollout-")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn the_bundled_home_is_repaired_and_nothing_that_could_be_read_is_lost() {
    let homes = Homes::new();
    let home = homes.bundled();
    let log = log_of(&home, DAMAGED);
    let damaged = read(&home.0.join(&log));
    let history = home.run(&["history", DAMAGED]).ok().stdout;
    assert_eq!(home.run(&["verify"]).code, Some(1));
    let before = home.files_but_index();

    let dry = home.run(&["verify", "--repair", "-n"]);
    assert_eq!(dry.code, Some(1), "{}", dry.stderr);
    assert!(dry.stdout.contains("would be repaired: "), "{}", dry.stdout);
    assert!(dry.stdout.trim_end().ends_with("DAMAGED"));
    assert_eq!(home.files_but_index(), before);

    let repaired = home.run(&["verify", "--repair"]).ok();
    fits(&repaired.stdout);
    for word in [
        DAMAGED,
        "repaired: ",
        "given up: ",
        "damaged/",
        "all is well",
    ] {
        assert!(
            repaired.stdout.contains(word),
            "{word}: {}",
            repaired.stdout
        );
    }
    let copy = repaired
        .stdout
        .lines()
        .find(|line| line.starts_with("damaged/"));
    let copy = copy.unwrap();
    assert!(copy.ends_with(log.to_str().unwrap()), "{copy}");
    assert_eq!(read(&home.0.join(copy)), damaged);
    home.run(&["verify"]).ok();
    assert_eq!(home.run(&["history", DAMAGED]).ok().stdout, history);
    assert_eq!(shown(&home, DAMAGED)["damaged_count"], 0);

    let after = home.files_but_index();
    let again = home.run(&["verify", "--repair"]).ok();
    assert_eq!(again.stdout.lines().count(), 1, "{}", again.stdout);
    assert_eq!(home.files_but_index(), after);
}

#[test]
fn a_native_log_says_what_it_has_lost() {
    let homes = Homes::new();
    let [_, home] = both(&homes);
    let file = home.0.join(log_of(&home, CLOCK));
    let records = home.run(&["history", CLOCK]).ok().json_lines();
    harm(&file);
    let report = home.run(&["verify", "--repair", "--json"]).ok().json();
    let log = &report["logs"][0];
    let ordinal = log["given_up"][0]["first_ordinal"].as_u64().unwrap();
    let next = log["given_up"][0]["next_ordinal"].as_u64().unwrap();
    assert_eq!(log["records_lost"], next - ordinal);
    let repaired = home.run(&["history", CLOCK]).ok().json_lines();
    assert_eq!(repaired.len(), records.len());
    for (known, found) in records.iter().zip(&repaired) {
        assert_eq!(known["ordinal"], found["ordinal"]);
        if (ordinal..next).contains(&found["ordinal"].as_u64().unwrap()) {
            assert_eq!(found["type"], "lost");
            assert_eq!(found["payload"]["copy"], log["copy"]);
            assert_eq!(found["payload"]["reason"], log["given_up"][0]["why"]);
        } else {
            assert_eq!(known, found);
        }
    }
    // What is exported is read by a tool that passes over types it does not know.
    let lines = home.run(&["export", CLOCK]).ok().json_lines();
    assert!(lines.iter().any(|line| line["type"] == "lost"));
    assert!(lines.iter().all(|line| line["timestamp"].is_string()));
}

#[test]
fn the_json_form_is_one_document_with_these_fields() {
    let homes = Homes::new();
    let home = homes.bundled();
    let report = home.run(&["verify", "--repair", "--json"]).ok();
    assert_eq!(report.stdout.lines().count(), 1);
    let report = report.json();
    assert_eq!(
        fields(&report),
        ["dry_run", "index_rebuilt", "logs", "ok", "verify"]
    );
    assert_eq!(
        fields(&report["logs"][0]),
        [
            "copy",
            "given_up",
            "left",
            "outcome",
            "path",
            "records_kept",
            "records_lost",
            "thread_id"
        ]
    );
    assert_eq!(report["logs"][0]["outcome"], "repaired");
    assert_eq!(report["logs"][0]["left"], Value::Null);
    assert_eq!(
        fields(&report["logs"][0]["given_up"][0]),
        ["first_ordinal", "length", "next_ordinal", "offset", "why"]
    );
    let whole = home.run(&["verify", "--json"]).ok().json();
    assert_eq!(fields(&report["verify"]), fields(&whole));
}

#[test]
fn what_can_t_be_repaired_is_told_with_a_code_of_1() {
    let homes = Homes::new();
    let home = homes.bundled();
    write(&home.0.join("sessions/garbage.rlog"), b"no log at all");
    let before = read(&home.0.join("sessions/garbage.rlog"));
    let text = home.run(&["verify", "--repair"]);
    assert_eq!(text.code, Some(1));
    fits(&text.stdout);
    assert!(text.stdout.contains("left as it is: "), "{}", text.stdout);
    assert!(text.stdout.contains("repaired: "), "the other one is");
    assert_eq!(read(&home.0.join("sessions/garbage.rlog")), before);
    let json = home.run(&["verify", "--repair", "--json"]);
    assert_eq!(json.code, Some(1));
    assert_eq!(json.json()["logs"][0]["outcome"], "left");
    assert_eq!(json.json()["logs"][0]["left"]["kind"], "no_thread");
}

#[test]
fn a_thread_that_another_process_writes_is_left_to_it() {
    let homes = Homes::new();
    let [_, home] = both(&homes);
    let file = home.0.join(log_of(&home, CLOCK));
    let mut writer = command()
        .args(["--home", home.0.to_str().unwrap(), "append", CLOCK])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = writer.stdin.take().unwrap();
    let said =
        b"{\"type\":\"event_msg\",\"payload\":{\"type\":\"agent_message\",\"message\":\"x\"}}\n";
    stdin.write_all(said).unwrap();
    let mut ack = String::new();
    let mut answers = BufReader::new(writer.stdout.take().unwrap());
    answers.read_line(&mut ack).unwrap();
    let harmed = harm(&file);
    for words in [&["verify", "--repair"][..], &["verify", "--repair", "-n"]] {
        let told = home.run(words);
        assert_eq!(told.code, Some(1), "{}", told.stderr);
        fits(&told.stdout);
        assert!(told.stdout.contains("being written by"), "{}", told.stdout);
    }
    let told = home.run(&["verify", "--repair", "--json"]).json();
    let holder = format!("process {}", writer.id());
    let why = told["logs"][0]["left"]["why"].as_str().unwrap();
    assert!(why.contains(&holder), "{why}");
    assert_eq!(read(&file), harmed);
    drop(stdin);
    assert!(writer.wait().unwrap().success());
    home.run(&["verify", "--repair"]).ok();
}

#[test]
fn the_help_the_manual_and_the_completions_tell_of_it() {
    for told in [run(&["verify", "--help"]), run(&["man", "verify"])] {
        let told = told.ok().stdout.replace('\\', "");
        for word in ["--repair", "--dry-run", "damaged/"] {
            assert!(told.contains(word), "{word}: {told}");
        }
    }
    assert!(
        run(&["completions", "bash"])
            .ok()
            .stdout
            .contains("--repair")
    );
    run(&["verify", "--dry-run"]).fails(2, "--repair");
}
