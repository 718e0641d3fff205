//! The clock: one of the two seams (the other is [`crate::disk`]).

use std::fmt::Debug;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use selvedge_codec::UtcMicros;

/// Tells UTC time. It may jump in either direction; nothing here relies on it going forward.
pub trait Clock: Debug + Send + Sync + 'static {
    /// UTC now.
    fn now(&self) -> UtcMicros;

    /// How long it is since some moment of this process's life, which stays the same. It never goes
    /// back, whatever happens to UTC time.
    fn elapsed(&self) -> Duration {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        BEGAN.get_or_init(Instant::now).elapsed()
    }

    /// Waits until `how_long` has elapsed: between two looks at something that nobody tells of. Only
    /// where a thread may block.
    fn pause(&self, how_long: Duration) {
        std::thread::sleep(how_long);
    }
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

/// A clock that a test sets. What it is set forward by has elapsed, and so has what was paused,
/// which does not change the time that it tells.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicI64,
    elapsed_micros: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: UtcMicros) -> Self {
        Self {
            now: AtomicI64::new(now.get()),
            elapsed_micros: AtomicU64::new(0),
        }
    }

    /// Sets the clock.
    pub fn set(&self, now: UtcMicros) {
        let before = self.now.swap(now.get(), Ordering::SeqCst);
        self.pass(now.get().saturating_sub(before));
    }

    /// Moves the clock by `micros`, which may be negative.
    pub fn advance_micros(&self, micros: i64) {
        self.now.fetch_add(micros, Ordering::SeqCst);
        self.pass(micros);
    }

    fn pass(&self, micros: i64) {
        if let Ok(micros) = u64::try_from(micros) {
            self.elapsed_micros.fetch_add(micros, Ordering::SeqCst);
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UtcMicros {
        UtcMicros::new(self.now.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_micros(self.elapsed_micros.load(Ordering::SeqCst))
    }

    fn pause(&self, how_long: Duration) {
        // Somebody else's thread may be what is waited for.
        std::thread::sleep(how_long);
        self.pass(i64::try_from(how_long.as_micros()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_does_not_take_back_what_has_elapsed() {
        let clock = ManualClock::new(UtcMicros::new(5));
        clock.advance_micros(3);
        clock.advance_micros(-7);
        clock.set(UtcMicros::new(11));
        assert_eq!(clock.now(), UtcMicros::new(11));
        assert_eq!(clock.elapsed(), Duration::from_micros(13));
        clock.pause(Duration::from_micros(2));
        assert_eq!(clock.now(), UtcMicros::new(11));
        assert_eq!(clock.elapsed(), Duration::from_micros(15));
    }
}
