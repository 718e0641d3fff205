//! Following a thread.
#![cfg(test)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use common::{CLOCK, DAMAGED, Home, Homes, both};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn user(message: &str) -> String {
    format!(
        "{{\"type\":\"event_msg\",\"payload\":{{\"type\":\"user_message\",\"message\":\"{message}\"}}}}\n"
    )
}

/// A running command, its stdout read line by line.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn of(home: &Home, words: &[&str]) -> Self {
        let mut child = common::command()
            .arg("--home")
            .arg(&home.0)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn ordinals(&mut self, count: usize) -> Vec<u64> {
        (0..count)
            .map(|_| self.line()["ordinal"].as_u64().unwrap())
            .collect()
    }

    fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// The rest of stdout, stderr, and the exit code.
    fn end(mut self) -> (String, String, Option<i32>) {
        let (mut out, mut err) = (String::new(), String::new());
        self.lines.read_to_string(&mut out).unwrap();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut err).unwrap();
        (out, err, self.child.wait().unwrap().code())
    }
}

#[test]
fn a_tail_is_a_history_from_one_record_on() {
    let homes = Homes::new();
    for home in both(&homes) {
        let history = home.run(&["history", CLOCK]).ok().stdout;
        assert_eq!(home.run(&["tail", CLOCK]).ok().stdout, history);
        assert_eq!(home.run(&["tail", CLOCK, "--json"]).ok().stdout, history);
        let from = |ordinal: usize| {
            let lines = history.lines().skip(ordinal);
            lines.map(|line| format!("{line}\n")).collect::<String>()
        };
        for ordinal in [0, 1, 20, 21] {
            let text = ordinal.to_string();
            let tail = home.run(&["tail", CLOCK, "--from", &text]).ok();
            assert_eq!(tail.stdout, from(ordinal));
            assert_eq!(tail.stderr, "");
        }
        for ordinal in ["22", "18446744073709551615"] {
            for follow in [&[][..], &["-f"]] {
                let words = [&["tail", CLOCK, "--from", ordinal], follow].concat();
                home.run(&words).fails(1, "past the thread's end");
            }
        }
        for ordinal in ["-1", "x", "18446744073709551616"] {
            let from = format!("--from={ordinal}");
            home.run(&["tail", CLOCK, &from]).fails(2, "--from");
        }
    }
}

#[test]
fn a_tail_tells_the_damage_that_lies_in_it() {
    let homes = Homes::new();
    let home = homes.bundled();
    let history = home.run(&["history", DAMAGED]).ok();
    let tail = home.run(&["tail", DAMAGED]).ok();
    assert_eq!(tail.stdout, history.stdout);
    assert_eq!(tail.stderr, history.stderr);
    assert_eq!(home.run(&["tail", DAMAGED, "--from", "11"]).ok().stderr, "");
    let mut follower = Running::of(&home, &["tail", DAMAGED, "-f"]);
    assert_eq!(follower.ordinals(11), (0..11).collect::<Vec<_>>());
    follower.signal(Signal::INT);
    let (rest, told, code) = follower.end();
    assert_eq!((rest.as_str(), code), ("", Some(0)));
    assert_eq!(told, history.stderr);
}

#[test]
fn a_follower_sees_what_another_process_appends_without_gap_or_repeat() {
    let homes = Homes::new();
    for home in both(&homes) {
        let mut writer = Running::of(&home, &["append", CLOCK]);
        let mut stdin = writer.stdin();
        let mut all = Running::of(&home, &["tail", CLOCK, "-f"]);
        let mut late = Running::of(&home, &["tail", CLOCK, "--from", "21", "--follow"]);
        assert_eq!(all.ordinals(21), (0..21).collect::<Vec<_>>());
        for number in 21..31 {
            stdin
                .write_all(user(&format!("line {number}")).as_bytes())
                .unwrap();
            assert_eq!(writer.line()["last_ordinal"], number);
            // Each line is there before the next one is written: a reader need not wait for more.
            for follower in [&mut all, &mut late] {
                let record = follower.line();
                assert_eq!(record["ordinal"], number);
                assert_eq!(record["payload"]["message"], format!("line {number}"));
            }
        }
        // A batch comes whole.
        let item = user("batch");
        let item = item.trim();
        stdin
            .write_all(format!("[{item},{item},{item}]\n").as_bytes())
            .unwrap();
        assert_eq!(all.ordinals(3), [31, 32, 33]);
        for (follower, signal, rest) in [(all, Signal::INT, 0), (late, Signal::TERM, 3)] {
            follower.signal(signal);
            let (out, err, code) = follower.end();
            // What was not read yet is whole lines.
            let lines: Vec<Value> = out
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert!(
                lines.len() <= rest && (out.is_empty() || out.ends_with('\n')),
                "{out}"
            );
            assert_eq!((err.as_str(), code), ("", Some(0)));
        }
        drop(stdin);
        assert_eq!(writer.end().2, Some(0));
    }
}

#[test]
fn ctrl_c_in_the_middle_of_a_long_history_leaves_whole_lines() {
    let homes = Homes::new();
    let home = homes.new_home("long");
    let id = home.append_new(&user(&"x".repeat(5000)).repeat(400));
    let mut follower = Running::of(&home, &["tail", &id, "-f"]);
    assert_eq!(follower.ordinals(3), [0, 1, 2]);
    // The pipe is full, and the command amid a write.
    follower.signal(Signal::INT);
    let (out, err, code) = follower.end();
    assert_eq!((err.as_str(), code), ("", Some(0)));
    assert!(out.ends_with('\n'));
    let lines: Vec<Value> = out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    for (line, ordinal) in lines.iter().zip(3..) {
        assert_eq!(line["ordinal"], ordinal);
    }
}

#[test]
fn a_follower_ends_once_nobody_reads_any_more() {
    let homes = Homes::new();
    let home = homes.bundled();
    let mut follower = Running::of(&home, &["tail", CLOCK, "-f"]);
    follower.ordinals(21);
    let Running { mut child, lines } = follower;
    // Nothing more is written to the thread: no write would find the pipe closed.
    drop(lines);
    let mut told = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    assert_eq!(told, "");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_follower_ends_with_the_thread() {
    let homes = Homes::new();
    let home = homes.bundled();
    let mut follower = Running::of(&home, &["tail", CLOCK, "-f"]);
    follower.ordinals(21);
    home.run(&["archive", CLOCK]).ok();
    home.append(CLOCK, &user("from the archive"));
    assert_eq!(follower.line()["payload"]["message"], "from the archive");
    home.run(&["delete", CLOCK, "--yes"]).ok();
    let (out, err, code) = follower.end();
    let told = format!("selvedge: thread {CLOCK} is gone: nothing follows\n");
    assert_eq!((out.as_str(), err, code), ("", told, Some(0)));
}
