//! Where things lie in a home, and how a log's place names it.

mod layout;

pub use layout::{Home, LogFormat, LogName, LogPath};
