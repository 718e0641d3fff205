//! Which threads a query wants.

use std::collections::{HashMap, HashSet};

use selvedge_codec::ThreadId;

use super::ThreadFilter;
use crate::thread::ThreadSummary;

/// A filter, made ready to be asked about many threads.
#[derive(Debug, Clone)]
pub struct Matcher<'a> {
    filter: &'a ThreadFilter,
    cwds: Vec<&'a str>,
    /// `None` when the filter names no ancestor.
    descendants: Option<HashSet<ThreadId>>,
    /// Folded; `None` when nothing is searched for.
    search: Option<String>,
}

impl<'a> Matcher<'a> {
    /// Makes a filter ready. `parents` gives the home's threads that have a parent, as pairs of
    /// thread and parent; it is asked only when the filter names an ancestor.
    pub fn new<I>(filter: &'a ThreadFilter, parents: impl FnOnce() -> I) -> Self
    where
        I: IntoIterator<Item = (ThreadId, ThreadId)>,
    {
        Self {
            filter,
            cwds: filter.cwds.iter().map(|cwd| normalize_cwd(cwd)).collect(),
            descendants: filter
                .ancestor
                .map(|ancestor| descendants(ancestor, parents())),
            search: filter
                .search
                .as_deref()
                .filter(|term| !term.is_empty())
                .map(fold_case),
        }
    }

    /// Whether the filter wants this thread.
    #[must_use]
    pub fn matches(&self, thread: &ThreadSummary) -> bool {
        let filter = self.filter;
        thread.is_archived() == filter.archived
            && (filter.include_empty || thread.has_user_message())
            && (self.cwds.is_empty() || self.cwds.contains(&normalize_cwd(&thread.cwd)))
            && is_among(&filter.providers, thread.model_provider.as_deref())
            && is_among(&filter.sources, Some(thread.source_name()))
            && filter
                .parent
                .is_none_or(|parent| thread.parent_thread_id == Some(parent))
            && self
                .descendants
                .as_ref()
                .is_none_or(|below| below.contains(&thread.thread_id))
            && self
                .search
                .as_deref()
                .is_none_or(|term| contains_text(thread, term))
    }
}

fn is_among(wanted: &[String], value: Option<&str>) -> bool {
    wanted.is_empty() || value.is_some_and(|value| wanted.iter().any(|one| one == value))
}

fn contains_text(thread: &ThreadSummary, folded_term: &str) -> bool {
    [
        thread.name.as_deref(),
        thread.title.as_deref(),
        Some(thread.preview.as_str()),
        thread.first_user_message.as_deref(),
    ]
    .into_iter()
    .flatten()
    .any(|text| fold_case(text).contains(folded_term))
}

/// All threads below `ancestor`, at any depth and whatever the order of `parents`. A circle of
/// parents, which only a damaged or forged log could make, ends where it closes.
fn descendants(
    ancestor: ThreadId,
    parents: impl IntoIterator<Item = (ThreadId, ThreadId)>,
) -> HashSet<ThreadId> {
    let mut children: HashMap<ThreadId, Vec<ThreadId>> = HashMap::new();
    for (child, parent) in parents {
        children.entry(parent).or_default().push(child);
    }
    let mut found = HashSet::new();
    let mut to_visit = vec![ancestor];
    while let Some(parent) = to_visit.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            if child != ancestor && found.insert(child) {
                to_visit.push(child);
            }
        }
    }
    found
}

/// A text as a search compares it: without case. Letter by letter, unlike
/// [`str::to_lowercase`], whose final sigma would keep a term from matching inside of a word.
pub(super) fn fold_case(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars()
        .flat_map(char::to_lowercase)
        .map(|letter| if letter == 'ς' { 'σ' } else { letter })
        .collect()
}

