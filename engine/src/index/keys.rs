//! The keys of the index's tables, whose order is the order of their bytes.
//!
//! ```text
//! order     scope u64 | sort u8 | group u8 | time i64 | thread id    (all big-endian)
//! turns     thread id | turn u32
//! children  parent's thread id | child's thread id
//! ```
//!
//! A thread has two scopes: that of all threads, and that of its working directory. Its group is
//! what a listing always asks for: archived or not, and whether a user has said anything.

use std::ops::Bound;

use selvedge_codec::{Ordinal, ThreadId, UtcMicros};

use super::database::{Span, Table};
use super::fault::Fault;
use crate::listing::{Cursor, Direction, SortKey, ThreadFilter, normalize_cwd, sort_key};
use crate::thread::ThreadSummary;

const ID_BYTES: usize = 16;
const ORDER_PREFIX_BYTES: usize = 10;
const ORDER_BYTES: usize = ORDER_PREFIX_BYTES + 8 + ID_BYTES;

pub(crate) type OrderKey = [u8; ORDER_BYTES];

const SORTS: [SortKey; 3] = [SortKey::Created, SortKey::Updated, SortKey::Recency];

/// All threads, or those of one working directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scope(u64);

impl Scope {
    pub(crate) const ALL: Self = Self(0);

    /// The scope of a working directory. Two of them may share one: rows are compared, too.
    pub(crate) fn of_cwd(cwd: &str) -> Self {
        // FNV-1a: short, and the same in every process and build.
        let hash = normalize_cwd(cwd)
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            });
        Self(hash.max(1))
    }

    /// The scopes that a filter asks for, each once.
    pub(crate) fn of_filter(filter: &ThreadFilter) -> Vec<Self> {
        if filter.cwds.is_empty() {
            return vec![Self::ALL];
        }
        let mut scopes: Vec<_> = filter.cwds.iter().map(|cwd| Self::of_cwd(cwd)).collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }
}

/// Archived or not, and whether a user has said anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group(u8);

impl Group {
    fn new(is_archived: bool, is_empty: bool) -> Self {
        Self(u8::from(is_archived) << 1 | u8::from(is_empty))
    }

    pub(crate) fn of(thread: &ThreadSummary) -> Self {
        Self::new(thread.is_archived(), !thread.has_user_message())
    }

    /// The threads that a filter leaves out as long as no user has said anything in them.
    pub(crate) fn empty(filter: &ThreadFilter) -> Self {
        Self::new(filter.archived, true)
    }

    /// The groups that a filter asks for.
    pub(crate) fn of_filter(filter: &ThreadFilter) -> impl Iterator<Item = Self> {
        let empty = filter
            .include_empty
            .then(|| Self::new(filter.archived, true));
        std::iter::once(Self::new(filter.archived, false)).chain(empty)
    }
}

const fn sort_byte(sort: SortKey) -> u8 {
    match sort {
        SortKey::Created => 0,
        SortKey::Updated => 1,
        SortKey::Recency => 2,
    }
}

/// Part of the order: what a listing walks along.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OrderRun {
    pub(crate) scope: Scope,
    pub(crate) sort: SortKey,
    pub(crate) group: Group,
}

impl OrderRun {
    fn prefix(self) -> [u8; ORDER_PREFIX_BYTES] {
        let mut prefix = [0; ORDER_PREFIX_BYTES];
        let (scope, rest) = prefix.split_at_mut(8);
        scope.copy_from_slice(&self.scope.0.to_be_bytes());
        rest.copy_from_slice(&[sort_byte(self.sort), self.group.0]);
        prefix
    }

    fn key(self, place: Cursor) -> OrderKey {
        let mut key = [0; ORDER_BYTES];
        let (prefix, rest) = key.split_at_mut(ORDER_PREFIX_BYTES);
        let (time, id) = rest.split_at_mut(8);
        prefix.copy_from_slice(&self.prefix());
        // With the sign turned over, negative times come before the others.
        time.copy_from_slice(&(place.time.get() ^ i64::MIN).to_be_bytes());
        id.copy_from_slice(place.thread_id.as_bytes());
        key
    }

