//! What a thread's log should hold: batches, each with what is known of it, and how what is found
//! is held against them.

use selvedge::{History, Record};

/// A record, as far as the model tells it from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Its type.
    pub record_type: String,
    /// Its payload.
    pub payload: String,
}

impl Fact {
    /// What a record that was found says.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let payload = record.payload_json().map_or_else(
            |why| format!("no payload: {why}"),
            |json| json.get().to_owned(),
        );
        Self {
            record_type: record.record_type.as_str().to_owned(),
            payload,
        }
    }
}

/// What one record should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// What was handed in.
    Exactly(Fact),
    /// The thread's own meta.
    Meta(String),
    /// A new name, or none any more.
    Name(Option<String>),
    /// A new git branch.
    Branch(String),
}

impl Expected {
    fn is(&self, found: &Fact) -> bool {
        let says = |text: &str| found.payload.contains(text);
        match self {
            Self::Exactly(fact) => fact == found,
            Self::Meta(id) => found.record_type == "session_meta" && says(id),
            Self::Name(name) => {
                let is_name = match found.record_type.as_str() {
                    "metadata_patch" => says("\"name\""),
                    "event_msg" => says("\"thread_name_updated\""),
                    _ => false,
                };
                is_name
                    && name
                        .as_ref()
                        .is_none_or(|name| says(&format!("\"{name}\"")))
            }
            Self::Branch(branch) => {
                matches!(
                    found.record_type.as_str(),
                    "metadata_patch" | "session_meta"
                ) && says(&format!("\"{branch}\""))
            }
        }
    }
}

/// How much is known of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// It is there, whole, or it is not there at all.
    MayBe,
    /// It is there, and survives the process.
    Written,
    /// It is there, and survives the loss of power.
    Synced,
}

/// One batch of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its records.
    pub records: Vec<Expected>,
    /// What is known of it.
    pub known: Known,
    /// The ordinal of its first record, once somebody was told.
    pub first: Option<u64>,
    /// The disk has lost track of its bytes: they may be read, and no sync writes them.
    pub is_fragile: bool,
}

impl Entry {
    /// A batch of which nobody knows yet whether it is there.
    #[must_use]
    pub const fn new(records: Vec<Expected>) -> Self {
        Self {
            records,
            known: Known::MayBe,
            first: None,
            is_fragile: false,
        }
    }

    fn is(&self, found: &Batch) -> bool {
        self.records.len() == found.facts.len()
            && self.first.is_none_or(|first| first == found.first)
            && self
                .records
                .iter()
                .zip(&found.facts)
                .all(|(expected, fact)| expected.is(fact))
    }
}

/// A batch that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The ordinal of its first record.
    pub first: u64,
    /// Its records.
    pub facts: Vec<Fact>,
}

/// The own records of a thread, by batch. What is not a whole batch is an error.
///
/// # Errors
/// Says which batch is not whole.
pub fn batches(history: &History) -> Result<Vec<Batch>, String> {
    let own = history
        .records
        .iter()
        .filter(|record| record.ordinal >= history.own_from);
    let mut all: Vec<Batch> = Vec::new();
    let mut is_open = false;
    for record in own {
        let expected = match (is_open, all.last()) {
            (true, Some(batch)) => batch.facts.len(),
            _ => 0,
        };
        if record.batch.index as usize != expected {
            return Err(format!(
                "record {} is number {} of its batch, after {expected} others of it",
                record.ordinal.get(),
                record.batch.index
            ));
        }
        if !is_open {
            all.push(Batch {
                first: record.ordinal.get(),
                facts: Vec::new(),
            });
        }
        if let Some(batch) = all.last_mut() {
            batch.facts.push(Fact::of(record));
        }
        is_open = !record.batch.is_last;
    }
    match is_open {
        true => Err("the last batch has no end".to_owned()),
        false => Ok(all),
    }
}

/// Which of the batches found each entry is: all that were found are entries, in their order, and
/// only entries that may be missing are.
///
/// # Errors
/// Says what does not fit.
pub fn assign(entries: &[Entry], found: &[Batch]) -> Result<Vec<Option<usize>>, String> {
    let mut assigned = vec![None; entries.len()];
    let mut farthest = (0, 0);
    match go(entries, found, (0, 0), (&mut assigned, &mut farthest)) {
        true => Ok(assigned),
        false => {
            let (entry, batch) = farthest;
            Err(format!(
                "expected {:?}, found {:?} (entry {entry} of {}, batch {batch} of {})",
                entries.get(entry),
                found.get(batch),
                entries.len(),
                found.len(),
            ))
        }
    }
}

fn go(
    entries: &[Entry],
    found: &[Batch],
    (entry, batch): (usize, usize),
    (assigned, farthest): (&mut Vec<Option<usize>>, &mut (usize, usize)),
) -> bool {
    *farthest = (*farthest).max((entry, batch));
    let Some(next) = entries.get(entry) else {
        return batch == found.len();
    };
    if let Some(there) = found.get(batch)
        && next.is(there)
    {
        assigned[entry] = Some(batch);
        if go(entries, found, (entry + 1, batch + 1), (assigned, farthest)) {
            return true;
        }
        assigned[entry] = None;
    }
    next.known == Known::MayBe && go(entries, found, (entry + 1, batch), (assigned, farthest))
}

/// Whether flat records are what a log with these entries begins with.
///
/// # Errors
/// Says what does not fit.
pub fn is_prefix(
    (before, entries): (&[Fact], &[Entry]),
    found: &[Fact],
    is_whole: bool,
) -> Result<(), String> {
    let shared = before.len().min(found.len());
    if before[..shared] != found[..shared] {
        return Err(format!("inherited {found:?}, not {before:?}"));
    }
    if found.len() < before.len() {
        return match is_whole {
            true => Err(format!("inherited only {found:?}")),
            false => Ok(()),
        };
    }
    match flat(entries, &found[shared..], is_whole) {
        true => Ok(()),
        false => Err(format!(
            "inherited {:?}, which is not what {entries:?} begin with (all of it: {is_whole})",
            &found[shared..]
        )),
    }
}

fn flat(entries: &[Entry], found: &[Fact], is_whole: bool) -> bool {
    let Some((entry, rest)) = entries.split_first() else {
        return found.is_empty();
    };
    if found.is_empty() && !is_whole {
        return true;
    }
    let length = entry.records.len().min(found.len());
    let fits = (length == entry.records.len() || !is_whole)
        && entry.records[..length]
            .iter()
            .zip(found)
            .all(|(expected, fact)| expected.is(fact));
    (fits && flat(rest, &found[length..], is_whole))
        || (entry.known == Known::MayBe && flat(rest, found, is_whole))
}
