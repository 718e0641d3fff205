//! A JSON-lines log of any bytes, plain or compressed, is read as one scan of its text reads it,
//! both ways and in two steps; its projection may be gone on with; and a writer cuts nothing of it.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use selvedge_codec::Record;
use selvedge_codec::jsonl::{LineEvent, LineScanStart, decompress_prefix, scan};
use selvedge_engine::home::LogFormat;
use selvedge_engine::log::{LogEvent, ThreadLog, read_log};
use selvedge_engine::projection::{apply_turn_changes, project};
use selvedge_fuzz::bench::{Bench, ID, batch};

/// The records of a text, its bad lines, and whether its last record lacks its newline.
fn scanned(text: &[u8]) -> (Vec<Record>, usize, bool) {
    let mut lines = scan(Bytes::copy_from_slice(text), LineScanStart::default());
    let (mut records, mut bad) = (Vec::new(), 0);
    for event in lines.by_ref() {
        match event {
            LineEvent::Record { record, .. } => records.push(record),
            LineEvent::BadLine { .. } => bad += 1,
        }
    }
    (records, bad, lines.is_unterminated())
}

/// The log as it was at `cut`, and then grown: what was known goes on to what is there.
fn check_growth(text: &[u8], cut: usize) {
    let bench = Bench::new();
    let path = bench.log_path(LogFormat::JsonLines);
    let file = bench.home.log_file(&path);
    bench.put(&path, &text[..cut]);
    let (_, _, is_unterminated) = scanned(&text[..cut]);
    let first = bench.history(&path).expect("any lines are read");
    let base = project(&*bench.disk, &bench.home, &path, None);
    bench.put(&path, text);
    if is_unterminated {
        // What was a record without its newline may be another one with what follows.
        return;
    }
    let whole = bench.history(&path).expect("any lines are read");
    let rest = read_log(
        &*bench.disk,
        &file,
        LogFormat::JsonLines,
        Some(first.position),
    )
    .expect("it goes on");
    let rest = rest.filter_map(|event| match event {
        LogEvent::Record(record) => Some(record),
        LogEvent::Damage(_) => None,
    });
    let records: Vec<Record> = first.records.iter().cloned().chain(rest).collect();
    assert_eq!(records, whole.records);
    let Ok(base) = base else {
        return;
    };
    let mut turns = Vec::new();
    apply_turn_changes(&mut turns, base.turns);
    let (Ok(fresh), Ok(grown)) = (
        project(&*bench.disk, &bench.home, &path, None),
        project(&*bench.disk, &bench.home, &path, Some(base.thread)),
    ) else {
        panic!("what could be projected can be still");
    };
    assert_eq!(grown.thread, fresh.thread);
    if grown.from_start {
        turns.clear();
    }
    apply_turn_changes(&mut turns, grown.turns);
    let mut expected = Vec::new();
    apply_turn_changes(&mut expected, fresh.turns);
    assert_eq!(turns, expected);
}

/// Writes on a log whose text is this.
fn check_writing(bench: &Bench, format: LogFormat, text: &[u8]) {
    let path = bench.log_path(format);
    let before = bench.logs();
    let Ok((mut log, report)) = ThreadLog::open(bench.context(), ID, &path) else {
        assert_eq!(
            bench.logs(),
            before,
            "a writer that was refused has changed something"
        );
        return;
    };
    let plain = bench.log_path(LogFormat::JsonLines);
    assert_eq!(bench.bytes(&plain).as_deref(), Some(text));
    let (records, ..) = scanned(text);
    assert_eq!(
        bench.logs().len(),
        1,
        "the compressed log is gone, and nothing is left over"
    );
    log.append(vec![batch()]).expect("memory has room");
    log.sync().expect("memory is synced");
    log.close().expect("it is closed");
    let grown = bench.bytes(&plain).expect("it is there");
    assert!(grown.starts_with(text));
    let (after, _, is_unterminated) = scanned(&grown);
    assert!(after.starts_with(&records));
    assert_eq!(after.len(), records.len() + 2);
    assert!(!is_unterminated);
    assert_eq!(after[records.len()].ordinal, report.next_ordinal);
}

fn check(bench: &Bench, format: LogFormat, text: &[u8]) {
    let path = bench.log_path(format);
    let all = bench.logs();
    let read = bench.history(&path);
    assert_eq!(bench.logs(), all, "a reader has changed something");
    let (records, bad, _) = scanned(text);
    if let Ok(read) = read {
        assert_eq!(read.records, records);
        assert!(read.damage.len() >= bad);
    } else {
        assert_ne!(format, LogFormat::JsonLines, "any lines are read");
    }
}

fuzz_target!(|data: &[u8]| {
    let [mode, cut, rest @ ..] = data else {
        return;
    };
    let bench = Bench::new();
    let (format, text, is_whole) = match mode % 3 {
        0 => (LogFormat::JsonLines, rest.to_vec(), true),
        1 => (LogFormat::CompressedJsonLines, rest.to_vec(), true),
        _ => {
            let (text, damage) = decompress_prefix(rest);
            (LogFormat::CompressedJsonLines, text, damage.is_none())
        }
    };
    let stored = match mode % 3 {
        1 => zstd::stream::encode_all(&*text, 1).expect("memory is compressed"),
        _ => rest.to_vec(),
    };
    if text.len() > 1 << 20 {
        return;
    }
    bench.put(&bench.log_path(format), &stored);
    check(&bench, format, &text);
    if is_whole {
        check_writing(&bench, format, &text);
    } else {
        assert!(ThreadLog::open(bench.context(), ID, &bench.log_path(format)).is_err());
    }
    if format == LogFormat::JsonLines {
        check_growth(&text, usize::from(*cut).min(text.len()));
    }
});
