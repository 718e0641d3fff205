//! A thread as its records: what a store answers about it, without any I/O.
//!
//! What must hold: every answer is a function of the thread's id, its records and whether it is
//! archived, so that a store that keeps these keeps everything.

use std::path::PathBuf;

use selvedge_codec::view::{MetadataPatch, View};
use selvedge_codec::{CodecError, Item, Ordinal, Record, RecordType, ThreadId, UtcMicros};
use selvedge_engine::home::LogPath;
use selvedge_engine::log::{History, LogPosition, Numbering};
use selvedge_engine::paging::{
    ItemPage, ItemQuery, ModelContext, TurnPage, TurnQuery, model_context, page_items, page_turns,
};
use selvedge_engine::projection::{
    FoldState, LogIdentity, PlacedTurn, Projector, apply_turn_changes,
};
use selvedge_engine::search::{OccurrencePage, OccurrenceQuery, occurrences_in};
use selvedge_engine::store::MetadataChange;
use selvedge_engine::thread::{ForkPoint, ThreadSummary, TurnSummary};
use selvedge_engine::{ConflictReason, CorruptReason, Error, InvalidRequest, Result};

use crate::{Ack, AppendOptions, Durability, check_batch};

/// A thread as its records. [`crate::InMemoryThreadStore`] keeps nothing else, and a store that
/// keeps records elsewhere can answer through it: load them, ask, and keep what was appended.
///
/// Its answers are those of every store: what comes from elsewhere is held against them.
#[derive(Debug, Clone)]
pub struct ThreadRecords {
    thread_id: ThreadId,
    records: Vec<Record>,
    numbering: Numbering,
    /// Where the thread's own records begin. Its id does not tell: what it inherits may come from a
    /// thread that once had the same one.
    own_from: Ordinal,
    is_archived: bool,
    folded: Folded,
}

impl ThreadRecords {
    /// A new thread: what it inherits, with its ordinals, and then its own meta.
    ///
    /// # Errors
    /// As [`ThreadRecords::of`].
    pub fn begin(thread_id: ThreadId, inherited: &[Record], meta: Item) -> Result<Self> {
        let own_from = Ordinal::new(inherited.len() as u64);
        let mut numbering = Numbering::starting_at(own_from);
        let mut records = inherited.to_vec();
        let now = meta.time.unwrap_or(UtcMicros::EPOCH);
        records.extend(numbering.batch(vec![meta], now));
        Self::of(thread_id, own_from, records)
    }

    /// A thread as it was kept: all its records in their order, of which those from `own_from` on
    /// are its own and those before are inherited.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the ordinals have a gap, or the first of the thread's own records is
    /// not its meta.
    pub fn of(thread_id: ThreadId, own_from: Ordinal, records: Vec<Record>) -> Result<Self> {
        for (expected, record) in (0..).map(Ordinal::new).zip(&records) {
            if record.ordinal != expected {
                let found = record.ordinal;
                let why = CodecError::FrameOrdinal { expected, found };
                return Err(corrupt(thread_id, why.into()));
            }
        }
        let own = usize::try_from(own_from.get()).unwrap_or(usize::MAX);
        let meta = records.get(own);
        if !meta.is_some_and(|meta| is_meta_of(meta, thread_id)) {
            return Err(corrupt(thread_id, CorruptReason::NoThreadId));
        }
        let mut numbering = Numbering::starting_at(own_from);
        numbering.follow(records.iter().skip(own));
        let folded = Folded::of(thread_id, &records, own)?;
        Ok(Self {
            thread_id,
            records,
            numbering,
            own_from,
            is_archived: false,
            folded,
        })
    }

    /// The thread.
    #[must_use]
    pub const fn thread_id(&self) -> ThreadId {
        self.thread_id
    }

    /// All records, in the order of their ordinals, which begin with 0.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The ordinal of the thread's own first record: those before are inherited.
    #[must_use]
    pub const fn own_from(&self) -> Ordinal {
        self.own_from
    }

    /// The records from an ordinal on.
    #[must_use]
    pub fn records_from(&self, first: Ordinal) -> &[Record] {
        let first = usize::try_from(first.get()).unwrap_or(usize::MAX);
        self.records.get(first..).unwrap_or_default()
    }

    /// The ordinal that the next record gets.
    #[must_use]
    pub const fn next_ordinal(&self) -> Ordinal {
        self.numbering.next_ordinal()
    }

