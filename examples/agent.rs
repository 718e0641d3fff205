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
        // Any text that no other turn of the thread has.
        let turn_id = format!("turn-{}", self.next);
        let asked = json!({"type": "message", "role": "user", "content": words});
        self.append(vec![
            event(json!({"type": "task_started", "turn_id": turn_id}))?,
            event(json!({"type": "user_message", "message": words}))?,
            Item::json("response_item", asked.to_string())?,
        ])
        .await?;
        self.context.push(asked);
        while let Some(streamed) = model.stream(&self.context) {
            let item = streamed.response_item();
            let mut batch = vec![Item::json("response_item", item.to_string())?];
            if let Streamed::Answer(words) = &streamed {
                batch.push(event(json!({"type": "agent_message", "message": words}))?);
            }
            self.append(batch).await?;
            self.context.push(item);
        }
        let ended = json!({"type": "task_complete", "turn_id": turn_id});
        self.append(vec![event(ended)?]).await
    }
}

/// What a model gives, piece by piece.
enum Streamed {
    Call(&'static str),
    Answer(&'static str),
    /// The process dies while it is waited for.
    Death,
}

impl Streamed {
    fn response_item(&self) -> Value {
        match self {
            Self::Call(command) => {
                json!({"type": "function_call", "name": "shell", "arguments": command})
            }
            Self::Answer(words) => {
                json!({"type": "message", "role": "assistant", "content": words})
            }
            Self::Death => Value::Null,
        }
    }
}

/// What stands in for a model here: it gives what it was told to.
struct Model(VecDeque<Streamed>);

impl Model {
    fn saying(words: &'static str) -> Self {
        Self([Streamed::Call("ls"), Streamed::Answer(words)].into())
    }

    fn dying() -> Self {
        Self([Streamed::Call("ls"), Streamed::Death].into())
    }

    fn stream(&mut self, _context: &[Value]) -> Option<Streamed> {
        match self.0.pop_front()? {
            // No destructor runs, nothing is flushed: as if it had been killed.
            Streamed::Death => std::process::abort(),
            streamed => Some(streamed),
        }
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
    session
        .turn("What is here?", &mut Model::saying("A project"))
        .await?;
    session
        .turn("And what is in it?", &mut Model::dying())
        .await
}

async fn resume_after_crash(home: &Path) -> Done<()> {
    let (manager, store) = open(home).await?;
    // The last thread here: what a runtime offers to go on with.
    let last = store
        .selvedge()
        .latest_thread(vec!["/work/project".into()])
        .await?;
    let last = last.ok_or("the thread that was written before the crash")?;
    let mut session = Session::resume(&manager, last.thread_id).await?;
    // Two messages of the user, two calls and one answer: all that was acknowledged.
    assert_eq!(session.context.len(), 5);
    session
        .turn("Where were we?", &mut Model::saying("In the middle"))
        .await?;
    session.thread.shutdown().await?;

    let page = manager
        .store()
        .list_turns(last.thread_id, TurnQuery::default())
        .await?;
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
    session
        .turn("What is here?", &mut Model::saying("Nothing"))
        .await?;
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
    let child = Command::new(this)
        .arg("--until-crash")
        .arg(&home)
        .status()?;
    assert!(!child.success(), "the child dies in its second turn");
    resume_after_crash(&home).await?;
    run_in_memory().await
}
