//! Searching what was said: the user's and the agent's words, in all threads or in one.

mod query;

pub use query::{
    MAX_TERM_BYTES, Occurrence, OccurrencePage, OccurrenceQuery, SearchHit, SearchPage,
    SearchQuery, Speaker,
};
