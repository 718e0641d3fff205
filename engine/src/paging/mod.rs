//! Paging through one thread: its turns, its items, and the end of it that the model sees.
//!
//! What must hold: the answers of these functions over all records of a thread are the thread's
//! answers. A store may find them with less reading, and gives the same.

mod context;
mod cursor;
mod items;
mod query;
mod request;
mod summary;
mod turns;

#[cfg(test)]
mod tests;

pub use crate::log::{TokenUsageReport, token_usage};
pub use crate::projection::turns_of;
pub use context::model_context;
pub(crate) use context::{ContextSearch, counts_as_completed};
pub use cursor::turn_cursor_at;
#[cfg(feature = "fuzzing")]
pub(crate) use cursor::{CursorScope, PageKind};
pub(crate) use cursor::{Hint, Place};
pub use items::page_items;
pub(crate) use items::{find_turn, no_such_turn};
pub use query::{
    ItemDetail, ItemPage, ItemQuery, MAX_PAGE_ITEMS, ModelContext, TurnEntry, TurnPage, TurnQuery,
};
pub(crate) use request::PagingRequest;
pub use turns::page_turns;
pub(crate) use turns::{items_for, page_of_turns};
