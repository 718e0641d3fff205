//! Projecting one log: from its start, or what it has grown by.

use selvedge_codec::{ByteLength, ByteOffset, Ordinal, Record, ThreadId};

use super::checkpoint::FINGERPRINT_BYTES;
use super::{Checkpoint, Folded, LogIdentity, ProjectedThread, Projector, TurnChange};
use crate::Result;
use crate::disk::Disk;
use crate::home::{Home, LogFormat, LogPath};
use crate::log::{LogEvent, LogPosition, LogScan, OpenLog};

/// A log's head, in which its own meta is found unless it is uncommonly large.
const HEAD_LENGTH: ByteLength = ByteLength::new(128 << 10);

/// What projecting a log gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Projection {
    /// The thread as it is now.
    pub thread: ProjectedThread,
    /// What changed about its turns since the base.
    pub turns: Vec<TurnChange>,
    /// Whether the log was read from its start, so that turns known before are void: the base
    /// was missing, or the file is another one now.
    pub from_start: bool,
}

/// Projects a log. With a base, only what the log has grown by is read, where the file is still
/// the one that the base was made of; otherwise it is read from its start.
///
/// # Errors
/// As [`crate::log::read_log`]; [`crate::Error::Corrupt`] also when nothing of it is a record or it says
/// nowhere which thread it belongs to.
pub fn project(
    disk: &dyn Disk,
    home: &Home,
    path: &LogPath,
    base: Option<ProjectedThread>,
) -> Result<Projection> {
    let log = open(disk, home, path)?;
    if let Some(base) = base
        && let Some(start) = Start::of(&log, &base)?
    {
        return resume(&log, path, (base, start));
    }
    let mut scan = log.scan(None)?;
    let mut projector = Projector::new(identity(path, &scan));
    take_all(&mut projector, &mut scan);
    let checkpoint = checkpoint_of(&log, &scan)?;
    let folded = projector
        .finish(checkpoint.position.next_ordinal)
        .map_err(|why| log.corrupt(why))?;
    Ok(projection(&log, (folded, checkpoint), true))
}

/// Where a base can be gone on from.
enum Start {
    /// The file is as it was.
    Unchanged,
    At(LogPosition),
}

impl Start {
    /// `None` where the log must be read from its start.
    fn of(log: &OpenLog<'_>, base: &ProjectedThread) -> Result<Option<Self>> {
        let checkpoint = &base.checkpoint;
        let position = checkpoint.position;
        if base.format != log.format() {
            return Ok(None);
        }
        if checkpoint.matches(&log.stat()) {
            return Ok(Some(Self::Unchanged));
        }
        if checkpoint.inode != log.stat().inode || log.stat().len.get() < position.offset.get() {
            return Ok(None);
        }
        // Its owner appends to it. What changed without making it longer was written in place.
        if log.stat().len <= checkpoint.file_len || !is_behind_the_same(log, checkpoint)? {
            return Ok(None);
        }
        let goes_on = match log.format() {
            LogFormat::Native => {
                let header = log.header()?;
                header.thread_id == base.summary.thread_id
                    // The same thread's, and begun anew in its place.
                    && begins_there(header.first_ordinal, position)
            }
            LogFormat::JsonLines => log.is_boundary(position)?,
            LogFormat::CompressedJsonLines => false,
        };
        Ok(goes_on.then_some(Self::At(position)))
    }
}

/// The checksum of what lies right before a position of a log.
fn fingerprint(log: &OpenLog<'_>, position: LogPosition) -> Result<Option<u32>> {
    if log.format() == LogFormat::CompressedJsonLines {
        return Ok(None);
    }
    let end = position.offset.get();
    let from = ByteOffset::new(end.saturating_sub(FINGERPRINT_BYTES.get()));
    let length = ByteLength::new(end.saturating_sub(from.get()));
    log.read(from, length)
        .map(|bytes| Some(crc32fast::hash(&bytes)))
}

/// Whether what lies right before a checkpoint's position is what lay there.
fn is_behind_the_same(log: &OpenLog<'_>, checkpoint: &Checkpoint) -> Result<bool> {
    Ok(checkpoint.fingerprint.is_none()
        || fingerprint(log, checkpoint.position)? == checkpoint.fingerprint)
}

/// Whether a position in a native log may be one in a log that begins with this ordinal: where its
/// own frames begin, only its first ordinal may be the next one.
fn begins_there(first_ordinal: Ordinal, position: LogPosition) -> bool {
    match position.offset == LogPosition::at_first_frame(first_ordinal).offset {
        true => position.next_ordinal == first_ordinal,
        false => position.next_ordinal > first_ordinal,
    }
}

