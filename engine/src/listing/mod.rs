//! What can be asked of a home's threads, what the answer looks like, and the scan that answers
//! without an index.

mod cursor;
mod filter;
mod names;
mod page;
mod query;
mod scan;
mod walk;

pub use cursor::Cursor;
pub use filter::{Matcher, normalize_cwd};
pub use names::SessionNames;
pub use page::{PageRequest, sort_key, sort_time};
pub use query::{
    Coverage, Direction, ListQuery, MAX_PAGE_SIZE, Page, SortKey, ThreadFilter, Verification,
};
pub use scan::scan_list;
pub use walk::{
    DirListing, FoundDir, FoundLog, Walk, WalkFailure, find_log, list_dir, prefer, walk,
};
