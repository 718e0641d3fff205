//! A few rounds of the crash matrix, and that its checker sees what must not be.
#![cfg(test)]

use std::path::{Path, PathBuf};

use selvedge::{IndexMode, Item, OpenOptions, Selvedge, ThreadId};
use selvedge_reliability::crashes::{Matrix, Plan, run};
use selvedge_reliability::worker::check::{Checked, Model, Thoroughness};
use selvedge_reliability::worker::{self, Doing, Ended, Launcher, Line, Order, Report, Role};

const THIS: Thoroughness = Thoroughness {
    resumed: 2,
    seed: 1,
};

/// Not a test of its own: what a worker does. Without its order it does nothing.
#[test]
fn worker() {
    if let Some(ended) = worker::run_if_asked() {
        assert_eq!(ended, std::process::ExitCode::SUCCESS);
    }
}

async fn try_some(matrix: Matrix, rounds: u64) {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan {
        matrix,
        rounds,
        seed: fastrand::u64(..),
        fresh_every: rounds,
        longest_run: 100,
        logs: 80,
        dir: dir.path().to_owned(),
        is_told: false,
        launcher: Launcher::test("worker"),
    };
    let figures = run(&plan).await;
    assert!(
        figures.violations.is_empty(),
        "{}: {:#?}",
        plan.command(),
        figures.violations
    );
    assert_eq!(figures.rounds, rounds);
}

#[tokio::test]
async fn native_logs_survive_kills() {
    try_some(Matrix::Native, 4).await;
}

#[tokio::test]
async fn json_lines_logs_survive_kills() {
    try_some(Matrix::JsonLines, 4).await;
}

#[tokio::test]
async fn a_live_backfill_survives_kills() {
    try_some(Matrix::Backfill, 3).await;
}

#[tokio::test]
async fn several_processes_survive_kills() {
    try_some(Matrix::Several, 3).await;
}

/// A home after a worker that was stopped, and what that worker said.
async fn worked_home() -> (tempfile::TempDir, Report) {
    let dir = tempfile::tempdir().unwrap();
    let order = Order {
        seed: 7,
        lanes: 2,
        max_operations: Some(150),
        ..Order::new(dir.path(), "only", Role::Native)
    };
    let worker = Launcher::test("worker").start(&order);
    // It ends by itself.
    worker.wait_for(usize::MAX, std::time::Duration::from_secs(120));
    let report = worker.stop();
    assert_eq!(report.ended, Ended::Stopped);
    (dir, report)
}

async fn check(home: &Path, reports: &[Report]) -> Checked {
    Model::default().check(home, reports, THIS).await
}

fn logs(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => logs(&path, found),
            false if path.extension().is_some_and(|end| end == "rlog") => found.push(path),
            false => {}
        }
    }
}

/// A thread with an acknowledged append that was neither forked from, nor moved, nor ended.
fn appended(report: &Report) -> (ThreadId, usize) {
    let mut tried = std::collections::HashMap::new();
    let mut touched = std::collections::HashMap::new();
    for line in &report.lines {
        if let Line::Trying { op, doing } = line {
            tried.insert(*op, doing.clone());
            let is_plain = !matches!(
                doing,
                Doing::Archive { .. }
                    | Doing::Delete { .. }
                    | Doing::Discard { .. }
                    | Doing::Start {
                        ephemeral: true,
                        ..
                    }
            );
            *touched.entry(doing.thread()).or_insert(true) &= is_plain;
            if let Doing::Fork { source, .. } = doing {
                touched.insert(*source, false);
            }
        }
    }
    let is_plain = |op: &u64| matches!(&tried[op], Doing::Append { thread, .. } if touched[thread]);
    report
        .lines
        .iter()
        .enumerate()
        .find_map(|(at, line)| match line {
            Line::Done { op, .. } if is_plain(op) => Some((tried[op].thread(), at)),
            _ => None,
        })
        .expect("this seed has one")
}

/// Something that was not tried, as if it was, and was acknowledged.
fn claim(lines: &mut Vec<Line>, doing: Doing, ordinals: Option<(u64, u64)>) {
    let op = 9999;
    lines.push(Line::Trying { op, doing });
    lines.push(Line::Done { op, ordinals });
}

