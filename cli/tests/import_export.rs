//! JSON lines in and out.
#![cfg(test)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{ARCHIVED, CLOCK, DAMAGED, Home, Homes, ids, read, write};

/// The bytes of each exported or bundled log, by its thread's id.
fn logs(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let home = Home(dir.to_owned());
    home.files()
        .into_iter()
        .filter_map(|(path, bytes)| {
            let name = path
                .file_name()?
                .to_str()?
                .strip_suffix(".jsonl")?
                .to_owned();
            let id = name.strip_prefix("rollout-")?.get(20..)?.to_owned();
            Some((id, bytes))
        })
        .collect()
}

#[test]
fn what_was_imported_is_exported_byte_for_byte() {
    let homes = Homes::new();
    let source = homes.bundled();
    let before = source.files();
    let home = homes.new_home("native");
    let run = home.run(&["import", source.0.to_str().unwrap()]).ok();
    assert!(run.stderr.contains(DAMAGED) || run.stdout.contains(DAMAGED));
    assert_eq!(source.files(), before);
    assert_eq!(ids(&home.list(&[])), ids(&source.list(&[])));
    for (path, _) in home.files() {
        assert!(
            path.extension()
                .is_none_or(|extension| extension != "jsonl")
                || path == Path::new("session_index.jsonl")
        );
    }
    let out = homes.path("out");
    home.run(&["export", "--all", "-o", out.to_str().unwrap()])
        .ok();
    let (exported, mut bundled) = (logs(&out), logs(&source.0));
    assert_eq!(exported.len(), 5);
    // The line that was cut in half is no record, and was told.
    let damaged = String::from_utf8(bundled.remove(DAMAGED).unwrap()).unwrap();
    let whole: String = damaged
        .lines()
        .filter(|line| line.ends_with('}'))
        .map(|line| format!("{line}\n"))
        .collect();
    bundled.insert(DAMAGED.to_owned(), whole.into_bytes());
    assert_eq!(exported, bundled);
}

#[test]
fn a_thread_keeps_its_times_its_name_and_its_place_in_the_archive() {
    let homes = Homes::new();
    let source = homes.bundled();
    let home = homes.new_home("native");
    home.run(&["import", source.0.to_str().unwrap()]).ok();
    for id in [CLOCK, ARCHIVED] {
        let (mut old, mut new) = (
            source.run(&["show", id, "--json"]).ok().json(),
            home.run(&["show", id, "--json"]).ok().json(),
        );
        for thread in [&mut old, &mut new] {
            thread.as_object_mut().unwrap().remove("rollout_path");
        }
        assert_eq!(old, new);
    }
}