    /// Calls `then` with the span of the run that lies beyond `after`.
    pub(crate) fn with_span<T>(
        self,
        after: Option<Cursor>,
        direction: Direction,
        then: impl FnOnce(Span<'_>) -> T,
    ) -> T {
        let prefix = self.prefix();
        let mut end = [0xff; ORDER_BYTES];
        end.split_at_mut(ORDER_PREFIX_BYTES)
            .0
            .copy_from_slice(&prefix);
        let after = after.map(|place| self.key(place));
        let beyond = after.as_ref().map(|key| Bound::Excluded(&key[..]));
        let (from, to) = match direction {
            Direction::Ascending => (
                beyond.unwrap_or(Bound::Included(&prefix)),
                Bound::Included(&end[..]),
            ),
            Direction::Descending => (
                Bound::Included(&prefix[..]),
                beyond.unwrap_or(Bound::Included(&end)),
            ),
        };
        then(Span {
            table: Table::Order,
            from,
            to,
            direction,
        })
    }
}

/// The place that an order key names.
pub(crate) fn place_of(key: &[u8]) -> Result<Cursor, Fault> {
    let place = key
        .split_at_checked(ORDER_PREFIX_BYTES)
        .and_then(|(_, place)| place.split_first_chunk::<8>());
    let Some((time, id)) = place else {
        return Err(Fault::Damaged("an order key is cut short".into()));
    };
    Ok(Cursor {
        time: UtcMicros::new(i64::from_be_bytes(*time) ^ i64::MIN),
        thread_id: id_of(id)?,
    })
}

/// All order keys of a thread.
pub(crate) fn order_keys(thread: &ThreadSummary) -> impl Iterator<Item = OrderKey> {
    let group = Group::of(thread);
    let cwd = Scope::of_cwd(&thread.cwd);
    let places = SORTS.map(|sort| (sort, sort_key(thread, sort)));
    [Scope::ALL, cwd].into_iter().flat_map(move |scope| {
        places
            .into_iter()
            .map(move |(sort, place)| OrderRun { scope, sort, group }.key(place))
    })
}

/// The thread id that a key is, or begins with.
pub(crate) fn id_of(key: &[u8]) -> Result<ThreadId, Fault> {
    key.first_chunk::<ID_BYTES>()
        .map(|id| ThreadId::from_bytes(*id))
        .ok_or_else(|| Fault::Damaged("a thread id is cut short".into()))
}

/// The key of the turn that begins with this record.
pub(crate) fn turn_key(thread_id: ThreadId, first: Ordinal) -> [u8; ID_BYTES + 8] {
    let mut key = [0; ID_BYTES + 8];
    let (id, ordinal) = key.split_at_mut(ID_BYTES);
    id.copy_from_slice(thread_id.as_bytes());
    ordinal.copy_from_slice(&first.get().to_be_bytes());
    key
}

/// Turns of a thread: those that begin in a stretch of it, from one end of that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TurnRun {
    pub(crate) thread_id: ThreadId,
    /// The first ordinal that is in the stretch.
    pub(crate) from: Ordinal,
    /// The first one behind it, if it has an end.
    pub(crate) to: Option<Ordinal>,
    pub(crate) direction: Direction,
}

impl TurnRun {
    /// All turns of a thread, oldest first.
    pub(crate) const fn all(thread_id: ThreadId) -> Self {
        Self {
            thread_id,
            from: Ordinal::ZERO,
            to: None,
            direction: Direction::Ascending,
        }
    }

