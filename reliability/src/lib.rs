//! Selvedge under faults, crashes and many processes. Each program in `src/bin` tries what
//! `RELIABILITY.md` promises; the tests run them small.

pub mod limits;
pub mod load;
