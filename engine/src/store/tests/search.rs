//! Searches answer as loading every history does, whatever the logs look like.

use std::fs;

use proptest::prelude::*;
use selvedge_codec::segment::SegmentNumber;
use selvedge_codec::{ByteOffset, Ordinal};

use super::home::{TestHome, id, line, meta, said, thread};
use crate::disk::RealDisk;
use crate::home::{LogFormat, LogPath};
use crate::listing::{Coverage, ListQuery, Matcher, SortKey, ThreadFilter, scan_home, sort_key};
use crate::log::{OpenLog, load_history, name_in};
use crate::sample_home::{
    self, Sample, SampleHome, native, native_segment, rolled_back, spelled, user,
};
use crate::search::{Needle, OccurrenceQuery, SearchHit, SearchQuery, find_in};
use crate::store::{IndexUse, Store, StoreOptions};
use crate::{Error, InvalidRequest};

fn query(term: &str) -> SearchQuery {
    SearchQuery {
        term: term.to_owned(),
        ..SearchQuery::default()
    }
}

/// The threads found, by number, with their snippets.
fn found(store: &Store, query: &SearchQuery) -> Vec<(u8, String)> {
    let page = store.search(query).unwrap();
    assert_eq!(page.next_cursor, None);
    let hits = page.hits.into_iter();
    hits.map(|hit| (hit.thread.thread_id.as_bytes()[15], hit.snippet))
        .collect()
}

fn numbers(store: &Store, query: &SearchQuery) -> Vec<u8> {
    found(store, query).into_iter().map(|(at, _)| at).collect()
}

#[test]
fn threads_are_found_newest_first_in_every_format() {
    let home = TestHome::new();
    let words = |number, second, text: &str| meta(number, "/w", second) + &said(second + 1, text);
    home.put("sessions/a.jsonl", words(1, 100, "a Needle in the hay"));
    let packed = words(2, 200, "two\\u004eeedles\\nin it");
    let packed = zstd::encode_all(packed.as_bytes(), 0).unwrap();
    home.put("sessions/b.jsonl.zst", packed);
    home.put("sessions/c.jsonl", words(3, 300, "hay"));
    home.put("archived_sessions/d.jsonl", words(4, 400, "needle"));
    let store = home.filled();
    let expected = [
        (2, "twoNeedles in it".to_owned()),
        (1, "a Needle in the hay".to_owned()),
    ];
    assert_eq!(found(&store, &query("needle")), expected);
    let mut archived = query("NEEDLE");
    archived.filter.archived = true;
    assert_eq!(numbers(&store, &archived), [4]);
    assert_eq!(numbers(&store, &query("absent")), [0; 0]);
    // What is on disk counts, not what the index has seen of it.
    home.append("sessions/c.jsonl", &said(900, "one more needle"));
    assert_eq!(numbers(&store, &query("needle")), [3, 2, 1]);
    let by_update = SearchQuery {
        sort: SortKey::Updated,
        ..query("hay")
    };
    store.memory().forget_sweep();
    assert_eq!(numbers(&store, &by_update), [3, 1]);
    let occurrences = OccurrenceQuery {
        term: "NEEDLE".into(),
        ..OccurrenceQuery::default()
    };
    let page = store.occurrences(id(2), &occurrences).unwrap();
    assert_eq!(page.occurrences[0].utf16_range, 3..9);
    let nobody = store.occurrences(id(9), &occurrences);
    assert!(matches!(nobody, Err(Error::ThreadNotFound { .. })));
}

