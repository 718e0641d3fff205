//! The ways out: stdout for answers, stderr for what a person should know besides.

pub(crate) mod json;
pub(crate) mod record;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod thread;
pub(crate) mod turn;

use std::fmt::Display;
use std::io::{self, BufWriter, StdoutLock, Write};

use serde::Serialize;

use crate::error::{CliError, Result};

/// Stdout, locked and buffered. Nothing is written behind its back: dropping it without
/// [`Answer::finish`] would hide a write that failed.
pub(crate) struct Answer {
    out: BufWriter<StdoutLock<'static>>,
}

impl Answer {
    pub(crate) fn new() -> Self {
        Self {
            out: BufWriter::new(io::stdout().lock()),
        }
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: impl Display) -> Result<()> {
        writeln!(self.out, "{line}").map_err(CliError::Stdout)
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(CliError::Stdout)
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        let line = serde_json::to_vec(value)?;
        self.bytes(&line)?;
        self.bytes(b"\n")
    }

    /// Hands what was written to the reader at once.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(CliError::Stdout)
    }

    /// The end of the answer.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.flush()
    }
}

/// Tells a person something that is not the answer, in one line whatever was said or asked for.
/// A stderr that is gone is nobody's loss.
pub(crate) fn note(line: impl Display) {
    let line = text::one_line(&line.to_string());
    let _ = writeln!(io::stderr().lock(), "selvedge: {line}");
}
