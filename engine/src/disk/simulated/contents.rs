//! A file's bytes: what is read, what is on the medium, and what lies between.
//!
//! What must hold: the medium holds what was synced, whatever else is lost; and what a failed sync
//! has dropped is never written by a later one.

use fastrand::Rng;

/// Sectors are what a medium writes at once, if anything is.
const SECTOR_BYTES: usize = 512;
/// How many times of a file may be on the medium: a sync of data need not write the time.
const MAX_TIMES: usize = 4;

/// A change of a file that no sync has written yet.
#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Debug, Clone)]
struct Unsynced {
    change: Change,
    mtime: i64,
}

/// How much of what was not synced a power loss leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Temper {
    /// Nothing of it.
    Nothing,
    /// All of it.
    All,
    /// A random subset, torn anywhere.
    Mixed,
}

impl Temper {
    pub(super) fn of(rng: &mut Rng) -> Self {
        match rng.u8(0..8) {
            0 | 1 => Self::Nothing,
            2 => Self::All,
            _ => Self::Mixed,
        }
    }

    pub(super) fn keeps(self, rng: &mut Rng) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::Mixed => rng.bool(),
        }
    }
}

/// A file's bytes.
#[derive(Debug, Default)]
pub(super) struct Contents {
    cache: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
    mtime: i64,
    /// Times that may be on the medium.
    durable_mtimes: Vec<i64>,
}

impl Contents {
    /// An empty file made now.
    pub(super) fn new(mtime: i64) -> Self {
        Self {
            mtime,
            durable_mtimes: vec![mtime],
            ..Self::default()
        }
    }

    /// A file that is durable as it is.
    pub(super) fn durable(bytes: &[u8], mtime: i64) -> Self {
        Self {
            cache: bytes.to_vec(),
            durable: bytes.to_vec(),
            ..Self::new(mtime)
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.cache
    }

    pub(super) const fn len(&self) -> usize {
        self.cache.len()
    }

    pub(super) const fn mtime(&self) -> i64 {
        self.mtime
    }

    pub(super) const fn is_dirty(&self) -> bool {
        !self.unsynced.is_empty()
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8], mtime: i64) {
        put(&mut self.cache, at, bytes);
        let bytes = bytes.to_vec();
        self.note(Change::Write { at, bytes }, mtime);
    }

    pub(super) fn set_len(&mut self, len: usize, mtime: i64) {
        self.cache.resize(len, 0);
        self.note(Change::Length(len), mtime);
    }

    fn note(&mut self, change: Change, mtime: i64) {
        self.mtime = mtime;
        self.unsynced.push(Unsynced { change, mtime });
    }

    /// A sync that goes well.
    pub(super) fn sync(&mut self) {
        let before = self.durable.len();
        for Unsynced { change, .. } in self.unsynced.drain(..) {
            apply(&mut self.durable, &change);
        }
        if self.durable.len() != before {
            // The length is written with the time beside it.
            self.durable_mtimes.clear();
        }
        if self.durable_mtimes.last() != Some(&self.mtime) {
            self.durable_mtimes.push(self.mtime);
        }
        if self.durable_mtimes.len() > MAX_TIMES {
            self.durable_mtimes.remove(0);
        }
    }

    /// A sync that fails: its pages count as clean. They may still be read until they leave the
    /// cache, which may be at once.
    pub(super) fn drop_pages(&mut self, rng: &mut Rng) {
        let dropped = std::mem::take(&mut self.unsynced);
        let mut len = self.durable.len();
        for Unsynced { change, mtime } in dropped {
            let longer = end_of(&change);
            // Lengths are kept elsewhere than data.
            if longer > len && rng.bool() {
                len = longer;
                let change = Change::Length(len);
                self.unsynced.push(Unsynced { change, mtime });
            }
        }
        match rng.u8(0..3) {
            0 => {}
            1 => {
                let seen = self.cache.len();
                self.cache.clone_from(&self.durable);
                self.cache.resize(seen, 0);
            }
            _ => {
                self.cache.clone_from(&self.durable);
                self.cache.resize(len, 0);
            }
        }
    }

    /// Leaves what a power loss leaves.
    pub(super) fn lose_power(&mut self, temper: Temper, rng: &mut Rng) {
        let mut mtimes = std::mem::take(&mut self.durable_mtimes);
        for Unsynced { change, mtime } in std::mem::take(&mut self.unsynced) {
            mtimes.push(mtime);
            match temper {
                Temper::Nothing => {}
                Temper::All => apply(&mut self.durable, &change),
                Temper::Mixed => tear(&mut self.durable, &change, rng),
            }
        }
        self.mtime = match temper {
            Temper::All => self.mtime,
            Temper::Nothing | Temper::Mixed => rng.choice(mtimes).unwrap_or(self.mtime),
        };
        self.durable_mtimes = vec![self.mtime];
        self.cache.clone_from(&self.durable);
    }
}

const fn end_of(change: &Change) -> usize {
    match change {
        Change::Write { at, bytes } => at.saturating_add(bytes.len()),
        Change::Length(len) => *len,
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { at, bytes: written } => put(bytes, *at, written),
        Change::Length(len) => bytes.resize(*len, 0),
    }
}

/// Writes `written` at `at`; what lies before it and was not there is zeros.
fn put(bytes: &mut Vec<u8>, at: usize, written: &[u8]) {
    if written.is_empty() {
        return;
    }
    let end = at.saturating_add(written.len());
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(place) = bytes.get_mut(at..end) {
        place.copy_from_slice(written);
    }
}

/// Applies any part of a change.
fn tear(bytes: &mut Vec<u8>, change: &Change, rng: &mut Rng) {
    let Change::Write { at, bytes: written } = change else {
        if rng.bool() {
            apply(bytes, change);
        }
        return;
    };
    match rng.u8(0..8) {
        0 | 1 => put(bytes, *at, written),
        2 | 3 => {
            let (kept, _) = written.split_at(rng.usize(0..=written.len()));
            put(bytes, *at, kept);
        }
        4 => {
            let cut = rng.usize(0..=written.len());
            let (_, kept) = written.split_at(cut);
            put(bytes, at.saturating_add(cut), kept);
        }
        5 => {
            let mut from = 0;
            while from < written.len() {
                let upto = (at.saturating_add(from) / SECTOR_BYTES + 1) * SECTOR_BYTES - at;
                let sector = written.get(from..upto.min(written.len()));
                if rng.bool() {
                    put(bytes, at.saturating_add(from), sector.unwrap_or_default());
                }
                from = upto;
            }
        }
        _ => {}
    }
    // A length may be there without its data.
    let end = end_of(change);
    if bytes.len() < end && rng.u8(0..4) == 0 {
        bytes.resize(end, 0);
    }
}
