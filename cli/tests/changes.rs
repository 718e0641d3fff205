//! Naming, setting, archiving and deleting, in the bundled JSON-lines home and in one of native
//! logs.
#![cfg(test)]
#![expect(
    clippy::disallowed_types,
    reason = "a test sets the scene outside of the engine"
)]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;

use common::{
    ARCHIVED, BAKERY, CLOCK, Home, Homes, LOOM, UNKNOWN, both, fits, ids, rebuilt, shown,
};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

#[test]
fn a_name_is_given_changed_and_taken_away() {
    let homes = Homes::new();
    for home in both(&homes) {
        for id in [CLOCK, LOOM, ARCHIVED] {
            let named = home
                .run(&["name", id, "The night  of 月", "--json"])
                .ok()
                .json();
            assert_eq!(named["name"], "The night  of 月");
            assert_eq!(shown(&home, id), named);
            rebuilt(&home);
            assert_eq!(shown(&home, id)["name"], "The night  of 月");
            let text = home.run(&["name", id, "--", "-x"]).ok().stdout;
            assert!(text.contains("name             -x\n"), "{text}");
            let cleared = home.run(&["name", id, "--clear", "--json"]).ok().json();
            assert_eq!(cleared["name"], Value::Null);
            rebuilt(&home);
            assert_eq!(shown(&home, id)["name"], Value::Null);
        }
        let page = home.list(&["--search", "of 月"]);
        assert_eq!(ids(&page).len(), 0);
    }
}

#[test]
fn a_name_that_can_t_be_one_is_refused() {
    let homes = Homes::new();
    for home in both(&homes) {
        let before = shown(&home, CLOCK);
        let long = "n".repeat(100_000);
        for name in ["", "  \n ", &long] {
            home.run(&["name", CLOCK, name]).fails(1, "the new name");
        }
        home.run(&["name", UNKNOWN, "x"]).fails(1, UNKNOWN);
        home.run(&["name", UNKNOWN, "--clear"]).fails(1, UNKNOWN);
        home.run(&["name", CLOCK]).fails(2, "NAME");
        home.run(&["name", CLOCK, "x", "--clear"])
            .fails(2, "--clear");
        assert_eq!(shown(&home, CLOCK), before);
    }
}

#[test]
fn git_fields_are_set_in_part_and_cleared() {
    let homes = Homes::new();
    for home in both(&homes) {
        let set = |words: &[&str]| {
            let words = [&["set", CLOCK, "--json"], words].concat();
            home.run(&words).ok().json()["git_info"].clone()
        };
        let sha = "5f1c0de2b7a94c3d8e6f0a1b2c3d4e5f60718293";
        assert_eq!(
            set(&[
                "--git-branch",
                "topic",
                "--git-origin",
                "git@example.com:x.git"
            ]),
            json!({"branch": "topic", "commit_hash": sha, "repository_url": "git@example.com:x.git"})
        );
        assert_eq!(
            set(&["--git-sha", "abc", "--clear", "git-origin"]),
            json!({"branch": "topic", "commit_hash": "abc", "repository_url": null})
        );
        rebuilt(&home);
        assert_eq!(shown(&home, CLOCK)["git_info"]["commit_hash"], "abc");
        for clear in [
            &["--clear", "git-sha", "git-branch"][..],
            &["--clear", "git-sha,git-branch"],
        ] {
            assert_eq!(
                set(&["--git-sha", "abc", "--git-branch", "b"])["branch"],
                "b"
            );
            assert_eq!(set(clear), Value::Null);
        }
        rebuilt(&home);
        assert_eq!(shown(&home, CLOCK)["git_info"], Value::Null);
    }
}

