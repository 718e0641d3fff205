//! What can be asked of a home's threads, and what the answer looks like.

mod query;

pub use query::{
    Coverage, Direction, ListQuery, MAX_PAGE_SIZE, Page, SortKey, ThreadFilter, Verification,
};
