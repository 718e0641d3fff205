//! The record: what a log holds, and the item it is made from.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{CodecError, Ordinal, TurnId, UtcMicros};

/// The longest record type, in bytes: a type is a name, not content.
pub const MAX_RECORD_TYPE_BYTES: usize = 128;

/// The type of a record that stands where a repair could not save one (Selvedge's own type).
pub const LOST_TYPE: &str = "lost";

/// What kind of thing a record carries: the `type` of a JSON line. Unknown types are kept and
/// passed on.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum RecordType {
    /// `session_meta`: the thread's own description.
    SessionMeta,
    /// `response_item`: what goes to or comes from the model.
    ResponseItem,
    /// `event_msg`: what happened; its [`EventClass`] says more.
    EventMsg,
    /// `turn_context`: the settings a turn ran under.
    TurnContext,
    /// `compacted`: the history before it was replaced by a shorter one for the model.
    Compacted,
    /// `world_state`: a snapshot of the surroundings.
    WorldState,
    /// `metadata_patch`: an explicit change of the thread's metadata (Selvedge's own type).
    MetadataPatch,
    /// Any other type, as it was written.
    Other(Box<str>),
}

impl RecordType {
    /// The type with this name.
    ///
    /// # Errors
    /// [`CodecError::BadRecordType`] when it is empty or longer than [`MAX_RECORD_TYPE_BYTES`].
    pub fn from_name(name: &str) -> Result<Self, CodecError> {
        Self::check_name(name)?;
        Ok(match name {
            "session_meta" => Self::SessionMeta,
            "response_item" => Self::ResponseItem,
            "event_msg" => Self::EventMsg,
            "turn_context" => Self::TurnContext,
            "compacted" => Self::Compacted,
            "world_state" => Self::WorldState,
            "metadata_patch" => Self::MetadataPatch,
            other => Self::Other(other.into()),
        })
    }

    pub(crate) fn check_name(name: &str) -> Result<(), CodecError> {
        if name.is_empty() || name.len() > MAX_RECORD_TYPE_BYTES {
            return Err(CodecError::BadRecordType {
                length: name.len(),
                limit: MAX_RECORD_TYPE_BYTES,
            });
        }
        Ok(())
    }

    /// The type's name, as a JSON line spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::SessionMeta => "session_meta",
            Self::ResponseItem => "response_item",
            Self::EventMsg => "event_msg",
            Self::TurnContext => "turn_context",
            Self::Compacted => "compacted",
            Self::WorldState => "world_state",
            Self::MetadataPatch => "metadata_patch",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an `event_msg` means to the engine. Several spellings may share a class (`task_started`
/// and `turn_started`); the payload keeps the spelling.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum EventClass {
    /// `user_message`: the user said something.
    UserMessage,
    /// `agent_message`: the agent said something.
    AgentMessage,
    /// `task_started` or `turn_started`.
    TurnStarted,
    /// `task_complete`, `turn_complete` or `turn_completed`.
    TurnCompleted,
    /// `turn_aborted` or `task_aborted`.
    TurnAborted,
    /// `turn_failed` or `task_failed`.
    TurnFailed,
    /// `token_count`: token usage so far.
    TokenCount,
    /// `thread_rolled_back`: the last turns no longer count.
    RolledBack,
    /// `thread_name_updated`: the thread has a new name, or none.
    NameUpdated,
    /// `item_completed`: an item of a turn is whole; a user's message comes this way too.
    ItemCompleted,
    /// Any event that the engine passes on without a look.
    Other,
}

impl EventClass {
    /// The class of an event whose payload has this `type`.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "user_message" => Self::UserMessage,
            "agent_message" => Self::AgentMessage,
            "task_started" | "turn_started" => Self::TurnStarted,
            "task_complete" | "turn_complete" | "turn_completed" => Self::TurnCompleted,
            "turn_aborted" | "task_aborted" => Self::TurnAborted,
            "turn_failed" | "task_failed" => Self::TurnFailed,
            "token_count" => Self::TokenCount,
            "thread_rolled_back" => Self::RolledBack,
            "thread_name_updated" => Self::NameUpdated,
            "item_completed" => Self::ItemCompleted,
            _ => Self::Other,
        }
    }

    /// Whether a record of this class ends its turn, and is therefore synced when appended.
    #[must_use]
    pub const fn ends_turn(self) -> bool {
        matches!(
            self,
            Self::TurnCompleted | Self::TurnAborted | Self::TurnFailed
        )
    }
}

