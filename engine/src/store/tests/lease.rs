//! Only one store backfills at a time, and none is waited for without a bound.

use std::sync::Arc;
use std::time::Duration;

use selvedge_codec::UtcMicros;

use super::home::{TestHome, WAIT, thread};
use crate::Error;
use crate::clock::ManualClock;
use crate::index::Outcome;
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
    let Lease::Mine(epoch) = stuck.claim_lease(index).unwrap() else {
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
    let late = stuck.write_leased(index, epoch, |_, state| {
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
            let mut owner = store.owner.clone();
            owner.process.start_ticks += 1;
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
