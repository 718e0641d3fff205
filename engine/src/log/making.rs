//! Making a new thread's file.
//!
//! What must hold: the thread is locked and marked before anything of it is on disk; and where
//! its file can't be filled, nothing of it stays.

use std::sync::Arc;

use selvedge_codec::segment::SegmentHeader;
use selvedge_codec::{ByteOffset, Item};

use super::context::{Entries, LogContext, NewEntries};
use super::draft::Draft;
use super::handle::LogHandle;
use super::inheriting::{self, Inheritance};
use super::native_writer;
use super::tail::Tail;
use super::thread_log::{LogState, NewThread, ThreadLog};
use super::writer::Writer;
use crate::disk::OpenMode;
use crate::{Error, InvalidRequest, Result};

impl ThreadLog {
    /// The log of a new thread that begins with what it inherits.
    pub(crate) fn fork(context: LogContext, new: NewThread, inheritance: Inheritance) -> Self {
        let header = inheritance.header(new.thread_id);
        Self {
            writer: Writer::Native(header.seed()),
            inheritance: Some(Box::new(inheritance)),
            ..Self::create(context, new)
        }
    }

    /// The header of a log that is not on disk yet.
    pub(super) fn new_header(&self) -> SegmentHeader {
        match &self.inheritance {
            Some(inheritance) => inheritance.header(self.thread_id),
            None => native_writer::first_header(self.thread_id),
        }
    }

    /// Puts a new thread on disk: its file, with header and meta, written and not synced. Does
    /// nothing for a thread that is there already.
    ///
    /// # Errors
    /// [`Error::Conflict`] when somebody else writes this thread, [`InvalidRequest::ThreadExists`]
    /// when its file exists, [`Error::Io`], [`Error::OutOfSpace`] and [`Error::Closed`]. Nothing
    /// is on disk then, and the thread is [`LogState::Deferred`] still.
    pub fn materialize(&mut self) -> Result<()> {
        match self.state {
            LogState::Deferred => {}
            LogState::Live | LogState::Failed => return Ok(()),
            LogState::Closed => return Err(self.closed()),
        }
        let Some(meta) = self.meta.clone() else {
            return Err(self.closed());
        };
        self.lock = Some(self.context.locks.lock(self.thread_id)?);
        let made = self.make_file(*meta);
        match made {
            Ok(()) => {
                self.meta = None;
                self.inheritance = None;
            }
            Err(_) => self.unlock(),
        }
        made
    }

    fn make_file(&mut self, meta: Item) -> Result<()> {
        self.context.marks.mark(self.thread_id, &self.path)?;
        self.is_marked = true;
        let header = self.new_header();
        let mut draft = Draft::new(header.first_ordinal, None, self.context.clock.now());
        let mut tail = Tail::default();
        tail.buffer().extend_from_slice(&header.encode());
        self.writer
            .encode(vec![vec![meta]], &mut draft, tail.buffer())
            .map_err(InvalidRequest::Codec)?;
        let inherited = self.make_inherited()?;
        let made = self.make_and_fill(&tail);
        let (handle, entries) = match made {
            Ok(made) => made,
            Err(error) => {
                // A file that could not be removed is gone on with, and needs what it inherits.
                if inherited.is_some() && !self.is_left_over {
                    inheriting::undo(&self.context, self.thread_id);
                }
                return Err(error);
            }
        };
        let entries = match inherited {
            Some(inherited) => inherited.and_then(entries),
            None => entries,
        };
        tail.acknowledge(draft.next_ordinal);
        self.tail = tail;
        self.entries = Entries::Made(Box::new(entries));
        self.handle = Some(Arc::new(handle));
        self.is_left_over = false;
        self.state = LogState::Live;
        Ok(())
    }

    fn make_inherited(&self) -> Result<Option<NewEntries>> {
        let inheritance = self.inheritance.as_ref();
        let Some(inheritance) = inheritance.filter(|inherited| !inherited.sources.is_empty())
        else {
            return Ok(None);
        };
        // A file that was left over is this log's own.
        if !self.is_left_over {
            inheriting::check_is_new(&self.context, self.thread_id, inheritance)?;
        }
        inheriting::make(&self.context, self.thread_id, inheritance).map(Some)
    }

    /// Makes the file and writes the first bytes to it.
    fn make_and_fill(&mut self, tail: &Tail) -> Result<(LogHandle, NewEntries)> {
        let entries = self.context.dirs.make_for(&self.context, &self.path)?;
        let handle = self.new_file(tail.kept())?;
        let filled = handle
            .write(tail.kept(), tail.base())
            .and_then(|()| handle.stat());
        match filled {
            Ok(stat) => self.inode = stat.inode,
            Err(error) => {
                let removed = self.context.disk.remove(handle.path());
                self.is_left_over = removed.is_err();
                return Err(error);
            }
        }
        Ok((handle, entries))
    }

    /// The file that `bytes` are to be written to. One that was left over may hold what an earlier
    /// try wrote of them; if it holds anything else, somebody has gone on with it.
    fn new_file(&self, bytes: &[u8]) -> Result<LogHandle> {
        let exists = || InvalidRequest::ThreadExists(self.thread_id).into();
        let path = self.file();
        let mode = if self.is_left_over {
            OpenMode::CreateOrOpen
        } else {
            OpenMode::CreateNew
        };
        match self.context.disk.open(&path, mode) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(exists()),
            Err(error) => Err(Error::io("make", &path, error)),
            Ok(file) => {
                let handle = LogHandle::of(file, path);
                if self.is_left_over {
                    let length = ByteOffset::new(handle.stat()?.len.get());
                    if !bytes.starts_with(&handle.read(ByteOffset::ZERO, length)?) {
                        return Err(exists());
                    }
                }
                Ok(handle)
            }
        }
    }
}
