//! Many processes open a home of unindexed logs at the same instant.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use selvedge::{Coverage, IndexMode, OpenOptions, Selvedge, ThreadId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::child::{Child, HANG, Role, Voice};
use super::disk::CountingDisk;
use super::homes::{check, every, list_all, unindexed};
use super::{Figures, Outcome, Plan, Trying, ensure, note};

/// How often a process that went on with a partial index asks whether it is complete.
const POLL: Duration = Duration::from_millis(10);

/// How a process opens the home.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Opening {
    /// It waits for the index, and is told what was done.
    Reported,
    /// It waits for the index.
    Wait,
    /// It goes on at once.
    Background,
}

/// A process that opens the home when it is told to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Opener {
    home: PathBuf,
    opening: Opening,
    /// How many threads it asks for at once.
    page: usize,
}

impl Opener {
    pub(super) async fn play(self, voice: Voice) -> Outcome<()> {
        voice.say("ready", Value::Null);
        voice.hear().ok_or("the parent is gone")?;
        let disk = Arc::new(CountingDisk::default());
        let began = Instant::now();
        let options = OpenOptions::new(&self.home).disk(Arc::clone(&disk) as _);
        let selvedge = Selvedge::open(options.index(match self.opening {
            Opening::Reported => IndexMode::Existing,
            Opening::Wait => IndexMode::Wait(HANG),
            Opening::Background => IndexMode::Background,
        }));
        let selvedge = selvedge.await.trying("open")?;
        let projected = match self.opening {
            Opening::Reported => {
                let done = selvedge.backfill(|_| ()).await.trying("backfill")?;
                Some(done.projected)
            }
            Opening::Wait | Opening::Background => None,
        };
        let opened = began.elapsed();
        // What a process that goes on at once is told while another one is at it.
        let first = selvedge.list_threads(every(false, self.page)).await;
        let first = first.trying("list at once")?;
        let is_partial = matches!(first.coverage, Coverage::Partial { .. });
        ensure(
            !is_partial || matches!(self.opening, Opening::Background),
            || format!("{:?} ended with {:?}", self.opening, first.coverage),
        )?;
        while selvedge.coverage().await.trying("ask for the coverage")?
            != (Coverage::Complete { failed: 0 })
        {
            ensure(began.elapsed() < HANG, || {
                "the index is never complete".into()
            })?;
            tokio::time::sleep(POLL).await;
        }
        let opens = disk.logs_opened();
        let stats = selvedge.stats().await.trying("ask for stats")?;
        let listed = list_all(&selvedge, every(false, self.page)).await?;
        let ids: Vec<ThreadId> = listed.into_keys().collect();
        voice.say(
            "listed",
            json!({
                "opened_ms": opened.as_millis() as u64, "projected": projected, "opens": opens,
                "last_backfill": stats.last_backfill.map(|last| last.projected),
                "partial": is_partial, "ids": ids,
            }),
        );
        voice.hear().ok_or("the parent is gone")?;
        let report = selvedge.verify().await.trying("verify")?;
        ensure(report.ok, || format!("verify found: {report:#?}"))?;
        selvedge.shutdown().await.trying("shut down")
    }
}

/// What the processes of one start said.
#[derive(Debug, Default)]
struct Started {
    slowest_ms: u64,
    partial: usize,
    projected: u64,
    opens: u64,
    last_backfill: Option<u64>,
}

/// Opens a home of `plan.logs` unindexed logs with `plan.processes` processes at once, and then
/// with as many others once more.
///
/// # Errors
/// What did not hold.
pub fn run(plan: &Plan, dir: &Path) -> Outcome {
    let home = dir.join("home");
    note(format_args!("start: a home of {} logs", plan.logs));
    let ids = unindexed(&home, plan.logs, plan.seed)?;
    let logs = plan.logs as u64;

    note(format_args!("start: {} processes open it", plan.processes));
    let first = start(plan, &home, &ids)?;
    ensure(first.opens == logs, || {
        format!("{logs} logs were opened {} times: {first:?}", first.opens)
    })?;
    ensure(first.last_backfill == Some(logs), || {
        format!("the backfill was not one of {logs} logs: {first:?}")
    })?;
    ensure(first.projected == 0 || first.projected == logs, || {
        format!("{logs} logs were reported otherwise: {first:?}")
    })?;

    note(format_args!("start: {} others open it", plan.processes));
    let again = start(plan, &home, &ids)?;
    ensure(again.opens == 0 && again.projected == 0, || {
        format!("an index that is complete was made again: {again:?}")
    })?;
    let verified = super::runtime()?.block_on(check(&home))?;
    ensure(verified == logs, || format!("{verified} logs in the end"))?;
    Ok(Figures::default()
        .with("processes", 2 * plan.processes)
        .with("logs", logs)
        .with("logs opened", first.opens)
        .with("went on with a partial index", first.partial)
        .with("slowest open ms", first.slowest_ms)
        .with("slowest open of a complete index ms", again.slowest_ms))
}

fn start(plan: &Plan, home: &std::path::Path, ids: &[ThreadId]) -> Outcome<Started> {
    let openings = [Opening::Wait, Opening::Background, Opening::Reported];
    let opener = |number: usize| {
        plan.launcher.start(&Role::Start(Opener {
            home: home.to_path_buf(),
            opening: openings[number % openings.len()],
            page: [10_000, 977, 100][number % 3],
        }))
    };
    let mut children: Vec<Child> = (0..plan.processes).map(opener).collect::<Outcome<_>>()?;
    for child in &mut children {
        child.hear("ready")?;
    }
    for child in &mut children {
        child.tell("open")?;
    }
    let mut started = Started::default();
    for child in &mut children {
        let said = child.hear("listed")?;
        let listed: Vec<ThreadId> =
            serde_json::from_value(said["ids"].clone()).trying("read ids")?;
        ensure(listed == ids, || {
            format!("process {} lists {} threads", child.pid(), listed.len())
        })?;
        let number = |name: &str| said[name].as_u64();
        started.slowest_ms = started.slowest_ms.max(number("opened_ms").unwrap_or(0));
        started.partial += usize::from(said["partial"] == true);
        started.projected += number("projected").unwrap_or(0);
        started.opens += number("opens").unwrap_or(0);
        started.last_backfill = number("last_backfill");
    }
    for child in &mut children {
        child.tell("verify")?;
    }
    for child in children {
        child.end()?;
    }
    Ok(started)
}
