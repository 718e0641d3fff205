//! Reading a page: a walk along the order table, with the rows that it names.

use std::iter::Peekable;

use super::apply::is_foreign;
use super::database::{Entries, ReadTransaction, View};
use super::fault::Fault;
use super::keys::{Group, OrderRun, Scope, place_of};
use super::rows::ThreadRow;
use super::tables::Tables;
use crate::home::LogPath;
use crate::listing::{
    Cursor, Direction, ListQuery, Matcher, PageRequest, SortKey, ThreadFilter, sort_key,
};

/// Several ordered runs as one.
struct Merged<'a> {
    runs: Vec<Peekable<Entries<'a, Cursor>>>,
    direction: Direction,
}

impl Iterator for Merged<'_> {
    type Item = Result<Cursor, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut best: Option<(usize, Cursor)> = None;
        for (at, run) in self.runs.iter_mut().enumerate() {
            let place = match run.peek() {
                None => continue,
                // A failure comes first: it ends the walk.
                Some(Err(_)) => return run.next(),
                Some(Ok(place)) => *place,
            };
            let is_first = best.is_none_or(|(_, first)| match self.direction {
                Direction::Ascending => place < first,
                Direction::Descending => place > first,
            });
            if is_first {
                best = Some((at, place));
            }
        }
        let (at, _) = best?;
        self.runs.get_mut(at)?.next()
    }
}

/// The rows of a page, in order, and one more where another follows.
pub(crate) fn read_page(
    txn: &ReadTransaction,
    query: &ListQuery,
    request: &PageRequest<'_>,
) -> Result<Vec<ThreadRow>, Fault> {
    let parents = match query.filter.ancestor {
        Some(_) => txn.parents()?,
        None => Vec::new(),
    };
    let matcher = Matcher::new(&query.filter, || parents);
    let mut rows = Vec::new();
    for place in places(txn, query, request)? {
        let place = place?;
        let Some(mut row) = txn.thread(place.thread_id)? else {
            return Err(Fault::Damaged("an order key names no row".into()));
        };
        if sort_key(&row.thread.summary, query.sort) != place {
            return Err(Fault::Damaged("an order key is not its row's".into()));
        }
        row.apply_name();
        if matcher.matches(&row.thread.summary) {
            rows.push(row);
            if rows.len() > request.limit() {
                break;
            }
        }
    }
    Ok(rows)
}

/// Logs that other tools may write and in which no user has said anything yet, the latest first.
pub(crate) fn recent_empty_logs(
    txn: &ReadTransaction,
    filter: &ThreadFilter,
    limit: usize,
) -> Result<Vec<LogPath>, Fault> {
    let run = OrderRun {
        scope: Scope::ALL,
        sort: SortKey::Updated,
        group: Group::empty(filter),
    };
    let places = run.with_span(None, Direction::Descending, |span| {
        txn.range(span, |key, _| place_of(key))
    })?;
    let mut paths = Vec::new();
    for place in places.take(limit) {
        let row = txn.thread(place?.thread_id)?;
        let path = row.and_then(|row| row.path());
        paths.extend(path.filter(is_foreign));
    }
    Ok(paths)
}

fn places<'a>(
    txn: &'a ReadTransaction,
    query: &ListQuery,
    request: &PageRequest<'_>,
) -> Result<Merged<'a>, Fault> {
    let scopes = Scope::of_filter(&query.filter);
    let mut runs = Vec::new();
    for group in Group::of_filter(&query.filter) {
        for scope in &scopes {
            let run = OrderRun {
                scope: *scope,
                sort: query.sort,
                group,
            };
            let places = run.with_span(request.after(), query.direction, |span| {
                txn.range(span, |key, _| place_of(key))
            })?;
            runs.push(places.peekable());
        }
    }
    Ok(Merged {
        runs,
        direction: query.direction,
    })
}
