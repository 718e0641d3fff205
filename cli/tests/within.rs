//! Turns, items, the model's context, token usage and searches: of the bundled JSON-lines home,
//! and of the same threads in native logs.
#![cfg(test)]

mod common;

use common::{ARCHIVED, BAKERY, CLOCK, DAMAGED, Homes, LOOM, UNKNOWN, both, fields, fits};
use serde_json::{Value, json};

fn turn_ids(page: &Value) -> Vec<String> {
    let turns = page["turns"].as_array().unwrap().iter();
    turns
        .map(|turn| turn["turn_id"].as_str().unwrap().to_owned())
        .collect()
}

fn ordinals(page: &Value) -> Vec<u64> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item["ordinal"].as_u64().unwrap())
        .collect()
}

#[test]
fn a_page_of_turns_has_the_fields_it_promises() {
    let homes = Homes::new();
    for home in both(&homes) {
        let page = home.run(&["turns", CLOCK, "--json"]).ok().json();
        assert_eq!(fields(&page), ["backwards_cursor", "next_cursor", "turns"]);
        assert_eq!(page["next_cursor"], Value::Null);
        let newest = &page["turns"][0];
        assert_eq!(
            fields(newest).join(" "),
            "completed_at duration_ms error items started_at status turn_id"
        );
        assert_eq!(newest["turn_id"], "019cad90-1c40-7a11-9c3e-5a0f6b21d402");
        assert_eq!(newest["status"], "completed");
        assert_eq!(newest["error"], Value::Null);
        assert_eq!(newest["started_at"], "2026-03-02T08:30:05.371Z");
        assert_eq!(newest["completed_at"], "2026-03-02T08:30:07.730Z");
        assert_eq!(newest["items"], json!([]));
        let table = home.run(&["turns", CLOCK, "--items", "full"]).ok();
        assert!(
            table
                .stdout
                .contains("019cad90-1c40-7a11-9c3e-5a0f6b21d402  completed")
        );
        assert!(table.stdout.contains("function_call"));
        fits(&table.stdout);
    }
}

#[test]
fn a_turn_comes_with_as_much_of_its_items_as_was_asked_for() {
    let homes = Homes::new();
    for home in both(&homes) {
        let items = |detail: &str| {
            let words = ["turns", CLOCK, "--json", "--asc", "--items", detail];
            home.run(&words).ok().json()["turns"][0].clone()
        };
        assert_eq!(ordinals(&items("none")).len(), 0);
        assert_eq!(ordinals(&items("summary")), [3, 7]);
        assert_eq!(ordinals(&items("full")), (1..=10).collect::<Vec<_>>());
        let said = &items("summary")["items"][0];
        assert_eq!(
            fields(said).join(" "),
            "ordinal payload timestamp turn_id type"
        );
        assert_eq!(said["type"], "event_msg");
        assert_eq!(said["turn_id"], "019cad90-1c40-7a11-9c3e-5a0f6b21d401");
        assert_eq!(said["payload"]["type"], "user_message");
        assert_eq!(said["timestamp"], "2026-03-02T08:30:01.514Z");
    }
}

#[test]
fn turns_are_paged_both_ways_and_without_those_rolled_back() {
    let homes = Homes::new();
    for home in both(&homes) {
        let turns = |words: &[&str]| {
            let words = [&["turns", LOOM, "--json"], words].concat();
            home.run(&words).ok().json()
        };
        let all = turn_ids(&turns(&[]));
        assert_eq!(
            all,
            [
                "019cae1c-77e0-7c52-8b14-93d2a7e0c503",
                "019cae1c-77e0-7c52-8b14-93d2a7e0c501"
            ]
        );
        let reversed: Vec<_> = all.iter().rev().cloned().collect();
        assert_eq!(turn_ids(&turns(&["--asc"])), reversed);
        let first = turns(&["--limit", "1"]);
        let second = turns(&[
            "--limit",
            "1",
            "--cursor",
            first["next_cursor"].as_str().unwrap(),
        ]);
        assert_eq!(turn_ids(&second), all[1..]);
        assert_eq!(second["next_cursor"], Value::Null);
        let back = second["backwards_cursor"].as_str().unwrap();
        assert_eq!(turn_ids(&turns(&["--asc", "--cursor", back])), all[..1]);
        // Whoever keeps the newest page's cursor sees what is new, and only that.
        let newest = first["backwards_cursor"].as_str().unwrap();
        assert_eq!(turn_ids(&turns(&["--asc", "--cursor", newest])).len(), 0);
        home.append(
            LOOM,
            "[{\"type\":\"event_msg\",\"payload\":{\"type\":\"task_started\",\"turn_id\":\"new\"}}]\n",
        );
        let new = turns(&["--asc", "--cursor", newest]);
        assert_eq!(turn_ids(&new), ["new"]);
        assert_eq!(new["turns"][0]["status"], "in_progress");
        assert_eq!(new["turns"][0]["completed_at"], Value::Null);
        let table = home.run(&["turns", LOOM, "--limit", "1"]).ok();
        assert!(table.stdout.contains("in progress"), "{}", table.stdout);
        assert!(table.stderr.contains("--cursor "), "{}", table.stderr);
    }
}

