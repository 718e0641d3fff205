//! What the engine does not have yet.

use selvedge_codec::{Ordinal, ThreadId};
use selvedge_engine::log::{NewThread, ThreadLog};
use selvedge_engine::store::Store;
use selvedge_engine::thread::ForkPoint;
use selvedge_engine::{Error, Result};

pub(crate) const NOT_WIRED: Error = Error::Closed {
    what: "not wired yet",
};

#[derive(Debug, Clone)]
pub(crate) struct ForkSource {
    pub(crate) thread_id: ThreadId,
    pub(crate) upto: Option<Ordinal>,
}

pub(crate) trait Pending {
    fn fork(&self, _: &ForkSource, _: &ForkPoint, _: NewThread) -> Result<ThreadLog> {
        Err(NOT_WIRED)
    }
}

impl Pending for Store {}
