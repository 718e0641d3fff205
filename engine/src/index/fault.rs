//! What can go wrong with the index, sorted by what is to be done about it.

use std::io;
use std::path::Path;
use std::time::Duration;

use selvedge_codec::ByteOffset;

use crate::{CorruptReason, Error};

/// Why an operation on the index was not carried out.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Its bytes are not what was written. The index is set aside and made again.
    Damaged(String),
    /// Another process holds it, or another thread, and the bounded wait ended.
    Busy,
    /// The handle is of no use any more: the file is opened again.
    Stale(String),
    /// The operating system refused.
    Io(io::Error),
    /// Something else failed in the middle of it.
    Engine(Error),
}

impl Fault {
    /// Sorts what the file said.
    pub(super) fn of_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Busy,
            // A wrong checksum, a file cut short, and places that no page can have.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Io(error),
        }
    }

    /// The error that a caller of the engine sees.
    pub(crate) fn into_error(self, index: &Path, waited: Duration) -> Error {
        match self {
            Self::Damaged(why) | Self::Stale(why) => Error::Corrupt {
                path: index.to_path_buf(),
                offset: ByteOffset::ZERO,
                why: CorruptReason::Index(why),
            },
            Self::Busy => Error::TimedOut {
                waiting_for: format!("another process to release {}", index.display()),
                waited,
            },
            Self::Io(error) => Error::io("use", index, error),
            Self::Engine(error) => error,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}
