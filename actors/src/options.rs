//! How a home is opened.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use selvedge_engine::clock::{Clock, SystemClock};
use selvedge_engine::disk::{Disk, RealDisk};

/// What happens to the index when a home is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexMode {
    /// Opening returns once the index covers the home. It waits at most this long for another
    /// process that is at it, and then fails with
    /// [`TimedOut`](selvedge_engine::Error::TimedOut).
    Wait(Duration),
    /// Opening returns at once; the index is completed meanwhile, and pages say that their
    /// coverage is partial until it is.
    Background,
    /// The index is used as it is, and never completed from here.
    Existing,
    /// No index is used or made: listings read all logs. Slower, with the same answers.
    None,
}

/// How a home is opened. The defaults suit an agent's runtime.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    pub(crate) home: PathBuf,
    pub(crate) create: bool,
    pub(crate) index: IndexMode,
    pub(crate) sync_interval: Duration,
    pub(crate) io_threads: usize,
    pub(crate) max_open_logs: usize,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether I/O jobs run where they are submitted.
    pub(crate) is_inline: bool,
}

impl OpenOptions {
    /// The home in this directory, which must exist unless [`OpenOptions::create`] is set.
    #[must_use]
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            create: false,
            index: IndexMode::Wait(Duration::from_secs(30)),
            sync_interval: Duration::from_millis(200),
            io_threads: 16,
            max_open_logs: 256,
            disk: Arc::new(RealDisk),
            clock: Arc::new(SystemClock),
            is_inline: false,
        }
    }

    /// Whether a missing home is made. It is not by default.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// What happens to the index; by default opening waits up to 30 seconds for it.
    #[must_use]
    pub fn index(mut self, index: IndexMode) -> Self {
        self.index = index;
        self
    }

    /// How far a record that nobody asked to be synced may be behind; 200 ms by default.
    #[must_use]
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = interval;
        self
    }

    /// The most OS threads that wait for the medium at once; 16 by default. They are started as
    /// they are needed.
    #[must_use]
    pub fn io_threads(mut self, threads: usize) -> Self {
        self.io_threads = threads.max(1);
        self
    }

    /// The most log files that live threads hold open together; 256 by default. More threads than
    /// that can be live: a thread that is not being written to holds none.
    #[must_use]
    pub fn max_open_logs(mut self, logs: usize) -> Self {
        self.max_open_logs = logs.max(1);
        self
    }

    /// The disk that everything goes through.
    #[must_use]
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// The clock that records are stamped with.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Runs I/O jobs where they are submitted, instead of on threads of their own: on a runtime of
    /// one thread whose time is paused, and with a simulated disk, one seed does the same again.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn inline_io(mut self) -> Self {
        self.is_inline = true;
        self
    }
}
