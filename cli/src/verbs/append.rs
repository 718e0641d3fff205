//! `append`: the items on stdin, each batch acknowledged at once.
//!
//! A line is appended as it arrives, and its acknowledgement is flushed before the next one is
//! read: whoever reads an acknowledgement may rely on it, also when this process is killed then.

use std::borrow::Cow;
use std::io::{BufRead, Read};

use bytes::Bytes;
use selvedge::{AppendOptions, CodecError, Durability, Item, LiveThread, StartThread, UtcMicros};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{Context, OpenHome, Outcome, absolute};
use crate::args::{AppendArgs, DurabilityArg};
use crate::error::{CliError, Result};
use crate::output::Answer;
use crate::output::json::AckJson;

/// The longest line of stdin: more than the largest record, and less than would eat the machine.
const MAX_LINE_BYTES: u64 = 1 << 30;

impl From<DurabilityArg> for Durability {
    fn from(durability: DurabilityArg) -> Self {
        match durability {
            DurabilityArg::Written => Self::Written,
            DurabilityArg::Synced => Self::Synced,
        }
    }
}

/// Appends what stdin holds to a thread.
pub(crate) fn run(args: &AppendArgs, context: &Context) -> Result<Outcome> {
    match args.thread_id {
        Some(id) => context.with_home(|home| {
            let thread = home.wait(home.store().resume_thread(id))?;
            append_stdin(home, &thread, args.durability)
        }),
        None => context.with_new_home(|home| {
            let thread = home.wait(home.store().start_thread(new_thread(args)?))?;
            append_stdin(home, &thread, args.durability)
        }),
    }
}

fn append_stdin(
    home: &OpenHome,
    thread: &LiveThread,
    durability: DurabilityArg,
) -> Result<Outcome> {
    let result = append_lines(home, thread, durability.into());
    // What was acknowledged is synced also when a line was bad.
    let closed = home.wait(thread.shutdown());
    result?;
    closed?;
    Ok(Outcome::Fine)
}

fn new_thread(args: &AppendArgs) -> Result<StartThread> {
    let cwd = absolute(args.cwd.as_deref().unwrap_or(".").as_ref())?;
    Ok(StartThread {
        cwd: cwd.to_string_lossy().into_owned(),
        model_provider: args.provider.clone(),
        ..super::started_by_cli()
    })
}

fn append_lines(home: &OpenHome, thread: &LiveThread, durability: Durability) -> Result<()> {
    let mut stdin = std::io::stdin().lock();
    let mut answer = Answer::new();
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = (&mut stdin)
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)
            .map_err(CliError::Stdin)?;
        if read == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let items = items_of_line(&line).map_err(|why| CliError::BadLine { line: number, why })?;
        let options = AppendOptions {
            durability,
            ..AppendOptions::default()
        };
        let ack = home
            .wait(thread.append_with(items, options))
            .map_err(|source| CliError::Append {
                line: number,
                source: Box::new(source),
            })?;
        answer.json(&AckJson::of(&ack))?;
        answer.flush()?;
    }
    answer.finish()
}

/// An item as a line of stdin spells it. An `ordinal` is let through, so that `history`'s lines
/// can be appended, and means nothing; any other field would be lost silently, and is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemLine<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(borrow, default)]
    timestamp: Option<Cow<'a, str>>,
    #[serde(default, rename = "ordinal")]
    _ordinal: IgnoredAny,
}

impl ItemLine<'_> {
    fn into_item(self) -> std::result::Result<Item, CodecError> {
        let payload = Bytes::copy_from_slice(self.payload.get().as_bytes());
        let mut item = Item::json(&self.r#type, payload)?;
        item.time = self
            .timestamp
            .as_deref()
            .map(UtcMicros::parse)
            .transpose()?;
        Ok(item)
    }
}

/// The batch that a line holds: one item, or an array of them.
fn items_of_line(line: &[u8]) -> std::result::Result<Vec<Item>, String> {
    let line = line.trim_ascii();
    let lines: Vec<ItemLine<'_>> = if line.first() == Some(&b'[') {
        serde_json::from_slice(line).map_err(|error| plain(&error))?
    } else {
        vec![serde_json::from_slice(line).map_err(|error| plain(&error))?]
    };
    if lines.is_empty() {
        return Err(CodecError::EmptyBatch.to_string());
    }
    lines
        .into_iter()
        .map(|line| line.into_item().map_err(|why| why.to_string()))
        .collect()
}

/// The parser's words, without its own line number: it saw one line, and calls it the first.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!(
        "not an item {{\"type\",\"payload\"}} or an array of them: {what} (column {})",
        error.column()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_item_or_a_batch() {
        let one =
            items_of_line(br#"{"type":"event_msg","payload":{"type":"x","n":1.50}}"#).unwrap();
        assert_eq!(one.len(), 1);
        assert_eq!(&*one[0].body, br#"{"type":"x","n":1.50}"#);
        assert_eq!(one[0].time, None);
        let two = items_of_line(
            br#" [{"type":"a","payload":1,"timestamp":"2026-03-01T00:00:00Z"},{"ordinal":7,"type":"b","payload":"q"}] "#,
        )
        .unwrap();
        assert_eq!(two.len(), 2);
        assert_eq!(
            two[0].time,
            Some(UtcMicros::parse("2026-03-01T00:00:00Z").unwrap())
        );
    }

    #[test]
    fn what_is_no_item_is_refused_with_a_reason() {
        for (line, reason) in [
            (&b"nonsense"[..], "expected"),
            (b"[]", "at least one item"),
            (br#"{"type":"a"}"#, "missing field `payload`"),
            (
                br#"{"type":"a","payload":1,"time":2}"#,
                "unknown field `time`",
            ),
            (br#"{"type":"","payload":1}"#, "record type"),
            (br#"{"type":"a","payload":1,"timestamp":"noon"}"#, "noon"),
            (b"{\"type\":\"a\",\"payload\":\"\xff\"}", "column"),
            (br#"{"type":"a","payload":1} {}"#, "trailing"),
        ] {
            let why = items_of_line(line).unwrap_err();
            assert!(why.contains(reason), "{why}");
        }
    }
}
