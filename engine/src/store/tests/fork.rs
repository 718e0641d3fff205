//! Forking threads, and what becomes of forks when the threads are gone that they were forked from.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use proptest::prelude::*;
use selvedge_codec::{Item, Ordinal, ThreadId, UtcMicros};

use super::home::{TestHome, WAIT, id, line, meta, said, thread};
use crate::disk::RealDisk;
use crate::home::Home;
use crate::listing::{ListQuery, ThreadFilter};
use crate::log::{NewThread, ThreadLog, remove_inherited};
use crate::store::{ForkSource, ImportOutcome, IndexUse, Store, StoreOptions, import_sources};
use crate::thread::ForkPoint;
use crate::{Error, InvalidRequest};

fn item(kind: &str, payload: &serde_json::Value) -> Item {
    Item::json(kind, payload.to_string()).unwrap()
}

fn new(number: u64) -> NewThread {
    let payload = serde_json::json!({"id": id(number).to_string(), "cwd": format!("/{number}")});
    NewThread {
        thread_id: id(number),
        created_at: UtcMicros::parse("2026-03-04T00:00:00Z").unwrap(),
        meta: item("session_meta", &payload),
    }
}

/// A turn in two batches.
fn turn(turn: &str, text: &str) -> Vec<Vec<Item>> {
    let event = |kind: &str| {
        item(
            "event_msg",
            &serde_json::json!({"type": kind, "turn_id": turn, "message": text}),
        )
    };
    let tokens = serde_json::json!({"total_tokens": text.len()});
    vec![
        vec![event("task_started"), event("user_message")],
        vec![
            item(
                "turn_context",
                &serde_json::json!({"turn_id": turn, "model": text}),
            ),
            item(
                "event_msg",
                &serde_json::json!({
                    "type": "token_count", "info": {"total_token_usage": tokens},
                }),
            ),
            event("task_complete"),
        ],
    ]
}

fn roll_back(turns: u32) -> Vec<Vec<Item>> {
    let payload = serde_json::json!({"type": "thread_rolled_back", "num_turns": turns});
    vec![vec![item("event_msg", &payload)]]
}

fn start(store: &Store, number: u64) -> ThreadLog {
    ThreadLog::create(store.log_context().clone(), new(number))
}

fn source(number: u64) -> ForkSource {
    ForkSource {
        thread_id: id(number),
        upto: None,
        is_durable: false,
    }
}

fn caught_up(store: &Store, log: &ThreadLog) {
    store
        .catch_up(&[(log.thread_id(), log.path().clone())])
        .unwrap();
}

/// The payloads of a thread's history, whose ordinals must be gapless and its log intact.
fn payloads(store: &Store, number: u64) -> Vec<String> {
    let history = store.history(id(number)).unwrap();
    assert_eq!((&history.damage[..], &history.torn_tail), (&[][..], &None));
    let records = history.records.iter().enumerate();
    records
        .map(|(at, record)| {
            assert_eq!(record.ordinal, Ordinal::new(at as u64));
            record.payload_json().unwrap().get().to_owned()
        })
        .collect()
}

fn meta_of(number: u64) -> String {
    String::from_utf8(new(number).meta.body.to_vec()).unwrap()
}

/// Every row of the index is what the logs say.
fn check_index(home: &TestHome, store: &Store) {
    let report = store.verify().unwrap();
    assert!(report.ok, "{report:#?}");
    for archived in [false, true] {
        let query = ListQuery {
            filter: ThreadFilter {
                archived,
                include_empty: true,
                ..ThreadFilter::default()
            },
            ..ListQuery::default()
        };
        assert_eq!(store.list(&query).unwrap(), home.scan(&query));
    }
}

