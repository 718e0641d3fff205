//! Whatever is done to threads, and by which store: every reader gives what a plain list of each
//! thread's records gives, and the index is what the logs say.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use selvedge_codec::view::{Change, MetadataPatch};
use selvedge_codec::{Item, Ordinal, Record, ThreadId};

use super::home::WAIT;
use crate::disk::RealDisk;
use crate::home::LogFormat;
use crate::listing::Direction::{Ascending, Descending};
use crate::listing::{ListQuery, ThreadFilter, scan_list};
use crate::log::{NewThread, ThreadLog};
use crate::paging::{ItemDetail, ItemQuery, TurnQuery, model_context, page_items, page_turns};
use crate::projection::turns_of;
use crate::sample_home::*;
use crate::search::SearchQuery;
use crate::store::{ForkSource, IndexUse, Store, StoreOptions};
use crate::thread::ForkPoint;

#[derive(Debug, Clone)]
enum Cut {
    Whole,
    Before(usize),
    AfterTurn(usize),
}

#[derive(Debug, Clone)]
enum Step {
    Start {
        number: u8,
        is_lines: bool,
    },
    Reopen,
    RemoveIndex,
    /// Something that is done to one of the threads.
    Of(usize, Of),
}

#[derive(Debug, Clone)]
enum Of {
    /// Batches of records, through the engine.
    Append(Vec<Vec<Sample>>),
    /// Lines that another tool writes.
    Write(Vec<Sample>),
    Patch(u8),
    Fork {
        cut: Cut,
        number: u8,
    },
    Archive,
    Unarchive,
    Delete,
    CatchUp,
    Look,
}

/// Few numbers, so that ids are used again once their threads are gone.
fn number() -> impl Strategy<Value = u8> {
    3..9u8
}

fn step() -> impl Strategy<Value = Step> {
    let samples = || prop::collection::vec(any_sample(), 1..5);
    let cut = prop_oneof![
        Just(Cut::Whole),
        any::<usize>().prop_map(Cut::Before),
        any::<usize>().prop_map(Cut::AfterTurn),
    ];
    let change = prop_oneof![
        6 => prop::collection::vec(samples(), 1..4).prop_map(Of::Append),
        2 => samples().prop_map(Of::Write),
        2 => any::<u8>().prop_map(Of::Patch),
        5 => (cut, number()).prop_map(|(cut, number)| Of::Fork { cut, number }),
        1 => Just(Of::Archive),
        1 => Just(Of::Unarchive),
        3 => Just(Of::Delete),
        2 => Just(Of::CatchUp),
        2 => Just(Of::Look),
    ];
    prop_oneof![
        2 => (number(), any::<bool>())
            .prop_map(|(number, is_lines)| Step::Start { number, is_lines }),
        1 => Just(Step::Reopen),
        1 => Just(Step::RemoveIndex),
        24 => (any::<usize>(), change).prop_map(|(at, change)| Step::Of(at, change)),
    ]
}

fn new_thread(number: u8) -> NewThread {
    NewThread {
        thread_id: id(number),
        created_at: moment(0),
        meta: Item::json("session_meta", meta(number, "").payload).unwrap(),
    }
}

fn item(sample: &Sample) -> Item {
    Item::json(sample.record_type, sample.payload.clone()).unwrap()
}

fn text(item: &Item) -> String {
    String::from_utf8(item.body.to_vec()).unwrap()
}

fn patch(what: u8) -> MetadataPatch {
    let mut patch = MetadataPatch::default();
    let change = match what / 16 % 3 {
        0 => Change::Clear,
        _ => Change::Set(format!("v{}", what % 3)),
    };
    let field = match what % 8 {
        0 => &mut patch.name,
        1 => &mut patch.title,
        2 => &mut patch.preview,
        3 => &mut patch.model,
        4 => &mut patch.git_sha,
        5 => &mut patch.git_branch,
        6 => &mut patch.cwd,
        _ => {
            patch.memory_mode = Change::Set("disabled".to_owned());
            &mut patch.git_origin_url
        }
    };
    *field = change;
    patch
}

fn store_of(place: &SampleHome) -> Store {
    let store = Store::open(StoreOptions::new(place.home().root())).unwrap();
    store.backfill(WAIT, &|_| ()).unwrap();
    store
}

/// A home that two stores work in by turns, and what its threads should hold.
struct World {
    place: SampleHome,
    stores: [Store; 2],
    threads: BTreeMap<u8, Vec<String>>,
}

impl World {
    fn new() -> Self {
        let place = SampleHome::new();
        let stores = [store_of(&place), store_of(&place)];
        Self {
            place,
            stores,
            threads: BTreeMap::new(),
        }
    }

