//! The end of a log, as its writer knows it: what is acknowledged, what is durable, and the
//! bytes between, from which a failed sync is made good.
//!
//! What must hold: the kept bytes are exactly those of the file from `base` to `end`; and the
//! durable ordinal only grows.

use selvedge_codec::{ByteLength, ByteOffset, Ordinal};

use super::sync::Written;

#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Where the kept bytes begin in the file.
    base: ByteOffset,
    /// What was acknowledged and is not known to be durable.
    kept: Vec<u8>,
    /// The ordinal after the last acknowledged record.
    next_ordinal: Ordinal,
    /// All records below are durable.
    durable: Ordinal,
    /// What lies before `base`, as long as it was never synced by this writer.
    unproven: Option<Unproven>,
}

/// Bytes that were found in the file, up to `base`. They were written by somebody else, who may
/// not have come to sync them.
#[derive(Debug, Clone)]
pub(super) struct Unproven {
    /// Where they begin.
    pub(super) from: ByteOffset,
    /// Their checksum: a failed sync may have lost them.
    checksum: crc32fast::Hasher,
}

impl Unproven {
    fn new(from: ByteOffset, bytes: &[u8]) -> Self {
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(bytes);
        Self { from, checksum }
    }

    /// Whether `bytes` are those that were found.
    pub(super) fn is_of(&self, bytes: &[u8]) -> bool {
        crc32fast::hash(bytes) == self.checksum.clone().finalize()
    }
}

impl Tail {
    /// The end of a file that holds `bytes`.
    pub(super) fn found(bytes: &[u8], next_ordinal: Ordinal) -> Self {
        Self {
            base: ByteOffset::new(bytes.len() as u64),
            next_ordinal,
            unproven: Some(Unproven::new(ByteOffset::ZERO, bytes)),
            ..Self::default()
        }
    }

    /// The first byte after what is acknowledged.
    pub(super) fn end(&self) -> ByteOffset {
        self.base.plus(self.kept.len() as u64)
    }

    pub(super) const fn base(&self) -> ByteOffset {
        self.base
    }

    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    pub(super) const fn unproven(&self) -> Option<&Unproven> {
        self.unproven.as_ref()
    }

    pub(super) const fn next_ordinal(&self) -> Ordinal {
        self.next_ordinal
    }

    pub(super) const fn durable(&self) -> Ordinal {
        self.durable
    }

    pub(super) fn unsynced(&self) -> ByteLength {
        ByteLength::new(self.kept.len() as u64)
    }

    pub(super) fn is_durable(&self) -> bool {
        self.kept.is_empty() && self.unproven.is_none()
    }

    pub(super) fn written(&self) -> Written {
        Written {
            end: self.end(),
            next_ordinal: self.next_ordinal,
        }
    }

