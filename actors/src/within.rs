//! Reads within one thread, and over what was said in all of them.

use std::path::Path;
use std::sync::Arc;

use selvedge_codec::{Ordinal, ThreadId};
use selvedge_engine::home::LogFormat;
use selvedge_engine::listing::ListQuery;
use selvedge_engine::log::LogPosition;
use selvedge_engine::paging::{
    ItemPage, ItemQuery, ModelContext, TokenUsageReport, TurnPage, TurnQuery,
};
use selvedge_engine::search::{OccurrencePage, OccurrenceQuery, SearchPage, SearchQuery};
use selvedge_engine::store::FoundThread;
use selvedge_engine::thread::ThreadSummary;
use selvedge_engine::{Error, InvalidRequest, Result};
use selvedge_store::Subscription;

use crate::feed::{Feed, LogEvents};
use crate::live_thread::{LiveThread, ThreadState, thread_error};
use crate::selvedge::Selvedge;
use crate::thread_actor::SubscribeEphemeral;

impl Selvedge {
    /// A page of a thread's turns, the running one included. Those that were rolled back are left
    /// out.
    ///
    /// # Errors
    /// [`InvalidRequest`] for a bad cursor or page size; otherwise as
    /// [`Selvedge::load_history`].
    pub async fn list_turns(&self, thread_id: ThreadId, query: TurnQuery) -> Result<TurnPage> {
        self.settle().await?;
        self.read_of(move |store| store.turns_page(thread_id, &query))
            .await
    }

    /// A page of a thread's items.
    ///
    /// # Errors
    /// [`InvalidRequest`] for a bad cursor or page size, or a turn that the thread has not, or not
    /// any more; otherwise as [`Selvedge::load_history`].
    pub async fn list_items(&self, thread_id: ThreadId, query: ItemQuery) -> Result<ItemPage> {
        self.settle().await?;
        self.read_of(move |store| store.items_page(thread_id, &query))
            .await
    }

    /// The end of a thread's history from which what the model sees can be rebuilt, read from the
    /// log's end backwards.
    ///
    /// # Errors
    /// As [`Selvedge::load_history`].
    pub async fn load_model_context(&self, thread_id: ThreadId) -> Result<ModelContext> {
        self.settle().await?;
        self.read_of(move |store| store.model_context(thread_id))
            .await
    }

    /// The latest token usage that a thread's log tells of, with no more than its history at hand;
    /// `None` when it tells of none.
    ///
    /// # Errors
    /// As [`Selvedge::load_history`].
    pub async fn token_usage(&self, thread_id: ThreadId) -> Result<Option<TokenUsageReport>> {
        Ok(self.load_history(thread_id).await?.token_usage())
    }

    /// A page of threads in which something was said, newest first. What a rollback dropped is not
    /// searched.
    ///
    /// # Errors
    /// [`InvalidRequest`] for a bad term, cursor or page size; otherwise as
    /// [`Selvedge::list_threads`]. A log that can't be read is counted in the page's coverage.
    pub async fn search_threads(&self, query: SearchQuery) -> Result<SearchPage> {
        self.settle().await?;
        self.read(move |store| store.search(&query)).await
    }

    /// The places in one thread where something was said, oldest first.
    ///
    /// # Errors
    /// [`InvalidRequest`] for a bad term, cursor or page size; otherwise as
    /// [`Selvedge::load_history`].
    pub async fn search_occurrences(
        &self,
        thread_id: ThreadId,
        query: OccurrenceQuery,
    ) -> Result<OccurrencePage> {
        self.settle().await?;
        self.read_of(move |store| store.occurrences(thread_id, &query))
            .await
    }

    /// The thread to go on with: the one that was updated last in one of these working
    /// directories, or in any when there are none, of those that a user has spoken in, that no
    /// other thread started, and that are not archived.
    ///
    /// # Errors
    /// As [`Selvedge::list_threads`].
    pub async fn latest_thread(&self, cwds: Vec<String>) -> Result<Option<ThreadSummary>> {
        let mut page = self.list_threads(ListQuery::latest(&cwds)).await?;
        Ok(page.threads.pop())
    }

