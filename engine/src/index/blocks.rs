//! How the index's bytes lie in its file: in blocks, each under a checksum.
//!
//! **No byte of the index is believed before its block's checksum was compared.** redb checks its
//! own pages only when it repairs a file, so that a flipped bit in a branch page would hide rows
//! without a word. Here a block that was flipped, zeroed, cut or moved is noticed by the read that
//! meets it, and the index is made again from the logs.
//!
//! ```text
//! block 0   the database's header (320 bytes) | crc32 | nothing up to BLOCK_BYTES
//! block n   one page of 4096 bytes            | crc32
//! ```
//!
//! The crc32 begins with the block's number, so that a block in another's place does not pass. The
//! header and its checksum lie in the first sector, which the medium writes whole or not at all;
//! a page that is half written is not referred to by any header yet.

use std::io;

use selvedge_codec::{ByteLength, ByteOffset};

/// A page of redb.
const PAGE_BYTES: usize = 4096;
const CHECKSUM_BYTES: usize = 4;
const BLOCK_BYTES: usize = PAGE_BYTES + CHECKSUM_BYTES;
/// What redb reads and writes of its first page.
const HEADER_BYTES: usize = 320;

/// Where a request of redb's lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Where its first block begins in the file.
    pub(super) start: ByteOffset,
    /// The first block's number.
    first_block: u64,
    /// How many blocks.
    blocks: usize,
    /// How many bytes of each are checked data.
    data_bytes: usize,
}

/// redb asks for what no page can be: it was led there by damaged bytes.
pub(super) fn impossible() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "a place that no page of the index can have",
    )
}

fn damaged(block: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("block {block} does not match its checksum"),
    )
}

impl Extent {
    /// The extent of `len` bytes at redb's `offset`. Of the header less than the whole may be
    /// read.
    pub(super) fn of(offset: u64, len: usize) -> io::Result<Self> {
        if offset == 0 && len <= HEADER_BYTES {
            return Ok(Self {
                start: ByteOffset::ZERO,
                first_block: 0,
                blocks: 1,
                data_bytes: HEADER_BYTES,
            });
        }
        let page = PAGE_BYTES as u64;
        if offset == 0 || !offset.is_multiple_of(page) || !len.is_multiple_of(PAGE_BYTES) {
            return Err(impossible());
        }
        let first_block = offset / page;
        let start = first_block
            .checked_mul(BLOCK_BYTES as u64)
            .ok_or_else(impossible)?;
        Ok(Self {
            start: ByteOffset::new(start),
            first_block,
            blocks: len / PAGE_BYTES,
            data_bytes: PAGE_BYTES,
        })
    }

    /// How many bytes of the file it takes.
    pub(super) const fn file_bytes(&self) -> usize {
        self.blocks * (self.data_bytes + CHECKSUM_BYTES)
    }

    /// Checks the extent's bytes as they were read from the file, and gives their data.
    pub(super) fn open(&self, raw: &[u8], out: &mut [u8]) -> io::Result<()> {
        if raw.len() < self.file_bytes() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let blocks = raw.chunks_exact(self.data_bytes + CHECKSUM_BYTES);
        let parts = out.chunks_mut(self.data_bytes);
        for (number, (block, part)) in (self.first_block..).zip(blocks.zip(parts)) {
            let (data, stored) = block.split_at(self.data_bytes);
            if stored != checksum(number, data) {
                return Err(damaged(number));
            }
            // Only the header is ever read in part.
            part.copy_from_slice(data.get(..part.len()).ok_or_else(impossible)?);
        }
        Ok(())
    }

    /// The bytes to write to the file for `data`.
    pub(super) fn seal(&self, data: &[u8]) -> io::Result<Vec<u8>> {
        if data.len() != self.blocks * self.data_bytes {
            return Err(impossible());
        }
        let mut raw = Vec::with_capacity(self.file_bytes());
        for (number, part) in (self.first_block..).zip(data.chunks_exact(self.data_bytes)) {
            raw.extend_from_slice(part);
            raw.extend_from_slice(&checksum(number, part));
        }
        Ok(raw)
    }
}

fn checksum(block: u64, data: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&block.to_le_bytes());
    hasher.update(data);
    hasher.finalize().to_le_bytes()
}

/// The length that redb sees of a file; a cut block at its end is none. An empty file is a new
/// database, but one with less than a block is not: it is something else's, or what is left.
pub(super) fn database_length(file: ByteLength) -> io::Result<u64> {
    let blocks = file.get() / BLOCK_BYTES as u64;
    if blocks == 0 && file != ByteLength::ZERO {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(blocks.saturating_mul(PAGE_BYTES as u64))
}

/// The length of the file that redb sees as `database` bytes.
pub(super) fn file_length(database: u64) -> io::Result<ByteLength> {
    if !database.is_multiple_of(PAGE_BYTES as u64) {
        return Err(impossible());
    }
    (database / PAGE_BYTES as u64)
        .checked_mul(BLOCK_BYTES as u64)
        .map(ByteLength::new)
        .ok_or_else(impossible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_again() {
        for (offset, len) in [(0, HEADER_BYTES), (4096, 4096), (3 * 4096, 4 * 4096)] {
            let data: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let extent = Extent::of(offset, len).unwrap();
            let raw = extent.seal(&data).unwrap();
            assert_eq!(raw.len(), extent.file_bytes());
            let mut out = vec![0; len];
            extent.open(&raw, &mut out).unwrap();
            assert_eq!(out, data);
        }
    }

    #[test]
    fn part_of_the_header_is_read_under_the_whole_header_s_checksum() {
        let whole = Extent::of(0, HEADER_BYTES).unwrap();
        let mut raw = whole.seal(&[7; HEADER_BYTES]).unwrap();
        let mut magic = [0; 9];
        let part = Extent::of(0, magic.len()).unwrap();
        part.open(&raw, &mut magic).unwrap();
        assert_eq!(magic, [7; 9]);
        raw[300] ^= 1;
        assert!(part.open(&raw, &mut magic).is_err());
    }

    #[test]
    fn a_flipped_moved_or_zeroed_block_does_not_open() {
        let extent = Extent::of(2 * 4096, 4096).unwrap();
        let raw = extent.seal(&[1; 4096]).unwrap();
        let mut out = vec![0; 4096];
        for at in [0, 17, 4095, 4096, 4099] {
            let mut flipped = raw.clone();
            flipped[at] ^= 0x10;
            assert!(extent.open(&flipped, &mut out).is_err(), "byte {at}");
        }
        assert!(
            Extent::of(3 * 4096, 4096)
                .unwrap()
                .open(&raw, &mut out)
                .is_err()
        );
        assert!(extent.open(&vec![0; raw.len()], &mut out).is_err());
        assert!(extent.open(&raw[..raw.len() - 1], &mut out).is_err());
    }

    #[test]
    fn lengths_count_whole_blocks() {
        assert_eq!(file_length(2 * 4096).unwrap(), ByteLength::new(2 * 4100));
        assert!(file_length(4095).is_err());
        let seen = |len| database_length(ByteLength::new(len)).ok();
        assert_eq!(seen(2 * 4100), Some(2 * 4096));
        assert_eq!(seen(2 * 4100 - 1), Some(4096));
        assert_eq!((seen(0), seen(1)), (Some(0), None));
    }
}