    /// Calls `then` with the span of their keys.
    pub(crate) fn with_span<T>(self, then: impl FnOnce(Span<'_>) -> T) -> T {
        let from = turn_key(self.thread_id, self.from);
        // A stretch that ends before it begins is empty, and no span of keys may be such.
        let to = self
            .to
            .map(|to| turn_key(self.thread_id, to.max(self.from)));
        let last = turn_key(self.thread_id, Ordinal::new(u64::MAX));
        then(Span {
            table: Table::Turns,
            from: Bound::Included(&from),
            to: to
                .as_ref()
                .map_or(Bound::Included(&last), |to| Bound::Excluded(to)),
            direction: self.direction,
        })
    }
}

pub(crate) fn child_key(parent: ThreadId, child: ThreadId) -> [u8; 2 * ID_BYTES] {
    let mut key = [0; 2 * ID_BYTES];
    let (first, second) = key.split_at_mut(ID_BYTES);
    first.copy_from_slice(parent.as_bytes());
    second.copy_from_slice(child.as_bytes());
    key
}

/// Child and parent, as a key of the table of children names them.
pub(crate) fn child_and_parent_of(key: &[u8]) -> Result<(ThreadId, ThreadId), Fault> {
    let child = key.last_chunk::<ID_BYTES>().map_or(&[][..], |id| &id[..]);
    Ok((id_of(child)?, id_of(key)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(time: i64, id: u8) -> Cursor {
        Cursor {
            time: UtcMicros::new(time),
            thread_id: ThreadId::from_bytes([id; 16]),
        }
    }

    const RUN: OrderRun = OrderRun {
        scope: Scope::ALL,
        sort: SortKey::Updated,
        group: Group(0),
    };

    proptest! {
        #[test]
        fn keys_are_ordered_as_their_places_and_give_them_back(
            a in (any::<i64>(), any::<u8>()),
            b in (any::<i64>(), any::<u8>()),
        ) {
            let (a, b) = (place(a.0, a.1), place(b.0, b.1));
            prop_assert_eq!(RUN.key(a).cmp(&RUN.key(b)), a.cmp(&b));
            prop_assert_eq!(place_of(&RUN.key(a)).ok(), Some(a));
        }
    }

    #[test]
    fn a_run_holds_its_own_keys_beyond_the_cursor_and_no_others() {
        let keys = [
            place(i64::MIN, 0),
            place(-1, 1),
            place(0, 2),
            place(i64::MAX, 255),
        ];
        let within = |after, direction| {
            RUN.with_span(after, direction, |span| {
                keys.map(|place| {
                    let key = RUN.key(place);
                    std::ops::RangeBounds::<[u8]>::contains(&(span.from, span.to), &key[..])
                })
            })
        };
        assert_eq!(within(None, Direction::Ascending), [true; 4]);
        assert_eq!(within(None, Direction::Descending), [true; 4]);
        let after = Some(place(-1, 1));
        assert_eq!(
            within(after, Direction::Ascending),
            [false, false, true, true]
        );
        assert_eq!(
            within(after, Direction::Descending),
            [true, false, false, false]
        );
        for other in [
            OrderRun {
                group: Group(1),
                ..RUN
            },
            OrderRun {
                sort: SortKey::Created,
                ..RUN
            },
            OrderRun {
                scope: Scope::of_cwd("/a"),
                ..RUN
            },
        ] {
            let inside = RUN.with_span(None, Direction::Ascending, |span| {
                std::ops::RangeBounds::<[u8]>::contains(
                    &(span.from, span.to),
                    &other.key(place(0, 2))[..],
                )
            });
            assert!(!inside, "{other:?}");
        }
    }

    #[test]
    fn a_trailing_slash_does_not_make_another_scope() {
        assert_eq!(Scope::of_cwd("/a/b/"), Scope::of_cwd("/a/b"));
        assert_ne!(Scope::of_cwd("/a/b"), Scope::of_cwd("/a"));
        assert_ne!(Scope::of_cwd(""), Scope::ALL);
    }

    #[test]
    fn turns_and_children_give_back_what_they_were_made_of() {
        let (a, b) = (ThreadId::from_bytes([1; 16]), ThreadId::from_bytes([2; 16]));
        assert_eq!(id_of(&turn_key(a, Ordinal::new(7))).unwrap(), a);
        assert_eq!(child_and_parent_of(&child_key(a, b)).unwrap(), (b, a));
        assert!(child_and_parent_of(&[0; 3]).is_err());
    }
}
