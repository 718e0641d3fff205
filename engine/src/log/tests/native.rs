//! Native logs on the machine's file system.

use std::os::unix::fs::PermissionsExt;

use selvedge_codec::{ByteLength, Ordinal, ThreadId, TurnId};

use super::*;
use crate::log::recovery::Row;
use crate::log::{LogState, MAX_UNSYNCED_BYTES};
use crate::{Error, InvalidRequest};

#[test]
fn what_was_appended_is_found_by_the_next_writer_who_goes_on() {
    let home = TestHome::new();
    let id = ThreadId::generate();
    let mut log = ThreadLog::create(home.context(), new_thread(id));
    assert_eq!(log.next_ordinal(), Ordinal::new(1));
    let first = append(&mut log, "one");
    assert_eq!(first.first_ordinal, Ordinal::new(1));
    let two = log
        .append(vec![
            vec![message("two"), message("three")],
            vec![message("four")],
        ])
        .unwrap();
    assert_eq!(
        two.iter()
            .map(|batch| (batch.first_ordinal.get(), batch.last_ordinal.get()))
            .collect::<Vec<_>>(),
        [(2, 3), (4, 4)]
    );
    assert_eq!(log.durable_next_ordinal(), Ordinal::ZERO);
    log.sync().unwrap();
    assert_eq!(log.durable_next_ordinal(), Ordinal::new(5));
    assert_eq!(log.unsynced_bytes(), ByteLength::ZERO);
    log.close().unwrap();
    assert_eq!(log.state(), LogState::Closed);

    let path = log.path().clone();
    let (mut log, report) = ThreadLog::open(home.context(), id, &path).unwrap();
    assert_eq!(
        (report.row, report.next_ordinal),
        (Row::Clean, Ordinal::new(5))
    );
    append(&mut log, "five");
    log.close().unwrap();
    let records = native_records(&home.bytes(&path));
    assert_eq!(messages(&records), ["one", "two", "three", "four", "five"]);
    assert_eq!(records[0].record_type.as_str(), "session_meta");
    assert_eq!(records[0].time, START);
}

#[test]
fn a_new_thread_is_not_on_disk_before_it_is_persisted_and_leaves_nothing_when_discarded() {
    let home = TestHome::new();
    let context = home.context();
    let mut log = ThreadLog::create(context.clone(), new_thread(ThreadId::generate()));
    assert_eq!(log.state(), LogState::Deferred);
    assert!(log.begin_sync().is_none());
    log.discard().unwrap();
    log.discard().unwrap();
    assert!(RealDisk.list(home.home().root()).unwrap().is_empty());
    assert!(matches!(
        log.append(vec![vec![message("late")]]),
        Err(Error::Closed { .. })
    ));

    let mut log = ThreadLog::create(context, new_thread(ThreadId::generate()));
    log.materialize().unwrap();
    log.materialize().unwrap();
    assert_eq!(
        (log.state(), log.next_ordinal()),
        (LogState::Live, Ordinal::new(1))
    );
    assert!(log.discard().is_err());
    assert_eq!(native_records(&home.bytes(log.path())).len(), 1);
}

#[test]
fn logs_and_their_folders_are_for_their_owner_alone() {
    let home = TestHome::new();
    let mut log = ThreadLog::create(home.context(), new_thread(ThreadId::generate()));
    append(&mut log, "private");
    let mut path = home.file(log.path());
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    for _ in ["day", "month", "year", "sessions"] {
        path.pop();
        assert_eq!(mode(&path), 0o700, "{}", path.display());
    }
}

#[test]
fn a_thread_whose_file_exists_is_not_made_again() {
    let home = TestHome::new();
    let id = ThreadId::generate();
    let mut first = ThreadLog::create(home.context(), new_thread(id));
    append(&mut first, "kept");
    first.close().unwrap();
    let mut second = ThreadLog::create(home.context(), new_thread(id));
    let refused = second.append(vec![vec![message("lost")]]);
    assert!(matches!(
        refused,
        Err(Error::InvalidRequest(InvalidRequest::ThreadExists(_)))
    ));
    assert_eq!(second.state(), LogState::Deferred);
    assert_eq!(
        messages(&native_records(&home.bytes(first.path()))),
        ["kept"]
    );
    // Its lock is free again.
    ThreadLog::open(home.context(), id, first.path()).unwrap();
}

#[test]
fn an_item_that_can_not_be_encoded_changes_nothing() {
    let home = TestHome::new();
    let mut log = ThreadLog::create(home.context(), new_thread(ThreadId::generate()));
    append(&mut log, "one");
    for batches in [
        vec![vec![message("two")], vec![]],
        vec![vec![message("two"), message("three")], vec![]],
    ] {
        assert!(matches!(
            log.append(batches),
            Err(Error::InvalidRequest(InvalidRequest::Codec(_)))
        ));
    }
    assert_eq!(log.append(vec![]).unwrap(), []);
    assert_eq!(log.state(), LogState::Live);
    assert_eq!(append(&mut log, "two").first_ordinal, Ordinal::new(2));
    assert_eq!(
        messages(&native_records(&home.bytes(log.path()))),
        ["one", "two"]
    );
}

