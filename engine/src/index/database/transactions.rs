//! Transactions: what can be read and written, and the tables that there are.

use std::cell::OnceCell;
use std::ops::Bound;

use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, TableError};

use super::{Handle, fault};
use crate::index::fault::Fault;
use crate::listing::Direction;

type Definition = redb::TableDefinition<'static, &'static [u8], &'static [u8]>;
type ReadTable = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;
type WriteTable<'txn> = redb::Table<'txn, &'static [u8], &'static [u8]>;

/// The index's tables: bytes to bytes, in the order of their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// What is known of the index itself.
    State,
    /// Thread id -> row.
    Threads,
    /// Order key -> nothing.
    Order,
    /// Thread id, turn index -> row.
    Turns,
    /// Log path -> thread id and what the file looked like.
    Paths,
    /// Folder -> what it looked like.
    Dirs,
    /// Path -> why it can't be read.
    Failures,
    /// Thread id -> the name that lies outside of its log.
    Names,
    /// Parent's thread id, child's thread id -> nothing.
    Children,
}

impl Table {
    const fn definition(self) -> Definition {
        Definition::new(match self {
            Self::State => "state",
            Self::Threads => "threads",
            Self::Order => "order",
            Self::Turns => "turns",
            Self::Paths => "paths",
            Self::Dirs => "dirs",
            Self::Failures => "failures",
            Self::Names => "names",
            Self::Children => "children",
        })
    }
}

/// Decoded entries of a table.
pub(crate) type Entries<'a, T> = Box<dyn Iterator<Item = Result<T, Fault>> + 'a>;

/// What transactions of both kinds can be asked.
pub(crate) trait View {
    /// The file that is read from.
    fn inode(&self) -> u64;

    /// What `decode` makes of a key's value.
    fn get<T>(
        &self,
        table: Table,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault>;

    /// What `decode` makes of each entry between two keys.
    fn range<'a, T: 'a, F>(&'a self, span: Span<'_>, decode: F) -> Result<Entries<'a, T>, Fault>
    where
        F: FnMut(&[u8], &[u8]) -> Result<T, Fault> + 'a;

    /// How many entries a table has.
    fn count(&self, table: Table) -> Result<u64, Fault>;
}

/// Part of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span<'a> {
    pub(crate) table: Table,
    pub(crate) from: Bound<&'a [u8]>,
    pub(crate) to: Bound<&'a [u8]>,
    pub(crate) direction: Direction,
}

impl Span<'_> {
    /// All of a table, from its first key on.
    pub(crate) const fn all(table: Table) -> Self {
        Self {
            table,
            from: Bound::Unbounded,
            to: Bound::Unbounded,
            direction: Direction::Ascending,
        }
    }
}

/// A key or value that keeps its page alive.
trait Guard {
    fn bytes(&self) -> &[u8];
}

impl Guard for redb::AccessGuard<'_, &'static [u8]> {
    fn bytes(&self) -> &[u8] {
        self.value()
    }
}

impl Guard for redb::OwnedAccessGuard<&'static [u8]> {
    fn bytes(&self) -> &[u8] {
        self.value()
    }
}

fn entries<T, G: Guard>(
    mut range: impl DoubleEndedIterator<Item = Result<(G, G), redb::StorageError>>,
    direction: Direction,
    mut decode: impl FnMut(&[u8], &[u8]) -> Result<T, Fault>,
) -> impl Iterator<Item = Result<T, Fault>> {
    std::iter::from_fn(move || match direction {
        Direction::Ascending => range.next(),
        Direction::Descending => range.next_back(),
    })
    .map(move |entry| {
        let (key, value) = entry.map_err(fault)?;
        decode(key.bytes(), value.bytes())
    })
}

/// One of something for each table.
#[derive(Debug, Default)]
struct PerTable<T> {
    state: T,
    threads: T,
    order: T,
    turns: T,
    paths: T,
    dirs: T,
    failures: T,
    names: T,
    children: T,
}

impl<T> PerTable<T> {
    fn try_new<E>(make: impl Fn(Table) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self {
            state: make(Table::State)?,
            threads: make(Table::Threads)?,
            order: make(Table::Order)?,
            turns: make(Table::Turns)?,
            paths: make(Table::Paths)?,
            dirs: make(Table::Dirs)?,
            failures: make(Table::Failures)?,
            names: make(Table::Names)?,
            children: make(Table::Children)?,
        })
    }

    const fn of(&self, table: Table) -> &T {
        match table {
            Table::State => &self.state,
            Table::Threads => &self.threads,
            Table::Order => &self.order,
            Table::Turns => &self.turns,
            Table::Paths => &self.paths,
            Table::Dirs => &self.dirs,
            Table::Failures => &self.failures,
            Table::Names => &self.names,
            Table::Children => &self.children,
        }
    }

    const fn of_mut(&mut self, table: Table) -> &mut T {
        match table {
            Table::State => &mut self.state,
            Table::Threads => &mut self.threads,
            Table::Order => &mut self.order,
            Table::Turns => &mut self.turns,
            Table::Paths => &mut self.paths,
            Table::Dirs => &mut self.dirs,
            Table::Failures => &mut self.failures,
            Table::Names => &mut self.names,
            Table::Children => &mut self.children,
        }
    }
}

