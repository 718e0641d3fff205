//! What the integration tests share.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::path::Path;

use selvedge::{IndexMode, Item, ListQuery, OpenOptions, Selvedge, StartThread, ThreadSummary};
use serde_json::json;

pub fn user_message(text: &str) -> Item {
    event(&json!({"type": "user_message", "message": text}))
}

pub fn event(payload: &serde_json::Value) -> Item {
    Item::json("event_msg", payload.to_string()).unwrap()
}

/// One turn, as an agent writes it.
pub fn turn(number: usize) -> Vec<Item> {
    let id = format!("turn-{number}");
    vec![
        event(&json!({"type": "task_started", "turn_id": id})),
        user_message(&format!("question {number}")),
        Item::json(
            "response_item",
            json!({"type": "message", "role": "assistant"}).to_string(),
        )
        .unwrap(),
        event(&json!({"type": "task_complete", "turn_id": id})),
    ]
}

pub fn options(home: &Path) -> OpenOptions {
    OpenOptions::new(home).create(true)
}

pub async fn open(home: &Path) -> Selvedge {
    Selvedge::open(options(home)).await.unwrap()
}

pub async fn open_without_index(home: &Path) -> Selvedge {
    Selvedge::open(options(home).index(IndexMode::None))
        .await
        .unwrap()
}

/// A native home of `count` threads, one turn each.
pub async fn fill(home: &Path, count: usize) {
    let selvedge = open(home).await;
    for number in 0..count {
        let start = StartThread {
            cwd: format!("/work/{}", number % 3),
            model_provider: Some(if number % 2 == 0 { "openai" } else { "other" }.into()),
            ..StartThread::default()
        };
        let thread = selvedge.start_thread(start).await.unwrap();
        thread.append(turn(number)).await.unwrap();
    }
    selvedge.shutdown().await.unwrap();
}

/// Every thread of a home, over pages of `limit`.
pub async fn list_all(selvedge: &Selvedge, mut query: ListQuery) -> Vec<ThreadSummary> {
    let mut all = Vec::new();
    loop {
        let page = selvedge.list_threads(query.clone()).await.unwrap();
        all.extend(page.threads);
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return all,
        }
    }
}
