//! One line: parsed, taken as an item, and rendered.

use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::payload::{PayloadHead, base64_text, head_of, on_one_line};
use crate::json::{fields_of, text_of};
use crate::{CodecError, Item, Ordinal, PayloadEncoding, Record, RecordType, UtcMicros};

/// What a line says. All of it was checked.
pub(super) struct ParsedLine<'a> {
    pub(super) time: UtcMicros,
    pub(super) record_type: RecordType,
    /// The ordinal that the line itself carries.
    pub(super) ordinal: Option<Ordinal>,
    pub(super) head: PayloadHead,
    /// Timestamp and payload of a line that is the canonical one around them, if only the
    /// timestamp is spelled canonically too.
    usual: Option<(&'a str, &'a str)>,
}

fn not_a_record(why: impl fmt::Display) -> CodecError {
    CodecError::NotARecordLine {
        why: why.to_string(),
    }
}

/// Reads a line without its newline.
pub(super) fn parse(line: &[u8]) -> Result<ParsedLine<'_>, CodecError> {
    let line = str::from_utf8(line).map_err(not_a_record)?;
    match parse_usual(line) {
        Some(parsed) => Ok(parsed),
        None => parse_any(line),
    }
}

/// The pieces of a line that is spelled as tools write it.
struct UsualLine<'a> {
    timestamp: &'a str,
    ordinal: Option<Ordinal>,
    name: &'a str,
    payload: &'a str,
}

/// Splits a line of the usual spelling. Nothing is checked that the caller does not check again:
/// if `payload` is one JSON value, the whole line is what it seems.
fn split_usual(line: &str) -> Option<UsualLine<'_>> {
    let rest = line.strip_prefix("{\"timestamp\":\"")?;
    let (timestamp, rest) = plain_string(rest)?;
    let (ordinal, rest) = match rest.strip_prefix(",\"ordinal\":") {
        None => (None, rest),
        Some(rest) => {
            let (digits, _) = rest.split_once(',')?;
            (Some(plain_number(digits)?), rest.get(digits.len()..)?)
        }
    };
    let (name, rest) = plain_string(rest.strip_prefix(",\"type\":\"")?)?;
    let payload = rest.strip_prefix(",\"payload\":")?.strip_suffix('}')?;
    Some(UsualLine {
        timestamp,
        ordinal,
        name,
        payload,
    })
}

/// The text before the next quote, if it needs no unescaping, and what follows the quote.
fn plain_string(text: &str) -> Option<(&str, &str)> {
    let (plain, rest) = text.split_once('"')?;
    let is_plain = plain.bytes().all(|byte| byte >= b' ' && byte != b'\\');
    is_plain.then_some((plain, rest))
}

fn plain_number(digits: &str) -> Option<Ordinal> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    is_plain.then(|| digits.parse().ok().map(Ordinal::new))?
}

fn parse_usual(line: &str) -> Option<ParsedLine<'_>> {
    let usual = split_usual(line)?;
    let time = UtcMicros::parse(usual.timestamp).ok()?;
    let record_type = RecordType::from_name(usual.name).ok()?;
    let head = head_of(&record_type, usual.payload).ok()?;
    Some(ParsedLine {
        time,
        record_type,
        ordinal: usual.ordinal,
        head,
        usual: match usual.ordinal {
            None => Some((usual.timestamp, usual.payload)),
            // Which ordinal the record will get is not known here.
            Some(_) => None,
        },
    })
}

fn parse_any(line: &str) -> Result<ParsedLine<'_>, CodecError> {
    let [timestamp, ordinal, name, payload] =
        fields_of(line, ["timestamp", "ordinal", "type", "payload"]).map_err(not_a_record)?;
    let timestamp = timestamp
        .and_then(text_of)
        .ok_or_else(|| not_a_record("it has no timestamp"))?;
    let name = name
        .and_then(text_of)
        .ok_or_else(|| not_a_record("it has no type"))?;
    let payload = payload.ok_or_else(|| not_a_record("it has no payload"))?;
    let record_type = RecordType::from_name(&name)?;
    let head = head_of(&record_type, payload.get()).map_err(not_a_record)?;
    Ok(ParsedLine {
        time: UtcMicros::parse(&timestamp)?,
        record_type,
        // An ordinal that is no number is as good as none.
        ordinal: ordinal
            .and_then(|raw| raw.get().parse().ok())
            .map(Ordinal::new),
        head,
        usual: None,
    })
}

