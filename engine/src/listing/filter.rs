//! Which threads a query wants.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use selvedge_codec::ThreadId;

use super::ThreadFilter;
use crate::needle::Needle;
use crate::thread::ThreadSummary;

impl ThreadFilter {
    /// What names and words must contain, if anything.
    #[must_use]
    pub fn search_term(&self) -> Option<&str> {
        self.search.as_deref().filter(|term| !term.is_empty())
    }
}

/// A filter, made ready to be asked about many threads.
#[derive(Debug, Clone)]
pub struct Matcher<'a> {
    filter: &'a ThreadFilter,
    cwds: Vec<Cow<'a, str>>,
    /// `None` when the filter names no ancestor.
    descendants: Option<HashSet<ThreadId>>,
    search: Search,
}

/// What names and words must contain.
#[derive(Debug, Clone)]
enum Search {
    Anything,
    Term(Needle),
    /// A term that is no good, which [`super::PageRequest`] refuses.
    Nothing,
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
            search: match filter.search_term().map(Needle::new) {
                None => Search::Anything,
                Some(Ok(needle)) => Search::Term(needle),
                Some(Err(_)) => Search::Nothing,
            },
        }
    }

    /// Whether the filter wants this thread.
    #[must_use]
    pub fn matches(&self, thread: &ThreadSummary) -> bool {
        let filter = self.filter;
        thread.is_archived() == filter.archived
            && (filter.include_empty || thread.has_user_message())
            && (!filter.top_level_only || is_top_level(thread))
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
            && match &self.search {
                Search::Anything => true,
                Search::Term(needle) => contains_text(thread, needle),
                Search::Nothing => false,
            }
    }
}

fn is_among(wanted: &[String], value: Option<&str>) -> bool {
    wanted.is_empty() || value.is_some_and(|value| wanted.iter().any(|one| one == value))
}

fn is_top_level(thread: &ThreadSummary) -> bool {
    thread.parent_thread_id.is_none() && thread.source_name() != "subagent"
}

fn contains_text(thread: &ThreadSummary, needle: &Needle) -> bool {
    [
        thread.name.as_deref(),
        thread.title.as_deref(),
        Some(thread.preview.as_str()),
        thread.first_user_message.as_deref(),
    ]
    .into_iter()
    .flatten()
    .any(|text| needle.is_in(text))
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

/// A working directory as filters compare it: without `.`, without `..` where a component stands
/// before it, and without needless `/`. Symbolic links are not looked at, since the directory may
/// be another machine's.
#[must_use]
pub fn normalize_cwd(cwd: &str) -> Cow<'_, str> {
    let is_rooted = cwd.starts_with('/');
    let below = cwd.strip_prefix('/').unwrap_or(cwd);
    let is_normal = |part: &str| !matches!(part, "" | "." | "..");
    if below.split('/').all(is_normal) || matches!(cwd, "" | "/" | ".") {
        return Cow::Borrowed(cwd);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in below.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            // There is nothing above the root.
            ".." if is_rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    Cow::Owned(match (is_rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    })
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
        assert!(lies_in("/home/./a/b/../c", "/home//a/c/."));
    }

    #[test]
    fn a_directory_has_one_spelling() {
        for (cwd, normal) in [
            ("", ""),
            ("/", "/"),
            ("//", "/"),
            ("/..", "/"),
            ("/../a", "/a"),
            ("/a/b/", "/a/b"),
            ("/a/./b/../../c", "/c"),
            ("/a/...", "/a/..."),
            ("a/..", "."),
            ("./", "."),
            (".", "."),
            ("../a//b", "../a/b"),
            ("a/../../b", "../b"),
            ("../..", "../.."),
            ("/ä/b c", "/ä/b c"),
        ] {
            assert_eq!(normalize_cwd(cwd), normal, "{cwd:?}");
            assert_eq!(normalize_cwd(normal), normal, "{normal:?}");
        }
    }

    #[test]
    fn a_top_level_thread_has_no_parent_and_is_no_sub_agent() {
        let filter = ThreadFilter {
            top_level_only: true,
            ..ThreadFilter::default()
        };
        assert!(wants(&filter, &thread(1)));
        let child = ThreadSummary {
            parent_thread_id: Some(id(2)),
            ..thread(1)
        };
        let review = ThreadSummary {
            source: r#"{"subagent":"review"}"#.into(),
            ..thread(1)
        };
        for other in [child, review] {
            assert!(wants(&ThreadFilter::default(), &other));
            assert!(!wants(&filter, &other));
        }
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
