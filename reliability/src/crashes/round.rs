//! One round: workers, a kill, a check.

use std::path::PathBuf;
use std::time::Duration;

use super::prepare::{Templates, add_lines};
use super::{Matrix, Plan, copy_all, model_of};
use crate::worker::check::{Checked, Model, Thoroughness};
use crate::worker::{Ended, Order, Report, Role, Worker};

/// How long a worker may take to its first acknowledgement, on a machine that does other things.
const FIRST_WAIT: Duration = Duration::from_secs(120);

/// A home that is worked on.
pub(super) struct Home {
    path: PathBuf,
    /// As it was left to the check, until it was found right.
    before: PathBuf,
    model: Model,
}

/// What came of a round.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) how: String,
    pub(super) kills: u64,
    pub(super) early_kills: u64,
    pub(super) stops: u64,
    pub(super) checked: Checked,
    reports: Vec<Report>,
    /// Workers that did nothing for too long.
    stuck: Vec<String>,
}

impl Home {
    pub(super) async fn fresh(
        plan: &Plan,
        number: u64,
        templates: &Templates,
        rng: &mut fastrand::Rng,
    ) -> Self {
        let name = format!("home-{:?}-{}-{number}", plan.matrix, plan.seed).to_lowercase();
        let path = plan.dir.join(name);
        templates.fill(plan.matrix, &path, rng);
        Self {
            before: path.with_extension("before"),
            model: model_of(&path).await,
            path,
        }
    }

    pub(super) async fn round(
        &mut self,
        plan: &Plan,
        number: u64,
        rng: &mut fastrand::Rng,
    ) -> Outcome {
        self.change(plan, rng).await;
        let orders = self.orders(plan, number, rng);
        let mut outcome = Outcome::default();
        let workers = orders
            .iter()
            .map(|order| plan.launcher.start(order))
            .collect();
        end(workers, plan, rng, &mut outcome);
        let _ = std::fs::remove_dir_all(&self.before);
        copy_all(&self.path, &self.before);
        let thoroughness = Thoroughness {
            resumed: 5,
            seed: rng.u64(..),
        };
        outcome.checked = self
            .model
            .check(&self.path, &outcome.reports, thoroughness)
            .await;
        outcome.checked.violations.append(&mut outcome.stuck);
        outcome
    }

    /// What somebody else does to the home between two rounds.
    async fn change(&mut self, plan: &Plan, rng: &mut fastrand::Rng) {
        let more = match (plan.matrix, rng.u32(0..10)) {
            // Deleting the index loses nothing, and makes all of it be made again.
            (Matrix::Backfill, 0..6) | (_, 0) => {
                let _ = std::fs::remove_file(self.path.join("index.redb"));
                return;
            }
            (Matrix::Backfill, 6..9) => plan.logs / 10,
            (Matrix::JsonLines, 1..4) => 5,
            _ => return,
        };
        let aside = self.path.with_extension("more");
        add_lines(&aside, more, rng);
        self.model.join(model_of(&aside).await);
        copy_all(&aside, &self.path);
        std::fs::remove_dir_all(&aside).unwrap();
    }

    fn orders(&self, plan: &Plan, number: u64, rng: &mut fastrand::Rng) -> Vec<Order> {
        let count = match plan.matrix {
            Matrix::Several => rng.u64(2..5),
            _ => 1,
        };
        // Who only reads dies as well.
        let readers = rng.u32(0..6) == 0;
        (0..count)
            .map(|index| {
                let role = match plan.matrix {
                    _ if readers && index == 0 => Role::Reader,
                    Matrix::Native => Role::Native,
                    Matrix::JsonLines => Role::JsonLines,
                    Matrix::Backfill | Matrix::Several => Role::Mixed,
                };
                Order {
                    seed: rng.u64(..),
                    lanes: rng.usize(1..6),
                    share: (index, count),
                    background: plan.matrix == Matrix::Backfill || rng.u32(0..3) == 0,
                    ..Order::new(&self.path, format!("r{number}w{index}"), role)
                }
            })
            .collect()
    }

    /// Keeps what a failing round left; gives where.
    pub(super) fn keep(self, outcome: &Outcome) -> PathBuf {
        for report in &outcome.reports {
            let said: String = report
                .lines
                .iter()
                .map(|line| line.render() + "\n")
                .collect();
            let name = format!("said-{}", report.order.tag);
            std::fs::write(self.before.join(name), said).unwrap();
        }
        let words = outcome.checked.violations.join("\n");
        std::fs::write(self.before.join("violations"), words).unwrap();
        let kept = self.before.clone();
        let me = std::mem::ManuallyDrop::new(self);
        let _ = std::fs::remove_dir_all(&me.path);
        kept
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for dir in [&self.path, &self.before] {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

/// Lets the workers work for a while, and ends them, at least one by a kill in nearly all rounds.
fn end(workers: Vec<Worker>, plan: &Plan, rng: &mut fastrand::Rng, outcome: &mut Outcome) {
    let is_early = rng.u32(0..5) == 0;
    if is_early {
        outcome.how = "early".into();
        std::thread::sleep(Duration::from_micros(rng.u64(0..60_000)));
    } else {
        outcome.how = "working".into();
        if plan.matrix == Matrix::Backfill {
            // From the moment on when the index is being made.
            workers.iter().for_each(|worker| {
                worker.wait_until_open(FIRST_WAIT);
            });
        } else if !workers.iter().all(|worker| worker.wait_for(1, FIRST_WAIT)) {
            let what = format!("nothing was done within {FIRST_WAIT:?}");
            outcome.stuck.push(what);
        }
        std::thread::sleep(Duration::from_micros(rng.u64(0..=plan.longest_run * 1000)));
    }
    // One or all; sometimes none, so that a shutdown under load is tried too.
    let killed = match rng.u32(0..10) {
        0 => 0,
        1..5 => 1,
        _ => workers.len(),
    };
    let mut survivors = Vec::new();
    for (at, worker) in workers.into_iter().enumerate() {
        match at < killed {
            true => outcome.reports.push(worker.kill()),
            false => survivors.push(worker),
        }
    }
    if killed > 0 {
        std::thread::sleep(Duration::from_micros(rng.u64(0..100_000)));
    }
    let stopped = survivors.into_iter().map(Worker::stop);
    outcome.reports.extend(stopped);
    for report in &outcome.reports {
        match report.ended {
            Ended::Killed => outcome.kills += 1,
            Ended::Stopped => outcome.stops += 1,
            Ended::Otherwise => {}
        }
        let has_done = report.lines.iter().any(|line| {
            matches!(
                line,
                crate::worker::Line::Done { .. } | crate::worker::Line::Looked
            )
        });
        outcome.early_kills += u64::from(report.ended == Ended::Killed && !has_done);
    }
    let total = outcome.reports.len();
    let roles: Vec<_> = outcome.reports.iter().map(|one| one.order.role).collect();
    outcome.how = format!("{}, {killed} of {total} killed, {roles:?}", outcome.how);
}
