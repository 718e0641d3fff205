//! A small agent: it starts a thread, streams what it does into it, ends its turns durably, and
//! after a crash goes on where it was.
//!
//! The session knows no store: it is given a [`ThreadManager`], and runs over a home or in memory
//! alike. `main` lets a child process die in the middle of a turn, and resumes its thread. Run it
//! with `cargo run --example agent`.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use selvedge::{
    AppendOptions, Direction, InMemoryThreadStore, Item, LocalThreadStore, OpenOptions, Ordinal,
    StartThread, ThreadHandle, ThreadId, ThreadManager, TurnQuery, TurnStatus,
};
use serde_json::{Value, json};

type Done<T> = Result<T, Box<dyn std::error::Error>>;

/// A conversation with a user. It owns the writing of its thread.
struct Session {
    thread: ThreadHandle,
    /// The ordinal that the next record must get: an append is refused when anybody else has
    /// written meanwhile, so that two sessions never mix their words in one thread.
    next: Ordinal,
    turns: usize,
    /// What the model is shown, rebuilt from the thread when it is resumed.
    context: Vec<Value>,
}

fn event(payload: Value) -> Done<Item> {
    Ok(Item::json("event_msg", payload.to_string())?)
}

impl Session {
    async fn start(manager: &ThreadManager, cwd: &str) -> Done<Self> {
        let thread = manager
            .start(StartThread {
                cwd: cwd.to_owned(),
                originator: "example-agent".into(),
                cli_version: env!("CARGO_PKG_VERSION").into(),
                source: Some(r#""cli""#.into()),
                ..StartThread::default()
            })
            .await?;
        Ok(Self {
            thread,
            // The thread's meta comes first.
            next: Ordinal::new(1),
            turns: 0,
            context: Vec::new(),
        })
    }

    /// Goes on with a thread, whatever became of those who wrote it before.
    async fn resume(manager: &ThreadManager, thread_id: ThreadId) -> Done<Self> {
        let (thread, summary) = manager.resume(thread_id).await?;
        let query = TurnQuery {
            direction: Direction::Descending,
            limit: 1,
            ..TurnQuery::default()
        };
        let page = manager.store().list_turns(thread_id, query).await?;
        let mut session = Self {
            thread,
            next: summary.next_ordinal,
            turns: 0,
            context: Vec::new(),
        };
        let cut_off = page.turns.first().map(|entry| &entry.turn);
        if let Some(turn) = cut_off.filter(|turn| turn.status == TurnStatus::InProgress) {
            // Its writer died. Everything that it was acknowledged is there; the end is not.
            let turn_id = turn.turn_id.as_deref();
            let aborted = json!({"type": "turn_aborted", "turn_id": turn_id, "reason": "crashed"});
            session.append(vec![event(aborted)?]).await?;
        }
        // Not the whole history: what the model must see again.
        let context = manager.store().load_model_context(thread_id).await?;
        for record in &context.records {
            if record.record_type.as_str() == "response_item" {
                let payload = record.payload_json()?;
                session.context.push(serde_json::from_str(payload.get())?);
            }
        }
        let history = manager.store().load_history(thread_id).await?;
        let starts = history.records.iter().filter(|record| {
            let class = selvedge::EventClass::TurnStarted;
            record.event == Some(class)
        });
        session.turns = starts.count();
        Ok(session)
    }

    /// Appends a batch: it is read whole or not at all, also after a crash. When this returns, the
    /// process may die and nothing of the batch is lost; where it ends a turn, so may the machine.
    async fn append(&mut self, items: Vec<Item>) -> Done<()> {
        let options = AppendOptions {
            expected_next: Some(self.next),
            ..AppendOptions::default()
        };
        let ack = self.thread.append_with(items, options).await?;
        self.next = ack.last_ordinal.next();
        Ok(())
    }

    /// One turn: the user's words, what the model streams, and the end.
    async fn turn(&mut self, words: &str, model: &mut Model) -> Done<()> {
        self.turns += 1;
        let turn_id = format!("turn-{}", self.turns);
        let asked = json!({"type": "message", "role": "user", "content": words});
        self.append(vec![
            event(json!({"type": "task_started", "turn_id": turn_id}))?,
            event(json!({"type": "user_message", "message": words}))?,
            Item::json("response_item", asked.to_string())?,
        ])
        .await?;
        self.context.push(asked);
        while let Some(item) = model.stream(&self.context) {
            let mut batch = vec![Item::json("response_item", item.to_string())?];
            if item["type"] == "message" {
                let said = json!({"type": "agent_message", "message": item["content"]});
                batch.push(event(said)?);
            }
            self.append(batch).await?;
            self.context.push(item);
        }
        let ended = json!({"type": "task_complete", "turn_id": turn_id});
        self.append(vec![event(ended)?]).await
    }
}

/// What stands in for a model here: it says what it was told to.
struct Model {
    to_say: VecDeque<Value>,
    /// Where the process is to die.
    dies_at: Option<&'static str>,
}

impl Model {
    fn saying(words: &str) -> Self {
        let call = json!({"type": "function_call", "name": "shell", "arguments": "ls"});
        let answer = json!({"type": "message", "role": "assistant", "content": words});
        Self {
            to_say: [call, answer].into(),
            dies_at: None,
        }
    }

