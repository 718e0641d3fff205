//! Any bytes are lines of some kind: no panic, every record's line comes out as it went in, and a
//! scan may stop anywhere and go on.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use selvedge_codec::jsonl::{
    LineEvent, LineScanStart, decompress_prefix, item_from_line, render_line, scan,
};
use selvedge_codec::view::View;

fn check(event: &LineEvent) {
    let LineEvent::Record { record, .. } = event else {
        return;
    };
    assert!(record.payload_json().is_ok());
    let _ = View::of(record);
    let item = item_from_line(record.body.clone()).expect("a record's line is a record");
    assert_eq!((item.event, &item.turn_id), (record.event, &record.turn_id));
    let native = item.into_record(record.ordinal, record.time, record.batch);
    assert!(native.payload_json().is_ok());
    let mut line = Vec::new();
    render_line(&native, &mut line).expect("a record has a line");
    assert_eq!(line, record.body);
}

fuzz_target!(|data: &[u8]| {
    let _ = decompress_prefix(data);
    let [cut, text @ ..] = data else {
        return;
    };
    let text = Bytes::copy_from_slice(text);
    let mut whole = scan(text.clone(), LineScanStart::default());
    let events: Vec<_> = whole.by_ref().collect();
    events.iter().for_each(check);

    let cut = usize::from(*cut).min(text.len());
    let mut first = scan(text.slice(..cut), LineScanStart::default());
    let mut parts: Vec<_> = first.by_ref().collect();
    let state = first.state();
    let from = usize::try_from(state.offset.get()).expect("it lies in the text");
    let mut second = scan(text.slice(from..), state);
    parts.extend(second.by_ref());
    // A line that was cut before white space at its end is a record already, only shorter.
    if !first.is_unterminated() {
        assert_eq!(parts, events);
        assert_eq!(second.state(), whole.state());
        assert_eq!(second.torn_tail(), whole.torn_tail());
    }
});
