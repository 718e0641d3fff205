//! Native segments (being written).
use crate::CodecError;
pub(crate) fn check_body_length(_length: usize) -> Result<(), CodecError> {
    Ok(())
}
