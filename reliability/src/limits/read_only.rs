//! A file system that is mounted anew, read-only.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use selvedge::{IndexMode, OpenOptions, SearchQuery, Selvedge};

use super::notes::{Notes, errno, start};

fn remount(dir: &Path, how: &str) {
    let done = Command::new("mount")
        .args(["-o", &format!("remount,{how}")])
        .arg(dir)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

pub async fn act(dir: &Path) -> String {
    let home = dir.join("home");
    let store = Selvedge::open(OpenOptions::new(&home).create(true))
        .await
        .unwrap();
    let notes = Notes::start(&store).await;
    let mut kept = notes.keep();
    store.shutdown().await.unwrap();
    let modes = [
        IndexMode::Wait(Duration::from_secs(5)),
        IndexMode::Background,
        IndexMode::Existing,
        IndexMode::None,
    ];
    for mode in modes {
        remount(dir, "ro");
        let options = OpenOptions::new(&home).index(mode);
        let store = Selvedge::open(options).await.unwrap();
        kept.check(&store).await;
        let found = store
            .search_threads(SearchQuery {
                term: "says".to_owned(),
                ..SearchQuery::default()
            })
            .await
            .unwrap();
        assert_eq!(found.hits.len(), 1, "{mode:?}");
        let (back, error) = Notes::resume(kept, &store).await.unwrap_err();
        assert_eq!(
            errno(&error),
            Some(Errno::EROFS as i32),
            "{mode:?}: {error}"
        );
        let new = store.start_thread(start()).await.unwrap();
        let item = selvedge::Item::json("event_msg", r#"{"type":"agent_message"}"#).unwrap();
        let error = new.append(vec![item.clone()]).await.unwrap_err();
        assert_eq!(
            errno(&error),
            Some(Errno::EROFS as i32),
            "{mode:?}: {error}"
        );
        back.check(&store).await;
        remount(dir, "rw");
        let mut notes = Notes::resume(back, &store).await.unwrap();
        notes.append(100).await.unwrap();
        new.append(vec![item]).await.unwrap();
        notes.check(&store).await;
        kept = notes.keep();
        drop(new);
        store.shutdown().await.unwrap();
    }
    let store = Selvedge::open(OpenOptions::new(&home)).await.unwrap();
    kept.check(&store).await;
    let report = store.verify().await.unwrap();
    assert!(report.ok, "{report:?}");
    store.shutdown().await.unwrap();
    format!("{} ways to open it", modes.len())
}
