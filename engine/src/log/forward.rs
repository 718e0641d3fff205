//! Reading a log forwards from a position, in pieces.
//!
//! What must hold: the records are those that a scan of the whole log gives from there on. Only
//! what follows a piece tells whether its last bytes are damaged, so that damage in a piece of a
//! native log is left to a scan of all that follows.

use selvedge_codec::{ByteLength, ByteOffset, Record};

use super::{LogEvent, LogPosition, LogScan, OpenLog, RecordPlace};
use crate::Result;
use crate::home::LogFormat;

/// Pieces grow twofold up to this length, or to what a batch or line needs.
const LARGEST_PIECE: u64 = 1 << 20;

/// The records of a log from a position on. Damage is passed over.
#[derive(Debug)]
pub(crate) struct ForwardReader<'a> {
    log: &'a OpenLog,
    scan: LogScan,
    /// Where `scan` begins, and how much of the file it sees.
    from: LogPosition,
    piece: ByteLength,
    /// Right behind the last batch or line that was given whole.
    after: LogPosition,
    /// Nothing behind is asked for.
    until: ByteOffset,
}

impl<'a> ForwardReader<'a> {
    /// Reads from one position up to another, both between batches or lines. `first_piece` is how
    /// much is read at first.
    ///
    /// # Errors
    /// As [`super::read_log`].
    pub(crate) fn between(
        log: &'a OpenLog,
        (from, until): (LogPosition, LogPosition),
        first_piece: ByteLength,
    ) -> Result<Self> {
        let until = until.offset;
        let whole = until.get().saturating_sub(from.offset.get());
        let piece = ByteLength::new(whole.min(first_piece.get()));
        Ok(Self {
            scan: log.scan_piece(from, piece)?,
            log,
            from,
            piece,
            after: from,
            until,
        })
    }

    fn is_last_piece(&self) -> bool {
        self.from.offset.plus(self.piece.get()) >= self.until
    }

    /// The next record, and where it lies.
    ///
    /// # Errors
    /// As [`super::read_log`].
    pub(crate) fn next(&mut self) -> Result<Option<(Record, RecordPlace)>> {
        loop {
            match self.scan.next() {
                // More of the line may follow in the next piece.
                Some(LogEvent::Record(_))
                    if self.scan.is_unterminated() && !self.is_last_piece() =>
                {
                    self.read_more(self.after)?;
                }
                Some(LogEvent::Record(record)) => {
                    let place = self.scan.record_place();
                    if record.batch.is_last {
                        self.after = place.end;
                    }
                    return Ok(Some((record, place)));
                }
                Some(LogEvent::Damage(_)) if self.is_judge() => {}
                Some(LogEvent::Damage(_)) => {
                    let left = self.until.get().saturating_sub(self.after.offset.get());
                    self.read(self.after, ByteLength::new(left))?;
                }
                None if self.is_last_piece() => return Ok(None),
                None => self.read_more(self.scan.position())?,
            }
        }
    }

    /// Whether damage in this piece is what a scan of the whole log says of it.
    fn is_judge(&self) -> bool {
        self.is_last_piece() || self.log.format() != LogFormat::Native
    }

    /// Reads the next piece: a larger one where the last one held nothing whole.
    fn read_more(&mut self, from: LogPosition) -> Result<()> {
        let twice = self.piece.get().saturating_mul(2);
        let length = match from.offset == self.from.offset {
            true => twice,
            false => twice.min(LARGEST_PIECE.max(self.piece.get())),
        };
        let left = self.until.get().saturating_sub(from.offset.get());
        self.read(from, ByteLength::new(length.min(left)))
    }

    fn read(&mut self, from: LogPosition, piece: ByteLength) -> Result<()> {
        self.scan = self.log.scan_piece(from, piece)?;
        (self.from, self.piece) = (from, piece);
        Ok(())
    }
}
