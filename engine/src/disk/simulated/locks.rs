//! Locks on ranges of a file, each of one handle.

use std::ops::Range;

/// The number of an open handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HandleId(pub(super) u64);

#[derive(Debug, Clone)]
struct Lock {
    owner: HandleId,
    range: Range<u64>,
    is_shared: bool,
}

/// The locks on one file.
#[derive(Debug, Default)]
pub(super) struct Locks(Vec<Lock>);

const fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

impl Locks {
    pub(super) const NONE: Self = Self(Vec::new());

    /// Locks a range for `owner`, instead of what it has locked of it before.
    pub(super) fn try_lock(&mut self, owner: HandleId, range: Range<u64>, is_shared: bool) -> bool {
        let is_refused = |lock: &Lock| {
            lock.owner != owner && overlap(&lock.range, &range) && !(lock.is_shared && is_shared)
        };
        if self.0.iter().any(is_refused) {
            return false;
        }
        self.unlock(owner, &range);
        self.0.push(Lock {
            owner,
            range,
            is_shared,
        });
        true
    }

    /// Unlocks what `owner` has locked of a range.
    pub(super) fn unlock(&mut self, owner: HandleId, range: &Range<u64>) {
        let (kept, cut): (Vec<Lock>, Vec<Lock>) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|lock| lock.owner != owner || !overlap(&lock.range, range));
        self.0 = kept;
        for lock in cut {
            let before = lock.range.start..range.start;
            let after = range.end..lock.range.end;
            for range in [before, after] {
                if !range.is_empty() {
                    self.0.push(Lock {
                        range,
                        ..lock.clone()
                    });
                }
            }
        }
    }

    /// Ends all locks of a handle.
    pub(super) fn release(&mut self, owner: HandleId) {
        self.0.retain(|lock| lock.owner != owner);
    }

    /// Whether somebody else's lock refuses an exclusive one.
    pub(super) fn is_locked_elsewhere(&self, owner: HandleId, range: &Range<u64>) -> bool {
        self.0
            .iter()
            .any(|lock| lock.owner != owner && overlap(&lock.range, range))
    }
}