#[test]
fn the_rest_is_set_and_cleared_and_stays_in_the_log() {
    let homes = Homes::new();
    for home in both(&homes) {
        let words = [
            "set",
            LOOM,
            "--json",
            "--memory-mode",
            "disabled",
            "--title",
            "T",
            "--preview",
            "P",
            "--model",
            "m",
            "--provider",
            "p",
            "--effort",
            "high",
        ];
        let thread = home.run(&words).ok().json();
        let of = |thread: &Value| {
            [
                "memory_mode",
                "title",
                "preview",
                "model",
                "model_provider",
                "reasoning_effort",
            ]
            .map(|field| thread[field].clone())
        };
        assert_eq!(
            of(&thread),
            ["disabled", "T", "P", "m", "p", "high"].map(Value::from)
        );
        rebuilt(&home);
        assert_eq!(shown(&home, LOOM), thread);
        assert_eq!(
            ids(&home.list(&["--search", "t", "--provider", "p"])),
            [LOOM]
        );
        let clear = [
            "set",
            LOOM,
            "--json",
            "--clear",
            "memory-mode",
            "title",
            "preview",
            "model",
            "provider",
            "effort",
            "agent-nickname",
            "agent-role",
            "agent-path",
            "name",
        ];
        let cleared = home.run(&clear).ok().json();
        assert_eq!(cleared["memory_mode"], "enabled");
        assert_eq!(cleared["title"], Value::Null);
        rebuilt(&home);
        assert_eq!(shown(&home, LOOM), cleared);
        let text = home.run(&["set", LOOM, "--git-branch", "main"]).ok().stdout;
        assert!(text.contains(LOOM) && text.contains("branch"));
    }
}

#[test]
fn a_change_of_nothing_or_of_two_minds_is_wrong_usage() {
    let homes = Homes::new();
    let home = homes.bundled();
    let before = home.files();
    for words in [
        &["set", CLOCK][..],
        &["set"],
        &["set", CLOCK, "--git-sha", "x", "--clear", "git-sha"],
        &[
            "set",
            CLOCK,
            "--memory-mode",
            "enabled",
            "--clear",
            "memory-mode",
        ],
        &["set", CLOCK, "--memory-mode", "maybe"],
        &["set", CLOCK, "--clear"],
        &["set", CLOCK, "--clear", "everything"],
        &["set", CLOCK, "--git-sha"],
        &["set", CLOCK, "--git-sha", ""],
        &["set", CLOCK, "--model", ""],
        &["set", CLOCK, "--title", "", "--effort", "high"],
        &["rollback", CLOCK],
        &["rollback", CLOCK, "0"],
        &["rollback", CLOCK, "-1"],
        &["rollback", CLOCK, "4294967296"],
        &["fork", CLOCK, "--at-turn", "t", "--at-ordinal", "1"],
        &["fork", CLOCK, "--at-ordinal", "x"],
        &["archive"],
        &["delete", "--yes"],
    ] {
        home.run(words).fails(2, "--help");
    }
    assert_eq!(home.files(), before);
    home.run(&["set", UNKNOWN, "--git-sha", "x"])
        .fails(1, UNKNOWN);
}

#[test]
fn a_thread_is_archived_and_taken_back_as_often_as_one_likes() {
    let homes = Homes::new();
    for home in both(&homes) {
        let before = shown(&home, CLOCK);
        for _ in 0..2 {
            let archived = home.run(&["archive", CLOCK, "--json"]).ok().json();
            assert!(archived["archived_at"].is_string());
            let path = archived["rollout_path"].as_str().unwrap();
            assert!(path.contains("/archived_sessions/"), "{path}");
            assert_eq!(shown(&home, CLOCK), archived);
        }
        assert!(!ids(&home.list(&[])).contains(&CLOCK.to_owned()));
        assert_eq!(ids(&home.list(&["--archived"])), [CLOCK, ARCHIVED]);
        rebuilt(&home);
        assert_eq!(ids(&home.list(&["--archived"])), [CLOCK, ARCHIVED]);
        for _ in 0..2 {
            let back = home.run(&["unarchive", CLOCK, "--json"]).ok().json();
            assert_eq!(back, before);
        }
        assert_eq!(ids(&home.list(&["--archived"])), [ARCHIVED]);
        let text = home.run(&["unarchive", ARCHIVED]).ok().stdout;
        assert!(text.contains("/sessions/2026/02/11/"), "{text}");
        for verb in ["archive", "unarchive"] {
            home.run(&[verb, UNKNOWN]).fails(1, UNKNOWN);
        }
    }
}

