//! Appending what comes in on stdin.
#![cfg(test)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use common::{CLOCK, Homes, ids};
use serde_json::Value;

fn user(message: &str) -> String {
    format!(
        "{{\"type\":\"event_msg\",\"payload\":{{\"type\":\"user_message\",\"message\":\"{message}\"}}}}\n"
    )
}

#[test]
fn a_new_thread_is_acknowledged_read_and_listed() {
    let homes = Homes::new();
    let home = homes.new_home("new/below");
    let odd = r#"{"type":"made_up", "payload":{"b":1.50,"a":[1,  2],"s":"\u00e9\ud83d\ude80"}}"#;
    let stdin = format!("{}\n   \n{odd}", user("hello"));
    let run = home
        .run_with(
            &["append", "--new", "--cwd", "/work/x", "--provider", "p"],
            stdin.as_bytes(),
        )
        .ok();
    let acks = run.json_lines();
    assert_eq!(acks.len(), 2);
    assert_eq!(
        run.stdout.lines().next().unwrap(),
        format!(
            "{{\"thread_id\":{},\"first_ordinal\":1,\"last_ordinal\":1,\"durability\":\"written\"}}",
            acks[0]["thread_id"]
        )
    );
    assert_eq!(acks[1]["first_ordinal"], 2);
    let id = acks[0]["thread_id"].as_str().unwrap();
    let history = home.run(&["history", id]).ok();
    let records = history.json_lines();
    assert_eq!(records.len(), 3);
    assert_eq!(records[0]["type"], "session_meta");
    assert_eq!(records[2]["type"], "made_up");
    // Byte for byte, spelling and blanks included.
    assert!(
        history
            .stdout
            .contains(r#""payload":{"b":1.50,"a":[1,  2],"s":"\u00e9\ud83d\ude80"}}"#)
    );
    let page = home.list(&[]);
    assert_eq!(ids(&page), [id]);
    let thread = &page["threads"][0];
    assert_eq!(thread["preview"], "hello");
    assert_eq!(thread["cwd"], "/work/x");
    assert_eq!(thread["model_provider"], "p");
    assert_eq!(thread["source"], "cli");
    assert!(thread["rollout_path"].as_str().unwrap().ends_with(".rlog"));
}

#[test]
fn an_array_is_one_batch() {
    let homes = Homes::new();
    let home = homes.new_home("batches");
    let item = user("x");
    let item = item.trim();
    let stdin = format!("[{item},{item},{item}]\n{item}\n");
    let acks = home
        .run_with(
            &["append", "--new", "--durability", "synced"],
            stdin.as_bytes(),
        )
        .ok()
        .json_lines();
    let ranges: Vec<_> = acks
        .iter()
        .map(|ack| (ack["first_ordinal"].as_u64(), ack["last_ordinal"].as_u64()))
        .collect();
    assert_eq!(ranges, [(Some(1), Some(3)), (Some(4), Some(4))]);
    assert!(acks.iter().all(|ack| ack["durability"] == "synced"));
}

#[test]
fn a_thread_goes_on_where_it_ended() {
    let homes = Homes::new();
    let home = homes.new_home("on");
    let id = home.append_new(&user("one"));
    let acks = home
        .run_with(&["append", &id], user("two").as_bytes())
        .ok()
        .json_lines();
    assert_eq!(acks[0]["first_ordinal"], 2);
    assert_eq!(home.run(&["history", &id]).ok().json_lines().len(), 3);
    let shown = home.run(&["show", &id, "--json"]).ok().json();
    assert_eq!(shown["item_count"], 3);
}

#[test]
fn a_bad_line_is_named_and_what_came_before_stays() {
    let homes = Homes::new();
    let home = homes.new_home("bad");
    for (bad, why) in [
        ("nonsense", "line 3: "),
        ("{\"type\":\"a\"}", "payload"),
        ("[]", "at least one item"),
        (
            "[{\"type\":\"a\",\"payload\":1},{\"type\":\"b\"}]",
            "payload",
        ),
        ("{\"type\":\"a\",\"payload\":1,\"tiem\":1}", "tiem"),
    ] {
        let stdin = format!("{}\n{bad}\n{}", user("kept"), user("never read"));
        let run = home.run_with(&["append", "--new"], stdin.as_bytes());
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert!(
            run.stderr.contains("line 3: ") && run.stderr.contains(why),
            "{}",
            run.stderr
        );
        assert_eq!(run.stderr.lines().count(), 1);
        let acks = run.json_lines();
        assert_eq!(acks.len(), 1);
        let id = acks[0]["thread_id"].as_str().unwrap();
        assert_eq!(home.run(&["history", id]).ok().json_lines().len(), 2);
    }
}

#[test]
fn a_thread_of_which_nothing_was_said_leaves_nothing() {
    let homes = Homes::new();
    let home = homes.new_home("silent");
    home.run_with(&["append", "--new"], b"\n \n").ok();
    assert!(
        home.files_but_index()
            .iter()
            .all(|(path, _)| !path.starts_with("sessions"))
    );
    assert_eq!(ids(&home.list(&["--include-empty"])).len(), 0);
}

#[test]
fn a_json_lines_thread_is_appended_to_in_place() {
    let homes = Homes::new();
    let home = homes.bundled();
    let before = home.files();
    let acks = home
        .run_with(&["append", CLOCK], user("And in autumn?").as_bytes())
        .ok()
        .json_lines();
    assert_eq!(acks[0]["first_ordinal"], 21);
    let mut grown = 0;
    for (path, bytes) in home.files() {
        let Some((_, old)) = before.iter().find(|(old, _)| *old == path) else {
            continue;
        };
        assert!(bytes.starts_with(old), "{}", path.display());
        if bytes.len() > old.len() {
            grown += 1;
            assert!(path.to_str().unwrap().contains(CLOCK));
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.ends_with('\n'));
            for line in text.lines() {
                let line: Value = serde_json::from_str(line).unwrap();
                assert!(line["timestamp"].is_string() && line["type"].is_string());
                assert!(line["payload"].is_object());
            }
        }
    }
    assert_eq!(grown, 1);
    let shown = home.run(&["show", CLOCK, "--json"]).ok().json();
    assert_eq!(shown["item_count"], 22);
}

