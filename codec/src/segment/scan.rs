//! Reading a segment forwards, past any damage.
//!
//! What must hold: only whole, checked batches are given, in the order of their ordinals; every
//! ordinal that is not given lies in a [`Gap`] or after the end; and the work is linear in the
//! bytes, whatever they are.

use std::collections::VecDeque;

use bytes::Bytes;

use super::frame::{Frame, FrameBounds, MIN_FRAME_BYTES};
use super::{FrameSeed, MAX_BATCH_RECORDS};
use crate::envelope;
use crate::{ByteLength, ByteOffset, CodecError, Ordinal, Record};

/// How many bytes of false frames may be checked for each byte of the buffer before the search
/// for an intact one is given up. No damage comes near it: to be checked at all, a false frame
/// must have two equal lengths in the right places and an envelope that decodes.
const SEARCH_BYTES_PER_BYTE: u64 = 32;

/// What one look at a false frame counts for besides its length.
const SEARCH_BYTES_PER_LOOK: u64 = 16;

/// Where a scan begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanStart {
    /// The segment's seed, from its header.
    pub seed: FrameSeed,
    /// The file offset of the buffer's first byte, where a frame begins.
    pub offset: ByteOffset,
    /// The ordinal that the first record should have.
    pub next_ordinal: Ordinal,
}

/// What a scan finds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ScanEvent {
    /// A record of a whole, checked batch. Its body is a slice of the buffer.
    Record(Record),
    /// Bytes that were skipped, or ordinals that are missing.
    Gap(Gap),
}

/// A stretch that could not be read. Reading went on after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The file offset of the first byte that was skipped.
    pub start: ByteOffset,
    /// The file offset where the next whole batch begins: `start` when no byte was skipped.
    pub end: ByteOffset,
    /// The first ordinal that is missing.
    pub first_ordinal: Ordinal,
    /// The ordinal of the record after the gap: `first_ordinal` when none is missing.
    pub next_ordinal: Ordinal,
    /// What was wrong at the first place that could not be read.
    pub why: CodecError,
}

/// How a segment ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ScanEnd {
    /// With a whole batch, or with no batch at all.
    Clean,
    /// With bytes that hold no whole batch.
    TornTail {
        /// The file offset of the first of these bytes.
        start: ByteOffset,
        /// How many there are.
        length: ByteLength,
        /// What was wrong at the first place that could not be read.
        why: CodecError,
    },
}

/// Reads the frames of `buf`, whose first byte is the first byte of a frame.
#[must_use]
pub fn scan(buf: Bytes, start: ScanStart) -> Scan {
    let search_budget = (buf.len() as u64)
        .saturating_mul(SEARCH_BYTES_PER_BYTE)
        .saturating_add(1 << 16);
    Scan {
        buf,
        seed: start.seed,
        offset: start.offset,
        next_ordinal: start.next_ordinal,
        at: 0,
        batch_at: 0,
        batch_ordinal: start.next_ordinal,
        batch: VecDeque::new(),
        search_budget,
        end: None,
    }
}

/// The events of a segment, in order. Made by [`scan`].
#[derive(Debug)]
pub struct Scan {
    buf: Bytes,
    seed: FrameSeed,
    offset: ByteOffset,
    /// The ordinal after the last whole batch.
    next_ordinal: Ordinal,
    /// The byte of `buf` after the last whole batch.
    at: usize,
    /// The byte of `buf` where the last whole batch begins.
    batch_at: usize,
    /// The ordinal of its first record.
    batch_ordinal: Ordinal,
    /// What is left to give of the last whole batch.
    batch: VecDeque<Record>,
    search_budget: u64,
    end: Option<ScanEnd>,
}

/// A whole batch, as its frames were found. Most batches are one record.
struct Batch {
    first: Record,
    rest: VecDeque<Record>,
    end: usize,
}

/// Why no whole batch begins somewhere.
struct NoBatch {
    why: CodecError,
    /// Where the search for the next one begins: before it, nothing but intact frames.
    search_from: usize,
}

impl Scan {
    /// The ordinal after the last whole batch: what an append would get, once the scan is
    /// exhausted.
    #[must_use]
    pub fn next_ordinal(&self) -> Ordinal {
        self.next_ordinal
    }

    /// The file offset after the last whole batch.
    #[must_use]
    pub fn whole_end(&self) -> ByteOffset {
        self.offset_of(self.at)
    }

    /// The file offset where the batch of the record given last begins.
    #[must_use]
    pub fn batch_start(&self) -> ByteOffset {
        self.offset_of(self.batch_at)
    }

    /// The ordinal of the first record of that batch.
    #[must_use]
    pub fn batch_ordinal(&self) -> Ordinal {
        self.batch_ordinal
    }

    /// How the segment ends, once the scan is exhausted.
    #[must_use]
    pub fn end(&self) -> Option<ScanEnd> {
        self.end.clone()
    }

    fn offset_of(&self, at: usize) -> ByteOffset {
        self.offset.plus(at as u64)
    }

    /// Reads the whole batch that begins at `at` and holds the next ordinal or a later one.
    fn batch_at(&self, at: usize) -> Result<Batch, NoBatch> {
        let frame = Frame::read(&self.buf, at, self.seed).map_err(|why| NoBatch {
            why,
            search_from: at,
        })?;
        let found = frame.envelope().ordinal;
        let wrong = if frame.envelope().batch.index != 0 {
            Some(CodecError::BatchBroken { expected: 0 })
        } else if found < self.next_ordinal {
            Some(CodecError::FrameOrdinal {
                expected: self.next_ordinal,
                found,
            })
        } else {
            None
        };
        if let Some(why) = wrong {
            return Err(NoBatch {
                why,
                search_from: frame.end(),
            });
        }
        let end = frame.end();
        let first = frame.into_record(&self.buf);
        self.rest_of_batch(first, end)
    }

