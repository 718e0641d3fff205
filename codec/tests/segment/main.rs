//! Native segments, as the format's specification says.
#![cfg(test)]

mod backward;
mod damage;
mod every_damage;
mod golden;
mod other_language;
mod roundtrip;
mod specification;
mod support;
