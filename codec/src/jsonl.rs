//! JSON lines (being written).
use crate::{CodecError, Item};
use bytes::Bytes;
use serde_json::value::RawValue;
pub(crate) fn payload_of_line(_line: &[u8]) -> Result<&RawValue, CodecError> {
    Err(CodecError::EmptyBatch)
}
pub(crate) fn base64_json(_bytes: &[u8]) -> Result<Box<RawValue>, CodecError> {
    Err(CodecError::EmptyBatch)
}
pub(crate) fn item_from_json(_record_type: &str, _payload: Bytes) -> Result<Item, CodecError> {
    Err(CodecError::EmptyBatch)
}
