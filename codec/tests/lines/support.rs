//! Lines, and what is read of them.

use bytes::Bytes;
use selvedge_codec::jsonl::{
    LineEvent, LineScan, LineScanStart, item_from_line, render_line, scan,
};
use selvedge_codec::{BatchPosition, Ordinal, Record, UtcMicros};

pub const TIME: &str = "2026-02-20T09:15:00.128Z";

pub fn events(text: &[u8]) -> (Vec<LineEvent>, LineScan) {
    let mut lines = scan(Bytes::copy_from_slice(text), LineScanStart::default());
    let events = lines.by_ref().collect();
    (events, lines)
}

pub fn line(payload: &str) -> String {
    format!(r#"{{"timestamp":"{TIME}","type":"response_item","payload":{payload}}}"#)
}

pub fn numbered(ordinal: u64) -> String {
    format!(r#"{{"timestamp":"{TIME}","ordinal":{ordinal},"type":"compacted","payload":{{}}}}"#)
}

pub fn rendered(text: &str) -> (Record, String) {
    let item = item_from_line(Bytes::from(text.to_owned())).unwrap();
    let record = item.into_record(Ordinal::new(3), UtcMicros::EPOCH, BatchPosition::WHOLE);
    let mut out = Vec::new();
    render_line(&record, &mut out).unwrap();
    (record, String::from_utf8(out).unwrap())
}
