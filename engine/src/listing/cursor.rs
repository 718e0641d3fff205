//! Where a page ended, as a text that a client keeps.
//!
//! 37 bytes in hexadecimal: version (1), fingerprint of the query's order and filter (8), time (8),
//! thread id (16), crc32 of all of these (4); numbers big-endian. A client may keep a cursor for
//! as long as it likes, so that nothing in it depends on the process or build that made it.

use selvedge_codec::{ThreadId, UtcMicros};

use super::filter::normalize_cwd;
use super::{ListQuery, SortKey};
use crate::needle::fold;
use crate::{InvalidRequest, Result};

const VERSION: u8 = 1;
const CHECKED_BYTES: usize = 1 + 8 + 8 + 16;
const BYTES: usize = CHECKED_BYTES + 4;

/// A place in an order: at the thread with this key. The thread itself is never part of the page
/// that goes on from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The time that the order goes by.
    pub time: UtcMicros,
    /// The thread: equal times are ordered by it.
    pub thread_id: ThreadId,
}

impl Cursor {
    /// The cursor as text, bound to the query's order and filter (not to its direction).
    #[must_use]
    pub fn encode(&self, query: &ListQuery) -> String {
        self.encode_for(fingerprint(query))
    }

    /// The same, bound to what the caller says.
    pub(crate) fn encode_for(&self, fingerprint: u64) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(VERSION);
        bytes.extend(fingerprint.to_be_bytes());
        bytes.extend(self.time.get().to_be_bytes());
        bytes.extend(self.thread_id.as_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        to_hex(&bytes)
    }

    /// Reads a cursor back.
    ///
    /// # Errors
    /// [`InvalidRequest::BadCursor`] for a text that is none, and
    /// [`InvalidRequest::CursorOfAnotherQuery`] for one of another order or filter.
    pub fn decode(text: &str, query: &ListQuery) -> Result<Self> {
        Self::decode_for(text, fingerprint(query))
    }

    /// Reads a cursor back that is bound to what the caller says.
    pub(crate) fn decode_for(text: &str, fingerprint: u64) -> Result<Self> {
        let bytes = from_hex::<BYTES>(text).ok_or(InvalidRequest::BadCursor)?;
        let parts = Parts::of(&bytes).ok_or(InvalidRequest::BadCursor)?;
        if parts.fingerprint != fingerprint {
            return Err(InvalidRequest::CursorOfAnotherQuery.into());
        }
        Ok(parts.cursor)
    }
}

struct Parts {
    fingerprint: u64,
    cursor: Cursor,
}

impl Parts {
    fn of(bytes: &[u8; BYTES]) -> Option<Self> {
        let (checked, crc) = bytes.split_first_chunk::<CHECKED_BYTES>()?;
        if crc32fast::hash(checked).to_be_bytes() != crc {
            return None;
        }
        let (version, rest) = checked.split_first()?;
        let (fingerprint, rest) = rest.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (id, rest) = rest.split_first_chunk()?;
        (*version == VERSION && rest.is_empty()).then(|| Self {
            fingerprint: u64::from_be_bytes(*fingerprint),
            cursor: Cursor {
                time: UtcMicros::new(i64::from_be_bytes(*time)),
                thread_id: ThreadId::from_bytes(*id),
            },
        })
    }
}

/// Bytes as text.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a text that [`to_hex`] made.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(bytes)
}

/// What a cursor is bound to: the order, and the filter in one of its equivalent spellings.
pub(crate) fn fingerprint(query: &ListQuery) -> u64 {
    let filter = &query.filter;
    let mut hash = Fnv::new();
    hash.add(&[
        match query.sort {
            SortKey::Created => 0,
            SortKey::Updated => 1,
            SortKey::Recency => 2,
        },
        u8::from(filter.archived),
        u8::from(filter.include_empty),
    ]);
    hash.add_set(filter.cwds.iter().map(|cwd| normalize_cwd(cwd)));
    hash.add_set(filter.providers.iter().map(String::as_str));
    hash.add_set(filter.sources.iter().map(String::as_str));
    for id in [filter.parent, filter.ancestor] {
        hash.add(id.as_ref().map_or(&[][..], |id| id.as_bytes()));
    }
    // An empty term restricts nothing, as none does.
    hash.add(fold(filter.search.as_deref().unwrap_or_default()).as_bytes());
    // What came later changes no cursor of a query that does not ask for it.
    if filter.top_level_only {
        hash.add(b"top level");
    }
    hash.get()
}

