//! What is done to a file.

use selvedge_codec::Ordinal;
use selvedge_codec::segment::{HEADER_BYTES, SegmentHeader, SegmentNumber};

use super::is_exhaustive;
use super::subjects::{Subject, Unit, compress, frames};
use crate::home::LogFormat;
use crate::sample_home::*;

/// Which of the log's records must be read whatever the harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Must {
    /// Those of the batches and lines whose bytes are where they were.
    Untouched,
    /// All.
    All,
    /// Those of the log's other files. What else is not read is told.
    Told,
    /// None: the log is as good as another one.
    Nothing,
}

/// A file that was harmed.
pub(super) struct Harm {
    pub(super) what: String,
    pub(super) bytes: Vec<u8>,
    pub(super) must: Must,
}

fn harm(what: impl Into<String>, bytes: Vec<u8>, must: Must) -> Harm {
    Harm {
        what: what.into(),
        bytes,
        must,
    }
}

/// Every `stride`-th flipped bit and cut, or all of them where the tests are to be exhaustive, and
/// all of what is done to whole batches, lines and blocks.
pub(super) fn harms(subject: &Subject, stride: usize) -> Vec<Harm> {
    let stride = if is_exhaustive() { 1 } else { stride };
    let good = &subject.good;
    let mut harms = Vec::new();
    for bit in (0..good.len() * 8).step_by(stride) {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        harms.push(harm(
            format!("bit {} of byte {}", bit % 8, bit / 8),
            bytes,
            Must::Untouched,
        ));
    }
    for length in (0..good.len()).step_by(stride.div_ceil(8)) {
        harms.push(harm(
            format!("cut to {length}"),
            good[..length].to_vec(),
            Must::Untouched,
        ));
    }
    blocks(subject, &mut harms);
    tails(subject, &mut harms);
    match subject.header {
        Some(header) => frames_harmed(subject, header, &mut harms),
        None if subject.format == LogFormat::JsonLines => lines_harmed(subject, &mut harms),
        None => compressed_harmed(subject, &mut harms),
    }
    harms
}

fn blocks(subject: &Subject, harms: &mut Vec<Harm>) {
    let good = &subject.good;
    for length in [16, 512, 4096] {
        for start in (0..good.len()).step_by(length.min(128)) {
            let mut bytes = good.clone();
            let end = bytes.len().min(start + length);
            bytes[start..end].fill(0);
            harms.push(harm(
                format!("zeros {start}..{end}"),
                bytes,
                Must::Untouched,
            ));
        }
    }
}

fn tails(subject: &Subject, harms: &mut Vec<Harm>) {
    for tail in [
        &b"\0"[..],
        b"garbage",
        b"\n\n\n",
        b"{\"timestamp\":\"2026-",
        &[0; 5000],
        &[0xff; 5000],
        &u32::MAX.to_le_bytes(),
        &[0xff, 0xff, 0xff, 0x03, 1, 2, 3, 4, 1],
    ] {
        let bytes = [&subject.good, tail].concat();
        let what = format!("{} bytes behind, {:?} first", tail.len(), tail.first());
        harms.push(harm(what, bytes, Must::All));
    }
}

/// The file with its batches or lines in this order.
fn reordered(subject: &Subject, order: &[usize]) -> Vec<u8> {
    let front = subject.units.first().map_or(0, |unit| unit.range.start);
    let units = order.iter().map(|at| subject.units[*at].range.clone());
    let parts = std::iter::once(0..front).chain(units);
    let mut bytes: Vec<u8> = parts
        .flat_map(|range| subject.good[range].to_vec())
        .collect();
    // What the parent of a fork has written later.
    let end = subject.units.last().map_or(0, |unit| unit.range.end);
    bytes.extend_from_slice(&subject.good[end..]);
    bytes
}