#[test]
fn a_deleted_thread_is_gone_and_no_other() {
    let homes = Homes::new();
    for home in both(&homes) {
        let answer = home.run(&["delete", CLOCK, "--yes", "--json"]).ok();
        assert_eq!(answer.json(), json!({"thread_id": CLOCK, "deleted": true}));
        assert_eq!(
            answer.stdout,
            format!("{{\"thread_id\":\"{CLOCK}\",\"deleted\":true}}\n")
        );
        home.run(&["show", CLOCK]).fails(1, CLOCK);
        assert!(ids(&home.list(&[])).iter().all(|id| id != CLOCK));
        assert_eq!(ids(&home.list(&[])).len(), 3);
        rebuilt(&home);
        assert_eq!(ids(&home.list(&["--include-empty"])).len(), 3);
        for (path, _) in home.files_but_index() {
            assert!(
                !path.to_string_lossy().contains(CLOCK),
                "{}",
                path.display()
            );
        }
        let text = home.run(&["delete", ARCHIVED, "-y"]).ok().stdout;
        assert!(text.contains("deleted"), "{text}");
        assert_eq!(ids(&home.list(&["--archived"])).len(), 0);
    }
}

#[test]
fn a_thread_that_is_not_there_is_told_and_not_deleted() {
    let homes = Homes::new();
    let home = homes.bundled();
    let before = home.files();
    let answer = home.run(&["delete", UNKNOWN, "--yes", "--json"]).ok();
    assert_eq!(
        answer.json(),
        json!({"thread_id": UNKNOWN, "deleted": false})
    );
    assert!(answer.stderr.contains(UNKNOWN), "{}", answer.stderr);
    let answer = home.run(&["delete", UNKNOWN, "--yes"]).ok();
    assert_eq!(answer.stdout, "");
    let logs = |files: &[(std::path::PathBuf, Vec<u8>)]| {
        let mut files = files.to_vec();
        files.retain(|(path, _)| path.to_string_lossy().contains("sessions"));
        files
    };
    assert_eq!(logs(&home.files()), logs(&before));
}

#[test]
fn nothing_is_deleted_where_nobody_can_be_asked() {
    let homes = Homes::new();
    let home = homes.bundled();
    let before = home.files();
    home.run(&["delete", CLOCK]).fails(2, "--yes");
    home.run_with(&["delete", CLOCK], b"y\n").fails(2, "--yes");
    assert_eq!(home.files(), before);
}

/// Runs `delete` on a terminal of its own, types `answer` and gives what the terminal shows.
fn delete_on_a_terminal(home: &Home, id: &str, answer: &str) -> (Option<i32>, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let open = || {
        File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap()
    };
    let mut keyboard = File::from(terminal);
    // What is typed before it is asked for waits.
    keyboard.write_all(answer.as_bytes()).unwrap();
    let mut child = common::command();
    child.arg("--home").arg(&home.0).args(["delete", id]);
    child.stdin(open()).stderr(open()).stdout(Stdio::null());
    let mut running = child.spawn().unwrap();
    // The parent's ends of the terminal, without which the screen would never end.
    drop(child);
    let code = running.wait().unwrap().code();
    let mut screen = Vec::new();
    // A terminal that nobody has open any more ends in an error.
    let _ = keyboard.read_to_end(&mut screen);
    (code, String::from_utf8_lossy(&screen).into_owned())
}

#[test]
fn on_a_terminal_the_thread_is_named_and_a_yes_is_asked_for() {
    let homes = Homes::new();
    let home = homes.bundled();
    for no in ["n\n", "\n", "maybe\n", "\u{4}"] {
        let (code, screen) = delete_on_a_terminal(&home, CLOCK, no);
        assert_eq!(code, Some(1), "{screen}");
        assert!(screen.contains(CLOCK) && screen.contains("The night the clock jumps"));
        assert!(
            screen.contains("21 records") && screen.contains("[y/N]"),
            "{screen}"
        );
        assert!(screen.contains("nobody said yes"), "{screen}");
    }
    assert_eq!(shown(&home, CLOCK)["thread_id"], CLOCK);
    let (code, screen) = delete_on_a_terminal(&home, CLOCK, "y\n");
    assert_eq!(code, Some(0), "{screen}");
    home.run(&["show", CLOCK]).fails(1, CLOCK);
    // What is not there is no question.
    let (code, screen) = delete_on_a_terminal(&home, CLOCK, "y\n");
    assert_eq!(code, Some(0), "{screen}");
    assert!(!screen.contains("[y/N]"), "{screen}");
}

