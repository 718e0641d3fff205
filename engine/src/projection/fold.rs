//! The fold itself: records in, a summary and turn changes out. No I/O.
//!
//! What must hold: all that the fold remembers of the records it took is in the summary and the
//! [`FoldState`], so that it can stop after any record and go on from there.

use std::borrow::Cow;

use selvedge_codec::view::{self, NameUpdated, SessionMeta, TurnContext, View};
use selvedge_codec::{Ordinal, Record, ThreadId, UtcMicros};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::TurnChange;
use super::meta::{Explicit, apply_patch, changes_inherited, cut_texts, describe, update};
use super::turns::{TurnFold, TurnState};
use super::words::{bounded, cut, first_words, preview_of};
use crate::CorruptReason;
use crate::home::{LogName, LogPath};
use crate::log::{Damage, RecordPlace, TurnSign};
use crate::thread::{MAX_FIRST_MESSAGE_BYTES, MAX_TEXT_BYTES, ThreadSummary};

/// What the fold must know, beside the summary, to go on where it stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldState {
    /// Whether the thread's own meta was met.
    has_meta: bool,
    /// The thread that it names.
    meta_id: Option<ThreadId>,
    /// When it says that the thread was started, or else when it was recorded.
    meta_time: Option<UtcMicros>,
    /// Whether nothing but damage came before the first record: then a meta that follows may be
    /// copied history.
    head_is_damaged: bool,
    /// The time of the first record.
    first_time: Option<UtcMicros>,
    /// The latest time of any record.
    latest_time: Option<UtcMicros>,
    /// The latest time at which the user did something.
    user_time: Option<UtcMicros>,
    /// What the log has said explicitly.
    explicit: Explicit,
    /// Whether patches have changed what a fork would inherit, so that only the records tell that.
    is_patched: bool,
    turns: TurnState,
}

/// Whether a log holds its thread's own meta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnMeta {
    /// It was not met, or can't be read.
    Missing,
    /// It was met and names no thread.
    Nameless,
    /// It was met and names this thread.
    Of(ThreadId),
}

impl FoldState {
    /// What the fold of a fork must know that inherits all records so far; `None` where only they
    /// tell.
    pub(super) fn inherited(&self) -> Option<Self> {
        (!self.is_patched).then(|| Self {
            head_is_damaged: self.head_is_damaged,
            turns: self.turns.clone(),
            ..Self::default()
        })
    }

    /// Whether the thread's own meta was met.
    #[must_use]
    pub const fn own_meta(&self) -> OwnMeta {
        match self.meta_id {
            Some(id) if self.has_meta => OwnMeta::Of(id),
            None if self.has_meta => OwnMeta::Nameless,
            _ => OwnMeta::Missing,
        }
    }

    /// Whether the log has given the thread a name or taken it away: what lies outside of the log
    /// does not count then.
    #[must_use]
    pub const fn is_name_told(&self) -> bool {
        self.explicit.is_name_told
    }

    /// Whether patches have decided on any of the git fields, so that a meta can't change it.
    #[must_use]
    pub const fn has_explicit_git(&self) -> bool {
        self.explicit.git.any()
    }
}

/// Which log the records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogIdentity {
    /// Where it lies.
    pub path: LogPath,
    /// The thread that a native log's header names.
    pub header: Option<ThreadId>,
}

/// What a fold gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// What readers see.
    pub summary: ThreadSummary,
    /// What the fold must know to go on.
    pub state: FoldState,
    /// What changed about the turns.
    pub turns: Vec<TurnChange>,
}

/// Folds records into a summary.
#[derive(Debug)]
pub struct Projector {
    log: LogIdentity,
    name: Option<LogName>,
    summary: ThreadSummary,
    state: FoldState,
    turns: TurnFold,
}

impl Projector {
    /// A fold that begins with a log's first record.
    #[must_use]
    pub fn new(log: LogIdentity) -> Self {
        Self::resume(log, super::meta::blank(), FoldState::default())
    }

