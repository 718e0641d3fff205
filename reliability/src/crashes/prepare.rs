//! Homes before a worker comes to them.

use std::path::{Path, PathBuf};

use selvedge::{IndexMode, OpenOptions, Selvedge, StartThread, ThreadId};

use super::{Matrix, Plan, copy_all};
use crate::worker::payload::{self, Turn, prepared_lines};

/// How many JSON-lines logs a home begins with where they are worked on.
const WORKED_ON: usize = 40;

/// What homes are made from.
pub(super) struct Templates {
    /// A home of many logs and no index, where that is what is tried.
    many: Option<PathBuf>,
}

impl Templates {
    pub(super) async fn make(plan: &Plan) -> Self {
        if plan.matrix != Matrix::Backfill {
            return Self { many: None };
        }
        let home = plan.dir.join(format!("template-{}", plan.seed));
        native_logs(&home, plan.logs / 2).await;
        let mut rng = fastrand::Rng::with_seed(plan.seed);
        add_lines(&home, plan.logs.div_ceil(2), &mut rng);
        Self { many: Some(home) }
    }

    /// Fills a home that does not exist yet.
    pub(super) fn fill(&self, matrix: Matrix, home: &Path, rng: &mut fastrand::Rng) {
        std::fs::create_dir_all(home).unwrap();
        match (&self.many, matrix) {
            (Some(many), _) => copy_all(many, home),
            (None, Matrix::Native) => {}
            (None, _) => add_lines(home, WORKED_ON, rng),
        }
    }
}

impl Drop for Templates {
    fn drop(&mut self) {
        if let Some(many) = &self.many {
            let _ = std::fs::remove_dir_all(many);
        }
    }
}

/// Native logs without an index.
async fn native_logs(home: &Path, count: usize) {
    let options = OpenOptions::new(home).create(true).index(IndexMode::None);
    let selvedge = Selvedge::open(options).await.unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut making = tokio::task::JoinSet::new();
    for number in 0..count {
        let id = ThreadId::generate();
        let items = payload::batch(&mut rng, id, &format!("prepared.{number}"), Turn::Whole);
        let start = StartThread {
            thread_id: Some(id),
            cwd: format!("/work/{}", number % 5),
            ..StartThread::default()
        };
        let selvedge = selvedge.clone();
        making.spawn(async move {
            let live = selvedge.start_thread(start).await.unwrap();
            live.append(items).await.unwrap();
            live.shutdown().await.unwrap();
        });
        if making.len() > 32 {
            making.join_next().await;
        }
    }
    while making.join_next().await.is_some() {}
    selvedge.shutdown().await.unwrap();
    let _ = std::fs::remove_dir_all(home.join(".selvedge"));
}

/// JSON-lines logs as another tool leaves them, every third one compressed; gives their threads.
pub(super) fn add_lines(home: &Path, count: usize, rng: &mut fastrand::Rng) {
    for number in 0..count {
        let id = ThreadId::generate();
        let day = number % 28 + 1;
        let dir = home.join(format!("sessions/2026/03/{day:02}"));
        std::fs::create_dir_all(&dir).unwrap();
        let lines = prepared_lines(id, number);
        let name = format!("rollout-2026-03-{day:02}T10-00-00-{id}.jsonl");
        match rng.u32(0..3) {
            0 => {
                let packed = zstd::bulk::compress(lines.as_bytes(), 3).unwrap();
                std::fs::write(dir.join(name + ".zst"), packed).unwrap();
            }
            _ => std::fs::write(dir.join(name), lines).unwrap(),
        }
    }
}
