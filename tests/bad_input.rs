//! Bad input costs a clear error and loses nothing.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests prepare and compare plain files beside the engine"
)]

mod common;

use std::fs;

use common::{fill, list_all, open, options, turn, user_message};
use selvedge::{
    AppendOptions, ConflictReason, Error, InvalidRequest, Item, ListQuery, OpenOptions, Selvedge,
    SortKey, StartThread, ThreadId,
};

#[tokio::test]
async fn a_home_that_is_missing_or_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let refused = Selvedge::open(OpenOptions::new(&missing))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, Error::InvalidRequest(InvalidRequest::NoHome(_))),
        "{refused}"
    );
    assert!(!missing.exists(), "a reader made the home");
    let file = folder.path().join("file");
    fs::write(&file, "no home").unwrap();
    for create in [false, true] {
        let refused = Selvedge::open(OpenOptions::new(&file).create(create))
            .await
            .unwrap_err();
        assert!(
            matches!(
                refused,
                Error::InvalidRequest(InvalidRequest::HomeNotADirectory(_))
            ),
            "{refused}"
        );
    }
    assert_eq!(fs::read(&file).unwrap(), b"no home");
}

#[tokio::test]
async fn an_unknown_thread_is_told_apart_from_an_empty_one() {
    let home = tempfile::tempdir().unwrap();
    let selvedge = open(home.path()).await;
    let unknown = ThreadId::generate();
    for refused in [
        selvedge.read_thread(unknown).await.map(drop).unwrap_err(),
        selvedge.load_history(unknown).await.map(drop).unwrap_err(),
        selvedge.resume_thread(unknown).await.map(drop).unwrap_err(),
    ] {
        assert!(
            matches!(refused, Error::ThreadNotFound { thread_id } if thread_id == unknown),
            "{refused}"
        );
    }
    assert!(list_all(&selvedge, ListQuery::default()).await.is_empty());
    selvedge.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_cursor_of_another_query_or_of_nothing_is_refused() {
    let home = tempfile::tempdir().unwrap();
    fill(home.path(), 4).await;
    let selvedge = open(home.path()).await;
    let page = ListQuery {
        limit: 2,
        ..ListQuery::default()
    };
    let cursor = selvedge
        .list_threads(page.clone())
        .await
        .unwrap()
        .next_cursor
        .unwrap();
    for garbage in ["", "x", "AAAA", "ÄÖÜ", &cursor[1..], &format!("{cursor}A")] {
        let asked = ListQuery {
            cursor: Some(garbage.into()),
            ..page.clone()
        };
        let refused = selvedge.list_threads(asked).await.unwrap_err();
        assert!(
            matches!(refused, Error::InvalidRequest(_)),
            "{garbage:?}: {refused}"
        );
    }
    let other = ListQuery {
        cursor: Some(cursor),
        sort: SortKey::Updated,
        ..page.clone()
    };
    let refused = selvedge.list_threads(other).await.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::InvalidRequest(InvalidRequest::CursorOfAnotherQuery)
        ),
        "{refused}"
    );
    let huge = ListQuery {
        limit: usize::MAX,
        ..ListQuery::default()
    };
    let refused = selvedge.list_threads(huge).await.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::InvalidRequest(InvalidRequest::PageSize { .. })
        ),
        "{refused}"
    );
    selvedge.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_append_that_expects_another_ordinal_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let selvedge = open(home.path()).await;
    let thread = selvedge.start_thread(StartThread::default()).await.unwrap();
    let first = thread.append(turn(0)).await.unwrap();
    let stale = AppendOptions {
        expected_next: Some(first.first_ordinal),
        ..AppendOptions::default()
    };
    let refused = thread.append_with(turn(1), stale).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Conflict { reason: ConflictReason::NextOrdinal { actual, .. }, .. }
            if *actual == first.last_ordinal.next()),
        "{refused}"
    );
    let right = AppendOptions {
        expected_next: Some(first.last_ordinal.next()),
        ..AppendOptions::default()
    };
    thread.append_with(turn(1), right).await.unwrap();
    assert_eq!(
        selvedge
            .load_history(thread.thread_id())
            .await
            .unwrap()
            .records
            .len(),
        9
    );
    selvedge.shutdown().await.unwrap();
}

#[tokio::test]
async fn items_that_are_none_are_refused_before_they_reach_a_log() {
    assert!(Item::json("event_msg", "{not json").is_err());
    assert!(Item::json("event_msg", &b"{\"bad\":\"\xff\"}"[..]).is_err());
    assert!(Item::json("", "{}").is_err());
    assert!(Item::json(&"x".repeat(1000), "{}").is_err());
    assert!(Item::json("event_msg", "{} {}").is_err());
    assert!(Item::json("event_msg", "[".repeat(100_000)).is_err());
    let home = tempfile::tempdir().unwrap();
    let selvedge = open(home.path()).await;
    let thread = selvedge.start_thread(StartThread::default()).await.unwrap();
    assert!(thread.append(Vec::new()).await.is_err(), "an empty batch");
    selvedge.shutdown().await.unwrap();
}

