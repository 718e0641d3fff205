#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests change homes behind the engine's back"
)]

mod aftermath;
mod by_path;
mod counting_disk;
mod crash_disk;
mod damage;
mod damaged_forks;
mod every_damage;
mod fork;
mod home;
mod hooked_disk;
mod hostile;
mod import;
mod lease;
mod links;
mod listing;
mod looking;
mod metadata;
mod moving;
mod paging;
mod power;
mod processes;
mod property;
mod races;
mod refused;
mod repair;
mod repair_faults;
mod seams;
mod search;
mod stale_cursors;
mod strange_folders;
mod unsynced;

use super::Store;
use crate::index::{Fault, Outcome, StateRow, Tables, ThreadRow, WriteTransaction};

/// Changes one row of the index behind the store's back.
fn tamper(
    store: &Store,
    change: impl Fn(&mut WriteTransaction<'_>, &ThreadRow) -> Result<(), Fault>,
) {
    let index = store.index.as_ref().unwrap();
    store
        .write(index, |txn, _| {
            let row = txn.threads()?.swap_remove(0);
            change(txn, &row)?;
            Ok(Outcome::Commit(()))
        })
        .unwrap();
}

/// Changes what the index says of itself.
fn set_state(store: &Store, change: impl Fn(&mut StateRow)) {
    let index = store.index.as_ref().unwrap();
    store
        .write(index, |txn, state| {
            change(state);
            txn.put_state(state)?;
            Ok(Outcome::Commit(()))
        })
        .unwrap();
}
