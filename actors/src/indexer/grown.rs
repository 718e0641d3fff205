//! The logs that have grown since the indexer last looked.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use selvedge_codec::ThreadId;
use selvedge_engine::home::LogPath;
use tokio::sync::Notify;

use crate::live_thread::ThreadShared;

/// A set of logs, each there once however often it grows, so that it is never larger than the
/// number of live threads. Noting a log never waits for the indexer.
#[derive(Debug, Default)]
pub(crate) struct GrownLogs {
    /// A blocking mutex: it is held for an insert or a swap, never across an await.
    logs: Mutex<HashMap<ThreadId, Grown>>,
    some: Notify,
}

#[derive(Debug)]
struct Grown {
    path: LogPath,
    shared: Arc<ThreadShared>,
}

impl GrownLogs {
    /// Notes that a log has grown. Called after the write and before its acknowledgement, so that
    /// a read that begins after the acknowledgement finds it noted.
    pub(crate) fn note(&self, shared: &Arc<ThreadShared>, path: &LogPath) {
        // Noted already and not taken yet: whoever takes it reads the log later, with this write.
        if shared.awaits_index.swap(true, Ordering::SeqCst) {
            return;
        }
        self.insert(
            shared.thread_id,
            Grown {
                path: path.clone(),
                shared: Arc::clone(shared),
            },
        );
        self.some.notify_one();
    }

    fn insert(&self, thread_id: ThreadId, grown: Grown) {
        self.logs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(thread_id, grown);
    }

    /// Takes them all. Their logs are to be read after this.
    pub(super) fn take(&self) -> TakenLogs {
        let logs = std::mem::take(&mut *self.logs.lock().unwrap_or_else(PoisonError::into_inner));
        for grown in logs.values() {
            grown.shared.awaits_index.store(false, Ordering::SeqCst);
        }
        TakenLogs(logs)
    }

    /// Puts back what could not be indexed.
    pub(super) fn put_back(&self, taken: TakenLogs) {
        for (thread_id, grown) in taken.0 {
            if !grown.shared.awaits_index.swap(true, Ordering::SeqCst) {
                self.insert(thread_id, grown);
            }
        }
    }

    /// Waits until there is one.
    pub(super) async fn some(&self) {
        self.some.notified().await;
    }
}

/// Logs that were taken to be indexed.
#[derive(Debug)]
pub(super) struct TakenLogs(HashMap<ThreadId, Grown>);

impl TakenLogs {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn paths(&self) -> Vec<(ThreadId, LogPath)> {
        self.0
            .iter()
            .map(|(thread_id, grown)| (*thread_id, grown.path.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Arc<ThreadShared> {
        let thread_id = ThreadId::generate();
        let feed = crate::feed::Feeds::default().of(thread_id);
        Arc::new(ThreadShared::new(thread_id, false, feed))
    }

    #[test]
    fn a_log_that_grows_often_is_taken_once_and_again_after_that() {
        let (grown, thread) = (GrownLogs::default(), shared());
        let path = LogPath::new("sessions/a.rlog".into()).unwrap();
        for _ in 0..3 {
            grown.note(&thread, &path);
        }
        assert_eq!(grown.take().paths(), vec![(thread.thread_id, path.clone())]);
        assert!(grown.take().is_empty());
        grown.note(&thread, &path);
        let taken = grown.take();
        assert!(!taken.is_empty());
        grown.put_back(taken);
        assert!(!grown.take().is_empty());
    }
}
