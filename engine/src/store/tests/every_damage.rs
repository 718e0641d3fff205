//! Every damage to every kind of log: flipped, cut, swapped, repeated, spliced, zeroed, and what
//! follows of it for each reader and for the writer. A part of it is done in each run; all of it
//! with `SELVEDGE_EXHAUSTIVE=1 cargo test --release -p selvedge-engine every_damage`.

mod harms;
mod index_file;
mod indexed;
mod side_files;
mod subjects;
mod writing;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use selvedge_codec::Record;
use selvedge_codec::segment::HEADER_BYTES;

use self::harms::{Harm, Must, harms};
use self::subjects::{OLD, Subject};
use super::damaged_forks::{check_pages, damage_of};
use super::home::WAIT;
use crate::disk::RealDisk;
use crate::home::LogFormat;
use crate::listing::{Coverage, ListQuery, scan_list};
use crate::log::{Damage, LogEvent, LogScan, read_log, read_log_backwards};
use crate::paging::model_context;
use crate::projection::{log_owner, turns_of};
use crate::search::{OccurrenceQuery, SearchQuery, occurrences_in};
use crate::store::{IndexUse, LogDamage, Store, StoreOptions};
use crate::{Error, sample_home::id};

fn is_exhaustive() -> bool {
    std::env::var_os("SELVEDGE_EXHAUSTIVE").is_some()
}

/// What a reader made of a log.
pub(super) struct Found {
    events: Vec<LogEvent>,
    torn: Option<Damage>,
}

impl Found {
    fn of(subject: &Subject) -> Result<Self, Error> {
        let mut scan: LogScan = read_log(&RealDisk, &subject.log(), subject.format, None)?;
        let events = scan.by_ref().collect();
        let torn = scan.torn_tail();
        Ok(Self { events, torn })
    }

    fn records(&self) -> Vec<Record> {
        let records = self.events.iter().filter_map(|event| match event {
            LogEvent::Record(record) => Some(record.clone()),
            LogEvent::Damage(_) => None,
        });
        records.collect()
    }
}

/// The places among the log's records of those that must be read.
fn must(subject: &Subject, harm: &Harm) -> BTreeSet<usize> {
    let mut must: BTreeSet<_> = (0..subject.intact.len()).collect();
    let is_inherited = subject.file != subject.log();
    let is_lost = |range: &std::ops::Range<usize>| match harm.must {
        Must::All => false,
        Must::Told | Must::Nothing => true,
        Must::Untouched => {
            // The newline before a line belongs to it, too.
            let with_newline = match subject.header {
                None => range.start.saturating_sub(1)..range.end,
                Some(_) => range.clone(),
            };
            harm.bytes.get(with_newline.clone()) != Some(&subject.good[with_newline])
        }
    };
    // Of a whole log its name and the segments that it inherits say what the header said.
    let header: u32 = (subject.good.iter().zip(&harm.bytes).take(HEADER_BYTES))
        .map(|(good, found)| (good ^ found).count_ones())
        .sum();
    for unit in &subject.units {
        if is_lost(&unit.range) || is_inherited && header > 1 {
            must.retain(|record| !unit.records.contains(record));
        }
    }
    if harm.must == Must::Nothing || subject.units.is_empty() && harm.must != Must::All {
        must.clear();
    }
    must
}

/// Of a native log, each record is one that was written, and each ordinal is given or told.
fn check_frames(subject: &Subject, (what, found): (&str, &Found), must: &BTreeSet<usize>) {
    let mut next = 0;
    let mut given = BTreeSet::new();
    for event in &found.events {
        match event {
            LogEvent::Record(record) => {
                assert_eq!(record.ordinal.get(), next, "{what}");
                let at = usize::try_from(next).unwrap();
                assert_eq!(record, &subject.intact[at], "{what}");
                given.insert(at);
                next += 1;
            }
            LogEvent::Damage(damage) => {
                assert_eq!(damage.first_ordinal.get(), next, "{what}: {damage:?}");
                assert!(damage.next_ordinal.get() >= next, "{what}: {damage:?}");
                next = damage.next_ordinal.get();
            }
        }
    }
    let lost: Vec<_> = must.difference(&given).collect();
    assert_eq!(lost, Vec::<&usize>::new(), "{what}: {:?}", found.events);
}

/// Of a log of lines, each record is a line of the file, and those that must be there are, in
/// their order; and each line that is no record is told.
fn check_lines(subject: &Subject, (harm, found): (&Harm, &Found), must: &BTreeSet<usize>) {
    let what = &harm.what;
    let records = found.records();
    let mut given = records.iter().map(|record| &record.body[..]);
    for at in must {
        let line = subject.intact[*at].body.trim_ascii();
        assert!(given.any(|one| one.trim_ascii() == line), "{what}: {at}");
    }
    let text = &harm.bytes;
    let mut lines = text.split(|byte| *byte == b'\n');
    let mut ordinals = records.iter().map(|record| record.ordinal);
    let mut told = found
        .events
        .iter()
        .filter(|event| matches!(event, LogEvent::Damage(_)))
        .count();
    told += usize::from(found.torn.is_some());
    let mut bodies = records.iter().map(|record| &record.body[..]).peekable();
    for line in &mut lines {
        if bodies.next_if(|body| *body == line).is_none() && !line.trim_ascii().is_empty() {
            told = told
                .checked_sub(1)
                .unwrap_or_else(|| panic!("{what}: a line is not told"));
        }
    }
    assert_eq!((bodies.next(), told), (None, 0), "{what}");
    let mut last = None;
    assert!(
        ordinals.all(|ordinal| last.replace(ordinal).is_none_or(|last| last < ordinal)),
        "{what}"
    );
}

