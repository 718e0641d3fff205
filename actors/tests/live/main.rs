//! Live threads on a real disk, through the public API alone.
#![cfg(test)]

mod damage;
mod disk;
mod faults;
mod forks;
mod handles;
mod json_lines;
mod lifecycle;
mod operations;
mod order;
mod reads;
mod registry;
mod repair;
mod subscriptions;

use std::sync::Arc;
use std::time::Duration;

use selvedge_actors::{OpenOptions, Selvedge, StartThread};
use selvedge_codec::Item;
use tempfile::TempDir;

use disk::TestDisk;

/// A home that a test may open again and again.
struct TestHome {
    dir: TempDir,
    disk: TestDisk,
}

impl TestHome {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            disk: TestDisk::default(),
        }
    }

    fn options(&self) -> OpenOptions {
        OpenOptions::new(self.dir.path())
            .create(true)
            .disk(Arc::new(self.disk.clone()))
    }

    async fn open(&self) -> Selvedge {
        Selvedge::open(self.options()).await.unwrap()
    }

    /// A store that syncs nothing unless it is told to.
    async fn open_lazy(&self) -> Selvedge {
        Selvedge::open(self.options().sync_interval(Duration::from_secs(3600)))
            .await
            .unwrap()
    }
}

/// Something a user says.
fn says(text: &str) -> Item {
    let payload = serde_json::json!({"type": "user_message", "message": text});
    Item::json("event_msg", payload.to_string()).unwrap()
}

/// The end of a turn.
fn turn_ends() -> Item {
    Item::json("event_msg", r#"{"type":"task_complete","turn_id":"1"}"#).unwrap()
}

fn start() -> StartThread {
    StartThread {
        cwd: "/work".into(),
        originator: "tests".into(),
        cli_version: "1".into(),
        source: Some(r#""cli""#.into()),
        model_provider: Some("acme".into()),
        ..StartThread::default()
    }
}
