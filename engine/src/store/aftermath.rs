//! What a writer that died has left of threads that it was just making, or deleting: a log without
//! a byte, and segments that no log inherits. Nobody else would ever come by them again.
//!
//! What must hold: nothing is removed that anybody was told of, or that somebody is at. A thread is
//! locked and marked before anything of it is on disk, and its log's first bytes are written before
//! its maker is answered. So a log without a byte that a dead writer has marked, whose thread is free
//! and not known, never held anything.

use std::io;

use selvedge_codec::{ByteLength, ThreadId};

use super::Store;
use super::fork::has_log;
use super::logs::is_named;
use crate::disk::FileKind;
use crate::home::{Home, LogFormat, LogPath, OpenMarkFile, marks};
use crate::index::{Database, Fault, Tables};
use crate::log::remove_inherited;
use crate::{Error, Result};

/// What is found where a dead writer's mark says that a log lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// A native log without a byte.
    Empty,
    Nothing,
    /// A log that is looked at like any other.
    Log,
}

impl Store {
    /// Clears up after every writer that died.
    pub(super) fn clear_up(&self, index: &Database) -> Result<(), Fault> {
        for marks in marks::read_all(self.disk(), self.home())? {
            if !marks.alive {
                self.clear_up_after(index, &marks)?;
            }
        }
        Ok(())
    }

    /// Clears up after one writer that died. What can't be removed stays: it is in nobody's way.
    pub(super) fn clear_up_after(
        &self,
        index: &Database,
        marks: &OpenMarkFile,
    ) -> Result<(), Fault> {
        for (id, path) in &marks.threads {
            match self.clear_up_thread(index, *id, path) {
                Err(Fault::Engine(why)) => {
                    tracing::debug!(%why, thread_id = %id, "what a dead writer has left stays");
                }
                cleared => cleared?,
            }
        }
        Ok(())
    }

    fn clear_up_thread(&self, index: &Database, id: ThreadId, path: &LogPath) -> Result<(), Fault> {
        let inherited = self.home().resolve(&Home::inherited_dir(id));
        let inherits = || self.disk().stat(&inherited).is_ok();
        match self.left_at(path)? {
            Left::Empty if is_named(path, id) => {}
            Left::Nothing if inherits() => {}
            _ => return Ok(()),
        }
        let _lock = match self.context.locks.lock(id) {
            // Somebody goes on with it.
            Err(Error::Conflict { .. }) => return Ok(()),
            lock => lock?,
        };
        // As it is now that nobody else can change it.
        if self.left_at(path)? == Left::Empty {
            if index.read(|txn| txn.thread(id))?.is_some() {
                // It held something: what has become of that is for readers to tell.
                return Ok(());
            }
            let file = self.home().log_file(path);
            self.disk()
                .remove(&file)
                .map_err(|error| Error::io("remove", &file, error))?;
            self.sync_dirs(file.parent())?;
        }
        // The logs are asked: a row may be of a log that is just gone.
        if inherits() && !has_log(&self.context, id)? {
            remove_inherited(&self.context, id)?;
        }
        Ok(())
    }

    fn left_at(&self, path: &LogPath) -> Result<Left> {
        let file = self.home().log_file(path);
        let is_native = LogFormat::of_file_name(path.file_name()) == Some(LogFormat::Native);
        match self.disk().stat(&file) {
            Ok(stat)
                if is_native && stat.kind == FileKind::File && stat.len == ByteLength::ZERO =>
            {
                Ok(Left::Empty)
            }
            Ok(_) => Ok(Left::Log),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Left::Nothing),
            Err(error) => Err(Error::io("look at", &file, error)),
        }
    }
}
