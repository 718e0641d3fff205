//! Opening a log to write on: lock, mark, look, decide, carry out. And noticing, later, that the
//! file is not what it was.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_codec::segment::{HEADER_BYTES, SegmentHeader};
use selvedge_codec::{ByteLength, ByteOffset, Ordinal, ThreadId};

use super::context::{LogContext, NewEntries};
use super::draft::Draft;
use super::handle::LogHandle;
use super::recovery::{Decision, RecoveryReport, decide};
use super::tail::Tail;
use super::thread_log::{LogState, ThreadLog};
use super::writer::{Look, Writer, look};
use super::{inherited, inheriting, native_writer, torn, unpack};
use crate::disk::OpenMode;
use crate::home::LogPath;
use crate::{CorruptReason, Error, Result};

/// A file that was looked at and put in order.
struct Loaded {
    handle: LogHandle,
    inode: u64,
    look: Look,
    tail: Tail,
    report: RecoveryReport,
    entries: NewEntries,
}

impl ThreadLog {
    /// Opens a log to write on: locks and marks the thread, reads the file, and does what the
    /// table of [`super::recovery`] says. A compressed log is unpacked first.
    ///
    /// # Errors
    /// [`Error::Conflict`] naming the holder when somebody else writes the thread;
    /// [`Error::ThreadNotFound`] without such a file; [`Error::Corrupt`] and
    /// [`Error::Unsupported`] for a row that refuses, with nothing changed on disk; [`Error::Io`]
    /// and [`Error::OutOfSpace`].
    pub fn open(
        context: LogContext,
        thread_id: ThreadId,
        path: &LogPath,
    ) -> Result<(Self, RecoveryReport)> {
        let mut log = Self::unopened(context, thread_id);
        log.lock = Some(log.context.locks.lock(thread_id)?);
        let opened = log.open_locked(path);
        if opened.is_err() {
            log.unlock();
        }
        opened.map(|report| (log, report))
    }

    fn open_locked(&mut self, path: &LogPath) -> Result<RecoveryReport> {
        let unpacked = unpack::unpack(&self.context, path, self.thread_id)?;
        let unpacked_from = unpacked.is_some().then(|| path.clone());
        self.path = unpacked.unwrap_or_else(|| path.clone());
        self.context.marks.mark(self.thread_id, &self.path)?;
        self.is_marked = true;
        let loaded = self.load()?;
        let report = self.install(loaded);
        self.state = LogState::Live;
        Ok(RecoveryReport {
            unpacked_from,
            ..report
        })
    }

    fn install(&mut self, loaded: Loaded) -> RecoveryReport {
        self.handle = Some(Arc::new(loaded.handle));
        self.inode = loaded.inode;
        self.writer = loaded.look.writer;
        self.turn = loaded.look.turn;
        self.tail = loaded.tail;
        self.new_entries = Some(Box::new(loaded.entries));
        loaded.report
    }

    fn load(&self) -> Result<Loaded> {
        let handle = LogHandle::open(&*self.context.disk, self.file(), OpenMode::Write)?.ok_or(
            Error::ThreadNotFound {
                thread_id: self.thread_id,
            },
        )?;
        let stat = handle.stat()?;
        let mut bytes = handle.read(ByteOffset::ZERO, ByteOffset::new(stat.len.get()))?;
        let expected = self.expected_header(&bytes)?;
        let mut look = look(&bytes, expected, &self.path);
        let (row, decision) = decide(&look.found);
        let mut report = RecoveryReport {
            row,
            next_ordinal: look.next_ordinal,
            damage: std::mem::take(&mut look.damage),
            torn: look.found.torn().cloned(),
            kept_in: None,
            unpacked_from: None,
        };
        match decision {
            Decision::GoOn => {}
            Decision::Refuse { offset, why } => {
                return Err(match why {
                    CorruptReason::Codec(why) => Error::codec(handle.path(), offset, why),
                    why => Error::Corrupt {
                        path: handle.path().to_path_buf(),
                        offset,
                        why,
                    },
                });
            }
            Decision::CutTail(torn) => {
                report.kept_in = self.keep(&handle, &bytes, torn.offset)?;
                handle.cut(torn.offset)?;
                handle.sync()?;
                let whole = usize::try_from(torn.offset.get()).unwrap_or(usize::MAX);
                bytes.truncate(whole);
            }
            Decision::WriteHeader => {
                report.kept_in = self.keep(&handle, &bytes, ByteOffset::ZERO)?;
                let header = expected.encode();
                handle.write(&header, ByteOffset::ZERO)?;
                handle.sync()?;
                bytes = Bytes::copy_from_slice(&header);
            }
        }
        tracing::debug!(thread_id = %self.thread_id, ?row, "a log was opened for writing");
        Ok(Loaded {
            entries: self.found_entries(&bytes)?,
            tail: Tail::found(&bytes, look.next_ordinal),
            inode: stat.inode,
            handle,
            look,
            report,
        })
    }

    /// What has to be synced for a file that was found to survive a power loss: who made it may have
    /// died before anything of it was durable.
    fn found_entries(&self, bytes: &Bytes) -> Result<NewEntries> {
        let dirs = &self.context.dirs;
        let own = dirs.make_for(&self.context, &self.path)?;
        let inherits =
            SegmentHeader::decode(bytes).is_ok_and(|header| header.first_ordinal != Ordinal::ZERO);
        match inherits {
            true => inheriting::found(&self.context, self.thread_id)
                .map(|inherited| inherited.and_then(own)),
            false => Ok(own),
        }
    }

