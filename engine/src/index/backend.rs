//! redb's storage, over the project's [`DiskFile`].
//!
//! **No wait for another process is without a bound.** redb asks for locks by waiting; here a
//! wait polls until the operation's deadline and then fails with
//! [`io::ErrorKind::TimedOut`], which redb passes on without poisoning its handle. A process that
//! is stopped in the middle of a transaction delays the others by that bound, and no more.

use std::cell::Cell;
use std::io;
use std::ops::{Bound, Range};
use std::time::{Duration, Instant};

use redb::{BackendError, StorageBackend};

use super::blocks::{Extent, database_length, file_length, impossible};
use crate::disk::DiskFile;

thread_local! {
    /// The deadline of the operation that this thread carries out. Not a duration for each lock:
    /// threads that queue behind one another in redb would add theirs up.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Polling begins this often, and becomes rarer: a commit of another process takes milliseconds.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(4);

/// Bounds every wait of this thread for a lock of the index, while it lives.
#[derive(Debug)]
pub(super) struct Patience {
    before: Option<Instant>,
}

impl Patience {
    /// Waits end at `deadline`, or at the one that holds already if that is earlier.
    pub(super) fn until(deadline: Instant) -> Self {
        let before = DEADLINE.get();
        DEADLINE.set(Some(before.map_or(deadline, |known| known.min(deadline))));
        Self { before }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        DEADLINE.set(self.before);
    }
}

/// The index's file, as redb sees it.
#[derive(Debug)]
pub(super) struct Backend {
    file: Box<dyn DiskFile>,
}

impl Backend {
    pub(super) const fn new(file: Box<dyn DiskFile>) -> Self {
        Self { file }
    }

    /// Locks a byte of those that redb leaves to its storage, until this is dropped.
    pub(super) fn lock_for_replacing(&self, byte: u64) -> io::Result<()> {
        self.wait_for(&(byte..byte.saturating_add(1)), false)
    }

    fn wait_for(&self, range: &Range<u64>, shared: bool) -> io::Result<()> {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.file.try_lock_range(range.clone(), shared)? {
                return Ok(());
            }
            let left = DEADLINE.get().map_or(Duration::ZERO, |end| {
                end.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// redb's bounds as a range that ends before its end; `u64::MAX` stands for no end.
fn range_of(start: Bound<u64>, end: Bound<u64>) -> io::Result<Range<u64>> {
    let start = match start {
        Bound::Unbounded => 0,
        Bound::Included(start) => start,
        Bound::Excluded(before) => before.checked_add(1).ok_or_else(impossible)?,
    };
    let end = match end {
        Bound::Unbounded => u64::MAX,
        Bound::Included(last) => last.checked_add(1).ok_or_else(impossible)?,
        Bound::Excluded(end) => end,
    };
    if start < end {
        Ok(start..end)
    } else {
        Err(impossible())
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len().and_then(database_length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let extent = Extent::of(offset, out.len())?;
        let mut raw = vec![0; extent.file_bytes()];
        let read = self.file.read_at(&mut raw, extent.start)?;
        extent.open(raw.get(..read).unwrap_or_default(), out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(file_length(len)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let extent = Extent::of(offset, data.len())?;
        self.file.write_all_at(&extent.seal(data)?, extent.start)
    }

    fn close(&self) -> io::Result<()> {
        self.file.unlock_range(0..u64::MAX)
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        Ok(self.file.try_lock_range(range_of(start, end)?, false)?)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        Ok(self.file.try_lock_range(range_of(start, end)?, true)?)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        Ok(self.wait_for(&range_of(start, end)?, false)?)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        Ok(self.wait_for(&range_of(start, end)?, true)?)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        Ok(self.file.unlock_range(range_of(start, end)?)?)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        Ok(self.file.is_locked_elsewhere(range_of(start, end)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, OpenMode, RealDisk};

    fn open(path: &std::path::Path) -> Backend {
        Backend::new(RealDisk.open(path, OpenMode::CreateOrOpen).unwrap())
    }

    #[test]
    fn a_wait_for_a_lock_ends_at_the_operation_s_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (open(&dir.path().join("f")), open(&dir.path().join("f")));
        let byte = Bound::Included(1 << 62);
        one.lock_range(byte, byte).unwrap();
        let outer = Patience::until(Instant::now() + Duration::from_millis(20));
        // A later deadline inside of an earlier one does not lengthen the wait.
        let _inner = Patience::until(Instant::now() + Duration::from_secs(3600));
        let refused = other.lock_shared_range(byte, byte).unwrap_err();
        assert!(
            matches!(&refused, BackendError::Io(error) if error.kind() == io::ErrorKind::TimedOut),
            "{refused}"
        );
        one.unlock_range(byte, byte).unwrap();
        other.lock_shared_range(byte, byte).unwrap();
        drop(outer);
    }

    #[test]
    fn bounds_of_every_kind_become_ranges() {
        use Bound::{Excluded, Included, Unbounded};
        assert_eq!(range_of(Unbounded, Unbounded).unwrap(), 0..u64::MAX);
        assert_eq!(range_of(Included(3), Included(3)).unwrap(), 3..4);
        assert_eq!(range_of(Excluded(3), Excluded(9)).unwrap(), 4..9);
        assert!(range_of(Included(3), Excluded(3)).is_err());
        assert!(range_of(Excluded(u64::MAX), Unbounded).is_err());
    }

    #[test]
    fn closing_releases_every_lock() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (open(&dir.path().join("f")), open(&dir.path().join("f")));
        one.lock_range(Bound::Included(0), Bound::Excluded(320))
            .unwrap();
        one.lock_shared_range(Bound::Included(1 << 62), Bound::Included(1 << 62))
            .unwrap();
        one.close().unwrap();
        assert!(
            other
                .try_lock_range(Bound::Unbounded, Bound::Unbounded)
                .unwrap()
        );
    }
}
