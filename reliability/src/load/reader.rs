//! Tasks that list, search, read and subscribe while others write, and one that ends threads
//! behind their owners' backs.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use selvedge::{
    Direction, ItemQuery, ListQuery, OccurrenceQuery, Ordinal, SearchQuery, SortKey, ThreadFilter,
    ThreadId, TurnQuery, Verification,
};

use super::slot::Field;
use super::watch::{Refused, count};

/// A search looks through all logs: one of so many reads is one.
const SEARCH_EVERY: u32 = 100;

/// A task that reads.
#[derive(Debug)]
pub struct Reader {
    field: Field,
    random: fastrand::Rng,
    /// Threads that were listed last.
    seen: Vec<ThreadId>,
    pause: Duration,
}

impl Reader {
    /// A task that reads, with a pause between two reads.
    #[must_use]
    pub fn new(field: Field, seed: u64, pause: Duration) -> Self {
        Self {
            field,
            random: fastrand::Rng::with_seed(seed),
            seen: Vec::new(),
            pause,
        }
    }

    /// Reads until the load is over.
    pub async fn work(mut self) {
        while !self.field.watch.is_stopping() {
            let read = match self.random.u32(0..SEARCH_EVERY) {
                0 => self.search().await,
                1..40 => self.list().await,
                40..50 => self.give_list_up().await,
                50..55 => self.follow().await,
                _ => self.read_one().await,
            };
            // Threads are deleted all the time.
            if read == Err(Refused::Stopping) {
                break;
            }
            count(&self.field.watch.reads);
            tokio::time::sleep(self.pause).await;
        }
    }

    fn query(&mut self) -> ListQuery {
        let random = &mut self.random;
        ListQuery {
            filter: ThreadFilter {
                archived: random.u8(0..8) == 0,
                include_empty: random.bool(),
                cwds: match random.u8(0..4) {
                    0 => vec![format!("/work/{}", random.u64(0..17))],
                    _ => Vec::new(),
                },
                ..ThreadFilter::default()
            },
            sort: [SortKey::Created, SortKey::Updated, SortKey::Recency][random.usize(0..3)],
            direction: [Direction::Ascending, Direction::Descending][random.usize(0..2)],
            limit: [1, 10, 50, 200][random.usize(0..4)],
            cursor: None,
            verification: match random.u8(0..4) {
                0 => Verification::IndexOnly,
                _ => Verification::Verified,
            },
        }
    }

    async fn list(&mut self) -> Result<(), Refused> {
        let mut query = self.query();
        for _ in 0..self.random.u8(1..4) {
            let listing = self.field.store.list_threads(query.clone());
            let page = self.field.watch.ask("list", listing).await?;
            self.seen = page.threads.iter().map(|thread| thread.thread_id).collect();
            if page.next_cursor.is_none() {
                break;
            }
            query.cursor = page.next_cursor;
        }
        Ok(())
    }

    async fn give_list_up(&mut self) -> Result<(), Refused> {
        let query = self.query();
        let listing = self.field.store.list_threads(query);
        let watch = &self.field.watch;
        match watch.give_up(&mut self.random, listing).await {
            Some(Err(error)) => Err(watch.judge("list", &error)),
            _ => Ok(()),
        }
    }

    async fn search(&mut self) -> Result<(), Refused> {
        let query = SearchQuery {
            term: format!("{} says 1", self.random.u16(0..1000)),
            limit: 5,
            ..SearchQuery::default()
        };
        let searching = self.field.store.search_threads(query);
        let page = self.field.watch.ask("search", searching).await?;
        self.seen
            .extend(page.hits.iter().map(|hit| hit.thread.thread_id));
        Ok(())
    }

    async fn read_one(&mut self) -> Result<(), Refused> {
        let Some(id) = self.random.choice(&self.seen).copied() else {
            return self.list().await;
        };
        let (store, watch) = (&self.field.store, &self.field.watch);
        match self.random.u8(0..7) {
            0 => watch.ask("read", store.read_thread(id)).await.map(drop),
            1 => {
                let listing = store.list_turns(id, TurnQuery::default());
                watch.ask("turns", listing).await.map(drop)
            }
            2 => {
                let listing = store.list_items(id, ItemQuery::default());
                watch.ask("items", listing).await.map(drop)
            }
            3 => {
                let loading = store.load_model_context(id);
                watch.ask("context", loading).await.map(drop)
            }
            4 => {
                let query = OccurrenceQuery {
                    term: "lazy".to_owned(),
                    ..OccurrenceQuery::default()
                };
                let searching = store.search_occurrences(id, query);
                watch.ask("occurrences", searching).await.map(drop)
            }
            5 => watch.ask("coverage", store.coverage()).await.map(drop),
            _ => watch.ask("find", store.find_thread(id)).await.map(drop),
        }
    }

    /// Subscribes to a thread, takes some events and goes away.
    async fn follow(&mut self) -> Result<(), Refused> {
        let Some(id) = self.random.choice(&self.seen).copied() else {
            return Ok(());
        };
        let (store, watch) = (&self.field.store, &self.field.watch);
        let subscribing = store.subscribe(id, Ordinal::ZERO);
        let mut subscription = watch.ask("subscribe", subscribing).await?;
        for _ in 0..self.random.u8(0..50) {
            let next = tokio::time::timeout(Duration::from_millis(500), subscription.next());
            match next.await {
                Ok(Ok(Some(_))) => watch.events.fetch_add(1, SeqCst),
                Ok(Err(error)) => return Err(watch.judge("follow", &error)),
                Ok(Ok(None)) | Err(_) => break,
            };
        }
        Ok(())
    }
}

/// Ends threads behind their owners' backs until the load is over.
pub async fn intrude(field: Field, seed: u64, pause: Duration) {
    let mut random = fastrand::Rng::with_seed(seed);
    while !field.watch.is_stopping() {
        let live = field.store.loaded_threads();
        let live = field
            .watch
            .bounded("loaded", live)
            .await
            .unwrap_or_default();
        for _ in 0..20 {
            let Some(id) = random.choice(&live).copied() else {
                break;
            };
            let removed = field
                .watch
                .ask("remove", field.store.remove_thread(id))
                .await;
            if removed.is_ok() {
                count(&field.watch.shutdowns);
            }
            if field.watch.is_stopping() {
                break;
            }
            tokio::time::sleep(pause).await;
        }
    }
}
