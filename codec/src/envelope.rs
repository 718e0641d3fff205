//! The envelope of a frame: what is known of a record besides its payload.
//!
//! This is the only place that knows bincode. What must hold: version 1 never changes its bytes
//! (the golden files keep it so); a later shape is a later version byte with a struct of its own.

use bincode::{BorrowDecode, Encode, config};
use uuid::Uuid;

use crate::record::MAX_RECORD_TYPE_BYTES;
use crate::{
    BatchPosition, ByteLength, CodecError, EventClass, Ordinal, PayloadEncoding, Record,
    RecordType, TurnId, UtcMicros,
};

/// The version byte that every envelope begins with.
const VERSION: u8 = 1;

/// No envelope is longer: two names at their limits and seven small fields fit well within.
pub(crate) const MAX_ENVELOPE_BYTES: usize = 512;

/// No envelope is shorter: the version byte and eight fields of at least a byte each.
pub(crate) const MIN_ENVELOPE_BYTES: usize = 9;

/// The longest turn id, in bytes: an id is a name, not content.
pub const MAX_TURN_ID_BYTES: usize = 256;

/// Version, ordinal, time, type, event, turn, index, end of batch, encoding, at their longest.
const LONGEST: usize =
    1 + 9 + 9 + (4 + MAX_RECORD_TYPE_BYTES) + 1 + (4 + MAX_TURN_ID_BYTES) + 5 + 1 + 1;
const _: () = assert!(LONGEST <= MAX_ENVELOPE_BYTES);

/// The limit bounds what a hostile length inside an envelope can claim.
type Config =
    config::Configuration<config::LittleEndian, config::Varint, config::Limit<MAX_ENVELOPE_BYTES>>;

const fn configuration() -> Config {
    config::standard().with_limit::<MAX_ENVELOPE_BYTES>()
}

/// Version 1, field by field as it lies on disk.
#[derive(Encode, BorrowDecode)]
struct EnvelopeV1<'a> {
    ordinal: u64,
    micros: i64,
    record_type: TypeV1<'a>,
    /// A plain code and no enum, so that a class of a later build reads as `Other`.
    event: u8,
    turn: TurnV1<'a>,
    batch_index: u32,
    is_last: bool,
    encoding: EncodingV1,
}

/// The order is the code on disk. A type that a later build learns to know stays `Named`, so that
/// this build still reads it.
#[derive(Encode, BorrowDecode)]
enum TypeV1<'a> {
    Named(&'a str),
    SessionMeta,
    ResponseItem,
    EventMsg,
    TurnContext,
    Compacted,
    WorldState,
    MetadataPatch,
}

#[derive(Encode, BorrowDecode)]
enum TurnV1<'a> {
    None,
    Uuid([u8; 16]),
    Text(&'a str),
}

#[derive(Encode, BorrowDecode)]
enum EncodingV1 {
    Json,
    JsonWithOrdinal,
    JsonLine,
    Binary,
}

const NO_EVENT: u8 = 0;

const fn event_code(event: Option<EventClass>) -> u8 {
    match event {
        None => NO_EVENT,
        Some(EventClass::Other) => 1,
        Some(EventClass::UserMessage) => 2,
        Some(EventClass::AgentMessage) => 3,
        Some(EventClass::TurnStarted) => 4,
        Some(EventClass::TurnCompleted) => 5,
        Some(EventClass::TurnAborted) => 6,
        Some(EventClass::TurnFailed) => 7,
        Some(EventClass::TokenCount) => 8,
        Some(EventClass::RolledBack) => 9,
        Some(EventClass::NameUpdated) => 10,
        Some(EventClass::ItemCompleted) => 11,
    }
}

const fn event_of_code(code: u8) -> Option<EventClass> {
    Some(match code {
        NO_EVENT => return None,
        2 => EventClass::UserMessage,
        3 => EventClass::AgentMessage,
        4 => EventClass::TurnStarted,
        5 => EventClass::TurnCompleted,
        6 => EventClass::TurnAborted,
        7 => EventClass::TurnFailed,
        8 => EventClass::TokenCount,
        9 => EventClass::RolledBack,
        10 => EventClass::NameUpdated,
        11 => EventClass::ItemCompleted,
        _ => EventClass::Other,
    })
}

fn type_to_v1(record_type: &RecordType) -> Result<TypeV1<'_>, CodecError> {
    Ok(match record_type {
        RecordType::SessionMeta => TypeV1::SessionMeta,
        RecordType::ResponseItem => TypeV1::ResponseItem,
        RecordType::EventMsg => TypeV1::EventMsg,
        RecordType::TurnContext => TypeV1::TurnContext,
        RecordType::Compacted => TypeV1::Compacted,
        RecordType::WorldState => TypeV1::WorldState,
        RecordType::MetadataPatch => TypeV1::MetadataPatch,
        RecordType::Other(name) => {
            RecordType::check_name(name)?;
            TypeV1::Named(name)
        }
    })
}