#[test]
fn a_cursor_belongs_to_its_term_filter_and_order() {
    let home = TestHome::new();
    for number in 1..4 {
        let name = format!("sessions/{number}.jsonl");
        home.put(&name, thread(number, number * 100));
    }
    let store = home.filled();
    let first = SearchQuery {
        limit: 1,
        ..query("hello")
    };
    let page = store.search(&first).unwrap();
    assert_eq!(page.hits[0].thread.thread_id, id(3));
    let with = |change: fn(&mut SearchQuery)| {
        let mut next = SearchQuery {
            cursor: page.next_cursor.clone(),
            ..first.clone()
        };
        change(&mut next);
        match store.search(&next) {
            Ok(page) => Ok(page.hits[0].thread.thread_id),
            Err(Error::InvalidRequest(why)) => Err(why),
            Err(why) => panic!("{why}"),
        }
    };
    assert_eq!(with(|_| ()), Ok(id(2)));
    assert_eq!(with(|query| query.term = "HELLO".into()), Ok(id(2)));
    let another = Err(InvalidRequest::CursorOfAnotherQuery);
    assert_eq!(with(|query| query.term = "hell".into()), another);
    assert_eq!(with(|query| query.sort = SortKey::Updated), another);
    assert_eq!(with(|query| query.filter.include_empty = true), another);
    let list = ListQuery {
        limit: 1,
        ..ListQuery::default()
    };
    let of_list = store.list(&list).unwrap().next_cursor;
    let mixed = SearchQuery {
        cursor: of_list,
        ..first.clone()
    };
    assert!(store.search(&mixed).is_err());
    let garbage = |query: &mut SearchQuery| query.cursor = Some("garbage".into());
    assert_eq!(with(garbage), Err(InvalidRequest::BadCursor));
    assert!(matches!(
        with(|query| query.limit = 1 << 20),
        Err(InvalidRequest::PageSize { .. })
    ));
    for term in [String::new(), "a".repeat(5000)] {
        assert!(matches!(
            store.search(&query(&term)),
            Err(Error::InvalidRequest(InvalidRequest::SearchTerm { .. }))
        ));
    }
}

#[test]
fn a_log_that_can_not_be_read_is_counted_and_hides_no_other() {
    let home = TestHome::new();
    home.put("sessions/a.jsonl", thread(1, 100));
    home.put("sessions/b.jsonl", thread(2, 200));
    let store = home.filled();
    home.put("sessions/b.jsonl", b"\xff no record\n");
    let page = store.search(&query("hello")).unwrap();
    assert_eq!(page.hits.len(), 1);
    assert_eq!(page.coverage, Coverage::Complete { failed: 1 });
}

/// Rows that a listing's term is held against were those of the last sweep, which an order by
/// start never makes: a thread that another tool had named or begun since was not found.
#[test]
fn rows_are_repaired_before_a_listing_s_term_is_held_against_them() {
    let home = TestHome::new();
    home.put("sessions/a.jsonl", thread(1, 100));
    home.put("sessions/b.jsonl", meta(2, "/w", 200));
    // A folder that was changed just now would be listed again, with all of its logs.
    home.age("sessions");
    let store = home.filled();
    let list = |term: &str| {
        let mut query = ListQuery::default();
        query.filter.include_empty = true;
        query.filter.search = Some(term.into());
        super::home::ids(&store.list(&query).unwrap())
    };
    assert_eq!(list("hello"), [id(1)]);
    // Twice, since a sweep is not made twice within a second for other listings.
    for word in ["first", "second"] {
        let named = format!("{{\"type\":\"thread_name_updated\",\"thread_name\":\"{word}\"}}");
        home.append("sessions/a.jsonl", &line(300, "event_msg", &named));
        assert_eq!(list(word), [id(1)]);
    }
    home.append("sessions/b.jsonl", &said(400, "begun"));
    assert_eq!(list("BEGUN"), [id(2)]);
    assert_eq!(list("first"), []);
}

#[test]
fn the_latest_thread_of_a_directory_is_the_one_to_resume() {
    let home = TestHome::new();
    home.put("sessions/a.jsonl", thread(1, 100));
    home.put("sessions/b.jsonl", thread(2, 200));
    home.append("sessions/a.jsonl", &said(900, "again"));
    let elsewhere = meta(3, "/else/../where/", 300) + &said(301, "hello");
    home.put("sessions/c.jsonl", elsewhere);
    // None of these is one to resume: empty, archived, and started by another thread.
    home.put("sessions/d.jsonl", meta(4, "/work", 1000));
    home.put("archived_sessions/e.jsonl", thread(5, 1100));
    let child =
        thread(6, 1200).replace("\"source\":\"cli\"", "\"source\":{\"subagent\":\"review\"}");
    home.put("sessions/f.jsonl", child);
    let without = StoreOptions {
        index: IndexUse::None,
        ..home.options()
    };
    for store in [home.filled(), Store::open(without).unwrap()] {
        let latest = |cwds: &[&str]| {
            let cwds: Vec<_> = cwds.iter().map(|cwd| (*cwd).to_owned()).collect();
            store.latest(&cwds).unwrap().map(|thread| thread.thread_id)
        };
        assert_eq!(latest(&[]), Some(id(1)));
        assert_eq!(latest(&["/work/"]), Some(id(1)));
        assert_eq!(latest(&["/where"]), Some(id(3)));
        assert_eq!(latest(&["/where/.", "/nowhere"]), Some(id(3)));
        assert_eq!(latest(&["/nowhere"]), None);
    }
}