    /// What is known of the thread whose log lies at a path: absolute, or below the home.
    ///
    /// # Errors
    /// [`InvalidRequest::NotALogOfTheHome`] when no log of the home lies there; otherwise as
    /// [`Selvedge::read_thread`].
    pub async fn read_thread_by_path(&self, path: &Path) -> Result<ThreadSummary> {
        self.settle().await?;
        let path = path.to_path_buf();
        self.read(move |store| store.read_thread_by_path(&path))
            .await
    }

    /// The records of a thread from an ordinal on: those that are there, and those that follow,
    /// whoever writes them. They are read from the log at the subscriber's own pace; no record is
    /// shown before the answer to whoever appended it was sent. The subscription goes on when the
    /// thread is shut down, resumed, archived or unarchived. It ends when the thread is deleted or
    /// the store is shut down, and keeps the home open until it is dropped.
    ///
    /// What comes to an ephemeral thread is kept for each subscriber up to a bound, beyond which
    /// it is cut off; the subscription ends with the thread.
    ///
    /// # Errors
    /// [`ThreadNotFound`](selvedge_engine::Error::ThreadNotFound);
    /// [`InvalidRequest::OrdinalPastEnd`] when `from` is beyond the next
    /// ordinal; [`InvalidRequest::Ephemeral`] when it is before the next one of an ephemeral
    /// thread, whose records are kept nowhere; otherwise as [`Selvedge::read_thread`].
    pub async fn subscribe(&self, thread_id: ThreadId, from: Ordinal) -> Result<Subscription> {
        self.core.check_open()?;
        // From before the look: a thread that is deleted meanwhile is not taken for the next one
        // of its id.
        let feed = self.core.feeds.of(thread_id);
        if let Some(live) = self.live_thread(thread_id).await
            && let Some(subscribed) = self.subscribe_live(&live, (&feed, from)).await?
        {
            return Ok(subscribed);
        }
        let next = self.read_thread(thread_id).await?.next_ordinal;
        if from > next {
            return Err(InvalidRequest::OrdinalPastEnd { asked: from, next }.into());
        }
        let found = self.find_thread(thread_id).await?;
        self.read_from(feed, (thread_id, from), found).await
    }

    /// Subscribes to a live thread; `None` when it is to be looked at like any other.
    async fn subscribe_live(
        &self,
        live: &LiveThread,
        (feed, from): (&Arc<Feed>, Ordinal),
    ) -> Result<Option<Subscription>> {
        if live.is_ephemeral() {
            let actor = &live.thread().actor;
            let events = actor.ask(SubscribeEphemeral { from }).await;
            return match events.map_err(thread_error) {
                Err(Error::Closed { .. }) => Ok(None),
                events => Ok(Some(Subscription::new(events?))),
            };
        }
        // One that was shut down meanwhile is found like any other.
        let Ok(snapshot) = live.snapshot().await else {
            return Ok(None);
        };
        let next = snapshot.next_ordinal;
        let found = snapshot.path.and_then(|path| {
            let format = LogFormat::of_file_name(path.file_name())?;
            Some(FoundThread { path, format })
        });
        match found {
            Some(found) if from <= next => {
                let subscribed = (live.thread_id(), from);
                let feed = Arc::clone(feed);
                self.read_from(feed, subscribed, found).await.map(Some)
            }
            // Other tools may have written more than its actor knows.
            _ if snapshot.state != ThreadState::Deferred => Ok(None),
            _ => Err(InvalidRequest::OrdinalPastEnd { asked: from, next }.into()),
        }
    }

    async fn read_from(
        &self,
        feed: Arc<Feed>,
        (thread_id, from): (ThreadId, Ordinal),
        found: FoundThread,
    ) -> Result<Subscription> {
        let position = match from {
            Ordinal::ZERO => None,
            _ => self.position_before(thread_id, from).await?,
        };
        let core = Arc::clone(&self.core);
        let events = LogEvents::new((core, feed), (thread_id, from), (found, position));
        Ok(Subscription::new(events))
    }

    /// Where to begin to read for a record. Without an index that knows, that is the log's start.
    async fn position_before(
        &self,
        thread_id: ThreadId,
        ordinal: Ordinal,
    ) -> Result<Option<LogPosition>> {
        self.settle().await?;
        let known = self
            .read_of(move |store| store.position_before(thread_id, ordinal))
            .await;
        match known {
            // Nothing of it is on disk yet.
            Err(Error::ThreadNotFound { .. }) => Ok(None),
            Err(why) if self.core.store.is_of_index(&why) => Ok(None),
            known => known,
        }
    }
}
