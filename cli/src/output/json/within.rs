//! The JSON forms of what lies within a thread, and of what was done to one.

use std::borrow::Cow;
use std::path::Path;

use selvedge::{
    CodecError, ItemPage, Occurrence, OccurrencePage, Ordinal, Record, RolledBackThread,
    SearchPage, Speaker, ThreadId, TokenUsageReport, TurnEntry, TurnPage, TurnStatus, TurnSummary,
    UtcMicros,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{ThreadJson, as_text, as_text_or_null, json_value};
use crate::error::{CliError, Result};

/// A record of a thread, with the turn that it belongs to.
#[derive(Debug, Serialize)]
pub(crate) struct ItemJson<'a> {
    ordinal: Ordinal,
    #[serde(serialize_with = "as_text")]
    timestamp: UtcMicros,
    turn_id: Option<Cow<'a, str>>,
    r#type: &'a str,
    payload: Cow<'a, RawValue>,
}

impl<'a> ItemJson<'a> {
    /// `turn` is the turn that was asked for, which not every record of it names.
    fn of(record: &'a Record, turn: Option<&'a str>) -> std::result::Result<Self, CodecError> {
        let own = record.turn_id.as_ref();
        Ok(Self {
            ordinal: record.ordinal,
            timestamp: record.time,
            turn_id: own.map_or_else(
                || turn.map(Cow::Borrowed),
                |own| Some(own.to_string().into()),
            ),
            r#type: record.record_type.as_str(),
            payload: record.payload_json()?,
        })
    }

    fn all_of(
        records: &'a [Record],
        turn: Option<&'a str>,
        thread_id: ThreadId,
    ) -> Result<Vec<Self>> {
        let items = records.iter().map(|record| {
            Self::of(record, turn).map_err(|why| CliError::Record {
                thread_id,
                ordinal: record.ordinal,
                why,
            })
        });
        items.collect()
    }
}

/// A page of a thread's items.
#[derive(Debug, Serialize)]
pub(crate) struct ItemPageJson<'a> {
    items: Vec<ItemJson<'a>>,
    next_cursor: Option<&'a str>,
    backwards_cursor: Option<&'a str>,
}

impl<'a> ItemPageJson<'a> {
    /// The page's JSON form; `turn` is the turn that was asked for.
    pub(crate) fn of(
        page: &'a ItemPage,
        turn: Option<&'a str>,
        thread_id: ThreadId,
    ) -> Result<Self> {
        Ok(Self {
            items: ItemJson::all_of(&page.items, turn, thread_id)?,
            next_cursor: page.next_cursor.as_deref(),
            backwards_cursor: page.backwards_cursor.as_deref(),
        })
    }
}

/// A turn.
#[derive(Debug, Serialize)]
struct TurnJson<'a> {
    turn_id: Option<&'a str>,
    status: TurnStatus,
    error: Option<&'a str>,
    #[serde(serialize_with = "as_text")]
    started_at: UtcMicros,
    #[serde(serialize_with = "as_text_or_null")]
    completed_at: Option<UtcMicros>,
    duration_ms: Option<u64>,
    items: Vec<ItemJson<'a>>,
}

impl<'a> TurnJson<'a> {
    fn of(turn: &'a TurnSummary, items: Vec<ItemJson<'a>>) -> Self {
        Self {
            turn_id: turn.turn_id.as_deref(),
            status: turn.status,
            error: turn.error.as_deref(),
            started_at: turn.started_at,
            completed_at: turn.completed_at,
            duration_ms: turn.duration_ms,
            items,
        }
    }
}

/// A page of a thread's turns.
#[derive(Debug, Serialize)]
pub(crate) struct TurnPageJson<'a> {
    turns: Vec<TurnJson<'a>>,
    next_cursor: Option<&'a str>,
    backwards_cursor: Option<&'a str>,
}

impl<'a> TurnPageJson<'a> {
    pub(crate) fn of(page: &'a TurnPage, thread_id: ThreadId) -> Result<Self> {
        let turn = |entry: &'a TurnEntry| {
            let turn = entry.turn.turn_id.as_deref();
            let items = ItemJson::all_of(&entry.items, turn, thread_id)?;
            Ok(TurnJson::of(&entry.turn, items))
        };
        Ok(Self {
            turns: page.turns.iter().map(turn).collect::<Result<_>>()?,
            next_cursor: page.next_cursor.as_deref(),
            backwards_cursor: page.backwards_cursor.as_deref(),
        })
    }
}