#[test]
fn items_are_the_records_that_still_count() {
    let homes = Homes::new();
    for home in both(&homes) {
        let items = |words: &[&str]| {
            let words = [&["items", LOOM, "--json"], words].concat();
            home.run(&words).ok().json()
        };
        let page = items(&[]);
        assert_eq!(fields(&page), ["backwards_cursor", "items", "next_cursor"]);
        let counting: Vec<u64> = (0..=8).chain(17..=26).collect();
        assert_eq!(
            ordinals(&page),
            counting.iter().rev().copied().collect::<Vec<_>>()
        );
        let mut forwards = Vec::new();
        let mut page = items(&["--asc", "--limit", "7"]);
        loop {
            forwards.extend(ordinals(&page));
            let Some(cursor) = page["next_cursor"].as_str().map(str::to_owned) else {
                break;
            };
            page = items(&["--asc", "--limit", "7", "--cursor", &cursor]);
        }
        assert_eq!(forwards, counting);
        let turn = "019cae1c-77e0-7c52-8b14-93d2a7e0c503";
        let page = items(&["--turn", turn, "--asc"]);
        assert_eq!(ordinals(&page), (17..=26).collect::<Vec<_>>());
        assert!(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .all(|item| item["turn_id"] == turn)
        );
        let table = home.run(&["items", LOOM]).ok().stdout;
        assert_eq!(table.lines().count(), counting.len() + 1);
        assert!(
            table.contains("user_message") && table.contains("Forget the regular"),
            "{table}"
        );
        fits(&table);
        // A turn that was dropped is none, like one that never was.
        for turn in ["019cae1c-77e0-7c52-8b14-93d2a7e0c502", "nope"] {
            home.run(&["items", LOOM, "--turn", turn]).fails(1, turn);
        }
    }
}

#[test]
fn a_cursor_of_another_thread_query_or_mind_is_refused() {
    let homes = Homes::new();
    for home in both(&homes) {
        let turns = home
            .run(&["turns", LOOM, "--json", "--limit", "1"])
            .ok()
            .json();
        let turns = turns["next_cursor"].as_str().unwrap();
        let items = home
            .run(&["items", LOOM, "--json", "--limit", "1"])
            .ok()
            .json();
        let items = items["next_cursor"].as_str().unwrap();
        for (words, why) in [
            (&["turns", CLOCK, "--cursor", turns][..], "another thread"),
            (&["items", CLOCK, "--cursor", items], "another thread"),
            (&["turns", LOOM, "--cursor", items], "another query"),
            (&["items", LOOM, "--cursor", turns], "another query"),
            (&["turns", LOOM, "--cursor", "nonsense"], "cursor"),
            (&["turns", LOOM, "--cursor", &turns[1..]], "cursor"),
            (&["items", LOOM, "--cursor", ""], "cursor"),
            (&["search", "hand", "--cursor", items], "cursor"),
            (&["occurrences", LOOM, "hand", "--cursor", turns], "cursor"),
        ] {
            home.run(words).fails(1, why);
        }
    }
}

#[test]
fn an_unknown_thread_is_named_by_every_verb() {
    let homes = Homes::new();
    for home in both(&homes) {
        for words in [
            &["turns", UNKNOWN][..],
            &["items", UNKNOWN],
            &["tail", UNKNOWN],
            &["tail", UNKNOWN, "-f"],
            &["occurrences", UNKNOWN, "x"],
            &["usage", UNKNOWN],
            &["context", UNKNOWN],
        ] {
            home.run(words).fails(1, UNKNOWN);
        }
    }
}

#[test]
fn a_wrong_page_size_or_term_is_refused() {
    let homes = Homes::new();
    let home = homes.bundled();
    for words in [
        &["turns", CLOCK][..],
        &["items", CLOCK],
        &["search", "x"],
        &["occurrences", CLOCK, "x"],
    ] {
        for limit in ["0", "10001", "18446744073709551616", "many"] {
            let words = [words, &["--limit", limit]].concat();
            home.run(&words).fails(2, "--limit");
        }
    }
    let long = "x".repeat(5000);
    for term in ["", &long] {
        home.run(&["search", term]).fails(1, "search term");
        home.run(&["occurrences", CLOCK, term])
            .fails(1, "search term");
    }
    home.run(&["turns", CLOCK, "--items", "some"])
        .fails(2, "--items");
    home.run(&["turns", "no-uuid"]).fails(2, "no-uuid");
}

