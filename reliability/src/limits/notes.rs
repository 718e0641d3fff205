//! What was appended to a thread and what was acknowledged of it, one record a batch.

use selvedge::{
    Ack, AppendOptions, Durability, Error, Item, ListQuery, LiveThread, MAX_PAGE_SIZE, Result,
    Selvedge, StartThread, ThreadId,
};

/// The notes on one thread.
#[derive(Debug)]
pub struct Notes {
    /// The thread.
    pub live: LiveThread,
    /// The numbers of the records that were acknowledged.
    acknowledged: Vec<u64>,
    /// The number of the next record.
    next: u64,
}

/// The notes on a thread that is not live any more.
#[derive(Debug)]
pub struct Kept {
    id: ThreadId,
    acknowledged: Vec<u64>,
}

impl Notes {
    /// Starts a thread, and appends to it.
    pub async fn start(store: &Selvedge) -> Self {
        let mut notes = Self::of(store.start_thread(start()).await.unwrap());
        notes.append(100).await.unwrap();
        notes
    }

    /// The notes on a new thread.
    pub fn of(live: LiveThread) -> Self {
        Self {
            live,
            acknowledged: Vec::new(),
            next: 0,
        }
    }

    /// A record of so many bytes.
    pub fn next_item(&mut self, bytes: usize) -> (u64, Item) {
        let number = self.next;
        self.next += 1;
        let text = "x".repeat(bytes);
        let payload =
            format!(r#"{{"type":"user_message","number":{number},"message":"says {text}"}}"#);
        (number, Item::json("event_msg", payload).unwrap())
    }

    /// Appends a record of so many bytes.
    pub async fn append(&mut self, bytes: usize) -> Result<Ack> {
        self.append_as(bytes, Durability::Written).await
    }

    /// Appends a record of so many bytes.
    pub async fn append_as(&mut self, bytes: usize, durability: Durability) -> Result<Ack> {
        let (number, item) = self.next_item(bytes);
        let options = AppendOptions {
            durability,
            expected_next: None,
        };
        let ack = self.live.append_with(vec![item], options).await?;
        self.acknowledged.push(number);
        Ok(ack)
    }

    /// Makes the thread live again.
    pub async fn resume(kept: Kept, store: &Selvedge) -> Result<Self, (Kept, Error)> {
        match store.resume_thread(kept.id).await {
            Ok(live) => Ok(Self {
                live,
                next: kept.acknowledged.last().map_or(0, |last| last + 1_000),
                acknowledged: kept.acknowledged,
            }),
            Err(error) => Err((kept, error)),
        }
    }

    /// Lets go of the live thread.
    pub fn keep(self) -> Kept {
        Kept {
            id: self.live.thread_id(),
            acknowledged: self.acknowledged,
        }
    }

    /// Checks that all that was acknowledged is read, in its order, and the thread is listed.
    pub async fn check(&self, store: &Selvedge) {
        check(store, self.live.thread_id(), &self.acknowledged).await;
    }

    /// How many records were acknowledged.
    pub fn count(&self) -> usize {
        self.acknowledged.len()
    }
}

impl Kept {
    /// As [`Notes::check`].
    pub async fn check(&self, store: &Selvedge) {
        check(store, self.id, &self.acknowledged).await;
    }
}

async fn check(store: &Selvedge, id: ThreadId, acknowledged: &[u64]) {
    let history = store.load_history(id).await.unwrap();
    assert!(history.damage.is_empty(), "{:?}", history.damage);
    let number = |record: &selvedge::Record| {
        let payload = record.payload_json().unwrap();
        let payload: serde_json::Value = serde_json::from_str(payload.get()).unwrap();
        payload["number"].as_u64()
    };
    let found: Vec<u64> = history.records.iter().filter_map(number).collect();
    assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
    let missing = acknowledged.iter().find(|number| !found.contains(number));
    assert_eq!(missing, None, "of {id}: {acknowledged:?}, found {found:?}");
    let all = ListQuery {
        limit: MAX_PAGE_SIZE,
        ..ListQuery::default()
    };
    let page = store.list_threads(all).await.unwrap();
    let listed = page.threads.iter().find(|thread| thread.thread_id == id);
    let listed = listed.unwrap_or_else(|| panic!("{id} is not listed"));
    assert_eq!(listed.item_count, history.records.len() as u64);
    let read = store.read_thread(id).await.unwrap();
    assert_eq!(read.item_count, history.records.len() as u64);
}

/// What a thread is started with.
pub fn start() -> StartThread {
    StartThread {
        cwd: "/work".into(),
        originator: "limits".into(),
        cli_version: "1".into(),
        source: Some(r#""cli""#.into()),
        ..StartThread::default()
    }
}

/// What the system said.
pub fn errno(error: &Error) -> Option<i32> {
    match error {
        Error::Io { source, .. } => source.raw_os_error(),
        _ => None,
    }
}

/// Whether this tells of a full disk.
pub fn is_full(error: &Error) -> bool {
    matches!(error, Error::OutOfSpace { .. })
}
