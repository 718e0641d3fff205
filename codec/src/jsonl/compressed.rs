//! Compressed logs: zstd, one or more frames.

use std::io::Read;

use zstd::stream::read::Decoder;

use crate::{ByteLength, CodecError};

/// The most that a compressed log may decompress to: it bounds what a small hostile file can
/// make a reader allocate.
pub const MAX_DECOMPRESSED_BYTES: u64 = 2 << 30;

/// How much is decompressed at once.
const CHUNK_BYTES: usize = 1 << 16;

/// Decompresses the zstd frames of `bytes`.
///
/// # Errors
/// [`CodecError::Compressed`] for damage and [`CodecError::DecompressedTooLarge`] beyond
/// [`MAX_DECOMPRESSED_BYTES`].
pub fn decompress(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    match decompress_prefix(bytes) {
        (decompressed, None) => Ok(decompressed),
        (_, Some(error)) => Err(error),
    }
}

/// Like [`decompress`], and keeps what was decompressed before the damage.
#[must_use]
pub fn decompress_prefix(bytes: &[u8]) -> (Vec<u8>, Option<CodecError>) {
    decompress_bounded(bytes, MAX_DECOMPRESSED_BYTES)
}

fn decompress_bounded(bytes: &[u8], limit: u64) -> (Vec<u8>, Option<CodecError>) {
    let mut out = Vec::new();
    let why = fill(bytes, limit, &mut out).err();
    (out, why)
}

fn fill(bytes: &[u8], limit: u64, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let damaged = |error: std::io::Error| CodecError::Compressed {
        why: error.to_string(),
    };
    let mut decoder = Decoder::with_buffer(bytes).map_err(damaged)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = decoder.read(&mut chunk).map_err(damaged)?;
        if length == 0 {
            return Ok(());
        }
        if out.len() as u64 + length as u64 > limit {
            return Err(CodecError::DecompressedTooLarge {
                limit: ByteLength::new(limit),
            });
        }
        out.extend_from_slice(chunk.get(..length).unwrap_or_default());
    }
}