#[test]
fn items_belong_to_the_turn_that_is_open() {
    let home = TestHome::new();
    let id = ThreadId::generate();
    let mut log = ThreadLog::create(home.context(), new_thread(id));
    let turn = TurnId::from_text("turn 7");
    let appended = log
        .append(vec![
            vec![event("turn_started", "turn 7"), message("within")],
            vec![message("also within")],
        ])
        .unwrap();
    assert!(appended.iter().all(|batch| !batch.ends_turn));
    assert_eq!(log.current_turn(), Some(&turn));
    log.close().unwrap();
    let path = log.path().clone();
    let (mut log, _) = ThreadLog::open(home.context(), id, &path).unwrap();
    assert_eq!(log.current_turn(), Some(&turn));
    let ended = log
        .append(vec![
            vec![event("turn_completed", "turn 7")],
            vec![message("outside")],
        ])
        .unwrap();
    assert_eq!([ended[0].ends_turn, ended[1].ends_turn], [true, false]);
    assert_eq!(log.current_turn(), None);
    let records = native_records(&home.bytes(&path));
    let turns: Vec<bool> = records
        .iter()
        .map(|record| record.turn_id.as_ref() == Some(&turn))
        .collect();
    assert_eq!(turns, [false, true, true, true, true, false]);
}

#[test]
fn an_idle_log_holds_no_handle_and_no_buffer_and_is_written_on_all_the_same() {
    let home = TestHome::new();
    let mut log = ThreadLog::create(home.context(), new_thread(ThreadId::generate()));
    append(&mut log, "one");
    assert!(log.has_handle());
    log.release_handle().unwrap();
    assert!(!log.has_handle());
    assert_eq!(log.durable_next_ordinal(), log.next_ordinal());
    assert_eq!(log.unsynced_bytes(), ByteLength::ZERO);
    append(&mut log, "two");
    assert!(log.has_handle());
    assert_eq!(
        messages(&native_records(&home.bytes(log.path()))),
        ["one", "two"]
    );
    assert!(size_of::<ThreadLog>() <= 768, "{}", size_of::<ThreadLog>());
}

#[test]
fn writes_go_on_during_a_sync_and_its_end_tells_what_it_covered() {
    let home = TestHome::new();
    let mut log = ThreadLog::create(home.context(), new_thread(ThreadId::generate()));
    append(&mut log, "one");
    let older = log.begin_sync().unwrap();
    append(&mut log, "two");
    let newer = log.begin_sync().unwrap();
    append(&mut log, "three");
    let newer = std::thread::spawn(|| newer.run()).join().unwrap();
    assert_eq!(log.finish_sync(newer).unwrap(), Ordinal::new(3));
    assert!(log.unsynced_bytes() > ByteLength::ZERO);
    assert_eq!(log.finish_sync(older.run()).unwrap(), Ordinal::new(3));
    // A job that outlives its log does no harm.
    let late = log.begin_sync().unwrap();
    log.close().unwrap();
    assert_eq!(log.finish_sync(late.run()).unwrap(), Ordinal::new(4));
    assert_eq!(
        messages(&native_records(&home.bytes(log.path()))),
        ["one", "two", "three"]
    );
}

#[test]
fn what_waits_for_a_sync_in_memory_is_bounded() {
    let home = TestHome::new();
    let mut log = ThreadLog::create(home.context(), new_thread(ThreadId::generate()));
    let body = vec![7_u8; MAX_UNSYNCED_BYTES / 4];
    for _ in 0..8 {
        let item = Item::binary("blob", body.clone()).unwrap();
        log.append(vec![vec![item]]).unwrap();
        assert!(log.unsynced_bytes().get() <= MAX_UNSYNCED_BYTES as u64);
    }
    assert!(log.durable_next_ordinal() > Ordinal::ZERO);
    let large = Item::binary("blob", vec![8; MAX_UNSYNCED_BYTES + 1]).unwrap();
    log.append(vec![vec![large]]).unwrap();
    append(&mut log, "after");
    assert!(log.unsynced_bytes().get() < 1000);
    assert_eq!(native_records(&home.bytes(log.path())).len(), 11);
}

/// An append that could not be encoded was refused, and had put its new thread on disk before.
#[test]
fn a_first_append_that_is_refused_leaves_nothing() {
    let home = TestHome::new();
    let mut log = ThreadLog::create(home.context(), new_thread(ThreadId::generate()));
    let nameless = Item {
        record_type: selvedge_codec::RecordType::Other("".into()),
        ..message("one")
    };
    for batches in [vec![vec![]], vec![vec![message("one")], vec![nameless]]] {
        assert!(log.append(batches).is_err());
        assert_eq!(log.state(), LogState::Deferred);
        assert!(RealDisk.stat(&home.file(log.path())).is_err());
    }
    log.discard().unwrap();
    assert!(RealDisk.list(home.home().root()).unwrap().is_empty());
}

/// There may be a hundred thousand idle threads.
#[test]
fn an_idle_log_is_small() {
    assert!(size_of::<ThreadLog>() <= 384, "{}", size_of::<ThreadLog>());
}
