//! Bringing logs of other homes and tools into native ones. The sources are only read.
//!
//! What must hold: a log is imported whole or not at all, so that a cancelled import is simply
//! run again; and exporting it gives back every line that was read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use selvedge_codec::jsonl::item_from_line;
use selvedge_codec::view::View;
use selvedge_codec::{ByteLength, ByteOffset, Item, PayloadEncoding, Record, ThreadId, UtcMicros};

use crate::disk::{Disk, FileKind, OpenMode, read_range};
use crate::home::{Home, LogFormat, LogName, LogPath};
use crate::listing::{SessionNames, walk};
use crate::log::{Damage, LogContext, LogEvent, NewThread, ThreadLog, read_log};
use crate::{CorruptReason, Error, Result};

/// How much is written at once.
const CHUNK_BYTES: usize = 4 << 20;
/// How deep folders are looked into when a folder that is no home is named.
const MAX_DEPTH: usize = 8;

/// A log to bring in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportSource {
    /// Its file.
    pub file: PathBuf,
    /// How its bytes are laid out.
    pub format: LogFormat,
    /// Whether its thread was archived where it comes from.
    pub archived: bool,
}

/// What became of a source.
#[derive(Debug, Clone)]
pub enum ImportOutcome {
    /// It is in the home now.
    Imported {
        /// Its thread.
        thread_id: ThreadId,
        /// How many records it has.
        records: u64,
        /// What of the source could not be read, and is missing.
        damage: Vec<Damage>,
    },
    /// The home has a thread of this id already.
    Skipped {
        /// The thread.
        thread_id: ThreadId,
    },
}

/// The logs that a path names: itself, those of a home, or those in a folder.
///
/// # Errors
/// [`Error::Io`] when the path or a folder can't be read, or names no log.
pub fn find_sources(disk: &dyn Disk, path: &Path) -> Result<Vec<ImportSource>> {
    let stat = disk
        .stat(path)
        .map_err(|error| Error::io("import", path, error))?;
    if stat.kind != FileKind::Directory {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let format = LogFormat::of_file_name(name)
            .ok_or_else(|| Error::io("import", path, io::ErrorKind::InvalidInput.into()))?;
        return Ok(vec![ImportSource {
            file: path.to_path_buf(),
            format,
            archived: false,
        }]);
    }
    let home = Home::at(path);
    let found = walk(disk, &home)?;
    if let Some(failure) = found.failures.first() {
        return Err(failure.why.clone());
    }
    if !found.logs.is_empty() {
        let source = |log: &crate::listing::FoundLog| ImportSource {
            file: home.log_file(&log.path),
            format: log.format,
            archived: log.path.is_archived(),
        };
        return Ok(found.logs.iter().map(source).collect());
    }
    let mut sources = Vec::new();
    sources_below(disk, path, MAX_DEPTH, &mut sources)?;
    sources.sort_unstable_by(|a, b| a.file.cmp(&b.file));
    Ok(sources)
}

fn sources_below(
    disk: &dyn Disk,
    dir: &Path,
    depth: usize,
    sources: &mut Vec<ImportSource>,
) -> Result<()> {
    for entry in disk
        .list(dir)
        .map_err(|error| Error::io("list", dir, error))?
    {
        let Ok(name) = entry.name else { continue };
        let file = dir.join(&name);
        match (entry.kind, LogFormat::of_file_name(&name)) {
            (FileKind::File, Some(format)) => {
                sources.push(ImportSource {
                    file,
                    format,
                    archived: false,
                });
            }
            (FileKind::Directory, _) if depth > 0 => {
                sources_below(disk, &file, depth - 1, sources)?
            }
            _ => {}
        }
    }
    Ok(())
}

/// Brings one log into the home of `context`, synced, unless its thread is there already, which
/// `exists` tells.
///
/// # Errors
/// As reading the source and writing the log do, and whatever `exists` says; [`Error::Corrupt`]
/// when the source has no record or says nowhere which thread it belongs to. Nothing is left in
/// the home then.
pub fn import_log(
    context: &LogContext,
    source: &ImportSource,
    exists: &dyn Fn(ThreadId) -> Result<bool>,
) -> Result<ImportOutcome> {
    let disk = &*context.disk;
    let corrupt = |why| Error::Corrupt {
        path: source.file.clone(),
        offset: ByteOffset::ZERO,
        why,
    };
    let mut scan = read_log(disk, &source.file, source.format, None)?;
    let (mut records, mut damage) = (Vec::new(), Vec::new());
    for event in scan.by_ref() {
        match event {
            LogEvent::Record(record) => records.push(record),
            LogEvent::Damage(found) => damage.push(found),
        }
    }
    damage.extend(scan.torn_tail());
    let first = records
        .first()
        .ok_or_else(|| corrupt(CorruptReason::NoRecord))?;
    let thread_id = owner(&scan.thread_id(), &records, &source.file)
        .ok_or_else(|| corrupt(CorruptReason::NoThreadId))?;
    if exists(thread_id)? {
        return Ok(ImportOutcome::Skipped { thread_id });
    }
    let created_at = name_of(&source.file)
        .and_then(|name| name.started)
        .unwrap_or(first.time);
    let count = records.len() as u64;
    write_log(context, source, (thread_id, created_at), records)?;
    Ok(ImportOutcome::Imported {
        thread_id,
        records: count,
        damage,
    })
}

fn name_of(file: &Path) -> Option<LogName> {
    LogName::parse(file.file_name()?.to_str()?)
}

/// The thread of a source: what its header, its own meta or its name says.
fn owner(header: &Option<ThreadId>, records: &[Record], file: &Path) -> Option<ThreadId> {
    let meta = || {
        records.iter().find_map(|record| match View::of(record) {
            Ok(View::SessionMeta(meta)) => meta.thread_id(),
            _ => None,
        })
    };
    header.or_else(meta).or_else(|| name_of(file)?.thread_id)
}

