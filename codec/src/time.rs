//! UTC time in microseconds, and its two spellings.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::CodecError;

/// UTC time in microseconds since 1970-01-01T00:00:00Z. Earlier times are negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UtcMicros(i64);

impl UtcMicros {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn new(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Parses an RFC 3339 timestamp of any offset; what is finer than a microsecond is cut off.
    ///
    /// # Errors
    /// [`CodecError::NotATimestamp`] when `text` is none.
    pub fn parse(text: &str) -> Result<Self, CodecError> {
        text.parse::<Timestamp>()
            .map(|stamp| {
                Self(
                    stamp
                        .as_nanosecond()
                        .div_euclid(1000)
                        .try_into()
                        .unwrap_or(i64::MAX),
                )
            })
            .map_err(|_| CodecError::NotATimestamp {
                text: text.chars().take(64).collect(),
            })
    }

    fn stamp(self) -> Timestamp {
        // Out of range only for years past 9999, which no parse gives: shown as the last moment.
        Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
    }

    /// The spelling of a JSON line: three digits of a second, or six where it has microseconds
    /// (`2026-02-20T09:15:00.000Z`).
    #[must_use]
    pub fn to_line_text(self) -> String {
        let stamp = self.stamp();
        if self.0.rem_euclid(1000) == 0 {
            format!("{stamp:.3}")
        } else {
            format!("{stamp:.6}")
        }
    }

    /// `2026-02-20T09-15-00`: how a log's file name spells its start, in whole seconds of UTC.
    #[must_use]
    pub fn to_file_name_text(self) -> String {
        let mut text = format!(
            "{:.0}",
            Timestamp::from_second(self.0.div_euclid(1_000_000)).unwrap_or_default()
        );
        text.pop();
        text.replace(':', "-")
    }
}

/// RFC 3339 in UTC, with as many of 0, 3 or 6 digits of a second as it needs.
impl fmt::Display for UtcMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stamp = self.stamp();
        if self.0.rem_euclid(1_000_000) == 0 {
            write!(f, "{stamp:.0}")
        } else if self.0.rem_euclid(1000) == 0 {
            write!(f, "{stamp:.3}")
        } else {
            write!(f, "{stamp:.6}")
        }
    }
}

impl fmt::Debug for UtcMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for UtcMicros {
    type Err = CodecError;

    fn from_str(text: &str) -> Result<Self, CodecError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_name_the_same_moment() {
        let whole = UtcMicros::parse("2026-02-20T09:15:00Z").unwrap();
        assert_eq!(whole.to_string(), "2026-02-20T09:15:00Z");
        assert_eq!(whole.to_line_text(), "2026-02-20T09:15:00.000Z");
        assert_eq!(whole.to_file_name_text(), "2026-02-20T09-15-00");
        let fine = UtcMicros::parse("2026-02-20T10:15:00.076123999+01:00").unwrap();
        assert_eq!(fine.to_string(), "2026-02-20T09:15:00.076123Z");
        assert_eq!(UtcMicros::parse(&fine.to_line_text()).unwrap(), fine);
        assert_eq!(
            UtcMicros::new(-1).to_string(),
            "1969-12-31T23:59:59.999999Z"
        );
    }

    #[test]
    fn extremes_do_not_panic() {
        for micros in [i64::MIN, i64::MAX, 0, -1] {
            let _ = (
                UtcMicros::new(micros).to_string(),
                UtcMicros::new(micros).to_file_name_text(),
            );
        }
        assert!(UtcMicros::parse("yesterday").is_err());
    }
}