#[test]
fn a_search_finds_what_was_said_whatever_the_case() {
    let homes = Homes::new();
    for home in both(&homes) {
        let found = |words: &[&str]| {
            let words = [&["search", "--json"], words].concat();
            home.run(&words).ok().json()
        };
        let page = found(&["LOCAL time"]);
        assert_eq!(fields(&page), ["next_cursor", "results"]);
        assert_eq!(page["next_cursor"], Value::Null);
        let hit = &page["results"][0];
        assert_eq!(fields(hit), ["snippet", "thread"]);
        let shown = home.run(&["show", CLOCK, "--json"]).ok().json();
        assert_eq!(hit["thread"], shown);
        assert!(hit["snippet"].as_str().unwrap().contains("local time"));
        assert_eq!(found(&["nobody ever said this"])["results"], json!([]));
        let ids = |page: &Value| -> Vec<String> {
            let hits = page["results"].as_array().unwrap().iter();
            hits.map(|hit| hit["thread"]["thread_id"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(ids(&found(&["パン"])), [BAKERY]);
        // Newest first, a page after a page.
        let all = ids(&found(&["e"]));
        assert_eq!(all, [BAKERY, DAMAGED, LOOM, CLOCK]);
        let first = found(&["e", "--limit", "3"]);
        let cursor = first["next_cursor"].as_str().unwrap();
        let rest = found(&["e", "--limit", "3", "--cursor", cursor]);
        assert_eq!([ids(&first), ids(&rest)].concat(), all);
        assert_eq!(ids(&found(&["e", "--archived"])), [ARCHIVED]);
        home.run(&["search", "other", "--cursor", cursor])
            .fails(1, "another query");
        let text = home.run(&["search", "local time"]).ok().stdout;
        assert!(
            text.contains(CLOCK) && text.contains("local time"),
            "{text}"
        );
        fits(&text);
        let none = home.run(&["search", "nobody ever said this"]).ok();
        assert_eq!(none.stdout, "");
        assert!(none.stderr.contains("nobody said that"));
    }
}

#[test]
fn occurrences_have_their_place_in_utf_16_and_lead_to_their_turn() {
    let homes = Homes::new();
    for home in both(&homes) {
        let found = |words: &[&str]| {
            let words = [&["occurrences", "--json"], words].concat();
            home.run(&words).ok().json()
        };
        let page = found(&[CLOCK, "THE night"]);
        assert_eq!(fields(&page), ["next_cursor", "occurrences"]);
        let places = page["occurrences"].as_array().unwrap();
        assert_eq!(places.len(), 2);
        assert_eq!(
            fields(&places[0]).join(" "),
            "ordinal range snippet speaker timestamp turn_cursor turn_id"
        );
        assert_eq!(places[0]["ordinal"], 13);
        assert_eq!(places[0]["speaker"], "user");
        assert_eq!(places[0]["timestamp"], "2026-03-02T08:30:05.373Z");
        // "Do that, and add a test for the night of the change."
        assert_eq!(places[0]["range"], json!({"start": 28, "end": 37}));
        assert!(places[0]["snippet"].as_str().unwrap().contains("the night"));
        assert_eq!(places[1]["speaker"], "agent");
        let cursor = places[0]["turn_cursor"].as_str().unwrap();
        let turns = home
            .run(&["turns", CLOCK, "--json", "--limit", "1", "--cursor", cursor])
            .ok()
            .json();
        assert_eq!(turn_ids(&turns), ["019cad90-1c40-7a11-9c3e-5a0f6b21d402"]);
        let first = found(&[CLOCK, "the night", "--limit", "1"]);
        assert_eq!(first["occurrences"][0], places[0]);
        let next = first["next_cursor"].as_str().unwrap();
        let second = found(&[CLOCK, "the night", "--limit", "1", "--cursor", next]);
        assert_eq!(second["occurrences"], json!([places[1]]));
        assert_eq!(second["next_cursor"], Value::Null);
        // What a rollback dropped is not said any more.
        assert_eq!(found(&[LOOM, "for all of it"])["occurrences"], json!([]));
        let text = home.run(&["occurrences", CLOCK, "the night"]).ok().stdout;
        assert_eq!(text.lines().count(), 2);
        assert!(
            text.contains("  user ") && text.contains("  agent"),
            "{text}"
        );
        fits(&text);
    }
}

#[test]
fn an_emoji_is_two_units_of_a_range() {
    let homes = Homes::new();
    let home = homes.new_home("emoji");
    let id = home.append_new(
        "{\"type\":\"event_msg\",\"payload\":{\"type\":\"user_message\",\"message\":\"🚀é Über\"}}\n",
    );
    let page = home
        .run(&["occurrences", &id, "über", "--json"])
        .ok()
        .json();
    assert_eq!(
        page["occurrences"][0]["range"],
        json!({"start": 4, "end": 8})
    );
    assert_eq!(page["occurrences"][0]["turn_id"], Value::Null);
}

#[test]
fn usage_is_the_latest_that_the_thread_says() {
    let homes = Homes::new();
    for home in both(&homes) {
        let usage = home.run(&["usage", CLOCK, "--json"]).ok().json();
        assert_eq!(
            usage,
            json!({
                "thread_id": CLOCK,
                "total_token_usage": {
                    "input_tokens": 4383, "output_tokens": 487, "total_tokens": 4870
                },
                "last_token_usage": null,
                "model_context_window": null,
            })
        );
        let text = home.run(&["usage", CLOCK]).ok().stdout;
        assert!(text.contains("4870"), "{text}");
        fits(&text);
    }
}

#[test]
fn a_thread_that_says_nothing_of_tokens_has_no_usage() {
    let homes = Homes::new();
    let home = homes.new_home("none");
    let said =
        "{\"type\":\"event_msg\",\"payload\":{\"type\":\"user_message\",\"message\":\"x\"}}\n";
    let id = home.append_new(said);
    assert_eq!(
        home.run(&["usage", &id, "--json"]).ok().json(),
        json!({
            "thread_id": id,
            "total_token_usage": null,
            "last_token_usage": null,
            "model_context_window": null,
        })
    );
    assert!(
        home.run(&["usage", &id])
            .ok()
            .stderr
            .contains("no token usage")
    );
    home.append(
        &id,
        "{\"type\":\"event_msg\",\"payload\":{\"type\":\"token_count\",\"info\":{\
         \"total_token_usage\":{\"total_tokens\":9},\"last_token_usage\":{\"total_tokens\":4},\
         \"model_context_window\":272000}}}\n",
    );
    let usage = home.run(&["usage", &id, "--json"]).ok().json();
    assert_eq!(usage["last_token_usage"], json!({"total_tokens": 4}));
    assert_eq!(usage["model_context_window"], 272_000);
}

#[test]
fn the_model_s_context_is_a_record_a_line() {
    let homes = Homes::new();
    for home in both(&homes) {
        let context = home.run(&["context", LOOM]).ok();
        let effective = home.run(&["history", LOOM, "--effective"]).ok();
        assert!(!context.stdout.is_empty());
        assert!(
            effective.stdout.ends_with(&context.stdout),
            "{}",
            context.stdout
        );
        // With --json the same: a record is JSON anyway.
        assert_eq!(
            home.run(&["context", LOOM, "--json"]).ok().stdout,
            context.stdout
        );
    }
}

#[test]
fn reading_within_threads_adds_nothing_but_the_index() {
    let homes = Homes::new();
    for home in both(&homes) {
        let before = home.files_but_index();
        for words in [
            &["turns", CLOCK, "--items", "full"][..],
            &["items", LOOM],
            &["tail", DAMAGED],
            &["search", "e"],
            &["occurrences", CLOCK, "e"],
            &["latest"],
            &["usage", CLOCK],
            &["context", LOOM],
        ] {
            home.run(words).ok();
            assert_eq!(home.files_but_index(), before, "{words:?}");
        }
    }
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;
    let homes = Homes::new();
    let home = homes.new_home("long");
    // More than a pipe holds, so that the command must meet the closed end.
    let item = format!(
        "{{\"type\":\"event_msg\",\"payload\":{{\"type\":\"user_message\",\"message\":\"needle {}\"}}}}",
        "x".repeat(2000)
    );
    let batch = format!("[{}]\n", vec![item; 50].join(","));
    let id = home.append_new(&batch.repeat(30));
    for words in [
        &["items", &id, "--limit", "10000"][..],
        &["turns", &id, "--limit", "10000", "--items", "full"],
        &["tail", &id],
        &["tail", &id, "-f"],
        &["context", &id],
        &["occurrences", &id, "needle", "--limit", "10000"],
    ] {
        let mut child = common::command()
            .arg("--home")
            .arg(&home.0)
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut String::new()).unwrap();
        drop(stdout);
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(stderr, "", "{words:?}");
        assert_eq!(child.wait().unwrap().code(), Some(0), "{words:?}");
    }
}
