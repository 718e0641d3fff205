//! Child processes: this program again, told by an environment variable what to do. They say what
//! they have done, a line of JSON each, and are told by lines what to do next.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child as Process, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Outcome, Trying, handover, lease, runtime, soak, start, stopped};
use crate::worker::run_if_asked;

const ROLE: &str = "SELVEDGE_PROCESSES_ROLE";
/// What stands before a child's own lines: a test binary says more than those.
const MARK: &str = "@ ";
/// Nothing takes this long unless it hangs.
pub const HANG: Duration = Duration::from_secs(180);

/// What a child does.
#[derive(Debug, Serialize, Deserialize)]
pub enum Role {
    /// See [`start`].
    Start(start::Opener),
    /// See [`soak`].
    Soak(soak::Part),
    /// See [`stopped`].
    Stopped(stopped::Peer),
    /// See [`lease`].
    Lease(lease::Backfiller),
    /// See [`handover`].
    Handover(handover::Holder),
}

/// How this program runs itself again.
#[derive(Debug, Clone)]
pub struct Launcher {
    args: Vec<String>,
}

impl Launcher {
    /// A program that calls [`serve`] first of all.
    #[must_use]
    pub const fn program() -> Self {
        Self { args: Vec::new() }
    }

    /// A test binary, of which the test of this name calls [`serve`] and nothing else.
    #[must_use]
    pub fn test(name: &str) -> Self {
        Self {
            args: ["--exact", name, "--nocapture"].map(str::to_owned).into(),
        }
    }

    /// What the program is given to run itself again.
    #[must_use]
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// Starts a child.
    ///
    /// # Errors
    /// What the machine refused.
    pub fn start(&self, role: &Role) -> Outcome<Child> {
        let role = serde_json::to_string(role).trying("spell a role")?;
        let mut process = Command::new(std::env::current_exe().trying("find this program")?)
            .args(&self.args)
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .trying("start a child")?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().ok_or("a child without its stdout")?;
        let (said, heard) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The last line may be cut by a kill: then it was not said.
                let value = line
                    .strip_prefix(MARK)
                    .and_then(|line| serde_json::from_str(line).ok());
                if value.is_some_and(|value: Value| said.send(value).is_err()) {
                    break;
                }
            }
        });
        Ok(Child {
            process,
            stdin,
            heard,
        })
    }
}

/// A running child. It does not outlive this, stopped or not.
#[derive(Debug)]
pub struct Child {
    process: Process,
    /// `None` once it is told nothing any more.
    stdin: Option<ChildStdin>,
    heard: Receiver<Value>,
}

impl Child {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    fn raw_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.id()).unwrap_or(i32::MAX))
    }

    /// Waits until it says `word`, and gives what it said with it.
    ///
    /// # Errors
    /// What it failed with; that it ended, said something else, or said nothing.
    pub fn hear(&mut self, word: &str) -> Outcome<Value> {
        let pid = self.pid();
        match self.heard.recv_timeout(HANG) {
            Ok(said) if said["said"] == word => Ok(said),
            Ok(said) => Err(format!("process {pid} said {said} in place of {word:?}")),
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("process {pid} hangs: it never said {word:?}"))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(format!("process {pid} ended and never said {word:?}"))
            }
        }
    }

    /// What it has said and nobody has heard yet; waits until it says something, or ends.
    pub fn hear_any(&mut self, patience: Duration) -> Option<Value> {
        self.heard.recv_timeout(patience).ok()
    }

    /// Tells it what to do.
    ///
    /// # Errors
    /// That it has ended.
    pub fn tell(&mut self, word: &str) -> Outcome<()> {
        let pid = self.process.id();
        let stdin = self.stdin.as_mut().ok_or("a child without its stdin")?;
        writeln!(stdin, "{word}").trying(format_args!("tell process {pid}"))
    }

    /// SIGKILL. Once this returns the process is gone, and all that it held.
    ///
    /// # Errors
    /// What the machine refused.
    pub fn kill(&mut self) -> Outcome<()> {
        self.process.kill().trying("kill a child")?;
        self.process.wait().map(drop).trying("wait for a child")
    }

    /// SIGSTOP. Once this returns the process stands still.
    ///
    /// # Errors
    /// That it has ended.
    pub fn stop(&self) -> Outcome<()> {
        let pid = self.raw_pid();
        kill(pid, Signal::SIGSTOP).trying("stop a child")?;
        match waitpid(pid, Some(WaitPidFlag::WUNTRACED)).trying("wait for a stop")? {
            WaitStatus::Stopped(..) => Ok(()),
            ended => Err(format!("process {pid} was to be stopped: {ended:?}")),
        }
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// That it has ended.
    pub fn go_on(&self) -> Outcome<()> {
        kill(self.raw_pid(), Signal::SIGCONT).trying("let a child go on")
    }

    /// Tells it that nothing follows, and waits for its end, which must be a good one.
    ///
    /// # Errors
    /// How it ended otherwise.
    pub fn end(mut self) -> Outcome<()> {
        self.stdin = None;
        while let Some(said) = self.hear_any(HANG) {
            if said["said"] == "failed" {
                return Err(format!("process {}: {}", self.pid(), said["why"]));
            }
        }
        let status = self.process.wait().trying("wait for a child")?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("process {} ended with {status}", self.pid()))
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It has ended already, or it is ended here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A child's mouth and ears.
#[derive(Debug, Clone, Copy)]
pub struct Voice(());

impl Voice {
    /// Says `word`, with more about it.
    pub fn say(self, word: &str, more: Value) {
        let mut said = json!({"said": word});
        if let (Value::Object(said), Value::Object(more)) = (&mut said, more) {
            said.extend(more);
        }
        // A test binary may have begun a line of its own. One write, so that no other thread's
        // line comes between; a parent that is gone hears nothing.
        let _ = std::io::stdout()
            .lock()
            .write_all(format!("\n{MARK}{said}\n").as_bytes());
    }

    /// Waits for what the parent tells; `None` when it is gone.
    #[must_use]
    pub fn hear(self) -> Option<String> {
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(1..) => Some(line.trim_end().to_owned()),
            _ => None,
        }
    }
}

/// Plays the part that this process was started for; returns `false` in one that was started for
/// none.
#[must_use]
pub fn serve() -> bool {
    match run_if_asked() {
        None => {}
        Some(ExitCode::SUCCESS) => return true,
        Some(_) => std::process::exit(1),
    }
    let Ok(role) = std::env::var(ROLE) else {
        return false;
    };
    let voice = Voice(());
    if let Err(why) = play(&role, voice) {
        voice.say("failed", json!({"why": why}));
        std::process::exit(1);
    }
    true
}

fn play(role: &str, voice: Voice) -> Outcome<()> {
    // A child that outlives its parent would go on for ever.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).trying("die with the parent")?;
    let role: Role = serde_json::from_str(role).trying("read a role")?;
    let runtime = runtime()?;
    runtime.block_on(async {
        match role {
            Role::Start(opener) => opener.play(voice).await,
            Role::Soak(part) => part.play(voice).await,
            Role::Stopped(peer) => peer.play(voice).await,
            Role::Lease(backfiller) => backfiller.play(voice).await,
            Role::Handover(holder) => holder.play(voice).await,
        }
    })
}
