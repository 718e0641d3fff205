//! Paging through one thread: its turns, its items, and the end of it that the model sees.

mod query;

pub use query::{
    ItemDetail, ItemPage, ItemQuery, MAX_PAGE_ITEMS, ModelContext, TurnEntry, TurnPage, TurnQuery,
};
