//! What changes the meaning of the records before it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::fields::view;

view! {
    /// The payload of a `compacted` record.
    pub struct Compacted<'a> {
        /// The summary that stands for what was left out.
        message: Cow<'a, str>,
        /// What the model sees in place of all records before: an array of response items.
        replacement_history: &'a RawValue,
    }
}

view! {
    /// The payload of a `thread_rolled_back` event.
    pub struct RolledBack {
        /// How many turns at the end no longer count.
        num_turns: u64,
    }
}

view! {
    /// The payload of a `lost` record: it stands where a record was that a repair could not save.
    pub struct Lost<'a> {
        /// What was wrong with the bytes of the lost record.
        reason: Cow<'a, str>,
        /// Where the damaged file is kept, below the home.
        copy: Cow<'a, str>,
        /// Where in that file the bytes begin that could not be read.
        offset: u64,
        /// How many these are; several lost records may share them.
        length: u64,
    }
}

view! {
    /// The payload of a `thread_name_updated` event.
    pub struct NameUpdated<'a> {
        /// The thread.
        thread_id: Cow<'a, str>,
        /// Its new name; `None` when it has none any more.
        thread_name: Cow<'a, str>,
    }
}