    fn any(&self, at: usize) -> Option<u8> {
        let at = at.checked_rem(self.threads.len())?;
        self.threads.keys().nth(at).copied()
    }

    fn append(&mut self, (by, number): (usize, u8), batches: Vec<Vec<Item>>) {
        let store = &self.stores[by];
        let path = store.find(id(number)).unwrap().path;
        let context = store.log_context().clone();
        let (mut log, _) = ThreadLog::open(context, id(number), &path).unwrap();
        let history = self.threads.get_mut(&number).unwrap();
        history.extend(batches.iter().flatten().map(text));
        log.append(batches).unwrap();
        log.close_keeping_mark().unwrap();
    }

    fn fork(&mut self, (by, parent): (usize, u8), cut: &Cut, number: u8) {
        if self.threads.contains_key(&number) {
            return;
        }
        let store = &self.stores[by];
        let history = &self.threads[&parent];
        let (point, length) = match cut {
            Cut::Whole => (ForkPoint::Whole, history.len()),
            Cut::Before(at) => {
                let at = at % (history.len() + 1);
                (ForkPoint::Before(Ordinal::new(at as u64)), at)
            }
            Cut::AfterTurn(at) => {
                let turns = turns_of(&store.history(id(parent)).unwrap().records);
                let counting: Vec<_> = turns.iter().filter(|turn| !turn.rolled_back).collect();
                let named: Vec<_> = counting
                    .iter()
                    .filter(|turn| turn.turn_id.is_some())
                    .collect();
                let Some(at) = at.checked_rem(named.len()) else {
                    return;
                };
                let asked = named[at].turn_id.clone();
                let turn = counting
                    .iter()
                    .rev()
                    .find(|turn| turn.turn_id == asked)
                    .unwrap();
                let length = usize::try_from(turn.last_ordinal.get() + 1).unwrap();
                (ForkPoint::AfterTurn(asked.unwrap()), length)
            }
        };
        let source = ForkSource {
            thread_id: id(parent),
            upto: None,
            is_durable: false,
        };
        let new = new_thread(number);
        let mut expected = history[..length].to_vec();
        expected.push(text(&new.meta));
        let mut log = store.fork(&source, &point, new).unwrap();
        log.close_keeping_mark().unwrap();
        self.threads.insert(number, expected);
    }

    fn start(&mut self, by: usize, (number, is_lines): (u8, bool)) {
        if self.threads.contains_key(&number) {
            return;
        }
        if is_lines {
            let day = "sessions/2026/02/20";
            let name = format!("{day}/rollout-2026-02-20T09-15-00-{}.jsonl", id(number));
            self.place.write(&name, &lines(&[meta(number, "")]));
        } else {
            let context = self.stores[by].log_context().clone();
            let mut log = ThreadLog::create(context, new_thread(number));
            log.materialize().unwrap();
            log.close_keeping_mark().unwrap();
        }
        self.threads.insert(number, vec![meta(number, "").payload]);
    }

    /// Writes lines as the tool that owns the log does.
    fn write(&mut self, (by, number): (usize, u8), samples: Vec<Sample>) {
        let found = self.stores[by].find(id(number)).unwrap();
        if found.format != LogFormat::JsonLines {
            return;
        }
        let mut bytes = fs::read(self.place.home().log_file(&found.path)).unwrap();
        bytes.extend(lines(&samples));
        self.place.write(found.path.as_str(), &bytes);
        let history = self.threads.get_mut(&number).unwrap();
        history.extend(samples.into_iter().map(|sample| sample.payload));
    }

    fn take(&mut self, by: usize, step: Step) {
        match step {
            Step::Start { number, is_lines } => self.start(by, (number, is_lines)),
            Step::Reopen => {
                self.stores[by].close().unwrap();
                self.stores[by] = store_of(&self.place);
            }
            Step::RemoveIndex => {
                // It may be removed already.
                let _ = fs::remove_file(self.place.file("index.redb"));
            }
            Step::Of(at, change) => {
                if let Some(number) = self.any(at) {
                    self.change((by, number), change);
                }
            }
        }
    }

    fn change(&mut self, (by, number): (usize, u8), change: Of) {
        let (store, thread) = (&self.stores[by], id(number));
        match change {
            Of::Append(batches) => {
                let batches = batches.iter().map(|batch| batch.iter().map(item).collect());
                self.append((by, number), batches.collect());
            }
            Of::Write(samples) => self.write((by, number), samples),
            Of::Patch(what) => {
                let change = store.prepare_metadata(thread, &patch(what)).unwrap();
                self.append((by, number), vec![change.items()]);
                self.stores[by].finish_metadata(thread, &change).unwrap();
            }
            Of::Fork { cut, number: fork } => self.fork((by, number), &cut, fork),
            Of::Archive => assert!(store.archive(thread).unwrap().archived_at.is_some()),
            Of::Unarchive => assert!(store.unarchive(thread).unwrap().archived_at.is_none()),
            Of::Delete => {
                store.delete(thread).unwrap();
                self.threads.remove(&number);
            }
            Of::CatchUp => {
                let path = store.find(thread).unwrap().path;
                store.catch_up(&[(thread, path)]).unwrap();
            }
            Of::Look => self.check_thread(by, number),
        }
    }