/// A thread of a random home.
#[derive(Debug, Clone)]
struct New {
    format: LogFormat,
    is_archived: bool,
    samples: Vec<Sample>,
    /// A native log inherits the first half of them.
    is_fork: bool,
    /// Bytes of the log that are written over.
    damage: Option<(u16, u8)>,
}

/// Texts out of few characters, so that terms are often in them: folded, escaped, of two parts.
const TEXT: &str = "[kK\u{212a}sſ\"/\\\\\n日é\u{1f9f5} ]{0,6}";

fn saying() -> impl Strategy<Value = Sample> {
    let json = || {
        let choices = prop::collection::vec(any::<u8>(), 1..4);
        (TEXT, choices).prop_map(|(text, choices)| spelled(&text, &choices))
    };
    let part = |text: String| format!("{{\"type\":\"text\",\"text\":{text}}}");
    prop_oneof![
        4 => json().prop_map(|text| sample_home::event("user_message", &format!("\"message\":{text}"))),
        2 => json().prop_map(|text| sample_home::event("agent_message", &format!("\"message\":{text}"))),
        2 => (json(), json()).prop_map(move |(a, b)| sample_home::event("item_completed", &format!(
            "\"item\":{{\"type\":\"AgentMessage\",\"content\":[{},{}]}}", part(a), part(b)
        ))),
        2 => json().prop_map(move |text| sample_home::record("response_item", format!(
            "{{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{}]}}", part(text)
        ))),
        1 => json().prop_map(|text| sample_home::record("response_item", format!(
            "{{\"type\":\"function_call_output\",\"output\":{text}}}"
        ))),
        1 => (0u32..3).prop_map(rolled_back),
    ]
}

fn new() -> impl Strategy<Value = New> {
    let format = prop::sample::select(vec![
        LogFormat::Native,
        LogFormat::JsonLines,
        LogFormat::CompressedJsonLines,
    ]);
    let samples = prop::collection::vec(saying(), 0..6);
    let damage = prop::option::weighted(0.2, any::<(u16, u8)>());
    let bools = (prop::bool::weighted(0.2), prop::bool::weighted(0.4));
    (format, bools, samples, damage).prop_map(
        |(format, (is_archived, is_fork), samples, damage)| New {
            format,
            is_archived,
            samples,
            is_fork,
            damage,
        },
    )
}

/// Puts a segment of another thread where a fork inherits it. Gives the ordinal after it.
fn inherit(place: &SampleHome, fork: u8, samples: &[Sample]) -> u64 {
    let batch = [&[sample_home::meta(99, "")], samples].concat();
    let next = u64::try_from(batch.len()).unwrap();
    let bytes = native(99, &[batch]);
    let parent = place.write("parent.rlog", &bytes);
    let end = ByteOffset::new(u64::try_from(bytes.len()).unwrap());
    let what = (SegmentNumber::new(0), Ordinal::new(next), end);
    let file = place.home().log_file(&parent);
    let log = OpenLog::open(&RealDisk, &file, LogFormat::Native).unwrap();
    let name = name_in(&log, what).unwrap();
    place.write(
        &format!("inherited/{}/{name}", sample_home::id(fork)),
        &bytes,
    );
    next
}