/// Of a compressed log, what was unpacked before the damage is given, and that there is damage is
/// told.
fn check_unpacked(subject: &Subject, (harm, found): (&Harm, &Found), must: &BTreeSet<usize>) {
    let what = &harm.what;
    let records = found.records();
    let is_told = !damage_of(&found.events).is_empty() || found.torn.is_some();
    if !must.is_empty() {
        assert!(records.starts_with(&subject.intact), "{what}");
    }
    if harm.bytes.len() < subject.good.len() {
        assert!(subject.intact.starts_with(&records), "{what}");
    }
    assert!(is_told || records.starts_with(&subject.intact), "{what}");
}

fn check_found(subject: &Subject, (harm, found): (&Harm, &Found)) {
    let must = must(subject, harm);
    match subject.format {
        LogFormat::Native => check_frames(subject, (&harm.what, found), &must),
        LogFormat::JsonLines => check_lines(subject, (harm, found), &must),
        LogFormat::CompressedJsonLines => check_unpacked(subject, (harm, found), &must),
    }
}

/// Reading backwards gives the same, and so does going on from any place between.
fn check_ways(subject: &Subject, (what, found): (&str, &Found)) {
    let (file, format) = (subject.log(), subject.format);
    let backwards = |from| {
        let reader = read_log_backwards(&RealDisk, &file, format, from).unwrap();
        let mut events: Vec<_> = reader.map(Result::unwrap).collect();
        events.reverse();
        events
    };
    assert_eq!(backwards(None), found.events, "{what}: backwards");
    let mut scan = read_log(&RealDisk, &file, format, None).unwrap();
    let mut given = 0;
    let mut places = Vec::new();
    while let Some(event) = scan.next() {
        given += 1;
        let is_end = |record: &Record| record.batch.is_last || format != LogFormat::Native;
        if matches!(&event, LogEvent::Record(record) if is_end(record)) {
            places.push((given, scan.record_place().end));
        }
    }
    let is_clean = |given: usize| damage_of(&found.events[..given]).is_empty();
    if is_clean(given) || format == LogFormat::JsonLines {
        assert_eq!(backwards(Some(scan.position())), found.events, "{what}");
    }
    for (given, end) in places.into_iter().step_by(3) {
        let rest = read_log(&RealDisk, &file, format, Some(end)).unwrap();
        let rest: Vec<_> = rest.collect();
        assert_eq!(rest, found.events[given..], "{what}: on from {end:?}");
        if is_clean(given) && format != LogFormat::CompressedJsonLines {
            assert_eq!(
                backwards(Some(end)),
                found.events[..given],
                "{what}: {end:?}"
            );
        }
    }
}

/// All that a store answers agrees with what a forward reader of the whole log found.
fn check_answers(store: &Store, subject: &Subject, (what, found): (&str, &Found)) {
    let history = match store.history(subject.thread) {
        Ok(history) => history,
        // Nothing of the log says any more whose it is.
        Err(why) => {
            assert!(matches!(why, Error::Corrupt { .. }), "{what}: {why}");
            assert!(found.records().is_empty(), "{what}: {why}");
            return check_refused(store, subject, what);
        }
    };
    let records = found.records();
    assert_eq!(history.records, records, "{what}");
    assert_eq!(history.damage, damage_of(&found.events), "{what}");
    assert_eq!(history.torn_tail, found.torn, "{what}");
    let told = |damage: &Damage| LogDamage::from(damage.clone());
    let report = store.verify().unwrap();
    assert_eq!(report.unreadable, [], "{what}");
    assert_eq!(report.differences, [], "{what}");
    let log = report
        .damaged
        .iter()
        .find(|log| log.thread_id == subject.thread);
    let damaged = log.map(|log| (log.damage.clone(), log.torn_tail.clone()));
    let expected: Vec<_> = history.damage.iter().map(told).collect();
    let torn = history.torn_tail.as_ref().map(told);
    let is_well = expected.is_empty() && torn.is_none();
    assert_eq!(damaged, (!is_well).then_some((expected, torn)), "{what}");
    check_pages(store, subject.thread, &records);
    assert_eq!(
        store.model_context(subject.thread).unwrap(),
        model_context(&records),
        "{what}"
    );
    assert_eq!(
        store.turns(subject.thread).unwrap(),
        turns_of(&records),
        "{what}"
    );
    let summary = store.read_thread(subject.thread).unwrap();
    assert_eq!(summary.damaged_count, history.damage.len() as u64, "{what}");
    assert_eq!(summary.item_count, records.len() as u64, "{what}");
    check_searches(store, subject, (what, &records));
    check_lists(store, what);
}

