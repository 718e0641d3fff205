//! Looks at a home: what a worker reads of it must fit what it was told before.

use std::sync::Arc;

use selvedge::{
    Error, ListQuery, Result, SearchQuery, Selvedge, SortKey, ThreadFilter, ThreadId, ThreadSummary,
};

use super::said::Line;
use super::shared::Shared;

/// Every thread of a home, those in which nobody has said anything included.
pub async fn list_all(selvedge: &Selvedge, archived: bool) -> Result<Vec<ThreadSummary>> {
    let mut query = ListQuery {
        filter: ThreadFilter {
            archived,
            include_empty: true,
            ..ThreadFilter::default()
        },
        limit: 10_000,
        ..ListQuery::default()
    };
    let mut all = Vec::new();
    loop {
        let page = selvedge.list_threads(query.clone()).await?;
        all.extend(page.threads);
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(all),
        }
    }
}

/// What is wrong with a thread, of which everything below `next` was acknowledged to this process.
pub async fn look_at(selvedge: &Selvedge, thread: ThreadId, next: u64) -> Option<String> {
    let looked = async {
        let summary = selvedge.read_thread(thread).await?;
        let history = selvedge.load_history(thread).await?;
        let records = history.records.len() as u64;
        let is_gapless = history
            .records
            .iter()
            .zip(0..)
            .all(|(record, at)| record.ordinal.get() == at);
        Result::<_>::Ok(if summary.next_ordinal.get() < next || records < next {
            Some(format!(
                "{thread}: {next} records were acknowledged, {} are told and {records} read",
                summary.next_ordinal
            ))
        } else if !is_gapless {
            Some(format!("{thread}: its ordinals have gaps"))
        } else {
            None
        })
    };
    looked
        .await
        .unwrap_or_else(|error| Some(format!("{thread}: {error}")))
}

/// Reads on until the worker is to stop.
pub(super) async fn read_on(shared: Arc<Shared>, mut rng: fastrand::Rng) {
    while !shared.is_to_stop() {
        match read_once(&shared.selvedge, &mut rng).await {
            Ok(()) => shared.mouth.say(&Line::Looked),
            // Another process has deleted it meanwhile.
            Err(Error::ThreadNotFound { .. }) => {}
            Err(error) => shared.wrong(format!("reading: {error}")),
        }
        shared.count();
        shared.pause().await;
    }
}

async fn read_once(selvedge: &Selvedge, rng: &mut fastrand::Rng) -> Result<()> {
    match rng.u32(0..8) {
        0 => {
            let found = selvedge
                .search_threads(SearchQuery {
                    term: "words and".into(),
                    ..SearchQuery::default()
                })
                .await?;
            drop(found);
        }
        1 => drop(selvedge.verify().await?),
        2 => drop(selvedge.coverage().await?),
        3 => drop(selvedge.backfill(|_| {}).await?),
        choice => {
            let query = ListQuery {
                sort: [SortKey::Created, SortKey::Updated, SortKey::Recency][choice as usize % 3],
                limit: rng.usize(1..60),
                ..ListQuery::default()
            };
            let page = selvedge.list_threads(query).await?;
            if let Some(thread) = rng.choice(&page.threads) {
                let history = selvedge.load_history(thread.thread_id).await?;
                drop(history);
                drop(selvedge.turns(thread.thread_id).await?);
            }
        }
    }
    Ok(())
}
