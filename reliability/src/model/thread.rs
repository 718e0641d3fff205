//! One thread, as it should be.

use selvedge::Error;

use super::entry::{Entry, Expected, Fact, Known};
use super::program::{PROCESSES, Point};

/// Whether a thread is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existence {
    /// It is not.
    Absent,
    /// A process has started it, and nothing of it is on disk.
    Deferred(usize),
    /// It is.
    Kept,
    /// It is, whole, or it is not.
    MayBe,
    /// Something of it is there that is no thread: nothing of it was promised to anybody.
    Wreck,
}

/// Which kind of log a thread has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A native one.
    Native,
    /// JSON lines: each is a batch of its own.
    Lines,
}

/// What a fork begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inherited {
    /// These records.
    Exactly(Vec<Fact>),
    /// What its source began with then, up to some place.
    From {
        /// What the source itself had inherited.
        before: Vec<Fact>,
        /// Its own batches.
        entries: Vec<Entry>,
        /// How far.
        point: Point,
    },
}

/// One thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Its number.
    pub number: u8,
    /// Its log.
    pub kind: Kind,
    /// Whether it is there.
    pub existence: Existence,
    /// In which process it is live.
    pub live: Option<usize>,
    /// Whether it is archived; `None` where nobody knows.
    pub archived: Option<bool>,
    /// Whether what is known of its place survives the loss of power.
    pub is_placed: bool,
    /// Whether it was found to be gone after a deletion that had failed: the loss of power may
    /// bring it back.
    pub is_ghost: bool,
    /// What it inherits.
    pub inherited: Inherited,
    /// Its own batches.
    pub entries: Vec<Entry>,
    /// Bytes of its log may have been harmed: there may be gaps.
    pub is_harmed: bool,
    /// A write may have been cut short: there may be a torn tail.
    pub is_torn: bool,
    /// The disk may have dropped pages of it that its process still remembers.
    pub has_dropped: bool,
    /// A thread of this id was deleted, and not without trouble: its name may be there still.
    pub is_haunted: bool,
}

