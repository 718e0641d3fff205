//! What others have written must not steer the terminal that it is shown on, and what the command
//! writes is its owner's alone.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test sets the scene outside of the engine"
)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use common::{Homes, command, write};
use serde_json::json;

const ID: &str = "019c7a54-be6b-7e31-86dd-b589bd944286";

/// Clears the screen, sets the window's title, the same with controls of one byte each, rings,
/// deletes, turns the direction around in every way there is, and breaks lines in all.
const EVIL: &str = "e\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}2J\u{9d}0;y\u{9c}\r\n\u{b}\u{c}\u{85}\u{2028}\
                    \u{2029}\u{8}\u{7f}\u{202e}\u{2066}\u{200f}\u{61c}\t\u{0}needle";

fn steers(c: char) -> bool {
    c.is_control() && c != '\n'
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
        )
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

fn line(kind: &str, payload: &serde_json::Value) -> String {
    let line = json!({"timestamp": "2026-02-20T09:15:00.076Z", "type": kind, "payload": payload});
    format!("{line}\n")
}

/// A thread all of whose texts are hostile, under a name that is, too.
fn hostile(homes: &Homes) -> common::Home {
    let home = homes.new_home("hostile");
    let meta = json!({
        "id": ID, "timestamp": "2026-02-20T09:15:00Z", "cwd": EVIL, "source": EVIL,
        "model_provider": EVIL, "cli_version": EVIL, "originator": EVIL, "thread_source": EVIL,
        "agent_nickname": EVIL, "agent_role": EVIL, "agent_path": EVIL, "memory_mode": EVIL,
        "git": {"commit_hash": EVIL, "branch": EVIL, "repository_url": EVIL},
    });
    let event = |kind: &str, more: serde_json::Value| {
        let mut payload = json!({"type": kind, "turn_id": EVIL});
        payload
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        line("event_msg", &payload)
    };
    let text = [
        line("session_meta", &meta),
        event("task_started", json!({})),
        line(
            "turn_context",
            &json!({"turn_id": EVIL, "model": EVIL, "effort": EVIL, "approval_policy": EVIL}),
        ),
        event("user_message", json!({"message": EVIL})),
        event("agent_message", json!({"message": EVIL})),
        event(
            "token_count",
            json!({"info": {"total_token_usage": {EVIL: EVIL, "total_tokens": 7}}}),
        ),
        line(
            "response_item",
            &json!({"type": "function_call", "name": EVIL, "arguments": EVIL}),
        ),
        line(EVIL, &json!({EVIL: EVIL})),
        event("thread_name_updated", json!({"thread_name": EVIL})),
        event("turn_failed", json!({"error": {"message": EVIL}})),
        format!("no record: {EVIL}\n").replace("\r\n", ""),
    ]
    .concat();
    let named = EVIL.replace(['\0', '\r', '\n'], "");
    write(
        &home.0.join(format!("sessions/2026/02/20/{named}.jsonl")),
        text.as_bytes(),
    );
    write(&home.0.join(format!("sessions/{named}.rlog")), b"no log");
    home
}

#[test]
fn nothing_that_a_thread_says_steers_the_terminal() {
    let homes = Homes::new();
    let home = hostile(&homes);
    let told = |words: &[&str]| {
        let run = home.run(words);
        for (way, text) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
            if let Some(found) = text.chars().find(|c| steers(*c)) {
                panic!("{words:?}: {way} has {found:?}: {text:?}");
            }
        }
        run.stdout
    };
    assert!(told(&["list"]).contains("needle"));
    assert!(told(&["show", ID]).contains("needle"));
    assert!(told(&["turns", ID, "--items", "full"]).contains("needle"));
    assert!(told(&["items", ID]).contains("needle"));
    assert!(told(&["search", "needle"]).contains("needle"));
    assert!(told(&["occurrences", ID, "needle"]).contains("needle"));
    assert!(told(&["latest"]).contains("needle"));
    assert!(told(&["verify"]).contains("needle"));
    assert!(told(&["usage", ID]).contains("needle"));
    let evil = EVIL.replace('\0', "");
    for words in [
        &["list", "--cwd", &evil][..],
        &["stats"],
        &["index"],
        &["rollback", ID, "1"],
        &["name", ID, &evil],
        &["archive", ID],
        &["unarchive", ID],
        &["fork", ID],
        &["show", &evil],
        &["import", &evil],
    ] {
        told(words);
    }
}

/// JSON can't hold a control character but by its number, apart from the few that most terminals
/// pass over: what is for programs is given as it is.
#[test]
fn records_as_json_hold_no_escape_sequence() {
    let homes = Homes::new();
    let home = hostile(&homes);
    for words in [
        &["history", ID][..],
        &["tail", ID],
        &["context", ID],
        &["export", ID],
        &["list", "--json"],
        &["show", ID, "--json"],
        &["items", ID, "--json"],
    ] {
        let run = home.run(words);
        assert!(run.stdout.contains("needle"), "{words:?}");
        let is_plain = |c: char| c >= ' ' || c == '\n';
        assert!(run.stdout.chars().all(is_plain), "{words:?}");
    }
}

#[test]
fn what_the_command_writes_is_its_owner_s_alone() {
    let homes = Homes::new();
    let bundled = homes.bundled();
    let root = homes.path("made");
    let place = |name: &str| root.join(name).to_str().unwrap().to_owned();
    // As it is inherited from a shell that lets everybody read what is made.
    let run = |words: &[&str]| {
        let before = rustix::process::umask(rustix::fs::Mode::empty());
        let done = command().args(words).stdin(Stdio::null()).output().unwrap();
        rustix::process::umask(before);
        assert!(done.status.success(), "{words:?}: {done:?}");
    };
    std::fs::create_dir(&root).unwrap();
    run(&[
        "--home",
        &place("home"),
        "import",
        bundled.0.to_str().unwrap(),
    ]);
    run(&[
        "--home",
        &place("home"),
        "export",
        "--all",
        "-o",
        &place("exported/all"),
    ]);
    run(&[
        "--home",
        &place("home"),
        "export",
        common::CLOCK,
        "-o",
        &place("one"),
    ]);
    run(&["--home", &place("demo"), "demo"]);
    let mut seen = 0;
    let mut dirs = vec![root.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let expected = match path.is_dir() {
                true => 0o700,
                false => 0o600,
            };
            assert_eq!(mode(&path), expected, "{}", path.display());
            seen += 1;
            if path.is_dir() {
                dirs.push(path);
            }
        }
    }
    assert!(seen > 20, "only {seen} files");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
