//! Words that fit a terminal: cut by display width, and without control characters.

use selvedge::UtcMicros;
use unicode_width::UnicodeWidthChar;

/// What stands for the part that was cut off.
const ELLIPSIS: char = '…';
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The text on one line, without anything that could steer a terminal: what a thread holds was
/// written by others.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() {
            gap = !line.is_empty();
        } else {
            if gap {
                line.push(' ');
                gap = false;
            }
            line.push(if is_steering(c) {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            });
        }
    }
    line
}

/// Control characters, and the marks that turn the direction of what follows.
fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How many columns the text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The text, cut to `columns` columns.
pub(crate) fn truncate(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut room = columns.saturating_sub(1);
    for c in text.chars() {
        let Some(left) = room.checked_sub(c.width().unwrap_or(0)) else {
            break;
        };
        room = left;
        kept.push(c);
    }
    if columns > 0 {
        kept.push(ELLIPSIS);
    }
    kept
}

/// The text in lines of `columns` columns, each behind `indent`, all but the first behind twice that.
/// A word that is longer stays whole.
pub(crate) fn wrapped(text: &str, indent: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = indent.to_owned();
    let mut is_empty = true;
    for word in one_line(text).split(' ') {
        let space = usize::from(!is_empty);
        if !is_empty && width(&line) + space + width(word) > columns {
            lines.push(std::mem::replace(&mut line, indent.repeat(2)));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

/// The end of a path, which tells more than its beginning, in `columns` columns.
pub(crate) fn truncate_front(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut room = columns.saturating_sub(1);
    let mut kept: Vec<char> = Vec::new();
    for c in text.chars().rev() {
        let Some(left) = room.checked_sub(c.width().unwrap_or(0)) else {
            break;
        };
        room = left;
        kept.push(c);
    }
    if columns > 0 {
        kept.push(ELLIPSIS);
    }
    kept.iter().rev().collect()
}

/// A short time: how long ago within the last week, the day otherwise.
pub(crate) fn short_time(time: UtcMicros, now: UtcMicros) -> String {
    let ago = now.get().saturating_sub(time.get());
    if !(0..7 * DAY).contains(&ago) {
        return time.to_string().chars().take(10).collect();
    }
    match ago {
        ..MINUTE => "just now".to_owned(),
        MINUTE..HOUR => format!("{} min ago", ago / MINUTE),
        HOUR..DAY => format!("{} h ago", ago / HOUR),
        _ => format!("{} d ago", ago / DAY),
    }
}

/// How long something took.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds}.{} s", ms % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A count of bytes as a person says it.
pub(crate) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes / 100;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while tenths >= 10_000
        && let Some(larger) = units.next()
    {
        tenths /= 1000;
        unit = Some(larger);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, unit.unwrap_or(&"TB"))
}

/// `1 thread`, `2 threads`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    if count == 1 {
        format!("1 {one}")
    } else {
        format!("{count} {one}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_by_the_columns_it_takes() {
        assert_eq!(truncate("resolver", 8), "resolver");
        assert_eq!(truncate("resolver", 5), "reso…");
        // Each of these takes two columns, so that four fit into nine with the ellipsis.
        assert_eq!(truncate("日本語日本語", 9), "日本語日…");
        assert_eq!(width(&truncate("日本語日本語", 8)), 7);
        assert_eq!(truncate("abc", 0), "");
        assert_eq!(truncate_front("/home/user/app", 6), "…r/app");
        assert_eq!(truncate_front("/app", 6), "/app");
    }

    #[test]
    fn nothing_of_a_thread_steers_the_terminal() {
        let line = one_line(" a\n\tb\u{1b}[31m\u{202e}c\r\n");
        assert_eq!(line, "a b\u{fffd}[31m\u{fffd}c");
    }

    #[test]
    fn times_are_short() {
        let now = UtcMicros::parse("2026-03-10T12:00:00Z").unwrap();
        let at = |text: &str| short_time(UtcMicros::parse(text).unwrap(), now);
        assert_eq!(at("2026-03-10T11:59:30Z"), "just now");
        assert_eq!(at("2026-03-10T11:01:00Z"), "59 min ago");
        assert_eq!(at("2026-03-10T00:00:00Z"), "12 h ago");
        assert_eq!(at("2026-03-08T11:00:00Z"), "2 d ago");
        assert_eq!(at("2026-02-20T09:15:00Z"), "2026-02-20");
        assert_eq!(at("2026-03-11T00:00:00Z"), "2026-03-11");
        assert!(!short_time(UtcMicros::new(i64::MIN), now).is_empty());
    }

    #[test]
    fn a_duration_is_said_in_the_units_that_fit() {
        assert_eq!(duration(0), "0 ms");
        assert_eq!(duration(999), "999 ms");
        assert_eq!(duration(5_960), "5.9 s");
        assert_eq!(duration(59_999), "59.9 s");
        assert_eq!(duration(200_000), "3 min 20 s");
        assert_eq!(duration(7_500_000), "2 h 5 min");
        assert!(duration(u64::MAX).ends_with(" min"));
    }

    #[test]
    fn bytes_are_said_in_the_unit_that_fits() {
        assert_eq!(human_bytes(999), "999 B");
        assert_eq!(human_bytes(1_000), "1.0 KB");
        assert_eq!(human_bytes(2_345_678), "2.3 MB");
        assert_eq!(human_bytes(u64::MAX), "18446744.0 TB");
    }
}
