//! Failing disks: nothing acknowledged is lost, nothing else appears, and once the fault is gone
//! the log works again.

use selvedge_codec::{ByteLength, Ordinal, ThreadId};

use super::faulty_disk::{ALL_OPS, EIO, ENOSPC, Fault, FaultyDisk, Op};
use super::*;
use crate::log::LogState;
use crate::{CorruptReason, Error, Result};

struct Fixture {
    home: TestHome,
    disk: FaultyDisk,
    id: ThreadId,
}

impl Fixture {
    fn new() -> Self {
        Self {
            home: TestHome::new(),
            disk: FaultyDisk::default(),
            id: ThreadId::generate(),
        }
    }

    fn context(&self) -> LogContext {
        self.home.context_on(Arc::new(self.disk.clone()))
    }

    fn create(&self) -> ThreadLog {
        ThreadLog::create(self.context(), new_thread(self.id))
    }

    /// A live log that holds "one".
    fn live(&self) -> ThreadLog {
        let mut log = self.create();
        append(&mut log, "one");
        log
    }

    fn messages(&self, log: &ThreadLog) -> Vec<String> {
        messages(&native_records(&self.home.bytes(log.path())))
    }
}

fn try_append(log: &mut ThreadLog, text: &str) -> Result<()> {
    log.append(vec![vec![message(text)]]).map(drop)
}

#[test]
fn a_full_disk_loses_nothing_and_is_left_behind_once_there_is_room() {
    let fixture = Fixture::new();
    let mut log = fixture.live();
    fixture.disk.inject(Fault {
        short: 30,
        ..Fault::on_logs(Op::Write, ENOSPC)
    });
    for _ in 0..3 {
        let refused = try_append(&mut log, "refused");
        assert!(
            matches!(refused, Err(Error::OutOfSpace { .. })),
            "{refused:?}"
        );
        assert_eq!(log.state(), LogState::Failed);
        assert!(matches!(log.failure(), Some(Error::OutOfSpace { .. })));
        assert_eq!(fixture.messages(&log), ["one"]);
    }
    fixture.disk.heal();
    try_append(&mut log, "two").unwrap();
    assert_eq!(
        (log.state(), log.next_ordinal()),
        (LogState::Live, Ordinal::new(3))
    );
    assert!(log.failure().is_none());
    assert_eq!(fixture.messages(&log), ["one", "two"]);
}

#[test]
fn a_write_that_can_not_be_cut_off_at_once_is_cut_off_before_the_next() {
    for short in [1, 30, 10_000] {
        let fixture = Fixture::new();
        let mut log = fixture.live();
        let whole = fixture.home.bytes(log.path()).len();
        fixture.disk.inject(Fault {
            short,
            ..Fault::once(Op::Write, EIO)
        });
        fixture.disk.inject(Fault::once(Op::SetLen, EIO));
        let batches = vec![vec![message("refused")], vec![message("refused too")]];
        assert!(log.append(batches).is_err());
        assert!(fixture.home.bytes(log.path()).len() > whole);
        // Shorter than what lies there still.
        try_append(&mut log, "2").unwrap();
        assert_eq!(fixture.messages(&log), ["one", "2"]);
        log.close().unwrap();
    }
}

#[test]
fn after_a_failed_sync_the_lost_bytes_are_written_again_through_another_handle() {
    let fixture = Fixture::new();
    let mut log = fixture.live();
    log.sync().unwrap();
    try_append(&mut log, "two").unwrap();
    let job = log.begin_sync().unwrap();
    try_append(&mut log, "three").unwrap();
    fixture.disk.inject(Fault {
        loses: true,
        ..Fault::once(Op::Sync, EIO)
    });
    let failed = log.finish_sync(job.run());
    assert!(
        matches!(
            failed,
            Err(Error::Io {
                operation: "sync",
                ..
            })
        ),
        "{failed:?}"
    );
    assert_eq!(fixture.messages(&log), ["one"]);
    assert_eq!(
        (log.state(), log.durable_next_ordinal()),
        (LogState::Failed, Ordinal::new(2))
    );
    // A waiter that comes late is told as well.
    let told = log.begin_sync().unwrap().run();
    assert!(log.finish_sync(told).is_err());
    fixture.disk.forget();
    log.recover().unwrap();
    assert_eq!(log.durable_next_ordinal(), Ordinal::new(4));
    assert_eq!(fixture.disk.count(Op::Open, "rollout-"), 1);
    assert_eq!(fixture.messages(&log), ["one", "two", "three"]);
    fixture.disk.lose_power(&fixture.home.file(log.path()));
    assert_eq!(fixture.messages(&log), ["one", "two", "three"]);
}

