//! The simulated time of a program: a pause passes at once.

use std::time::Duration;

use selvedge::{Clock, ManualClock, UtcMicros};

/// A clock that the program sets. Whoever pauses lets time pass, for everybody: the processes of a
/// program take turns, so that nobody else could do anything meanwhile.
#[derive(Debug)]
pub struct SimulatedClock(ManualClock);

impl SimulatedClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: UtcMicros) -> Self {
        Self(ManualClock::new(now))
    }

    /// Moves the clock by `micros`, which may be negative.
    pub fn advance_micros(&self, micros: i64) {
        self.0.advance_micros(micros);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> UtcMicros {
        self.0.now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn pause(&self, how_long: Duration) {
        let micros = i64::try_from(how_long.as_micros()).unwrap_or(i64::MAX);
        self.0.advance_micros(micros);
    }
}