impl New {
    fn put(&self, place: &SampleHome, number: u8) {
        let mut samples = vec![sample_home::meta(number, "")];
        samples.extend(self.samples.iter().cloned());
        let mut bytes = match self.format {
            LogFormat::Native if self.is_fork => {
                let (inherited, own) = self.samples.split_at(self.samples.len() / 2);
                let next = inherit(place, number, inherited);
                let own = [&[sample_home::meta(number, "")], own].concat();
                native_segment(number, (1, next), &[own])
            }
            LogFormat::Native => native(number, &[samples]),
            _ => sample_home::lines(&samples),
        };
        if let Some((at, byte)) = self.damage {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        if self.format == LogFormat::CompressedJsonLines {
            bytes = zstd::encode_all(&bytes[..], 0).unwrap();
        }
        let root = match self.is_archived {
            true => "archived_sessions",
            false => "sessions",
        };
        let name = format!(
            "{root}/{}{}",
            sample_home::id(number),
            self.format.extension()
        );
        place.write(&name, &bytes);
    }
}

#[test]
fn what_a_fork_inherits_is_searched_too() {
    let place = SampleHome::new();
    let next = inherit(&place, 1, &[user("said before the fork")]);
    let own = vec![sample_home::meta(1, ""), user("said after")];
    let own = native_segment(1, (1, next), &[own]);
    place.write(&format!("sessions/{}.rlog", sample_home::id(1)), &own);
    let store = Store::open(StoreOptions::new(place.home().root())).unwrap();
    store.backfill(super::home::WAIT, &|_| ()).unwrap();
    for (term, expected) in [("BEFORE", 1), ("after", 1), ("said", 1), ("elsewhere", 0)] {
        assert_eq!(store.search(&query(term)).unwrap().hits.len(), expected);
    }
    // Without it, the fork's own words are found as before.
    fs::remove_dir_all(place.file("inherited")).unwrap();
    assert_eq!(store.search(&query("before")).unwrap().hits.len(), 0);
    assert_eq!(store.search(&query("after")).unwrap().hits.len(), 1);
}

/// The answer that loading every history gives, whole.
fn plain_search(place: &SampleHome, query: &SearchQuery) -> Vec<SearchHit> {
    let home = place.home();
    let needle = Needle::new(&query.term).unwrap();
    let matcher = Matcher::new(&query.filter, Vec::new);
    let mut hits: Vec<_> = scan_home(&RealDisk, &home)
        .unwrap()
        .threads
        .into_iter()
        .map(|projection| projection.thread.summary)
        .filter(|thread| matcher.matches(thread))
        .filter_map(|thread| {
            let path = LogPath::new(thread.rollout_path.clone()).unwrap();
            let format = LogFormat::of_file_name(path.file_name()).unwrap();
            let history = load_history(&RealDisk, &home.log_file(&path), format).unwrap();
            let snippet = find_in(&history.records, &needle)?;
            Some(SearchHit { thread, snippet })
        })
        .collect();
    hits.sort_by_key(|hit| std::cmp::Reverse(sort_key(&hit.thread, query.sort)));
    hits
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn a_search_finds_what_loading_every_history_finds(
        threads in prop::collection::vec(new(), 0..7),
        terms in prop::collection::vec("[kſ\"/\\\\\n日\u{1f9f5} ]{1,2}", 1..4),
        sort in prop::sample::select(vec![SortKey::Created, SortKey::Updated, SortKey::Recency]),
        (archived, include_empty) in any::<(bool, bool)>(),
        limit in 1usize..4,
    ) {
        let place = SampleHome::new();
        for (number, new) in (1..).zip(&threads) {
            new.put(&place, number);
        }
        let root = place.home().root().to_path_buf();
        let store = Store::open(StoreOptions::new(&root)).unwrap();
        store.backfill(super::home::WAIT, &|_| ()).unwrap();
        let without = StoreOptions { index: IndexUse::None, ..StoreOptions::new(&root) };
        let without = Store::open(without).unwrap();
        for term in terms {
            let filter = ThreadFilter { archived, include_empty, ..ThreadFilter::default() };
            let query = SearchQuery { term, filter, sort, limit, cursor: None };
            let expected = plain_search(&place, &query);
            for store in [&store, &without] {
                let mut next = query.clone();
                let mut hits = Vec::new();
                loop {
                    let page = store.search(&next).unwrap();
                    prop_assert!(page.hits.len() <= limit);
                    prop_assert!(page.hits.len() == limit || page.next_cursor.is_none());
                    hits.extend(page.hits);
                    next.cursor = page.next_cursor;
                    if next.cursor.is_none() {
                        break;
                    }
                }
                prop_assert_eq!(&hits, &expected, "{:?}", query);
            }
        }
        store.close().unwrap();
        fs::remove_dir_all(root).unwrap();
    }
}