#[test]
fn each_line_is_acknowledged_before_the_next_arrives_and_survives_a_kill() {
    let homes = Homes::new();
    let home = homes.new_home("killed");
    let mut child = common::command()
        .arg("--home")
        .arg(&home.0)
        .args(["append", "--new"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut acks = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut id = String::new();
    for number in 1..=5 {
        stdin.write_all(user("still here").as_bytes()).unwrap();
        stdin.flush().unwrap();
        let ack: Value = serde_json::from_str(&acks.next().unwrap().unwrap()).unwrap();
        assert_eq!(ack["last_ordinal"], number);
        id = ack["thread_id"].as_str().unwrap().to_owned();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(home.run(&["history", &id]).ok().json_lines().len(), 6);
    assert_eq!(ids(&home.list(&[])), [id.as_str()]);
    // The dead writer's lock is nobody's.
    home.run_with(&["append", &id], user("again").as_bytes())
        .ok();
}

#[test]
fn a_second_writer_is_told_who_the_first_is() {
    let homes = Homes::new();
    let home = homes.new_home("two");
    let mut child = common::command()
        .arg("--home")
        .arg(&home.0)
        .args(["append", "--new"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(user("mine").as_bytes()).unwrap();
    let mut acks = BufReader::new(child.stdout.take().unwrap()).lines();
    let ack: Value = serde_json::from_str(&acks.next().unwrap().unwrap()).unwrap();
    let id = ack["thread_id"].as_str().unwrap().to_owned();
    let second = home.run_with(&["append", &id], user("yours").as_bytes());
    second.fails(1, &format!("process {}", child.id()));
    // A reader is not in the way of a writer, nor a writer in a reader's.
    assert_eq!(home.run(&["history", &id]).ok().json_lines().len(), 2);
    drop(stdin);
    assert!(child.wait().unwrap().success());
}