    /// The buffer that new bytes are encoded into, behind those that are kept. They count once
    /// [`Tail::acknowledge`] is called, and have to be taken out again by [`Tail::take_back`]
    /// otherwise.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.kept
    }

    /// The bytes of the buffer from `mark` on.
    pub(super) fn since(&self, mark: usize) -> &[u8] {
        self.kept.get(mark..).unwrap_or_default()
    }

    /// Takes the bytes since `mark` out again.
    pub(super) fn take_back(&mut self, mark: usize) -> Vec<u8> {
        let taken = self.kept.split_off(mark.min(self.kept.len()));
        if self.kept.is_empty() {
            self.kept = Vec::new();
        }
        taken
    }

    /// Somebody else has appended `bytes` before what is in the buffer from `mark` on.
    pub(super) fn precede(&mut self, mark: usize, bytes: &[u8]) {
        let mark = mark.min(self.kept.len());
        self.kept.splice(mark..mark, bytes.iter().copied());
    }

    /// What is in the buffer was written: it counts from now on.
    pub(super) fn acknowledge(&mut self, next_ordinal: Ordinal) {
        self.next_ordinal = self.next_ordinal.max(next_ordinal);
    }

    /// Somebody else has appended `bytes` to the file.
    pub(super) fn absorb(&mut self, bytes: &[u8], next_ordinal: Ordinal) {
        if self.kept.is_empty() {
            // Nothing of ours is at stake, so that their bytes need not be kept either.
            match &mut self.unproven {
                Some(unproven) => unproven.checksum.update(bytes),
                None => self.unproven = Some(Unproven::new(self.base, bytes)),
            }
            self.base = self.base.plus(bytes.len() as u64);
        } else {
            self.kept.extend_from_slice(bytes);
        }
        self.acknowledge(next_ordinal);
    }

    /// What was durable in a file before it was looked at anew is so still.
    pub(super) fn never_below(&mut self, before: &Self) {
        self.durable = self.durable.max(before.durable);
    }

    /// The file is durable as far as `upto`.
    pub(super) fn synced(&mut self, upto: Written) {
        self.durable = self.durable.max(upto.next_ordinal);
        if upto.end >= self.base {
            // Otherwise some of what lies before was read after the sync had begun.
            self.unproven = None;
        }
        let durable = upto.end.get().saturating_sub(self.base.get());
        let durable = usize::try_from(durable)
            .unwrap_or(usize::MAX)
            .min(self.kept.len());
        self.base = self.base.plus(durable as u64);
        if durable == self.kept.len() {
            // An idle log keeps no buffer: there may be a hundred thousand of them.
            self.kept = Vec::new();
        } else {
            self.kept.drain(..durable);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(tail: &mut Tail, bytes: &[u8]) -> Written {
        tail.buffer().extend_from_slice(bytes);
        let next = tail.next_ordinal().next();
        tail.acknowledge(next);
        tail.written()
    }

    #[test]
    fn an_older_sync_never_lowers_what_is_durable() {
        let mut tail = Tail::default();
        let first = append(&mut tail, b"one");
        let second = append(&mut tail, b"second");
        append(&mut tail, b"third");
        tail.synced(second);
        assert_eq!(
            (tail.durable(), tail.kept()),
            (Ordinal::new(2), &b"third"[..])
        );
        tail.synced(first);
        assert_eq!(
            (tail.durable(), tail.kept()),
            (Ordinal::new(2), &b"third"[..])
        );
        assert_eq!(tail.base(), ByteOffset::new(9));
        assert_eq!(tail.end(), ByteOffset::new(14));
    }

    #[test]
    fn a_durable_log_keeps_no_buffer() {
        let mut tail = Tail::default();
        let written = append(&mut tail, &[7; 5000]);
        tail.synced(written);
        assert!(tail.is_durable());
        assert_eq!(tail.kept.capacity(), 0);
    }

    #[test]
    fn bytes_that_were_never_acknowledged_leave_no_trace() {
        let mut tail = Tail::default();
        append(&mut tail, b"kept");
        let mark = tail.kept().len();
        tail.buffer().extend_from_slice(b"failed");
        assert_eq!(tail.since(mark), b"failed");
        assert_eq!(tail.take_back(mark), b"failed");
        assert_eq!(
            (tail.kept(), tail.next_ordinal()),
            (&b"kept"[..], Ordinal::new(1))
        );
    }

    #[test]
    fn what_was_found_in_a_file_is_not_taken_for_durable() {
        let mut tail = Tail::found(b"found", Ordinal::new(5));
        assert_eq!((tail.durable(), tail.is_durable()), (Ordinal::ZERO, false));
        tail.absorb(b" later", Ordinal::new(6));
        let unproven = tail.unproven().unwrap();
        assert!(unproven.is_of(b"found later") && !unproven.is_of(b"found lates"));
        tail.synced(tail.written());
        assert_eq!((tail.durable(), tail.is_durable()), (Ordinal::new(6), true));
        tail.absorb(b" more", Ordinal::new(7));
        assert_eq!(tail.unproven().unwrap().from, ByteOffset::new(11));
        assert!(tail.unproven().unwrap().is_of(b" more"));
    }
}
