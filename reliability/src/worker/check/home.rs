//! A home, opened after its workers are gone, against everything that was said of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

use selvedge::{
    Coverage, Direction, IndexMode, Item, ListQuery, OpenOptions, Result, Selvedge, SortKey,
    ThreadFilter, ThreadId, ThreadSummary, Verification, VerifyReport,
};
use serde_json::json;

use super::super::look;
use super::super::payload::{self, Told};
use super::super::said::Doing;
use super::attempts::{Attempt, Attempts, Outcome};
use super::history::{self, Expected};
use super::{Checked, Known, Model, Read, Thoroughness, digest_of};

pub(super) async fn open_scan(home: &Path) -> Result<Selvedge> {
    Selvedge::open(OpenOptions::new(home).create(true).index(IndexMode::None)).await
}

/// Every thread of a home, archived or not.
pub(super) async fn all(selvedge: &Selvedge) -> Result<Vec<ThreadSummary>> {
    let mut all = look::list_all(selvedge, false).await?;
    all.extend(look::list_all(selvedge, true).await?);
    Ok(all)
}

/// One check of a home.
pub(super) struct Check<'a> {
    pub(super) model: &'a mut Model,
    pub(super) attempts: &'a Attempts,
    pub(super) checked: &'a mut Checked,
    pub(super) home: &'a Path,
    pub(super) thoroughness: Thoroughness,
}