impl Thread {
    /// A thread that is not there.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self {
            number,
            kind: Kind::Native,
            existence: Existence::Absent,
            live: None,
            archived: Some(false),
            is_placed: true,
            is_ghost: false,
            inherited: Inherited::Exactly(Vec::new()),
            entries: Vec::new(),
            is_harmed: false,
            is_torn: false,
            has_dropped: false,
            is_haunted: false,
        }
    }

    /// Whether a new thread may be given this id without any doubt about what follows.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        !self.is_ghost
            && matches!(
                self.existence,
                Existence::Absent | Existence::Deferred(_) | Existence::Kept
            )
    }

    /// Whether its log is on disk, as far as that is known.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.existence == Existence::Kept
    }

    /// Adds a batch, and gives its place. Each line of a log of JSON lines is one.
    pub fn push(&mut self, records: Vec<Expected>) -> std::ops::Range<usize> {
        let from = self.entries.len();
        match self.kind {
            Kind::Native => self.entries.push(Entry::new(records)),
            Kind::Lines => {
                let each = records.into_iter().map(|record| Entry::new(vec![record]));
                self.entries.extend(each);
            }
        }
        from..self.entries.len()
    }

    /// Somebody was told that these batches are there.
    pub fn acknowledge(&mut self, which: std::ops::Range<usize>, known: Known, first: Option<u64>) {
        let mut next = first;
        for entry in &mut self.entries[which.clone()] {
            entry.known = entry.known.max(known);
            entry.first = next;
            next = next.map(|next| next + entry.records.len() as u64);
        }
        // A log begins with its meta, whoever was told of it, unless that was lost and it went on.
        if let Some(meta) = self.entries.first_mut()
            && !self.is_harmed
        {
            meta.known = meta.known.max(known);
        }
        if known == Known::Synced {
            self.sync_before(which.end);
        }
        self.existence = Existence::Kept;
    }

    /// What was acknowledged before this batch is synced with it.
    pub fn sync_before(&mut self, end: usize) {
        for entry in &mut self.entries[..end] {
            if entry.known == Known::Written {
                entry.known = Known::Synced;
            }
        }
    }

    /// All that was acknowledged is synced.
    pub fn sync(&mut self) {
        self.sync_before(self.entries.len());
    }

    /// The ordinal of the next record, where that is certain.
    #[must_use]
    pub fn next_ordinal(&self) -> Option<u64> {
        let Inherited::Exactly(inherited) = &self.inherited else {
            return None;
        };
        let is_certain = |entry: &Entry| entry.known != Known::MayBe;
        let own: usize = self.entries.iter().map(|entry| entry.records.len()).sum();
        (self.entries.iter().all(is_certain) && !self.is_harmed)
            .then_some((inherited.len() + own) as u64)
    }

    /// The process in which it was live is gone, with what it remembered.
    pub fn lose_process(&mut self, drops_pages: bool) {
        self.live = None;
        match self.existence {
            Existence::Deferred(_) => self.forget(),
            _ => {
                if self.has_dropped || drops_pages {
                    self.lose_pages();
                }
                self.note_torn();
            }
        }
    }

    /// Its process has found that something which it did not write itself is lost, and says so.
    pub fn is_told_lost(&mut self, error: &Error) -> bool {
        let is_lost = self.has_dropped && matches!(error, Error::Corrupt { .. });
        if is_lost {
            self.lose_pages();
            // It is not mended by that.
            self.has_dropped = true;
        }
        is_lost
    }

    /// What the disk has dropped is nowhere any more.
    fn lose_pages(&mut self) {
        self.has_dropped = false;
        for entry in &mut self.entries {
            if entry.known < Known::Synced {
                entry.known = Known::MayBe;
                entry.is_fragile = true;
                self.is_harmed = true;
            }
        }
        self.forget_ordinals();
        if self.existence == Existence::Kept && !self.is_durable() {
            self.existence = Existence::MayBe;
        }
    }

    /// The machine has stopped.
    pub fn lose_power(&mut self) {
        self.live = None;
        if matches!(self.existence, Existence::Deferred(_)) {
            self.forget();
            return;
        }
        self.note_torn();
        for entry in &mut self.entries {
            if entry.known < Known::Synced || entry.is_fragile {
                entry.known = Known::MayBe;
                self.is_harmed = true;
            }
        }
        if self.existence == Existence::Kept && !self.is_durable() {
            self.existence = Existence::MayBe;
        }
        if self.existence == Existence::MayBe {
            self.doubt_inherited();
        }
        self.forget_ordinals();
        if self.is_ghost {
            self.existence = Existence::MayBe;
            self.is_ghost = false;
        }
        if !self.is_placed {
            self.archived = None;
        }
    }

    /// The entries that lead to what it inherits may be lost.
    fn doubt_inherited(&mut self) {
        let (facts, entries) = match &mut self.inherited {
            Inherited::Exactly(facts) => (std::mem::take(facts), Vec::new()),
            Inherited::From {
                before, entries, ..
            } => (std::mem::take(before), std::mem::take(entries)),
        };
        let facts = facts.into_iter().map(Expected::Exactly);
        let records = entries.into_iter().flat_map(|entry| entry.records);
        let each = facts.chain(records).map(|record| Entry::new(vec![record]));
        self.inherited = Inherited::From {
            before: Vec::new(),
            entries: each.collect(),
            point: Point::Whole,
        };
    }

    /// What became of it may show only once the system reads its file anew: nothing of it tells that
    /// it has changed.
    #[must_use]
    pub fn is_dropped_wreck(&self) -> bool {
        self.existence == Existence::Wreck && self.entries.iter().any(|entry| entry.is_fragile)
    }

    /// Where it lies among the lines is no longer certain.
    fn forget_ordinals(&mut self) {
        if self.kind == Kind::Lines {
            self.entries.iter_mut().for_each(|entry| entry.first = None);
        }
    }

    /// Something of it was asked to be there for good.
    fn is_durable(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.known == Known::Synced)
    }

    /// A write that nobody was told of may have left a part of itself.
    pub fn note_torn(&mut self) {
        if self.entries.iter().any(|entry| entry.known == Known::MayBe) {
            self.is_torn = true;
            // Whoever goes on behind half a line makes it a bad one.
            self.is_harmed |= self.kind == Kind::Lines;
        }
    }

    /// It is gone.
    pub fn forget(&mut self) {
        *self = Self {
            is_haunted: self.is_haunted,
            ..Self::new(self.number)
        };
    }

    /// What is known of it, for whoever looks at a failing program.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        if *self == Self::new(self.number) {
            return None;
        }
        let mut told = format!(
            "\n  thread {}: {:?} {:?}, live in {:?}, archived {:?} (placed {}), ghost {}, harmed {}, torn {}, \
             dropped {}, haunted {}",
            self.number,
            self.kind,
            self.existence,
            self.live,
            self.archived,
            self.is_placed,
            self.is_ghost,
            self.is_harmed,
            self.is_torn,
            self.has_dropped,
            self.is_haunted
        );
        match &self.inherited {
            Inherited::Exactly(facts) if facts.is_empty() => {}
            inherited => told += &format!("\n    inherits {inherited:?}"),
        }
        for entry in &self.entries {
            let fragile = if entry.is_fragile { ", fragile" } else { "" };
            told += &format!(
                "\n    {:?} at {:?}{fragile}: {:.200}",
                entry.known,
                entry.first,
                format!("{:?}", entry.records)
            );
        }
        Some(told)
    }

    /// The name that its log gives it; the outer `None` says that it says nothing of a name.
    #[must_use]
    pub fn name(&self) -> Option<Option<&str>> {
        self.entries.iter().rev().find_map(|entry| {
            entry.records.iter().find_map(|record| match record {
                Expected::Name(name) => Some(name.as_deref()),
                _ => None,
            })
        })
    }

    /// The git branch that its log gives it.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        self.entries.iter().rev().find_map(|entry| {
            entry.records.iter().find_map(|record| match record {
                Expected::Branch(branch) => Some(branch.as_str()),
                _ => None,
            })
        })
    }
}

const _: () = assert!(PROCESSES == 2, "each process is the other's peer");
