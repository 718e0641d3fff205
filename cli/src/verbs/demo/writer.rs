//! The demo's writer: a process of its own, which appends turns until it is killed.

use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use selvedge::{AppendOptions, CodecError, Durability, Item};
use serde_json::json;

use super::super::{Context, Outcome, started_by_cli};
use crate::error::{CliError, Result};
use crate::output::Answer;
use crate::output::json::AckJson;

/// What a tool prints in each turn: enough that a kill is likely to hit a write.
const TOOL_OUTPUT_LINES: usize = 2_000;
/// SIGKILL: what no process can catch.
const SIGKILL: i32 = 9;

/// The batches of one turn. A turn's number alone says what is in them, so that the demo can tell
/// whether what survived is what was appended.
pub(super) fn turn(number: u64) -> std::result::Result<Vec<Vec<Item>>, CodecError> {
    let turn_id = format!("demo-turn-{number}");
    let request = format!("Step {number}: weave another row.");
    let output: String = (0..TOOL_OUTPUT_LINES)
        .map(|line| format!("row {number}, thread {line}: over, under\n"))
        .collect();
    let event = |payload: serde_json::Value| Item::json("event_msg", payload.to_string());
    let response = |payload: serde_json::Value| Item::json("response_item", payload.to_string());
    Ok(vec![
        vec![
            event(json!({"type": "task_started", "turn_id": turn_id}))?,
            event(json!({"type": "user_message", "message": request}))?,
        ],
        vec![
            response(json!({"type": "function_call", "call_id": turn_id, "name": "weave"}))?,
            response(
                json!({"type": "function_call_output", "call_id": turn_id, "output": output}),
            )?,
        ],
        vec![
            event(json!({"type": "agent_message", "message": "The row is woven."}))?,
            event(json!({"type": "task_complete", "turn_id": turn_id}))?,
        ],
    ])
}

/// The child's whole work: a new thread, and turns without end, each batch acknowledged on
/// stdout. It ends when it is killed, or when nobody reads it any more.
pub(crate) fn write_until_killed(context: &Context) -> Result<Outcome> {
    context.with_new_home(|home| {
        let thread = home.wait(home.store().start_thread(selvedge::StartThread {
            cwd: "/home/ada/loom".to_owned(),
            model_provider: Some("example".to_owned()),
            ..started_by_cli()
        }))?;
        let mut answer = Answer::new();
        for number in 1.. {
            for batch in turn(number).map_err(refused)? {
                let options = AppendOptions {
                    durability: Durability::Written,
                    ..AppendOptions::default()
                };
                let ack = home.wait(thread.append_with(batch, options))?;
                answer.json(&AckJson::of(&ack))?;
                answer.flush()?;
            }
        }
        Ok(Outcome::Fine)
    })
}

/// An item of the demo's own that the codec refuses.
pub(super) fn refused(why: CodecError) -> CliError {
    CliError::Store(selvedge::InvalidRequest::from(why).into())
}

/// The running child. Dropped, it is killed: no writer outlives the demo.
pub(super) struct Writer {
    child: Child,
    acks: Lines<BufReader<ChildStdout>>,
}

impl Writer {
    /// Starts the writer on a home.
    pub(super) fn start(home: &Path) -> Result<Self> {
        let program = std::env::current_exe().map_err(CliError::DemoWriter)?;
        let mut child = Command::new(program)
            .arg("--home")
            .arg(home)
            .arg("demo-writer")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(CliError::DemoWriter)?;
        let Some(stdout) = child.stdout.take() else {
            return Err(CliError::DemoWriter(std::io::ErrorKind::BrokenPipe.into()));
        };
        Ok(Self {
            child,
            acks: BufReader::new(stdout).lines(),
        })
    }

    /// The process's number.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next acknowledgement; `None` when the writer is dead.
    pub(super) fn next_ack(&mut self) -> Result<Option<AckJson>> {
        let Some(line) = self.acks.next() else {
            return Ok(None);
        };
        let line = line.map_err(CliError::DemoWriter)?;
        Ok(Some(serde_json::from_str(&line)?))
    }

    /// Kills the writer, whatever it is at, and returns the acknowledgements that it had still
    /// given before it died.
    pub(super) fn kill(mut self) -> Result<Vec<AckJson>> {
        self.child.kill().map_err(CliError::DemoWriter)?;
        let status = self.child.wait().map_err(CliError::DemoWriter)?;
        if status.signal() != Some(SIGKILL) {
            return Err(CliError::DemoWriter(std::io::Error::other(format!(
                "it ended by itself: {status}"
            ))));
        }
        let mut acks = Vec::new();
        while let Some(ack) = self.next_ack()? {
            acks.push(ack);
        }
        Ok(acks)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Both fail when it is dead already, which is what they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