impl Check<'_> {
    pub(super) async fn run(mut self) -> Result<()> {
        let index = IndexMode::Wait(Duration::from_secs(60));
        let options = OpenOptions::new(self.home).create(true).index(index);
        let selvedge = Selvedge::open(options).await?;
        match selvedge.coverage().await? {
            Coverage::Complete { failed: 0 } => {}
            other => self.wrong(format!("after opening the coverage is {other:?}")),
        }
        let unreadable = selvedge.unreadable_logs().await?;
        if !unreadable.is_empty() {
            self.wrong(format!("unreadable: {unreadable:?}"));
        }
        self.compare_listings(&selvedge).await?;
        let torn = self.threads(&selvedge).await?;
        let report = selvedge.verify().await?;
        self.verified(&report, Some(&torn));
        self.go_on(&selvedge).await?;
        self.compare_listings(&selvedge).await?;
        let report = selvedge.verify().await?;
        self.verified(&report, None);
        selvedge.shutdown().await
    }

    fn wrong(&mut self, what: impl Into<String>) {
        self.checked.violation(what);
    }

    /// What the index lists, as it is and looked after, is what the logs tell.
    async fn compare_listings(&mut self, selvedge: &Selvedge) -> Result<()> {
        let scan = open_scan(self.home).await?;
        let sorts = [SortKey::Created, SortKey::Updated, SortKey::Recency];
        for (sort, archived, include_empty) in sorts.into_iter().flat_map(|sort| {
            [
                (sort, false, true),
                (sort, true, true),
                (sort, false, false),
            ]
        }) {
            let query = |verification| ListQuery {
                filter: ThreadFilter {
                    archived,
                    include_empty,
                    ..ThreadFilter::default()
                },
                sort,
                direction: match archived {
                    true => Direction::Ascending,
                    false => Direction::Descending,
                },
                limit: 10_000,
                cursor: None,
                verification,
            };
            let expected = scan.list_threads(query(Verification::Verified)).await?;
            for verification in [Verification::IndexOnly, Verification::Verified] {
                let page = selvedge.list_threads(query(verification)).await?;
                if page.threads == expected.threads {
                    continue;
                }
                let what = difference(&page.threads, &expected.threads);
                let which = (sort, archived, include_empty, verification);
                self.wrong(format!("the index lists otherwise, {which:?}: {what}"));
            }
        }
        scan.shutdown().await
    }

    /// Every thread; gives those whose log ends in the midst of a write.
    async fn threads(&mut self, selvedge: &Selvedge) -> Result<BTreeSet<ThreadId>> {
        let mut reads = Vec::new();
        for summary in all(selvedge).await? {
            let id = summary.thread_id;
            match super::read(selvedge, summary).await {
                Ok(read) => reads.push(read),
                Err(error) => self.wrong(format!("{id} can't be read: {error}")),
            }
        }
        let mut now = BTreeMap::new();
        let mut torn = BTreeSet::new();
        for read in &reads {
            let id = read.summary.thread_id;
            let expected = Expected {
                known: self.model.known.get(&id),
                attempts: self.attempts.on(id),
                killed: self.attempts.killed,
            };
            now.insert(id, history::examine(read, &expected, self.checked));
            if read.history.torn_tail.is_some() {
                torn.insert(id);
            }
            self.checked.threads += 1;
            self.checked.records += read.history.records.len() as u64;
        }
        self.inherited(&reads, &now);
        self.existence(&now);
        self.model.known = now;
        Ok(torn)
    }

    /// What the forks that were made begin with is what their sources hold.
    fn inherited(&mut self, reads: &[Read], now: &BTreeMap<ThreadId, Known>) {
        let reads: HashMap<ThreadId, &Read> = reads
            .iter()
            .map(|read| (read.summary.thread_id, read))
            .collect();
        for id in self.attempts.threads() {
            let Some(read) = reads.get(&id) else { continue };
            for attempt in self.attempts.on(id) {
                let Doing::Fork { source, before, .. } = &attempt.doing else {
                    continue;
                };
                let inherited = read.history.own_from.get();
                let is_right = match before {
                    Some(before) => inherited == *before,
                    // A fork of a live thread ends before the first record that is not
                    // acknowledged yet: what follows it may be, if it waited for no sync.
                    None => {
                        inherited >= attempt.floor
                            || reads
                                .get(source)
                                .is_none_or(|source| self.is_awaited(source, inherited, attempt))
                    }
                };
                if !is_right {
                    let floor = attempt.floor;
                    self.wrong(format!(
                        "{id} inherits {inherited} of {source}: of {floor}, before {before:?}"
                    ));
                }
                // A source that is gone is compared as far as it was known.
                let is_there = now.contains_key(source);
                let source = now.get(source).or_else(|| self.model.known.get(source));
                let source = source.map_or(&[][..], |known| &known.digests);
                let own = &now[&id].digests;
                let of_both = usize::try_from(inherited).unwrap().min(own.len());
                let common = own[..of_both]
                    .iter()
                    .zip(source)
                    .take_while(|(a, b)| a == b)
                    .count();
                if common < of_both && (is_there || common < source.len()) {
                    self.wrong(format!(
                        "{id} inherits {common} of {inherited} records rightly"
                    ));
                }
            }
        }
    }

    /// Whether this record of a thread was not acknowledged yet when something was tried.
    fn is_awaited(&self, source: &Read, at: u64, tried: &Attempt) -> bool {
        let at = usize::try_from(at).unwrap();
        let told = source.history.records.get(at).map(payload::told);
        let attempts = self.attempts.on(source.summary.thread_id);
        attempts.iter().any(|attempt| {
            let is_it = match &told {
                Some(Told::Batch { mark, .. } | Told::Patch(_, mark)) => *mark == attempt.mark,
                Some(Told::RollBack) => matches!(attempt.doing, Doing::RollBack { .. }),
                _ => false,
            };
            is_it && !attempt.is_before(tried)
        })
    }

    fn existence(&mut self, now: &BTreeMap<ThreadId, Known>) {
        let known: BTreeSet<ThreadId> = self.model.known.keys().copied().collect();
        let tried: BTreeSet<ThreadId> = self.attempts.threads().collect();
        for id in known.union(&tried) {
            let attempts = self.attempts.on(*id);
            let (must, may) = history::existence(known.contains(id), attempts);
            let is_there = now.contains_key(id);
            if is_there && !may {
                self.checked
                    .violation(format!("{id} is there, and must not be: {attempts:?}"));
            }
            if !is_there && must {
                let done = attempts
                    .iter()
                    .filter(|one| one.outcome != Outcome::Unknown);
                let done: Vec<_> = done.map(|one| &one.doing).collect();
                self.checked
                    .violation(format!("{id} is not there, and must be: {done:?}"));
            }
            if !is_there {
                self.model.gone.insert(*id);
            }
        }
        for id in now.keys() {
            if self.model.gone.contains(id) {
                self.checked.violation(format!("{id} is back"));
            } else if !known.contains(id) && !tried.contains(id) {
                self.checked.violation(format!("{id} is nobody's"));
            }
        }
    }

    /// What verifying tells is what was found. Before the threads were gone on with, some may end
    /// in the midst of a write.
    fn verified(&mut self, report: &VerifyReport, torn: Option<&BTreeSet<ThreadId>>) {
        if !report.unreadable.is_empty() || !report.differences.is_empty() {
            let (unreadable, differences) = (&report.unreadable, &report.differences);
            self.wrong(format!("verify: {unreadable:?} {differences:?}"));
        }
        for log in &report.damaged {
            let is_lines = !log.path.ends_with(".rlog");
            let known = self.model.known.get(&log.thread_id);
            let bad_lines = known.map_or(0, |known| known.bad_lines);
            let is_torn = torn.is_some_and(|torn| torn.contains(&log.thread_id));
            let may_be = match is_lines {
                true => log.damage.len() <= bad_lines && (is_torn || log.torn_tail.is_none()),
                false => log.damage.is_empty() && is_torn,
            };
            if !may_be {
                self.wrong(format!("verify: {log:?}"));
            }
        }
    }

    /// Goes on with every thread that was worked on, and some others.
    async fn go_on(&mut self, selvedge: &Selvedge) -> Result<()> {
        let (mut ids, mut others) = (Vec::new(), Vec::new());
        for id in self.model.known.keys() {
            match self.attempts.on(*id).is_empty() {
                true => others.push(*id),
                false => ids.push(*id),
            }
        }
        let mut rng = fastrand::Rng::with_seed(self.thoroughness.seed);
        rng.shuffle(&mut others);
        others.truncate(self.thoroughness.resumed);
        ids.extend(others);
        for id in ids {
            self.model.appended += 1;
            let text = format!("checked {}", self.model.appended);
            let payload = json!({"type": "user_message", "message": text});
            let item = Item::json("event_msg", payload.to_string()).unwrap();
            let known = self.model.known.get_mut(&id).unwrap();
            let appended = async {
                let live = selvedge.resume_thread(id).await?;
                let ack = live.append(vec![item.clone()]).await?;
                live.shutdown().await?;
                Result::<u64>::Ok(ack.first_ordinal.get())
            };
            match appended.await {
                Ok(at) if at == known.digests.len() as u64 => known.digests.push(digest_of(&item)),
                Ok(at) => {
                    let had = known.digests.len();
                    self.checked.violation(format!(
                        "{id} has {had} records, and is gone on with at {at}"
                    ));
                }
                Err(error) => {
                    self.checked
                        .violation(format!("{id} can't be gone on with: {error}"));
                }
            }
        }
        Ok(())
    }
}

/// In what two listings differ, in few words.
fn difference(left: &[ThreadSummary], right: &[ThreadSummary]) -> String {
    let ids = |threads: &[ThreadSummary]| -> BTreeSet<ThreadId> {
        threads.iter().map(|thread| thread.thread_id).collect()
    };
    let (in_left, in_right) = (ids(left), ids(right));
    if in_left != in_right {
        let only_left: Vec<_> = in_left.difference(&in_right).take(3).collect();
        let only_right: Vec<_> = in_right.difference(&in_left).take(3).collect();
        return format!("only by index {only_left:?}, only in logs {only_right:?}");
    }
    let unequal = left.iter().zip(right).find(|(left, right)| left != right);
    format!("{unequal:?}")
}