    /// The header that the log has if a crash has cut it off: a fork's says what it inherits.
    fn expected_header(&self, bytes: &[u8]) -> Result<SegmentHeader> {
        if bytes.len() < HEADER_BYTES {
            inherited::header_of(&self.context, self.thread_id)
        } else {
            Ok(native_writer::first_header(self.thread_id))
        }
    }

    /// Keeps the bytes from `offset` on beside the log.
    fn keep(
        &self,
        handle: &LogHandle,
        bytes: &[u8],
        offset: ByteOffset,
    ) -> Result<Option<std::path::PathBuf>> {
        let from = usize::try_from(offset.get()).unwrap_or(usize::MAX);
        match bytes.get(from..) {
            None | Some([]) => Ok(None),
            Some(torn) => torn::keep(&*self.context.disk, handle.path(), torn, offset).map(Some),
        }
    }

    /// Opens the file again after [`ThreadLog::release_handle`]. Does nothing while the log holds a
    /// handle, or has no file.
    ///
    /// # Errors
    /// [`Error::ThreadNotFound`] when the file is gone, [`Error::Corrupt`] when it lacks what was
    /// acknowledged, [`Error::Io`].
    pub fn open_handle(&mut self) -> Result<()> {
        if self.handle.is_some() || self.state != LogState::Live {
            return Ok(());
        }
        let handle = LogHandle::open(&*self.context.disk, self.file(), OpenMode::Write)?.ok_or(
            Error::ThreadNotFound {
                thread_id: self.thread_id,
            },
        )?;
        let stat = handle.stat()?;
        let end = self.tail.end().get();
        let may_grow = matches!(self.writer, Writer::Lines(_));
        if stat.inode != self.inode || stat.len.get() > end && !may_grow {
            return self.reload();
        }
        if stat.len.get() < end {
            return Err(self.shorter(stat.len));
        }
        self.handle = Some(Arc::new(handle));
        Ok(())
    }

    /// Looks at the file anew: it was replaced. It must hold all that was acknowledged.
    pub(super) fn reload(&mut self) -> Result<()> {
        let mut loaded = self.load()?;
        if loaded.tail.next_ordinal() < self.tail.next_ordinal() {
            return Err(self.shorter(ByteLength::new(loaded.tail.end().get())));
        }
        loaded.tail.never_below(&self.tail);
        self.unacknowledged = Vec::new();
        self.install(loaded);
        Ok(())
    }

    pub(super) fn shorter(&self, found: ByteLength) -> Error {
        Error::Corrupt {
            path: self.file(),
            offset: ByteOffset::new(found.get()),
            why: CorruptReason::Shorter {
                found,
                expected: ByteLength::new(self.tail.end().get()),
            },
        }
    }

    /// Writes the lines that the buffer holds from `mark` on behind all that the tool which owns
    /// the log has written. What it has appended since the last look comes before them.
    pub(super) fn append_lines(
        &mut self,
        handle: &LogHandle,
        mark: usize,
        draft: &mut Draft,
    ) -> Result<()> {
        let ours = self.tail.since(mark);
        handle.append(ours)?;
        let end = self.tail.base().plus(mark as u64);
        let found = handle.stat()?.len;
        let len = ByteOffset::new(found.get());
        if len == end.plus(ours.len() as u64) {
            return Ok(());
        }
        let beyond = handle.read(end, len)?;
        let at = memchr::memmem::find(&beyond, ours).ok_or_else(|| self.shorter(found))?;
        let (theirs, start) = (beyond.slice(..at), end.plus(at as u64));
        if !theirs.is_empty() && !theirs.ends_with(b"\n") && !ours.starts_with(b"\n") {
            // The first of our lines is the end of half a line of theirs. A blank line is nothing.
            handle.write(&vec![b'\n'; ours.len()], start)?;
            self.tail.take_back(mark);
            let error = io::Error::other("another tool is just writing a line");
            return Err(Error::io("write", handle.path(), error));
        }
        // What follows ours is read before the next append.
        if let Writer::Lines(writer) = &mut self.writer
            && !theirs.is_empty()
        {
            let unread = handle.read(writer.unread_from(), start)?;
            let next_ordinal = writer.absorb(&unread, &mut self.turn);
            let before = self.tail.next_ordinal();
            draft.give_way(next_ordinal.get().saturating_sub(before.get()));
            self.tail.precede(mark, &theirs);
        }
        Ok(())
    }

    /// Takes in what the tool that owns a JSON-lines log has appended since the last look.
    pub(super) fn absorb_growth(&mut self) -> Result<()> {
        let (Some(handle), Writer::Lines(writer)) = (self.handle.clone(), &mut self.writer) else {
            return Ok(());
        };
        let path = handle.path();
        let stat = match self.context.disk.stat(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let thread_id = self.thread_id;
                return Err(Error::ThreadNotFound { thread_id });
            }
            stat => stat.map_err(|error| Error::io("look at", path, error))?,
        };
        if stat.inode != self.inode {
            return self.reload();
        }
        let (end, len) = (self.tail.end(), ByteOffset::new(stat.len.get()));
        if len == end {
            return Ok(());
        }
        if len < end {
            return Err(self.shorter(stat.len));
        }
        let from = writer.unread_from();
        let unread = handle.read(from, len)?;
        let known = usize::try_from(end.get().saturating_sub(from.get())).unwrap_or(usize::MAX);
        let next_ordinal = writer.absorb(&unread, &mut self.turn);
        let new = unread.get(known..).unwrap_or_default();
        self.tail.absorb(new, next_ordinal);
        Ok(())
    }
}
