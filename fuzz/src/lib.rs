//! What the fuzz targets share.

pub mod bench;
pub mod envelope;

/// The frame of these bytes in the segment with this header, as FORMAT.md says.
#[must_use]
pub fn frame_around(header: &[u8], inner: &[u8]) -> Vec<u8> {
    let length = u32::try_from(inner.len())
        .expect("inputs are short")
        .to_le_bytes();
    let mut checksum = crc32fast::Hasher::new();
    for part in [&header[44..48], &length, inner] {
        checksum.update(part);
    }
    let checksum = checksum.finalize().to_le_bytes();
    [&length, &checksum, inner, &length].concat()
}
