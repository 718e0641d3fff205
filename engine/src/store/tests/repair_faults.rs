//! Repairs that die, lose power, or meet a disk that is full or read-only: there is the damaged log or
//! the repaired one, whole, and the next repair finishes what was begun.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::crash_disk::{CrashDisk, Then};
use super::home::{TestHome, thread};
use super::hooked_disk::HookedDisk;
use super::repair::{LINES, NATIVE, files, open};
use crate::disk::RealDisk;
use crate::home::LogFormat;
use crate::listing::walk;
use crate::log::load_history;
use crate::sample_home::*;
use crate::store::{
    IndexUse, LeftKind, RepairOptions, RepairOutcome, RepairReport, Store, StoreOptions,
};
use crate::{Error, Result};

const NO_SPACE: i32 = 28;
const IO: i32 = 5;
const READ_ONLY: i32 = 30;

/// A home with a damaged log of each form, their bytes, and what a reader is given of them.
struct Damaged {
    place: SampleHome,
    logs: Vec<(&'static str, Vec<u8>, Vec<selvedge_codec::Record>)>,
    /// Whether the home has an index, which takes a while.
    is_indexed: bool,
}

impl Damaged {
    fn store(&self) -> Store {
        if self.is_indexed {
            return open(&self.place);
        }
        Store::open(StoreOptions {
            index: IndexUse::None,
            ..StoreOptions::new(self.place.home().root())
        })
        .unwrap()
    }
}

fn records(place: &SampleHome, path: &str) -> Vec<selvedge_codec::Record> {
    let format = LogFormat::of_file_name(path).unwrap();
    load_history(&RealDisk, &place.file(path), format)
        .unwrap()
        .records
}

fn damaged(is_indexed: bool) -> Damaged {
    let place = SampleHome::new();
    let batches: Vec<_> = [vec![meta(1, "")], turn("a"), turn("b")]
        .concat()
        .into_iter()
        .map(|sample| vec![sample])
        .collect();
    let mut frames = native(1, &batches);
    frames[native(1, &batches[..2]).len() + 20] ^= 1;
    let text = line(0, &meta(2, ""), None) + "bad\n" + &line(1, &user("a"), None);
    let logs = [(NATIVE, frames), (LINES, text.into_bytes())];
    let logs = logs.map(|(path, bytes)| {
        place.write(path, &bytes);
        let records = records(&place, path);
        (path, bytes, records)
    });
    let home = Damaged {
        place,
        logs: logs.to_vec(),
        is_indexed,
    };
    home.store().close().unwrap();
    home
}

fn repair_on(home: &Damaged, disk: &CrashDisk) -> Result<RepairReport> {
    let store = Store::open(StoreOptions {
        disk: Arc::new(disk.clone()),
        index: IndexUse::None,
        ..StoreOptions::new(home.place.home().root())
    })?;
    store.repair(RepairOptions::default())
}

/// The files below `damaged/`.
fn kept(home: &Damaged) -> Vec<PathBuf> {
    let root = home.place.file("damaged");
    match root.exists() {
        true => files(&root).into_keys().collect(),
        false => Vec::new(),
    }
}

/// Whether a log is as it was, or else repaired; never anything else.
fn is_damaged(home: &Damaged, path: &str) -> bool {
    let (_, bytes, before) = home.logs.iter().find(|log| log.0 == path).unwrap();
    if fs::read(home.place.file(path)).unwrap() == *bytes {
        return true;
    }
    let mut after = records(&home.place, path);
    after.retain(|record| record.record_type.as_str() != "lost");
    assert_eq!(after, *before, "{path}");
    let copies = kept(home);
    let copy = copies.iter().find(|copy| copy.ends_with(path));
    assert_eq!(fs::read(copy.unwrap()).unwrap(), *bytes, "{path}");
    false
}

/// Each thread has one log, and the next repair leaves nothing wrong and nothing lying about.
fn finish(home: &Damaged) {
    let logs = walk(&RealDisk, &home.place.home()).unwrap().logs;
    assert_eq!(logs.len(), home.logs.len());
    for (path, ..) in &home.logs {
        is_damaged(home, path);
    }
    let store = home.store();
    let report = store.repair(RepairOptions::default()).unwrap();
    assert!(report.ok, "{report:?}");
    for (path, ..) in &home.logs {
        assert!(!is_damaged(home, path));
    }
    let kept = kept(home);
    assert_eq!(kept.len(), home.logs.len(), "{kept:?}");
    let made = files(home.place.home().root());
    assert!(
        store
            .repair(RepairOptions::default())
            .unwrap()
            .logs
            .is_empty()
    );
    assert_eq!(files(home.place.home().root()), made);
}

#[test]
fn a_repair_that_dies_anywhere_leaves_the_old_log_or_the_new_one() {
    for has_links in [true, false] {
        let mut has_unsynced = true;
        for changes in 1.. {
            let mut is_over = false;
            for loses_power in [false, true] {
                if loses_power && !has_unsynced {
                    continue;
                }
                let home = damaged(changes % 8 == 0);
                let disk = CrashDisk::after(changes);
                let disk = if has_links {
                    disk
                } else {
                    disk.without_links()
                };
                let done = repair_on(&home, &disk);
                is_over = disk.is_alive();
                assert_eq!(is_over, done.as_ref().is_ok_and(|report| report.ok));
                has_unsynced = disk.has_unsynced();
                if loses_power {
                    disk.lose_power();
                }
                finish(&home);
            }
            if is_over {
                assert!(changes > 30, "only {changes} changes");
                break;
            }
        }
    }
}

#[test]
fn a_change_that_fails_leaves_the_log_as_it_was_and_nothing_beside_it() {
    for (error, has_links) in [(NO_SPACE, true), (NO_SPACE, false), (IO, true)] {
        for changes in 1.. {
            let home = damaged(changes % 8 == 0);
            let before = files(home.place.home().root());
            let disk = CrashDisk::with(changes, Then::FailOnce(error));
            let disk = if has_links {
                disk
            } else {
                disk.without_links()
            };
            let report = match repair_on(&home, &disk) {
                Ok(report) => report,
                // No lock could be made.
                Err(why) => panic!("{why}"),
            };
            let left: Vec<_> = report
                .logs
                .iter()
                .filter(|log| log.outcome == RepairOutcome::Left)
                .collect();
            for log in &left {
                assert_eq!(log.left.as_ref().unwrap().kind, LeftKind::Failed, "{log:?}");
                let (_, bytes, _) = home.logs.iter().find(|known| known.0 == log.path).unwrap();
                // After the rename only syncs are left to fail.
                if fs::read(home.place.file(&log.path)).unwrap() == *bytes {
                    assert!(
                        !kept(&home)
                            .iter()
                            .any(|kept| kept.to_str().unwrap().contains(&log.path))
                    );
                }
            }
            if left.len() == home.logs.len() {
                assert_eq!(files(home.place.home().root()), before);
            }
            finish(&home);
            if report.ok && left.is_empty() {
                break;
            }
        }
    }
}

#[test]
fn a_home_that_can_t_be_written_to_stays_as_it_is_and_its_damage_is_told() {
    for error in [READ_ONLY, NO_SPACE] {
        let home = damaged(true);
        let before = files(home.place.home().root());
        let disk = CrashDisk::with(1, Then::Refuse(error));
        let report = repair_on(&home, &disk).unwrap();
        assert!(!report.ok);
        assert_eq!(report.verify.damaged.len(), 2);
        for log in &report.logs {
            assert_eq!(log.left.as_ref().unwrap().kind, LeftKind::Failed);
        }
        assert_eq!(files(home.place.home().root()), before);
        finish(&home);
    }
}

#[test]
fn what_a_killed_repair_left_of_a_log_that_is_well_by_now_is_removed() {
    let home = damaged(true);
    let left = format!("damaged/2026-02-20T09-15-00/{NATIVE}.new");
    home.place.write(&left, b"half");
    // Somebody else's.
    home.place
        .write("damaged/2026-02-20T09-15-00/notes.txt", b"mine");
    fs::remove_file(home.place.file(LINES)).unwrap();
    let batches = [vec![meta(1, "")], turn("a")];
    home.place.write(NATIVE, &native(1, &batches));
    let store = open(&home.place);
    let dry = store.repair(RepairOptions { dry_run: true }).unwrap();
    assert!(dry.ok && home.place.file(&left).exists());
    assert!(store.repair(RepairOptions::default()).unwrap().ok);
    assert!(!home.place.file(&left).exists());
    assert!(
        home.place
            .file("damaged/2026-02-20T09-15-00/notes.txt")
            .exists()
    );
}

/// What lies at `damaged` was a link to a folder outside of the home. What people had said would have
/// been copied there.
#[test]
fn a_link_in_the_place_of_the_folder_of_damaged_files_is_refused() {
    let home = damaged(true);
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), home.place.file("damaged")).unwrap();
    let report = open(&home.place).repair(RepairOptions::default()).unwrap();
    assert!(!report.ok);
    assert!(fs::read_dir(elsewhere.path()).unwrap().next().is_none());
    for (path, bytes, _) in &home.logs {
        assert_eq!(fs::read(home.place.file(path)).unwrap(), *bytes);
    }
}