/// What a worker said, altered: the home is then one that does not hold to it.
fn altered(report: &Report) -> Vec<(&'static str, Report)> {
    let (thread, at) = appended(report);
    let Line::Done { op, ordinals } = report.lines[at].clone() else {
        unreachable!()
    };
    let alter = |what, alter: &dyn Fn(&mut Vec<Line>)| {
        let mut altered = report.clone();
        alter(&mut altered.lines);
        (what, altered)
    };
    let is_said_of = |line: &Line| match line {
        Line::Trying { op: said, .. } | Line::Done { op: said, .. } => *said == op,
        _ => false,
    };
    vec![
        alter("a batch that lies elsewhere", &|lines| {
            let ordinals = ordinals.map(|(first, last)| (first + 1, last + 1));
            lines[at] = Line::Done { op, ordinals };
        }),
        alter("a batch that nobody appended", &|lines| {
            lines.retain(|line| !is_said_of(line));
        }),
        alter("a batch that is not there", &|lines| {
            let doing = Doing::Append {
                thread,
                records: 1,
                synced: false,
                expected: None,
            };
            claim(lines, doing, Some((500, 500)));
        }),
        alter("a thread that was deleted", &|lines| {
            claim(lines, Doing::Delete { thread }, None);
        }),
        alter("a thread that was archived", &|lines| {
            claim(lines, Doing::Archive { thread }, None);
        }),
        alter("a thread that is not there", &|lines| {
            let thread = ThreadId::generate();
            let (start, persist) = (
                Doing::Start {
                    thread,
                    ephemeral: false,
                },
                Doing::Persist { thread },
            );
            lines.push(Line::Trying {
                op: 9998,
                doing: start,
            });
            claim(lines, persist, None);
        }),
        alter("a patch that is not there", &|lines| {
            let field = "name".to_owned();
            claim(lines, Doing::Patch { thread, field }, None);
        }),
        alter("a rollback that is not there", &|lines| {
            claim(lines, Doing::RollBack { thread }, None);
        }),
    ]
}

#[tokio::test]
async fn the_checker_sees_what_was_said_and_is_not_so() {
    let (home, report) = worked_home().await;
    for (what, altered) in altered(&report) {
        let copy = tempfile::tempdir().unwrap();
        copy_all(home.path(), copy.path());
        let checked = check(copy.path(), &[altered]).await;
        assert!(!checked.violations.is_empty(), "{what} is not seen");
    }
    let checked = check(home.path(), std::slice::from_ref(&report)).await;
    assert!(checked.violations.is_empty(), "{:#?}", checked.violations);
    assert!(checked.acknowledged > 50);
}

#[tokio::test]
async fn the_checker_sees_a_log_that_was_cut_removed_or_gone_on_with() {
    let (home, report) = worked_home().await;
    let mut model = Model::default();
    let checked = model
        .check(home.path(), std::slice::from_ref(&report), THIS)
        .await;
    assert!(checked.violations.is_empty(), "{:#?}", checked.violations);
    let (thread, _) = appended(&report);
    let log = |home: &Path| {
        let mut found = Vec::new();
        logs(home, &mut found);
        let is_it = |path: &PathBuf| path.to_string_lossy().contains(&thread.to_string());
        found.into_iter().find(is_it).unwrap()
    };
    for what in ["removed", "cut", "gone on with"] {
        let copy = tempfile::tempdir().unwrap();
        copy_all(home.path(), copy.path());
        let file = log(copy.path());
        match what {
            "removed" => std::fs::remove_file(file).unwrap(),
            "cut" => {
                let length = std::fs::metadata(&file).unwrap().len();
                let file = std::fs::File::options().write(true).open(file).unwrap();
                file.set_len(length - 1).unwrap();
            }
            _ => {
                let options = OpenOptions::new(copy.path()).index(IndexMode::None);
                let selvedge = Selvedge::open(options).await.unwrap();
                let live = selvedge.resume_thread(thread).await.unwrap();
                let item = Item::json("event_msg", r#"{"type":"user_message"}"#).unwrap();
                live.append(vec![item]).await.unwrap();
                selvedge.shutdown().await.unwrap();
            }
        }
        let checked = model.clone().check(copy.path(), &[], THIS).await;
        assert!(!checked.violations.is_empty(), "{what} is not seen");
    }
    let checked = model.check(home.path(), &[], THIS).await;
    assert!(checked.violations.is_empty(), "{:#?}", checked.violations);
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_all(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}
