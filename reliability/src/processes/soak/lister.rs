//! A process that lists, searches, reads and subscribes, and holds the answers against what was
//! acknowledged before it asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use selvedge::{
    Coverage, Error, IndexMode, ItemQuery, ListQuery, OpenOptions, Ordinal, SearchQuery, Selvedge,
    SortKey, ThreadEvent, ThreadFilter, ThreadId, ThreadSummary, TurnQuery,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::child::{HANG, Voice};
use super::super::homes::{every, list_all};
use super::super::{Outcome, Trying, ensure};
use super::journal::{Facts, Journals};

/// What a lister is told.
#[derive(Debug, Serialize, Deserialize)]
pub struct Part {
    home: PathBuf,
    journals: PathBuf,
    seed: u64,
}

type Listed = BTreeMap<ThreadId, ThreadSummary>;

impl Part {
    pub(super) fn new(home: &Path, journals: &Path, seed: u64) -> Self {
        Self {
            home: home.to_path_buf(),
            journals: journals.to_path_buf(),
            seed,
        }
    }

    pub(in super::super) async fn play(self, voice: Voice) -> Outcome<()> {
        let mut rng = Rng::with_seed(self.seed);
        let mode = match rng.u8(0..3) {
            0 => IndexMode::Background,
            _ => IndexMode::Wait(HANG),
        };
        let options = OpenOptions::new(&self.home).index(mode);
        let selvedge = Selvedge::open(options).await.trying("open")?;
        // Until then a listing may leave out what it says it does not cover.
        while !matches!(selvedge.coverage().await, Ok(Coverage::Complete { .. })) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut lister = Lister {
            selvedge,
            journals: Journals::new(&self.journals, prepared(&self.home)?),
            rng,
        };
        let is_last = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_last);
        std::thread::spawn(move || {
            let _ = voice.hear();
            told.store(true, Ordering::SeqCst);
        });
        loop {
            let is_over = is_last.load(Ordering::SeqCst);
            let what = lister.look().await?;
            voice.say("looked", json!({"at": what}));
            if is_over {
                break;
            }
        }
        // Once more at every thread, with nobody else at work.
        lister.list(SortKey::Created, 1000).await?;
        lister.list(SortKey::Updated, 10_000).await?;
        voice.say("done", Value::Null);
        lister.selvedge.shutdown().await.trying("shut down")
    }
}

/// The threads that were there before all others.
fn prepared(home: &Path) -> Outcome<Vec<ThreadId>> {
    let mut ids = Vec::new();
    for folder in ["sessions/2026/03/01", "archived_sessions"] {
        let Ok(entries) = std::fs::read_dir(home.join(folder)) else {
            continue;
        };
        for entry in entries {
            let name = entry.trying("list the home")?.file_name();
            let name = name.to_string_lossy();
            let id: Option<ThreadId> = name.strip_suffix(".jsonl").and_then(|stem| {
                let stem = stem.strip_prefix("rollout-2026-03-01T10-00-00-")?;
                stem.parse().ok()
            });
            ids.extend(id);
        }
    }
    Ok(ids)
}

struct Lister {
    selvedge: Selvedge,
    journals: Journals,
    rng: Rng,
}

