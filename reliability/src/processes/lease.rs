//! Backfillers that are killed and stopped while they have the lease.
//!
//! A killed one's lease is taken over at once: the next one is given no time at all to wait. A
//! stopped one's is taken over when it ends, which a clock that is ahead sees sooner; what the
//! stopped one would commit after that is refused, and it goes on with what the other has made.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use selvedge::{Clock, Coverage, Error, IndexMode, OpenOptions, Selvedge, SystemClock, UtcMicros};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::child::{Child, HANG, Role, Voice};
use super::homes::{check, unindexed};
use super::{Figures, Outcome, Plan, Trying, ensure, note, runtime};

/// A lease lasts ten seconds without a commit: a clock that is so far ahead sees its end.
const AHEAD_MICROS: i64 = 11_000_000;
/// What a waiter that is to give up waits.
const SHORT: Duration = Duration::from_millis(100);
/// Runs of at least this length wait for the end of a lease by the right clock, too.
const LONG_RUN: Duration = Duration::from_secs(60);
/// So long a backfill goes on before something happens to it, at most.
const LATEST_MILLIS: u64 = 400;

#[derive(Debug)]
struct AheadClock;

impl Clock for AheadClock {
    fn now(&self) -> UtcMicros {
        UtcMicros::new(SystemClock.now().get() + AHEAD_MICROS)
    }
}

/// A process that completes a home's index when it is told to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Backfiller {
    home: PathBuf,
    /// At the first step with so many logs done it says so, and waits to be told to go on.
    holds_at: Option<u64>,
    /// How long it waits for another one.
    wait: Duration,
    /// Whether its clock is ahead.
    ahead: bool,
}

impl Backfiller {
    pub(super) async fn play(self, voice: Voice) -> Outcome<()> {
        voice.say("ready", Value::Null);
        voice.hear().ok_or("the parent is gone")?;
        let mut options = OpenOptions::new(&self.home);
        if self.ahead {
            options = options.clock(Arc::new(AheadClock));
        }
        if self.holds_at.is_none() {
            // As a runtime opens a home.
            return match Selvedge::open(options.index(IndexMode::Wait(self.wait))).await {
                Ok(selvedge) => {
                    self.tell(voice, &selvedge, None).await?;
                    // Whoever is to be stopped is there for it.
                    let _ = voice.hear();
                    selvedge.shutdown().await.trying("shut down")
                }
                Err(Error::TimedOut { waiting_for, .. }) => {
                    voice.say("waited", json!({"for": waiting_for}));
                    Ok(())
                }
                Err(why) => Err(format!("open: {why}")),
            };
        }
        let selvedge = Selvedge::open(options.index(IndexMode::Existing)).await;
        let selvedge = selvedge.trying("open")?;
        let holds_at = self.holds_at;
        let report = selvedge.backfill(move |step| {
            if holds_at.is_some_and(|at| step.done >= at) {
                voice.say("holding", json!({"done": step.done, "total": step.total}));
                // Without a parent it is about to end.
                let _ = voice.hear();
            }
        });
        let report = report.await.trying("backfill")?;
        self.tell(voice, &selvedge, Some(report.projected)).await?;
        selvedge.shutdown().await.trying("shut down")
    }

    async fn tell(&self, voice: Voice, selvedge: &Selvedge, own: Option<u64>) -> Outcome<()> {
        let coverage = selvedge.coverage().await.trying("ask for the coverage")?;
        ensure(coverage == (Coverage::Complete { failed: 0 }), || {
            format!("the index is not complete: {coverage:?}")
        })?;
        let stats = selvedge.stats().await.trying("ask for stats")?;
        let last = stats.last_backfill.map_or(0, |last| last.projected);
        voice.say("done", json!({"projected": own, "last": last}));
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Counts {
    kills: u64,
    kills_at_random: u64,
    stops: u64,
    stops_at_random: u64,
    stopped_in_a_transaction: u64,
    taken_over: Duration,
}

/// Kills and stops backfillers of a home of `plan.logs` logs for `plan.duration`.
///
/// # Errors
/// What did not hold.
pub fn run(plan: &Plan, dir: &Path) -> Outcome {
    let home = dir.join("home");
    note(format_args!("lease: a home of {} logs", plan.logs));
    let ids = unindexed(&home, plan.logs, plan.seed)?;
    let mut scene = Scene {
        plan,
        home: &home,
        rng: Rng::with_seed(plan.seed),
        counts: Counts::default(),
    };
    let began = Instant::now();
    note("lease: backfillers are killed and stopped");
    loop {
        scene.killed_while_it_holds()?;
        scene.killed_at_random()?;
        scene.stopped_while_it_holds(plan.duration >= LONG_RUN)?;
        scene.stopped_at_random()?;
        if began.elapsed() >= plan.duration {
            break;
        }
    }
    let logs = runtime()?.block_on(check(&home))?;
    ensure(logs == ids.len() as u64, || {
        format!("{logs} logs in the end")
    })?;
    let counts = scene.counts;
    Ok(Figures::default()
        .with("logs", logs)
        .with("owners killed", counts.kills)
        .with("of them at a random moment", counts.kills_at_random)
        .with("owners stopped", counts.stops)
        .with("of them at a random moment", counts.stops_at_random)
        .with("of those in a transaction", counts.stopped_in_a_transaction)
        .with(
            "slowest takeover of a dead owner ms",
            counts.taken_over.as_millis(),
        ))
}

struct Scene<'a> {
    plan: &'a Plan,
    home: &'a Path,
    rng: Rng,
    counts: Counts,
}

impl Scene<'_> {
    fn forget_index(&self) -> Outcome<()> {
        std::fs::remove_file(self.home.join("index.redb")).or_else(|error| {
            let is_new = error.kind() == std::io::ErrorKind::NotFound;
            if is_new {
                Ok(())
            } else {
                Err(error.to_string())
            }
        })
    }