    fn rest_of_batch(&self, first: Record, mut end: usize) -> Result<Batch, NoBatch> {
        let mut rest = VecDeque::new();
        let mut is_last = first.batch.is_last;
        let mut expected = 1_u32;
        let mut ordinal = first.ordinal.next();
        while !is_last {
            let broken = |why| NoBatch {
                why,
                search_from: end,
            };
            if end == self.buf.len() || expected as usize == MAX_BATCH_RECORDS {
                return Err(broken(CodecError::BatchBroken { expected }));
            }
            let frame = Frame::read(&self.buf, end, self.seed).map_err(broken)?;
            let envelope = frame.envelope();
            if envelope.batch.index != expected || envelope.ordinal != ordinal {
                return Err(broken(CodecError::BatchBroken { expected }));
            }
            is_last = envelope.batch.is_last;
            end = frame.end();
            rest.push_back(frame.into_record(&self.buf));
            expected += 1;
            ordinal = ordinal.next();
        }
        Ok(Batch { first, rest, end })
    }

    /// The next whole batch at or after `from`, and where it begins.
    fn search(&mut self, mut from: usize) -> Option<(usize, Batch)> {
        loop {
            let at = self.next_frame(from)?;
            match self.batch_at(at) {
                Ok(batch) => return Some((at, batch)),
                // An intact frame begins at `at`, so that the search goes on after it.
                Err(none) => {
                    self.charge(none.search_from);
                    from = none.search_from.max(at + 1);
                }
            }
        }
    }

    /// The next place at or after `from` where an intact frame begins.
    fn next_frame(&mut self, from: usize) -> Option<usize> {
        if self.is_frame(from) {
            return Some(from);
        }
        // Damage is mostly inside a frame whose lengths are good. Then the next frame begins
        // right after it, and whatever its payload holds is not taken for frames.
        if let Ok(bounds) = FrameBounds::at(&self.buf, from)
            && self.is_frame(bounds.end)
        {
            return Some(bounds.end);
        }
        let last = self.buf.len().checked_sub(MIN_FRAME_BYTES)?;
        for at in from + 1..=last {
            if self.search_budget == 0 {
                return None;
            }
            if self.is_frame(at) {
                return Some(at);
            }
        }
        None
    }

    /// Whether an intact frame begins at `at`, the cheapest refusals first.
    fn is_frame(&mut self, at: usize) -> bool {
        let Ok(bounds) = FrameBounds::at(&self.buf, at) else {
            return false;
        };
        if envelope::decode(bounds.inner_of(&self.buf)).is_err() {
            return false;
        }
        let is_intact = bounds.check(&self.buf, self.seed).is_ok();
        if !is_intact {
            self.charge(at);
        }
        is_intact
    }

    /// Pays for having checked the false frame at `at`. Intact frames are free: reading goes on
    /// after them, so that their bytes are not looked at again.
    fn charge(&mut self, at: usize) {
        if let Ok(bounds) = FrameBounds::at(&self.buf, at) {
            let cost = SEARCH_BYTES_PER_LOOK.saturating_add(bounds.inner.len() as u64);
            self.search_budget = self.search_budget.saturating_sub(cost);
        }
    }

    /// Takes `batch`, which begins at `start`, as read.
    fn take(&mut self, start: usize, batch: Batch) -> Record {
        self.batch_at = start;
        self.batch_ordinal = batch.first.ordinal;
        self.at = batch.end;
        self.next_ordinal = batch.rest.back().unwrap_or(&batch.first).ordinal.next();
        self.batch = batch.rest;
        batch.first
    }

    /// Takes a batch that does not follow the last one, and says what lies between.
    fn take_after_gap(&mut self, start: usize, batch: Batch, why: CodecError) -> ScanEvent {
        let gap = Gap {
            start: self.offset_of(self.at),
            end: self.offset_of(start),
            first_ordinal: self.next_ordinal,
            next_ordinal: batch.first.ordinal,
            why,
        };
        let first = self.take(start, batch);
        self.batch.push_front(first);
        ScanEvent::Gap(gap)
    }

    fn skip_damage(&mut self, damage: NoBatch) -> Option<ScanEvent> {
        self.charge(damage.search_from);
        if let Some((at, batch)) = self.search(damage.search_from) {
            return Some(self.take_after_gap(at, batch, damage.why));
        }
        let why = if self.search_budget == 0 {
            CodecError::SearchGivenUp
        } else {
            damage.why
        };
        self.end = Some(ScanEnd::TornTail {
            start: self.offset_of(self.at),
            length: ByteLength::new((self.buf.len() - self.at) as u64),
            why,
        });
        None
    }
}

impl Iterator for Scan {
    type Item = ScanEvent;

    fn next(&mut self) -> Option<ScanEvent> {
        if let Some(record) = self.batch.pop_front() {
            return Some(ScanEvent::Record(record));
        }
        if self.end.is_some() {
            return None;
        }
        if self.at == self.buf.len() {
            self.end = Some(ScanEnd::Clean);
            return None;
        }
        match self.batch_at(self.at) {
            Ok(batch) if batch.first.ordinal == self.next_ordinal => {
                Some(ScanEvent::Record(self.take(self.at, batch)))
            }
            Ok(batch) => {
                let why = CodecError::FrameOrdinal {
                    expected: self.next_ordinal,
                    found: batch.first.ordinal,
                };
                Some(self.take_after_gap(self.at, batch, why))
            }
            Err(damage) => self.skip_damage(damage),
        }
    }
}

impl std::iter::FusedIterator for Scan {}
