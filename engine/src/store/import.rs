//! Importing: JSON-lines logs of other places, copied into native logs of this home.
//!
//! What must hold:
//! - A source is only read.
//! - A record keeps its line byte for byte, with its time and its place in the order.
//! - An import that was interrupted goes on when it is asked for again: a thread that is there
//!   already is continued where its log is a beginning of the source, and left alone otherwise.
//! - What was imported stays marked until the index has it, should its importer die before.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};

use selvedge_codec::jsonl::{item_from_line, render_line};
use selvedge_codec::{ByteOffset, Item, Ordinal, Record, ThreadId};

use super::{FoundThread, Store};
use crate::disk::{Disk, FileKind};
use crate::home::{Home, LogFormat, LogPath};
use crate::listing::{SessionNames, prefer, walk, write_name};
use crate::log::{Damage, History, LogContext, NewThread, ThreadLog, load_history};
use crate::projection::{LogIdentity, Projector};
use crate::thread::ThreadSummary;
use crate::{ConflictReason, Error, InvalidRequest, Result};

/// How deep logs may lie below a directory that is no home.
const MAX_DEPTH: usize = 8;
/// About how many bytes are appended with one write.
const CHUNK_BYTES: usize = 1 << 20;

/// A JSON-lines log to import.
#[derive(Debug, Clone)]
pub struct ImportSource {
    /// The directory it was found in: a home, or whatever was named.
    root: Home,
    path: LogPath,
    format: LogFormat,
    /// The names that lie beside it.
    names: Arc<SessionNames>,
}

impl ImportSource {
    /// The log's file.
    #[must_use]
    pub fn file(&self) -> std::path::PathBuf {
        self.root.log_file(&self.path)
    }
}

/// What became of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportOutcome {
    /// The thread is new in this home.
    Imported,
    /// The thread was there with a beginning of the source, and has the rest now.
    Continued,
    /// The thread was there with all of the source: nothing was done.
    Present,
    /// The thread was there with another history, or with a beginning of the source in a log that
    /// is not native: nothing was done.
    Differs,
}

/// What an import did.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The thread.
    pub thread_id: ThreadId,
    /// What became of the source.
    pub outcome: ImportOutcome,
    /// Where the thread's log lies in this home.
    pub path: LogPath,
    /// How many records were added.
    pub added: u64,
    /// What of the source is no record, and was left behind.
    pub damage: Vec<Damage>,
}

/// Finds what can be imported: the file that `path` names, or all JSON-lines logs of a home or of
/// any other directory.
///
/// # Errors
/// [`Error::Io`] when something can't be looked at, [`InvalidRequest::NotImportable`] when a file
/// has not the name of a JSON-lines log.
pub fn import_sources(disk: &dyn Disk, path: &Path) -> Result<Vec<ImportSource>> {
    let stat = disk
        .stat(path)
        .map_err(|error| Error::io("look at", path, error))?;
    if stat.kind != FileKind::Directory {
        return single_source(path).map(|source| vec![source]);
    }
    let root = Home::at(path);
    let names = Arc::new(SessionNames::load(disk, &root)?);
    let is_home = Home::log_roots()
        .iter()
        .any(|dir| disk.stat(&root.resolve(dir)).is_ok());
    let mut paths = if is_home {
        let found = walk(disk, &root)?;
        if let Some(failure) = found.failures.into_iter().next() {
            return Err(failure.why);
        }
        found.logs.into_iter().map(|log| log.path).collect()
    } else {
        logs_below(disk, &root)?
    };
    // Of two logs of one thread the one that a listing believes comes first.
    paths.sort_by(prefer);
    Ok(paths
        .into_iter()
        .filter_map(|path| {
            let format = json_lines_format(path.file_name())?;
            Some(ImportSource {
                root: root.clone(),
                path,
                format,
                names: Arc::clone(&names),
            })
        })
        .collect())
}

fn json_lines_format(name: &str) -> Option<LogFormat> {
    LogFormat::of_file_name(name).filter(|format| *format != LogFormat::Native)
}

fn single_source(file: &Path) -> Result<ImportSource> {
    let refused = || InvalidRequest::NotImportable(file.to_path_buf());
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(refused)?;
    Ok(ImportSource {
        root: Home::at(file.parent().unwrap_or(Path::new(""))),
        format: json_lines_format(name).ok_or_else(refused)?,
        path: LogPath::new(name.to_owned()).ok_or_else(refused)?,
        names: Arc::default(),
    })
}