impl Lister {
    async fn look(&mut self) -> Outcome<&'static str> {
        match self.rng.u8(0..10) {
            // Orders that appends change are asked for in one page: a thread may come onto a page
            // that was read already.
            0 | 1 => self
                .list(SortKey::Updated, 10_000)
                .await
                .map(|()| "listing by update"),
            2 => self
                .list(SortKey::Recency, 10_000)
                .await
                .map(|()| "listing by recency"),
            3 | 4 => {
                let limit = [7, 100, 10_000][self.rng.usize(0..3)];
                self.list(SortKey::Created, limit).await.map(|()| "listing")
            }
            5 => self.search().await.map(|()| "search"),
            6 => self.follow().await.map(|()| "subscription"),
            7 => self.page().await.map(|()| "pages"),
            _ => self.read().await.map(|()| "reads"),
        }
    }

    fn snapshot(&mut self) -> Outcome<BTreeMap<ThreadId, Facts>> {
        self.journals.read_on()?;
        Ok(self.journals.threads.clone())
    }

    /// Lists the threads that are archived, or those that are not.
    async fn list(&mut self, sort: SortKey, limit: usize) -> Outcome<()> {
        for archived in [false, true] {
            let before = self.snapshot()?;
            let query = ListQuery {
                sort,
                ..every(archived, limit)
            };
            let listed = list_all(&self.selvedge, query).await?;
            self.compare(&before, &listed, archived)
                .trying(format_args!("{sort:?}, pages of {limit}"))?;
        }
        Ok(())
    }

    fn compare(
        &mut self,
        before: &BTreeMap<ThreadId, Facts>,
        listed: &Listed,
        archived: bool,
    ) -> Outcome<()> {
        let after = self.snapshot()?;
        for (id, facts) in before {
            let row = listed.get(id);
            ensure(!facts.is_gone || row.is_none(), || {
                format!("{id} was deleted and is listed")
            })?;
            let is_settled = after
                .get(id)
                .is_some_and(|now| now.changes == facts.changes);
            if !facts.must_be_there() || !is_settled {
                continue;
            }
            let Some(lies) = facts.archived else { continue };
            ensure(row.is_some() == (lies == archived), || {
                let listed = row.is_some();
                format!(
                    "{id} is archived: {lies}; listed with archived {archived}: {listed}; {facts:?}"
                )
            })?;
            let next = row.map_or(facts.next, |row| row.next_ordinal.get());
            ensure(next >= facts.next, || {
                format!("{id} ended at {} and is listed with {next}", facts.next)
            })?;
        }
        for id in listed.keys() {
            ensure(self.journals.tried.contains(id), || {
                format!("{id} is listed and nobody has made it")
            })?;
        }
        Ok(())
    }

    /// Some thread that must be there, with what is known of it.
    fn some_thread(&mut self) -> Outcome<Option<(ThreadId, Facts)>> {
        let known = self.snapshot()?;
        let there: Vec<_> = known
            .into_iter()
            .filter(|(_, facts)| facts.must_be_there())
            .collect();
        Ok(self.rng.choice(there))
    }

    /// An answer about one thread; `None` when it was ended meanwhile.
    fn unless_ended<T>(&mut self, id: ThreadId, answer: Result<T, Error>) -> Outcome<Option<T>> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(why @ Error::ThreadNotFound { .. }) => {
                let now = self.snapshot()?;
                let may_be = now.get(&id).is_none_or(|facts| !facts.must_be_there());
                ensure(may_be, || format!("nobody has ended {id}: {why}"))?;
                Ok(None)
            }
            Err(why) => Err(format!("{id}: {why}")),
        }
    }

    async fn read(&mut self) -> Outcome<()> {
        let Some((id, facts)) = self.some_thread()? else {
            return Ok(());
        };
        let read = self.selvedge.read_thread(id).await;
        let Some(read) = self.unless_ended(id, read)? else {
            return Ok(());
        };
        ensure(read.next_ordinal.get() >= facts.next, || {
            format!(
                "{id} ended at {} and is read with {}",
                facts.next, read.next_ordinal
            )
        })?;
        let history = self.selvedge.load_history(id).await;
        let Some(history) = self.unless_ended(id, history)? else {
            return Ok(());
        };
        let records = history.records.len() as u64;
        ensure(records >= facts.next, || {
            format!("{id} ended at {} and has {records} records", facts.next)
        })
    }

    async fn page(&mut self) -> Outcome<()> {
        let Some((id, facts)) = self.some_thread()? else {
            return Ok(());
        };
        let turns = self.selvedge.list_turns(id, TurnQuery::default()).await;
        self.unless_ended(id, turns)?;
        let query = ItemQuery {
            direction: selvedge::Direction::Ascending,
            limit: self.rng.usize(1..200),
            ..ItemQuery::default()
        };
        let items = self.selvedge.list_items(id, query).await;
        let Some(items) = self.unless_ended(id, items)? else {
            return Ok(());
        };
        let ordinals: Vec<_> = items.items.iter().map(|item| item.ordinal).collect();
        ensure(
            ordinals.is_sorted() && (facts.next == 0 || !ordinals.is_empty()),
            || format!("{id}: {ordinals:?}"),
        )?;
        let context = self.selvedge.load_model_context(id).await;
        self.unless_ended(id, context).map(drop)
    }

    async fn search(&mut self) -> Outcome<()> {
        let Some((id, facts)) = self.some_thread()? else {
            return Ok(());
        };
        // Every batch says which thread it was appended to, but not to the user.
        let query = SearchQuery {
            term: "words and".into(),
            limit: 1000,
            filter: ThreadFilter {
                archived: facts.archived == Some(true),
                include_empty: true,
                ..ThreadFilter::default()
            },
            ..SearchQuery::default()
        };
        let found = self.selvedge.search_threads(query).await.trying("search")?;
        for hit in &found.hits {
            ensure(!hit.snippet.is_empty(), || {
                format!("{}: no snippet", hit.thread.thread_id)
            })?;
        }
        // Of a thread's own metadata the listing's search tells, as soon as it is there.
        let known = self.selvedge.read_thread(id).await;
        let Some(known) = self.unless_ended(id, known)? else {
            return Ok(());
        };
        let Some(name) = known.name else {
            return Ok(());
        };
        let before = self.snapshot()?.remove(&id).unwrap_or_default();
        let query = ListQuery {
            filter: ThreadFilter {
                search: Some(name.clone()),
                ..every(known.archived_at.is_some(), 1000).filter
            },
            limit: 1000,
            ..ListQuery::default()
        };
        let listed = list_all(&self.selvedge, query).await?;
        let after = self.snapshot()?.remove(&id).unwrap_or_default();
        let now = self.selvedge.read_thread(id).await;
        let Some(now) = self.unless_ended(id, now)? else {
            return Ok(());
        };
        // A move or another name in between may hide it.
        let is_settled = before.changes == after.changes
            && before.archived == Some(known.archived_at.is_some())
            && now.name.as_ref() == Some(&name);
        ensure(!is_settled || listed.contains_key(&id), || {
            format!("{id} is called {name} and is not found by it")
        })
    }

    async fn follow(&mut self) -> Outcome<()> {
        let Some((id, facts)) = self.some_thread()? else {
            return Ok(());
        };
        let from = self.rng.u64(0..=facts.next);
        let subscription = self.selvedge.subscribe(id, Ordinal::new(from)).await;
        let Some(mut events) = self.unless_ended(id, subscription)? else {
            return Ok(());
        };
        let mut next = from;
        while next < facts.next {
            let event = tokio::time::timeout(HANG, events.next()).await;
            let event = event.map_err(|_| format!("{id}: nothing follows {next}"))?;
            match self.unless_ended(id, event)? {
                Some(Some(ThreadEvent::Record(record))) => {
                    ensure(record.ordinal.get() == next, || {
                        format!("{id}: {} follows {next}", record.ordinal)
                    })?;
                    next += 1;
                }
                // A line that a kill has cut short.
                Some(Some(ThreadEvent::Damage(_))) => {}
                Some(Some(ThreadEvent::CutOff { .. })) => {
                    return Err(format!("{id}: a subscription with a log was cut off"));
                }
                Some(None) => {
                    let now = self.snapshot()?;
                    let may_end = now.get(&id).is_none_or(|facts| !facts.must_be_there());
                    return ensure(may_end, || format!("{id} ended at {next}"));
                }
                None => return Ok(()),
            }
        }
        // What comes next, if anything does.
        let more = tokio::time::timeout(Duration::from_millis(20), events.next()).await;
        match more {
            Ok(more) => self.unless_ended(id, more).map(drop),
            Err(_) => Ok(()),
        }
    }
}
