//! A thread's whole history, as slices of the buffers that its segments were read into.

use std::path::Path;

use selvedge_codec::{EventClass, Ordinal, Record, RecordType};

use super::{Damage, LogEvent, LogPosition, read_log};
use crate::Result;
use crate::disk::Disk;
use crate::home::LogFormat;

/// Everything that a log holds.
#[derive(Debug, Clone)]
pub struct History {
    /// The records, in order: those that the thread inherits, then its own.
    pub records: Vec<Record>,
    /// The ordinal of the thread's own first record: those before are inherited.
    pub own_from: Ordinal,
    /// What could not be read before the tail.
    pub damage: Vec<Damage>,
    /// What the log ends with beyond its last whole batch or line.
    pub torn_tail: Option<Damage>,
    /// Where reading goes on.
    pub position: LogPosition,
}

impl History {
    /// The records that still count: see [`super::effective`].
    #[must_use]
    pub fn effective(&self) -> Vec<&Record> {
        super::effective(&self.records)
    }

    /// The latest token usage that the records tell of: see [`super::token_usage`].
    #[must_use]
    pub fn token_usage(&self) -> Option<super::TokenUsageReport> {
        super::token_usage(&self.records)
    }

    /// The records in the order in which another home can take them for this thread's: a fork's own
    /// meta comes first. What it inherits is then copied history, of which what says something of
    /// the thread that it was forked from is left out.
    #[must_use]
    pub fn exported(&self) -> Vec<&Record> {
        let own = self
            .records
            .partition_point(|record| record.ordinal < self.own_from);
        let (inherited, own) = self.records.split_at(own);
        let (meta, rest) = match own.split_first() {
            Some((meta, rest)) if meta.record_type == RecordType::SessionMeta => (Some(meta), rest),
            _ => (None, own),
        };
        let is_copied = |record: &&Record| {
            record.record_type != RecordType::MetadataPatch
                && record.event != Some(EventClass::NameUpdated)
        };
        let inherited = inherited.iter().filter(is_copied);
        meta.into_iter().chain(inherited).chain(rest).collect()
    }
}

/// Loads a log whole. Payloads are parsed only when asked for.
///
/// # Errors
/// As [`read_log`].
pub fn load_history(disk: &dyn Disk, file: &Path, format: LogFormat) -> Result<History> {
    let mut scan = read_log(disk, file, format, None)?;
    let (mut records, mut damage) = (Vec::new(), Vec::new());
    for event in &mut scan {
        match event {
            LogEvent::Record(record) => records.push(record),
            LogEvent::Damage(found) => damage.push(found),
        }
    }
    Ok(History {
        records,
        damage,
        own_from: scan.own_from(),
        torn_tail: scan.torn_tail(),
        position: scan.position(),
    })
}