/// How a record's body holds its payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PayloadEncoding {
    /// The body is the payload: JSON, byte for byte. The canonical line around it can be made
    /// again from the envelope.
    Json,
    /// Like `Json`, and the canonical line carries the ordinal.
    JsonWithOrdinal,
    /// The body is a whole JSON line, byte for byte without its newline: one whose spelling the
    /// envelope could not give back.
    JsonLine,
    /// The body is opaque bytes; a JSON line carries them as base64.
    Binary,
}

/// Where a record stands in the batch it was appended with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BatchPosition {
    /// 0 for the first record of the batch.
    pub index: u32,
    /// Whether the batch ends with this record.
    pub is_last: bool,
}

impl BatchPosition {
    /// A batch of one record.
    pub const WHOLE: Self = Self {
        index: 0,
        is_last: true,
    };
}

/// One unit of a log. The body is a slice of the buffer it was read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Position in the thread, from 0.
    pub ordinal: Ordinal,
    /// When it was recorded.
    pub time: UtcMicros,
    /// The line's `type`.
    pub record_type: RecordType,
    /// For an `event_msg`, what it means to the engine.
    pub event: Option<EventClass>,
    /// The turn it belongs to, where that is known.
    pub turn_id: Option<TurnId>,
    /// Where it stands in its batch. Each JSON line is a batch of its own.
    pub batch: BatchPosition,
    /// How `body` holds the payload.
    pub encoding: PayloadEncoding,
    /// The payload's bytes; with [`PayloadEncoding::JsonLine`] the whole line.
    pub body: Bytes,
}

impl Record {
    /// The payload as JSON, byte for byte as it was written; binary payloads as
    /// `{"base64":"..."}`.
    ///
    /// # Errors
    /// [`CodecError::NotARecordLine`] when the body is no JSON, which no reader of this crate
    /// lets through.
    pub fn payload_json(&self) -> Result<Cow<'_, RawValue>, CodecError> {
        match self.encoding {
            PayloadEncoding::Json | PayloadEncoding::JsonWithOrdinal => {
                raw_json(&self.body).map(Cow::Borrowed)
            }
            PayloadEncoding::JsonLine => {
                crate::jsonl::payload_of_line(&self.body).map(Cow::Borrowed)
            }
            PayloadEncoding::Binary => crate::jsonl::base64_json(&self.body).map(Cow::Owned),
        }
    }
}

fn raw_json(bytes: &[u8]) -> Result<&RawValue, CodecError> {
    serde_json::from_slice(bytes).map_err(|error| CodecError::NotJson {
        why: error.to_string(),
    })
}

/// What a caller appends: a record before it has an ordinal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// The line's `type`.
    pub record_type: RecordType,
    /// For an `event_msg`, what it means to the engine.
    pub event: Option<EventClass>,
    /// The turn that the payload itself names, if it does.
    pub turn_id: Option<TurnId>,
    /// When it was recorded; the log's clock fills in what is missing.
    pub time: Option<UtcMicros>,
    /// How `body` holds the payload.
    pub encoding: PayloadEncoding,
    /// The payload's bytes; with [`PayloadEncoding::JsonLine`] the whole line.
    pub body: Bytes,
}

impl Item {
    /// An item with a JSON payload, kept byte for byte. It is checked to be one JSON value
    /// without a newline outside of strings, and its class and turn are read from it.
    ///
    /// # Errors
    /// [`CodecError::BadRecordType`], [`CodecError::NotJson`] or [`CodecError::RecordTooLarge`].
    pub fn json(record_type: &str, payload: impl Into<Bytes>) -> Result<Self, CodecError> {
        crate::jsonl::item_from_json(record_type, payload.into())
    }

    /// The item as a record. Its own time is kept where it has one; `time` stands in otherwise.
    #[must_use]
    pub fn into_record(self, ordinal: Ordinal, time: UtcMicros, batch: BatchPosition) -> Record {
        Record {
            ordinal,
            time: self.time.unwrap_or(time),
            record_type: self.record_type,
            event: self.event,
            turn_id: self.turn_id,
            batch,
            encoding: self.encoding,
            body: self.body,
        }
    }

    /// The item as one of the turn `current`, unless its payload names a turn itself.
    #[must_use]
    pub fn in_turn(mut self, current: Option<&TurnId>) -> Self {
        if self.turn_id.is_none() {
            self.turn_id = current.cloned();
        }
        self
    }

    /// An item with an opaque payload.
    ///
    /// # Errors
    /// [`CodecError::BadRecordType`] or [`CodecError::RecordTooLarge`].
    pub fn binary(record_type: &str, payload: impl Into<Bytes>) -> Result<Self, CodecError> {
        let body = payload.into();
        crate::segment::check_body_length(body.len())?;
        Ok(Self {
            record_type: RecordType::from_name(record_type)?,
            event: None,
            turn_id: None,
            time: None,
            encoding: PayloadEncoding::Binary,
            body,
        })
    }
}