    fn stream(&mut self, _context: &[Value]) -> Option<Value> {
        let item = self.to_say.pop_front()?;
        if self.dies_at.is_some_and(|kind| item["type"] == kind) {
            // No destructor runs, nothing is flushed: as if it had been killed.
            std::process::abort();
        }
        Some(item)
    }
}

async fn open(home: &Path) -> Done<(ThreadManager, LocalThreadStore)> {
    let store = LocalThreadStore::open(OpenOptions::new(home).create(true)).await?;
    Ok((ThreadManager::new(Arc::new(store.clone())), store))
}

/// Runs in the child: a turn that ends, and one that does not.
async fn run_until_crash(home: &Path) -> Done<()> {
    let (manager, _store) = open(home).await?;
    let mut session = Session::start(&manager, "/work/project").await?;
    session.turn("What is here?", &mut Model::saying("A project")).await?;
    let mut model = Model::saying("never said");
    model.dies_at = Some("message");
    session.turn("And what is in it?", &mut model).await
}

async fn resume_after_crash(home: &Path) -> Done<()> {
    let (manager, store) = open(home).await?;
    // The last thread here: what a runtime offers to go on with.
    let last = store.selvedge().latest_thread(vec!["/work/project".into()]).await?;
    let last = last.ok_or("the thread that was written before the crash")?;
    let mut session = Session::resume(&manager, last.thread_id).await?;
    // Two messages of the user, two calls and one answer: all that was acknowledged.
    assert_eq!(session.context.len(), 5);
    session.turn("Where were we?", &mut Model::saying("In the middle")).await?;
    session.thread.shutdown().await?;

    let page = manager.store().list_turns(last.thread_id, TurnQuery::default()).await?;
    let statuses: Vec<_> = page.turns.iter().map(|entry| entry.turn.status).collect();
    let (completed, aborted) = (TurnStatus::Completed, TurnStatus::Aborted);
    assert_eq!(statuses, [completed, aborted, completed]);
    store.selvedge().clone().shutdown().await?;
    Ok(())
}

/// The same session over a store that keeps nothing: what a runtime's own tests do.
async fn run_in_memory() -> Done<()> {
    let manager = ThreadManager::new(Arc::new(InMemoryThreadStore::new()));
    let mut session = Session::start(&manager, "/work/project").await?;
    session.turn("What is here?", &mut Model::saying("Nothing")).await?;
    let id = session.thread.thread_id();
    session.thread.shutdown().await?;
    let mut session = Session::resume(&manager, id).await?;
    session.turn("Still?", &mut Model::saying("Still")).await?;
    assert_eq!(session.context.len(), 6);
    Ok(())
}

#[tokio::main]
async fn main() -> Done<()> {
    let mut args = std::env::args_os().skip(1);
    if let (Some(first), Some(home)) = (args.next(), args.next()) {
        assert_eq!(first, "--until-crash");
        return run_until_crash(Path::new(&home)).await;
    }
    let dir = tempfile::tempdir()?;
    let home = dir.path().join("home");
    let this = std::env::current_exe()?;
    let child = Command::new(this).arg("--until-crash").arg(&home).status()?;
    assert!(!child.success(), "the child dies in its second turn");
    resume_after_crash(&home).await?;
    run_in_memory().await
}
