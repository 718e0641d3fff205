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
        match parse_usual(text.as_bytes()) {
            Some(micros) => Ok(Self(micros)),
            None => Self::parse_any(text),
        }
    }

    fn parse_any(text: &str) -> Result<Self, CodecError> {
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

/// Parses `YYYY-MM-DDTHH:MM:SSZ` with no, 3 or 6 digits of a second: what tools write, many times
/// as fast as any RFC 3339. Anything unusual is left to the parser that knows it all.
fn parse_usual(text: &[u8]) -> Option<i64> {
    let (seconds, rest) = text.split_first_chunk::<19>()?;
    let [
        y0,
        y1,
        y2,
        y3,
        b'-',
        m0,
        m1,
        b'-',
        d0,
        d1,
        b'T',
        rest_of_day @ ..,
    ] = seconds
    else {
        return None;
    };
    let [h0, h1, b':', i0, i1, b':', s0, s1] = rest_of_day else {
        return None;
    };
    let fraction = match rest {
        [b'Z'] => 0,
        [b'.', a, b, c, b'Z'] => number([*a, *b, *c])? * 1000,
        [b'.', a, b, c, d, e, f, b'Z'] => number([*a, *b, *c, *d, *e, *f])?,
        _ => return None,
    };
    let days = days_since_epoch(
        number([*y0, *y1, *y2, *y3])?,
        number([*m0, *m1])?,
        number([*d0, *d1])?,
    )?;
    let (hour, minute) = (number([*h0, *h1])?, number([*i0, *i1])?);
    let second = number([*s0, *s1])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + fraction)
}

fn number<const N: usize>(digits: [u8; N]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(digit - b'0'))
    })
}

/// Days from 1970-01-01 to a date of the years 1 to 9998, all of which are in range.
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    };
    if !(1..=9998).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=days_in_month).contains(&day)
    {
        return None;
    }
    // Years that begin in March, so that a leap day is the last of its year.
    let (year, month) = if month < 3 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let leap_days = year / 4 - year / 100 + year / 400;
    Some(year * 365 + leap_days + day_of_year - 719_468)
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
    use proptest::prelude::*;

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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_usual_spelling_is_parsed_as_any_other(
            (year, month, day) in (0..=9999, 0..=13, 0..=32),
            (hour, minute, second) in (0..=24, 0..=60, 0..=61),
            fraction in prop::sample::select(vec!["", ".0", ".128", ".076123", ".0761239", ".12x"]),
        ) {
            let text = format!(
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"
            );
            if let Some(micros) = parse_usual(text.as_bytes()) {
                prop_assert_eq!(UtcMicros::parse_any(&text), Ok(UtcMicros::new(micros)));
            } else if let Ok(time) = UtcMicros::parse_any(&text) {
                // What is left to the other parser is unusual.
                let is_usual = time.to_line_text() == text && (1..=9998).contains(&year);
                prop_assert!(!is_usual, "{}", text);
            }
        }

        #[test]
        fn every_time_is_parsed_from_its_spellings(micros in -62_135_596_800_000_000_i64..253_370_764_800_000_000) {
            let time = UtcMicros::new(micros);
            for text in [time.to_line_text(), time.to_string()] {
                prop_assert_eq!(parse_usual(text.as_bytes()), Some(micros));
                prop_assert_eq!(UtcMicros::parse_any(&text), Ok(time));
            }
        }
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
