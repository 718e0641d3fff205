//! Calls that name a path.

use std::path::{Path, PathBuf};

use super::support::*;

pub(super) async fn a_path_leads_to_its_thread_where_there_are_paths(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    on.store.flush_thread(id).await.unwrap();
    let summary = on.read(id).await;
    let path = PathBuf::from(&summary.rollout_path);
    let found = on.store.read_thread_by_path(&path).await;
    if on.abilities().paths {
        assert!(!summary.rollout_path.is_empty());
        assert_eq!(found.unwrap(), summary);
    } else {
        assert_eq!(summary.rollout_path, "");
        invalid!(found, NoPaths);
    }
}

pub(super) async fn a_path_that_leads_to_no_thread_is_refused(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    on.store.delete_thread(id).await.unwrap();
    let nowhere = [
        "",
        "/",
        "sessions",
        "sessions/none.rlog",
        "../sessions/none.rlog",
        "/nowhere/none.jsonl",
        "index.redb",
    ];
    let mut paths: Vec<PathBuf> = nowhere.into_iter().map(PathBuf::from).collect();
    paths.push(Path::new("sessions").join(not_unicode()));
    for path in paths {
        let answer = on.store.read_thread_by_path(&path).await;
        if on.abilities().paths {
            invalid!(answer, NotALogOfTheHome(_));
        } else {
            invalid!(answer, NoPaths);
        }
    }
}

#[cfg(unix)]
fn not_unicode() -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(b"\xff\xfe.rlog".to_vec())
}

#[cfg(not(unix))]
fn not_unicode() -> std::ffi::OsString {
    "none.rlog".into()
}