/// What is the payload of a line of the usual spelling, if it is one JSON value.
pub(crate) fn usual_payload(line: &[u8]) -> Option<&str> {
    split_usual(str::from_utf8(line).ok()?).map(|usual| usual.payload)
}

/// The payload of a line without its newline.
pub(crate) fn payload_of_line(line: &[u8]) -> Result<&RawValue, CodecError> {
    let line = str::from_utf8(line).map_err(not_a_record)?;
    let usual = split_usual(line).and_then(|usual| serde_json::from_str(usual.payload).ok());
    if let Some(payload) = usual {
        return Ok(payload);
    }
    let [payload] = fields_of(line, ["payload"]).map_err(not_a_record)?;
    payload.ok_or_else(|| not_a_record("it has no payload"))
}

/// The item that a line without its newline holds. [`render_line`] gives the same line back.
///
/// # Errors
/// [`CodecError::NotARecordLine`], [`CodecError::NotATimestamp`], [`CodecError::BadRecordType`]
/// or [`CodecError::RecordTooLarge`].
pub fn item_from_line(line: Bytes) -> Result<Item, CodecError> {
    crate::segment::check_body_length(line.len())?;
    if memchr::memchr(b'\n', &line).is_some() {
        return Err(not_a_record("it is more than one line"));
    }
    let parsed = parse(&line)?;
    let (encoding, body) = match parsed.usual {
        Some((timestamp, payload)) if timestamp == parsed.time.to_line_text() => {
            (PayloadEncoding::Json, line.slice_ref(payload.as_bytes()))
        }
        _ => (PayloadEncoding::JsonLine, line.clone()),
    };
    Ok(Item {
        record_type: parsed.record_type,
        event: parsed.head.event,
        turn_id: parsed.head.turn_id,
        time: Some(parsed.time),
        encoding,
        body,
    })
}

/// Appends the line of `record` to `out`, without a newline: the line it was read from, byte for
/// byte, or the canonical line around its payload.
///
/// # Errors
/// [`CodecError::NotARecordLine`] for a whole line that holds a newline,
/// [`CodecError::BadRecordType`] for a type out of bounds, and [`CodecError::NotJson`] for one that
/// JSON can't spell. Nothing is written then.
pub fn render_line(record: &Record, out: &mut Vec<u8>) -> Result<(), CodecError> {
    if record.encoding == PayloadEncoding::JsonLine {
        if memchr::memchr(b'\n', &record.body).is_some() {
            return Err(not_a_record("it is more than one line"));
        }
        out.extend_from_slice(&record.body);
        return Ok(());
    }
    RecordType::check_name(record.record_type.as_str())?;
    let name = serde_json::to_string(record.record_type.as_str()).map_err(|error| {
        CodecError::NotJson {
            why: error.to_string(),
        }
    })?;
    out.reserve(record.body.len() + name.len() + 80);
    out.extend_from_slice(b"{\"timestamp\":\"");
    out.extend_from_slice(record.time.to_line_text().as_bytes());
    out.extend_from_slice(b"\"");
    if record.encoding == PayloadEncoding::JsonWithOrdinal {
        out.extend_from_slice(b",\"ordinal\":");
        out.extend_from_slice(record.ordinal.to_string().as_bytes());
    }
    out.extend_from_slice(b",\"type\":");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b",\"payload\":");
    if record.encoding == PayloadEncoding::Binary {
        out.extend_from_slice(base64_text(&record.body).as_bytes());
    } else {
        out.extend_from_slice(&on_one_line(&record.body));
    }
    out.push(b'}');
    Ok(())
}