#[test]
fn a_fork_shares_the_history_up_to_its_point_and_goes_on_by_itself() {
    let home = TestHome::new();
    let store = home.filled();
    let mut parent = start(&store, 1);
    parent.append(turn("a", "first")).unwrap();
    parent.append(turn("b", "second")).unwrap();
    caught_up(&store, &parent);
    let all = payloads(&store, 1);
    let before = |ordinal| ForkPoint::Before(Ordinal::new(ordinal));
    let points = [
        (ForkPoint::Whole, 11),
        (ForkPoint::AfterTurn("a".to_owned()), 6),
        (ForkPoint::AfterTurn("b".to_owned()), 11),
        // In the middle of a batch; nothing; all there is.
        (before(5), 5),
        (before(0), 0),
        (before(11), 11),
    ];
    for (number, (point, inherited)) in (2..).zip(points) {
        let mut fork = store.fork(&source(1), &point, new(number)).unwrap();
        let own = turn("own", "own words");
        assert_eq!(
            fork.next_ordinal(),
            Ordinal::new(inherited + 1),
            "{point:?}"
        );
        let appended = fork.append(own.clone()).unwrap();
        assert_eq!(appended[0].first_ordinal, Ordinal::new(inherited + 1));
        caught_up(&store, &fork);
        fork.close().unwrap();
        let mut expected = all[..usize::try_from(inherited).unwrap()].to_vec();
        expected.push(meta_of(number));
        let own = own.into_iter().flatten();
        expected.extend(own.map(|item| String::from_utf8(item.body.to_vec()).unwrap()));
        assert_eq!(payloads(&store, number), expected, "{point:?}");
    }
    let turns = store.turns(id(3)).unwrap();
    let names: Vec<_> = turns
        .iter()
        .map(|turn| turn.turn_id.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["a", "own"]);
    let summary = store.read_thread(id(3)).unwrap();
    assert_eq!(summary.first_user_message.as_deref(), Some("first"));
    assert_eq!((summary.cwd.as_str(), summary.item_count), ("/3", 12));
    assert_eq!(summary.model.as_deref(), Some("own words"));
    parent.append(turn("c", "the parent goes on")).unwrap();
    caught_up(&store, &parent);
    parent.close().unwrap();
    check_index(&home, &store);
}

#[test]
fn a_fork_links_what_it_inherits_and_outlives_it() {
    let home = TestHome::new();
    let store = home.filled();
    let mut parent = start(&store, 1);
    parent.append(turn("a", "first")).unwrap();
    parent.sync().unwrap();
    let file = store.log_context().home.log_file(parent.path());
    let durable = ForkSource {
        is_durable: true,
        ..source(1)
    };
    let mut fork = store.fork(&durable, &ForkPoint::Whole, new(2)).unwrap();
    let folder = home.file(&Home::inherited_dir(id(2)));
    let links: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(links.len(), 1);
    let inode = |path: &std::path::Path| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&links[0]), inode(&file));
    let whole = payloads(&store, 2);
    parent.append(turn("b", "not the fork's")).unwrap();
    parent.close().unwrap();
    fs::remove_file(file).unwrap();
    assert_eq!(payloads(&store, 2), whole);
    fork.append(turn("c", "still here")).unwrap();
    fork.close().unwrap();
    // A fork of the fork needs neither of them.
    let mut grandchild = store.fork(&source(2), &ForkPoint::Whole, new(3)).unwrap();
    let expected = [payloads(&store, 2), vec![meta_of(3)]].concat();
    fs::remove_file(home.file(fork.path().as_str())).unwrap();
    remove_inherited(store.log_context(), id(2)).unwrap();
    assert_eq!(payloads(&store, 3), expected);
    grandchild.close().unwrap();
    check_index(&home, &store);
}

