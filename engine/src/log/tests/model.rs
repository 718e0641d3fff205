//! A log against a list of what was acknowledged: appends, syncs, faults, recoveries, deaths of
//! the process and losses of power, in any order.

use proptest::prelude::*;
use selvedge_codec::ThreadId;

use super::faulty_disk::{EIO, ENOSPC, Fault, FaultyDisk, Op};
use super::lines::records_of;
use super::*;
use crate::log::{LogState, SyncJob};

#[derive(Debug, Clone)]
enum Step {
    /// So many batches of so many items each.
    Append(usize, usize),
    /// An append that is written as far as that, and cut off at once or not.
    FailingAppend {
        short: usize,
        is_cut: bool,
    },
    Sync,
    FailingSync {
        loses: bool,
    },
    BeginSync,
    FinishSync,
    Recover,
    Release,
    /// The process dies; what was written stays.
    Die,
    /// What was not synced goes too.
    LosePower,
    Close,
    /// The tool that owns a JSON-lines log appends to it.
    Foreign,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..3_usize, 1..4_usize).prop_map(|(batches, items)| Step::Append(batches, items)),
        2 => (0..400_usize, any::<bool>())
            .prop_map(|(short, is_cut)| Step::FailingAppend { short, is_cut }),
        2 => Just(Step::Sync),
        2 => any::<bool>().prop_map(|loses| Step::FailingSync { loses }),
        2 => Just(Step::BeginSync),
        2 => Just(Step::FinishSync),
        1 => Just(Step::Recover),
        1 => Just(Step::Release),
        1 => Just(Step::Die),
        1 => Just(Step::LosePower),
        1 => Just(Step::Close),
        1 => Just(Step::Foreign),
    ]
}

struct Run {
    home: TestHome,
    disk: FaultyDisk,
    id: ThreadId,
    path: LogPath,
    log: ThreadLog,
    /// What was acknowledged, and what others wrote.
    model: Vec<String>,
    /// What an unacknowledged append may have left, should the process die now.
    doubtful: Vec<String>,
    jobs: Vec<SyncJob>,
    /// The file holds bytes that nobody has synced and this log has not written: what a medium
    /// loses of them nobody can write again.
    is_at_risk: bool,
    /// A failed sync has lost bytes that are not written again yet.
    is_lossy: bool,
    said: usize,
}

impl Run {
    fn native() -> Self {
        let (home, disk, id) = (TestHome::new(), FaultyDisk::default(), ThreadId::generate());
        let context = home.context_on(Arc::new(disk.clone()));
        let mut log = ThreadLog::create(context, new_thread(id));
        log.materialize().unwrap();
        log.sync().unwrap();
        Self::of(home, disk, log)
    }

    fn lines() -> Self {
        let (home, disk, id) = (TestHome::new(), FaultyDisk::default(), ThreadId::generate());
        let meta = format!(
            "{{\"timestamp\":\"2026-02-20T09:15:00.078Z\",\"type\":\"session_meta\",\"payload\":{{\"id\":\"{id}\"}}}}\n"
        );
        let path = home.put("sessions/rollout-x.jsonl", meta.as_bytes());
        let context = home.context_on(Arc::new(disk.clone()));
        let (mut log, _) = ThreadLog::open(context, id, &path).unwrap();
        log.sync().unwrap();
        Self::of(home, disk, log)
    }

    fn of(home: TestHome, disk: FaultyDisk, log: ThreadLog) -> Self {
        Self {
            id: log.thread_id(),
            path: log.path().clone(),
            home,
            disk,
            log,
            model: Vec::new(),
            doubtful: Vec::new(),
            jobs: Vec::new(),
            is_at_risk: false,
            is_lossy: false,
            said: 0,
        }
    }

    fn is_native(&self) -> bool {
        self.path.as_str().ends_with(".rlog")
    }

    fn found(&self) -> Vec<String> {
        let bytes = self.home.bytes(&self.path);
        if self.is_native() {
            messages(&native_records(&bytes))
        } else {
            messages(&records_of(bytes).0)
        }
    }

    fn batches(&mut self, batches: usize, items: usize) -> (Vec<Vec<Item>>, Vec<String>) {
        let first = self.said;
        self.said += batches * items;
        let texts: Vec<String> = (first..self.said)
            .map(|n| format!("{n} {}", "x".repeat(n % 40)))
            .collect();
        let items: Vec<Vec<Item>> = texts
            .chunks(items)
            .map(|batch| batch.iter().map(|text| message(text)).collect())
            .collect();
        (items, texts)
    }

    fn append(&mut self, batches: usize, items: usize) {
        let (batches, texts) = self.batches(batches, items);
        let appended = self.log.append(batches).unwrap();
        self.model.extend(texts);
        self.doubtful.clear();
        let last = appended.last().unwrap().last_ordinal;
        assert_eq!(last.get(), self.model.len() as u64);
    }

    fn failing_append(&mut self, short: usize, is_cut: bool) {
        // A failed log is recovered first, and that must not be what fails.
        self.log.recover().unwrap();
        self.doubtful.clear();
        let (batches, texts) = self.batches(2, 2);
        self.disk.inject(Fault {
            short,
            ..Fault::on_logs(Op::Write, ENOSPC)
        });
        if !is_cut {
            self.disk.inject(Fault::on_logs(Op::SetLen, EIO));
        }
        assert!(self.log.append(batches).is_err());
        self.disk.heal();
        assert_eq!(self.log.state(), LogState::Failed);
        if is_cut {
            assert_eq!(self.found(), self.model);
        } else {
            self.doubtful = texts;
        }
    }

