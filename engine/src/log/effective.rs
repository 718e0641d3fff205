//! What still counts of a history once its rollbacks are applied.

use selvedge_codec::{EventClass, Record, RecordType, TurnId};

use super::turns::{InTurn, turn_sign, turn_step};

/// The records that still count. A rollback of n turns drops everything from the start of the
/// n-th last turn that still counted, itself included; of fewer turns than that, all there are.
/// What describes the thread (its metas, patches and names) is not undone.
#[must_use]
pub fn effective(records: &[Record]) -> Vec<&Record> {
    let mut kept: Vec<&Record> = Vec::with_capacity(records.len());
    // Where in `kept` the turns begin that still count.
    let mut starts: Vec<usize> = Vec::new();
    let mut open: Option<Open> = None;
    for record in records {
        let sign = turn_sign(record);
        let step = turn_step(open.as_ref().map(Open::view), sign, record.turn_id.as_ref());
        if step.closes_open {
            open = None;
        }
        if step.rolls_back > 0 {
            let turns = usize::try_from(step.rolls_back).unwrap_or(usize::MAX);
            let still = starts.len().saturating_sub(turns);
            if let Some(cut) = starts.get(still).copied() {
                starts.truncate(still);
                let dropped = kept.split_off(cut);
                kept.extend(
                    dropped
                        .into_iter()
                        .filter(|record| describes_thread(record)),
                );
            }
        }
        if is_rollback(record) {
            continue;
        }
        if let Some(explicit) = step.starts {
            starts.push(kept.len());
            open = Some(Open {
                explicit,
                turn_id: None,
            });
        }
        kept.push(record);
        if let Some(open) = open.as_mut().filter(|open| open.turn_id.is_none()) {
            open.turn_id = record.turn_id.as_ref().map(TurnId::to_string);
        }
        if step.ends {
            open = None;
        }
    }
    kept
}

struct Open {
    explicit: bool,
    turn_id: Option<String>,
}

impl Open {
    fn view(&self) -> InTurn<'_> {
        InTurn {
            explicit: self.explicit,
            turn_id: self.turn_id.as_deref(),
        }
    }
}

fn is_rollback(record: &Record) -> bool {
    record.event == Some(EventClass::RolledBack)
}

fn describes_thread(record: &Record) -> bool {
    matches!(
        record.record_type,
        RecordType::SessionMeta | RecordType::MetadataPatch
    ) || record.event == Some(EventClass::NameUpdated)
}
