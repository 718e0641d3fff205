//! The parent's side of a worker: starting it, hearing it, ending it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::said::{Line, ORDER, Order};

/// How long a worker may take to stop when it is asked to.
const STOP_WAIT: Duration = Duration::from_secs(60);

/// How the program is run again as a worker.
#[derive(Debug, Clone)]
pub struct Launcher {
    args: Vec<String>,
}

impl Launcher {
    /// A program whose `main` begins with [`super::run_if_asked`].
    pub fn program() -> Self {
        Self { args: Vec::new() }
    }

    /// A test binary with a test of this name that is nothing but [`super::run_if_asked`].
    pub fn test(name: &str) -> Self {
        let args = ["--exact", name, "--nocapture"];
        Self {
            args: args.map(str::to_owned).to_vec(),
        }
    }

    /// Starts a worker.
    pub fn start(&self, order: &Order) -> Worker {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(&self.args)
            .env(ORDER, serde_json::to_string(order).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let heard = Arc::new(Heard::default());
        let output = BufReader::new(child.stdout.take().unwrap());
        let listener = {
            let heard = Arc::clone(&heard);
            std::thread::spawn(move || heard.listen(output))
        };
        Worker {
            order: order.clone(),
            stdin: child.stdin.take(),
            child,
            heard,
            listener,
        }
    }
}

/// What a worker has said so far.
#[derive(Default)]
struct Heard {
    said: Mutex<Said>,
    more: Condvar,
}

#[derive(Default)]
struct Said {
    lines: Vec<Line>,
    done: usize,
    is_over: bool,
}

impl Heard {
    fn listen(&self, mut output: impl BufRead) {
        let mut line = String::new();
        loop {
            line.clear();
            let read = output.read_line(&mut line);
            let mut said = self.said.lock().unwrap();
            if read.unwrap() == 0 {
                said.is_over = true;
                self.more.notify_all();
                return;
            }
            // Without its newline a line was cut by the kill: then it was not said.
            let Some(line) = line.strip_suffix('\n').and_then(Line::parse) else {
                continue;
            };
            said.done += usize::from(matches!(line, Line::Done { .. } | Line::Looked));
            said.lines.push(line);
            self.more.notify_all();
        }
    }
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was killed.
    Killed,
    /// It has shut the home down and ended well.
    Stopped,
    /// Something else.
    Otherwise,
}

/// What a worker has said, and how it ended.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it was told.
    pub order: Order,
    /// What it said.
    pub lines: Vec<Line>,
    /// How it ended.
    pub ended: Ended,
}

/// A running worker. One that is dropped is asked to stop.
pub struct Worker {
    order: Order,
    child: Child,
    stdin: Option<ChildStdin>,
    heard: Arc<Heard>,
    listener: JoinHandle<()>,
}

impl Worker {
    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the home is open, or the worker is at its end; not longer than `at_most`.
    pub fn wait_until_open(&self, at_most: Duration) -> bool {
        self.wait(at_most, |said| !said.lines.is_empty())
    }

    /// Waits until this many operations and looks were done, or the worker is at its end; not
    /// longer than `at_most`. Tells whether they were.
    pub fn wait_for(&self, done: usize, at_most: Duration) -> bool {
        self.wait(at_most, |said| said.done >= done)
    }

    fn wait(&self, at_most: Duration, until: impl Fn(&Said) -> bool) -> bool {
        let deadline = Instant::now() + at_most;
        let mut said = self.heard.said.lock().unwrap();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if until(&said) || said.is_over || left.is_zero() {
                return until(&said);
            }
            said = self.heard.more.wait_timeout(said, left).unwrap().0;
        }
    }

    /// Whether it has ended, by itself.
    pub fn has_ended(&self) -> bool {
        self.heard.said.lock().unwrap().is_over
    }

    /// How many operations and looks were done so far.
    pub fn done(&self) -> usize {
        self.heard.said.lock().unwrap().done
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Report {
        self.child.kill().unwrap();
        self.end()
    }

    /// Asks it to stop, and waits for that.
    pub fn stop(mut self) -> Report {
        drop(self.stdin.take());
        if !self.wait(STOP_WAIT, |said| said.is_over) {
            self.child.kill().unwrap();
            let mut report = self.end();
            let what = format!("it did not stop within {STOP_WAIT:?}");
            report.lines.push(Line::Wrong { what });
            report.ended = Ended::Otherwise;
            return report;
        }
        self.end()
    }

    fn end(mut self) -> Report {
        let status = self.child.wait().unwrap();
        self.listener.join().unwrap();
        let lines = std::mem::take(&mut self.heard.said.lock().unwrap().lines);
        let ended = match (status.signal(), lines.last()) {
            (Some(9), _) => Ended::Killed,
            (None, Some(Line::Stopped)) if status.success() => Ended::Stopped,
            _ => Ended::Otherwise,
        };
        Report {
            order: self.order,
            lines,
            ended,
        }
    }
}
