//! Imports: logs of other places, copied into this home off the runtime.

use std::path::PathBuf;
use std::sync::Arc;

use selvedge_engine::Result;
use selvedge_engine::store::{ImportSource, Imported, import_sources};

use crate::live_thread::ThreadShared;
use crate::selvedge::Selvedge;

impl Selvedge {
    /// Finds what can be imported: the file that `path` names, or all JSON-lines logs of a home
    /// or of any other directory.
    ///
    /// # Errors
    /// [`Io`](selvedge_engine::Error::Io) when something can't be looked at,
    /// [`InvalidRequest`](selvedge_engine::Error::InvalidRequest) when a file has not the name of
    /// a JSON-lines log.
    pub async fn import_sources(&self, path: PathBuf) -> Result<Vec<ImportSource>> {
        self.read(move |store| import_sources(&*store.log_context().disk, &path))
            .await
    }

    /// Copies a JSON-lines log into a native log of this home, byte for byte. A thread that is
    /// here already is continued where its log is a beginning of the source's, and left alone
    /// otherwise. The source is only read.
    ///
    /// # Errors
    /// [`Corrupt`](selvedge_engine::Error::Corrupt) when nothing of the source is a record, or it
    /// says nowhere which thread it is; [`Conflict`](selvedge_engine::Error::Conflict) when the
    /// thread is being written; [`Io`](selvedge_engine::Error::Io);
    /// [`OutOfSpace`](selvedge_engine::Error::OutOfSpace);
    /// [`Closed`](selvedge_engine::Error::Closed) after a shutdown.
    pub async fn import(&self, source: ImportSource) -> Result<Imported> {
        // A thread that was imported before may not be in the index yet.
        self.settle().await?;
        let imported = self.read(move |store| store.import(&source)).await?;
        if imported.added > 0 {
            let feed = self.core.feeds.of(imported.thread_id);
            let thread = Arc::new(ThreadShared::new(imported.thread_id, false, feed));
            self.core.grown.note(&thread, &imported.path);
        }
        Ok(imported)
    }
}