fn check_searches(store: &Store, subject: &Subject, (what, records): (&str, &[Record])) {
    let query = OccurrenceQuery {
        term: "word".to_owned(),
        ..OccurrenceQuery::default()
    };
    let expected = occurrences_in(subject.thread, records, &query).unwrap();
    assert_eq!(
        store.occurrences(subject.thread, &query).unwrap(),
        expected,
        "{what}"
    );
    let query = SearchQuery {
        term: "WORD".to_owned(),
        filter: crate::listing::ThreadFilter {
            include_empty: true,
            ..Default::default()
        },
        ..SearchQuery::default()
    };
    let hits = store.search(&query).unwrap().hits;
    let is_found = |thread| hits.iter().any(|hit| hit.thread.thread_id == thread);
    assert!(is_found(id(99)), "{what}");
    assert_eq!(
        is_found(subject.thread),
        !expected.occurrences.is_empty(),
        "{what}"
    );
}

/// The list is what the logs say.
fn check_lists(store: &Store, what: &str) {
    let context = store.log_context();
    let mut query = ListQuery::default();
    query.filter.include_empty = true;
    let scanned = scan_list(&*context.disk, &context.home, &query).unwrap();
    assert_eq!(store.list(&query).unwrap(), scanned, "{what}");
    assert!(
        scanned
            .threads
            .iter()
            .any(|thread| thread.thread_id == id(99)),
        "{what}"
    );
}

/// A log that can't be made sense of is told wherever somebody asks, and hides no other.
fn check_refused(store: &Store, subject: &Subject, what: &str) {
    let typed = |why: &Error| {
        matches!(
            why,
            Error::Corrupt { .. } | Error::Unsupported { .. } | Error::ThreadNotFound { .. }
        )
    };
    let refused = store.history(subject.thread).unwrap_err();
    assert!(typed(&refused), "{what}: {refused}");
    let refused = store.read_thread(subject.thread).unwrap_err();
    assert!(typed(&refused), "{what}: {refused}");
    let report = store.verify().unwrap();
    let unreadable: Vec<_> = report.unreadable.iter().map(|log| &*log.path).collect();
    assert_eq!(unreadable, [subject.path.as_str()], "{what}");
    check_lists(store, what);
    let coverage = store.list(&ListQuery::default()).unwrap().coverage;
    assert_eq!(coverage, Coverage::Complete { failed: 1 }, "{what}");
}

fn check(store: &Store, subject: &Subject, harm: &Harm) {
    let what = &harm.what;
    match Found::of(subject) {
        Ok(found) => {
            check_found(subject, (harm, &found));
            check_ways(subject, (what, &found));
            let context = store.log_context();
            match log_owner(&RealDisk, &context.home, &subject.path) {
                // A good header, or a line that nothing tells to be wrong, names another thread.
                Ok(owner) if owner != subject.thread => return check_lists(store, what),
                _ => {}
            }
            check_answers(store, subject, (what, &found));
        }
        Err(why) => {
            assert!(
                matches!(why, Error::Corrupt { .. } | Error::Unsupported { .. }),
                "{what}: {why}"
            );
            let own = |at: &usize| subject.units.iter().any(|unit| unit.records.contains(at));
            let lost: Vec<_> = must(subject, harm).into_iter().filter(own).collect();
            assert_eq!(lost, Vec::<usize>::new(), "{what}: {why}");
            check_refused(store, subject, what);
        }
    }
}

fn without_index(subject: &Subject) -> Store {
    Store::open(StoreOptions {
        index: IndexUse::None,
        ..StoreOptions::new(subject.place.home().root())
    })
    .unwrap()
}

fn check_all(subject: &Subject, stride: usize) {
    let store = without_index(subject);
    let harms = harms(subject, stride);
    let (many, mut wrong) = (harms.len(), Vec::new());
    for mut harm in harms {
        harm.what = format!("{}: {}", subject.kind, harm.what);
        subject.harm(&harm.bytes, OLD);
        let checked = catch_unwind(AssertUnwindSafe(|| check(&store, subject, &harm)));
        if checked.is_err() {
            wrong.push(harm.what);
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "of {many} cases");
    println!("{}: {many} cases", subject.kind);
}

#[test]
fn a_native_log_gives_what_is_whole_and_tells_the_rest() {
    check_all(&subjects::native_log(), 97);
}

#[test]
fn a_fork_gives_what_is_whole_and_tells_the_rest() {
    for which in 0..3 {
        check_all(&subjects::fork(which), 193);
    }
}

#[test]
fn lines_give_what_is_whole_and_tell_the_rest() {
    for has_ordinals in [false, true] {
        check_all(&subjects::json_lines(has_ordinals), 193);
    }
}

#[test]
fn a_compressed_log_gives_what_could_be_unpacked_and_tells_that_there_was_more() {
    check_all(&subjects::compressed(), 41);
}