#[test]
fn a_handle_whose_sync_failed_is_not_asked_again() {
    let fixture = Fixture::new();
    let mut log = fixture.live();
    let first = log.begin_sync().unwrap();
    try_append(&mut log, "two").unwrap();
    let second = log.begin_sync().unwrap();
    fixture.disk.inject(Fault::once(Op::Sync, EIO));
    let failed = first.run();
    fixture.disk.forget();
    let second = second.run();
    assert_eq!(fixture.disk.count(Op::Sync, ""), 0);
    assert!(log.finish_sync(second).is_err());
    assert_eq!(log.durable_next_ordinal(), Ordinal::ZERO);
    // What was recovered since does not fail again by what is told late.
    log.recover().unwrap();
    assert_eq!(log.finish_sync(failed).unwrap(), Ordinal::new(3));
    assert_eq!(log.state(), LogState::Live);
}

#[test]
fn what_a_dead_writer_left_unsynced_is_written_again_when_its_sync_fails() {
    let fixture = Fixture::new();
    let log = fixture.live();
    let (path, file) = (log.path().clone(), fixture.home.file(log.path()));
    drop(log);
    let (mut log, _) = ThreadLog::open(fixture.context(), fixture.id, &path).unwrap();
    fixture.disk.inject(Fault::once(Op::Sync, EIO));
    assert!(log.sync().is_err());
    fixture.disk.forget();
    log.recover().unwrap();
    assert_eq!(fixture.disk.count(Op::Write, "rollout-"), 2);
    assert_eq!(log.durable_next_ordinal(), Ordinal::new(2));
    fixture.disk.lose_power(&file);
    assert_eq!(fixture.messages(&log), ["one"]);

    // Where the medium has lost it, that is said rather than believed.
    log.close().unwrap();
    let whole = fixture.home.bytes(&path).to_vec();
    let mut lost = whole.clone();
    lost.last_mut().map(|byte| *byte ^= 1).unwrap();
    fixture.disk.set_durable(&file, &lost);
    let (mut log, _) = ThreadLog::open(fixture.context(), fixture.id, &path).unwrap();
    fixture.disk.inject(Fault {
        loses: true,
        ..Fault::once(Op::Sync, EIO)
    });
    assert!(log.sync().is_err());
    assert!(matches!(
        log.recover(),
        Err(Error::Corrupt {
            why: CorruptReason::Lost,
            ..
        })
    ));
    assert_eq!(log.state(), LogState::Failed);
}

#[test]
fn a_handle_with_unsynced_bytes_is_not_given_back_before_they_are_synced() {
    let fixture = Fixture::new();
    let mut log = fixture.live();
    fixture.disk.inject(Fault::on_logs(Op::Sync, EIO));
    assert!(log.release_handle().is_err());
    assert!(log.has_handle());
    assert!(log.close().is_err());
    assert_ne!(log.state(), LogState::Closed);
    assert!(log.unsynced_bytes() > ByteLength::ZERO);
    fixture.disk.heal();
    log.release_handle().unwrap();
    assert!(!log.has_handle());
    assert_eq!(log.durable_next_ordinal(), Ordinal::new(2));
    log.close().unwrap();
}

