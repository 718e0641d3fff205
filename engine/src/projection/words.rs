//! What a user said, cut to what a row may hold.

use selvedge_codec::view::View;

use crate::thread::{MAX_PREVIEW_BYTES, MAX_TEXT_BYTES};

/// What stands for the words of a user who sent pictures alone.
const IMAGE_ONLY: &str = "[Image]";

/// What the user said in a record that is a user's message; `None` when that is nothing.
pub(super) fn first_words(view: &View<'_>) -> Option<String> {
    let (words, has_images) = match view {
        View::UserMessage(message) => (
            message.message.as_deref().unwrap_or_default().to_owned(),
            message.has_images(),
        ),
        View::ItemCompleted(completed) => {
            let item = completed.item.as_ref()?;
            // What is no text of a user's message is a picture.
            let has_parts = item.content.is_some_and(|parts| parts.get() != "[]");
            (item.user_text()?, has_parts)
        }
        _ => return None,
    };
    if words.trim().is_empty() {
        has_images.then(|| IMAGE_ONLY.to_owned())
    } else {
        Some(words)
    }
}

/// What a list shows of a text.
pub(super) fn preview_of(words: &str) -> String {
    bounded(words.trim(), MAX_PREVIEW_BYTES).to_owned()
}

/// Cuts a text that is longer than any but a user's words should be.
pub(crate) fn cut(text: &mut String) {
    let kept = bounded(text, MAX_TEXT_BYTES).len();
    text.truncate(kept);
}

/// As much of `text` as fits into `limit` bytes.
pub(super) fn bounded(text: &str, limit: usize) -> &str {
    // A character has at most four bytes, so that a boundary is near.
    (0..4)
        .find_map(|back| text.get(..limit.checked_sub(back)?))
        .filter(|_| text.len() > limit)
        .unwrap_or(text)
}