    fn failing_sync(&mut self, loses: bool) {
        if self.log.state() != LogState::Live || self.log.unsynced_bytes().get() == 0 {
            return;
        }
        self.is_lossy = loses && !self.is_at_risk;
        self.disk.inject(Fault {
            loses: self.is_lossy,
            ..Fault::on_logs(Op::Sync, EIO)
        });
        assert!(self.log.sync().is_err());
        self.disk.heal();
    }

    fn sync(&mut self) {
        self.log.sync().unwrap();
        let next = self.log.next_ordinal();
        assert_eq!(self.log.durable_next_ordinal(), next);
        self.is_at_risk = next.get() <= self.model.len() as u64;
    }

    fn finish_sync(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let before = self.log.durable_next_ordinal();
        let done = self.jobs.remove(0).run();
        match self.log.finish_sync(done) {
            Ok(durable) => assert!(durable >= before),
            Err(_) => assert_eq!(self.log.state(), LogState::Failed),
        }
        assert!(self.log.durable_next_ordinal() >= before);
    }

    /// The log is dropped as it is, and opened by another process.
    fn reopen(&mut self, durable: usize) {
        self.jobs.clear();
        self.is_at_risk = true;
        let context = self.home.context_on(Arc::new(self.disk.clone()));
        let id = ThreadId::generate();
        self.log = ThreadLog::create(context.clone(), new_thread(id));
        self.log = ThreadLog::open(context, self.id, &self.path).unwrap().0;
        let found = self.found();
        // All that was durable, of the rest a prefix; then as much of a write that was cut short.
        assert!(found.len() >= durable);
        let sure = found.len().min(self.model.len());
        assert_eq!(found[..sure], self.model[..sure]);
        assert!(self.doubtful.starts_with(&found[sure..]));
        self.model = found;
        self.doubtful.clear();
        assert_eq!(self.log.next_ordinal().get(), self.model.len() as u64 + 1);
    }

    /// How many messages are durable; the meta is none.
    fn durable(&self) -> usize {
        let records = self.log.durable_next_ordinal().get();
        usize::try_from(records.saturating_sub(1)).unwrap()
    }

    fn lose_power(&mut self) {
        let durable = self.durable();
        self.disk.lose_power(&self.home.file(&self.path));
        self.reopen(durable);
    }

    fn foreign(&mut self) {
        // What they append behind half a line of ours is theirs no more, should we die then; and
        // while a sync has lost bytes, nobody knows where the end is.
        if self.is_native() || self.log.state() != LogState::Live {
            return;
        }
        let (items, texts) = self.batches(1, 1);
        let body = std::str::from_utf8(&items[0][0].body).unwrap();
        let line = format!(
            "{{\"timestamp\":\"2026-02-20T09:15:00.078Z\",\"type\":\"event_msg\",\"payload\":{body}}}\n"
        );
        let file = RealDisk
            .open(&self.home.file(&self.path), OpenMode::Write)
            .unwrap();
        let mut end = file.len().unwrap().get();
        if self.home.bytes(&self.path).last() != Some(&b'\n') {
            file.write_all_at(b"\n", ByteOffset::new(end)).unwrap();
            end += 1;
        }
        file.write_all_at(line.as_bytes(), ByteOffset::new(end))
            .unwrap();
        self.model.extend(texts);
        self.is_at_risk = true;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(batches, items) => self.append(batches, items),
            Step::FailingAppend { short, is_cut } => self.failing_append(short, is_cut),
            Step::Sync => self.sync(),
            Step::FailingSync { loses } => self.failing_sync(loses),
            Step::BeginSync => self.jobs.extend(self.log.begin_sync()),
            Step::FinishSync => self.finish_sync(),
            Step::Recover => self.log.recover().unwrap(),
            Step::Release => self.log.release_handle().unwrap(),
            Step::Die if self.is_lossy => self.reopen(self.durable()),
            Step::Die => self.reopen(self.model.len()),
            Step::LosePower => self.lose_power(),
            Step::Close => {
                self.log.close().unwrap();
                self.doubtful.clear();
                self.reopen(self.model.len());
            }
            Step::Foreign => self.foreign(),
        }
        if self.log.state() == LogState::Live {
            assert_eq!(self.found(), self.model);
            self.doubtful.clear();
            self.is_lossy = false;
        }
    }

    fn run(mut self, steps: Vec<Step>) {
        for step in steps {
            self.step(step);
        }
        self.log.close().unwrap();
        assert_eq!(self.found(), self.model);
        self.disk.lose_power(&self.home.file(&self.path));
        // What others appended after this log's last look at the file is theirs to sync.
        let seen = usize::try_from(self.log.next_ordinal().get() - 1).unwrap();
        let found = self.found();
        assert!(found.len() >= seen && self.model.starts_with(&found));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_native_log_holds_what_was_acknowledged(steps in prop::collection::vec(step(), 1..40)) {
        Run::native().run(steps);
    }

    #[test]
    fn a_json_lines_log_holds_what_was_acknowledged(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        Run::lines().run(steps);
    }
}
