#![doc = include_str!("../README.md")]

// The threads of an open home.
pub use selvedge_actors::{
    Ack, AppendOptions, Durability, Flushed, IndexMode, InitGuard, LiveThread, OpenOptions,
    Selvedge, StartThread, ThreadSnapshot, ThreadState,
};

// The threads of any store.
pub use selvedge_actors::{LocalThreadStore, ThreadHandle, ThreadManager};

// The storage boundary, and what a store of one's own can be made of.
pub use selvedge_engine::log::Numbering;
pub use selvedge_store::{
    Call, EphemeralThread, EventSource, ForkThread, Growth, InMemoryThreadStore, Operation,
    ResumeThread, RolledBackThread, Subscription, ThreadEvent, ThreadRecords, ThreadStore,
    check_batch, list_of, rollback_item, search_of,
};

// What a thread's records say, as plain functions: the answers of every store.
pub use selvedge_engine::paging::{
    model_context, page_items, page_turns, token_usage, turn_cursor_at, turns_of,
};
pub use selvedge_engine::search::{Needle, Said, find_in, occurrences_in, said, snippet};

// What a log holds.
pub use selvedge_codec::{
    BatchPosition, ByteLength, ByteOffset, CodecError, EventClass, Item, Ordinal, PayloadEncoding,
    Record, RecordType, ThreadId, TurnId, UtcMicros,
};
pub use selvedge_codec::{jsonl, view};
pub use selvedge_engine::log::{Damage, History, LogPosition};

// What can be asked of a home, and the answers.
pub use selvedge_engine::home::{LogFormat, LogPath};
pub use selvedge_engine::listing::{
    Coverage, Direction, ListQuery, MAX_PAGE_SIZE, Page, SortKey, ThreadFilter, Verification,
};
pub use selvedge_engine::paging::{
    ItemDetail, ItemPage, ItemQuery, MAX_PAGE_ITEMS, ModelContext, TokenUsageReport, TurnEntry,
    TurnPage, TurnQuery,
};
pub use selvedge_engine::search::{
    MAX_TERM_BYTES, Occurrence, OccurrencePage, OccurrenceQuery, SearchHit, SearchPage,
    SearchQuery, Speaker,
};
pub use selvedge_engine::store::{
    BackfillProgress, BackfillReport, FormatStats, FoundThread, ImportOutcome, ImportSource,
    Imported, LastBackfill, Left, LeftKind, LogDamage, LogRepair, LogReport, RepairOptions,
    RepairOutcome, RepairReport, RowDifference, StoreStats, UnreadableLog, VerifyReport,
};
pub use selvedge_engine::thread::{
    ForkPoint, GitInfo, MAX_FIRST_MESSAGE_BYTES, MAX_PREVIEW_BYTES, MAX_TEXT_BYTES, ThreadSummary,
    TurnStatus, TurnSummary,
};

// What can go wrong.
pub use selvedge_engine::{
    ConflictReason, CorruptReason, Error, InvalidRequest, MetadataReason, Result,
};

// The seams.
pub use selvedge_engine::clock::{Clock, ManualClock, SystemClock};
pub use selvedge_engine::disk::{
    DirEntry, Disk, DiskFile, FileKind, FileStat, OpenMode, RealDisk, read_range,
};

/// A disk that fails and forgets as real ones do, for tests.
#[cfg(feature = "simulation")]
pub mod simulation {
    pub use selvedge_engine::disk::simulated::*;
}