#[test]
fn odd_lines_come_out_as_they_went_in() {
    let homes = Homes::new();
    let id = "019c7a54-be6b-7e31-86dd-b589bd944286";
    let lines = [
        format!(r#"{{"timestamp":"2026-02-20T09:15:00.077Z","type":"session_meta","payload":{{"id":"{id}","timestamp":"2026-02-20T09:15:00Z","cwd":"/w"}}}}"#),
        r#"{ "type":"event_msg", "timestamp":"2026-02-20T10:15:01+01:00","payload":{"type":"user_message","message":"\u0041 \/ 1.0e3"} , "more":[1,{}]}"#.to_owned(),
        r#"{"timestamp":"2026-02-20T09:15:02.000Z","ordinal":2,"type":"made up","payload":[1.0,1e400,-0]}"#.to_owned(),
        r#"{"timestamp":"2026-02-20T09:15:03.123456789Z","type":"x","payload":null}"#.to_owned(),
        r#"{"timestamp":"2026-02-20T09:15:04.000Z","type":"x","payload":"日本語 🚀 é"}"#.to_owned(),
        r#"{"timestamp":"2026-02-20T09:15:04.000Z","type":"x","payload":{"a":1,"a":2}}"#.to_owned(),
    ];
    let text = lines.map(|line| line + "\n").concat();
    let source = homes.path("odd.jsonl");
    write(&source, text.as_bytes());
    let home = homes.new_home("native");
    let run = home.run(&["import", source.to_str().unwrap()]).ok();
    assert!(run.stdout.contains(id), "{}", run.stdout);
    assert_eq!(home.run(&["export", id]).ok().stdout, text);
    // Once more, from what came out, and a line more.
    let out = homes.path("out");
    let words = ["export", id, "-o", out.to_str().unwrap()];
    home.run(&words).ok();
    let file = out.join(format!("rollout-2026-02-20T09-15-00-{id}.jsonl"));
    assert_eq!(read(&file), text.as_bytes());
    home.run(&words).fails(1, "--force");
    home.run(&[&words[..], &["--force"]].concat()).ok();
    assert_eq!(read(&file), text.as_bytes());
}

#[test]
fn a_thread_that_is_there_is_not_imported_again_but_goes_on() {
    let homes = Homes::new();
    let source = homes.bundled();
    let home = homes.new_home("native");
    let import = || {
        home.run(&["import", source.0.to_str().unwrap(), "--json"])
            .ok()
    };
    import();
    let before = home.list(&[]);
    let again = import();
    assert_eq!(again.json_lines().len(), 5);
    assert!(
        again
            .json_lines()
            .iter()
            .all(|line| line["outcome"] == "present")
    );
    assert_eq!(home.list(&[]), before);
    // The tool that owns the source has gone on with it.
    let log = source
        .files()
        .into_iter()
        .find(|(path, _)| path.to_str().unwrap().contains(CLOCK))
        .unwrap()
        .0;
    let more = r#"{"timestamp":"2026-03-09T00:00:00.000Z","type":"event_msg","payload":{"type":"agent_message","message":"more"}}"#;
    let mut bytes = read(&source.0.join(&log));
    bytes.extend_from_slice(more.as_bytes());
    bytes.push(b'\n');
    write(&source.0.join(&log), &bytes);
    let lines = import().json_lines();
    let continued = lines
        .iter()
        .find(|line| line["thread_id"] == CLOCK)
        .unwrap();
    assert_eq!(continued["outcome"], "continued");
    assert_eq!(home.run(&["export", CLOCK]).ok().stdout.as_bytes(), bytes);
    // From here on the two differ, and neither is lost.
    home.run_with(&["append", CLOCK], b"{\"type\":\"x\",\"payload\":1}\n")
        .ok();
    bytes.extend_from_slice(more.as_bytes());
    write(&source.0.join(&log), &bytes);
    let lines = import().json_lines();
    let differs = lines
        .iter()
        .find(|line| line["thread_id"] == CLOCK)
        .unwrap();
    assert_eq!(differs["outcome"], "differs");
    assert_eq!(home.run(&["history", CLOCK]).ok().json_lines().len(), 23);
}

#[test]
fn a_source_that_is_no_log_fails_alone() {
    let homes = Homes::new();
    let source = homes.bundled();
    write(
        &source.0.join("sessions/2026/03/09/notes.jsonl"),
        b"not a log\n",
    );
    let home = homes.new_home("native");
    let run = home.run(&["import", source.0.to_str().unwrap()]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("notes.jsonl"), "{}", run.stderr);
    assert_eq!(ids(&home.list(&[])).len(), 4);
    home.run(&["import", homes.path("missing").to_str().unwrap()])
        .fails(1, "missing");
    let empty = homes.path("nothing");
    std::fs::create_dir(&empty).unwrap();
    home.run(&["import", empty.to_str().unwrap()])
        .fails(1, "no JSON-lines");
}

#[test]
fn an_export_never_replaces_a_file_unasked() {
    let homes = Homes::new();
    let home = homes.bundled();
    let out = homes.path("out");
    let name = format!("rollout-2026-03-02T08-30-00-{CLOCK}.jsonl");
    write(&out.join(&name), b"mine");
    let all = ["export", "--all", "-o", out.to_str().unwrap()];
    let run = home.run(&all);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("--force"), "{}", run.stderr);
    assert_eq!(read(&out.join(&name)), b"mine");
    // The others were written all the same.
    assert_eq!(logs(&out).len(), 5);
    home.run(&["export", CLOCK, "-o", "/dev/null"])
        .fails(1, "/dev/null");
}
