//! A process that works on a home under load and says what was acknowledged, and the checker of
//! the home against what such processes said.
//!
//! The worker is the program that starts it, run again: [`launch::Launcher`] says how, and
//! [`run_if_asked`] is what the program does first. It says everything in [`said::Line`]s, so
//! that whoever kills it knows what is certain and what is not. [`check::Model`] is what a home
//! must hold: what was found in it last, and since then what the workers said.

mod child;
mod lane;
mod look;

pub mod check;
pub mod launch;
pub mod payload;
pub mod said;
mod shared;

pub use child::run_if_asked;
pub use launch::{Ended, Launcher, Report, Worker};
pub use said::{Doing, Line, Order, Refusal, Role};
