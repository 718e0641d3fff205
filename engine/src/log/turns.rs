//! Where turns begin and end. The projection and the effective history share it, so that they
//! can't differ in what a rollback drops.

use selvedge_codec::{EventClass, Record, TurnId};
use serde::Deserialize;

/// What a record means to the turns around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnSign {
    /// A turn starts, as a record of its own says.
    Started,
    /// The user says something, which starts a turn where none was started explicitly.
    UserMessage,
    /// The turn ends.
    Ended,
    /// The last turns no longer count.
    RolledBack(u32),
    /// Nothing.
    Other,
}

#[derive(Deserialize)]
struct RolledBackPayload {
    num_turns: u32,
}

#[derive(Deserialize)]
struct ItemCompletedPayload<'a> {
    #[serde(borrow)]
    item: ItemKind<'a>,
}

#[derive(Deserialize)]
struct ItemKind<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
}

/// What a record means to the turns around it. Payloads are parsed only where the class does not
/// tell, and one that can't be made sense of means nothing.
pub(crate) fn turn_sign(record: &Record) -> TurnSign {
    match record.event {
        Some(EventClass::TurnStarted) => TurnSign::Started,
        Some(EventClass::UserMessage) => TurnSign::UserMessage,
        Some(class) if class.ends_turn() => TurnSign::Ended,
        Some(EventClass::RolledBack) => record
            .payload_json()
            .ok()
            .and_then(|payload| serde_json::from_str::<RolledBackPayload>(payload.get()).ok())
            .map_or(TurnSign::Other, |payload| {
                TurnSign::RolledBack(payload.num_turns)
            }),
        Some(EventClass::ItemCompleted) if is_user_message(record) => TurnSign::UserMessage,
        _ => TurnSign::Other,
    }
}

fn is_user_message(record: &Record) -> bool {
    record.payload_json().is_ok_and(|payload| {
        serde_json::from_str::<ItemCompletedPayload<'_>>(payload.get())
            .is_ok_and(|payload| payload.item.kind == "UserMessage")
    })
}

/// The turn that a record is met in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InTurn<'a> {
    /// Whether a record of its own started it.
    pub explicit: bool,
    /// Its id, where its records name one.
    pub turn_id: Option<&'a str>,
}

/// What becomes of the turns at a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TurnStep {
    /// The open turn ended before this record, without a word of its own.
    pub closes_open: bool,
    /// A turn begins with this record; the value says whether explicitly.
    pub starts: Option<bool>,
    /// The open turn ends with this record.
    pub ends: bool,
    /// This many turns no longer count.
    pub rolls_back: u32,
}

/// What becomes of the turns at a record with this sign.
///
/// Turns never nest. A start closes what was open, unless it repeats the open turn's own start. An
/// end that names another turn than the open one ends nothing. A turn that the user's word began
/// lasts to the user's next one.
pub(crate) fn turn_step(open: Option<InTurn<'_>>, sign: TurnSign, id: Option<&TurnId>) -> TurnStep {
    let is_same = |open: InTurn<'_>| match (open.turn_id, id) {
        (Some(open), Some(id)) => Some(is_text(id, open)),
        _ => None,
    };
    match sign {
        TurnSign::Started
            if open.is_some_and(|open| open.explicit && is_same(open) == Some(true)) =>
        {
            TurnStep::default()
        }
        TurnSign::Started => TurnStep {
            closes_open: open.is_some(),
            starts: Some(true),
            ..TurnStep::default()
        },
        TurnSign::UserMessage if open.is_none_or(|open| !open.explicit) => TurnStep {
            closes_open: open.is_some(),
            starts: Some(false),
            ..TurnStep::default()
        },
        TurnSign::Ended => TurnStep {
            ends: open.is_some_and(|open| is_same(open) != Some(false)),
            ..TurnStep::default()
        },
        TurnSign::RolledBack(turns) => TurnStep {
            closes_open: open.is_some(),
            rolls_back: turns,
            ..TurnStep::default()
        },
        TurnSign::UserMessage | TurnSign::Other => TurnStep::default(),
    }
}

fn is_text(id: &TurnId, text: &str) -> bool {
    match id {
        TurnId::Text(id) => **id == *text,
        TurnId::Uuid(id) => {
            let mut buffer = uuid::Uuid::encode_buffer();
            *id.as_hyphenated().encode_lower(&mut buffer) == *text
        }
    }
}
