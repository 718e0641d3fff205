//! What fuzz targets reach of the engine that nobody else does: how the index's rows and the pages'
//! cursors are read. Behind the feature `fuzzing`, and no part of any promise.

use selvedge_codec::ThreadId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Result;
use crate::index::{
    DirRow, FailureRow, LeaseRow, PathRow, StateRow, ThreadRow, decode_row, encode_row, sealed,
};
use crate::paging::{CursorScope, PageKind, Place};
use crate::projection::PlacedTurn;
use crate::search::OccurrenceCursor;

/// A kind of row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// A thread.
    Thread,
    /// A turn.
    Turn,
    /// A log.
    Path,
    /// A folder.
    Dir,
    /// A log that can't be read.
    Failure,
    /// Who may backfill.
    Lease,
    /// The index itself.
    State,
}

/// All kinds of rows.
pub const ROW_KINDS: [RowKind; 7] = [
    RowKind::Thread,
    RowKind::Turn,
    RowKind::Path,
    RowKind::Dir,
    RowKind::Failure,
    RowKind::Lease,
    RowKind::State,
];

/// A row's bytes around this body, with the version and checksum of this build.
#[must_use]
pub fn seal(body: &[u8]) -> Vec<u8> {
    sealed(body)
}

fn again<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<Vec<u8>> {
    encode_row(&decode_row::<T>(bytes).ok()?).ok()
}

/// Reads a row and writes it again; `None` when it is none.
#[must_use]
pub fn row_again(kind: RowKind, bytes: &[u8]) -> Option<Vec<u8>> {
    match kind {
        RowKind::Thread => again::<ThreadRow>(bytes),
        RowKind::Turn => again::<PlacedTurn>(bytes),
        RowKind::Path => again::<PathRow>(bytes),
        RowKind::Dir => again::<DirRow>(bytes),
        RowKind::Failure => again::<FailureRow>(bytes),
        RowKind::Lease => again::<LeaseRow>(bytes),
        RowKind::State => again::<StateRow>(bytes),
    }
}

/// Which log the row of a thread says that it was made of, below the home; `None` when the bytes
/// are no such row, and `Some(None)` when its path is none.
#[must_use]
pub fn log_of_row(bytes: &[u8]) -> Option<Option<String>> {
    let row = decode_row::<ThreadRow>(bytes).ok()?;
    Some(row.path().map(|path| path.as_str().to_owned()))
}

/// Reads a cursor of a page of items, or else of turns, and writes it again.
///
/// # Errors
/// As reading it fails.
pub fn page_cursor_again(
    text: &str,
    thread_id: ThreadId,
    is_of_items: bool,
    filter: u64,
) -> Result<String> {
    let scope = CursorScope {
        kind: if is_of_items {
            PageKind::Items
        } else {
            PageKind::Turns
        },
        thread_id,
        filter,
    };
    Ok(Place::decode(text, &scope)?.encode(&scope))
}

/// Reads a cursor of a page of occurrences and writes it again.
///
/// # Errors
/// As reading it fails.
pub fn occurrence_cursor_again(text: &str, thread_id: ThreadId, term: &str) -> Result<String> {
    Ok(OccurrenceCursor::decode(text, thread_id, term)?.encode(thread_id, term))
}
