//! Listing without an index, by reading every log: slower, with the same answers. It is the oracle
//! that the index is tested against.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use selvedge_codec::ThreadId;

use super::page::cut_page;
use super::{
    Coverage, FoundLog, ListQuery, Matcher, Page, PageRequest, SessionNames, WalkFailure, prefer,
    walk,
};
use crate::disk::Disk;
use crate::home::{Home, LogPath};
use crate::projection::{Projection, project};
use crate::{Error, Result};

/// Every thread of a home, from its logs alone.
#[derive(Debug)]
pub struct HomeScan {
    /// One projection a thread, in no particular order; of two logs of one thread, the one that
    /// [`prefer`] puts first. Names beside the logs are applied.
    pub threads: Vec<Projection>,
    /// What can't be read.
    pub failures: Vec<WalkFailure>,
    /// Logs that another log of the same thread hides.
    pub hidden: Vec<LogPath>,
}

/// Reads every log of a home.
///
/// # Errors
/// As [`walk`], and [`Error::Io`] when the names beside the logs can't be read.
pub fn scan_home(disk: &dyn Disk, home: &Home) -> Result<HomeScan> {
    let found = walk(disk, home)?;
    let names = SessionNames::load(disk, home)?;
    let mut failures = found.failures;
    let mut hidden = Vec::new();
    let mut threads: HashMap<ThreadId, (LogPath, Projection)> = HashMap::new();
    for (path, outcome) in project_all(disk, home, &found.logs) {
        let mut projection = match outcome {
            Ok(projection) => projection,
            Err(why) if has_vanished(&why) => continue,
            Err(why) => {
                let path = path.into();
                failures.push(WalkFailure { path, why });
                continue;
            }
        };
        names.apply(&mut projection.thread.summary);
        match threads.entry(projection.thread.summary.thread_id) {
            Entry::Vacant(free) => {
                free.insert((path, projection));
            }
            Entry::Occupied(mut taken) if prefer(&path, &taken.get().0).is_lt() => {
                hidden.push(taken.insert((path, projection)).0);
            }
            Entry::Occupied(_) => hidden.push(path),
        }
    }
    Ok(HomeScan {
        threads: threads.into_values().map(|(_, thread)| thread).collect(),
        failures,
        hidden,
    })
}

/// Removed or moved since the home was walked, which is no failure.
fn has_vanished(why: &Error) -> bool {
    matches!(why, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// Projects logs from their starts, on all cores.
fn project_all(
    disk: &dyn Disk,
    home: &Home,
    logs: &[FoundLog],
) -> Vec<(LogPath, Result<Projection>)> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(log) = logs.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((log.path.clone(), project(disk, home, &log.path, None)));
        }
        done
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..cores.min(logs.len()))
            .map(|_| scope.spawn(work))
            .collect();
        let mut done = work();
        for helper in helpers {
            match helper.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    })
}

/// Answers a query by reading every log of the home.
///
/// # Errors
/// [`crate::InvalidRequest`] when the query or the home is no good, and as [`scan_home`]. A log
/// that can't be read is counted in the page's coverage.
pub fn scan_list(disk: &dyn Disk, home: &Home, query: &ListQuery) -> Result<Page> {
    let request = PageRequest::of(query)?;
    let scan = scan_home(disk, home)?;
    let matcher = Matcher::new(&query.filter, || {
        scan.threads.iter().filter_map(|projection| {
            let thread = &projection.thread.summary;
            Some((thread.thread_id, thread.parent_thread_id?))
        })
    });
    let wanted = scan
        .threads
        .iter()
        .map(|projection| &projection.thread.summary)
        .filter(|thread| matcher.matches(thread))
        .cloned()
        .collect();
    let failed = scan.failures.len() as u64;
    Ok(cut_page(&request, wanted, Coverage::Complete { failed }))
}
