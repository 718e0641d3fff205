//! What a search looks for: a text, literally, whatever the case.
//!
//! Two letters are the same when Unicode's simple case folding says so, one letter for one letter:
//! `K` finds the Kelvin sign, and `s` the long one, but `ss` finds no `ß`. Nothing else is folded:
//! a letter and its accent as two characters are not the letter with an accent.

mod raw;

use std::ops::Range;

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use crate::{InvalidRequest, Result};

pub(crate) use raw::RawNeedle;

/// The longest term that can be searched for, in bytes.
pub const MAX_TERM_BYTES: usize = 4 << 10;

/// What a compiled term may take: a letter with many others in its class takes the most.
const MAX_COMPILED_BYTES: usize = 64 << 20;

/// A text that is searched for.
#[derive(Debug, Clone)]
pub struct Needle {
    term: String,
    exact: Regex,
}

impl Needle {
    /// Makes a term ready.
    ///
    /// # Errors
    /// [`InvalidRequest::SearchTerm`] when it is empty or longer than [`MAX_TERM_BYTES`].
    pub fn new(term: &str) -> Result<Self> {
        Self::check(term)?;
        let exact = RegexBuilder::new(&regex::escape(term))
            .case_insensitive(true)
            .size_limit(MAX_COMPILED_BYTES)
            .build()
            // Within the length, every term compiles.
            .map_err(|_| refused(term))?;
        Ok(Self {
            term: term.to_owned(),
            exact,
        })
    }

    /// Whether a term is one.
    pub(crate) fn check(term: &str) -> Result<()> {
        match term.len() {
            1..=MAX_TERM_BYTES => Ok(()),
            _ => Err(refused(term).into()),
        }
    }

    /// The first place in `text`, in bytes.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Range<usize>> {
        self.exact.find(text).map(|found| found.range())
    }

    /// All places in `text`, in bytes, from the left; none of them overlap.
    pub fn find_all<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
        self.exact.find_iter(text).map(|found| found.range())
    }

    /// The term, as it was given.
    #[must_use]
    pub fn term(&self) -> &str {
        &self.term
    }

    /// The term as the bytes of a log may spell it.
    pub(crate) fn raw(&self) -> RawNeedle {
        RawNeedle::of(&self.term)
    }

    /// Whether `text` contains it.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.exact.is_match(text)
    }
}

fn refused(term: &str) -> InvalidRequest {
    InvalidRequest::SearchTerm {
        asked: term.len(),
        limit: MAX_TERM_BYTES,
    }
}

/// One spelling of all terms that find the same.
pub(crate) fn fold(term: &str) -> String {
    let first = |letter| same_letters(letter).into_iter().min().unwrap_or(letter);
    term.chars().map(first).collect()
}

/// All letters that are the same as this one but for their case, itself included.
fn same_letters(letter: char) -> Vec<char> {
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(letter, letter)]);
    // Only a build without the tables fails, and then the exact match has none either.
    let _ = class.try_case_fold_simple();
    class
        .iter()
        .flat_map(|range| range.start()..=range.end())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use proptest::prelude::*;

    fn finds(term: &str, text: &str) -> Vec<String> {
        let needle = Needle::new(term).unwrap();
        let places = needle.find_all(text);
        places.map(|at| text[at].to_owned()).collect()
    }

    #[test]
    fn a_term_is_found_literally_whatever_its_case() {
        assert_eq!(finds("ab", "xABaby"), ["AB", "ab"]);
        assert_eq!(finds("a.c(", "abc A.C("), ["A.C("]);
        assert_eq!(finds("aa", "aAaAa"), ["aA", "aA"]);
        assert_eq!(finds("ПРИВЕТ", "привет"), ["привет"]);
        assert_eq!(finds("日本", "日本語"), ["日本"]);
        assert_eq!(finds("  ", "a  b c"), ["  "]);
        assert_eq!(finds("\\n", "\n \\N"), ["\\N"]);
        assert!(finds("missing", "mis sing").is_empty());
    }

    #[test]
    fn letters_with_several_spellings_are_one_letter() {
        // The Kelvin sign and the long s, and sigma's three forms.
        assert_eq!(finds("kiss", "\u{212a}I\u{17f}S"), ["\u{212a}I\u{17f}S"]);
        assert_eq!(finds("\u{212a}", "k"), ["k"]);
        assert_eq!(finds("ΛΌΓΟΣ", "λόγος λόγοσ"), ["λόγος", "λόγοσ"]);
        // One letter for one letter: these take two.
        assert!(finds("ss", "ß").is_empty());
        assert_eq!(finds("ẞ", "ß"), ["ß"]);
        assert!(finds("é", "e\u{301}").is_empty());
    }

    #[test]
    fn a_term_has_one_byte_at_least_and_no_more_than_allowed() {
        // The longest terms of letters with the most spellings compile.
        for letter in ["k", "s", "θ", "\u{1e9e}", "ά", "\u{1f9f5}", "\0"] {
            let term = letter.repeat(MAX_TERM_BYTES / letter.len());
            assert_eq!(finds(&term, &term).len(), 1, "{letter}");
        }
        for term in [String::new(), "a".repeat(MAX_TERM_BYTES + 1)] {
            let refused = Needle::new(&term).map(drop);
            assert!(
                matches!(
                    refused,
                    Err(Error::InvalidRequest(InvalidRequest::SearchTerm { asked, limit }))
                        if asked == term.len() && limit == MAX_TERM_BYTES
                ),
                "{refused:?}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn a_search_is_the_folded_text_s(
            term in "[kKsSſ\u{212a}σςΣßẞaAİıi.*é]{1,3}",
            text in "[kKsSſ\u{212a}σςΣßẞaAİıi.*é]{0,12}",
        ) {
            let needle = Needle::new(&term).unwrap();
            prop_assert_eq!(needle.is_in(&text), fold(&text).contains(&fold(&term)));
            prop_assert_eq!(needle.is_in(&text), Needle::new(&fold(&term)).unwrap().is_in(&text));
            prop_assert_eq!(needle.find(&text), needle.find_all(&text).next());
        }
    }
}