    /// Whether the thread is among the archived ones.
    #[must_use]
    pub const fn is_archived(&self) -> bool {
        self.is_archived
    }

    /// Puts the thread among the archived ones, or takes it back.
    pub const fn set_archived(&mut self, is_archived: bool) {
        self.is_archived = is_archived;
    }

    /// Appends a batch, and acknowledges it as `Buffered`. Items without a time get `now`.
    ///
    /// # Errors
    /// As [`check_batch`]; [`Error::Conflict`] when another ordinal was expected.
    pub fn append(
        &mut self,
        items: Vec<Item>,
        options: AppendOptions,
        now: UtcMicros,
    ) -> Result<Ack> {
        check_batch(&items)?;
        let first_ordinal = self.next_ordinal();
        check_expected(self.thread_id, options, first_ordinal)?;
        let batch = self.numbering.batch(items, now);
        self.folded.take(&batch)?;
        self.records.extend(batch);
        Ok(Ack {
            thread_id: self.thread_id,
            first_ordinal,
            last_ordinal: Ordinal::new(self.next_ordinal().get().saturating_sub(1)),
            durability: Durability::Buffered,
        })
    }

    /// What is known of the thread.
    #[must_use]
    pub fn summary(&self) -> ThreadSummary {
        let mut summary = self.folded.summary.clone();
        summary.archived_at = self.is_archived.then_some(summary.updated_at);
        summary
    }

    /// All records, as a history.
    #[must_use]
    pub fn history(&self) -> History {
        History {
            records: self.records.clone(),
            own_from: self.own_from,
            damage: Vec::new(),
            torn_tail: None,
            position: LogPosition {
                next_ordinal: self.next_ordinal(),
                ..LogPosition::default()
            },
        }
    }

    /// The turns that still count, oldest first.
    #[must_use]
    pub fn turns(&self) -> Vec<TurnSummary> {
        self.counting().cloned().collect()
    }

    fn counting(&self) -> impl DoubleEndedIterator<Item = &TurnSummary> {
        let turns = self.folded.turns.iter().map(|placed| &placed.turn);
        turns.filter(|turn| !turn.rolled_back)
    }

    /// A page of the thread's turns.
    ///
    /// # Errors
    /// [`InvalidRequest`] for a bad cursor or page size.
    pub fn turn_page(&self, query: &TurnQuery) -> Result<TurnPage> {
        page_turns(self.thread_id, &self.records, query)
    }

    /// A page of the thread's items.
    ///
    /// # Errors
    /// [`InvalidRequest`] for a bad cursor or page size, or an unknown turn.
    pub fn item_page(&self, query: &ItemQuery) -> Result<ItemPage> {
        page_items(self.thread_id, &self.records, query)
    }

    /// The end of the history from which what the model sees can be rebuilt.
    #[must_use]
    pub fn model_context(&self) -> ModelContext {
        model_context(&self.records)
    }

    /// The places where something was said.
    ///
    /// # Errors
    /// [`InvalidRequest`] for a bad term, cursor or page size.
    pub fn occurrences(&self, query: &OccurrenceQuery) -> Result<OccurrencePage> {
        occurrences_in(self.thread_id, &self.records, query)
    }

    /// The runtime that started the thread; "" when its meta does not say.
    #[must_use]
    pub fn originator(&self) -> String {
        let own = self.records_from(self.own_from).first();
        match own.map(View::of) {
            Some(Ok(View::SessionMeta(meta))) => meta.originator.unwrap_or_default().into_owned(),
            _ => String::new(),
        }
    }

    /// What a fork that leaves the history at `point` inherits.
    ///
    /// # Errors
    /// [`InvalidRequest::NoSuchTurn`] and [`InvalidRequest::OrdinalPastEnd`].
    pub fn before(&self, point: &ForkPoint) -> Result<&[Record]> {
        let end = match point {
            ForkPoint::Whole => self.next_ordinal(),
            ForkPoint::Before(end) => *end,
            ForkPoint::AfterTurn(turn_id) => {
                let is_it = |turn: &&TurnSummary| turn.turn_id.as_ref() == Some(turn_id);
                let turn = self.counting().rfind(is_it);
                let turn = turn.ok_or_else(|| InvalidRequest::NoSuchTurn {
                    thread_id: self.thread_id,
                    turn_id: turn_id.clone(),
                })?;
                turn.last_ordinal.next()
            }
        };
        let within = usize::try_from(end.get()).ok();
        let prefix = within.and_then(|end| self.records.get(..end));
        prefix.ok_or_else(|| {
            let next = self.next_ordinal();
            InvalidRequest::OrdinalPastEnd { asked: end, next }.into()
        })
    }

