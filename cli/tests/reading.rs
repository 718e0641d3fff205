//! Listing, showing and reading the bundled JSON-lines home, which stays as it is.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test sets the scene outside of the engine"
)]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;

use common::{ARCHIVED, BAKERY, CLOCK, DAMAGED, Homes, LOOM, ids};
use serde_json::{Value, json};

#[test]
fn a_page_has_the_fields_it_promises() {
    let homes = Homes::new();
    let home = homes.bundled();
    let page = home.list(&[]);
    assert_eq!(ids(&page), [BAKERY, DAMAGED, LOOM, CLOCK]);
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    let mut fields = keys(&page);
    fields.sort();
    assert_eq!(
        fields,
        ["backwards_cursor", "coverage", "next_cursor", "threads"]
    );
    assert_eq!(page["coverage"], json!({"state": "complete", "failed": 0}));
    let clock = &page["threads"][3];
    let mut fields = keys(clock);
    fields.sort();
    assert_eq!(
        fields.join(" "),
        "agent_nickname agent_path agent_role approval_mode archived_at cli_version created_at cwd \
         damaged_count first_user_message forked_from_id git_info history_mode item_count \
         memory_mode model model_provider name parent_thread_id preview reasoning_effort \
         recency_at rollout_path source thread_id thread_source title token_usage updated_at"
    );
    assert_eq!(clock["name"], "The night the clock jumps");
    assert_eq!(clock["source"], "cli");
    assert_eq!(clock["created_at"], "2026-03-02T08:30:00Z");
    assert_eq!(clock["git_info"]["branch"], "main");
    assert_eq!(clock["token_usage"]["total_tokens"], 4870);
    assert_eq!(clock["archived_at"], Value::Null);
    let path = Path::new(clock["rollout_path"].as_str().unwrap());
    assert!(path.is_absolute() && path.exists());
    let shown = home.run(&["show", CLOCK, "--json"]).ok().json();
    assert_eq!(&shown, clock);
}

#[test]
fn filters_and_orders_do_what_they_say() {
    let homes = Homes::new();
    let home = homes.bundled();
    let lists = |words: &[&str]| ids(&home.list(words));
    assert_eq!(lists(&["--asc"]), [CLOCK, LOOM, DAMAGED, BAKERY]);
    assert_eq!(lists(&["--archived"]), [ARCHIVED]);
    assert_eq!(lists(&["--cwd", "/home/ada/loom/"]), [DAMAGED, LOOM]);
    assert_eq!(
        lists(&["--cwd", "/home/ada/bakery", "--cwd", "/home/ada/tide-clock"]),
        [BAKERY, CLOCK]
    );
    assert_eq!(
        lists(&["--source", "vscode", "--source", "exec"]),
        [BAKERY, DAMAGED]
    );
    assert_eq!(lists(&["--provider", "example"]).len(), 4);
    assert_eq!(lists(&["--provider", "other"]).len(), 0);
    assert_eq!(lists(&["--search", "DRAFT pars"]), [LOOM]);
    assert_eq!(lists(&["--search", "パン"]), [BAKERY]);
    for sort in ["created", "updated", "recency"] {
        assert_eq!(lists(&["--sort", sort]).len(), 4);
        assert_eq!(
            lists(&["--sort", sort, "--index-only"]),
            lists(&["--sort", sort])
        );
    }
}

