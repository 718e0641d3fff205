//! JSON lines: every record is kept byte for byte, and a bad line costs itself alone.
#![cfg(test)]

mod any_lines;
mod golden;
mod payload;
mod scan;
mod support;
