//! What a store was asked for, for tests.

use selvedge_codec::ThreadId;

/// A call of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// What was asked for.
    pub operation: Operation,
    /// The thread that it was about; of a fork, the source.
    pub thread_id: Option<ThreadId>,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// The operations of [`crate::ThreadStore`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $($(#[$doc])* $name,)+
        }

        impl Operation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
        }
    };
}

operations! {
    /// `create_thread`
    CreateThread,
    /// `resume_thread`
    ResumeThread,
    /// `append_items`
    AppendItems,
    /// `persist_thread`
    PersistThread,
    /// `flush_thread`
    FlushThread,
    /// `shutdown_thread`
    ShutdownThread,
    /// `discard_thread`
    DiscardThread,
    /// `loaded_threads`
    LoadedThreads,
    /// `load_history`
    LoadHistory,
    /// `load_model_context`
    LoadModelContext,
    /// `read_thread`
    ReadThread,
    /// `read_thread_by_path`
    ReadThreadByPath,
    /// `list_threads`
    ListThreads,
    /// `search_threads`
    SearchThreads,
    /// `search_occurrences`
    SearchOccurrences,
    /// `list_turns`
    ListTurns,
    /// `list_items`
    ListItems,
    /// `update_metadata`
    UpdateMetadata,
    /// `archive_thread`
    ArchiveThread,
    /// `unarchive_thread`
    UnarchiveThread,
    /// `delete_thread`
    DeleteThread,
    /// `fork_thread`
    ForkThread,
    /// `roll_back`
    RollBack,
    /// `subscribe`
    Subscribe,
}
