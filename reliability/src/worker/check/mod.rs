//! What a home must hold after its workers were killed, and whether it does.
//!
//! What must hold: everything acknowledged is there, where the acknowledgement said; what was
//! tried is there whole or not at all, behind what was acknowledged before it was tried; nothing
//! else is there, and nothing that was found before has changed. What is known of a thread in the
//! index is what its log says, and each thread can be gone on with at once.

mod attempts;
mod history;
mod home;
mod leftovers;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::Duration;

use selvedge::{History, Item, Record, Selvedge, ThreadId};

pub use leftovers::Leftovers;

use super::launch::Report;
use attempts::Attempts;

/// How long a check may take before it counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(300);

/// What a home must hold.
#[derive(Debug, Clone, Default)]
pub struct Model {
    known: BTreeMap<ThreadId, Known>,
    /// Threads that were deleted, or never came to be: their ids are never used again.
    gone: BTreeSet<ThreadId>,
    /// How many appends were made by checks.
    appended: u64,
}

/// What was found of a thread.
#[derive(Debug, Clone, Default)]
struct Known {
    /// Of each record.
    digests: Vec<u64>,
    is_archived: bool,
    /// How many lines a kill has cut short, that later ones were written behind. Of JSON lines
    /// alone: a native log's torn tail is cut off.
    bad_lines: usize,
}

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// What must not be, in words.
    pub violations: Vec<String>,
    /// How many acknowledgements were looked after.
    pub acknowledged: u64,
    /// How many appends of unknown outcome are there.
    pub unknown_there: u64,
    /// How many are not.
    pub unknown_gone: u64,
    /// How many threads the home holds.
    pub threads: u64,
    /// How many records these hold.
    pub records: u64,
    /// How many logs ended in the midst of a write.
    pub torn: u64,
    /// What else lies in the home.
    pub leftovers: Leftovers,
}

impl Checked {
    fn violation(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }
}

/// How thoroughly a home is checked.
#[derive(Debug, Clone, Copy)]
pub struct Thoroughness {
    /// Of how many threads that no worker has touched the checker goes on with some.
    pub resumed: usize,
    /// Chooses which.
    pub seed: u64,
}

impl Model {
    /// A home that nobody works on, taken as it is. It is read without an index.
    pub async fn of(home: &Path) -> selvedge::Result<Self> {
        let mut model = Self::default();
        let selvedge = home::open_scan(home).await?;
        for thread in home::all(&selvedge).await? {
            let history = selvedge.load_history(thread.thread_id).await?;
            let known = Known {
                digests: history.records.iter().map(digest).collect(),
                is_archived: thread.is_archived(),
                bad_lines: history.damage.len(),
            };
            model.known.insert(thread.thread_id, known);
        }
        selvedge.shutdown().await?;
        Ok(model)
    }

    /// How many threads the home holds.
    pub fn threads(&self) -> usize {
        self.known.len()
    }

    /// More threads, which somebody has put into the home since the last check.
    pub fn join(&mut self, more: Self) {
        self.known.extend(more.known);
    }

    /// Opens the home that these workers have left, checks it, goes on with some of its threads
    /// and shuts it down. The model is then what was found.
    pub async fn check(
        &mut self,
        home: &Path,
        reports: &[Report],
        thoroughness: Thoroughness,
    ) -> Checked {
        let checking = self.check_home(home, reports, thoroughness);
        match tokio::time::timeout(STUCK_AFTER, checking).await {
            Ok(checked) => checked,
            Err(_) => Checked {
                violations: vec![format!("the home is stuck for {STUCK_AFTER:?}")],
                ..Checked::default()
            },
        }
    }

    async fn check_home(
        &mut self,
        home: &Path,
        reports: &[Report],
        thoroughness: Thoroughness,
    ) -> Checked {
        let mut checked = Checked {
            leftovers: Leftovers::of(home),
            ..Checked::default()
        };
        let attempts = Attempts::of(reports, |id| {
            self.known
                .get(&id)
                .map_or(0, |known| known.digests.len() as u64)
        });
        checked.violations.extend(attempts.wrong.iter().cloned());
        checked.acknowledged = attempts.acknowledged;
        let outcome = home::Check {
            model: self,
            attempts: &attempts,
            checked: &mut checked,
            home,
            thoroughness,
        };
        if let Err(error) = outcome.run().await {
            checked.violation(format!("checking: {error}"));
        }
        checked
    }
}

/// What tells a record from another one: its type and its payload.
fn digest(record: &Record) -> u64 {
    let payload = record.payload_json();
    let payload = payload.map(|payload| payload.get().to_owned());
    hash(
        record.record_type.as_str(),
        payload.unwrap_or_default().as_bytes(),
    )
}

fn digest_of(item: &Item) -> u64 {
    hash(item.record_type.as_str(), &item.body)
}

fn hash(kind: &str, payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (kind, payload).hash(&mut hasher);
    hasher.finish()
}

/// A thread as the checker reads it.
struct Read {
    summary: selvedge::ThreadSummary,
    history: History,
    is_lines: bool,
}

async fn read(selvedge: &Selvedge, summary: selvedge::ThreadSummary) -> selvedge::Result<Read> {
    let history = selvedge.load_history(summary.thread_id).await?;
    let is_lines = !summary.rollout_path.ends_with(".rlog");
    Ok(Read {
        summary,
        history,
        is_lines,
    })
}