#[test]
fn the_index_takes_a_fork_in_without_reading_what_it_inherits() {
    let home = TestHome::new();
    let store = home.filled();
    let mut parent = start(&store, 1);
    parent.append(turn("a", "first")).unwrap();
    caught_up(&store, &parent);
    // Not yet in the index, and a patch that a fork does not inherit.
    parent.append(turn("b", "second")).unwrap();
    let named = item("metadata_patch", &serde_json::json!({"name": "parent"}));
    parent.append(vec![vec![named]]).unwrap();
    let mut fork = store.fork(&source(1), &ForkPoint::Whole, new(2)).unwrap();
    let folder = home.file(&Home::inherited_dir(id(2)));
    let away = home.file("away");
    fs::rename(&folder, &away).unwrap();
    caught_up(&store, &fork);
    let summary = store.read_thread(id(2)).unwrap();
    assert_eq!((summary.item_count, summary.damaged_count), (13, 0));
    assert_eq!((summary.name, summary.preview.as_str()), (None, "first"));
    assert_eq!(store.turns(id(2)).unwrap().len(), 2);
    fs::rename(&away, &folder).unwrap();
    fork.append(turn("c", "third")).unwrap();
    caught_up(&store, &fork);
    fork.close().unwrap();
    parent.close().unwrap();
    check_index(&home, &store);
    assert_eq!(store.turns(id(2)).unwrap().len(), 3);
}

#[test]
fn a_fork_begins_where_the_parent_s_acknowledged_records_end() {
    let home = TestHome::new();
    let store = home.filled();
    let mut parent = start(&store, 1);
    parent.append(turn("a", "first")).unwrap();
    let upto = parent.next_ordinal();
    caught_up(&store, &parent);
    parent.append(turn("b", "second")).unwrap();
    let live = ForkSource {
        upto: Some(upto),
        ..source(1)
    };
    let mut fork = store.fork(&live, &ForkPoint::Whole, new(2)).unwrap();
    assert_eq!(fork.next_ordinal(), upto.next());
    let refused = store.fork(&live, &ForkPoint::AfterTurn("b".to_owned()), new(3));
    assert!(matches!(
        refused,
        Err(Error::InvalidRequest(InvalidRequest::NoSuchTurn { .. }))
    ));
    fork.close().unwrap();
    check_index(&home, &store);
}

#[test]
fn a_fork_that_can_not_be_made_says_why_and_leaves_nothing() {
    let home = TestHome::new();
    for index in [IndexUse::Use, IndexUse::None] {
        let store = Store::open(StoreOptions {
            index,
            ..home.options()
        })
        .unwrap();
        store.backfill(WAIT, &|_| ()).unwrap();
        if index == IndexUse::Use {
            let mut parent = start(&store, 1);
            parent.append(turn("a", "first")).unwrap();
            parent.append(turn("b", "second")).unwrap();
            parent.append(roll_back(1)).unwrap();
            parent.close().unwrap();
        }
        let fork = |from, point, to| {
            store
                .fork(&source(from), &point, new(to))
                .map(drop)
                .unwrap_err()
        };
        let past = fork(1, ForkPoint::Before(Ordinal::new(13)), 2);
        let expected = InvalidRequest::OrdinalPastEnd {
            asked: Ordinal::new(13),
            next: Ordinal::new(12),
        };
        assert!(
            matches!(&past, Error::InvalidRequest(why) if *why == expected),
            "{past}"
        );
        for turn in ["b", "unknown", ""] {
            let none = fork(1, ForkPoint::AfterTurn(turn.to_owned()), 2);
            assert!(
                matches!(
                    none,
                    Error::InvalidRequest(InvalidRequest::NoSuchTurn { .. })
                ),
                "{none}"
            );
        }
        let itself = fork(1, ForkPoint::Whole, 1);
        assert!(matches!(
            itself,
            Error::InvalidRequest(InvalidRequest::ThreadExists(_))
        ));
        let unknown = fork(9, ForkPoint::Whole, 2);
        assert!(matches!(unknown, Error::ThreadNotFound { .. }), "{unknown}");
        assert!(!home.file("inherited").exists());
    }
    let store = home.filled();
    let mut fork = store.fork(&source(1), &ForkPoint::Whole, new(2)).unwrap();
    let again = store.fork(&source(1), &ForkPoint::Whole, new(2)).map(drop);
    assert!(matches!(
        again,
        Err(Error::InvalidRequest(InvalidRequest::ThreadExists(_)))
    ));
    fork.close().unwrap();
    assert_eq!(payloads(&store, 2).len(), 13);
}

