//! Forking, reviewing and rolling back, in the bundled JSON-lines home and in one of native logs.
#![cfg(test)]

mod common;

use common::{CLOCK, Home, Homes, LOOM, UNKNOWN, both, fields, ids, rebuilt, shown};
use serde_json::{Value, json};

/// A thread's records without their ordinals and the thread's own meta.
fn said(home: &Home, id: &str) -> Vec<Value> {
    let records = home.run(&["history", id]).ok().json_lines();
    let kept = records
        .iter()
        .filter(|record| record["type"] != "session_meta");
    kept.map(|record| record["payload"].clone()).collect()
}

#[test]
fn a_fork_begins_with_the_history_that_was_asked_for() {
    let homes = Homes::new();
    for home in both(&homes) {
        let fork = |words: &[&str]| {
            let words = [&["fork", CLOCK, "--json"], words].concat();
            home.run(&words).ok().json()
        };
        let all = said(&home, CLOCK);
        let whole = fork(&[]);
        assert_eq!(whole["forked_from_id"], CLOCK);
        assert_eq!(whole["cwd"], "/home/ada/tide-clock");
        assert_eq!(whole["preview"], shown(&home, CLOCK)["preview"]);
        let id = whole["thread_id"].as_str().unwrap();
        assert_ne!(id, CLOCK);
        assert_eq!(said(&home, id), all);
        assert_eq!(shown(&home, id), whole);
        assert!(ids(&home.list(&[])).contains(&id.to_owned()));

        let turn = fork(&["--at-turn", "019cad90-1c40-7a11-9c3e-5a0f6b21d401"]);
        assert_eq!(said(&home, turn["thread_id"].as_str().unwrap()), all[..10]);
        let ordinal = fork(&["--at-ordinal", "5"]);
        let ordinal = ordinal["thread_id"].as_str().unwrap();
        assert_eq!(said(&home, ordinal), all[..4]);
        let nothing = fork(&["--at-ordinal", "0"]);
        assert_eq!(said(&home, nothing["thread_id"].as_str().unwrap()).len(), 0);

        // A fork goes on by itself, can be forked, and outlives its parent.
        home.append(ordinal, "{\"type\":\"mine\",\"payload\":1}\n");
        let second = home.run(&["fork", ordinal, "--json"]).ok().json();
        let second = second["thread_id"].as_str().unwrap();
        home.run(&["delete", CLOCK, "--yes"]).ok();
        home.run(&["delete", ordinal, "--yes"]).ok();
        rebuilt(&home);
        let mut expected = all[..4].to_vec();
        expected.push(json!(1));
        assert_eq!(said(&home, second), expected);
        assert_eq!(said(&home, id), all);
    }
}

#[test]
fn a_fork_from_nowhere_is_refused_and_leaves_nothing() {
    let homes = Homes::new();
    for home in both(&homes) {
        let before = ids(&home.list(&["--include-empty"]));
        for (words, why) in [
            (&["fork", UNKNOWN][..], UNKNOWN),
            (&["review", UNKNOWN], UNKNOWN),
            (&["fork", CLOCK, "--at-turn", "nope"], "no turn nope"),
            (
                &["fork", CLOCK, "--at-ordinal", "22"],
                "past the thread's end",
            ),
            (
                &["fork", CLOCK, "--at-ordinal", "18446744073709551615"],
                "past the thread's end",
            ),
            (
                &[
                    "fork",
                    LOOM,
                    "--at-turn",
                    "019cae1c-77e0-7c52-8b14-93d2a7e0c502",
                ],
                "no turn",
            ),
        ] {
            home.run(words).fails(1, why);
        }
        assert_eq!(ids(&home.list(&["--include-empty"])), before);
    }
}

#[test]
fn a_review_is_a_fork_that_says_so() {
    let homes = Homes::new();
    for home in both(&homes) {
        let review = home.run(&["review", CLOCK, "--json"]).ok().json();
        assert_eq!(review["forked_from_id"], CLOCK);
        assert_eq!(review["source"], json!({"subagent": "review"}));
        assert_eq!(review["thread_source"], "subagent");
        let id = review["thread_id"].as_str().unwrap();
        assert_eq!(said(&home, id), said(&home, CLOCK));
        assert_eq!(ids(&home.list(&["--source", "subagent"])), [id]);
        // Whoever resumes the last thread means the one that was reviewed.
        let words = ["latest", "--cwd", "/home/ada/tide-clock", "--json"];
        assert_eq!(home.run(&words).ok().json()["thread_id"], CLOCK);
        let text = home.run(&["review", CLOCK]).ok().stdout;
        assert!(
            text.contains("forked from") && text.contains(CLOCK),
            "{text}"
        );
    }
}

