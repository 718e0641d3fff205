//! What all appenders have said so far.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use selvedge::ThreadId;

use super::super::{Outcome, Trying};
use crate::worker::{Doing, Line, Refusal};

/// The lines of a journal's bytes. What a kill has cut short was not said.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = Line> + '_ {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_suffix(b"\n"))
        .filter_map(|line| std::str::from_utf8(line).ok())
        .filter_map(Line::parse)
}

/// What is known of a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Whether something was acknowledged that brings it to the disk.
    pub(super) is_there: bool,
    /// Everything below it was acknowledged.
    pub(super) next: u64,
    /// Where it lies; `None` when a move is going on, or nobody knows what came of one.
    pub(super) archived: Option<bool>,
    /// Whether its end was acknowledged.
    pub(super) is_gone: bool,
    /// How many times somebody began to move or end it.
    pub(super) changes: u64,
    /// Whether somebody has begun to end it, and was not refused.
    may_be_gone: bool,
    is_ephemeral: bool,
}

impl Facts {
    /// Whether every answer must have it.
    pub(super) fn must_be_there(&self) -> bool {
        self.is_there && !self.may_be_gone && !self.is_ephemeral
    }
}

/// All journals, as far as they were read.
#[derive(Debug)]
pub(super) struct Journals {
    dir: PathBuf,
    files: BTreeMap<PathBuf, Journal>,
    pub(super) threads: BTreeMap<ThreadId, Facts>,
    /// Of threads that somebody has begun to make.
    pub(super) tried: BTreeSet<ThreadId>,
}

#[derive(Debug, Default)]
struct Journal {
    read: u64,
    /// What the running process has begun and not been answered.
    begun: HashMap<u64, Begun>,
}

#[derive(Debug)]
struct Begun {
    doing: Doing,
    /// Where the thread lay before.
    archived: Option<bool>,
}

impl Journals {
    /// `there` are the threads that were there before any appender.
    pub(super) fn new(dir: &Path, there: impl IntoIterator<Item = ThreadId>) -> Self {
        let known = Facts {
            is_there: true,
            archived: Some(false),
            ..Facts::default()
        };
        let threads: BTreeMap<_, _> = there.into_iter().map(|id| (id, known.clone())).collect();
        Self {
            dir: dir.to_path_buf(),
            files: BTreeMap::new(),
            tried: threads.keys().copied().collect(),
            threads,
        }
    }

    /// Reads what was said since.
    ///
    /// # Errors
    /// What the machine refused.
    pub(super) fn read_on(&mut self) -> Outcome<()> {
        for entry in std::fs::read_dir(&self.dir).trying("list the journals")? {
            let path = entry.trying("list the journals")?.path();
            let file = File::open(&path).trying("open a journal")?;
            let end = file.metadata().trying("look at a journal")?.len();
            let journal = self.files.entry(path).or_default();
            let mut bytes = vec![0; usize::try_from(end - journal.read).trying("measure")?];
            file.read_exact_at(&mut bytes, journal.read)
                .trying("read a journal")?;
            let whole = bytes
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            journal.read += whole as u64;
            for line in lines(&bytes[..whole]) {
                journal.take(line, (&mut self.threads, &mut self.tried));
            }
        }
        Ok(())
    }
}

impl Journal {
    fn take(
        &mut self,
        line: Line,
        (threads, tried): (&mut BTreeMap<ThreadId, Facts>, &mut BTreeSet<ThreadId>),
    ) {
        match line {
            // Another process: what the one before has begun is never answered.
            Line::Opened => self.begun.clear(),
            Line::Trying { op, doing } => {
                let id = doing.thread();
                tried.insert(id);
                let facts = threads.entry(id).or_default();
                let archived = facts.archived;
                match &doing {
                    Doing::Start { ephemeral, .. } => {
                        facts.is_ephemeral = *ephemeral;
                        facts.archived = Some(false);
                    }
                    Doing::Fork { .. } => facts.archived = Some(false),
                    Doing::Archive { .. } | Doing::Unarchive { .. } => {
                        facts.changes += 1;
                        facts.archived = None;
                    }
                    Doing::Delete { .. } | Doing::Discard { .. } => {
                        facts.changes += 1;
                        facts.may_be_gone = true;
                    }
                    _ => {}
                }
                self.begun.insert(op, Begun { doing, archived });
            }
            Line::Done { op, ordinals } => {
                let Some(Begun { doing, .. }) = self.begun.remove(&op) else {
                    return;
                };
                let facts = threads.entry(doing.thread()).or_default();
                facts.is_there |= doing.writes();
                match doing {
                    Doing::Append { .. } => {
                        let last = ordinals.map_or(0, |(_, last)| last + 1);
                        facts.next = facts.next.max(last);
                    }
                    Doing::Archive { .. } => facts.archived = Some(true),
                    Doing::Unarchive { .. } => facts.archived = Some(false),
                    Doing::Delete { .. } | Doing::Discard { .. } => facts.is_gone = true,
                    _ => {}
                }
            }
            Line::Refused { op, refusal, .. } => {
                let Some(Begun { doing, archived }) = self.begun.remove(&op) else {
                    return;
                };
                let facts = threads.entry(doing.thread()).or_default();
                match doing {
                    Doing::Archive { .. } | Doing::Unarchive { .. } => {
                        facts.archived = (refusal == Refusal::Writer).then_some(archived).flatten();
                    }
                    Doing::Delete { .. } if refusal == Refusal::Writer => {
                        facts.may_be_gone = false;
                    }
                    _ => {}
                }
            }
            Line::Wrong { .. } | Line::Looked | Line::Stopped => {}
        }
    }
}
