//! What an agent runtime does with Selvedge: a turn that is kept, a list that is paged, a thread
//! that is resumed. Run it with `cargo run --example embed`.

use selvedge::{
    AppendOptions, Durability, Item, ListQuery, LiveThread, OpenOptions, Selvedge, StartThread,
};

type Done<T> = Result<T, Box<dyn std::error::Error>>;

/// One turn: what the user asks, what the agent does, and the end, after which it is durable.
async fn turn(thread: &LiveThread, number: u32) -> Done<()> {
    let event = |payload: String| Item::json("event_msg", payload);
    thread
        .append(vec![
            event(format!(
                r#"{{"type":"task_started","turn_id":"turn-{number}"}}"#
            ))?,
            event(format!(
                r#"{{"type":"user_message","message":"Step {number}, please"}}"#
            ))?,
        ])
        .await?;
    // An append that another process must be able to rely on after a power loss says so.
    let options = AppendOptions {
        durability: Durability::Synced,
        ..AppendOptions::default()
    };
    let said = r#"{"type":"message","role":"assistant","content":[]}"#;
    thread
        .append_with(vec![Item::json("response_item", said)?], options)
        .await?;
    let ack = thread
        .append(vec![event(format!(
            r#"{{"type":"task_complete","turn_id":"turn-{number}"}}"#
        ))?])
        .await?;
    assert_eq!(ack.durability, Durability::Synced);
    Ok(())
}

#[tokio::main]
async fn main() -> Done<()> {
    let dir = tempfile::tempdir()?;
    let home = Selvedge::open(OpenOptions::new(dir.path()).create(true)).await?;
    let mut last = None;
    for number in 1..=3 {
        let thread = home
            .start_thread(StartThread {
                cwd: format!("/work/project-{number}"),
                ..StartThread::default()
            })
            .await?;
        turn(&thread, number).await?;
        thread.shutdown().await?;
        last = Some(thread.thread_id());
    }

    // Two pages of two: the cursor is all that is kept between them.
    let mut query = ListQuery {
        limit: 2,
        ..ListQuery::default()
    };
    let mut listed = 0;
    loop {
        let page = home.list_threads(query.clone()).await?;
        listed += page.threads.len();
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(listed, 3);

    if let Some(id) = last {
        let thread = home.resume_thread(id).await?;
        turn(&thread, 4).await?;
        let history = home.load_history(id).await?;
        assert_eq!(history.records.len(), 9);
    }
    home.shutdown().await?;
    Ok(())
}
