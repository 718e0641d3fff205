//! Explicit changes of what is known of a thread.
//!
//! What must hold:
//! - Every change is in the log, in words that whoever owns the log reads back. A native log gets
//!   one `metadata_patch`. A log of JSON lines gets what the tool that wrote it would have written,
//!   and a `metadata_patch` only for what that tool has no words for.
//! - A log whose own meta can't be read, or is another thread's, is not written to.
//! - The log is the truth; `session_index.jsonl` follows it, for the tools that read names there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use selvedge_codec::view::{Change, GitInfo as GitView, MetadataPatch, View};
use selvedge_codec::{ByteLength, ByteOffset, Item, Record, RecordType, ThreadId};
use serde_json::value::{RawValue, to_raw_value};

use super::Store;
use crate::home::{LogFormat, LogPath};
use crate::listing::write_name;
use crate::log::{LogEvent, LogScan, OpenLog};
use crate::projection::{OwnMeta, ProjectedThread, is_kept_usage};
use crate::thread::{GitInfo, MAX_PREVIEW_BYTES, MAX_TEXT_BYTES};
use crate::{CorruptReason, Error, InvalidRequest, MetadataReason, Result};

/// Where a log's own meta is found unless it is uncommonly large.
const HEAD_LENGTH: ByteLength = ByteLength::new(128 << 10);
const MEMORY_MODES: [&str; 2] = ["enabled", "disabled"];

/// A change of a thread's metadata, checked and put into the words of the thread's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataChange {
    items: Vec<Item>,
    name: Change<String>,
    /// Whether the log is JSON lines.
    is_lines: bool,
}

impl MetadataChange {
    /// A change of a thread of which nothing is on disk yet: its log will be native.
    ///
    /// # Errors
    /// [`InvalidRequest::Metadata`] for a value that can't be kept.
    pub fn for_new(patch: &MetadataPatch) -> Result<Self> {
        check(patch)?;
        Ok(Self {
            items: patch_item(patch)?.into_iter().collect(),
            name: patch.name.clone(),
            is_lines: false,
        })
    }