#[test]
fn a_new_log_s_folders_are_synced_once_and_its_own_with_each_log() {
    let fixture = Fixture::new();
    let context = fixture.context();
    let mut first = ThreadLog::create(context.clone(), new_thread(fixture.id));
    append(&mut first, "one");
    assert_eq!(fixture.disk.count(Op::SyncDir, ""), 0);
    first.sync().unwrap();
    let root = fixture.home.home().root().to_path_buf();
    let below = |text: &str| fixture.home.home().resolve(text);
    let day = below("sessions/2026/02/20");
    assert_eq!(
        fixture.disk.paths(Op::SyncDir),
        [
            day.clone(),
            below("sessions/2026/02"),
            below("sessions/2026"),
            below("sessions"),
            root.clone(),
            // The home's own entry.
            root.join(".."),
        ]
    );
    append(&mut first, "two");
    first.sync().unwrap();
    assert_eq!(fixture.disk.count(Op::SyncDir, ""), 6);
    fixture.disk.forget();
    let mut second = ThreadLog::create(context, new_thread(ThreadId::generate()));
    append(&mut second, "one");
    second.sync().unwrap();
    assert_eq!(fixture.disk.paths(Op::SyncDir), [day]);
}

#[test]
fn a_log_whose_folder_is_not_synced_is_not_durable() {
    let fixture = Fixture::new();
    let mut log = fixture.live();
    fixture.disk.inject(Fault {
        on: "2026",
        ..Fault::on_logs(Op::SyncDir, EIO)
    });
    assert!(log.sync().is_err());
    assert!(log.recover().is_err());
    assert_eq!(log.durable_next_ordinal(), Ordinal::ZERO);
    fixture.disk.heal();
    log.sync().unwrap();
    assert_eq!(log.durable_next_ordinal(), Ordinal::new(2));
}

#[test]
fn an_append_is_one_write_and_nothing_else() {
    let fixture = Fixture::new();
    let mut log = fixture.live();
    fixture.disk.forget();
    log.append(vec![
        vec![message("two"), message("three")],
        vec![message("four")],
    ])
    .unwrap();
    let calls: usize = ALL_OPS
        .into_iter()
        .map(|op| fixture.disk.count(op, ""))
        .sum();
    assert_eq!((calls, fixture.disk.count(Op::Write, "rollout-")), (1, 1));
}

#[test]
fn a_thread_is_marked_before_its_file_is_touched() {
    let fixture = Fixture::new();
    let touched = || {
        let changes = [Op::Write, Op::SetLen, Op::CreateDir, Op::Rename];
        let calls = fixture.disk.calls();
        let changed = calls.into_iter().filter(|(op, _)| changes.contains(op));
        changed
            .map(|(_, path)| path.to_string_lossy().contains("sessions"))
            .collect::<Vec<bool>>()
    };
    let log = fixture.live();
    let path = log.path().clone();
    let first = touched().iter().position(|is_log| *is_log).unwrap();
    let marks = crate::home::marks::read_all(&RealDisk, &fixture.home.home()).unwrap();
    assert_eq!(marks[0].threads, [(fixture.id, path.clone())]);
    // Folders, file, and its name.
    assert!(first >= 3);
    drop(log);
    let bytes = fixture.home.bytes(&path);
    fixture
        .home
        .put(path.as_str(), &[&bytes[..], b"torn"].concat());
    fixture.disk.forget();
    let (_log, _) = ThreadLog::open(fixture.context(), fixture.id, &path).unwrap();
    let touched = touched();
    let first = touched.iter().position(|is_log| *is_log).unwrap();
    assert!(first >= 3 && touched.len() > first);
}

#[test]
fn a_torn_tail_is_kept_and_cut_off_durably_before_anything_is_written() {
    let fixture = Fixture::new();
    let mut log = fixture.live();
    log.close().unwrap();
    let (path, file) = (log.path().clone(), fixture.home.file(log.path()));
    let whole = fixture.home.bytes(&path);
    let torn = [&whole[..], b"torn"].concat();
    fixture.home.put(path.as_str(), &torn);
    fixture.disk.set_durable(&file, &torn);
    let (log, report) = ThreadLog::open(fixture.context(), fixture.id, &path).unwrap();
    drop(log);
    let kept = report.kept_in.unwrap();
    fixture.disk.lose_power(&file);
    fixture.disk.lose_power(&kept);
    assert_eq!(fixture.home.bytes(&path), whole);
    assert_eq!(bytes_of(&kept), b"torn".as_slice());
    let kept = kept.to_string_lossy().into_owned();
    let calls = fixture.disk.calls();
    let place = |op: Op, on: &str| {
        let is_it =
            |(called, path): &(Op, PathBuf)| *called == op && path.to_string_lossy().ends_with(on);
        calls.iter().rposition(is_it).unwrap()
    };
    assert!(place(Op::Sync, &kept) < place(Op::SetLen, path.as_str()));
    assert!(place(Op::SyncDir, "sessions/2026/02/20") < place(Op::SetLen, path.as_str()));
}

