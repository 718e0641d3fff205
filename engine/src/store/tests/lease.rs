//! Only one store backfills at a time, and none is waited for without a bound.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use selvedge_codec::UtcMicros;

use super::home::{TestHome, WAIT, thread};
use super::hooked_disk::HookedDisk;
use crate::Error;
use crate::clock::ManualClock;
use crate::index::{Outcome, new_owner};
use crate::listing::{Coverage, ListQuery};
use crate::store::backfill::Lease;
use crate::store::{Store, StoreOptions};

fn home() -> TestHome {
    let home = TestHome::new();
    for number in 0..5 {
        home.put(&format!("sessions/{number}.jsonl"), thread(number, number));
    }
    home
}

fn store_at(home: &TestHome, clock: &Arc<ManualClock>) -> Store {
    Store::open(StoreOptions {
        clock: Arc::clone(clock) as Arc<dyn crate::clock::Clock>,
        ..home.options()
    })
    .unwrap()
}

#[test]
fn a_waiter_gets_an_error_in_time_and_takes_over_when_the_lease_ends() {
    let home = home();
    let clock = Arc::new(ManualClock::new(UtcMicros::new(1_800_000_000_000_000)));
    let (stuck, waiter) = (store_at(&home, &clock), store_at(&home, &clock));
    let index = stuck.index.as_ref().unwrap();
    let Lease::Mine(tenure) = stuck
        .claim_lease(index, &new_owner(&stuck.process))
        .unwrap()
    else {
        panic!("nobody else has it");
    };
    let refused = waiter.backfill(Duration::from_millis(30), &|_| ());
    assert!(
        matches!(&refused, Err(Error::TimedOut { waiting_for, .. }) if waiting_for.contains("index")),
        "{refused:?}"
    );
    assert!(matches!(
        waiter.coverage().unwrap(),
        Coverage::Partial { .. }
    ));
    clock.advance_micros(11_000_000);
    let report = waiter.backfill(Duration::ZERO, &|_| ()).unwrap();
    assert_eq!(report.coverage, Coverage::Complete { failed: 0 });
    // The first owner wakes up: not a byte of what it would write is taken.
    let late = stuck.write_leased(index, &tenure, |_, state| {
        state.is_complete = false;
        Ok(())
    });
    assert!(late.unwrap().is_err());
    assert_eq!(
        waiter.list(&ListQuery::default()).unwrap(),
        home.scan(&ListQuery::default())
    );
}

#[test]
fn the_owner_s_own_death_frees_the_lease_at_once() {
    let home = home();
    let store = home.store();
    let index = store.index.as_ref().unwrap();
    store
        .write(index, |txn, state| {
            let mut lease = txn_lease(txn)?;
            let mut process = store.process.clone();
            process.start_ticks += 1;
            let owner = new_owner(&process);
            lease.epoch.0 += 1;
            lease.held = Some(crate::index::HeldLease {
                owner,
                expires: UtcMicros::new(store.context.clock.now().get() + 9_000_000),
            });
            txn.put_lease(&lease)?;
            txn.put_state(state)?;
            Ok(Outcome::Commit(()))
        })
        .unwrap();
    let report = home.store().backfill(Duration::ZERO, &|_| ()).unwrap();
    assert_eq!(report.projected, 5);
}

fn txn_lease(
    txn: &crate::index::WriteTransaction<'_>,
) -> Result<crate::index::LeaseRow, crate::index::Fault> {
    crate::index::Tables::lease(txn)
}

#[test]
fn stores_that_backfill_at_the_same_time_both_end_with_a_complete_index() {
    let home = TestHome::new();
    for number in 0..300 {
        home.put(&format!("sessions/{number}.jsonl"), thread(number, number));
    }
    let projected: u64 = std::thread::scope(|scope| {
        let stores: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let store = home.store();
                    store.backfill(WAIT, &|_| ()).unwrap().projected
                })
            })
            .collect();
        stores.into_iter().map(|store| store.join().unwrap()).sum()
    });
    assert_eq!(projected, 300, "each log was read once");
    let report = home.store().verify().unwrap();
    assert!(report.ok, "{report:?}");
}

/// While one store filled an index, another one made it anew. The first went on under an epoch
/// that the new index had counted to as well, and told that it was complete, of which only the
/// rest of its own work was in it.
#[test]
fn a_backfill_writes_nothing_to_an_index_that_was_made_anew_meanwhile() {
    let home = home();
    let (one, other) = (home.store(), home.store());
    let index = one.index.as_ref().unwrap();
    let Lease::Mine(tenure) = one.claim_lease(index, &new_owner(&one.process)).unwrap() else {
        panic!("nobody else has it");
    };
    let anew = other.index.as_ref().unwrap();
    anew.discard().unwrap();
    assert!(matches!(
        other.claim_lease(anew, &new_owner(&other.process)),
        Ok(Lease::Mine(_))
    ));
    let late = one.write_leased(index, &tenure, |txn, state| {
        state.is_complete = true;
        txn.put_state(state)
    });
    assert!(late.unwrap().is_err());
    assert!(matches!(
        other.coverage().unwrap(),
        Coverage::Partial { .. }
    ));
}

/// Two backfills of one store took the lease from each other, as its owner may, and each began
/// again when it found out.
#[test]
fn a_store_s_second_backfill_waits_for_its_first() {
    let home = home();
    let store = home.store();
    let index = store.index.as_ref().unwrap();
    assert!(matches!(
        store.claim_lease(index, &new_owner(&store.process)),
        Ok(Lease::Mine(_))
    ));
    let refused = store.backfill(Duration::from_millis(30), &|_| ());
    assert!(
        matches!(refused, Err(Error::TimedOut { .. })),
        "{refused:?}"
    );
}

/// It took longer to walk a home than a lease lasts without a commit. Another process took over,
/// walked, and lost the lease in the same way: neither ever got to write.
#[test]
fn a_lease_lasts_while_its_owner_walks_the_home() {
    let home = home();
    let clock = Arc::new(ManualClock::new(UtcMicros::new(1_800_000_000_000_000)));
    let other = store_at(&home, &clock);
    let (slow, watched) = (Arc::clone(&clock), home.store());
    let is_held = AtomicBool::new(false);
    let disk = HookedDisk(move |dir: &Path| {
        if !dir.ends_with("sessions") || is_held.swap(true, Ordering::SeqCst) {
            return;
        }
        slow.advance_micros(9_000_000);
        let index = watched.index.as_ref().unwrap();
        let expires = || index.read(crate::index::Tables::lease);
        let first = expires().unwrap().held.unwrap().expires;
        while expires().unwrap().held.unwrap().expires == first {
            std::thread::sleep(Duration::from_millis(20));
        }
        slow.advance_micros(9_000_000);
        assert!(matches!(
            other.claim_lease(other.index.as_ref().unwrap(), &new_owner(&other.process)),
            Ok(Lease::Held(_))
        ));
    });
    let store = Store::open(StoreOptions {
        disk: Arc::new(disk),
        clock,
        ..home.options()
    })
    .unwrap();
    let report = store.backfill(WAIT, &|_| ()).unwrap();
    assert_eq!(report.projected, 5);
}
