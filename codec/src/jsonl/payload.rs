//! Payloads: checked to be JSON, and looked into only as far as the envelope needs.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::envelope::MAX_TURN_ID_BYTES;
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

/// The string that `raw` is, if it is one.
pub(super) fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(text).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The values of the fields called `names` of the object that `json` is, unparsed but checked, as
/// is all of `json`. Of a repeated field the last counts.
pub(super) fn fields_of<'a, const N: usize>(
    json: &'a str,
    names: [&'static str; N],
) -> Result<[Option<&'a RawValue>; N], serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let fields = deserializer.deserialize_map(Fields { names })?;
    deserializer.end()?;
    Ok(fields)
}

struct Fields<const N: usize> {
    names: [&'static str; N],
}

impl<'de, const N: usize> Visitor<'de> for Fields<N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; N];
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            let wanted = key.and_then(|key| self.names.iter().position(|name| *name == key));
            match wanted.and_then(|index| values.get_mut(index)) {
                Some(value) => *value = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(values)
    }
}

/// A key, if it is text: one with half a surrogate pair is no reason to refuse a line.
struct Key<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Self(text_of(raw)))
    }
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
/// without any space between tokens otherwise.
pub(super) fn on_one_line(json: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\n', b'\r', json).is_none() {
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