#[test]
fn a_fork_of_json_lines_copies_them_byte_for_byte() {
    let home = TestHome::new();
    let odd = line(300, "x", "{ \"a\": 1.0 }").replace("\"type\"", "\"ordinal\":3,\"type\"");
    let text = thread(1, 100) + &said(200, "and more") + "bad\n" + &odd;
    home.put("sessions/2026/03/04/a.jsonl", &text);
    home.put(
        "sessions/2026/03/04/b.jsonl.zst",
        zstd::encode_all((meta(5, "/w", 9) + &said(10, "packed")).as_bytes(), 0).unwrap(),
    );
    let store = home.filled();
    let mut fork = store.fork(&source(1), &ForkPoint::Whole, new(2)).unwrap();
    let mut packed = store.fork(&source(5), &ForkPoint::Whole, new(6)).unwrap();
    home.put("sessions/2026/03/04/a.jsonl", "");
    let mut lines = Vec::new();
    for record in &store.history(id(2)).unwrap().records[..4] {
        selvedge_codec::jsonl::render_line(record, &mut lines).unwrap();
        lines.push(b'\n');
    }
    assert_eq!(String::from_utf8(lines).unwrap(), text.replace("bad\n", ""));
    assert_eq!(payloads(&store, 2)[4], meta_of(2));
    assert_eq!(payloads(&store, 6)[2], meta_of(6));
    let summary = store.read_thread(id(2)).unwrap();
    assert_eq!(summary.first_user_message.as_deref(), Some("hello 1"));
    assert_eq!((summary.thread_id, summary.cwd.as_str()), (id(2), "/2"));
    fork.close().unwrap();
    packed.close().unwrap();
}

#[test]
fn verifying_tells_what_of_a_fork_s_inheritance_is_missing() {
    let home = TestHome::new();
    let store = home.filled();
    let mut parent = start(&store, 1);
    parent.append(turn("a", "first")).unwrap();
    parent.close().unwrap();
    let mut fork = store.fork(&source(1), &ForkPoint::Whole, new(2)).unwrap();
    fork.close().unwrap();
    check_index(&home, &store);
    fs::remove_dir_all(home.file("inherited")).unwrap();
    let report = store.verify().unwrap();
    let [log] = &report.damaged[..] else {
        panic!("{report:#?}");
    };
    assert_eq!(
        (log.thread_id, log.path.as_str()),
        (id(2), fork.path().as_str())
    );
    let damage = &log.damage[0];
    let missing = (damage.first_ordinal, damage.next_ordinal);
    assert_eq!(missing, (Ordinal::ZERO, Ordinal::new(6)));
    assert_eq!(damage.why, "in inherited segment 0: the segment is missing");
    assert_eq!(store.history(id(2)).unwrap().records.len(), 1);
    assert!(store.find(id(2)).is_ok());
}

