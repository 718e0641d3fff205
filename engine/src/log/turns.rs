//! Where turns begin and end. The projection and the effective history share it, so that they
//! can't differ in what a rollback drops.

use selvedge_codec::view::{ItemCompleted, View};
use selvedge_codec::{EventClass, Record, TurnId};

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

/// What a record means to the turns around it. Payloads are parsed only where the class does not
/// tell, and one that can't be made sense of means nothing.
pub(crate) fn turn_sign(record: &Record) -> TurnSign {
    match record.event {
        Some(EventClass::RolledBack | EventClass::ItemCompleted) => {
            View::of(record).map_or(TurnSign::Other, |view| sign_of_view(&view))
        }
        Some(EventClass::TurnStarted) => TurnSign::Started,
        Some(EventClass::UserMessage) => TurnSign::UserMessage,
        Some(class) if class.ends_turn() => TurnSign::Ended,
        _ => TurnSign::Other,
    }
}

/// What a record means to the turns around it whose view is at hand.
pub(crate) fn sign_of_view(view: &View<'_>) -> TurnSign {
    match view {
        View::TurnStarted(_) => TurnSign::Started,
        View::UserMessage(_) => TurnSign::UserMessage,
        View::ItemCompleted(completed) if is_user_message(completed) => TurnSign::UserMessage,
        View::TurnCompleted(_) | View::TurnAborted(_) | View::TurnFailed(_) => TurnSign::Ended,
        View::RolledBack(rollback) => rollback.num_turns.map_or(TurnSign::Other, |turns| {
            TurnSign::RolledBack(u32::try_from(turns).unwrap_or(u32::MAX))
        }),
        _ => TurnSign::Other,
    }
}

fn is_user_message(completed: &ItemCompleted<'_>) -> bool {
    let item = completed.item.as_ref();
    item.is_some_and(|item| item.item_type.as_deref() == Some("UserMessage"))
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