/// The CRC-32 of IEEE 802.3, bit by bit: the tests trust no code of the project for it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    })
}

#[tokio::test]
async fn files_that_are_no_logs_are_reported_and_hide_nothing() {
    let home = tempfile::tempdir().unwrap();
    fill(home.path(), 3).await;
    let day = home.path().join("sessions/2026/01/01");
    fs::create_dir_all(&day).unwrap();
    let id = |last: char| format!("019c7a54-be6b-7e31-86dd-b589bd94428{last}");
    fs::write(
        day.join("rollout-nothing.rlog"),
        b"these bytes are no log at all, whatever the name",
    )
    .unwrap();
    fs::write(day.join("empty.rlog"), b"").unwrap();
    fs::write(day.join("nobody.jsonl"), b"{\"half\": ").unwrap();
    fs::create_dir(day.join("folder.jsonl")).unwrap();
    // A later version's header: a good log's with another version, and the checksum of that.
    let selvedge = open(home.path()).await;
    let good = list_all(&selvedge, ListQuery::default()).await;
    assert_eq!(good.len(), 3);
    let mut later = fs::read(home.path().join(&good[0].rollout_path)).unwrap();
    later[8] = 0xEE;
    let checksum = crc32(&later[..44]).to_le_bytes();
    later[44..48].copy_from_slice(&checksum);
    fs::write(
        day.join(format!("rollout-2026-01-01T00-00-00-{}.rlog", id('1'))),
        later,
    )
    .unwrap();
    // A log whose first line is damaged is listed all the same, by its name.
    let lines = [
        &b"{\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"type\":\"session_meta\",\"pay\xff\n"[..],
        b"{\"timestamp\":\"2026-01-01T00:00:01.000Z\",\"type\":\"event_msg\",\"payload\":{\"type\":\"user_message\",\"message\":\"still here\"}}\n",
        b"\xEF\xBB\xBF{\"timestamp\":\"2026-01-01T00:00:02.000Z\",\"type\":\"x\",\"payload\":1}\n",
        b"\n",
        b"{\"timestamp\":\"2026-01-01T00:00:03.000Z\",\"type\":\"x\",\"payload\":{}}\n",
        b"{\"timestamp\":\"2026-01-01T00:00:04.0",
    ];
    fs::write(
        day.join(format!("rollout-2026-01-01T00-00-00-{}.jsonl", id('2'))),
        lines.concat(),
    )
    .unwrap();
    let after = list_all(&selvedge, ListQuery::default()).await;
    assert_eq!(after.len(), 4);
    let damaged: ThreadId = id('2').parse().unwrap();
    let summary = selvedge.read_thread(damaged).await.unwrap();
    assert_eq!(summary.preview, "still here");
    assert_eq!((summary.item_count, summary.damaged_count), (2, 2));
    let history = selvedge.load_history(damaged).await.unwrap();
    assert_eq!((history.records.len(), history.damage.len()), (2, 2));
    assert!(history.torn_tail.is_some());
    let refused = selvedge
        .load_history(id('1').parse().unwrap())
        .await
        .map(drop)
        .unwrap_err();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused}");
    selvedge.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_log_cut_anywhere_keeps_every_whole_batch_and_takes_appends() {
    let home = tempfile::tempdir().unwrap();
    fill(home.path(), 1).await;
    let selvedge = open(home.path()).await;
    let thread = list_all(&selvedge, ListQuery::default()).await.remove(0);
    selvedge.shutdown().await.unwrap();
    let whole = fs::read(home.path().join(&thread.rollout_path)).unwrap();
    for cut in (48..whole.len()).rev().step_by(13) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(&thread.rollout_path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &whole[..cut]).unwrap();
        let selvedge = Selvedge::open(options(home.path())).await.unwrap();
        let before = selvedge.load_history(thread.thread_id).await.unwrap();
        // The meta alone, or nothing: the turn was one batch.
        assert!(before.records.len() <= 1, "half a batch is there");
        assert_eq!(
            fs::read(&path).unwrap(),
            whole[..cut],
            "a reader changed the log"
        );
        let live = selvedge.resume_thread(thread.thread_id).await.unwrap();
        live.append(vec![user_message("on we go")]).await.unwrap();
        live.shutdown().await.unwrap();
        let after = selvedge.load_history(thread.thread_id).await.unwrap();
        assert_eq!(
            after.records.len(),
            before.records.len() + 1,
            "cut at {cut}"
        );
        assert!(after.damage.is_empty());
        let kept = fs::read_dir(path.parent().unwrap())
            .unwrap()
            .filter(|entry| {
                entry
                    .as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .contains(".torn-")
            })
            .count();
        assert_eq!(
            kept,
            usize::from(before.torn_tail.is_some()),
            "the torn bytes are kept beside"
        );
        selvedge.shutdown().await.unwrap();
    }
}