/// An exported fork began with the meta of the thread that it was forked from, and was imported as
/// that one.
#[test]
fn an_exported_fork_is_imported_as_itself() {
    let (home, other) = (TestHome::new(), TestHome::new());
    let store = home.filled();
    let mut parent = start(&store, 1);
    parent.append(turn("a", "first")).unwrap();
    let named = item(
        "metadata_patch",
        &serde_json::json!({"name": "the parent's"}),
    );
    parent.append(vec![vec![named]]).unwrap();
    parent.close().unwrap();
    let mut fork = store.fork(&source(1), &ForkPoint::Whole, new(2)).unwrap();
    fork.append(turn("b", "second")).unwrap();
    fork.close().unwrap();
    let mut lines = Vec::new();
    for record in store.history(id(2)).unwrap().exported() {
        selvedge_codec::jsonl::render_line(record, &mut lines).unwrap();
        lines.push(b'\n');
    }
    other.put("out/fork.jsonl", &lines);
    let import = |store: &Store| {
        let sources = import_sources(&RealDisk, &other.file("out")).unwrap();
        store.import(&sources[0]).unwrap()
    };
    let imported = import(&other.store());
    assert_eq!(
        (imported.thread_id, imported.outcome),
        (id(2), ImportOutcome::Imported)
    );
    let all = payloads(&store, 2);
    // Without the parent's name.
    let expected = [&all[7..8], &all[..6], &all[8..]].concat();
    assert_eq!(payloads(&other.store(), 2), expected);
    let summary = other.store().read_thread(id(2)).unwrap();
    assert_eq!((summary.name, summary.cwd.as_str()), (None, "/2"));
    assert_eq!(summary.first_user_message.as_deref(), Some("first"));
    assert_eq!(import(&store).outcome, ImportOutcome::Present);
    lines.extend(said(500, "more").into_bytes());
    other.put("out/fork.jsonl", &lines);
    assert_eq!(
        (import(&store).outcome, import(&store).added),
        (ImportOutcome::Continued, 0)
    );
    assert_eq!(payloads(&store, 2).len(), all.len() + 1);
}

/// A fork died after its folder was made, and before its file was: the next one of the same id met
/// the folder, and would have inherited what lay in it as well.
#[test]
fn a_folder_that_a_dead_fork_left_is_made_anew() {
    let home = TestHome::new();
    let store = home.filled();
    let mut parent = start(&store, 1);
    parent.append(turn("a", "first")).unwrap();
    parent.close().unwrap();
    let folder = Home::inherited_dir(id(2));
    home.put(&format!("{folder}/0-3-400-00000000.rlog"), "left over");
    home.put(&format!("{folder}/records.new"), "half");
    let mut fork = store.fork(&source(1), &ForkPoint::Whole, new(2)).unwrap();
    fork.close().unwrap();
    assert_eq!(fs::read_dir(home.file(&folder)).unwrap().count(), 1);
    assert_eq!(payloads(&store, 2).len(), 7);
    // With a thread, the folder is not taken for left over.
    fs::rename(
        home.file(fork.path().as_str()),
        home.file("sessions/moved.rlog"),
    )
    .unwrap();
    let again = store.fork(&source(1), &ForkPoint::Whole, new(2)).map(drop);
    assert!(matches!(
        again,
        Err(Error::InvalidRequest(InvalidRequest::ThreadExists(_)))
    ));
    assert_eq!(payloads(&store, 2).len(), 7);
}

#[derive(Debug, Clone)]
enum Step {
    Start,
    Say(usize, u8),
    Patch(usize, u8),
    RollBack(usize, u32),
    Fork(usize, usize),
    Delete(usize),
    Archive(usize),
    CatchUp(usize),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Start),
        5 => (any::<usize>(), any::<u8>()).prop_map(|(at, word)| Step::Say(at, word)),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(at, word)| Step::Patch(at, word)),
        1 => (any::<usize>(), 0u32..3).prop_map(|(at, turns)| Step::RollBack(at, turns)),
        5 => (any::<usize>(), any::<usize>()).prop_map(|(at, cut)| Step::Fork(at, cut)),
        2 => any::<usize>().prop_map(Step::Delete),
        1 => any::<usize>().prop_map(Step::Archive),
        2 => any::<usize>().prop_map(Step::CatchUp),
        1 => Just(Step::Reopen),
    ]
}

/// Threads by what their histories should be.
struct Model {
    home: TestHome,
    store: Store,
    threads: BTreeMap<u64, Vec<String>>,
    next: u64,
}

