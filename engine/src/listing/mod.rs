//! What can be asked of a home's threads, what the answer looks like, and the scan that answers
//! without an index.

mod cursor;
mod filter;
mod find;
mod names;
mod page;
mod query;
mod scan;
mod walk;

#[cfg(test)]
mod testing;

pub use cursor::Cursor;
pub(crate) use cursor::{Fnv, fingerprint, from_hex, to_hex};
pub use filter::{Matcher, normalize_cwd};
pub use find::find_log;
pub use names::SessionNames;
pub(crate) use names::{forget_name, write_name};
pub use page::{PageRequest, cut_page, sort_key, sort_time};
pub use query::{
    Coverage, Direction, ListQuery, MAX_PAGE_SIZE, Page, SortKey, ThreadFilter, Verification,
};
pub use scan::{HomeScan, scan_home, scan_list};
pub use walk::{
    DirListing, FoundDir, FoundLog, Walk, WalkFailure, check_home, list_dir, prefer, walk,
};
pub(crate) use walk::{MAX_DEPTH, too_deep};
