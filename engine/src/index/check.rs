//! Checking the index's secondary keys against its rows.

use std::collections::BTreeSet;

use super::database::{Span, Table, View};
use super::fault::Fault;
use super::keys::{OrderKey, child_key, order_keys};
use super::rows::ThreadRow;

/// What is wrong with the secondary keys, in words.
pub(crate) fn check_keys(txn: &impl View, rows: &[ThreadRow]) -> Result<Vec<String>, Fault> {
    let summaries = || rows.iter().map(|row| &row.thread.summary);
    let order: BTreeSet<Vec<u8>> = summaries()
        .flat_map(order_keys)
        .map(|key: OrderKey| key.to_vec())
        .collect();
    let children: BTreeSet<Vec<u8>> = summaries()
        .filter_map(|thread| Some(child_key(thread.parent_thread_id?, thread.thread_id).to_vec()))
        .collect();
    let mut wrong = Vec::new();
    for (table, name, expected) in [
        (Table::Order, "order", order),
        (Table::Children, "parents", children),
    ] {
        let found: BTreeSet<Vec<u8>> = txn
            .range(Span::all(table), |key, _| Ok(key.to_vec()))?
            .collect::<Result<_, _>>()?;
        let missing = expected.difference(&found).count();
        let extra = found.difference(&expected).count();
        if missing + extra > 0 {
            wrong.push(format!(
                "the index's keys of {name}: {missing} are missing, {extra} are of no row"
            ));
        }
    }
    Ok(wrong)
}
