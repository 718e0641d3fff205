//! Typed views: what the engine itself must understand of a payload, over its untouched bytes.
//!
//! What must hold: a view never refuses a payload for what it does not know. A missing field, a
//! `null` and a value of another type all read as `None`, and unknown fields are passed over;
//! only a payload that is no JSON object has no view.

mod fields;
mod history;
mod message;
mod meta;
mod patch;
mod turn;

use std::borrow::Cow;

use serde_json::value::RawValue;

pub use history::{Compacted, Lost, NameUpdated, RolledBack};
pub use message::{
    AgentMessage, CompletedItem, ItemCompleted, ResponseMessage, UserMessage, texts_of,
};
pub use meta::{GitInfo, SessionMeta};
pub use patch::{Change, MetadataPatch};
pub use turn::{
    TokenCount, TokenInfo, TokenUsage, TurnAborted, TurnCompleted, TurnContext, TurnFailed,
    TurnStarted,
};

use crate::record::LOST_TYPE;
use crate::{CodecError, EventClass, PayloadEncoding, Record, RecordType};

/// What a record says to the engine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum View<'a> {
    /// A `session_meta`: the thread's description, or copied history's.
    SessionMeta(SessionMeta<'a>),
    /// The user said something.
    UserMessage(UserMessage<'a>),
    /// The agent said something.
    AgentMessage(AgentMessage<'a>),
    /// An item of a turn is whole.
    ItemCompleted(ItemCompleted<'a>),
    /// A turn began.
    TurnStarted(TurnStarted<'a>),
    /// A turn ended well.
    TurnCompleted(TurnCompleted<'a>),
    /// A turn was interrupted.
    TurnAborted(TurnAborted<'a>),
    /// A turn ended badly.
    TurnFailed(TurnFailed<'a>),
    /// The settings a turn runs under.
    TurnContext(TurnContext<'a>),
    /// Token usage so far.
    TokenCount(TokenCount<'a>),
    /// The history before was replaced for the model.
    Compacted(Compacted<'a>),
    /// The last turns no longer count.
    RolledBack(RolledBack),
    /// The thread has a new name, or none.
    NameUpdated(NameUpdated<'a>),
    /// An explicit change of the thread's metadata.
    MetadataPatch(MetadataPatch),
    /// A record was here that a repair could not save.
    Lost(Lost<'a>),
    /// Anything that the engine passes on without a look. Its payload was not looked at.
    Other,
}

impl<'a> View<'a> {
    /// What `record` says to the engine.
    ///
    /// # Errors
    /// [`CodecError::NotJson`] when the payload of a type that has a view is no JSON object.
    pub fn of(record: &'a Record) -> Result<Self, CodecError> {
        if record.encoding == PayloadEncoding::Binary {
            return Ok(Self::Other);
        }
        match &record.record_type {
            RecordType::SessionMeta => read(record, SessionMeta::read).map(Self::SessionMeta),
            RecordType::TurnContext => read(record, TurnContext::read).map(Self::TurnContext),
            RecordType::Compacted => read(record, Compacted::read).map(Self::Compacted),
            RecordType::MetadataPatch => read(record, MetadataPatch::read).map(Self::MetadataPatch),
            RecordType::EventMsg => Self::of_event(record),
            RecordType::Other(name) if **name == *LOST_TYPE => Ok(Self::of_lost(record)),
            RecordType::ResponseItem | RecordType::WorldState | RecordType::Other(_) => {
                Ok(Self::Other)
            }
        }
    }

    /// Others may call something of theirs so, too: what names no copy is none of ours.
    fn of_lost(record: &'a Record) -> Self {
        match read(record, Lost::read) {
            Ok(lost) if lost.copy.is_some() => Self::Lost(lost),
            _ => Self::Other,
        }
    }

    fn of_event(record: &'a Record) -> Result<Self, CodecError> {
        match record.event.unwrap_or(EventClass::Other) {
            EventClass::UserMessage => read(record, UserMessage::read).map(Self::UserMessage),
            EventClass::AgentMessage => read(record, AgentMessage::read).map(Self::AgentMessage),
            EventClass::ItemCompleted => read(record, ItemCompleted::read).map(Self::ItemCompleted),
            EventClass::TurnStarted => read(record, TurnStarted::read).map(Self::TurnStarted),
            EventClass::TurnCompleted => read(record, TurnCompleted::read).map(Self::TurnCompleted),
            EventClass::TurnAborted => read(record, TurnAborted::read).map(Self::TurnAborted),
            EventClass::TurnFailed => read(record, TurnFailed::read).map(Self::TurnFailed),
            EventClass::TokenCount => read(record, TokenCount::read).map(Self::TokenCount),
            EventClass::RolledBack => read(record, RolledBack::read).map(Self::RolledBack),
            EventClass::NameUpdated => read(record, NameUpdated::read).map(Self::NameUpdated),
            EventClass::Other => Ok(Self::Other),
        }
    }
}

/// The text of a JSON string, if `raw` is one: for the fields that a view leaves unparsed.
#[must_use]
pub fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    crate::json::text_of(raw)
}

/// These fields of the object that `raw` is, unparsed; of a repeated field the last counts. What is no
/// object has none.
#[must_use]
pub fn fields<'a, const N: usize>(
    raw: &'a RawValue,
    names: [&'static str; N],
) -> [Option<&'a RawValue>; N] {
    crate::json::fields_of(raw.get(), names).unwrap_or([None; N])
}

fn read<'a, T>(
    record: &'a Record,
    view: impl Fn(&'a str) -> Result<T, serde_json::Error>,
) -> Result<T, CodecError> {
    let not_json = |error: &dyn std::fmt::Display| CodecError::NotJson {
        why: error.to_string(),
    };
    if record.encoding != PayloadEncoding::JsonLine {
        let payload = str::from_utf8(&record.body).map_err(|error| not_json(&error))?;
        return view(payload).map_err(|error| not_json(&error));
    }
    // A line of the usual spelling is parsed once, not twice.
    if let Some(Ok(read)) = crate::jsonl::usual_payload(&record.body).map(&view) {
        return Ok(read);
    }
    let payload = crate::jsonl::payload_of_line(&record.body)?;
    view(payload.get()).map_err(|error| not_json(&error))
}
