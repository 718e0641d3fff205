//! Compressed logs: zstd, one or more frames.

use std::io::{self, Read, Write};

use zstd::stream::read::Decoder;
use zstd::stream::write::Encoder;

use crate::{ByteLength, CodecError};

/// The most that a compressed log may decompress to: readers hold it whole.
pub const MAX_DECOMPRESSED_BYTES: u64 = 2 << 30;

/// How many times its own length a compressed log may decompress to, beyond
/// [`ALWAYS_DECOMPRESSED_BYTES`]. Logs of agents come to 5 to 30 times; zeros would come to some
/// 30,000 times. So what a file makes a reader allocate is in proportion to what it takes on disk.
pub const MAX_COMPRESSION_RATIO: u64 = 256;

/// What any compressed log may decompress to, however small it is.
pub const ALWAYS_DECOMPRESSED_BYTES: u64 = 16 << 20;

/// How much is decompressed at once.
const CHUNK_BYTES: usize = 1 << 16;

/// How hard is tried to make a log small: zstd's own default.
const LEVEL: i32 = 3;

/// Compresses what `write` writes into one zstd frame with a checksum.
///
/// # Errors
/// What `write` fails with; zstd itself fails without memory alone.
pub fn compress(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut encoder = Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    write(&mut encoder)?;
    encoder.finish()
}

/// Decompresses the zstd frames of `bytes`.
///
/// # Errors
/// [`CodecError::Compressed`] for damage or too little memory, and
/// [`CodecError::DecompressedTooLarge`] beyond [`MAX_DECOMPRESSED_BYTES`] or
/// `MAX_COMPRESSION_RATIO`.
pub fn decompress(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    match decompress_prefix(bytes) {
        (decompressed, None) => Ok(decompressed),
        (_, Some(error)) => Err(error),
    }
}

/// Like [`decompress`], and keeps what was decompressed before the damage.
#[must_use]
pub fn decompress_prefix(bytes: &[u8]) -> (Vec<u8>, Option<CodecError>) {
    decompress_bounded(bytes, limit_for(bytes.len() as u64))
}

/// The most that so many compressed bytes may decompress to.
fn limit_for(length: u64) -> u64 {
    length
        .saturating_mul(MAX_COMPRESSION_RATIO)
        .clamp(ALWAYS_DECOMPRESSED_BYTES, MAX_DECOMPRESSED_BYTES)
}

fn decompress_bounded(bytes: &[u8], limit: u64) -> (Vec<u8>, Option<CodecError>) {
    let mut out = Vec::new();
    let why = fill(bytes, limit, &mut out).err();
    (out, why)
}

fn fill(bytes: &[u8], limit: u64, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let damaged = |error: io::Error| CodecError::Compressed {
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
        // An allocation that fails otherwise ends the process.
        out.try_reserve(length)
            .map_err(|error| damaged(error.into()))?;
        out.extend_from_slice(chunk.get(..length).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(text: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(text, 3).unwrap()
    }

    /// A text that does not compress to nothing.
    fn text() -> Vec<u8> {
        (0_u32..100_000)
            .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect()
    }

    #[test]
    fn what_was_compressed_is_decompressed() {
        assert_eq!(decompress(&compressed(&text())), Ok(text()));
        assert_eq!(decompress(&compressed(b"")), Ok(Vec::new()));
    }

    #[test]
    fn pieces_are_compressed_to_one_text() {
        let text = text();
        let write =
            |out: &mut dyn Write| text.chunks(777).try_for_each(|piece| out.write_all(piece));
        assert_eq!(decompress(&compress(write).unwrap()), Ok(text.clone()));
        assert_eq!(decompress(&compress(|_| Ok(())).unwrap()), Ok(Vec::new()));
        let full = compress(|_| Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn no_bytes_are_no_frame() {
        assert!(matches!(
            decompress(b""),
            Err(CodecError::Compressed { .. })
        ));
    }

    #[test]
    fn frames_that_follow_each_other_are_one_text() {
        let frames = [compressed(b"one\n"), compressed(b""), compressed(b"two\n")].concat();
        assert_eq!(decompress(&frames), Ok(b"one\ntwo\n".to_vec()));
    }

    #[test]
    fn what_comes_before_the_damage_is_kept() {
        let first = compressed(b"one\n");
        let second = compressed(&text());
        let frames = [first.clone(), second.clone()].concat();
        for length in first.len() + 1..frames.len() {
            // Every length takes minutes, and tells no more.
            if length > first.len() + 20 && length + 20 < frames.len() && length % 9973 != 0 {
                continue;
            }
            let cut = &frames[..length];
            assert!(matches!(
                decompress(cut),
                Err(CodecError::Compressed { .. })
            ));
            let (prefix, why) = decompress_prefix(cut);
            assert!(matches!(why, Some(CodecError::Compressed { .. })));
            assert!(prefix.starts_with(b"one\n"));
            assert!(text().starts_with(&prefix[4..]));
        }
        let garbage = [&first[..], b"no frame"].concat();
        let (prefix, why) = decompress_prefix(&garbage);
        assert_eq!(prefix, b"one\n");
        assert!(matches!(why, Some(CodecError::Compressed { .. })));
    }

    /// 64 KiB of a hostile home were 2 GiB in memory, for each of as many logs as there are cores.
    #[test]
    fn a_small_file_decompresses_to_no_more_than_its_length_allows() {
        let bomb = compressed(&vec![0; 20 << 20]);
        let (prefix, why) = decompress_prefix(&bomb);
        assert!(prefix.len() as u64 <= ALWAYS_DECOMPRESSED_BYTES);
        let limit = ByteLength::new(ALWAYS_DECOMPRESSED_BYTES);
        assert_eq!(why, Some(CodecError::DecompressedTooLarge { limit }));
        for (length, limit) in [
            (0, ALWAYS_DECOMPRESSED_BYTES),
            (1 << 20, 256 << 20),
            (1 << 30, MAX_DECOMPRESSED_BYTES),
            (u64::MAX, MAX_DECOMPRESSED_BYTES),
        ] {
            assert_eq!(limit_for(length), limit);
        }
    }

    #[test]
    fn no_more_is_decompressed_than_allowed() {
        let bomb = compressed(&vec![0; 10 << 20]);
        let (prefix, why) = decompress_bounded(&bomb, 1 << 20);
        assert!(prefix.len() <= 1 << 20);
        assert_eq!(
            why,
            Some(CodecError::DecompressedTooLarge {
                limit: ByteLength::new(1 << 20)
            })
        );
        assert_eq!(decompress_bounded(&bomb, 10 << 20).1, None);
    }
}
