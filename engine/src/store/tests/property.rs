//! The index's listing equals the scan's, whatever happened to the home in between.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;

use super::home::{TestHome, WAIT, id, line, said};
use crate::listing::{Direction, ListQuery, Page, SortKey, ThreadFilter};
use crate::store::Store;

#[derive(Debug, Clone)]
enum Step {
    Add(Box<New>),
    Say(usize, u64),
    Archive(usize),
    Delete(usize),
    Copy(usize),
    Spoil(usize),
    Name(u64, String),
    Reopen,
    RemoveIndex,
    DamageIndex(u16),
}

#[derive(Debug, Clone)]
struct New {
    number: u64,
    second: u64,
    cwd: &'static str,
    provider: &'static str,
    source: &'static str,
    parent: Option<u64>,
    day: u8,
    is_empty: bool,
}

fn new() -> impl Strategy<Value = New> {
    (
        0..12u64,
        // Few, so that many threads have equal times.
        0..4u64,
        prop::sample::select(vec!["/a", "/a/", "/a/b", "/a//x/../b/.", ""]),
        prop::sample::select(vec!["openai", "other"]),
        prop::sample::select(vec!["\"cli\"", "{\"subagent\":\"review\"}"]),
        prop::option::of(0..12u64),
        0..3u8,
        prop::bool::weighted(0.2),
    )
        .prop_map(
            |(number, second, cwd, provider, source, parent, day, is_empty)| New {
                number,
                second,
                cwd,
                provider,
                source,
                parent,
                day,
                is_empty,
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => new().prop_map(|new| Step::Add(Box::new(new))),
        4 => (any::<usize>(), 0..90u64).prop_map(|(at, second)| Step::Say(at, second)),
        2 => any::<usize>().prop_map(Step::Archive),
        1 => any::<usize>().prop_map(Step::Delete),
        1 => any::<usize>().prop_map(Step::Copy),
        1 => any::<usize>().prop_map(Step::Spoil),
        1 => (0..12u64, "[a-c]{0,2}").prop_map(|(number, name)| Step::Name(number, name)),
        1 => Just(Step::Reopen),
        1 => Just(Step::RemoveIndex),
        1 => any::<u16>().prop_map(Step::DamageIndex),
    ]
}

fn query() -> impl Strategy<Value = ListQuery> {
    let some = |values: &'static [&'static str]| {
        prop::collection::vec(prop::sample::select(values).prop_map(str::to_owned), 0..2)
    };
    let filter = (
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::collection::vec(prop::sample::select(vec!["/a", "/./a/b/", ""]), 0..3),
        some(&["openai", "other"]),
        some(&["cli", "subagent"]),
        prop::option::weighted(0.2, 0..12u64),
        prop::option::weighted(0.2, 0..12u64),
        prop::option::weighted(0.3, "[a-c1]|HELLO"),
    )
        .prop_map(
            |(
                archived,
                include_empty,
                top_level_only,
                cwds,
                providers,
                sources,
                parent,
                ancestor,
                search,
            )| {
                ThreadFilter {
                    archived,
                    include_empty,
                    top_level_only,
                    cwds: cwds.into_iter().map(str::to_owned).collect(),
                    providers,
                    sources,
                    parent: parent.map(id),
                    ancestor: ancestor.map(id),
                    search,
                }
            },
        );
    (
        filter,
        prop::sample::select(vec![SortKey::Created, SortKey::Updated, SortKey::Recency]),
        any::<bool>(),
        1..5usize,
    )
        .prop_map(|(filter, sort, descending, limit)| ListQuery {
            filter,
            sort,
            direction: match descending {
                true => Direction::Descending,
                false => Direction::Ascending,
            },
            limit,
            ..ListQuery::default()
        })
}

/// The home, with what is known of its files.
struct World {
    home: TestHome,
    store: Store,
    logs: BTreeMap<String, ()>,
    made: u64,
}

impl World {
    fn new() -> Self {
        let home = TestHome::new();
        let store = home.filled();
        Self {
            home,
            store,
            logs: BTreeMap::new(),
            made: 0,
        }
    }

    fn pick(&self, at: usize) -> Option<String> {
        let at = at.checked_rem(self.logs.len())?;
        self.logs.keys().nth(at).cloned()
    }

    fn path(&mut self, dir: &str, extension: &str) -> String {
        self.made += 1;
        format!("{dir}/log-{}{extension}", self.made)
    }

