//! What the tables mean: typed reads of either kind of transaction, and typed writes.

use std::collections::BTreeMap;
use std::ops::Bound;

use selvedge_codec::{Ordinal, ThreadId};

use super::database::{Entries, Span, Table, View, WriteTransaction};
use super::fault::Fault;
use super::keys::{OrderKey, TurnRun, child_and_parent_of, child_key, id_of, order_keys, turn_key};
use super::rows::{DirRow, FailureRow, LeaseRow, PathRow, StateRow, ThreadRow, decode, encode};
use crate::home::LogPath;
use crate::listing::Direction;
use crate::projection::{PlacedTurn, TurnChange};
use crate::thread::ThreadSummary;

const STATE: &[u8] = b"state";
const LEASE: &[u8] = b"lease";

fn text(key: &[u8]) -> Result<String, Fault> {
    String::from_utf8(key.to_vec()).map_err(|_| Fault::Damaged("a key is not UTF-8".into()))
}

fn path(key: &[u8]) -> Result<LogPath, Fault> {
    LogPath::new(text(key)?).ok_or_else(|| Fault::Damaged("a path leads out of the home".into()))
}

/// Calls `then` with the span of the paths below a folder.
fn below<T>(dir: &str, table: Table, then: impl FnOnce(Span<'_>) -> T) -> T {
    // `0` follows `/`.
    let (from, to) = (format!("{dir}/"), format!("{dir}0"));
    then(Span {
        table,
        from: Bound::Included(from.as_bytes()),
        to: Bound::Excluded(to.as_bytes()),
        direction: Direction::Ascending,
    })
}

/// Typed reads.
pub(crate) trait Tables: View {
    /// What is known of the index; `None` in one that nothing was written to yet.
    fn state(&self) -> Result<Option<StateRow>, Fault> {
        self.get(Table::State, STATE, decode)
    }

    fn lease(&self) -> Result<LeaseRow, Fault> {
        Ok(self.get(Table::State, LEASE, decode)?.unwrap_or_default())
    }

    fn thread(&self, id: ThreadId) -> Result<Option<ThreadRow>, Fault> {
        self.get(Table::Threads, id.as_bytes(), decode)
    }

    /// Every row, in the order of the thread ids.
    fn threads(&self) -> Result<Vec<ThreadRow>, Fault> {
        self.range(Span::all(Table::Threads), |_, row| decode(row))?
            .collect()
    }

    fn path(&self, path: &LogPath) -> Result<Option<PathRow>, Fault> {
        self.get(Table::Paths, path.as_str().as_bytes(), decode)
    }

    /// Every log that was projected, in the order of the paths.
    fn paths(&self) -> Result<Vec<(LogPath, PathRow)>, Fault> {
        self.range(Span::all(Table::Paths), |key, row| {
            Ok((path(key)?, decode(row)?))
        })?
        .collect()
    }

    /// Every log that was projected of one thread. Goes through all of them.
    fn paths_of(&self, id: ThreadId) -> Result<Vec<LogPath>, Fault> {
        let entries = self.range(Span::all(Table::Paths), |key, row| {
            let row: PathRow = decode(row)?;
            (row.thread_id == id).then(|| path(key)).transpose()
        })?;
        entries.filter_map(Result::transpose).collect()
    }

    fn dirs(&self) -> Result<BTreeMap<String, DirRow>, Fault> {
        self.range(Span::all(Table::Dirs), |key, row| {
            Ok((text(key)?, decode(row)?))
        })?
        .collect()
    }

    fn failures(&self) -> Result<BTreeMap<String, FailureRow>, Fault> {
        self.range(Span::all(Table::Failures), |key, row| {
            Ok((text(key)?, decode(row)?))
        })?
        .collect()
    }

    fn failure(&self, path: &str) -> Result<Option<FailureRow>, Fault> {
        self.get(Table::Failures, path.as_bytes(), decode)
    }

    /// What is known of the logs in a folder, and in those in it.
    fn paths_below(&self, dir: &str) -> Result<BTreeMap<LogPath, PathRow>, Fault> {
        below(dir, Table::Paths, |span| {
            self.range(span, |key, row| Ok((path(key)?, decode(row)?)))?
                .collect()
        })
    }

    /// What is known of the logs in a folder itself. Those in the folders in it are stepped over.
    fn paths_in(&self, dir: &str) -> Result<BTreeMap<LogPath, PathRow>, Fault> {
        let mut paths = BTreeMap::new();
        let (mut from, to) = (format!("{dir}/"), format!("{dir}0"));
        let first = from.len();
        'steps: loop {
            let span = Span {
                table: Table::Paths,
                from: Bound::Included(from.as_bytes()),
                to: Bound::Excluded(to.as_bytes()),
                direction: Direction::Ascending,
            };
            let entries = self.range(span, |key, row| Ok((path(key)?, decode::<PathRow>(row)?)))?;
            for entry in entries {
                let (path, row) = entry?;
                let below = path.as_str().get(first..).unwrap_or_default();
                if let Some((subdir, _)) = below.split_once('/') {
                    from = format!("{dir}/{subdir}0");
                    continue 'steps;
                }
                paths.insert(path, row);
            }
            return Ok(paths);
        }
    }

    /// A folder, and those in it.
    fn dirs_below(&self, dir: &str) -> Result<BTreeMap<String, DirRow>, Fault> {
        let mut dirs: BTreeMap<_, _> = below(dir, Table::Dirs, |span| {
            self.range(span, |key, row| Ok((text(key)?, decode(row)?)))?
                .collect::<Result<_, Fault>>()
        })?;
        if let Some(row) = self.get(Table::Dirs, dir.as_bytes(), decode)? {
            dirs.insert(dir.to_owned(), row);
        }
        Ok(dirs)
    }

    /// What can't be read of a folder, and of what is in it.
    fn failures_below(&self, dir: &str) -> Result<BTreeMap<String, FailureRow>, Fault> {
        let mut failures: BTreeMap<_, _> = below(dir, Table::Failures, |span| {
            self.range(span, |key, row| Ok((text(key)?, decode(row)?)))?
                .collect::<Result<_, Fault>>()
        })?;
        if let Some(row) = self.failure(dir)? {
            failures.insert(dir.to_owned(), row);
        }
        Ok(failures)
    }

    fn name(&self, id: ThreadId) -> Result<Option<String>, Fault> {
        self.get(Table::Names, id.as_bytes(), decode)
    }

    fn names(&self) -> Result<BTreeMap<ThreadId, String>, Fault> {
        self.range(Span::all(Table::Names), |key, row| {
            Ok((id_of(key)?, decode(row)?))
        })?
        .collect()
    }

    /// Each thread that has a parent, with it.
    fn parents(&self) -> Result<Vec<(ThreadId, ThreadId)>, Fault> {
        self.range(Span::all(Table::Children), |key, _| {
            child_and_parent_of(key)
        })?
        .collect()
    }

    /// A thread's turns, in order.
    fn turns(&self, id: ThreadId) -> Result<Vec<PlacedTurn>, Fault> {
        self.turns_in(TurnRun::all(id))?.collect()
    }

    /// Turns of a thread, read as far as they are asked for.
    fn turns_in(&self, run: TurnRun) -> Result<Entries<'_, PlacedTurn>, Fault> {
        run.with_span(|span| self.range(span, |_, row| decode(row)))
    }
}

