//! The token usage that a history ends with.

use selvedge_codec::view::{TokenCount, View};
use selvedge_codec::{EventClass, Ordinal, Record, TurnId, UtcMicros};
use serde_json::value::RawValue;

use super::turns::{InTurn, turn_sign, turn_step};

/// The latest token usage that a log tells of. A rollback does not take it back: the tokens were
/// used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUsageReport {
    /// Of all turns: the log's own object, as JSON text.
    pub total: Option<String>,
    /// Of the last request: the log's own object, as JSON text.
    pub last: Option<String>,
    /// How many tokens the model can see.
    pub model_context_window: Option<u64>,
    /// The turn in which it was told, where its records name one.
    pub turn_id: Option<String>,
    /// The record that tells it.
    pub ordinal: Ordinal,
    /// When it was told.
    pub time: UtcMicros,
}

/// The latest token usage that these records tell of: that of the newest one with a total.
#[must_use]
pub fn token_usage(records: &[Record]) -> Option<TokenUsageReport> {
    let mut newest = records.iter().enumerate().rev();
    let (at, mut report) = newest.find_map(|(at, record)| Some((at, report_of(record)?)))?;
    if report.turn_id.is_none() {
        report.turn_id = turn_at(records.get(..=at).unwrap_or_default());
    }
    Some(report)
}

fn report_of(record: &Record) -> Option<TokenUsageReport> {
    if record.event != Some(EventClass::TokenCount) {
        return None;
    }
    let Ok(View::TokenCount(TokenCount {
        info: Some(info), ..
    })) = View::of(record)
    else {
        return None;
    };
    Some(TokenUsageReport {
        total: Some(object(info.total_token_usage)?),
        last: object(info.last_token_usage),
        model_context_window: info.model_context_window,
        turn_id: record.turn_id.as_ref().map(TurnId::to_string),
        ordinal: record.ordinal,
        time: record.time,
    })
}

fn object(usage: Option<&RawValue>) -> Option<String> {
    let text = usage?.get();
    text.starts_with('{').then(|| text.to_owned())
}

/// The id of the turn that is open at the last of these records.
fn turn_at(records: &[Record]) -> Option<String> {
    let mut open: Option<(bool, Option<String>)> = None;
    for record in records {
        let in_turn = open.as_ref().map(|(explicit, turn_id)| InTurn {
            explicit: *explicit,
            turn_id: turn_id.as_deref(),
        });
        let step = turn_step(in_turn, turn_sign(record), record.turn_id.as_ref());
        if step.closes_open {
            open = None;
        }
        if let Some(explicit) = step.starts {
            open = Some((explicit, None));
        }
        if let Some((_, turn_id)) = open.as_mut().filter(|(_, turn_id)| turn_id.is_none()) {
            *turn_id = record.turn_id.as_ref().map(TurnId::to_string);
        }
        if step.ends {
            open = None;
        }
    }
    open?.1
}
