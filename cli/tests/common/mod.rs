//! Runs the real command.
#![expect(
    clippy::disallowed_methods,
    reason = "a test sets the scene outside of the engine"
)]
#![allow(dead_code, reason = "each test file uses a part of this")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The command, without anything of the surroundings that could change what it does.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command.env_remove("SELVEDGE_HOME");
    command
}

/// How a run ended.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The run, which must have succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }

    /// The run, which must have failed with this code, one clear line and no answer.
    #[track_caller]
    pub fn fails(self, code: i32, reason: &str) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.contains(reason), "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        assert!(self.stderr.starts_with("selvedge: "), "{}", self.stderr);
        self
    }

    /// The answer, which must be one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }

    /// The answer, which must be one JSON value a line.
    pub fn json_lines(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines.map(|l| serde_json::from_str(l).unwrap()).collect()
    }
}

/// Runs the command with these words.
pub fn run(words: &[&str]) -> Run {
    Run::of(command().args(words).stdin(Stdio::null()).output().unwrap())
}

/// A directory for homes, gone with the test.
pub struct Homes {
    dir: TempDir,
}

impl Homes {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// A path in the directory, at which there is nothing yet.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A copy of the bundled JSON-lines home.
    pub fn bundled(&self) -> Home {
        let home = self.path("bundled");
        copy(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/home"),
            &home,
        );
        Home(home)
    }

    /// A home that is not there yet.
    pub fn new_home(&self, name: &str) -> Home {
        Home(self.path(name))
    }
}

/// A home, and the command on it.
pub struct Home(pub PathBuf);

impl Home {
    fn words<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        [&["--home", self.0.to_str().unwrap()], words].concat()
    }

    /// Runs the command on the home.
    pub fn run(&self, words: &[&str]) -> Run {
        run(&self.words(words))
    }

    /// Runs the command on the home with this on its stdin.
    pub fn run_with(&self, words: &[&str], stdin: &[u8]) -> Run {
        let mut child = command()
            .args(self.words(words))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A run that fails early reads no stdin, which is no failure of the test's.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        Run::of(child.wait_with_output().unwrap())
    }

    /// The page that `list --json` with these words gives.
    pub fn list(&self, words: &[&str]) -> Value {
        let words = [&["list", "--json"], words].concat();
        self.run(&words).ok().json()
    }

    /// Starts a thread with these lines; gives its id.
    pub fn append_new(&self, lines: &str) -> String {
        let acks = self
            .run_with(&["append", "--new"], lines.as_bytes())
            .ok()
            .json_lines();
        acks[0]["thread_id"].as_str().unwrap().to_owned()
    }

    /// Appends these lines to a thread.
    pub fn append(&self, id: &str, lines: &str) {
        self.run_with(&["append", id], lines.as_bytes()).ok();
    }

    /// Every file below the home with its bytes, in order.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut dirs = vec![self.0.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    let bytes = fs::read(&path).unwrap();
                    files.push((path.strip_prefix(&self.0).unwrap().to_owned(), bytes));
                }
            }
        }
        files.sort();
        files
    }

    /// The same without the index.
    pub fn files_but_index(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = self.files();
        files.retain(|(path, _)| path != Path::new("index.redb"));
        files
    }
}

/// The ids of a page, in its order.
pub fn ids(page: &Value) -> Vec<String> {
    let threads = page["threads"].as_array().unwrap();
    threads
        .iter()
        .map(|thread| thread["thread_id"].as_str().unwrap().to_owned())
        .collect()
}

pub fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

pub fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// The bundled home, and a home of native logs with the same threads.
pub fn both(homes: &Homes) -> [Home; 2] {
    let bundled = homes.bundled();
    let native = homes.new_home("native");
    native
        .run(&["import", bundled.0.to_str().unwrap(), "--json"])
        .ok();
    [bundled, native]
}

pub fn fields(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// The lines of a table fit a terminal of the usual width.
#[track_caller]
pub fn fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

/// The thread, as `show` has it.
pub fn shown(home: &Home, id: &str) -> Value {
    home.run(&["show", id, "--json"]).ok().json()
}

/// Every answer is the same once the index is made anew: it came from the logs.
pub fn rebuilt(home: &Home) {
    home.run(&["index", "--rebuild"]).ok();
}

/// A thread that is nowhere.
pub const UNKNOWN: &str = "019c0000-0000-7000-8000-000000000000";

/// The bundled home's threads.
pub const CLOCK: &str = "019cad90-1c40-7a11-9c3e-5a0f6b21d401";
pub const LOOM: &str = "019cae1c-77e0-7c52-8b14-93d2a7e0c502";
pub const DAMAGED: &str = "019cbd4f-0a98-7d03-a5c7-1e8b40f2e603";
pub const BAKERY: &str = "019cc7a9-5e10-7be4-b2d9-60c4f1a3d704";
pub const ARCHIVED: &str = "019c4b3d-2f00-7f95-8a60-c7b92d15e805";