#[test]
fn a_second_repair_of_a_log_in_the_same_second_keeps_both_files() {
    let clock = Arc::new(crate::clock::ManualClock::new(moment(0)));
    let home = damaged(true);
    let store = Store::open(StoreOptions {
        clock,
        ..StoreOptions::new(home.place.home().root())
    })
    .unwrap();
    store.repair(RepairOptions::default()).unwrap();
    let mut bytes = fs::read(home.place.file(NATIVE)).unwrap();
    bytes[60] ^= 1;
    fs::write(home.place.file(NATIVE), &bytes).unwrap();
    let report = store.repair(RepairOptions::default()).unwrap();
    assert!(report.ok);
    assert_eq!(
        report.logs[0].copy.as_deref(),
        Some(&*format!("damaged/2026-02-20T09-15-00.1/{NATIVE}"))
    );
    assert_eq!(kept(&home).len(), 3);
    let refused: Result<()> = store.delete(id(1)).map_err(|why| match why {
        Error::Conflict { .. } => panic!("the repair has let go of it"),
        why => why,
    });
    refused.unwrap();
    assert_eq!(kept(&home).len(), 1);
}

/// Two repairs ran at the same time. One took back the folders that it had made in vain, while the other
/// looked through them for what killed ones had left: that one failed, after all that it had repaired.
#[test]
fn a_repair_passes_over_folders_that_another_one_takes_back() {
    let home = TestHome::new();
    home.put("sessions/a.jsonl", thread(1, 10));
    let folder = home.file("damaged/2026-02-20T09-15-00/sessions");
    fs::create_dir_all(&folder).unwrap();
    let disk = HookedDisk(move |dir: &std::path::Path| {
        if dir.ends_with("2026-02-20T09-15-00") {
            fs::remove_dir(&folder).unwrap();
        }
    });
    let store = Store::open(StoreOptions {
        disk: Arc::new(disk),
        ..home.options()
    })
    .unwrap();
    let report = store.repair(RepairOptions::default()).unwrap();
    assert!(report.ok, "{report:?}");
}