/// The file with these bytes before the batch or line of this number, or behind the last one.
fn inserted(subject: &Subject, at: usize, bytes: &[u8]) -> Vec<u8> {
    let units = &subject.units;
    let at = units.get(at).map_or_else(
        || units.last().map_or(0, |unit| unit.range.end),
        |unit| unit.range.start,
    );
    let (front, back) = subject.good.split_at(at);
    [front, bytes, back].concat()
}

fn orders(subject: &Subject, must: Must, harms: &mut Vec<Harm>) {
    let all: Vec<_> = (0..subject.units.len()).collect();
    for one in 0..all.len() {
        for other in [one + 1, all.len() - 1] {
            let mut order = all.clone();
            if one < other && other < all.len() {
                order.swap(one, other);
                let bytes = reordered(subject, &order);
                harms.push(harm(format!("swapped: {order:?}"), bytes, Must::Told));
            }
        }
        for at in [one + 1, all.len()] {
            let mut order = all.clone();
            order.insert(at, one);
            let bytes = reordered(subject, &order);
            harms.push(harm(format!("repeated: {order:?}"), bytes, must));
        }
        let mut order = all.clone();
        order.remove(one);
        let bytes = reordered(subject, &order);
        harms.push(harm(format!("removed: {order:?}"), bytes, Must::Told));
    }
}

fn frames_harmed(subject: &Subject, header: SegmentHeader, harms: &mut Vec<Harm>) {
    let inherits_more = subject.file != subject.log();
    // What is inherited ends where its name says.
    let all = if inherits_more { Must::Told } else { Must::All };
    let other_header = if inherits_more {
        Must::Told
    } else {
        Must::Nothing
    };
    orders(subject, all, harms);
    let other_thread = SegmentHeader {
        thread_id: id(77),
        ..header
    };
    let other_segment = SegmentHeader {
        segment: SegmentNumber::new(header.segment.get() + 1),
        ..header
    };
    for (at, unit) in subject.units.iter().enumerate() {
        let first = unit.records.start as u64;
        for (who, other) in [("thread", other_thread), ("segment", other_segment)] {
            let theirs = frames(&other, first, &[user("theirs"), user("word")]);
            let what = format!("another {who}'s frames before batch {at}");
            harms.push(harm(what, inserted(subject, at, &theirs), all));
            let mut bytes = subject.good.clone();
            bytes.splice(unit.range.clone(), theirs);
            let what = format!("another {who}'s frames for batch {at}");
            harms.push(harm(what, bytes, Must::Told));
        }
        let beginning = &subject.good[HEADER_BYTES..unit.range.start];
        let what = format!("the beginning again before batch {at}");
        harms.push(harm(what, inserted(subject, at, beginning), all));
        lengths(subject, unit, harms);
    }
    let end = subject.units.len();
    let theirs = frames(
        &other_thread,
        subject.intact.len() as u64,
        &[user("theirs")],
    );
    let behind = inserted(subject, end, &theirs);
    harms.push(harm("another thread's frame behind", behind, all));
    let again = inserted(subject, end, &subject.good[HEADER_BYTES..]);
    harms.push(harm("the whole log again behind", again, all));
    harms.push(harm(
        "the whole file again behind",
        inserted(subject, end, &subject.good),
        all,
    ));
    for first_ordinal in [u64::MAX, u64::MAX - 1, 1] {
        let header = SegmentHeader {
            first_ordinal: Ordinal::new(first_ordinal),
            ..header
        };
        let mut bytes = subject.good.clone();
        bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
        let what = format!("a header of first ordinal {first_ordinal}");
        harms.push(harm(what, bytes, other_header));
    }
    let mut bytes = subject.good.clone();
    bytes[..HEADER_BYTES].copy_from_slice(&other_thread.encode());
    harms.push(harm("another thread's header", bytes, other_header));
}