impl Model {
    fn new() -> Self {
        let home = TestHome::new();
        let store = home.filled();
        let mut model = Self {
            home,
            store,
            threads: BTreeMap::new(),
            next: 1,
        };
        model.start();
        model
    }

    fn start(&mut self) {
        let mut log = start(&self.store, self.next);
        log.materialize().unwrap();
        log.close_keeping_mark().unwrap();
        self.threads.insert(self.next, vec![meta_of(self.next)]);
        self.next += 1;
    }

    fn any(&self, at: usize) -> Option<u64> {
        let at = at.checked_rem(self.threads.len())?;
        self.threads.keys().nth(at).copied()
    }

    fn append(&mut self, at: usize, batches: Vec<Vec<Item>>) {
        let Some(number) = self.any(at) else { return };
        let path = self.store.find(id(number)).unwrap().path;
        let context = self.store.log_context().clone();
        let (mut log, _) = ThreadLog::open(context, id(number), &path).unwrap();
        let history = self.threads.get_mut(&number).unwrap();
        for item in batches.iter().flatten() {
            history.push(String::from_utf8(item.body.to_vec()).unwrap());
        }
        log.append(batches).unwrap();
        log.close_keeping_mark().unwrap();
    }

    fn fork(&mut self, at: usize, cut: usize) {
        let Some(number) = self.any(at) else { return };
        let history = &self.threads[&number];
        let cut = cut % (history.len() + 4);
        let point = match cut.checked_sub(history.len()) {
            None => ForkPoint::Before(Ordinal::new(cut as u64)),
            Some(_) => ForkPoint::Whole,
        };
        let mut expected = history[..cut.min(history.len())].to_vec();
        expected.push(meta_of(self.next));
        let mut log = self
            .store
            .fork(&source(number), &point, new(self.next))
            .unwrap();
        log.close_keeping_mark().unwrap();
        self.threads.insert(self.next, expected);
        self.next += 1;
    }

    fn delete(&mut self, at: usize) {
        let Some(number) = self.any(at) else { return };
        self.store.delete(id(number)).unwrap();
        self.threads.remove(&number);
    }

    fn archive(&self, at: usize) {
        let Some(number) = self.any(at) else { return };
        self.store.archive(id(number)).unwrap();
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Start => self.start(),
            Step::Say(at, word) => {
                let word = word.to_string();
                self.append(at, turn(&word, &word.repeat(3)));
            }
            Step::Patch(at, word) => {
                let patch = match word % 3 {
                    0 => serde_json::json!({"name": word.to_string()}),
                    1 => serde_json::json!({"preview": word.to_string(), "git_sha": "a"}),
                    _ => serde_json::json!({"model": word.to_string()}),
                };
                self.append(at, vec![vec![item("metadata_patch", &patch)]]);
            }
            Step::RollBack(at, turns) => self.append(at, roll_back(turns)),
            Step::Fork(at, cut) => self.fork(at, cut),
            Step::Delete(at) => self.delete(at),
            Step::Archive(at) => self.archive(at),
            Step::CatchUp(at) => {
                if let Some(number) = self.any(at) {
                    let path = self.store.find(id(number)).unwrap().path;
                    self.store.catch_up(&[(id(number), path)]).unwrap();
                }
            }
            Step::Reopen => {
                self.store.close().unwrap();
                self.store = self.home.filled();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn forks_of_forks_keep_their_histories_whatever_becomes_of_their_parents(
        steps in prop::collection::vec(step(), 1..25),
    ) {
        let mut model = Model::new();
        for step in steps {
            model.take(step);
        }
        for (number, expected) in &model.threads {
            prop_assert_eq!(&payloads(&model.store, *number), expected);
        }
        check_index(&model.home, &model.store);
        let known: Vec<ThreadId> = model.threads.keys().map(|number| id(*number)).collect();
        for thread in known {
            prop_assert_eq!(model.store.read_thread(thread).unwrap().thread_id, thread);
        }
    }
}