#[test]
fn the_latest_thread_is_the_one_to_go_on_with() {
    let homes = Homes::new();
    for home in both(&homes) {
        let latest = |words: &[&str]| {
            let words = [&["latest", "--json"], words].concat();
            home.run(&words).ok().json()
        };
        assert_eq!(latest(&[]), shown(&home, BAKERY));
        assert_eq!(
            latest(&["--cwd", "/home/ada//tide-clock/."])["thread_id"],
            CLOCK
        );
        home.append(
            CLOCK,
            "{\"type\":\"event_msg\",\"payload\":{\"type\":\"user_message\",\"message\":\"on\"}}\n",
        );
        assert_eq!(latest(&[])["thread_id"], CLOCK);
        home.run(&["archive", CLOCK]).ok();
        assert_eq!(latest(&[])["thread_id"], BAKERY);
        for json in [&[][..], &["--json"]] {
            let words = [&["latest", "--cwd", "/home/ada/tide-clock"], json].concat();
            let none = home.run(&words);
            assert_eq!(none.stdout, "");
            none.fails(1, "no thread to go on with");
        }
        home.run(&["latest", "--cwd", ""]).fails(2, "--cwd");
        let text = home.run(&["latest"]).ok().stdout;
        assert!(text.contains(BAKERY));
        fits(&home.run(&["list"]).ok().stdout);
    }
}

#[test]
fn an_argument_that_is_no_text_is_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let homes = Homes::new();
    let home = homes.bundled();
    let before = home.files();
    for words in [
        &["name", CLOCK][..],
        &["set", CLOCK, "--git-branch"],
        &["search"],
        &["occurrences", CLOCK],
        &["turns"],
        &["items", CLOCK, "--turn"],
        &["turns", CLOCK, "--cursor"],
        &["latest", "--cwd"],
        &["fork", CLOCK, "--at-turn"],
        &["man"],
    ] {
        let output = common::command()
            .arg("--home")
            .arg(&home.0)
            .args(words)
            .arg(OsStr::from_bytes(b"a\xff"))
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {stderr}");
        assert!(stderr.contains("UTF-8"), "{words:?}: {stderr}");
    }
    assert_eq!(home.files(), before);
}

#[test]
fn a_thread_that_another_process_writes_is_not_changed_under_it() {
    let homes = Homes::new();
    for home in both(&homes) {
        let mut writer = common::command()
            .arg("--home")
            .arg(&home.0)
            .args(["append", CLOCK])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = writer.stdin.take().unwrap();
        stdin
            .write_all(b"{\"type\":\"x\",\"payload\":1}\n")
            .unwrap();
        // Once it is acknowledged, the thread is the writer's.
        let mut ack = [0];
        writer
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut ack)
            .unwrap();
        let before = shown(&home, CLOCK);
        let holder = format!("process {}", writer.id());
        for words in [
            &["name", CLOCK, "x"][..],
            &["set", CLOCK, "--git-sha", "x"],
            &["archive", CLOCK],
            &["delete", CLOCK, "--yes"],
            &["rollback", CLOCK, "1"],
        ] {
            home.run(words).fails(1, &holder);
        }
        assert_eq!(shown(&home, CLOCK), before);
        // To begin with its history is no change of it.
        let fork = home.run(&["fork", CLOCK, "--json"]).ok().json();
        assert_eq!(fork["forked_from_id"], CLOCK);
        drop(stdin);
        assert!(writer.wait().unwrap().success());
        home.run(&["delete", CLOCK, "--yes"]).ok();
    }
}