    fn backfiller(&self, holds_at: Option<u64>, wait: Duration, ahead: bool) -> Outcome<Child> {
        let mut child = self.plan.launcher.start(&Role::Lease(Backfiller {
            home: self.home.to_path_buf(),
            holds_at,
            wait,
            ahead,
        }))?;
        child.hear("ready")?;
        Ok(child)
    }

    fn logs(&self) -> u64 {
        self.plan.logs as u64
    }

    /// An owner that has taken so many logs in, and waits before it goes on.
    fn holding(&mut self) -> Outcome<(Child, u64)> {
        self.forget_index()?;
        let at = if self.rng.bool() {
            self.rng.u64(1..=self.logs())
        } else {
            0
        };
        let mut owner = self.backfiller(Some(at), HANG, false)?;
        owner.tell("go")?;
        let held = owner.hear("holding")?;
        let done = held["done"].as_u64().ok_or("no count of what is done")?;
        ensure(held["total"] == self.logs(), || {
            format!("it began with {held}")
        })?;
        Ok((owner, done))
    }

    /// Whoever opens the home now has it covered, and read only what was missing.
    fn take_over(&mut self, mut next: Child, missing: u64) -> Outcome<()> {
        let began = Instant::now();
        next.tell("go")?;
        let done = next.hear("done")?;
        self.counts.taken_over = self.counts.taken_over.max(began.elapsed());
        ensure(missing == 0 || done["last"] == missing, || {
            format!("{missing} logs were missing: {done}")
        })?;
        next.end()
    }

    fn killed_while_it_holds(&mut self) -> Outcome<()> {
        let (mut owner, done) = self.holding()?;
        let mut early = self.backfiller(None, SHORT, false)?;
        early.tell("go")?;
        let waited = early.hear("waited")?;
        let owner_named = format!("process {} ", owner.pid());
        ensure(
            waited["for"]
                .as_str()
                .is_some_and(|who| who.contains(&owner_named)),
            || {
                format!(
                    "process {} has it, and was waited for as {waited}",
                    owner.pid()
                )
            },
        )?;
        early.end()?;
        let next = self.backfiller(None, Duration::ZERO, false)?;
        owner.kill()?;
        self.counts.kills += 1;
        self.take_over(next, self.logs() - done)
    }

    fn killed_at_random(&mut self) -> Outcome<()> {
        self.forget_index()?;
        let mut owner = self.backfiller(None, HANG, false)?;
        let waiters: Vec<Child> = (0..2)
            .map(|_| self.backfiller(None, HANG, false))
            .collect::<Outcome<_>>()?;
        let next = self.backfiller(None, Duration::ZERO, false)?;
        owner.tell("go")?;
        std::thread::sleep(Duration::from_millis(self.rng.u64(0..LATEST_MILLIS)));
        let waits = self.rng.bool();
        let mut waiters = if waits { waiters } else { Vec::new() };
        for waiter in &mut waiters {
            waiter.tell("go")?;
        }
        owner.kill()?;
        self.counts.kills += 1;
        self.counts.kills_at_random += 1;
        if waiters.is_empty() {
            return self.take_over(next, 0);
        }
        for mut waiter in waiters {
            waiter.hear("done")?;
            waiter.end()?;
        }
        Ok(())
    }

    fn stopped_while_it_holds(&mut self, may_wait: bool) -> Outcome<()> {
        let (mut owner, done) = self.holding()?;
        owner.stop()?;
        self.counts.stops += 1;
        let mut early = self.backfiller(None, SHORT, false)?;
        early.tell("go")?;
        early.hear("waited")?;
        early.end()?;
        let ahead = !may_wait || self.rng.u8(0..4) > 0;
        let missing = self.logs() - done;
        let mut next = self.backfiller(None, HANG, ahead)?;
        next.tell("go")?;
        let taken = next.hear("done")?;
        ensure(missing == 0 || taken["last"] == missing, || {
            format!("{missing} logs were missing: {taken}")
        })?;
        next.end()?;
        owner.go_on()?;
        owner.tell("go on")?;
        let late = owner.hear("done")?;
        // What it had read was not taken, and the other's work is still what the index tells of.
        ensure(
            late["projected"] == 0 && late["last"] == taken["last"],
            || format!("the stopped owner went on: {late}, after {taken}"),
        )?;
        owner.end()
    }

    fn stopped_at_random(&mut self) -> Outcome<()> {
        self.forget_index()?;
        let mut owner = self.backfiller(None, HANG, false)?;
        owner.tell("go")?;
        std::thread::sleep(Duration::from_millis(self.rng.u64(0..LATEST_MILLIS)));
        owner.stop()?;
        self.counts.stops += 1;
        self.counts.stops_at_random += 1;
        let is_inside = super::stopped::is_writing(self.home)?;
        self.counts.stopped_in_a_transaction += u64::from(is_inside);
        // In a transaction it is waited for; otherwise the lease ends, as this clock sees it.
        let wait = if is_inside { SHORT } else { HANG };
        let mut next = self.backfiller(None, wait, true)?;
        next.tell("go")?;
        let answer = next.hear_any(HANG).ok_or("the next one says nothing")?;
        let is_right = answer["said"] == "done" || (is_inside && answer["said"] == "waited");
        ensure(is_right, || {
            format!("stopped in a transaction: {is_inside}; {answer}")
        })?;
        next.end()?;
        owner.go_on()?;
        owner.hear("done")?;
        owner.end()?;
        runtime()?.block_on(check(self.home)).map(drop)
    }
}