#[test]
fn turns_that_were_rolled_back_no_longer_count_and_stay() {
    let homes = Homes::new();
    for home in both(&homes) {
        let before = home.run(&["history", CLOCK]).ok().stdout;
        let answer = home.run(&["rollback", CLOCK, "1", "--json"]).ok().json();
        assert_eq!(fields(&answer), ["thread", "turns"]);
        assert_eq!(answer["thread"], shown(&home, CLOCK));
        let turns = answer["turns"].as_array().unwrap();
        assert_eq!(turns.len(), 1);
        assert_eq!(turns[0]["turn_id"], "019cad90-1c40-7a11-9c3e-5a0f6b21d401");
        assert_eq!(turns[0]["items"], json!([]));
        assert_eq!(
            home.run(&["turns", CLOCK, "--json"]).ok().json()["turns"],
            answer["turns"]
        );
        let after = home.run(&["history", CLOCK]).ok().stdout;
        assert!(after.starts_with(&before));
        assert_eq!(after.lines().count(), 22);
        home.run(&["rollback", CLOCK, "2"])
            .fails(1, "drops 1 to 1 turns");
        let text = home.run(&["rollback", CLOCK, "1"]).ok().stdout;
        assert!(text.contains(CLOCK) && text.contains("STATUS"));
        assert!(!text.contains("completed"), "{text}");
        home.run(&["rollback", CLOCK, "1"])
            .fails(1, "no turn that a rollback could drop");
        home.run(&["rollback", UNKNOWN, "1"]).fails(1, UNKNOWN);
        rebuilt(&home);
        let none = home.run(&["turns", CLOCK, "--json"]).ok().json();
        assert_eq!(none["turns"], json!([]));
        let text = home.run(&["turns", CLOCK]).ok();
        assert!(text.stderr.contains("no turn"), "{}", text.stderr);
    }
}

#[test]
fn an_exported_fork_is_the_fork_s_wherever_it_is_read() {
    let homes = Homes::new();
    for (home, name) in both(&homes).iter().zip(["a", "b"]) {
        let fork = home
            .run(&["fork", CLOCK, "--at-ordinal", "11", "--json"])
            .ok()
            .json();
        let id = fork["thread_id"].as_str().unwrap();
        home.append(
            id,
            "{\"type\":\"event_msg\",\"payload\":{\"type\":\"user_message\",\"message\":\"on\"}}\n",
        );
        let lines = home.run(&["export", id]).ok().json_lines();
        assert_eq!(lines.len(), 13);
        assert_eq!(lines[0]["type"], "session_meta");
        assert_eq!(lines[0]["payload"]["id"], id);
        assert_eq!(lines[1]["payload"]["id"], CLOCK);
        let out = homes.path(&format!("out-{name}"));
        home.run(&["export", id, "-o", out.to_str().unwrap()]).ok();
        let copy = homes.new_home(&format!("copy-{name}"));
        copy.run(&["import", out.to_str().unwrap()]).ok();
        assert_eq!(ids(&copy.list(&[])), [id]);
        assert_eq!(said(&copy, id), said(home, id));
        let (mut old, mut new) = (shown(home, id), shown(&copy, id));
        for thread in [&mut old, &mut new] {
            thread.as_object_mut().unwrap().remove("rollout_path");
        }
        assert_eq!(old, new);
        let turns = |home: &Home| home.run(&["turns", id, "--json"]).ok().json()["turns"].clone();
        assert_eq!(turns(home), turns(&copy));
    }
}

#[test]
fn a_home_with_forks_is_verified_followed_and_read_to_its_end() {
    let homes = Homes::new();
    let [_, home] = both(&homes);
    let fork = home.run(&["fork", CLOCK, "--json"]).ok().json();
    let id = fork["thread_id"].as_str().unwrap();
    home.run(&["verify"]).ok();
    home.run(&["delete", CLOCK, "--yes"]).ok();
    home.run(&["verify"]).ok();
    let history = home.run(&["history", id]).ok();
    assert_eq!(history.stderr, "");
    assert_eq!(home.run(&["tail", id]).ok().stdout, history.stdout);
    let found = home
        .run(&["search", "night of the change", "--json"])
        .ok()
        .json();
    assert_eq!(found["results"][0]["thread"]["thread_id"], id);
    let usage = home.run(&["usage", id, "--json"]).ok().json();
    assert_eq!(usage["total_token_usage"]["total_tokens"], 4870);
    let items = home
        .run(&["items", id, "--json", "--limit", "3"])
        .ok()
        .json();
    assert_eq!(items["items"][0]["ordinal"], 21);
    let next = items["next_cursor"].as_str().unwrap();
    let items = home
        .run(&["items", id, "--json", "--cursor", next])
        .ok()
        .json();
    assert_eq!(items["items"].as_array().unwrap().len(), 19);
    // A fork is archived with what it inherits, and deleted with it.
    home.run(&["archive", id]).ok();
    assert_eq!(home.run(&["history", id]).ok().stdout, history.stdout);
    home.run(&["delete", id, "--yes"]).ok();
    let left = home.files_but_index();
    assert!(
        left.iter()
            .all(|(path, _)| !path.to_string_lossy().contains(id))
    );
}
