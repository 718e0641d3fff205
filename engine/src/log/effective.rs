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

/// Whether a record counts that lies in dropped turns or not.
pub(crate) fn still_counts(record: &Record, is_dropped: bool) -> bool {
    !is_rollback(record) && (!is_dropped || describes_thread(record))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::home::LogFormat;
    use crate::log::load_history;
    use crate::projection::{apply_turn_changes, project};
    use crate::sample_home::*;
    use proptest::prelude::*;

    /// The ordinals of the records that still count.
    fn kept(samples: &[Sample]) -> Vec<u64> {
        let place = SampleHome::new();
        place.write("a.jsonl", &lines(samples));
        let file = place.file("a.jsonl");
        let history = load_history(&RealDisk, &file, LogFormat::JsonLines).unwrap();
        assert_eq!(history.records.len(), samples.len());
        let effective = history.effective();
        effective
            .iter()
            .map(|record| record.ordinal.get())
            .collect()
    }

    #[test]
    fn a_rollback_drops_the_last_turns_and_itself() {
        let samples = [
            vec![meta(1, "")],
            turn("a"),
            turn("b"),
            vec![response("between"), rolled_back(1)],
            turn("c"),
        ]
        .concat();
        assert_eq!(kept(&samples), [0, 1, 2, 3, 9, 10, 11]);
    }

    #[test]
    fn a_later_rollback_counts_only_what_still_counted() {
        let samples = [
            turn("a"),            // 0..3
            turn("b"),            // 3..6
            vec![rolled_back(1)], // 6: drops b
            turn("c"),            // 7..10
            vec![rolled_back(2)], // 10: drops c and a
            turn("d"),            // 11..14
            vec![rolled_back(0)], // 14: nothing
        ]
        .concat();
        assert_eq!(kept(&samples), [11, 12, 13]);
    }

    #[test]
    fn a_rollback_of_more_turns_than_there_are_drops_all_of_them() {
        let samples = [
            vec![meta(1, ""), response("before")],
            turn("a"),
            vec![rolled_back(u32::MAX), rolled_back(1)],
            turn("b"),
        ]
        .concat();
        assert_eq!(kept(&samples), [0, 1, 7, 8, 9]);
        assert_eq!(kept(&[rolled_back(3), user("a")]), [1]);
    }

    #[test]
    fn a_turn_that_has_not_ended_is_dropped_too() {
        let samples = [turn("a"), vec![started("b"), user("b"), rolled_back(1)]].concat();
        assert_eq!(kept(&samples), [0, 1, 2]);
    }

    #[test]
    fn turns_without_a_start_of_their_own_begin_at_the_users_words() {
        let samples = [
            meta(1, ""),
            user("a"),
            response("a"),
            user("b"),
            response("b"),
            rolled_back(1),
        ];
        assert_eq!(kept(&samples), [0, 1, 2]);
    }

    #[test]
    fn what_describes_the_thread_is_not_undone() {
        let samples = [
            turn("a"),
            vec![
                meta(1, "\"memory_mode\":\"disabled\""),
                record("metadata_patch", "{\"name\":\"n\"}"),
                event("thread_name_updated", "\"thread_name\":\"n\""),
                response("gone"),
                rolled_back(1),
            ],
        ]
        .concat();
        assert_eq!(kept(&samples), [3, 4, 5]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_turns_that_still_count_are_those_the_projection_does_not_drop(
            samples in prop::collection::vec(any_sample(), 1..30),
        ) {
            let place = SampleHome::new();
            let name = format!("sessions/{}.jsonl", id(1));
            let path = place.write(&name, &lines(&samples));
            let history =
                load_history(&RealDisk, &place.file(&name), LogFormat::JsonLines).unwrap();
            let kept: Vec<_> = history.effective().iter().map(|record| record.ordinal).collect();
            let projection = project(&RealDisk, &place.home(), &path, None).unwrap();
            let mut turns = Vec::new();
            apply_turn_changes(&mut turns, projection.turns);
            for record in &history.records {
                let mut all = turns.iter().map(|placed| &placed.turn);
                let turn = all.find(|turn| turn.holds(record.ordinal));
                let Some(turn) = turn else { continue };
                let counts = !turn.rolled_back || describes_thread(record);
                prop_assert_eq!(
                    kept.contains(&record.ordinal), counts && !is_rollback(record),
                    "record {} of {:?}", record.ordinal, turns
                );
            }
        }
    }
}