/// A working directory as filters compare it: without trailing `/`.
#[must_use]
pub fn normalize_cwd(cwd: &str) -> &str {
    let bare = cwd.trim_end_matches('/');
    if bare.is_empty() && !cwd.is_empty() {
        "/"
    } else {
        bare
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::testing::{id, thread};

    fn wants(filter: &ThreadFilter, thread: &ThreadSummary) -> bool {
        Matcher::new(filter, Vec::new).matches(thread)
    }

    #[test]
    fn an_empty_filter_wants_what_is_live_and_has_a_word_of_its_user() {
        let filter = ThreadFilter::default();
        let said = thread(1);
        assert!(wants(&filter, &said));
        let empty = ThreadSummary {
            first_user_message: None,
            ..thread(1)
        };
        assert!(!wants(&filter, &empty));
        let archived = ThreadSummary {
            archived_at: Some(said.updated_at),
            ..thread(1)
        };
        assert!(!wants(&filter, &archived));
        let filter = ThreadFilter {
            archived: true,
            ..ThreadFilter::default()
        };
        assert!(wants(&filter, &archived) && !wants(&filter, &said));
    }

    #[test]
    fn a_trailing_slash_does_not_tell_directories_apart() {
        let lies_in = |cwd: &str, wanted: &str| {
            let filter = ThreadFilter {
                cwds: vec!["/elsewhere".into(), wanted.into()],
                ..ThreadFilter::default()
            };
            wants(
                &filter,
                &ThreadSummary {
                    cwd: cwd.into(),
                    ..thread(1)
                },
            )
        };
        assert!(lies_in("/home/a", "/home/a/"));
        assert!(lies_in("/home/a//", "/home/a"));
        assert!(lies_in("/", "/"));
        assert!(!lies_in("/home/ab", "/home/a"));
        assert!(!lies_in("", "/"));
        assert!(lies_in("", ""));
    }

    #[test]
    fn a_search_ignores_case_in_any_script_and_looks_at_names_and_words() {
        let finds = |term: &str| {
            let filter = ThreadFilter {
                search: Some(term.into()),
                ..ThreadFilter::default()
            };
            wants(
                &filter,
                &ThreadSummary {
                    name: Some("Größe ΣΑΣ λόγος".into()),
                    title: Some("Made UP".into()),
                    preview: "ПРИВЕТ мир".into(),
                    first_user_message: Some("ПРИВЕТ мир, and Then some".into()),
                    ..thread(1)
                },
            )
        };
        for term in [
            "",
            "GRÖ",
            "größe",
            "привет",
            "МИР",
            "THEN some",
            "ΛΌΓΟΣ",
            "ας",
            "σα",
            "made up",
        ] {
            assert!(finds(term), "{term}");
        }
        assert!(!finds("absent"));
    }

    #[test]
    fn providers_and_sources_are_compared_by_name() {
        let by_agent = ThreadSummary {
            source: r#"{"subagent":{"review":1}}"#.into(),
            model_provider: None,
            ..thread(1)
        };
        let sources = |names: &[&str]| ThreadFilter {
            sources: names.iter().map(|name| (*name).to_owned()).collect(),
            ..ThreadFilter::default()
        };
        assert!(wants(&sources(&["cli", "subagent"]), &by_agent));
        assert!(!wants(&sources(&["cli", "vscode"]), &by_agent));
        assert!(wants(&sources(&["cli"]), &thread(1)));
        let filter = ThreadFilter {
            providers: vec!["openai".into()],
            ..ThreadFilter::default()
        };
        assert!(!wants(&filter, &by_agent));
        assert!(wants(&filter, &thread(1)));
    }

    #[test]
    fn descendants_are_found_at_any_depth_and_a_circle_ends() {
        let child_of = |child: u8, parent: u8| ThreadSummary {
            parent_thread_id: Some(id(parent)),
            ..thread(child)
        };
        let links = || {
            vec![
                (id(3), id(2)),
                (id(2), id(1)),
                (id(1), id(3)),
                (id(5), id(4)),
            ]
        };
        let filter = ThreadFilter {
            ancestor: Some(id(1)),
            ..ThreadFilter::default()
        };
        let matcher = Matcher::new(&filter, links);
        assert!(matcher.matches(&child_of(2, 1)));
        assert!(matcher.matches(&child_of(3, 2)));
        assert!(
            !matcher.matches(&child_of(1, 3)),
            "no thread is below itself"
        );
        assert!(!matcher.matches(&child_of(5, 4)));
        let filter = ThreadFilter {
            parent: Some(id(1)),
            ..ThreadFilter::default()
        };
        assert!(wants(&filter, &child_of(2, 1)));
        assert!(!wants(&filter, &child_of(3, 2)));
    }
}