/// All files below `root` that have the name of a log.
fn logs_below(disk: &dyn Disk, root: &Home) -> Result<Vec<LogPath>> {
    let names = root.session_index_path();
    let mut logs = Vec::new();
    let mut dirs = VecDeque::from([(String::new(), 0)]);
    while let Some((dir, depth)) = dirs.pop_front() {
        let path = root.resolve(&dir);
        let entries = disk
            .list(&path)
            .map_err(|error| Error::io("list", &path, error))?;
        for entry in entries {
            let Ok(name) = entry.name else { continue };
            let below = if dir.is_empty() {
                name
            } else {
                format!("{dir}/{name}")
            };
            match entry.kind {
                FileKind::Directory if depth < MAX_DEPTH => dirs.push_back((below, depth + 1)),
                FileKind::File if root.resolve(&below) != names => {
                    logs.extend(LogPath::new(below));
                }
                _ => {}
            }
        }
    }
    Ok(logs)
}

impl Store {
    /// Copies a JSON-lines log into a native log of this home. It is synced when this returns;
    /// the index is brought to it by [`Store::catch_up`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] when nothing of the source is a record or it says nowhere which thread
    /// it is, [`Error::Conflict`] when the thread is being written, [`Error::Io`] and
    /// [`Error::OutOfSpace`].
    pub fn import(&self, source: &ImportSource) -> Result<Imported> {
        let context = self.log_context();
        let history = load_history(&*context.disk, &source.file(), source.format)?;
        let thread = summary_of(source, &history)?;
        let items = items_of(source, &history.records)?;
        let existing = match self.find(thread.thread_id) {
            Ok(found) => Some(found),
            Err(Error::ThreadNotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        let (outcome, path, added) = match existing {
            None => {
                // First: an import that is cut short finds the thread there when it is asked for again.
                keep_name(context, source, thread.thread_id)?;
                let (path, added) = import_new(context, &thread, items)?;
                (ImportOutcome::Imported, path, added)
            }
            Some(found) => continue_thread(context, found, (&thread, items, &history.records))?,
        };
        if added > 0 {
            self.imported().push(thread.thread_id);
        }
        let mut damage = history.damage;
        damage.extend(history.torn_tail);
        Ok(Imported {
            thread_id: thread.thread_id,
            outcome,
            path,
            added,
            damage,
        })
    }
}

/// Imported threads that the index is to catch up with, taken out of those that wait for that. They go
/// back unless it has.
#[derive(Debug)]
pub(super) struct CatchingUp<'a> {
    store: &'a Store,
    threads: Vec<ThreadId>,
}

impl CatchingUp<'_> {
    /// The index has caught up with them: nobody needs to look at them any more.
    pub(super) fn done(mut self) {
        for thread_id in self.threads.drain(..) {
            self.store.context.marks.unmark(thread_id);
        }
    }
}

impl Drop for CatchingUp<'_> {
    fn drop(&mut self) {
        self.store.imported().append(&mut self.threads);
    }
}

impl Store {
    /// Imported threads whose marks wait for the index. Each was marked once for its entry here.
    fn imported(&self) -> MutexGuard<'_, Vec<ThreadId>> {
        // Each change is one of the list as a whole.
        self.imported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of these logs were imported. To be asked before they are looked at: what is imported
    /// later may not be seen then.
    pub(super) fn catching_up(&self, logs: &[(ThreadId, LogPath)]) -> CatchingUp<'_> {
        let is_asked = |id: &mut ThreadId| logs.iter().any(|(asked, _)| asked == id);
        let threads = self.imported().extract_if(.., is_asked).collect();
        CatchingUp {
            store: self,
            threads,
        }
    }
}

/// What the source says of its thread.
fn summary_of(source: &ImportSource, history: &History) -> Result<ThreadSummary> {
    let mut projector = Projector::new(LogIdentity {
        path: source.path.clone(),
        header: None,
    });
    // Damage before the first record comes first: the meta behind it may be a copied one.
    let before_all = |damage: &&Damage| damage.first_ordinal == Ordinal::ZERO;
    for damage in history.damage.iter().filter(before_all) {
        projector.note_damage(damage);
    }
    for record in &history.records {
        projector.apply(record);
    }
    let folded = projector
        .finish(history.position.next_ordinal)
        .map_err(|why| Error::Corrupt {
            path: source.file(),
            offset: ByteOffset::ZERO,
            why,
        })?;
    Ok(folded.summary)
}

/// The source's lines as items, which keep them byte for byte.
fn items_of(source: &ImportSource, records: &[Record]) -> Result<Vec<Item>> {
    records
        .iter()
        .map(|record| {
            item_from_line(record.body.clone())
                .map_err(|why| Error::codec(&source.file(), ByteOffset::ZERO, why))
        })
        .collect()
}

