//! Turns as a table: one line a turn, with its error and its items below.

use selvedge::{Record, TurnStatus, TurnSummary, UtcMicros};

use super::record::record_line;
use super::text::{duration, one_line, short_time, truncate};

/// A turn's id is a UUID, as a rule; it is shown whole, since other verbs take it.
const ID_COLUMNS: usize = 36;
/// `completed`, `in progress`
const STATUS_COLUMNS: usize = 11;
/// `59 min ago`, `2026-02-20`
const TIME_COLUMNS: usize = 10;
/// How far a turn's error and items are moved in.
const INDENT: &str = "    ";

/// How turns are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TurnStyle {
    /// How many columns a line has.
    pub(crate) columns: usize,
    /// What "ago" counts from.
    pub(crate) now: UtcMicros,
}

/// The heads of the columns.
pub(crate) fn turn_heads() -> String {
    format!(
        "{:<ID_COLUMNS$}  {:<STATUS_COLUMNS$}  {:<TIME_COLUMNS$}  TOOK",
        "TURN", "STATUS", "STARTED"
    )
}

/// A turn and its items, a line each.
pub(crate) fn turn_lines(turn: &TurnSummary, items: &[Record], style: TurnStyle) -> Vec<String> {
    let id = turn.turn_id.as_deref().map_or("-".to_owned(), one_line);
    let took = turn.duration_ms.or_else(|| elapsed_ms(turn));
    let line = format!(
        "{id:<ID_COLUMNS$}  {:<STATUS_COLUMNS$}  {:<TIME_COLUMNS$}  {}",
        status(turn.status),
        short_time(turn.started_at, style.now),
        took.map(duration).unwrap_or_default()
    );
    let room = style.columns.saturating_sub(INDENT.len());
    let mut lines = vec![line.trim_end().to_owned()];
    if let Some(error) = turn.error.as_deref().map(one_line) {
        lines.push(format!("{INDENT}{}", truncate(&error, room)));
    }
    for item in items {
        let item = record_line(item, room, style.now);
        lines.push(format!("{INDENT}{item}"));
    }
    lines
}

/// A person's words for a status.
fn status(status: TurnStatus) -> &'static str {
    match status {
        TurnStatus::InProgress => "in progress",
        TurnStatus::Completed => "completed",
        TurnStatus::Aborted => "aborted",
        TurnStatus::Failed => "failed",
    }
}

/// How long the turn took by its records' times, where it does not say so itself.
fn elapsed_ms(turn: &TurnSummary) -> Option<u64> {
    let micros = turn
        .completed_at?
        .get()
        .checked_sub(turn.started_at.get())?;
    u64::try_from(micros / 1000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::text::width;
    use selvedge::{BatchPosition, Item, Ordinal};

    #[test]
    fn a_turn_is_a_line_with_its_error_and_items_below() {
        let time = |text: &str| UtcMicros::parse(text).unwrap();
        let started_at = time("2026-02-20T09:15:00Z");
        let turn = TurnSummary {
            turn_id: Some("019c7a54-be6b-7e31-86dd-b589bd944286".into()),
            first_ordinal: Ordinal::new(1),
            last_ordinal: Ordinal::new(2),
            status: TurnStatus::Failed,
            error: Some(format!("no\nroute {}", "x".repeat(100))),
            started_at,
            completed_at: Some(time("2026-02-20T09:15:01.5Z")),
            duration_ms: None,
            rolled_back: false,
        };
        let said = r#"{"type":"user_message","message":"hello"}"#;
        let position = BatchPosition {
            index: 0,
            is_last: true,
        };
        let item = Item::json("event_msg", said).unwrap().into_record(
            Ordinal::new(1),
            started_at,
            position,
        );
        let style = TurnStyle {
            columns: 80,
            now: started_at,
        };
        let lines = turn_lines(&turn, &[item], style);
        assert_eq!(
            lines[0],
            "019c7a54-be6b-7e31-86dd-b589bd944286  failed       just now    1.5 s"
        );
        assert!(lines[1].starts_with("    no route xxx"), "{}", lines[1]);
        assert!(lines[2].contains("user_message") && lines[2].ends_with("hello"));
        assert!(lines.iter().all(|line| width(line) <= 80), "{lines:?}");
        assert!(width(&turn_heads()) <= 80);

        let running = TurnSummary {
            turn_id: None,
            status: TurnStatus::InProgress,
            error: None,
            completed_at: None,
            ..turn
        };
        let lines = turn_lines(&running, &[], style);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("- ") && lines[0].ends_with("just now"));
    }
}
