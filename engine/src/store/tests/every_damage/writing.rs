//! A log that was harmed is written on, or refused without a change.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use selvedge_codec::Item;

use super::harms::harms;
use super::subjects::{self, OLD, Subject, write_aged};
use super::{Found, check_answers, is_exhaustive, without_index};
use crate::Error;
use crate::home::LogFormat;
use crate::log::{RecoveryReport, ThreadLog};
use crate::sample_home::user;
use crate::store::Store;

/// All files beside the log.
fn files(subject: &Subject) -> BTreeMap<PathBuf, Vec<u8>> {
    let log = subject.log();
    let entries = fs::read_dir(log.parent().unwrap()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn resume(store: &Store, subject: &Subject) -> Result<RecoveryReport, Error> {
    let context = store.log_context().clone();
    let (mut log, report) = ThreadLog::open(context, subject.thread, &subject.path)?;
    for text in ["written on", "and on"] {
        let sample = user(text);
        let item = Item::json(sample.record_type, sample.payload).unwrap();
        log.append(vec![vec![item]])?;
    }
    log.close()?;
    Ok(report)
}

/// Writes on in a log that was harmed, and reads all of it again.
fn check(store: &Store, subject: &Subject, what: &str) {
    let before = Found::of(subject);
    let files_before = files(subject);
    let report = match resume(store, subject) {
        Err(why) => {
            assert!(
                matches!(why, Error::Corrupt { .. } | Error::Unsupported { .. }),
                "{what}: {why}"
            );
            assert_eq!(files(subject), files_before, "{what}: {why}");
            return;
        }
        Ok(report) => report,
    };
    let unpacked = subjects::Subject::log(subject).with_extension("");
    let is_unpacked = subject.format == LogFormat::CompressedJsonLines;
    let files_after = files(subject);
    let (log, format) = match is_unpacked {
        true => (unpacked, LogFormat::JsonLines),
        false => (subject.log(), subject.format),
    };
    let history = crate::log::load_history(&crate::disk::RealDisk, &log, format).unwrap();
    let (old, new) = history.records.split_at(history.records.len() - 2);
    match before {
        Ok(before) => assert_eq!(old, before.records(), "{what}"),
        // The header of a log that ended before it is written anew: what a fork inherits shows again.
        Err(_) => assert!(subject.intact.starts_with(old), "{what}"),
    }
    let texts: Vec<_> = new
        .iter()
        .map(|record| record.payload_json().unwrap().get().to_owned())
        .collect();
    assert_eq!(
        texts,
        [user("written on").payload, user("and on").payload],
        "{what}"
    );
    assert_eq!(new[0].ordinal, report.next_ordinal, "{what}");
    // What was cut off is kept.
    if let (Some(torn), LogFormat::Native) = (&report.torn, format) {
        let kept = report.kept_in.as_ref().unwrap();
        let at = usize::try_from(torn.offset.get()).unwrap();
        assert_eq!(files_after[kept], files_before[&log][at..], "{what}");
    }
    if !is_unpacked {
        check_answers(store, subject, (what, &Found::of(subject).unwrap()));
    }
}

fn check_all(subject: &Subject, (stride, step): (usize, usize)) {
    let step = if is_exhaustive() { 1 } else { step };
    let good = files(subject);
    let store = without_index(subject);
    for harm in harms(subject, stride).into_iter().step_by(step) {
        subject.harm(&harm.bytes, OLD);
        check(&store, subject, &format!("{}: {}", subject.kind, harm.what));
        for path in files(subject).into_keys() {
            if !good.contains_key(&path) {
                fs::remove_file(path).unwrap();
            }
        }
        for (path, bytes) in &good {
            write_aged(path, bytes, OLD);
        }
    }
}

#[test]
fn a_native_log_that_was_harmed_is_written_on_or_refused_as_it_is() {
    check_all(&subjects::native_log(), (499, 3));
}

#[test]
fn a_fork_that_was_harmed_is_written_on_or_refused_as_it_is() {
    check_all(&subjects::fork(0), (997, 9));
    check_all(&subjects::fork(2), (499, 3));
}

#[test]
fn lines_that_were_harmed_are_written_on_or_refused_as_they_are() {
    check_all(&subjects::json_lines(false), (499, 5));
    check_all(&subjects::json_lines(true), (499, 5));
}

#[test]
fn a_compressed_log_that_was_harmed_is_unpacked_whole_or_not_at_all() {
    check_all(&subjects::compressed(), (199, 3));
}
