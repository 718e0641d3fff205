//! Live threads whose logs are JSON lines, which the tool that owns them may write to as well.

use std::path::{Path, PathBuf};

use selvedge_actors::AppendOptions;
use selvedge_codec::{ByteOffset, Item, Ordinal, PayloadEncoding, ThreadId};
use selvedge_engine::disk::{Disk, OpenMode, RealDisk};
use selvedge_engine::listing::ListQuery;
use selvedge_engine::{ConflictReason, Error};
use selvedge_store::ThreadEvent;

use crate::subscriptions::ordinals;
use crate::{TestHome, says};

const ID: &str = "019c993a-e658-7d72-842e-543938ee31cb";

fn line(text: &str) -> String {
    let payload = serde_json::json!({"type": "user_message", "message": text});
    format!(
        "{{\"timestamp\":\"2026-02-26T09:15:01.000Z\",\"type\":\"event_msg\",\"payload\":{payload}}}\n"
    )
}

/// A home with one thread of another tool.
fn foreign(home: &TestHome) -> PathBuf {
    let mut dir = home.dir.path().to_path_buf();
    for part in ["sessions", "2026", "02", "26"] {
        dir.push(part);
        RealDisk.create_dir(&dir).unwrap();
    }
    let file = dir.join(format!("rollout-2026-02-26T09-15-00-{ID}.jsonl"));
    let meta = format!(
        "{{\"timestamp\":\"2026-02-26T09:15:00.000Z\",\"type\":\"session_meta\",\"payload\":{{\"id\":\"{ID}\",\"cwd\":\"/w\"}}}}\n"
    );
    RealDisk.open(&file, OpenMode::CreateNew).unwrap();
    write(&file, &meta);
    write(&file, &line("theirs"));
    file
}

/// What the other tool does: it appends.
fn write(file: &Path, text: &str) {
    let file = RealDisk.open(file, OpenMode::Write).unwrap();
    let end = file.len().unwrap();
    file.write_all_at(text.as_bytes(), ByteOffset::new(end.get()))
        .unwrap();
}