#[test]
fn cursors_lead_through_all_threads_and_back() {
    let homes = Homes::new();
    let home = homes.bundled();
    let all = ids(&home.list(&[]));
    let mut forwards = Vec::new();
    let mut page = home.list(&["--limit", "1"]);
    loop {
        forwards.extend(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str().map(str::to_owned) else {
            break;
        };
        page = home.list(&["--limit", "1", "--cursor", &cursor]);
    }
    assert_eq!(forwards, all);
    // The last page's backwards cursor leads to all before it, nearest first.
    let cursor = page["backwards_cursor"].as_str().unwrap().to_owned();
    let back = ids(&home.list(&["--asc", "--cursor", &cursor]));
    let before: Vec<String> = all.iter().rev().skip(1).cloned().collect();
    assert_eq!(back, before);
}

#[test]
fn a_lost_or_damaged_index_changes_no_answer() {
    let homes = Homes::new();
    let home = homes.bundled();
    let index = home.0.join("index.redb");
    let lists = || {
        [
            home.list(&[]),
            home.list(&["--archived", "--sort", "updated"]),
        ]
    };
    let before = lists();
    assert!(index.exists());
    std::fs::remove_file(&index).unwrap();
    assert_eq!(lists(), before);
    std::fs::write(&index, b"this was an index once").unwrap();
    assert_eq!(lists(), before);
    let mut bytes = std::fs::read(&index).unwrap();
    for byte in bytes.iter_mut().skip(100).step_by(97) {
        *byte ^= 0x55;
    }
    std::fs::write(&index, bytes).unwrap();
    assert_eq!(lists(), before);
}

#[test]
fn reading_adds_nothing_but_the_index() {
    let homes = Homes::new();
    let home = homes.bundled();
    let before = home.files();
    for words in [
        &["list"][..],
        &["list", "--json", "--sort", "updated"],
        &["show", CLOCK],
        &["history", LOOM, "--effective"],
        &["export", BAKERY],
        &["stats"],
        &["verify"],
        &["index"],
        &["index", "--rebuild"],
    ] {
        home.run(words);
        assert_eq!(home.files_but_index(), before, "{words:?}");
    }
}

#[test]
fn a_table_fits_eighty_columns_and_a_thread_a_line() {
    let homes = Homes::new();
    let home = homes.bundled();
    let table = home.run(&["list", "--limit", "3"]).ok();
    assert_eq!(table.stdout.lines().count(), 4);
    for line in table.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for id in [BAKERY, DAMAGED, LOOM] {
        assert!(table.stdout.contains(id));
    }
    assert!(table.stderr.contains("--cursor "), "{}", table.stderr);
    let shown = home.run(&["show", CLOCK]).ok().stdout;
    assert!(shown.contains("The night the clock jumps") && shown.contains("tide-clock"));
}

#[test]
fn a_history_is_its_records_byte_for_byte() {
    let homes = Homes::new();
    let home = homes.bundled();
    let log = "sessions/2026/03/02/rollout-2026-03-02T08-30-00-019cad90-1c40-7a11-9c3e-5a0f6b21d401.jsonl";
    let lines = String::from_utf8(common::read(&home.0.join(log))).unwrap();
    let history = home.run(&["history", CLOCK]).ok();
    assert_eq!(history.stderr, "");
    assert_eq!(history.stdout.lines().count(), lines.lines().count());
    for (number, (record, line)) in history.stdout.lines().zip(lines.lines()).enumerate() {
        let begin = format!("{{\"ordinal\":{number},\"timestamp\":\"");
        assert!(record.starts_with(&begin), "{record}");
        let payload = |text: &str| text.split_once("\"payload\":").unwrap().1.to_owned();
        assert_eq!(payload(record), payload(line));
    }
}

#[test]
fn a_rollback_drops_turns_from_the_effective_history_alone() {
    let homes = Homes::new();
    let home = homes.bundled();
    let raw = home.run(&["history", LOOM]).ok().stdout;
    let effective = home.run(&["history", LOOM, "--effective"]).ok().stdout;
    assert!(raw.contains("regular expressions for all") && raw.contains("thread_rolled_back"));
    assert!(!effective.contains("regular expressions for all"));
    assert!(!effective.contains("thread_rolled_back"));
    assert!(effective.contains("weaving drafts") && effective.contains("Write it by hand"));
}

#[test]
fn a_damaged_line_is_told_and_hides_nothing_else() {
    let homes = Homes::new();
    let home = homes.bundled();
    let history = home.run(&["history", DAMAGED]).ok();
    assert_eq!(history.json_lines().len(), 11);
    assert_eq!(history.stderr.lines().count(), 1, "{}", history.stderr);
    assert!(
        history.stderr.contains("can't be read"),
        "{}",
        history.stderr
    );
    let shown = home.run(&["show", DAMAGED, "--json"]).ok().json();
    assert_eq!(shown["damaged_count"], 1);
    assert_eq!(shown["item_count"], 11);
}

#[test]
fn verify_tells_damage_with_its_place() {
    let homes = Homes::new();
    let home = homes.bundled();
    let verify = home.run(&["verify", "--json"]);
    assert_eq!(verify.code, Some(1), "{}", verify.stderr);
    assert!(verify.stdout.contains(DAMAGED), "{}", verify.stdout);
    assert_eq!(verify.stdout.lines().count(), 1);
    verify.json();
    let text = home.run(&["verify"]);
    assert_eq!(text.code, Some(1));
    assert!(text.stdout.contains(DAMAGED), "{}", text.stdout);

    let whole = homes.new_home("whole");
    whole.append_new(
        "{\"type\":\"event_msg\",\"payload\":{\"type\":\"user_message\",\"message\":\"x\"}}\n",
    );
    whole.run(&["verify"]).ok();
    assert!(whole.run(&["verify", "--json"]).ok().json().is_object());
}

#[test]
fn stats_and_index_are_one_document() {
    let homes = Homes::new();
    let home = homes.bundled();
    for words in [&["stats"][..], &["index"], &["index", "--rebuild"]] {
        let json = home.run(&[words, &["--json"]].concat()).ok();
        assert!(json.json().is_object(), "{}", json.stdout);
        assert_eq!(json.stdout.lines().count(), 1);
        assert!(!home.run(words).ok().stdout.is_empty());
    }
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let homes = Homes::new();
    let home = homes.new_home("long");
    // More than a pipe holds, so that the command must meet the closed end.
    let line = format!(
        "{{\"type\":\"event_msg\",\"payload\":{{\"type\":\"user_message\",\"message\":\"{}\"}}}}\n",
        "x".repeat(1000)
    );
    let id = home.append_new(&line.repeat(300));
    for words in [&["history", &id][..], &["export", &id]] {
        let mut child = common::command()
            .arg("--home")
            .arg(&home.0)
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        stdout.read_line(&mut first).unwrap();
        drop(stdout);
        assert!(first.starts_with('{'));
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(stderr, "");
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_home_that_can_keep_no_index_gives_the_same_answers() {
    let homes = Homes::new();
    let home = homes.bundled();
    let before = home.list(&[]);
    let index = home.0.join("index.redb");
    std::fs::remove_file(&index).unwrap();
    std::fs::create_dir(&index).unwrap();
    let run = home.run(&["list", "--json"]).ok();
    assert_eq!(run.json(), before);
    assert!(run.stderr.contains("index.redb"), "{}", run.stderr);
    assert_eq!(home.run(&["history", CLOCK]).ok().json_lines().len(), 21);
    home.run(&["index"]).fails(1, "index.redb");
}

/// A JSON-lines log of a thread in which the user said something.
fn json_lines(id: &str, more: &str, cwd: &str) -> String {
    let source = if more.is_empty() {
        r#""cli""#
    } else {
        r#"{"subagent":{"other":"x"}}"#
    };
    format!(
        r#"{{"timestamp":"2026-03-02T08:30:00.012Z","type":"session_meta","payload":{{"id":"{id}","timestamp":"2026-03-02T08:30:00.000Z","cwd":{cwd:?},"source":{source}{more}}}}}
{{"timestamp":"2026-03-02T08:30:01.514Z","type":"event_msg","payload":{{"type":"user_message","message":"hello"}}}}
"#
    )
}

#[test]
fn a_thread_s_sub_agents_are_listed_by_their_parent_and_by_any_ancestor() {
    let homes = Homes::new();
    let home = homes.new_home("family");
    let id = |number: u32| format!("019cad90-1c40-7a11-9c3e-00000000000{number}");
    for (number, parent) in [(1, None), (2, Some(1)), (3, Some(1)), (4, Some(2))] {
        let more = parent.map_or_else(String::new, |parent| {
            format!(r#","parent_thread_id":"{}""#, id(parent))
        });
        let log = format!(
            "sessions/2026/03/02/rollout-2026-03-02T08-30-00-{}.jsonl",
            id(number)
        );
        let lines = json_lines(&id(number), &more, "/w");
        common::write(&home.0.join(log), lines.as_bytes());
    }
    let lists = |words: &[&str]| {
        let mut ids = ids(&home.list(words));
        ids.sort();
        ids
    };
    assert_eq!(lists(&["--parent", &id(1)]), [id(2), id(3)]);
    assert_eq!(lists(&["--ancestor", &id(1)]), [id(2), id(3), id(4)]);
    assert_eq!(lists(&["--ancestor", &id(2)]), [id(4)]);
    assert_eq!(lists(&["--parent", &id(1), "--ancestor", &id(2)]).len(), 0);
    assert_eq!(lists(&["--parent", &id(4)]).len(), 0);
    home.run(&["list", "--parent", "x"]).fails(2, "--parent");
}

#[test]
fn a_working_directory_is_found_from_where_one_stands() {
    let homes = Homes::new();
    let home = homes.new_home("here");
    let work = homes.path("work").join("app");
    std::fs::create_dir_all(&work).unwrap();
    let work = work.canonicalize().unwrap();
    let link = homes.path("link");
    std::os::unix::fs::symlink(&work, &link).unwrap();
    for (number, cwd) in [(1, work.as_path()), (2, &link), (3, Path::new("/other"))] {
        let id = format!("019cad90-1c40-7a11-9c3e-00000000000{number}");
        let log = format!("sessions/2026/03/02/rollout-2026-03-02T08-30-00-{id}.jsonl");
        let lines = json_lines(&id, "", cwd.to_str().unwrap());
        common::write(&home.0.join(log), lines.as_bytes());
    }
    let count = |dir: &Path, cwd: &str| {
        let output = common::command()
            .current_dir(dir)
            .arg("--home")
            .arg(&home.0)
            .args(["list", "--json", "--cwd", cwd])
            .output()
            .unwrap();
        assert!(output.status.success());
        ids(&serde_json::from_slice(&output.stdout).unwrap()).len()
    };
    assert_eq!(count(&work, "."), 1);
    assert_eq!(count(&work, "../app/"), 1);
    assert_eq!(count(work.parent().unwrap(), "./app"), 1);
    // Who names the link may mean either.
    assert_eq!(count(link.parent().unwrap(), "link"), 2);
    assert_eq!(count(&work, "/other/../other//."), 1);
    assert_eq!(count(&work, ".."), 0);
    home.run(&["list", "--cwd", ""]).fails(2, "--cwd");
}

#[test]
fn a_thread_is_shown_by_the_path_of_its_log() {
    use std::os::unix::ffi::OsStrExt;
    let homes = Homes::new();
    let home = homes.bundled();
    let shown = home.run(&["show", CLOCK, "--json"]).ok().json();
    let log = shown["rollout_path"].as_str().unwrap();
    let below = log.split_once("/bundled/").unwrap().1;
    for path in [log, below] {
        assert_eq!(home.run(&["show", path, "--json"]).ok().json(), shown);
    }
    let from_here = common::command()
        .current_dir(home.0.join("sessions/2026/03/02"))
        .arg("--home")
        .arg(&home.0)
        .args(["show", "--json", log.rsplit('/').next().unwrap()])
        .output()
        .unwrap();
    assert!(from_here.status.success());
    assert_eq!(
        serde_json::from_slice::<Value>(&from_here.stdout).unwrap(),
        shown
    );
    // Outside of the home, nowhere, no log, and one whose folder is a file.
    let outside = homes.path(CLOCK).join("x.jsonl");
    common::write(&outside, b"{}\n");
    let below_a_file = format!("{log}/x.jsonl");
    for path in [
        outside.to_str().unwrap(),
        "sessions/nowhere.jsonl",
        "session_index.jsonl",
        "./sessions",
        "/",
        "../bundled/../x.jsonl",
        &below_a_file,
    ] {
        let run = home.run(&["show", path]);
        assert_eq!(run.stdout, "");
        run.fails(1, "is no log of this home");
    }
    let no_text = common::command()
        .arg("--home")
        .arg(&home.0)
        .arg("show")
        .arg(std::ffi::OsStr::from_bytes(b"sessions/\xff.jsonl"))
        .output()
        .unwrap();
    assert_eq!(no_text.status.code(), Some(1));
    let told = String::from_utf8(no_text.stderr).unwrap();
    assert!(told.contains("is no log of this home"), "{told}");
}