    /// What a change of the thread's metadata appends: nothing when it changes nothing.
    ///
    /// # Errors
    /// [`InvalidRequest::Metadata`] for a value that can't be kept.
    pub fn patch(patch: &MetadataPatch) -> Result<Vec<Item>> {
        MetadataChange::for_new(patch).map(|change| change.items())
    }

    /// What a rollback appends.
    ///
    /// # Errors
    /// [`InvalidRequest::RollbackTurns`] for 0 turns or more than still count.
    pub fn rollback(&self, turns: u32) -> Result<Item> {
        let there = u32::try_from(self.counting().count()).unwrap_or(u32::MAX);
        rollback_item(turns, there)
    }
}

/// The record that drops the last `turns` of the `there` turns that still count.
///
/// # Errors
/// [`InvalidRequest::RollbackTurns`] for 0 turns or more than there are.
pub fn rollback_item(turns: u32, there: u32) -> Result<Item> {
    if turns == 0 || turns > there {
        let asked = turns;
        return Err(InvalidRequest::RollbackTurns { asked, there }.into());
    }
    let payload = format!(r#"{{"type":"thread_rolled_back","num_turns":{turns}}}"#);
    Ok(Item::json("event_msg", payload).map_err(InvalidRequest::Codec)?)
}

pub(crate) fn check_expected(
    thread_id: ThreadId,
    options: AppendOptions,
    actual: Ordinal,
) -> Result<()> {
    match options.expected_next {
        Some(expected) if expected != actual => Err(Error::Conflict {
            thread_id,
            reason: ConflictReason::NextOrdinal { expected, actual },
        }),
        _ => Ok(()),
    }
}

fn is_meta_of(record: &Record, thread_id: ThreadId) -> bool {
    record.record_type == RecordType::SessionMeta
        && matches!(View::of(record), Ok(View::SessionMeta(meta)) if meta.thread_id() == Some(thread_id))
}

fn corrupt(thread_id: ThreadId, why: CorruptReason) -> Error {
    Error::Corrupt {
        path: PathBuf::from(thread_id.to_string()),
        offset: selvedge_codec::ByteOffset::ZERO,
        why,
    }
}

/// What the records were folded into so far.
#[derive(Debug, Clone)]
struct Folded {
    summary: ThreadSummary,
    state: FoldState,
    turns: Vec<PlacedTurn>,
}

impl Folded {
    fn of(thread_id: ThreadId, records: &[Record], own: usize) -> Result<Self> {
        let mut projector = Projector::new(identity(thread_id));
        let (inherited, own) = records.split_at_checked(own).unwrap_or_default();
        for record in inherited {
            projector.apply_inherited(record);
        }
        Self::finish(thread_id, projector, (Vec::new(), own))
    }

    fn take(&mut self, batch: &[Record]) -> Result<()> {
        let thread_id = self.summary.thread_id;
        let (summary, state) = (self.summary.clone(), self.state.clone());
        let projector = Projector::resume(identity(thread_id), summary, state);
        let turns = std::mem::take(&mut self.turns);
        *self = Self::finish(thread_id, projector, (turns, batch))?;
        Ok(())
    }

    /// Takes the thread's own records, which are the last ones.
    fn finish(
        thread_id: ThreadId,
        mut projector: Projector,
        (mut turns, records): (Vec<PlacedTurn>, &[Record]),
    ) -> Result<Self> {
        for record in records {
            projector.apply(record);
        }
        let next = records.last().map(|record| record.ordinal.next());
        let folded = projector.finish(next.unwrap_or_default());
        let folded = folded.map_err(|why| corrupt(thread_id, why))?;
        apply_turn_changes(&mut turns, folded.turns);
        Ok(Self {
            summary: folded.summary,
            state: folded.state,
            turns,
        })
    }
}

fn identity(thread_id: ThreadId) -> LogIdentity {
    LogIdentity {
        path: LogPath::NOWHERE,
        header: Some(thread_id),
    }
}