fn lengths(subject: &Subject, unit: &Unit, harms: &mut Vec<Harm>) {
    for length in [u32::MAX, 64 << 20, 9, 0] {
        let (leading, trailing) = (unit.range.start, unit.range.end - 4);
        let both: &[usize] = &[leading, trailing];
        for at in [&[leading][..], &[trailing], both] {
            let mut bytes = subject.good.clone();
            for at in at {
                bytes[*at..*at + 4].copy_from_slice(&length.to_le_bytes());
            }
            let what = format!("length {length} at {at:?}");
            harms.push(harm(what, bytes, Must::Untouched));
        }
    }
}

fn lines_harmed(subject: &Subject, harms: &mut Vec<Harm>) {
    orders(subject, Must::All, harms);
    let deep = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
    let time = "\"timestamp\":\"2026-02-20T09:15:00Z\"";
    let odd = [
        b"{\"timestamp\":\"2026-02-20T09\n".to_vec(),
        [&[0; 512][..], b"\n"].concat(),
        b"\xff\xfe\xfd\n".to_vec(),
        b"\xef\xbb\xbf\n".to_vec(),
        b"\r\n\r\r\n".to_vec(),
        format!("{{{time},\"type\":\"x\",\"payload\":1e999}}\n").into(),
        format!("{{{time},\"type\":\"event_msg\",\"payload\":{{\"type\":\"token_count\",\"info\":-1e999}}}}\n").into(),
        format!("{{{time},\"type\":\"x\",\"payload\":{deep}}}\n").into(),
        format!("{{{time},\"type\":\"event_msg\",\"payload\":{{\"type\":{deep}}}}}\n").into(),
        format!("{{{time},\"type\":\"x\",\"payload\":{}\n", &deep[..3000]).into(),
        format!("{{{time},\"type\":\"x\",\"type\":\"y\",\"payload\":1,\"payload\":2}}\n").into(),
        format!("{{{time},\"ordinal\":18446744073709551615,\"type\":\"x\",\"payload\":2}}\n").into(),
        format!("{{{time},\"ordinal\":-1e999,\"type\":\"x\",\"payload\":2}}\n").into(),
        b"[]\nnull\n{}\n".to_vec(),
    ];
    for at in 0..=subject.units.len() {
        for (number, line) in odd.iter().enumerate() {
            // Each of them in some places, and all of them in some place, is enough for each run.
            if !is_exhaustive() && (at + number) % 4 != 0 {
                continue;
            }
            let what = format!("odd line {number} before line {at}");
            harms.push(harm(what, inserted(subject, at, line), Must::All));
        }
    }
    // A byte order mark and a carriage return that belong to a line of the log.
    for unit in &subject.units {
        for (at, more) in [
            (unit.range.start, &b"\xef\xbb\xbf"[..]),
            (unit.range.end - 1, b"\r"),
        ] {
            let mut bytes = subject.good.clone();
            bytes.splice(at..at, more.iter().copied());
            harms.push(harm(format!("{more:?} at {at}"), bytes, Must::Told));
        }
    }
    let carriage_returns = subject.good.iter().map(|byte| match byte {
        b'\n' => b'\r',
        byte => *byte,
    });
    harms.push(harm(
        "carriage returns alone",
        carriage_returns.collect(),
        Must::Told,
    ));
}

fn compressed_harmed(subject: &Subject, harms: &mut Vec<Harm>) {
    let more = compress(&lines(&[user("more")]));
    harms.push(harm(
        "another frame behind",
        [&subject.good[..], &more].concat(),
        Must::All,
    ));
    for length in 1..more.len() {
        harms.push(harm(
            format!("{length} bytes of another frame behind"),
            [&subject.good[..], &more[..length]].concat(),
            Must::All,
        ));
    }
    let bomb = compress(&vec![b' '; 4 << 20]);
    harms.push(harm(
        "four million spaces behind",
        [&subject.good[..], &bomb].concat(),
        Must::All,
    ));
    harms.push(harm("no frame", b"not compressed".to_vec(), Must::Told));
}
