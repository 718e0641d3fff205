//! Reading a segment backwards from its end, by the frames' trailing lengths.
//!
//! What must hold: the records given are those that a forward scan gives, newest first, and only
//! of whole batches. Anything doubtful ends the walk: the forward scan is the judge of damage.

use std::collections::VecDeque;

use bytes::Bytes;

use super::frame::{Frame, FrameBounds, MIN_FRAME_BYTES};
use super::{FrameSeed, HEADER_BYTES, MAX_BATCH_RECORDS};
use crate::{ByteLength, ByteOffset, CodecError, Ordinal, Record};

/// Where a walk begins: at the end of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WalkBackStart {
    /// The segment's seed, from its header.
    pub seed: FrameSeed,
    /// The file offset of the buffer's first byte.
    pub offset_of_buf: ByteOffset,
}

/// What a walk finds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WalkBackEvent {
    /// A record of a whole, checked batch: the one before the record given last.
    Record(Record),
    /// The batch before begins before the buffer. Walk again over a buffer that ends at
    /// [`WalkBack::whole_start`] and is at least this long.
    NeedMore {
        /// The least length of that buffer.
        at_least: ByteLength,
    },
    /// No whole batch ends at `end`. The walk is over.
    Damage {
        /// The file offset where the damaged bytes end.
        end: ByteOffset,
        /// What is wrong.
        why: CodecError,
    },
}

/// Reads `buf` from its end, which is the end of a whole batch, towards its front.
#[must_use]
pub fn walk_back(buf: Bytes, start: WalkBackStart) -> WalkBack {
    // Frames begin after the header, should the buffer hold it.
    let front = (HEADER_BYTES as u64).saturating_sub(start.offset_of_buf.get());
    WalkBack {
        at: buf.len(),
        batch_end: buf.len(),
        batch_next: Ordinal::ZERO,
        front: usize::try_from(front).unwrap_or(usize::MAX),
        buf,
        start,
        newer: None,
        batch: VecDeque::new(),
        is_over: false,
    }
}

/// The records of a segment, newest first. Made by [`walk_back`].
#[derive(Debug)]
pub struct WalkBack {
    buf: Bytes,
    start: WalkBackStart,
    /// The byte of `buf` where frames begin at the earliest.
    front: usize,
    /// The byte of `buf` where the last whole batch begins.
    at: usize,
    /// The byte of `buf` where that batch ends.
    batch_end: usize,
    /// The ordinal after that batch's last record.
    batch_next: Ordinal,
    /// The ordinal of that batch's first record.
    newer: Option<Ordinal>,
    /// What is left to give of the last whole batch, newest first.
    batch: VecDeque<Record>,
    is_over: bool,
}

/// Why no batch was read: an event without a record.
enum Stop {
    Need(usize),
    Damage(CodecError),
}

impl WalkBack {
    /// The file offset where the earliest batch that was read whole begins.
    #[must_use]
    pub fn whole_start(&self) -> ByteOffset {
        self.start.offset_of_buf.plus(self.at as u64)
    }

    /// The file offset where the batch of the record given last ends.
    #[must_use]
    pub fn batch_end(&self) -> ByteOffset {
        self.start.offset_of_buf.plus(self.batch_end as u64)
    }

    /// The ordinal of that batch's first record, and the one after its last; `None` before a
    /// record was given.
    #[must_use]
    pub fn batch_ordinals(&self) -> Option<(Ordinal, Ordinal)> {
        self.newer.map(|first| (first, self.batch_next))
    }

    /// Whether the walk reached the segment's first frame.
    #[must_use]
    pub fn is_at_front(&self) -> bool {
        self.whole_start().get() <= HEADER_BYTES as u64
    }

    /// Reads the frame that ends at `end`, and where it begins.
    fn frame_before(&self, end: usize) -> Result<(usize, Frame), Stop> {
        let have = end.saturating_sub(self.front);
        // Bytes before the buffer belong to frames only if they lie after the header.
        let is_front_of_file = self.start.offset_of_buf.get() <= HEADER_BYTES as u64;
        let missing = |bytes: usize| {
            if is_front_of_file {
                Stop::Damage(CodecError::FrameCutShort)
            } else {
                Stop::Need(bytes)
            }
        };
        if have < MIN_FRAME_BYTES {
            return Err(missing(MIN_FRAME_BYTES));
        }
        let length = FrameBounds::length_before(&self.buf, end).map_err(Stop::Damage)?;
        if length > have {
            return Err(missing(length));
        }
        let at = end - length;
        let frame = Frame::read(&self.buf, at, self.start.seed).map_err(Stop::Damage)?;
        // A damaged trailing length may lead to an intact frame that ends elsewhere.
        if frame.end() != end {
            return Err(Stop::Damage(CodecError::FrameLength));
        }
        Ok((at, frame))
    }

    /// Reads the whole batch that ends at `self.at`, and where it begins.
    fn batch_before(&self) -> Result<(usize, VecDeque<Record>), Stop> {
        let mut batch = VecDeque::new();
        let mut at = self.at;
        let mut newer = self.newer;
        let mut expected: Option<u32> = None;
        loop {
            let (start, frame) = match self.frame_before(at) {
                Err(Stop::Need(bytes)) => return Err(Stop::Need(self.at - at + bytes)),
                other => other?,
            };
            let envelope = frame.envelope();
            let place = envelope.batch;
            let is_expected = match expected {
                None => place.is_last && (place.index as usize) < MAX_BATCH_RECORDS,
                Some(index) => !place.is_last && place.index == index,
            };
            if !is_expected {
                let expected = expected.unwrap_or(place.index.saturating_add(1));
                return Err(Stop::Damage(CodecError::BatchBroken { expected }));
            }
            check_order(envelope.ordinal, newer)?;
            newer = Some(envelope.ordinal);
            at = start;
            batch.push_back(frame.into_record(&self.buf));
            match place.index.checked_sub(1) {
                None => return Ok((at, batch)),
                before => expected = before,
            }
        }
    }
}

/// Refuses a record that is not the one before `newer`: which of the two is the copy or the old
/// one, only a scan from the front can tell.
fn check_order(found: Ordinal, newer: Option<Ordinal>) -> Result<(), Stop> {
    match newer {
        Some(newer) if found >= newer || found.next() != newer => {
            Err(Stop::Damage(CodecError::FrameOrdinal {
                expected: Ordinal::new(newer.get().saturating_sub(1)),
                found,
            }))
        }
        _ => Ok(()),
    }
}

impl Iterator for WalkBack {
    type Item = WalkBackEvent;

    fn next(&mut self) -> Option<WalkBackEvent> {
        if let Some(record) = self.batch.pop_front() {
            return Some(WalkBackEvent::Record(record));
        }
        if self.is_over || self.is_at_front() {
            return None;
        }
        match self.batch_before() {
            Ok((at, mut batch)) => {
                self.batch_end = self.at;
                self.at = at;
                let newest = batch.pop_front()?;
                self.batch_next = newest.ordinal.next();
                self.newer = Some(batch.back().unwrap_or(&newest).ordinal);
                self.batch = batch;
                Some(WalkBackEvent::Record(newest))
            }
            Err(Stop::Need(bytes)) => {
                self.is_over = true;
                Some(WalkBackEvent::NeedMore {
                    at_least: ByteLength::new(bytes as u64),
                })
            }
            Err(Stop::Damage(why)) => {
                self.is_over = true;
                Some(WalkBackEvent::Damage {
                    end: self.whole_start(),
                    why,
                })
            }
        }
    }
}

impl std::iter::FusedIterator for WalkBack {}
