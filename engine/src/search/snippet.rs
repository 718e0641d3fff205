//! A place in a text, with some of the text around it.

use std::ops::Range;

/// So many characters before the place are shown, and
const BEFORE: usize = 49;
/// so many behind it.
const AFTER: usize = 96;

/// The bytes `place` of `text` with some text around them, on one line: white space of any length
/// is one space. `... ` before it and ` ...` behind it stand for what is left out.
#[must_use]
pub fn snippet(text: &str, place: Range<usize>) -> String {
    let of = |range: Range<usize>| text.get(range).unwrap_or_default();
    let found = squeezed(of(place.clone()).chars(), usize::MAX).0;
    let (mut before, more_before) = squeezed(of(0..place.start).chars().rev(), BEFORE);
    let (after, more_after) = squeezed(of(place.end..text.len()).chars(), AFTER);
    before.reverse();
    let whole: String = before.into_iter().chain(found).chain(after).collect();
    format!(
        "{}{}{}",
        if more_before { "... " } else { "" },
        squeezed(whole.trim().chars(), usize::MAX)
            .0
            .into_iter()
            .collect::<String>(),
        if more_after { " ..." } else { "" },
    )
}

/// Up to `limit` characters with white space as single spaces, and whether more than white space
/// was left.
fn squeezed(chars: impl Iterator<Item = char>, limit: usize) -> (Vec<char>, bool) {
    let mut taken = Vec::new();
    for letter in chars {
        let is_blank = letter.is_whitespace() || letter.is_control();
        if is_blank && taken.last() == Some(&' ') {
            continue;
        }
        if taken.len() < limit {
            taken.push(if is_blank { ' ' } else { letter });
        } else if !is_blank {
            return (taken, true);
        }
    }
    (taken, false)
}
