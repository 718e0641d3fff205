//! Selvedge under faults, crashes and many processes. Each program in `src/bin` tries what
//! `RELIABILITY.md` promises; the tests run them small.

pub mod crashes;
pub mod limits;
pub mod load;
pub mod model;
pub mod processes;
pub mod worker;
