//! A parent and a hundred sub-agents, live at once: each has a thread of its own, writes it
//! beside the others, and is found below its parent. Run it with
//! `cargo run --example subagents`.

use std::sync::Arc;

use selvedge::{
    Item, ListQuery, LocalThreadStore, OpenOptions, StartThread, ThreadFilter, ThreadHandle,
    ThreadId, ThreadManager, ThreadStore,
};
use serde_json::json;
use tokio::task::JoinSet;

type Done<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const CHILDREN: usize = 100;

/// A turn of a thread: what it is asked, and what it says.
async fn turn(thread: &ThreadHandle, asked: &str, said: &str) -> Done<()> {
    let event = |payload: serde_json::Value| Item::json("event_msg", payload.to_string());
    let turn_id = "turn-1";
    thread
        .append(vec![
            event(json!({"type": "task_started", "turn_id": turn_id}))?,
            event(json!({"type": "user_message", "message": asked}))?,
        ])
        .await?;
    thread
        .append(vec![
            event(json!({"type": "agent_message", "message": said}))?,
            event(json!({"type": "task_complete", "turn_id": turn_id}))?,
        ])
        .await?;
    Ok(())
}

/// What a sub-agent is started with: who started it, and how it is called.
fn child_of(parent: ThreadId, number: usize) -> StartThread {
    let spawn = json!({"subagent": {"thread_spawn": {"parent_thread_id": parent.to_string()}}});
    StartThread {
        cwd: "/work/project".into(),
        source: Some(spawn.to_string()),
        thread_source: Some("subagent".into()),
        parent_thread_id: Some(parent),
        agent_nickname: Some(format!("worker-{number}")),
        agent_role: Some("worker".into()),
        ..StartThread::default()
    }
}

/// The threads below a parent, page by page.
async fn below(store: &dyn ThreadStore, parent: ThreadId) -> Done<Vec<ThreadId>> {
    let mut query = ListQuery {
        filter: ThreadFilter {
            ancestor: Some(parent),
            ..ThreadFilter::default()
        },
        limit: 30,
        ..ListQuery::default()
    };
    let mut found = Vec::new();
    loop {
        let page = store.list_threads(query.clone()).await?;
        found.extend(page.threads.iter().map(|thread| thread.thread_id));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            return Ok(found);
        }
    }
}

#[tokio::main]
async fn main() -> Done<()> {
    let dir = tempfile::tempdir()?;
    let store = LocalThreadStore::open(OpenOptions::new(dir.path()).create(true)).await?;
    let manager = ThreadManager::new(Arc::new(store.clone()));
    let parent = manager.start(StartThread::default()).await?;
    turn(&parent, "Look at every file", "A worker for each").await?;

    // All of them write at once. Each is a task of its own, as it would be with a model behind it.
    let mut working = JoinSet::new();
    for number in 0..CHILDREN {
        let (manager, parent) = (manager.clone(), parent.thread_id());
        working.spawn(async move {
            let child = manager.start(child_of(parent, number)).await?;
            turn(&child, &format!("Look at file {number}"), "It is fine").await?;
            Done::Ok(child.thread_id())
        });
    }
    let mut children = Vec::new();
    while let Some(done) = working.join_next().await {
        children.push(done??);
    }
    assert_eq!(manager.loaded().await?.len(), CHILDREN + 1);

    // An idle live thread costs memory alone. What its parent hears of it comes by subscription.
    let first = children.first().copied().ok_or("a hundred children")?;
    let told = manager.look_up(first).await?.ok_or("a live thread")?;
    let from = manager.store().read_thread(first).await?.next_ordinal;
    let mut subscription = told.subscribe(from).await?;
    turn(&told, "Look again", "Still fine").await?;
    for _ in 0..4 {
        assert!(subscription.next().await?.is_some());
    }

    let mut found = below(manager.store(), parent.thread_id()).await?;
    found.sort();
    children.sort();
    assert_eq!(found, children);

    // The parent is done, and with it its workers: they stay where they can be read.
    for id in children {
        manager.remove(id).await?;
    }
    manager.remove(parent.thread_id()).await?;
    assert!(manager.loaded().await?.is_empty());
    assert_eq!(
        below(manager.store(), parent.thread_id()).await?.len(),
        CHILDREN
    );
    store.selvedge().clone().shutdown().await?;
    Ok(())
}
