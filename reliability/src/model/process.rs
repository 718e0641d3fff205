//! A simulated process: a store of its own on the shared disk, and a runtime whose time passes only
//! where nobody has anything to do.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use selvedge::simulation::{SimulatedDisk, SimulatedProcess};
use selvedge::{Clock, Error, IndexMode, LocalThreadStore, OpenOptions};
use tokio::runtime::{Builder, Runtime};

use super::program::Index;

/// Where the home lies.
pub const HOME: &str = "/home/agent/threads";

/// No step takes longer, in simulated time: whatever waits for nothing but I/O has ended long
/// before.
const BOUND: Duration = Duration::from_secs(600);

/// How a home is opened.
#[derive(Debug, Clone)]
pub struct Seams {
    /// The disk.
    pub disk: SimulatedDisk,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// A process that has the home open.
#[derive(Debug)]
pub struct Process {
    runtime: Runtime,
    disk: SimulatedProcess,
    /// Its store.
    pub store: LocalThreadStore,
    /// How it was opened.
    pub index: Index,
}

/// What came of something that was waited for.
#[derive(Debug)]
pub struct Hung;

impl Process {
    /// Starts a process, and opens the home.
    ///
    /// # Errors
    /// What opening says; the outer one when it does not end.
    pub fn start(seams: &Seams, index: Index) -> Result<Result<Self, Error>, Hung> {
        let runtime = runtime();
        let disk = seams.disk.process();
        let options = OpenOptions::new(HOME)
            .create(true)
            .index(match index {
                Index::Wait => IndexMode::Wait(Duration::from_secs(30)),
                Index::Background => IndexMode::Background,
                Index::Existing => IndexMode::Existing,
                Index::None => IndexMode::None,
            })
            .disk(Arc::new(disk.clone()))
            .clock(Arc::clone(&seams.clock))
            .inline_io();
        let opened = bounded(&runtime, LocalThreadStore::open(options))?;
        Ok(match opened {
            Ok(store) => Ok(Self {
                runtime,
                disk,
                store,
                index,
            }),
            Err(error) => {
                disk.kill();
                Err(error)
            }
        })
    }

    /// Waits for something, in simulated time.
    ///
    /// # Errors
    /// When it does not end.
    pub fn wait<T>(&self, what: impl Future<Output = T>) -> Result<T, Hung> {
        bounded(&self.runtime, what)
    }

    /// Begins something, and drops it.
    ///
    /// # Errors
    /// When what it leaves behind does not end.
    pub fn begin<T>(&self, polls: u8, what: impl Future<Output = T>) -> Result<(), Hung> {
        bounded(&self.runtime, async {
            {
                let mut what = pin!(what);
                for _ in 0..polls {
                    let is_over =
                        std::future::poll_fn(|cx| Poll::Ready(what.as_mut().poll(cx).is_ready()));
                    if is_over.await {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            // What was begun is carried out, and nobody can tell when.
            tokio::time::sleep(Duration::from_secs(30)).await;
        })
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// Never, unless time stands still.
    pub fn sleep(&self, millis: u16) -> Result<(), Hung> {
        self.wait(async { tokio::time::sleep(Duration::from_millis(millis.into())).await })
    }

    /// Shuts the process down; what was not shut down is killed.
    ///
    /// # Errors
    /// What the shutdown says; the outer one when it does not end.
    pub fn shut_down(self) -> Result<Result<(), Error>, Hung> {
        let selvedge = self.store.selvedge().clone();
        let done = bounded(&self.runtime, selvedge.shutdown());
        self.kill();
        done
    }

    /// Kills the process.
    pub fn kill(self) {
        // From here on nothing of it reaches the disk.
        self.disk.kill();
        drop(self.store);
        drop(self.runtime);
    }
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    let built = builder.enable_time().start_paused(true).build();
    built.expect("a runtime needs nothing but memory")
}

fn bounded<T>(runtime: &Runtime, what: impl Future<Output = T>) -> Result<T, Hung> {
    let bounded = async { tokio::time::timeout(BOUND, what).await };
    runtime.block_on(bounded).map_err(|_| Hung)
}