fn resume(
    log: &OpenLog<'_>,
    path: &LogPath,
    (base, start): (ProjectedThread, Start),
) -> Result<Projection> {
    let identity = LogIdentity {
        path: path.clone(),
        header: (base.format == LogFormat::Native).then_some(base.summary.thread_id),
    };
    let mut projector = Projector::resume(identity, base.summary, base.fold);
    let checkpoint = match start {
        // The path may be another one: moving a log to the archive leaves its file as it was.
        Start::Unchanged => base.checkpoint,
        Start::At(position) => {
            let mut scan = log.scan(Some(position))?;
            take_all(&mut projector, &mut scan);
            checkpoint_of(log, &scan)?
        }
    };
    let folded = projector
        .finish(checkpoint.position.next_ordinal)
        .map_err(|why| log.corrupt(why))?;
    Ok(projection(log, (folded, checkpoint), false))
}

fn projection(
    log: &OpenLog<'_>,
    (folded, checkpoint): (Folded, Checkpoint),
    from_start: bool,
) -> Projection {
    Projection {
        thread: ProjectedThread {
            summary: folded.summary,
            format: log.format(),
            checkpoint,
            fold: folded.state,
        },
        turns: folded.turns,
        from_start,
    }
}

fn identity(path: &LogPath, scan: &LogScan) -> LogIdentity {
    LogIdentity {
        path: path.clone(),
        header: scan.thread_id(),
    }
}

fn checkpoint_of(log: &OpenLog<'_>, scan: &LogScan) -> Result<Checkpoint> {
    let (stat, position) = (scan.stat(), scan.position());
    Ok(Checkpoint {
        position,
        file_len: stat.len,
        mtime_nanos: stat.mtime_nanos,
        inode: stat.inode,
        fingerprint: fingerprint(log, position)?,
    })
}

fn take_all(projector: &mut Projector, scan: &mut LogScan) {
    let own_from = scan.own_from();
    while let Some(event) = scan.next() {
        match event {
            LogEvent::Record(record) if record.ordinal < own_from => {
                projector.apply_inherited_at(&record, scan.record_place());
            }
            event => take(projector, &event, scan),
        }
    }
}

fn take(projector: &mut Projector, event: &LogEvent, scan: &LogScan) {
    match event {
        LogEvent::Record(record) => projector.apply_at(record, scan.record_place()),
        LogEvent::Damage(damage) => projector.note_damage(damage),
    }
}

/// Whose log this is, reading no more of it than its head where that tells.
///
/// # Errors
/// As [`project`].
pub fn log_owner(disk: &dyn Disk, home: &Home, path: &LogPath) -> Result<ThreadId> {
    let log = open(disk, home, path)?;
    if log.format() == LogFormat::Native {
        return log.header().map(|header| header.thread_id);
    }
    let head = log.scan_head(HEAD_LENGTH).ok();
    if let Some(owner) = head.and_then(|head| settle(path, head).settled_owner()) {
        return Ok(owner);
    }
    let projector = settle(path, log.scan(None)?);
    match projector.settled_owner() {
        Some(owner) => Ok(owner),
        None => projector
            .finish(Ordinal::ZERO)
            .map(|folded| folded.summary.thread_id)
            .map_err(|why| log.corrupt(why)),
    }
}

/// Whose log of JSON lines these records would be at `path`, without any damage; `None` when nothing
/// says.
pub(crate) fn owner_of_records(
    path: &LogPath,
    records: impl Iterator<Item = Record>,
) -> Option<ThreadId> {
    let mut projector = Projector::new(LogIdentity {
        path: path.clone(),
        header: None,
    });
    for record in records {
        projector.apply(&record);
        if let Some(owner) = projector.settled_owner() {
            return Some(owner);
        }
    }
    let folded = projector.finish(Ordinal::ZERO).ok()?;
    Some(folded.summary.thread_id)
}

/// Folds as far as it takes to know the owner for good.
fn settle(path: &LogPath, mut scan: LogScan) -> Projector {
    let mut projector = Projector::new(identity(path, &scan));
    while projector.settled_owner().is_none()
        && let Some(event) = scan.next()
    {
        take(&mut projector, &event, &scan);
    }
    projector
}

fn open<'d>(disk: &'d dyn Disk, home: &Home, path: &LogPath) -> Result<OpenLog<'d>> {
    // A path without a log's ending is no log's; read as JSON lines, its bytes say so.
    let format = LogFormat::of_file_name(path.file_name()).unwrap_or(LogFormat::JsonLines);
    OpenLog::open(disk, &home.log_file(path), format)
}