    /// A fold that goes on where another one stopped.
    #[must_use]
    pub fn resume(log: LogIdentity, summary: ThreadSummary, mut state: FoldState) -> Self {
        Self {
            name: LogName::parse(log.path.file_name()),
            log,
            summary,
            turns: TurnFold::resume(std::mem::take(&mut state.turns)),
            state,
        }
    }

    /// Takes the next record in, of which nobody asks where it lies.
    pub fn apply(&mut self, record: &Record) {
        self.apply_at(record, RecordPlace::default());
    }

    /// Takes the next record in, which lies there.
    pub fn apply_at(&mut self, record: &Record, place: RecordPlace) {
        // A payload of an unexpected shape is kept and passed on; it means nothing here.
        let view = View::of(record).unwrap_or(View::Other);
        if matches!(view, View::Lost(_)) {
            // It is as good as the damage that it stands for, and its time is its neighbour's.
            self.state.head_is_damaged |=
                self.log.header.is_none() && self.state.first_time.is_none();
        } else {
            self.state.first_time.get_or_insert(record.time);
            self.state.latest_time = self.state.latest_time.max(Some(record.time));
        }
        let sign = self.turns.take((record, place), &view);
        if matches!(sign, TurnSign::Started | TurnSign::UserMessage) {
            self.state.user_time = self.state.user_time.max(Some(record.time));
        }
        if sign == TurnSign::UserMessage && self.summary.first_user_message.is_none() {
            self.take_first_words(&view);
        }
        self.take_view(record, view);
        self.summary.item_count = self.summary.item_count.saturating_add(1);
    }

    /// Takes the next record in that a fork inherits, before any of its own. It counts for what was
    /// said and done; what it says of a thread it says of another one, and so do its times.
    pub fn apply_inherited(&mut self, record: &Record) {
        self.apply_inherited_at(record, RecordPlace::default());
    }

    /// Takes the next record in that a fork inherits, which lies there.
    pub fn apply_inherited_at(&mut self, record: &Record, place: RecordPlace) {
        let view = View::of(record).unwrap_or(View::Other);
        let sign = self.turns.take((record, place), &view);
        if sign == TurnSign::UserMessage && self.summary.first_user_message.is_none() {
            self.take_first_words(&view);
        }
        if matches!(view, View::TurnContext(_) | View::TokenCount(_)) {
            self.take_view(record, view);
        }
        self.summary.item_count = self.summary.item_count.saturating_add(1);
    }

    /// Takes a report of damage before the tail in.
    pub fn note_damage(&mut self, _damage: &Damage) {
        self.summary.damaged_count = self.summary.damaged_count.saturating_add(1);
        self.state.head_is_damaged |= self.summary.item_count == 0;
    }

    /// Whose log this is, once that can't change any more.
    #[must_use]
    pub fn settled_owner(&self) -> Option<ThreadId> {
        self.log.header.or(self.state.meta_id)
    }

    /// The summary, once the last record was taken. `next_ordinal` is what an append would get.
    ///
    /// # Errors
    /// [`CorruptReason`] when no record was met, or nothing says which thread it is.
    pub fn finish(mut self, next_ordinal: Ordinal) -> Result<Folded, CorruptReason> {
        if self.summary.item_count == 0 && self.log.header.is_none() {
            return Err(CorruptReason::NoRecord);
        }
        let owner = self.owner().ok_or(CorruptReason::NoThreadId)?;
        let (turn_state, turns) = self.turns.finish();
        let mut state = FoldState {
            turns: turn_state,
            ..self.state
        };
        state.explicit.own_name.iter_mut().for_each(cut);
        cut_texts(&mut self.summary);
        let started = self.name.and_then(|name| name.started);
        let summary = &mut self.summary;
        summary.thread_id = owner;
        self.log.path.as_str().clone_into(&mut summary.rollout_path);
        summary.created_at = (state.meta_time)
            .or(started)
            .or(state.first_time)
            .or_else(|| time_of_id(owner))
            .unwrap_or(UtcMicros::EPOCH);
        summary.updated_at = state.latest_time.unwrap_or(summary.created_at);
        summary.recency_at = state.user_time.unwrap_or(summary.created_at);
        summary.archived_at = self.log.path.is_archived().then_some(summary.updated_at);
        summary.name.clone_from(&state.explicit.own_name);
        summary.next_ordinal = next_ordinal;
        Ok(Folded {
            summary: self.summary,
            state,
            turns,
        })
    }