fn type_from_v1(record_type: &TypeV1<'_>) -> Result<RecordType, CodecError> {
    Ok(match record_type {
        TypeV1::Named(name) => return RecordType::from_name(name),
        TypeV1::SessionMeta => RecordType::SessionMeta,
        TypeV1::ResponseItem => RecordType::ResponseItem,
        TypeV1::EventMsg => RecordType::EventMsg,
        TypeV1::TurnContext => RecordType::TurnContext,
        TypeV1::Compacted => RecordType::Compacted,
        TypeV1::WorldState => RecordType::WorldState,
        TypeV1::MetadataPatch => RecordType::MetadataPatch,
    })
}

fn turn_to_v1(turn_id: Option<&TurnId>) -> Result<TurnV1<'_>, CodecError> {
    Ok(match turn_id {
        None => TurnV1::None,
        Some(TurnId::Uuid(uuid)) => TurnV1::Uuid(*uuid.as_bytes()),
        Some(TurnId::Text(text)) => {
            check_turn_id(text)?;
            TurnV1::Text(text)
        }
    })
}

fn check_turn_id(text: &str) -> Result<(), CodecError> {
    if text.len() > MAX_TURN_ID_BYTES {
        return Err(CodecError::BadTurnId {
            length: text.len(),
            limit: MAX_TURN_ID_BYTES,
        });
    }
    Ok(())
}

fn turn_from_v1(turn: &TurnV1<'_>) -> Result<Option<TurnId>, CodecError> {
    Ok(match turn {
        TurnV1::None => None,
        TurnV1::Uuid(bytes) => Some(TurnId::Uuid(Uuid::from_bytes(*bytes))),
        TurnV1::Text(text) => {
            check_turn_id(text)?;
            Some(TurnId::Text((*text).into()))
        }
    })
}

fn refused(why: &impl std::fmt::Display) -> CodecError {
    CodecError::Envelope {
        why: why.to_string(),
    }
}

/// An encoded envelope, on the stack until its frame is written.
pub(crate) struct EncodedEnvelope {
    bytes: [u8; MAX_ENVELOPE_BYTES],
    length: usize,
}

impl EncodedEnvelope {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Encodes the envelope of `record`.
pub(crate) fn encode(record: &Record) -> Result<EncodedEnvelope, CodecError> {
    let envelope = EnvelopeV1 {
        ordinal: record.ordinal.get(),
        micros: record.time.get(),
        record_type: type_to_v1(&record.record_type)?,
        event: event_code(record.event),
        turn: turn_to_v1(record.turn_id.as_ref())?,
        batch_index: record.batch.index,
        is_last: record.batch.is_last,
        encoding: match record.encoding {
            PayloadEncoding::Json => EncodingV1::Json,
            PayloadEncoding::JsonWithOrdinal => EncodingV1::JsonWithOrdinal,
            PayloadEncoding::JsonLine => EncodingV1::JsonLine,
            PayloadEncoding::Binary => EncodingV1::Binary,
        },
    };
    let mut bytes = [0; MAX_ENVELOPE_BYTES];
    let length = bincode::encode_into_slice((VERSION, envelope), &mut bytes, configuration())
        .map_err(|error| refused(&error))?;
    Ok(EncodedEnvelope { bytes, length })
}

/// A decoded envelope, and how many bytes it took.
pub(crate) struct DecodedEnvelope {
    pub(crate) ordinal: Ordinal,
    pub(crate) time: UtcMicros,
    pub(crate) record_type: RecordType,
    pub(crate) event: Option<EventClass>,
    pub(crate) turn_id: Option<TurnId>,
    pub(crate) batch: BatchPosition,
    pub(crate) encoding: PayloadEncoding,
    pub(crate) length: ByteLength,
}

/// Decodes the envelope that `bytes` begins with; the payload follows it.
pub(crate) fn decode(bytes: &[u8]) -> Result<DecodedEnvelope, CodecError> {
    let (version, rest) = bytes
        .split_first()
        .ok_or_else(|| refused(&"there is none"))?;
    if *version != VERSION {
        return Err(refused(&format_args!("its version is {version}")));
    }
    let (envelope, taken): (EnvelopeV1<'_>, usize) =
        bincode::borrow_decode_from_slice(rest, configuration())
            .map_err(|error| refused(&error))?;
    Ok(DecodedEnvelope {
        ordinal: Ordinal::new(envelope.ordinal),
        time: UtcMicros::new(envelope.micros),
        record_type: type_from_v1(&envelope.record_type)?,
        event: event_of_code(envelope.event),
        turn_id: turn_from_v1(&envelope.turn)?,
        batch: BatchPosition {
            index: envelope.batch_index,
            is_last: envelope.is_last,
        },
        encoding: match envelope.encoding {
            EncodingV1::Json => PayloadEncoding::Json,
            EncodingV1::JsonWithOrdinal => PayloadEncoding::JsonWithOrdinal,
            EncodingV1::JsonLine => PayloadEncoding::JsonLine,
            EncodingV1::Binary => PayloadEncoding::Binary,
        },
        length: ByteLength::new(taken as u64 + 1),
    })
}
