//! The index may vanish or be damaged in any way: opening again gives the same answers.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests prepare and compare plain files beside the engine"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{fill, list_all, open, open_without_index};
use selvedge::{ListQuery, SortKey, ThreadSummary, Verification};

async fn answers(home: &Path) -> Vec<Vec<ThreadSummary>> {
    let selvedge = open(home).await;
    let mut all = Vec::new();
    for sort in [SortKey::Created, SortKey::Updated, SortKey::Recency] {
        for verification in [Verification::Verified, Verification::IndexOnly] {
            let query = ListQuery {
                sort,
                verification,
                limit: 7,
                ..ListQuery::default()
            };
            all.push(list_all(&selvedge, query).await);
        }
    }
    selvedge.shutdown().await.unwrap();
    all
}

#[tokio::test]
async fn a_deleted_or_damaged_index_gives_the_same_answers() {
    let home = tempfile::tempdir().unwrap();
    fill(home.path(), 40).await;
    let expected = answers(home.path()).await;
    assert_eq!(expected[0].len(), 40);
    let scanning = open_without_index(home.path()).await;
    let scanned = list_all(
        &scanning,
        ListQuery {
            limit: 9,
            ..ListQuery::default()
        },
    )
    .await;
    assert_eq!(scanned, expected[0], "the scan is the oracle");
    scanning.shutdown().await.unwrap();

    let index = home.path().join("index.redb");
    let good = fs::read(&index).unwrap();
    fs::remove_file(&index).unwrap();
    assert_eq!(answers(home.path()).await, expected, "deleted");
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("garbage", b"this is no database".repeat(999)),
        ("cut in half", good[..good.len() / 2].to_vec()),
        ("cut by a byte", good[..good.len() - 1].to_vec()),
        ("zeroed", vec![0; good.len()]),
        ("a longer tail", [good.clone(), vec![7; 5000]].concat()),
    ] {
        fs::write(&index, bytes).unwrap();
        assert_eq!(answers(home.path()).await, expected, "{name}");
    }
    for at in (0..good.len()).step_by(good.len() / 60) {
        let mut flipped = good.clone();
        flipped[at] ^= 0x20;
        fs::write(&index, flipped).unwrap();
        assert_eq!(
            answers(home.path()).await,
            expected,
            "a bit of byte {at} flipped"
        );
    }
}

#[tokio::test]
async fn an_index_deleted_under_an_open_home_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    fill(home.path(), 5).await;
    let selvedge = open(home.path()).await;
    let before = list_all(&selvedge, ListQuery::default()).await;
    fs::remove_file(home.path().join("index.redb")).unwrap();
    assert_eq!(list_all(&selvedge, ListQuery::default()).await, before);
    selvedge.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_moved_or_deleted_log_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    fill(home.path(), 6).await;
    let selvedge = open(home.path()).await;
    let before = list_all(&selvedge, ListQuery::default()).await;
    let moved = home.path().join(&before[2].rollout_path);
    let archive = home.path().join("archived_sessions");
    fs::create_dir_all(&archive).unwrap();
    fs::rename(&moved, archive.join(moved.file_name().unwrap())).unwrap();
    fs::remove_file(home.path().join(&before[4].rollout_path)).unwrap();
    let after = list_all(&selvedge, ListQuery::default()).await;
    let kept: Vec<_> = [0, 1, 3, 5]
        .into_iter()
        .map(|at| before[at].thread_id)
        .collect();
    assert_eq!(
        after
            .iter()
            .map(|thread| thread.thread_id)
            .collect::<Vec<_>>(),
        kept
    );
    let archived = ListQuery {
        filter: selvedge::ThreadFilter {
            archived: true,
            ..Default::default()
        },
        ..ListQuery::default()
    };
    let archived = list_all(&selvedge, archived).await;
    assert_eq!(archived.len(), 1);
    assert_eq!(archived[0].thread_id, before[2].thread_id);
    assert!(selvedge.read_thread(before[4].thread_id).await.is_err());
    selvedge.shutdown().await.unwrap();
}