    fn add(&mut self, new: &New) {
        let meta = format!(
            "{{\"id\":\"{}\",\"timestamp\":\"2026-03-04T00:00:0{}.000Z\",\"cwd\":\"{}\",\
             \"originator\":\"test\",\"cli_version\":\"1\",\"source\":{},\
             \"model_provider\":\"{}\"{}}}",
            id(new.number),
            new.second,
            new.cwd,
            new.source,
            new.provider,
            new.parent
                .map(|parent| format!(",\"parent_thread_id\":\"{}\"", id(parent)))
                .unwrap_or_default(),
        );
        let mut text = line(new.second, "session_meta", &meta);
        if !new.is_empty {
            text += &said(new.second, &format!("hello {}", new.number));
        }
        let path = self.path(&format!("sessions/2026/03/0{}", new.day), ".jsonl");
        self.home.put(&path, text);
        self.logs.insert(path, ());
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Add(new) => self.add(new),
            Step::Say(at, second) => {
                if let Some(path) = self.pick(*at) {
                    self.home.append(&path, &said(*second, "again"));
                }
            }
            Step::Archive(at) => {
                if let Some(path) = self.pick(*at) {
                    let to = self.path("archived_sessions", ".jsonl");
                    fs::create_dir_all(self.home.file("archived_sessions")).unwrap();
                    fs::rename(self.home.file(&path), self.home.file(&to)).unwrap();
                    self.logs.remove(&path);
                    self.logs.insert(to, ());
                }
            }
            Step::Delete(at) => {
                if let Some(path) = self.pick(*at) {
                    fs::remove_file(self.home.file(&path)).unwrap();
                    self.logs.remove(&path);
                }
            }
            Step::Copy(at) => {
                if let Some(path) = self.pick(*at) {
                    let to = self.path("sessions", ".jsonl");
                    fs::copy(self.home.file(&path), self.home.file(&to)).unwrap();
                    self.logs.insert(to, ());
                }
            }
            Step::Spoil(at) => {
                if let Some(path) = self.pick(*at) {
                    self.home.put(&path, b"\xff\xfe no record\n");
                }
            }
            Step::Name(number, name) => {
                let text = format!(
                    "{{\"id\":\"{}\",\"thread_name\":\"{name}\"}}\n",
                    id(*number)
                );
                let file = self.home.file("session_index.jsonl");
                let before = fs::read_to_string(&file).unwrap_or_default();
                self.home.put("session_index.jsonl", before + &text);
            }
            Step::Reopen => {
                self.store.close().unwrap();
                self.store = self.home.filled();
            }
            Step::RemoveIndex => {
                // It may be removed already.
                let _ = fs::remove_file(self.home.file("index.redb"));
            }
            Step::DamageIndex(at) => {
                self.store.close().unwrap();
                let file = self.home.file("index.redb");
                let mut bytes = fs::read(&file).unwrap_or_default();
                let at = bytes.len() * usize::from(*at) / usize::from(u16::MAX).max(1);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 0x41;
                }
                fs::write(&file, bytes).unwrap();
                self.store = self.home.filled();
            }
        }
    }

    /// Follows the cursors forwards, and from each page one page back.
    fn pages(&self, query: &ListQuery, ask: impl Fn(&ListQuery) -> Page) -> Vec<Page> {
        let mut pages = Vec::new();
        let mut query = query.clone();
        loop {
            self.store.memory().forget_sweep();
            let page = ask(&query);
            let back = ListQuery {
                cursor: page.backwards_cursor.clone(),
                direction: match query.direction {
                    Direction::Ascending => Direction::Descending,
                    Direction::Descending => Direction::Ascending,
                },
                ..query.clone()
            };
            if back.cursor.is_some() {
                pages.push(ask(&back));
            }
            query.cursor.clone_from(&page.next_cursor);
            pages.push(page);
            if query.cursor.is_none() {
                return pages;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_index_lists_what_the_scan_lists(
        rounds in prop::collection::vec(
            (prop::collection::vec(step(), 1..7), query(), query()),
            1..5,
        ),
    ) {
        let mut world = World::new();
        for (steps, one, other) in rounds {
            for step in &steps {
                world.take(step);
            }
            for query in [one, other] {
                let by_index = world.pages(&query, |query| world.store.list(query).unwrap());
                let by_scan = world.pages(&query, |query| world.home.scan(query));
                prop_assert_eq!(by_index, by_scan, "{:?} after {:?}", query, steps);
            }
        }
        world.store.memory().forget_sweep();
        world.store.backfill(WAIT, &|_| ()).unwrap();
        let report = world.store.verify().unwrap();
        prop_assert!(report.differences.is_empty(), "{:?}", report.differences);
    }
}
