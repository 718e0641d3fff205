//! Writing JSON lines, in a file that another tool may append to as well.
//!
//! What must hold: whatever the file ended with, each line written here is a line of its own; and
//! a file whose lines carry ordinals goes on with them.

use bytes::Bytes;
use selvedge_codec::jsonl::{LineEvent, LineScanStart, render_line, scan};
use selvedge_codec::view::View;
use selvedge_codec::{
    ByteLength, ByteOffset, CodecError, Item, Ordinal, PayloadEncoding, Record, ThreadId, TurnId,
};

use super::Damage;
use super::draft::{Draft, follow_turn};
use super::recovery::{Found, FoundLines, Torn};
use super::writer::{Look, Writer};

#[derive(Debug, Default)]
pub(super) struct LinesWriter {
    /// Where a scan goes on: at the end, or at the half line that the file ends with, which its
    /// owner may still complete.
    position: LineScanStart,
    /// The file's last byte is not a newline.
    is_unterminated: bool,
    has_ordinals: bool,
}

impl LinesWriter {
    pub(super) fn encode(
        &self,
        batches: Vec<Vec<Item>>,
        draft: &mut Draft,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        if self.is_unterminated {
            out.push(b'\n');
        }
        for batch in batches {
            if batch.is_empty() {
                return Err(CodecError::EmptyBatch);
            }
            for record in draft.records(batch) {
                render_line(&self.canonical(record)?, out)?;
                out.push(b'\n');
            }
        }
        Ok(())
    }

    /// The record as a line of this file would hold it: a line of another file may carry an
    /// ordinal that is none here.
    fn canonical(&self, mut record: Record) -> Result<Record, CodecError> {
        let is_payload = matches!(
            record.encoding,
            PayloadEncoding::Json | PayloadEncoding::JsonWithOrdinal
        );
        if !is_payload {
            let payload = record.payload_json()?.get().to_owned();
            record.body = Bytes::from(payload);
        }
        record.encoding = if self.has_ordinals {
            PayloadEncoding::JsonWithOrdinal
        } else {
            PayloadEncoding::Json
        };
        Ok(record)
    }

    pub(super) fn written(&mut self, end: ByteOffset, next_ordinal: Ordinal) {
        self.is_unterminated = false;
        self.position = LineScanStart {
            offset: end,
            next_ordinal,
            bad_since_record: 0,
        };
    }

    /// Where to read from when the file has grown.
    pub(super) const fn unread_from(&self) -> ByteOffset {
        self.position.offset
    }

    /// Takes in what another tool appended: `bytes` reach from [`LinesWriter::unread_from`] to the
    /// end of the file. Returns the ordinal of the next record.
    pub(super) fn absorb(&mut self, bytes: &Bytes, turn: &mut Option<TurnId>) -> Ordinal {
        let mut lines = scan(bytes.clone(), self.position);
        for event in &mut lines {
            if let LineEvent::Record { record, .. } = event {
                follow_turn(turn, &record);
            }
        }
        self.position = lines.state();
        self.has_ordinals |= lines.has_explicit_ordinals();
        self.is_unterminated = bytes.last().is_some_and(|last| *last != b'\n');
        self.position.next_ordinal
    }
}

pub(super) fn look(bytes: &Bytes, thread_id: ThreadId, name: Option<ThreadId>) -> Look {
    let mut lines = scan(bytes.clone(), LineScanStart::default());
    let (mut turn, mut damage) = (None, Vec::new());
    let mut meta = OwnMeta {
        name,
        ..OwnMeta::default()
    };
    let mut records = 0_u64;
    while let Some(event) = lines.next() {
        match event {
            LineEvent::Record { record, .. } => {
                records += 1;
                follow_turn(&mut turn, &record);
                meta.take(&record);
            }
            LineEvent::BadLine {
                offset,
                length,
                why,
            } => {
                let ordinal = lines.state().next_ordinal;
                meta.head_is_damaged |= records == 0;
                damage.push(Damage {
                    offset,
                    length,
                    first_ordinal: ordinal,
                    next_ordinal: ordinal,
                    why,
                });
            }
        }
    }
    let position = lines.state();
    let torn = lines.torn_tail().map(|(offset, length)| Torn {
        offset,
        length,
        why: CodecError::NotARecordLine {
            why: "the line has no end".to_owned(),
        },
    });
    Look {
        found: Found::Lines(FoundLines {
            thread_id,
            meta: meta.found.flatten(),
            name,
            length: ByteLength::new(bytes.len() as u64),
            records,
            bad_lines: damage.len() as u64,
            torn,
            next_ordinal: position.next_ordinal,
        }),
        writer: Writer::Lines(LinesWriter {
            position,
            is_unterminated: bytes.last().is_some_and(|last| *last != b'\n'),
            has_ordinals: lines.has_explicit_ordinals(),
        }),
        next_ordinal: position.next_ordinal,
        turn,
        damage,
    }
}

/// The log's own meta, by the rule that its projection goes by: it is the first one, and a later
/// one is copied history. Where the first lines are damaged, the own meta may be among them.
#[derive(Default)]
struct OwnMeta {
    /// The thread that the file's name names.
    name: Option<ThreadId>,
    /// Whether nothing but damage came before the first record.
    head_is_damaged: bool,
    /// The thread that the meta names, once it is found.
    found: Option<Option<ThreadId>>,
}

impl OwnMeta {
    fn take(&mut self, record: &Record) {
        if self.found.is_some() {
            return;
        }
        let Ok(View::SessionMeta(meta)) = View::of(record) else {
            return;
        };
        let id = meta.thread_id();
        let certain = self.name.filter(|_| self.head_is_damaged);
        if certain.is_none() || id.is_none() || id == certain {
            self.found = Some(id);
        }
    }
}