impl<T: View> Tables for T {}

/// Changes to the order table, made together and in the order of the keys: redb takes them five
/// times as fast. Of two changes of one key the later one holds.
#[derive(Debug, Default)]
pub(crate) struct OrderChanges(BTreeMap<OrderKey, bool>);

impl OrderChanges {
    fn remove(&mut self, thread: &ThreadSummary) {
        self.0.extend(order_keys(thread).map(|key| (key, false)));
    }

    fn insert(&mut self, thread: &ThreadSummary) {
        self.0.extend(order_keys(thread).map(|key| (key, true)));
    }

    pub(crate) fn write(self, txn: &mut WriteTransaction<'_>) -> Result<(), Fault> {
        for (key, is_there) in self.0 {
            if is_there {
                txn.insert(Table::Order, &key, &[])?;
            } else {
                txn.remove(Table::Order, &key)?;
            }
        }
        Ok(())
    }
}

/// Typed writes.
impl WriteTransaction<'_> {
    pub(crate) fn put_state(&mut self, state: &StateRow) -> Result<(), Fault> {
        self.insert(Table::State, STATE, &encode(state)?)
    }

    pub(crate) fn put_lease(&mut self, lease: &LeaseRow) -> Result<(), Fault> {
        self.insert(Table::State, LEASE, &encode(lease)?)
    }

    /// Sets a thread's row, with its secondary keys.
    pub(crate) fn put_thread(
        &mut self,
        before: Option<&ThreadRow>,
        row: &ThreadRow,
        order: &mut OrderChanges,
    ) -> Result<(), Fault> {
        let thread = &row.thread.summary;
        let known = before.map(|row| &row.thread.summary);
        // Most changes of a row leave most of its keys, but redb is told of none of those.
        if !known.is_some_and(|known| order_keys(known).eq(order_keys(thread))) {
            if let Some(known) = known {
                order.remove(known);
            }
            order.insert(thread);
        }
        let id = thread.thread_id;
        let parent_before = known.and_then(|known| known.parent_thread_id);
        if parent_before != thread.parent_thread_id {
            if let Some(parent) = parent_before {
                self.remove(Table::Children, &child_key(parent, id))?;
            }
            if let Some(parent) = thread.parent_thread_id {
                self.insert(Table::Children, &child_key(parent, id), &[])?;
            }
        }
        self.insert(Table::Threads, id.as_bytes(), &encode(row)?)
    }

    /// Removes a thread's row, secondary keys and turns.
    pub(crate) fn remove_thread(
        &mut self,
        row: &ThreadRow,
        order: &mut OrderChanges,
    ) -> Result<(), Fault> {
        let thread = &row.thread.summary;
        order.remove(thread);
        let id = thread.thread_id;
        if let Some(parent) = thread.parent_thread_id {
            self.remove(Table::Children, &child_key(parent, id))?;
        }
        self.remove_turns(id)?;
        self.remove(Table::Threads, id.as_bytes()).map(drop)
    }

    pub(crate) fn remove_turns(&mut self, id: ThreadId) -> Result<(), Fault> {
        TurnRun::all(id).with_span(|span| self.remove_span(span))
    }

    /// Applies changes to a thread's turns, in their order.
    pub(crate) fn change_turns(
        &mut self,
        id: ThreadId,
        changes: &[TurnChange],
    ) -> Result<(), Fault> {
        for change in changes {
            match change {
                TurnChange::Upsert(turn) => self.put_turn(id, turn)?,
                TurnChange::RollBack { turns, by } => self.roll_back(id, (*turns, *by))?,
            }
        }
        Ok(())
    }

    fn put_turn(&mut self, id: ThreadId, turn: &PlacedTurn) -> Result<(), Fault> {
        let key = turn_key(id, turn.turn.first_ordinal);
        self.insert(Table::Turns, &key, &encode(turn)?)
    }

    fn roll_back(&mut self, id: ThreadId, (turns, by): (u32, Ordinal)) -> Result<(), Fault> {
        let newest_first = TurnRun {
            direction: Direction::Descending,
            ..TurnRun::all(id)
        };
        let dropped: Vec<PlacedTurn> = self
            .turns_in(newest_first)?
            .filter(|turn| turn.as_ref().map_or(true, |turn| !turn.turn.rolled_back))
            .take(usize::try_from(turns).unwrap_or(usize::MAX))
            .collect::<Result<_, _>>()?;
        for turn in dropped {
            self.put_turn(id, &turn.rolled_back(by))?;
        }
        Ok(())
    }

    pub(crate) fn put_path(&mut self, path: &LogPath, row: &PathRow) -> Result<(), Fault> {
        self.insert(Table::Paths, path.as_str().as_bytes(), &encode(row)?)
    }

    pub(crate) fn remove_path(&mut self, path: &LogPath) -> Result<(), Fault> {
        self.remove(Table::Paths, path.as_str().as_bytes())
            .map(drop)
    }

    pub(crate) fn put_dir(&mut self, dir: &str, row: &DirRow) -> Result<(), Fault> {
        self.insert(Table::Dirs, dir.as_bytes(), &encode(row)?)
    }

    pub(crate) fn remove_dir(&mut self, dir: &str) -> Result<(), Fault> {
        self.remove(Table::Dirs, dir.as_bytes()).map(drop)
    }

    pub(crate) fn put_failure(&mut self, path: &str, row: &FailureRow) -> Result<(), Fault> {
        self.insert(Table::Failures, path.as_bytes(), &encode(row)?)
    }

    pub(crate) fn remove_failure(&mut self, path: &str) -> Result<(), Fault> {
        self.remove(Table::Failures, path.as_bytes()).map(drop)
    }

    pub(crate) fn set_name(&mut self, id: ThreadId, name: Option<&str>) -> Result<(), Fault> {
        match name {
            Some(name) => self.insert(Table::Names, id.as_bytes(), &encode(&name)?),
            None => self.remove(Table::Names, id.as_bytes()).map(drop),
        }
    }
}