fn import_new(
    context: &LogContext,
    thread: &ThreadSummary,
    items: Vec<Item>,
) -> Result<(LogPath, u64)> {
    let added = items.len() as u64;
    let mut items = items.into_iter();
    let Some(first) = items.next() else {
        // A source without a record has no thread either, and was refused.
        return Err(InvalidRequest::Codec(selvedge_codec::CodecError::EmptyBatch).into());
    };
    let mut log = ThreadLog::create(
        context.clone(),
        NewThread {
            thread_id: thread.thread_id,
            created_at: thread.created_at,
            meta: first,
        },
    );
    log.materialize()?;
    if thread.is_archived() {
        // Before the rest is appended: what makes the copy whole is its last record.
        log.close()?;
        let path = archive(context, log.path())?;
        log = ThreadLog::open(context.clone(), thread.thread_id, &path)?.0;
    }
    append_all(&mut log, items)?;
    Ok((log.path().clone(), added))
}

/// Appends each line as a batch of its own, as a JSON-lines log has it, and closes the log. Its mark
/// stays.
fn append_all(log: &mut ThreadLog, items: impl Iterator<Item = Item>) -> Result<()> {
    let mut chunk = Vec::new();
    let mut bytes = 0_usize;
    for item in items {
        bytes = bytes.saturating_add(item.body.len());
        chunk.push(vec![item]);
        if bytes >= CHUNK_BYTES {
            log.append(std::mem::take(&mut chunk))?;
            bytes = 0;
        }
    }
    log.append(chunk)?;
    log.close_keeping_mark()
}

/// Moves a log to the archive.
fn archive(context: &LogContext, path: &LogPath) -> Result<LogPath> {
    let archived = path.in_archive();
    let disk = &*context.disk;
    let (from, to) = (
        context.home.log_file(path),
        context.home.log_file(&archived),
    );
    let dirs = [to.parent(), from.parent()];
    let [Some(dir), _] = dirs else {
        return Ok(path.clone());
    };
    disk.create_dir(dir)
        .map_err(|error| Error::io("make", dir, error))?;
    // A log must not be moved to where a power loss would not let it be found.
    let root = context.home.root();
    disk.sync_dir(root)
        .map_err(|error| Error::io("sync", root, error))?;
    disk.rename(&from, &to)
        .map_err(|error| Error::io("rename", &from, error))?;
    for dir in dirs.into_iter().flatten() {
        disk.sync_dir(dir)
            .map_err(|error| Error::io("sync", dir, error))?;
    }
    Ok(archived)
}

/// Adds what a thread that is there lacks of the source, if what it has is the source's beginning
/// and its log is native: only there a line stays what it was.
fn continue_thread(
    context: &LogContext,
    FoundThread { path, format }: FoundThread,
    (thread, items, lines): (&ThreadSummary, Vec<Item>, &[Record]),
) -> Result<(ImportOutcome, LogPath, u64)> {
    let is_native = format == LogFormat::Native;
    let there = load_history(&*context.disk, &context.home.log_file(&path), format)?;
    let has_gap = is_native && !there.damage.is_empty();
    let known = there.exported();
    if has_gap || !is_beginning(&known, lines) {
        return Ok((ImportOutcome::Differs, path, 0));
    }
    let rest = items.into_iter().skip(known.len());
    let added = rest.len() as u64;
    if added == 0 {
        return Ok((ImportOutcome::Present, path, 0));
    }
    if !is_native {
        return Ok((ImportOutcome::Differs, path, 0));
    }
    let (mut log, report) = ThreadLog::open(context.clone(), thread.thread_id, &path)?;
    // It was compared before it was locked: whoever wrote it meanwhile decides what follows.
    let expected = there.position.next_ordinal;
    if report.next_ordinal != expected {
        log.close()?;
        return Err(Error::Conflict {
            thread_id: thread.thread_id,
            reason: ConflictReason::NextOrdinal {
                expected,
                actual: report.next_ordinal,
            },
        });
    }
    append_all(&mut log, rest)?;
    Ok((ImportOutcome::Continued, path, added))
}

/// Whether the records' lines are the first of `lines`.
fn is_beginning(records: &[&Record], lines: &[Record]) -> bool {
    let mut line = Vec::new();
    records.len() <= lines.len()
        && records.iter().zip(lines).all(|(record, expected)| {
            line.clear();
            render_line(record, &mut line).is_ok() && line == expected.body
        })
}

/// Keeps the name that lay beside the source, beside the logs of this home.
fn keep_name(context: &LogContext, source: &ImportSource, thread_id: ThreadId) -> Result<()> {
    match source.names.get(thread_id) {
        Some(name) => write_name(context, thread_id, Some(name)),
        None => Ok(()),
    }
}
