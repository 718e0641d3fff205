//! A term as the bytes of a log may spell it, so that most logs need not be parsed to know that
//! it is not in them.
//!
//! What must hold: a log in whose text the term is found is never missed. JSON strings may spell
//! each character as it is, by its number, or some of them with an escape of two characters; a
//! text lies in one string, and a string in one line or frame.

use std::fmt::Write as _;

use regex::bytes;

use super::{MAX_COMPILED_BYTES, same_letters};

/// So many characters of a term tell logs apart well enough without parsing them.
const RAW_CHARS: usize = 32;

/// A term as the bytes of a log may spell it: JSON strings escape some characters always, and may
/// escape any.
#[derive(Debug)]
pub(crate) struct RawNeedle {
    /// Without escapes by number: what most logs have, and what is found fastest.
    plain: Option<bytes::Regex>,
    /// With them.
    escaped: Option<bytes::Regex>,
}

impl RawNeedle {
    pub(crate) fn of(term: &str) -> Self {
        let (mut plain, mut escaped) = (String::new(), String::new());
        for letter in term.chars().take(RAW_CHARS) {
            let short = short_spellings(letter);
            let _ = write!(plain, "(?:{short})");
            let _ = write!(escaped, "(?:{short}|{})", numbered_spellings(letter));
        }
        let build = |pattern: &str| {
            bytes::RegexBuilder::new(pattern)
                .size_limit(MAX_COMPILED_BYTES)
                .build()
                .ok()
        };
        Self {
            plain: build(&plain),
            escaped: build(&escaped),
        }
    }

    /// Whether the term may be in a text of the log whose bytes, or some of whose lines or frames,
    /// these are.
    pub(crate) fn may_be_in(&self, bytes: &[u8]) -> bool {
        // A pattern that could not be built rules nothing out.
        let may = |pattern: &Option<bytes::Regex>| match pattern {
            Some(pattern) => pattern.is_match(bytes),
            None => true,
        };
        may(&self.plain) || memchr::memmem::find(bytes, b"\\u").is_some() && may(&self.escaped)
    }
}

/// A character in any case, as it is or with its escape of two characters, as a pattern.
fn short_spellings(letter: char) -> String {
    let escape = match letter {
        '"' => '"',
        '\\' => '\\',
        '\u{8}' => 'b',
        '\u{c}' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        // It may be escaped, and mostly is not.
        '/' => return r"\\?/".to_owned(),
        // The others of these are escaped by number alone; none of them is never met.
        control if control < ' ' => return "[a&&b]".to_owned(),
        letter => return format!("(?i:{})", regex::escape(letter.encode_utf8(&mut [0; 4]))),
    };
    format!(r"\\{}", regex::escape(escape.encode_utf8(&mut [0; 4])))
}

/// A character in any case, escaped by number, as a pattern.
fn numbered_spellings(letter: char) -> String {
    let mut pattern = String::new();
    for same in same_letters(letter) {
        if !pattern.is_empty() {
            pattern.push('|');
        }
        for unit in same.encode_utf16(&mut [0; 2]) {
            let _ = write!(pattern, r"\\u(?i:{unit:04x})");
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::needle::Needle;
    use crate::sample_home::spelled;
    use proptest::prelude::*;

    fn raw(term: &str) -> RawNeedle {
        let raw = Needle::new(term).unwrap().raw();
        assert!(raw.plain.is_some() && raw.escaped.is_some(), "{term}");
        raw
    }

    #[test]
    fn every_escape_is_known() {
        for (term, spelling) in [
            ("term", r#"{"a":"TERM"}"#),
            ("term", r#""\u0054e\u0072M""#),
            ("kiss", "\u{212a}i\u{17f}S"),
            ("k", r"\u212A"),
            ("\"q\"", r#"\"q\""#),
            ("\"q\"", r"\u0022Q\u0022"),
            ("a\\b", r"a\\b"),
            ("a/b", r"a/b"),
            ("a/b", r"a\/b"),
            ("a\n\tb", r"a\n\tb"),
            ("\u{8}\u{c}\r", r"\b\f\r"),
            ("a\0b", r"a\u0000b"),
            ("\u{1f9f5}", "\u{1f9f5}"),
            ("\u{1f9f5}", r"\uD83e\udDf5"),
            ("日本", r"\u65e5本"),
            ("\u{7f}", "\u{7f}"),
        ] {
            assert!(
                raw(term).may_be_in(spelling.as_bytes()),
                "{term} {spelling}"
            );
        }
        for (term, spelling) in [
            ("term", "t erm"),
            ("a\nb", "a\nb"),
            ("a\0", "a\0"),
            ("日本", r"\u65e5\u672d"),
        ] {
            assert!(
                !raw(term).may_be_in(spelling.as_bytes()),
                "{term} {spelling}"
            );
        }
    }

    #[test]
    fn the_longest_terms_are_ruled_out_by_their_beginning() {
        for letter in ["k", "θ", "\u{1f9f5}", "\0"] {
            let term = letter.repeat(crate::needle::MAX_TERM_BYTES / letter.len());
            let raw = raw(&term);
            let json = serde_json::to_string(&term).unwrap();
            assert!(raw.may_be_in(json.as_bytes()));
            assert!(!raw.may_be_in(b"something else, and \\u0041"));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn no_spelling_of_a_text_that_holds_the_term_is_missed(
            term in r#"([aAkKsS\u{212a}ſßΣς"\\/\n\t\x00\x1f日é\u{1f9f5}]|\PC){1,4}"#,
            before in r#"[a"\\/\nu0-9k]{0,4}"#,
            after in r#"[a"\\/\nu0-9k]{0,4}"#,
            is_upper: bool,
            choices in prop::collection::vec(any::<u8>(), 1..8),
        ) {
            let said = if is_upper { term.to_uppercase() } else { term.clone() };
            let text = format!("{before}{said}{after}");
            let json = spelled(&text, &choices);
            let read: String = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&read, &text);
            let needle = Needle::new(&term).unwrap();
            prop_assert!(!needle.is_in(&text) || needle.raw().may_be_in(json.as_bytes()), "{}", json);
        }
    }
}
