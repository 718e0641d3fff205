//! A record on one line: which, when, what kind, and what it says.

use selvedge::{Record, UtcMicros};
use serde_json::Value;

use super::text::{one_line, short_time, truncate};

/// `59 min ago`, `2026-02-20`.
const TIME_COLUMNS: usize = 10;
/// `function_call_output`
const KIND_COLUMNS: usize = 20;
/// Most threads have fewer than a million records; a longer ordinal moves its own line only.
const ORDINAL_COLUMNS: usize = 6;

/// The record in at most `columns` columns.
pub(crate) fn record_line(record: &Record, columns: usize, now: UtcMicros) -> String {
    let payload = record
        .payload_json()
        .ok()
        .and_then(|json| serde_json::from_str(json.get()).ok())
        .unwrap_or(Value::Null);
    let line = format!(
        "{:>ORDINAL_COLUMNS$}  {:<TIME_COLUMNS$}  {:<KIND_COLUMNS$}  {}",
        record.ordinal,
        short_time(record.time, now),
        truncate(
            &one_line(&kind(record.record_type.as_str(), &payload)),
            KIND_COLUMNS
        ),
        one_line(&words(&payload)),
    );
    truncate(line.trim_end(), columns)
}

/// The heads of the columns.
pub(crate) fn record_heads() -> String {
    format!(
        "{:>ORDINAL_COLUMNS$}  {:<TIME_COLUMNS$}  {:<KIND_COLUMNS$}  TEXT",
        "RECORD", "TIME", "TYPE"
    )
}

/// Events and response items are told apart by their payload's type.
fn kind(record_type: &str, payload: &Value) -> String {
    let subtype = payload.get("type").and_then(Value::as_str);
    match (record_type, subtype) {
        ("response_item", Some("message")) => {
            let role = payload.get("role").and_then(Value::as_str);
            format!("{} message", role.unwrap_or("a"))
        }
        ("event_msg" | "response_item", Some(subtype)) => subtype.to_owned(),
        _ => record_type.to_owned(),
    }
}

/// What a person would read of a payload, or else the payload.
fn words(payload: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    for field in ["message", "text", "output", "error"] {
        if let Some(text) = payload.get(field).and_then(text) {
            return text;
        }
    }
    if let Some(name) = payload.get("name").and_then(Value::as_str) {
        let arguments = payload.get("arguments").and_then(Value::as_str);
        return format!("{name} {}", arguments.unwrap_or_default());
    }
    let content = payload.get("content").and_then(Value::as_array);
    let parts: Vec<&str> = content
        .into_iter()
        .flatten()
        .filter_map(|part| part.get("text")?.as_str())
        .collect();
    if !parts.is_empty() {
        return parts.join(" ");
    }
    match payload {
        Value::Null => String::new(),
        Value::Object(fields) => {
            let rest = fields.iter().filter(|(name, _)| *name != "type");
            let rest: Vec<String> = rest.map(|(name, v)| format!("{name}={v}")).collect();
            rest.join(" ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::text::width;
    use selvedge::{BatchPosition, Item, Ordinal};

    fn line(record_type: &str, payload: &str, columns: usize) -> String {
        let time = UtcMicros::parse("2026-02-20T09:15:00Z").unwrap();
        let item = Item::json(record_type, payload.to_owned()).unwrap();
        let record = item.into_record(
            Ordinal::new(7),
            time,
            BatchPosition {
                index: 0,
                is_last: true,
            },
        );
        record_line(&record, columns, time)
    }

    #[test]
    fn a_record_says_on_one_line_what_a_person_would_read() {
        for (record_type, payload, kind, words) in [
            (
                "event_msg",
                r#"{"type":"user_message","message":"a\nb"}"#,
                "user_message",
                "a b",
            ),
            (
                "response_item",
                r#"{"type":"message","role":"user","content":[{"text":"x"},{"text":"y"}]}"#,
                "user message",
                "x y",
            ),
            (
                "response_item",
                r#"{"type":"function_call","name":"shell","arguments":"{}"}"#,
                "function_call",
                "shell {}",
            ),
            ("made_up", r#"{"type":"t","n":1}"#, "made_up", "n=1"),
            ("made_up", "[1,2]", "made_up", "[1,2]"),
            ("made_up", "null", "made_up", ""),
        ] {
            let line = line(record_type, payload, 80);
            assert!(line.starts_with("     7  "), "{line}");
            assert!(line.contains(kind) && line.ends_with(words), "{line}");
        }
    }

    #[test]
    fn a_record_fits_its_columns_and_steers_nothing() {
        let payload = r#"{"type":"user_message","message":"\u001b[2J 日本語日本語日本語日本語日本語日本語日本語日本語"}"#;
        for columns in [40, 60, 80] {
            let line = line("event_msg", payload, columns);
            assert!(width(&line) <= columns, "{line}");
            assert!(!line.contains('\u{1b}'));
        }
    }
}