/// A thread after a rollback, with the turns that still count.
#[derive(Debug, Serialize)]
pub(crate) struct RolledBackJson<'a> {
    thread: ThreadJson<'a>,
    turns: Vec<TurnJson<'a>>,
}

impl<'a> RolledBackJson<'a> {
    pub(crate) fn of(after: &'a RolledBackThread, home: &Path) -> Result<Self> {
        let turns = after.turns.iter();
        Ok(Self {
            thread: ThreadJson::of(&after.thread, home)?,
            turns: turns.map(|turn| TurnJson::of(turn, Vec::new())).collect(),
        })
    }
}

/// A page of threads in which something was said.
#[derive(Debug, Serialize)]
pub(crate) struct SearchJson<'a> {
    results: Vec<HitJson<'a>>,
    next_cursor: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct HitJson<'a> {
    thread: ThreadJson<'a>,
    snippet: &'a str,
}

impl<'a> SearchJson<'a> {
    pub(crate) fn of(page: &'a SearchPage, home: &Path) -> Result<Self> {
        let results = page.hits.iter().map(|hit| {
            Ok(HitJson {
                thread: ThreadJson::of(&hit.thread, home)?,
                snippet: &hit.snippet,
            })
        });
        Ok(Self {
            results: results.collect::<Result<_>>()?,
            next_cursor: page.next_cursor.as_deref(),
        })
    }
}

/// A page of places where something was said.
#[derive(Debug, Serialize)]
pub(crate) struct OccurrencePageJson<'a> {
    occurrences: Vec<OccurrenceJson<'a>>,
    next_cursor: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct OccurrenceJson<'a> {
    ordinal: Ordinal,
    #[serde(serialize_with = "as_text")]
    timestamp: UtcMicros,
    turn_id: Option<&'a str>,
    turn_cursor: Option<&'a str>,
    speaker: Speaker,
    range: RangeJson,
    snippet: &'a str,
}

/// A part of a text, in UTF-16 code units; `end` is the first one after it.
#[derive(Debug, Serialize)]
struct RangeJson {
    start: u64,
    end: u64,
}

impl<'a> From<&'a Occurrence> for OccurrenceJson<'a> {
    fn from(place: &'a Occurrence) -> Self {
        Self {
            ordinal: place.ordinal,
            timestamp: place.time,
            turn_id: place.turn_id.as_deref(),
            turn_cursor: place.turn_cursor.as_deref(),
            speaker: place.speaker,
            range: RangeJson {
                start: place.utf16_range.start,
                end: place.utf16_range.end,
            },
            snippet: &place.snippet,
        }
    }
}

impl<'a> OccurrencePageJson<'a> {
    pub(crate) fn of(page: &'a OccurrencePage) -> Self {
        Self {
            occurrences: page.occurrences.iter().map(OccurrenceJson::from).collect(),
            next_cursor: page.next_cursor.as_deref(),
        }
    }
}

/// A thread's token usage; `null` where its log says nothing of it.
#[derive(Debug, Serialize)]
pub(crate) struct UsageJson<'a> {
    thread_id: ThreadId,
    total_token_usage: Option<Cow<'a, RawValue>>,
    last_token_usage: Option<Cow<'a, RawValue>>,
    model_context_window: Option<u64>,
}

impl<'a> UsageJson<'a> {
    pub(crate) fn of(usage: Option<&'a TokenUsageReport>, thread_id: ThreadId) -> Result<Self> {
        let object = |text: &'a Option<String>| text.as_deref().map(json_value).transpose();
        Ok(Self {
            thread_id,
            total_token_usage: usage.map_or(Ok(None), |usage| object(&usage.total))?,
            last_token_usage: usage.map_or(Ok(None), |usage| object(&usage.last))?,
            model_context_window: usage.and_then(|usage| usage.model_context_window),
        })
    }
}

/// That a thread is gone.
#[derive(Debug, Serialize)]
pub(crate) struct DeletedJson {
    pub(crate) thread_id: ThreadId,
    /// `false` when there was none.
    pub(crate) deleted: bool,
}