    fn without_index(&self) -> Store {
        let options = StoreOptions {
            index: IndexUse::None,
            ..StoreOptions::new(self.place.home().root())
        };
        Store::open(options).unwrap()
    }

    fn check_thread(&self, by: usize, number: u8) {
        let store = &self.stores[by];
        let thread = id(number);
        let history = store.history(thread).unwrap();
        assert_eq!((&history.damage[..], &history.torn_tail), (&[][..], &None));
        let records = history.records;
        let told: Vec<_> = records
            .iter()
            .map(|record| record.payload_json().unwrap().get().to_owned())
            .collect();
        assert_eq!(told, self.threads[&number]);
        let without = self.without_index();
        assert_eq!(
            store.read_thread(thread).unwrap(),
            without.read_thread(thread).unwrap()
        );
        assert_eq!(store.turns(thread).unwrap(), turns_of(&records));
        assert_eq!(
            store.model_context(thread).unwrap(),
            model_context(&records)
        );
        check_pages(store, thread, &records);
    }

    fn check(&self) {
        for by in [0, 1] {
            for number in self.threads.keys() {
                self.check_thread(by, *number);
            }
            let store = &self.stores[by];
            let report = store.verify().unwrap();
            assert!(report.ok, "{report:#?}");
            assert_eq!(report.logs, self.threads.len() as u64);
            store.memory().forget_sweep();
            let mut listed = 0;
            for archived in [false, true] {
                let query = ListQuery {
                    filter: ThreadFilter {
                        archived,
                        include_empty: true,
                        ..ThreadFilter::default()
                    },
                    ..ListQuery::default()
                };
                let page = store.list(&query).unwrap();
                assert_eq!(
                    page,
                    scan_list(&RealDisk, &self.place.home(), &query).unwrap()
                );
                listed += page.threads.len();
                let query = SearchQuery {
                    term: "WORD 1".to_owned(),
                    filter: query.filter,
                    ..SearchQuery::default()
                };
                let found = store.search(&query).unwrap().hits;
                assert_eq!(found, self.without_index().search(&query).unwrap().hits);
            }
            assert_eq!(listed, self.threads.len());
        }
        let inherited: Vec<_> = match fs::read_dir(self.place.file("inherited")) {
            Ok(entries) => entries.map(|entry| entry.unwrap().file_name()).collect(),
            Err(_) => Vec::new(),
        };
        for folder in inherited {
            let owner = self
                .threads
                .keys()
                .find(|number| id(**number).to_string() == *folder.to_str().unwrap());
            assert!(owner.is_some(), "{folder:?} is nobody's");
        }
    }
}

fn check_pages(store: &Store, thread: ThreadId, records: &[Record]) {
    for direction in [Ascending, Descending] {
        for turn_id in [None, Some("a"), Some("b")] {
            let mut query = ItemQuery {
                turn_id: turn_id.map(str::to_owned),
                direction,
                limit: 4,
                cursor: None,
            };
            loop {
                let expected = match page_items(thread, records, &query) {
                    Ok(expected) => expected,
                    Err(why) => {
                        let refused = store.items_page(thread, &query).unwrap_err();
                        assert_eq!(refused.to_string(), why.to_string());
                        break;
                    }
                };
                let found = store.items_page(thread, &query).unwrap();
                assert_eq!(found.items, expected.items);
                query.cursor = found.next_cursor;
                if query.cursor.is_none() {
                    break;
                }
            }
        }
        let mut query = TurnQuery {
            direction,
            limit: 3,
            cursor: None,
            items: ItemDetail::Full,
        };
        loop {
            let expected = page_turns(thread, records, &query).unwrap();
            let found = store.turns_page(thread, &query).unwrap();
            assert_eq!(found.turns, expected.turns);
            query.cursor = found.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 300, ..ProptestConfig::default() })]
    #[test]
    fn two_stores_agree_with_a_plain_list_of_records_whatever_is_done(
        steps in prop::collection::vec((0..2usize, step()), 1..40),
    ) {
        let mut world = World::new();
        for (by, step) in steps {
            world.take(by, step);
        }
        world.check();
    }
}