/// A consistent state of the index.
pub(crate) struct ReadTransaction {
    inner: redb::ReadTransaction,
    /// Opened when they are first asked for: `None` in an index that nobody has written to yet.
    tables: PerTable<OnceCell<Option<ReadTable>>>,
    inode: u64,
}

impl ReadTransaction {
    pub(super) fn begin(handle: &Handle) -> Result<Self, Fault> {
        Ok(Self {
            inner: handle.database()?.begin_read().map_err(fault)?,
            tables: PerTable::default(),
            inode: handle.inode,
        })
    }

    fn table(&self, table: Table) -> Result<Option<&ReadTable>, Fault> {
        let cell = self.tables.of(table);
        if let Some(opened) = cell.get() {
            return Ok(opened.as_ref());
        }
        let opened = match self.inner.open_table(table.definition()) {
            Ok(table) => Some(table),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(fault(error)),
        };
        Ok(cell.get_or_init(|| opened).as_ref())
    }
}

impl View for ReadTransaction {
    fn inode(&self) -> u64 {
        self.inode
    }

    fn get<T>(
        &self,
        table: Table,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let Some(table) = self.table(table)? else {
            return Ok(None);
        };
        let value = table.get(key).map_err(fault)?;
        value.map(|value| decode(value.value())).transpose()
    }

    fn range<'a, T: 'a, F>(&'a self, span: Span<'_>, decode: F) -> Result<Entries<'a, T>, Fault>
    where
        F: FnMut(&[u8], &[u8]) -> Result<T, Fault> + 'a,
    {
        let range = self
            .table(span.table)?
            .map(|table| table.range_owned((span.from, span.to)).map_err(fault))
            .transpose()?;
        Ok(match range {
            Some(range) => Box::new(entries(range, span.direction, decode)),
            None => Box::new(std::iter::empty()),
        })
    }

    fn count(&self, table: Table) -> Result<u64, Fault> {
        self.table(table)?
            .map_or(Ok(0), |table| table.len().map_err(fault))
    }
}

/// A transaction that writes. Its tables are all open, since each open costs a look-up.
pub(crate) struct WriteTransaction<'txn> {
    tables: PerTable<WriteTable<'txn>>,
    inode: u64,
}

impl<'txn> WriteTransaction<'txn> {
    pub(super) fn of(transaction: &'txn redb::WriteTransaction, inode: u64) -> Result<Self, Fault> {
        let tables =
            PerTable::try_new(|table| transaction.open_table(table.definition()).map_err(fault))?;
        Ok(Self { tables, inode })
    }

    /// Sets a key's value.
    pub(crate) fn insert(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let table = self.tables.of_mut(table);
        table.insert(key, value).map(drop).map_err(fault)
    }

    /// Removes a key. Returns whether it was there.
    pub(crate) fn remove(&mut self, table: Table, key: &[u8]) -> Result<bool, Fault> {
        let removed = self.tables.of_mut(table).remove(key).map_err(fault)?;
        Ok(removed.is_some())
    }

    /// Removes all keys of a span.
    pub(crate) fn remove_span(&mut self, span: Span<'_>) -> Result<(), Fault> {
        let table = self.tables.of_mut(span.table);
        table
            .retain_in((span.from, span.to), |_, _| false)
            .map_err(fault)
    }
}

impl View for WriteTransaction<'_> {
    fn inode(&self) -> u64 {
        self.inode
    }

    fn get<T>(
        &self,
        table: Table,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let value = self.tables.of(table).get(key).map_err(fault)?;
        value.map(|value| decode(value.value())).transpose()
    }

    fn range<'a, T: 'a, F>(&'a self, span: Span<'_>, decode: F) -> Result<Entries<'a, T>, Fault>
    where
        F: FnMut(&[u8], &[u8]) -> Result<T, Fault> + 'a,
    {
        let table = self.tables.of(span.table);
        let range = table.range((span.from, span.to)).map_err(fault)?;
        Ok(Box::new(entries(range, span.direction, decode)))
    }

    fn count(&self, table: Table) -> Result<u64, Fault> {
        self.tables.of(table).len().map_err(fault)
    }
}