    /// What is to be appended to the thread's log, as one batch; empty when nothing changes.
    #[must_use]
    pub fn items(&self) -> Vec<Item> {
        self.items.clone()
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// Refuses a patch that a thread's summary could not give back.
fn check(patch: &MetadataPatch) -> Result<()> {
    for (field, change) in patch.changes() {
        if let Change::Set(value) = change {
            check_value(field, value).map_err(|why| InvalidRequest::Metadata { field, why })?;
        }
    }
    Ok(())
}

fn check_value(field: &str, value: &str) -> Result<(), MetadataReason> {
    let limit = match field {
        "preview" => MAX_PREVIEW_BYTES,
        _ => MAX_TEXT_BYTES,
    };
    if value.len() > limit {
        let length = value.len();
        return Err(MetadataReason::TooLong { length, limit });
    }
    match field {
        "name" | "title" if value.trim().is_empty() => Err(MetadataReason::Blank),
        "memory_mode" if !MEMORY_MODES.contains(&value) => {
            Err(MetadataReason::NotOneOf("enabled, disabled"))
        }
        "source" | "token_usage" => match serde_json::from_str::<&RawValue>(value) {
            Err(error) => Err(MetadataReason::NotJson(error.to_string())),
            Ok(_) if field == "token_usage" && !is_kept_usage(value) => {
                Err(MetadataReason::NotJson("it is no object".to_owned()))
            }
            Ok(_) => Ok(()),
        },
        _ => Ok(()),
    }
}

fn patch_item(patch: &MetadataPatch) -> Result<Option<Item>> {
    if patch.is_empty() {
        return Ok(None);
    }
    json_item(RecordType::MetadataPatch, patch).map(Some)
}

fn json_item(record_type: RecordType, payload: &impl serde::Serialize) -> Result<Item> {
    let not_json = |error: serde_json::Error| selvedge_codec::CodecError::NotJson {
        why: error.to_string(),
    };
    let payload = serde_json::to_vec(payload)
        .map_err(not_json)
        .map_err(InvalidRequest::Codec)?;
    Ok(Item::json(record_type.as_str(), payload).map_err(InvalidRequest::Codec)?)
}

impl Store {
    /// Checks a change of a thread's metadata, and puts it into the words of the thread's log.
    /// Nothing is written: the caller appends [`MetadataChange::items`], syncs, and then calls
    /// [`Store::finish_metadata`]. The change is of the thread as it is now, so that nothing else
    /// should be appended in between.
    ///
    /// # Errors
    /// [`InvalidRequest::Metadata`] for a value that can't be kept; [`Error::Corrupt`] when the
    /// log's own meta can't be read or is another thread's; and as [`Store::find`].
    pub fn prepare_metadata(&self, id: ThreadId, patch: &MetadataPatch) -> Result<MetadataChange> {
        check(patch)?;
        let thread = self.projected(id)?;
        let path = self.check_own_meta(id, &thread)?;
        if thread.format == LogFormat::Native {
            return MetadataChange::for_new(patch);
        }
        Ok(MetadataChange {
            items: self.lines_of(patch, (&thread, &path))?,
            name: patch.name.clone(),
            is_lines: true,
        })
    }

    /// Ends a change of a thread's metadata whose items are in the log: other tools find the
    /// thread's name beside the logs, where they keep names there.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::OutOfSpace`] when the name can't be written, [`Error::TimedOut`]
    /// while another process holds the file of names. The log has the change all the same, and this
    /// can be called again.
    pub fn finish_metadata(&self, id: ThreadId, change: &MetadataChange) -> Result<()> {
        let name = match &change.name {
            Change::Keep => return Ok(()),
            Change::Clear => None,
            Change::Set(name) => Some(name.as_str()),
        };
        let is_kept =
            change.is_lines || self.disk().stat(&self.home().session_index_path()).is_ok();
        match is_kept {
            true => write_name(&self.context, id, name),
            false => Ok(()),
        }
    }

    /// The runtime that started a thread, as its own meta says; "" when that does not say, or
    /// can't be read.
    ///
    /// # Errors
    /// As [`Store::find`], and [`Error::Io`].
    pub fn originator(&self, id: ThreadId) -> Result<String> {
        let found = self.find(id)?;
        let meta = match self.own_meta(id, (&found.path, found.format)) {
            Err(Error::Corrupt { .. }) => return Ok(String::new()),
            meta => meta?,
        };
        Ok(match View::of(&meta) {
            Ok(View::SessionMeta(meta)) => meta.originator.unwrap_or_default().into_owned(),
            _ => String::new(),
        })
    }

    /// A log is only written to when it is known to be the thread's.
    fn check_own_meta(&self, id: ThreadId, thread: &ProjectedThread) -> Result<LogPath> {
        let path = thread.summary.rollout_path.clone();
        let path = LogPath::new(path).ok_or(Error::ThreadNotFound { thread_id: id })?;
        let is_native = thread.format == LogFormat::Native;
        let why = match thread.fold.own_meta() {
            OwnMeta::Of(owner) if owner == id => return Ok(path),
            // The header says whose log it is.
            OwnMeta::Nameless if is_native => return Ok(path),
            OwnMeta::Of(owner) => CorruptReason::MetaOfAnotherThread(owner),
            OwnMeta::Missing | OwnMeta::Nameless => CorruptReason::NoOwnMeta,
        };
        Err(Error::Corrupt {
            path: self.home().log_file(&path),
            offset: ByteOffset::ZERO,
            why,
        })
    }

    /// A patch as lines of a log of JSON lines.
    fn lines_of(
        &self,
        patch: &MetadataPatch,
        (thread, path): (&ProjectedThread, &LogPath),
    ) -> Result<Vec<Item>> {
        let id = thread.summary.thread_id;
        let mut rest = patch.clone();
        let mut items = Vec::new();
        let changes_git = [&patch.git_sha, &patch.git_branch, &patch.git_origin_url]
            .into_iter()
            .any(|change| !change.is_keep());
        if changes_git || !patch.memory_mode.is_keep() {
            let own = self.own_meta(id, (path, thread.format))?;
            items.push(repeated_meta(&own, patch, thread)?);
            rest.memory_mode = Change::Keep;
            // What a patch has decided on only another one changes.
            if !thread.fold.has_explicit_git() {
                rest.git_sha = Change::Keep;
                rest.git_branch = Change::Keep;
                rest.git_origin_url = Change::Keep;
            }
        }
        if !patch.name.is_keep() {
            items.push(name_event(id, &patch.name)?);
            rest.name = Change::Keep;
        }
        items.extend(patch_item(&rest)?);
        Ok(items)
    }

    /// The record that is a log's own meta.
    fn own_meta(&self, id: ThreadId, (path, format): (&LogPath, LogFormat)) -> Result<Record> {
        let file = self.home().log_file(path);
        let log = OpenLog::open(self.disk(), &file, format)?;
        let head = log.scan_head(HEAD_LENGTH).ok();
        if let Some(meta) = head.and_then(|head| own_meta_in(head, id)) {
            return Ok(meta);
        }
        own_meta_in(log.scan(None)?, id).ok_or(Error::Corrupt {
            path: file,
            offset: ByteOffset::ZERO,
            why: CorruptReason::NoOwnMeta,
        })
    }
}

/// The first meta that names the thread: those before it are of copied history.
fn own_meta_in(scan: LogScan, id: ThreadId) -> Option<Record> {
    let is_own = |record: &Record| match View::of(record) {
        Ok(View::SessionMeta(meta)) => meta.thread_id() == Some(id),
        _ => false,
    };
    scan.filter_map(|event| match event {
        LogEvent::Record(record) => Some(record),
        LogEvent::Damage(_) => None,
    })
    .find(is_own)
}

/// The own meta, again, with what changes: as the tools that write JSON lines say it. The git state
/// is told whole or not at all; the memory mode always, since the own meta may tell an older one.
fn repeated_meta(own: &Record, patch: &MetadataPatch, thread: &ProjectedThread) -> Result<Item> {
    let not_json = |error: serde_json::Error| {
        InvalidRequest::Codec(selvedge_codec::CodecError::NotJson {
            why: error.to_string(),
        })
    };
    let payload = own.payload_json().map_err(InvalidRequest::Codec)?;
    let mut fields: BTreeMap<Cow<'_, str>, Cow<'_, RawValue>> =
        serde_json::from_str::<BTreeMap<String, &RawValue>>(payload.get())
            .map_err(not_json)?
            .into_iter()
            .map(|(name, value)| (Cow::Owned(name), Cow::Borrowed(value)))
            .collect();
    let mut mode = Some(thread.summary.memory_mode.clone());
    patch.memory_mode.clone().apply(&mut mode);
    let [usual, _] = MEMORY_MODES;
    let mode = to_raw_value(mode.as_deref().unwrap_or(usual)).map_err(not_json)?;
    fields.insert("memory_mode".into(), Cow::Owned(mode));
    fields.remove("git");
    let before = thread.summary.git_info.clone().unwrap_or_default();
    let mut git = before.clone();
    patch.git_sha.clone().apply(&mut git.commit_hash);
    patch.git_branch.clone().apply(&mut git.branch);
    patch.git_origin_url.clone().apply(&mut git.repository_url);
    if git != before {
        let told = to_raw_value(&told_git(&git)).map_err(not_json)?;
        fields.insert("git".into(), Cow::Owned(told));
    }
    json_item(RecordType::SessionMeta, &fields)
}

fn told_git(git: &GitInfo) -> GitView<'_> {
    let told = |text: &'_ Option<String>| text.clone().map(Cow::Owned);
    GitView {
        commit_hash: told(&git.commit_hash),
        branch: told(&git.branch),
        repository_url: told(&git.repository_url),
    }
}

/// A new name, or that there is none any more, as an event.
fn name_event(id: ThreadId, name: &Change<String>) -> Result<Item> {
    let mut event = serde_json::json!({"type": "thread_name_updated", "thread_id": id});
    if let (Change::Set(name), Some(fields)) = (name, event.as_object_mut()) {
        fields.insert("thread_name".to_owned(), name.as_str().into());
    }
    json_item(RecordType::EventMsg, &event)
}
