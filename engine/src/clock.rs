//! The clock: one of the two seams (the other is [`crate::disk`]).

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use selvedge_codec::UtcMicros;

/// Tells UTC time. It may jump in either direction; nothing here relies on it going forward.
pub trait Clock: Debug + Send + Sync + 'static {
    /// UTC now.
    fn now(&self) -> UtcMicros;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock's own file")]
    fn now(&self) -> UtcMicros {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |m| -m),
        };
        UtcMicros::new(micros)
    }
}

/// A clock that a test sets.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: UtcMicros) -> Self {
        Self(AtomicI64::new(now.get()))
    }

    /// Sets the clock.
    pub fn set(&self, now: UtcMicros) {
        self.0.store(now.get(), Ordering::SeqCst);
    }

    /// Moves the clock by `micros`, which may be negative.
    pub fn advance_micros(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UtcMicros {
        UtcMicros::new(self.0.load(Ordering::SeqCst))
    }
}
