//! Where a page of occurrences ended, as a text that a client keeps.
//!
//! 46 bytes in hexadecimal: version and kind (2), thread id (16), fingerprint of the term (8),
//! ordinal (8), place in the record's text in UTF-16 code units (8), crc32 of all of these (4);
//! numbers big-endian. Nothing in it depends on the process or build that made it.

use selvedge_codec::{Ordinal, ThreadId};

use crate::listing::{Fnv, from_hex, to_hex};
use crate::needle::fold;
use crate::{InvalidRequest, Result};

/// The version, and that it is a cursor of occurrences.
const HEAD: [u8; 2] = [1, b'o'];
const CHECKED_BYTES: usize = 2 + 16 + 8 + 8 + 8;
const BYTES: usize = CHECKED_BYTES + 4;

/// A place of an occurrence. The next page begins with the first one beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OccurrenceCursor {
    pub(crate) ordinal: Ordinal,
    /// Where it begins in the record's text.
    pub(crate) utf16: u64,
}

impl OccurrenceCursor {
    pub(crate) fn encode(self, thread_id: ThreadId, term: &str) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend(HEAD);
        bytes.extend(thread_id.as_bytes());
        bytes.extend(fingerprint(term).to_be_bytes());
        bytes.extend(self.ordinal.get().to_be_bytes());
        bytes.extend(self.utf16.to_be_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        to_hex(&bytes)
    }

    pub(crate) fn decode(text: &str, thread_id: ThreadId, term: &str) -> Result<Self> {
        let bytes = from_hex::<BYTES>(text).ok_or(InvalidRequest::BadCursor)?;
        let parts = Parts::of(&bytes).ok_or(InvalidRequest::BadCursor)?;
        if parts.thread_id != thread_id {
            return Err(InvalidRequest::CursorOfAnotherThread.into());
        }
        if parts.fingerprint != fingerprint(term) {
            return Err(InvalidRequest::CursorOfAnotherQuery.into());
        }
        Ok(parts.cursor)
    }
}

struct Parts {
    thread_id: ThreadId,
    fingerprint: u64,
    cursor: OccurrenceCursor,
}

impl Parts {
    fn of(bytes: &[u8; BYTES]) -> Option<Self> {
        let (checked, crc) = bytes.split_first_chunk::<CHECKED_BYTES>()?;
        if crc32fast::hash(checked).to_be_bytes() != crc {
            return None;
        }
        let (head, rest) = checked.split_first_chunk()?;
        let (id, rest) = rest.split_first_chunk()?;
        let (fingerprint, rest) = rest.split_first_chunk()?;
        let (ordinal, rest) = rest.split_first_chunk()?;
        let (utf16, rest) = rest.split_first_chunk()?;
        (*head == HEAD && rest.is_empty()).then(|| Self {
            thread_id: ThreadId::from_bytes(*id),
            fingerprint: u64::from_be_bytes(*fingerprint),
            cursor: OccurrenceCursor {
                ordinal: Ordinal::new(u64::from_be_bytes(*ordinal)),
                utf16: u64::from_be_bytes(*utf16),
            },
        })
    }
}

fn fingerprint(term: &str) -> u64 {
    let mut hash = Fnv::new();
    hash.add(fold(term).as_bytes());
    hash.get()
}
