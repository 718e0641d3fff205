//! The pieces in which a log is read from its tail.
//!
//! What must hold: all that is read is within a few times of what is given, the batch or line that
//! is read last included, however large it is.

use selvedge_codec::segment::{FrameSeed, WalkBack, WalkBackEvent, WalkBackStart, walk_back};
use selvedge_codec::{ByteLength, ByteOffset, CodecError, Ordinal, Record};

use super::OpenLog;
use crate::Result;

/// How much is read first: many a reader wants no more than the tail. Then twice as much each
/// time, up to the largest piece, unless a batch or line is larger.
pub(super) const FIRST_PIECE: ByteLength = ByteLength::new(32 << 10);
const LARGEST_PIECE: ByteLength = ByteLength::new(1 << 20);

fn twice(piece: ByteLength) -> ByteLength {
    ByteLength::new(piece.get().saturating_mul(2))
}

/// The piece to read after one of this length.
pub(super) fn larger(piece: ByteLength) -> ByteLength {
    twice(piece).min(LARGEST_PIECE)
}

/// The frames of a native segment, from the end of a batch towards its front.
#[derive(Debug)]
pub(super) struct FramesBack {
    walk: WalkBack,
    seed: FrameSeed,
    /// Where the piece ends, and how long it was to be.
    end: ByteOffset,
    piece: ByteLength,
}

impl FramesBack {
    /// Begins at the end of a batch.
    pub(super) fn ending_at(log: &OpenLog<'_>, seed: FrameSeed, end: ByteOffset) -> Result<Self> {
        Ok(Self {
            walk: walk_piece(log, seed, (end, FIRST_PIECE))?,
            seed,
            end,
            piece: FIRST_PIECE,
        })
    }

    /// The record before, or why none is known to be there: then the walk is over.
    pub(super) fn next(&mut self, log: &OpenLog<'_>) -> Result<Option<Result<Record, CodecError>>> {
        loop {
            return Ok(match self.walk.next() {
                Some(WalkBackEvent::Record(record)) => Some(Ok(record)),
                Some(WalkBackEvent::Damage { why, .. }) => Some(Err(why)),
                Some(WalkBackEvent::NeedMore { at_least }) => {
                    self.read_more(log, at_least)?;
                    continue;
                }
                None => None,
            });
        }
    }

    /// Reads the piece before what was given.
    fn read_more(&mut self, log: &OpenLog<'_>, at_least: ByteLength) -> Result<()> {
        let end = self.walk.whole_start();
        // A batch that is larger than the piece is read from its end again, and asks for one frame
        // more each time: only pieces that grow without a limit come to its front soon.
        let next = match end == self.end {
            true => twice(self.piece),
            false => larger(self.piece),
        };
        let piece = next.max(at_least);
        self.walk = walk_piece(log, self.seed, (end, piece))?;
        (self.end, self.piece) = (end, piece);
        Ok(())
    }

    /// The file offset where the earliest batch that was read whole begins.
    pub(super) fn whole_start(&self) -> ByteOffset {
        self.walk.whole_start()
    }

    /// The file offset where the batch of the record given last ends.
    pub(super) fn batch_end(&self) -> ByteOffset {
        self.walk.batch_end()
    }

    /// The ordinal of that batch's first record, and the one after its last; `None` before a
    /// record of the piece was given.
    pub(super) fn batch_ordinals(&self) -> Option<(Ordinal, Ordinal)> {
        self.walk.batch_ordinals()
    }
}

/// A walk over the piece of this length before `end`.
fn walk_piece(
    log: &OpenLog<'_>,
    seed: FrameSeed,
    (end, length): (ByteOffset, ByteLength),
) -> Result<WalkBack> {
    let from = ByteOffset::new(end.get().saturating_sub(length.get()));
    let bytes = log.read(from, ByteLength::new(end.get().saturating_sub(from.get())))?;
    let start = WalkBackStart {
        seed,
        offset_of_buf: from,
    };
    Ok(walk_back(bytes, start))
}