    fn named_id(&self) -> Option<ThreadId> {
        self.name.and_then(|name| name.thread_id)
    }

    fn owner(&self) -> Option<ThreadId> {
        self.settled_owner().or(self.named_id())
    }

    fn take_first_words(&mut self, view: &View<'_>) {
        let Some(words) = first_words(view) else {
            return;
        };
        // A patch may have given the thread another preview before.
        if self.summary.preview.is_empty() {
            self.summary.preview = preview_of(&words);
        }
        self.summary.first_user_message = Some(bounded(&words, MAX_FIRST_MESSAGE_BYTES).to_owned());
    }

    fn take_view(&mut self, record: &Record, view: View<'_>) {
        match view {
            View::SessionMeta(meta) => self.take_meta(record, &meta),
            View::TurnContext(context) => self.take_context(&context),
            View::NameUpdated(named) => self.take_name(named),
            View::MetadataPatch(patch) => {
                self.state.is_patched |= changes_inherited(&patch);
                apply_patch(patch, &mut self.summary, &mut self.state.explicit);
            }
            View::TokenCount(count) => {
                let total = count.info.and_then(|info| info.total_token_usage);
                let text = total.map(RawValue::get);
                let is_kept = |text: &&str| text.starts_with('{') && text.len() <= MAX_TEXT_BYTES;
                if let Some(text) = text.filter(is_kept) {
                    set(&mut self.summary.token_usage, Some(text));
                }
            }
            _ => {}
        }
    }

    fn take_meta(&mut self, record: &Record, meta: &SessionMeta<'_>) {
        let id = meta.thread_id();
        if !self.state.has_meta && self.may_be_own(id) {
            self.state.has_meta = true;
            self.state.meta_id = id;
            self.state.meta_time = Some(meta.created_at().unwrap_or(record.time));
            describe(meta, &mut self.summary, &self.state.explicit);
        } else if self.state.has_meta && id.is_some() && id == self.owner() {
            update(meta, &mut self.summary, &self.state.explicit);
        }
    }

    /// Whether the first meta that is met may be the thread's own, and not one of copied history.
    fn may_be_own(&self, id: Option<ThreadId>) -> bool {
        let certain = match self.log.header {
            None if self.state.head_is_damaged => self.named_id(),
            header => header,
        };
        certain.is_none() || id.is_none() || id == certain
    }

    fn take_context(&mut self, context: &TurnContext<'_>) {
        let summary = &mut self.summary;
        set(&mut summary.model, context.model.as_deref());
        set(&mut summary.reasoning_effort, context.effort.as_deref());
        let policy = context.approval_policy;
        let text = policy.and_then(view::text);
        let text = text.as_deref().or(policy.map(|raw| raw.get()));
        set(&mut summary.approval_mode, text);
    }

    fn take_name(&mut self, named: NameUpdated<'_>) {
        // Copied history names the thread that it was copied from.
        let about: Option<ThreadId> = named.thread_id.as_deref().and_then(|id| id.parse().ok());
        if about.is_none() || about == self.owner() {
            self.state
                .explicit
                .tell_name(named.thread_name.map(Cow::into_owned));
        }
    }
}

/// Sets `value`, without a new allocation where it is the same or fits: a long log repeats it.
fn set(value: &mut Option<String>, to: Option<&str>) {
    match (value.as_mut(), to) {
        (Some(value), Some(to)) => to.clone_into(value),
        _ => *value = to.map(str::to_owned),
    }
}

/// The time in a version 7 id, in milliseconds.
fn time_of_id(id: ThreadId) -> Option<UtcMicros> {
    let (seconds, nanos) = id.as_uuid().get_timestamp()?.to_unix();
    let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
    micros
        .checked_add(i64::from(nanos / 1000))
        .map(UtcMicros::new)
}