fn item_of(record: Record, file: &Path) -> Result<Item> {
    if record.encoding == PayloadEncoding::JsonLine {
        return item_from_line(record.body)
            .map_err(|why| Error::codec(file, ByteOffset::ZERO, why));
    }
    Ok(Item {
        record_type: record.record_type,
        event: record.event,
        turn_id: record.turn_id,
        time: Some(record.time),
        encoding: record.encoding,
        body: record.body,
    })
}

/// Writes the log beside where it will lie, so that a thread never shows half of its records.
fn write_log(
    context: &LogContext,
    source: &ImportSource,
    thread: (ThreadId, UtcMicros),
    records: Vec<Record>,
) -> Result<()> {
    let (thread_id, created_at) = thread;
    let mut items = records
        .into_iter()
        .map(|record| item_of(record, &source.file));
    let Some(meta) = items.next().transpose()? else {
        return Ok(());
    };
    let staged = LogContext {
        home: Home::at(context.home.runtime_dir().join("import")),
        dirs: Arc::default(),
        ..context.clone()
    };
    make_parents(
        &*context.disk,
        context.home.root(),
        &staged.home.root().join("log"),
    )?;
    remove_leftover(&staged, thread_id, created_at)?;
    let mut log = ThreadLog::create(
        staged.clone(),
        NewThread {
            thread_id,
            created_at,
            meta,
        },
    );
    log.materialize()?;
    let (mut chunk, mut chunk_bytes) = (Vec::new(), 0);
    for item in items {
        let item = item?;
        chunk_bytes += item.body.len();
        chunk.push(vec![item]);
        if chunk_bytes >= CHUNK_BYTES {
            log.append(std::mem::take(&mut chunk))?;
            chunk_bytes = 0;
        }
    }
    if !chunk.is_empty() {
        log.append(chunk)?;
    }
    log.sync()?;
    move_in(context, &staged, (log.path(), source.archived))?;
    log.close()
}

/// What a cancelled import left of this thread.
fn remove_leftover(staged: &LogContext, thread_id: ThreadId, created_at: UtcMicros) -> Result<()> {
    let path = Home::new_log_path(thread_id, created_at, LogFormat::Native);
    let file = staged.home.log_file(&path);
    match staged.disk.remove(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", &file, error))
        }
        _ => Ok(()),
    }
}

/// Moves a log that is whole and synced from the staging home into the real one.
fn move_in(context: &LogContext, staged: &LogContext, log: (&LogPath, bool)) -> Result<()> {
    let (path, archived) = log;
    let disk = &*context.disk;
    let target = if archived {
        context
            .home
            .resolve(Home::log_roots()[1])
            .join(path.file_name())
    } else {
        context.home.log_file(path)
    };
    let made = make_parents(disk, context.home.root(), &target)?;
    let from = staged.home.log_file(path);
    disk.rename(&from, &target)
        .map_err(|error| Error::io("move", &from, error))?;
    for dir in made {
        disk.sync_dir(&dir)
            .map_err(|error| Error::io("sync", &dir, error))?;
    }
    Ok(())
}

/// Makes the folders above a file, and names those whose entries have to be synced.
fn make_parents(disk: &dyn Disk, root: &Path, file: &Path) -> Result<Vec<PathBuf>> {
    let mut missing: Vec<&Path> = file
        .ancestors()
        .skip(1)
        .take_while(|dir| *dir != root)
        .collect();
    missing.reverse();
    let mut to_sync = Vec::new();
    for dir in missing {
        if disk
            .create_dir(dir)
            .map_err(|error| Error::io("make", dir, error))?
            && let Some(parent) = dir.parent()
        {
            to_sync.push(parent.to_path_buf());
        }
    }
    to_sync.extend(file.parent().map(Path::to_path_buf));
    Ok(to_sync)
}

/// Brings the names that another home keeps beside its logs along, for these threads.
///
/// # Errors
/// [`Error::Io`].
pub fn import_names(context: &LogContext, from: &Path, threads: &[ThreadId]) -> Result<u64> {
    let disk = &*context.disk;
    let names = SessionNames::load(disk, &Home::at(from))?;
    let known = SessionNames::load(disk, &context.home)?;
    let mut lines = Vec::new();
    let mut count = 0;
    for id in threads {
        if let Some(name) = names.get(*id)
            && known.get(*id) != Some(name)
        {
            let line = serde_json::json!({"id": id, "thread_name": name, "updated_at": context.clock.now().to_string()});
            lines.extend_from_slice(line.to_string().as_bytes());
            lines.push(b'\n');
            count += 1;
        }
    }
    if count == 0 {
        return Ok(0);
    }
    let path = context.home.session_index_path();
    let fail = |operation| {
        let path = path.clone();
        move |error| Error::io(operation, &path, error)
    };
    let file = disk
        .open(&path, OpenMode::CreateOrOpen)
        .map_err(fail("open"))?;
    let end = file.len().map_err(fail("look at"))?;
    let last = end
        .get()
        .checked_sub(1)
        .map(|at| read_range(&*file, ByteOffset::new(at), ByteLength::new(1)));
    if last
        .transpose()
        .map_err(fail("read"))?
        .is_some_and(|last| last != b"\n")
    {
        lines.insert(0, b'\n');
    }
    file.write_all_at(&lines, ByteOffset::new(end.get()))
        .map_err(fail("write"))?;
    file.sync_data().map_err(fail("sync"))?;
    disk.sync_dir(context.home.root()).map_err(fail("sync"))?;
    Ok(count)
}
