//! The backfill lease: **at most one backfill's commits are taken at any time.**
//!
//! A claim writes its owner, a time to end and an epoch one larger than the last. Every commit of
//! a backfill compares both in its own transaction, so that an owner that was stopped and
//! wakes up after another took over can't write. A dead owner is replaced at once, one that is
//! stuck when its lease ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use selvedge_codec::UtcMicros;

use super::rows::{Epoch, HeldLease, LeaseOwner, LeaseRow};
use crate::process::ProcessIdentity;

/// How long a lease lasts without a commit. Each commit of a backfill makes it last anew.
const TERM: Duration = Duration::from_secs(10);
/// An end further away than this was written by a clock that has been set back since.
const LONGEST: Duration = Duration::from_secs(60);

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A fresh owner: this process, and a number among its backfills. Two of one store are two owners:
/// otherwise each would take the lease from the other, again and again.
pub(crate) fn new_owner(process: &ProcessIdentity) -> LeaseOwner {
    static BACKFILLS: AtomicU64 = AtomicU64::new(0);
    LeaseOwner {
        process: process.clone(),
        backfill: BACKFILLS.fetch_add(1, Ordering::Relaxed),
    }
}

/// What came of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The lease to write: it is the claimant's then.
    Granted(LeaseRow),
    /// Somebody else has it, and is at work as far as can be told.
    Held(LeaseOwner),
}

/// Decides a claim.
pub(crate) fn claim(
    found: &LeaseRow,
    claimant: &LeaseOwner,
    now: UtcMicros,
    is_alive: impl FnOnce(&ProcessIdentity) -> bool,
) -> Claim {
    match &found.held {
        Some(held)
            if held.owner != *claimant
                && now < held.expires
                && held.expires.get().saturating_sub(now.get()) <= micros(LONGEST)
                && is_alive(&held.owner.process) =>
        {
            Claim::Held(held.owner.clone())
        }
        _ => Claim::Granted(LeaseRow {
            epoch: Epoch(found.epoch.0.saturating_add(1)),
            held: Some(held_until(claimant, now)),
        }),
    }
}

/// The lease of an owner of `epoch` that is still at work, or `None` when another owner has taken
/// over: nothing may be committed then. The epoch alone does not tell: an index that was made anew
/// begins to count again.
pub(crate) fn extended(
    found: &LeaseRow,
    epoch: Epoch,
    owner: &LeaseOwner,
    now: UtcMicros,
) -> Option<LeaseRow> {
    let is_held = matches!(&found.held, Some(held) if held.owner == *owner);
    (found.epoch == epoch && is_held).then(|| LeaseRow {
        epoch,
        held: Some(held_until(owner, now)),
    })
}

/// The lease after its owner is done. The epoch stays: the next one is larger.
pub(crate) const fn released(epoch: Epoch) -> LeaseRow {
    LeaseRow { epoch, held: None }
}

fn held_until(owner: &LeaseOwner, now: UtcMicros) -> HeldLease {
    HeldLease {
        owner: owner.clone(),
        expires: UtcMicros::new(now.get().saturating_add(micros(TERM))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UtcMicros = UtcMicros::new(1_000_000_000);

    fn fresh() -> LeaseOwner {
        new_owner(&ProcessIdentity::current(&crate::disk::RealDisk))
    }

    fn later(seconds: i64) -> UtcMicros {
        UtcMicros::new(NOW.get() + seconds * 1_000_000)
    }

    fn granted(claim: Claim) -> LeaseRow {
        match claim {
            Claim::Granted(lease) => lease,
            Claim::Held(owner) => panic!("held by {owner:?}"),
        }
    }

    #[test]
    fn a_lease_is_its_owner_s_until_it_ends() {
        let (me, other) = (fresh(), fresh());
        assert_ne!(me, other);
        let mine = granted(claim(&LeaseRow::default(), &me, NOW, |_| true));
        assert_eq!(mine.epoch, Epoch(1));
        assert_eq!(
            claim(&mine, &other, later(9), |_| true),
            Claim::Held(me.clone())
        );
        assert_eq!(
            granted(claim(&mine, &other, later(10), |_| true)).epoch,
            Epoch(2)
        );
    }

    #[test]
    fn a_dead_owner_is_replaced_at_once() {
        let (me, other) = (fresh(), fresh());
        let mine = granted(claim(&LeaseRow::default(), &me, NOW, |_| true));
        let theirs = granted(claim(&mine, &other, NOW, |process| {
            assert_eq!(*process, me.process);
            false
        }));
        assert_eq!(theirs.held.unwrap().owner, other);
    }

    #[test]
    fn an_end_that_a_clock_set_back_has_put_far_away_does_not_hold() {
        let (me, other) = (fresh(), fresh());
        let mine = granted(claim(&LeaseRow::default(), &me, later(3600), |_| true));
        assert_eq!(granted(claim(&mine, &other, NOW, |_| true)).epoch, Epoch(2));
    }

    #[test]
    fn an_owner_that_wakes_up_too_late_can_not_extend() {
        let (me, other) = (fresh(), fresh());
        let mine = granted(claim(&LeaseRow::default(), &me, NOW, |_| true));
        let again = extended(&mine, mine.epoch, &me, later(5)).unwrap();
        assert_eq!(again.held.as_ref().unwrap().expires, later(15));
        let theirs = granted(claim(&again, &other, later(15), |_| true));
        assert_eq!(extended(&theirs, mine.epoch, &me, later(15)), None);
        assert_eq!(
            extended(&released(theirs.epoch), mine.epoch, &me, later(16)),
            None
        );
    }

    #[test]
    fn an_owner_that_comes_again_has_a_new_epoch() {
        let me = fresh();
        let first = granted(claim(&LeaseRow::default(), &me, NOW, |_| true));
        let done = released(first.epoch);
        assert_eq!(granted(claim(&done, &me, NOW, |_| true)).epoch, Epoch(2));
        assert_eq!(granted(claim(&first, &me, NOW, |_| true)).epoch, Epoch(2));
    }

    /// An index was made anew while another store filled it. The second store's first epoch was the
    /// first one's, too, which went on writing, and told in the end that the new index was complete.
    #[test]
    fn an_owner_of_the_same_epoch_of_another_index_can_not_extend() {
        let (me, other) = (fresh(), fresh());
        let before = granted(claim(&LeaseRow::default(), &me, NOW, |_| true));
        let anew = granted(claim(&LeaseRow::default(), &other, NOW, |_| true));
        assert_eq!(before.epoch, anew.epoch);
        assert_eq!(extended(&anew, before.epoch, &me, later(1)), None);
        assert_eq!(
            extended(&released(anew.epoch), before.epoch, &me, later(1)),
            None
        );
    }
}
