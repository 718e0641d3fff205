//! Searching what was said: the user's and the agent's words, in all threads or in one.
//!
//! Pure functions over records; the [`crate::store`] brings these. What a rollback dropped is not
//! searched: what is found still counts.

mod cursor;
mod occurrences;
mod query;
mod request;
mod said;
mod snippet;

#[cfg(test)]
mod tests;

pub use crate::needle::{MAX_TERM_BYTES, Needle};
#[cfg(feature = "fuzzing")]
pub(crate) use cursor::OccurrenceCursor;
pub use occurrences::occurrences_in;
pub use query::{
    Occurrence, OccurrencePage, OccurrenceQuery, SearchHit, SearchPage, SearchQuery, Speaker,
};
pub use request::SearchRequest;
pub use said::{Said, find_in, said};
pub use snippet::snippet;
