//! A second decoder of a frame's envelope, written from FORMAT.md alone: the oracle of
//! `frame_decode`.

/// What an envelope says, and the payload behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub ordinal: u64,
    pub micros: i64,
    pub record_type: &'a str,
    pub event: u8,
    pub turn_id: Option<String>,
    pub batch_index: u32,
    pub is_last: bool,
    pub encoding: u8,
    pub payload: &'a [u8],
}

const NAMES: [&str; 7] = [
    "session_meta",
    "response_item",
    "event_msg",
    "turn_context",
    "compacted",
    "world_state",
    "metadata_patch",
];

/// Reads an envelope and its payload; `None` for what the specification calls invalid.
#[must_use]
pub fn decode(inner: &[u8]) -> Option<Envelope<'_>> {
    let mut rest = Rest(inner);
    // A frame holds at least this much.
    if inner.len() < 9 || rest.byte()? != 1 {
        return None;
    }
    let ordinal = rest.number(8)?;
    let micros = zigzag(rest.number(8)?);
    let record_type = match rest.number(4)? {
        0 => rest.text(1, 128)?,
        known => NAMES.get(usize::try_from(known).ok()? - 1)?,
    };
    let event = rest.byte()?;
    let turn_id = match rest.number(4)? {
        0 => None,
        1 => Some(hyphenated(rest.take(16)?)),
        2 => Some(rest.text(0, 256)?.to_owned()),
        _ => return None,
    };
    let batch_index = u32::try_from(rest.number(4)?).ok()?;
    let is_last = match rest.byte()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let encoding = u8::try_from(rest.number(4)?).ok()?;
    (encoding <= 3).then_some(Envelope {
        ordinal,
        micros,
        record_type,
        event,
        turn_id,
        batch_index,
        is_last,
        encoding,
        payload: rest.0,
    })
}

fn zigzag(number: u64) -> i64 {
    let half = i64::try_from(number >> 1).expect("63 bits");
    if number & 1 == 0 { half } else { -half - 1 }
}

fn hyphenated(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text += &format!("{byte:02x}");
    }
    text
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    /// A varint of a number of at most `width` bytes.
    fn number(&mut self, width: usize) -> Option<u64> {
        let length = match self.byte()? {
            small @ 0..=250 => return Some(u64::from(small)),
            251 => 2,
            252 => 4,
            253 => 8,
            _ => return None,
        };
        if length > width {
            return None;
        }
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(self.take(length)?);
        Some(u64::from_le_bytes(bytes))
    }

    fn text(&mut self, least: usize, most: usize) -> Option<&'a str> {
        let length = usize::try_from(self.number(8)?).ok()?;
        if !(least..=most).contains(&length) {
            return None;
        }
        str::from_utf8(self.take(length)?).ok()
    }
}