#[tokio::test]
async fn a_thread_of_another_tool_is_resumed_in_place() {
    let home = TestHome::new();
    let file = foreign(&home);
    let id: ThreadId = ID.parse().unwrap();
    let store = home.open().await;
    let thread = store.resume_thread(id).await.unwrap();
    let ack = thread.append(vec![says("ours")]).await.unwrap();
    assert_eq!(ack.first_ordinal, Ordinal::new(2));
    write(&file, &line("theirs again"));
    let expecting = |ordinal| AppendOptions {
        expected_next: Some(Ordinal::new(ordinal)),
        ..AppendOptions::default()
    };
    let refused = thread.append_with(vec![says("late")], expecting(3)).await;
    assert!(
        matches!(
            refused,
            Err(Error::Conflict {
                reason: ConflictReason::NextOrdinal { actual, .. },
                ..
            }) if actual == Ordinal::new(4)
        ),
        "{refused:?}"
    );
    let ack = thread
        .append_with(vec![says("ours"), says("and ours")], expecting(4))
        .await
        .unwrap();
    assert_eq!(ack.last_ordinal, Ordinal::new(5));
    let flushed = thread.flush().await.unwrap();
    assert_eq!(flushed.next_ordinal, Ordinal::new(6));
    let history = store.load_history(id).await.unwrap();
    assert_eq!(history.records.len(), 6);
    assert!(history.damage.is_empty() && history.torn_tail.is_none());
    assert_eq!(store.read_thread(id).await.unwrap().item_count, 6);
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_batch_that_can_t_be_encoded_harms_no_other_of_its_group() {
    let home = TestHome::new();
    foreign(&home);
    let store = home.open().await;
    let thread = store.resume_thread(ID.parse().unwrap()).await.unwrap();
    let broken = Item {
        encoding: PayloadEncoding::JsonLine,
        body: "two\nlines".into(),
        ..says("")
    };
    let expecting = |ordinal| AppendOptions {
        expected_next: Some(Ordinal::new(ordinal)),
        ..AppendOptions::default()
    };
    let (before, refused, beside, after) = tokio::join!(
        thread.append(vec![says("before")]),
        thread.append(vec![broken]),
        thread.append_with(vec![says("beside")], expecting(3)),
        thread.append_with(vec![says("late")], expecting(3)),
    );
    assert_eq!(before.unwrap().first_ordinal, Ordinal::new(2));
    assert!(
        matches!(refused, Err(Error::InvalidRequest(_))),
        "{refused:?}"
    );
    assert_eq!(beside.unwrap().first_ordinal, Ordinal::new(3));
    assert!(matches!(after, Err(Error::Conflict { .. })), "{after:?}");
    store.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_imported_thread_is_in_every_answer_at_once() {
    let (theirs, home) = (TestHome::new(), TestHome::new());
    foreign(&theirs);
    let store = home.open().await;
    let mut sources = store
        .import_sources(theirs.dir.path().to_path_buf())
        .await
        .unwrap();
    let imported = store.import(sources.pop().unwrap()).await.unwrap();
    assert!(sources.is_empty());
    assert_eq!(imported.added, 2);
    let page = store.list_threads(ListQuery::default()).await.unwrap();
    assert_eq!(page.threads[0].preview, "theirs");
    let thread = store.resume_thread(imported.thread_id).await.unwrap();
    let ack = thread.append(vec![says("ours")]).await.unwrap();
    assert_eq!(ack.first_ordinal, Ordinal::new(2));
    store.shutdown().await.unwrap();
}

/// An append that expected an ordinal was acknowledged behind a line that another tool had written
/// between the look and the write.
#[tokio::test]
async fn who_expects_an_ordinal_is_told_when_another_tool_gets_it() {
    let home = TestHome::new();
    foreign(&home);
    let id: ThreadId = ID.parse().unwrap();
    let store = home.open().await;
    let thread = store.resume_thread(id).await.unwrap();
    let expecting = |ordinal| AppendOptions {
        expected_next: Some(Ordinal::new(ordinal)),
        ..AppendOptions::default()
    };
    home.disk.gets_in(line("theirs first").as_bytes());
    let told = thread.append_with(vec![says("ours")], expecting(2)).await;
    assert!(
        matches!(
            told,
            Err(Error::Conflict {
                reason: ConflictReason::NextOrdinal { actual, .. },
                ..
            }) if actual == Ordinal::new(3)
        ),
        "{told:?}"
    );
    let ack = thread
        .append_with(vec![says("next")], expecting(4))
        .await
        .unwrap();
    assert_eq!(ack.last_ordinal, Ordinal::new(4));
    let history = store.load_history(id).await.unwrap();
    assert_eq!(history.records.len(), 5);
    store.shutdown().await.unwrap();
}

/// The tool that owns the log and this store write to it in turns; a subscriber sees all of it.
#[tokio::test]
async fn a_subscriber_sees_the_lines_of_other_tools_live_or_not() {
    let home = TestHome::new();
    let file = foreign(&home);
    let id: ThreadId = ID.parse().unwrap();
    let store = home.open().await;
    let mut subscription = store.subscribe(id, Ordinal::ZERO).await.unwrap();
    assert_eq!(ordinals(&mut subscription, 2).await, [0, 1]);
    write(&file, &line("theirs"));
    assert_eq!(ordinals(&mut subscription, 1).await, [2]);
    let thread = store.resume_thread(id).await.unwrap();
    write(&file, &line("theirs"));
    assert_eq!(ordinals(&mut subscription, 1).await, [3]);
    thread.append(vec![says("ours")]).await.unwrap();
    assert_eq!(ordinals(&mut subscription, 1).await, [4]);
    let half = line("theirs");
    let (first, rest) = half.split_at(20);
    write(&file, first);
    write(&file, rest);
    assert_eq!(ordinals(&mut subscription, 1).await, [5]);
    write(&file, "no line\n");
    write(&file, &line("theirs"));
    match subscription.next().await.unwrap() {
        Some(ThreadEvent::Damage(damage)) => assert_eq!(damage.first_ordinal, Ordinal::new(6)),
        other => panic!("{other:?}"),
    }
    assert_eq!(ordinals(&mut subscription, 1).await, [6]);
    // Another subscriber may begin where the actor has not looked yet.
    let mut late = store.subscribe(id, Ordinal::new(7)).await.unwrap();
    write(&file, &line("theirs"));
    assert_eq!(ordinals(&mut late, 1).await, [7]);
    store.shutdown().await.unwrap();
}
