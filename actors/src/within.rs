//! Reads within one thread, and over what was said in all of them.

use std::path::Path;

use selvedge_codec::{Ordinal, ThreadId};
use selvedge_engine::Result;
use selvedge_engine::paging::{ItemPage, ItemQuery, ModelContext, TurnPage, TurnQuery};
use selvedge_engine::search::{OccurrencePage, OccurrenceQuery, SearchPage, SearchQuery};
use selvedge_engine::thread::ThreadSummary;
use selvedge_store::Subscription;

use crate::changes::NOT_WIRED;
use crate::selvedge::Selvedge;

impl Selvedge {
    /// A page of a thread's turns.
    ///
    /// # Errors
    /// As the storage boundary says.
    pub async fn list_turns(&self, _thread_id: ThreadId, query: TurnQuery) -> Result<TurnPage> {
        drop(query);
        Err(NOT_WIRED)
    }

    /// A page of a thread's items.
    ///
    /// # Errors
    /// As the storage boundary says.
    pub async fn list_items(&self, _thread_id: ThreadId, query: ItemQuery) -> Result<ItemPage> {
        drop(query);
        Err(NOT_WIRED)
    }

    /// The end of a thread's history from which what the model sees can be rebuilt.
    ///
    /// # Errors
    /// As the storage boundary says.
    pub async fn load_model_context(&self, _thread_id: ThreadId) -> Result<ModelContext> {
        Err(NOT_WIRED)
    }

    /// A page of threads in which something was said.
    ///
    /// # Errors
    /// As the storage boundary says.
    pub async fn search_threads(&self, query: SearchQuery) -> Result<SearchPage> {
        drop(query);
        Err(NOT_WIRED)
    }

    /// The places in one thread where something was said.
    ///
    /// # Errors
    /// As the storage boundary says.
    pub async fn search_occurrences(
        &self,
        _thread_id: ThreadId,
        query: OccurrenceQuery,
    ) -> Result<OccurrencePage> {
        drop(query);
        Err(NOT_WIRED)
    }

    /// The thread to go on with in one of these working directories, or in any.
    ///
    /// # Errors
    /// As [`Selvedge::list_threads`].
    pub async fn latest_thread(&self, cwds: Vec<String>) -> Result<Option<ThreadSummary>> {
        drop(cwds);
        Err(NOT_WIRED)
    }

    /// What is known of the thread whose log lies at a path: absolute, or below the home.
    ///
    /// # Errors
    /// As the storage boundary says.
    pub async fn read_thread_by_path(&self, _path: &Path) -> Result<ThreadSummary> {
        Err(NOT_WIRED)
    }

    /// The records of a thread from an ordinal on: those that are there, and those that follow.
    ///
    /// # Errors
    /// As the storage boundary says.
    pub async fn subscribe(&self, _thread_id: ThreadId, _from: Ordinal) -> Result<Subscription> {
        Err(NOT_WIRED)
    }
}
