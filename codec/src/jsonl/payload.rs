//! Payloads: checked to be JSON, and looked into only as far as the envelope needs.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::envelope::MAX_TURN_ID_BYTES;
use crate::json::{fields_of, text_of};
use crate::{CodecError, EventClass, Item, PayloadEncoding, RecordType, TurnId};

/// What an envelope repeats of a payload.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PayloadHead {
    pub(super) event: Option<EventClass>,
    pub(super) turn_id: Option<TurnId>,
}

/// Checks that `payload` is one JSON value, and reads its head where its type has one.
pub(super) fn head_of(
    record_type: &RecordType,
    payload: &str,
) -> Result<PayloadHead, serde_json::Error> {
    let is_event = *record_type == RecordType::EventMsg;
    if !is_event && *record_type != RecordType::TurnContext
        || !payload.trim_start().starts_with('{')
    {
        let _checked: IgnoredAny = serde_json::from_str(payload)?;
        return Ok(PayloadHead {
            event: is_event.then_some(EventClass::Other),
            turn_id: None,
        });
    }
    let [kind, turn_id]: [Option<&RawValue>; 2] = fields_of(payload, ["type", "turn_id"])?;
    let kind = kind.and_then(text_of);
    Ok(PayloadHead {
        event: is_event.then(|| EventClass::from_name(kind.as_deref().unwrap_or_default())),
        turn_id: turn_id
            .and_then(text_of)
            .filter(|id| id.len() <= MAX_TURN_ID_BYTES)
            .map(|id| TurnId::from_text(&id)),
    })
}

fn not_json(error: impl fmt::Display) -> CodecError {
    CodecError::NotJson {
        why: error.to_string(),
    }
}

/// See [`Item::json`].
pub(crate) fn item_from_json(record_type: &str, payload: Bytes) -> Result<Item, CodecError> {
    crate::segment::check_body_length(payload.len())?;
    let record_type = RecordType::from_name(record_type)?;
    let text = str::from_utf8(&payload).map_err(not_json)?;
    let PayloadHead { event, turn_id } = head_of(&record_type, text).map_err(not_json)?;
    let body = match on_one_line(&payload) {
        Cow::Borrowed(_) => payload,
        Cow::Owned(compact) => compact.into(),
    };
    Ok(Item {
        record_type,
        event,
        turn_id,
        time: None,
        encoding: PayloadEncoding::Json,
        body,
    })
}

/// `json` without newlines, which stand between tokens only: as it is when it has none, and
/// without any space between tokens otherwise. A carriage return alone ends no line.
pub(super) fn on_one_line(json: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\n', json).is_none() {
        return Cow::Borrowed(json);
    }
    let mut compact = Vec::with_capacity(json.len());
    let mut is_in_string = false;
    let mut is_escaped = false;
    for byte in json {
        if is_in_string || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            compact.push(*byte);
        }
        is_in_string ^= *byte == b'"' && !is_escaped;
        is_escaped = is_in_string && *byte == b'\\' && !is_escaped;
    }
    Cow::Owned(compact)
}

/// Opaque bytes as a JSON object.
pub(crate) fn base64_json(bytes: &[u8]) -> Result<Box<RawValue>, CodecError> {
    RawValue::from_string(base64_text(bytes)).map_err(not_json)
}

pub(super) fn base64_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() / 3 * 4 + 20);
    text.push_str("{\"base64\":\"");
    STANDARD.encode_string(bytes, &mut text);
    text.push_str("\"}");
    text
}
