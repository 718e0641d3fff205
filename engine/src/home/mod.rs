//! Where things lie in a home, and how a log's place names it.

mod confined;
mod inherited;
mod layout;
mod locks;
pub mod marks;

pub(crate) use confined::ConfinedDisk;
pub(crate) use inherited::InheritedName;
pub use layout::{Home, LogFormat, LogName, LogPath};
pub use locks::{WriterLock, WriterLocks};
pub use marks::{OpenMarkFile, OpenMarks};