/// FNV-1a: the standard library's hashes may change with its version.
pub(crate) struct Fnv(u64);

impl Fnv {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) const fn get(&self) -> u64 {
        self.0
    }

    fn add_raw(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The length goes first, so that no two lists of texts run into the same bytes.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.add_raw(&(bytes.len() as u64).to_be_bytes());
        self.add_raw(bytes);
    }

    fn add_set<T: AsRef<str> + Ord>(&mut self, texts: impl Iterator<Item = T>) {
        let mut texts: Vec<T> = texts.collect();
        texts.sort_unstable();
        texts.dedup();
        self.add_raw(&(texts.len() as u64).to_be_bytes());
        for text in texts {
            self.add(text.as_ref().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::listing::{Direction, ThreadFilter};

    fn cursor() -> Cursor {
        Cursor {
            time: UtcMicros::new(-1_234_567),
            thread_id: "019c7a54-be6b-7e31-86dd-b589bd944286".parse().unwrap(),
        }
    }

    fn query(change: impl FnOnce(&mut ListQuery)) -> ListQuery {
        let mut query = ListQuery::default();
        change(&mut query);
        query
    }

    #[test]
    fn a_cursor_is_read_back_whatever_the_direction() {
        let text = cursor().encode(&ListQuery::default());
        for direction in [Direction::Ascending, Direction::Descending] {
            let query = query(|q| q.direction = direction);
            assert_eq!(Cursor::decode(&text, &query).unwrap(), cursor());
        }
    }

    #[test]
    fn equivalent_filters_share_their_cursors() {
        let one = query(|q| {
            q.filter.cwds = vec!["/b/".into(), "/a".into()];
            q.filter.search = Some("ÄB".into());
        });
        let other = query(|q| {
            q.filter.cwds = vec!["/a//".into(), "/b".into(), "/b".into()];
            q.filter.search = Some("äb".into());
        });
        assert!(Cursor::decode(&cursor().encode(&one), &other).is_ok());
    }

    #[test]
    fn a_cursor_of_another_order_or_filter_is_refused() {
        let text = cursor().encode(&ListQuery::default());
        let id = Some(cursor().thread_id);
        let filters: [ThreadFilter; 9] = [
            ThreadFilter {
                archived: true,
                ..Default::default()
            },
            ThreadFilter {
                include_empty: true,
                ..Default::default()
            },
            ThreadFilter {
                top_level_only: true,
                ..Default::default()
            },
            ThreadFilter {
                cwds: vec!["/a".into()],
                ..Default::default()
            },
            ThreadFilter {
                providers: vec!["/a".into()],
                ..Default::default()
            },
            ThreadFilter {
                sources: vec!["/a".into()],
                ..Default::default()
            },
            ThreadFilter {
                parent: id,
                ..Default::default()
            },
            ThreadFilter {
                ancestor: id,
                ..Default::default()
            },
            ThreadFilter {
                search: Some("/a".into()),
                ..Default::default()
            },
        ];
        let mut others: Vec<ListQuery> = filters
            .into_iter()
            .map(|filter| query(|q| q.filter = filter))
            .collect();
        others.push(query(|q| q.sort = SortKey::Updated));
        others.push(query(|q| q.sort = SortKey::Recency));
        let prints: std::collections::HashSet<u64> = others.iter().map(fingerprint).collect();
        assert_eq!(prints.len(), others.len());
        for other in &others {
            let refused = Cursor::decode(&text, other);
            assert!(matches!(
                refused,
                Err(Error::InvalidRequest(InvalidRequest::CursorOfAnotherQuery))
            ));
        }
    }

    #[test]
    fn garbage_is_no_cursor() {
        let query = ListQuery::default();
        let good = cursor().encode(&query);
        let mut bad: Vec<String> = ["", "0", "zz", "ä", "\u{1F9F5}"].map(String::from).to_vec();
        bad.push(good[..good.len() - 2].to_owned());
        bad.push(format!("{good}00"));
        bad.push("+".repeat(good.len()));
        for at in 0..good.len() {
            let flipped = if &good[at..=at] == "0" { "1" } else { "0" };
            bad.push(format!("{}{flipped}{}", &good[..at], &good[at + 1..]));
        }
        for text in bad {
            let refused = Cursor::decode(&text, &query);
            assert!(
                matches!(
                    refused,
                    Err(Error::InvalidRequest(InvalidRequest::BadCursor))
                ),
                "{text:?}"
            );
        }
    }
}