/// One step of a script, which has to go well when it is tried again after a fault.
fn retried(disk: &FaultyDisk, mut step: impl FnMut() -> Result<()>) -> bool {
    match step() {
        Ok(()) => false,
        Err(_) => {
            disk.heal();
            step().unwrap();
            true
        }
    }
}

/// The life of a thread. Returns how often a step had to be tried again, and the log.
fn script(fixture: &Fixture) -> (usize, ThreadLog) {
    let disk = &fixture.disk;
    let context = fixture.context();
    let mut failed = 0;
    let mut log = ThreadLog::create(context.clone(), new_thread(fixture.id));
    failed += usize::from(retried(disk, || log.materialize()));
    for text in ["one", "two"] {
        failed += usize::from(retried(disk, || try_append(&mut log, text)));
    }
    failed += usize::from(retried(disk, || log.release_handle()));
    failed += usize::from(retried(disk, || try_append(&mut log, "three")));
    failed += usize::from(retried(disk, || log.close()));
    let path = log.path().clone();
    // A killed writer leaves half a batch.
    let bytes = fixture.home.bytes(&path);
    fixture
        .home
        .put(path.as_str(), &[&bytes[..], b"half a batch"].concat());
    let mut opened = None;
    failed += usize::from(retried(disk, || {
        opened = Some(ThreadLog::open(context.clone(), fixture.id, &path)?.0);
        Ok(())
    }));
    let mut log = opened.unwrap();
    failed += usize::from(retried(disk, || try_append(&mut log, "four")));
    failed += usize::from(retried(disk, || log.close()));
    (failed, log)
}

#[test]
fn a_single_fault_anywhere_costs_a_try_and_nothing_else() {
    let mut faults = 0;
    for op in ALL_OPS {
        for short in [0, 20] {
            for after in 0.. {
                let fixture = Fixture::new();
                fixture.disk.inject(Fault {
                    on: "",
                    after,
                    short,
                    loses: short > 0,
                    ..Fault::once(op, EIO)
                });
                let (failed, log) = script(&fixture);
                faults += failed;
                let found = fixture.messages(&log);
                assert_eq!(found, ["one", "two", "three", "four"], "{op:?} {after}");
                fixture.disk.lose_power(&fixture.home.file(log.path()));
                assert_eq!(fixture.messages(&log), found, "{op:?} {after}");
                if fixture.disk.count(op, "") <= after {
                    break;
                }
            }
        }
    }
    assert!(faults > 50, "{faults}");
}

/// A new thread's file could neither be filled nor removed. Before its maker tried again, another
/// process had found the file and gone on with it; the maker then cut it off and began anew.
#[test]
fn a_file_left_over_is_not_taken_from_whoever_went_on_with_it() {
    for short in [0, 20, 10_000] {
        let fixture = Fixture::new();
        let mut log = fixture.create();
        let fault = Fault {
            short,
            ..Fault::once(Op::Write, EIO)
        };
        fixture.disk.inject(fault);
        fixture.disk.inject(Fault::once(Op::Remove, EIO));
        assert!(log.materialize().is_err());
        let (mut other, _) =
            ThreadLog::open(fixture.home.context(), fixture.id, log.path()).unwrap();
        append(&mut other, "theirs");
        other.close().unwrap();
        let theirs = fixture.home.bytes(log.path());
        for _ in 0..2 {
            assert!(matches!(
                log.materialize(),
                Err(Error::InvalidRequest(crate::InvalidRequest::ThreadExists(
                    _
                )))
            ));
        }
        assert_eq!(fixture.home.bytes(log.path()), theirs);
    }
}
