//! Homes and logs for tests.

use std::path::PathBuf;

use proptest::prelude::*;
use selvedge_codec::jsonl::{LineEvent, LineScanStart};
use selvedge_codec::segment::{SegmentHeader, SegmentNumber, encode_batch};
use selvedge_codec::{
    BatchPosition, ByteLength, ByteOffset, Item, Ordinal, Record, ThreadId, UtcMicros,
};

use crate::disk::{Disk, OpenMode, RealDisk};
use crate::home::{Home, LogPath};

/// A home in a directory of its own.
pub(crate) struct SampleHome(tempfile::TempDir);

impl SampleHome {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn home(&self) -> Home {
        Home::at(self.0.path())
    }

    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(crate) fn make_dir(&self, path: &str) {
        let mut dir = self.0.path().to_path_buf();
        for part in path.split('/') {
            dir.push(part);
            RealDisk.create_dir(&dir).unwrap();
        }
    }

    /// Makes the file hold these bytes. One that exists stays the same file.
    pub(crate) fn write(&self, path: &str, bytes: &[u8]) -> LogPath {
        if let Some((dir, _)) = path.rsplit_once('/') {
            self.make_dir(dir);
        }
        let file = RealDisk
            .open(&self.file(path), OpenMode::CreateOrOpen)
            .unwrap();
        file.set_len(ByteLength::ZERO).unwrap();
        file.write_all_at(bytes, ByteOffset::ZERO).unwrap();
        log_path(path)
    }
}

pub(crate) fn log_path(path: &str) -> LogPath {
    LogPath::new(path.to_owned()).unwrap()
}

/// A version 7 id that ends in `number`.
pub(crate) fn id(number: u8) -> ThreadId {
    format!("019c7a54-be6b-7e31-86dd-0000000000{number:02x}")
        .parse()
        .unwrap()
}

/// The moment so many milliseconds after the samples begin.
pub(crate) fn moment(millis: i64) -> UtcMicros {
    let start = UtcMicros::parse("2026-02-20T09:15:00Z").unwrap();
    UtcMicros::new(start.get() + millis * 1000)
}

/// A record to be: its type and payload.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) record_type: &'static str,
    pub(crate) payload: String,
}

/// A record of this type and payload.
pub(crate) fn record(record_type: &'static str, payload: impl ToString) -> Sample {
    Sample {
        record_type,
        payload: payload.to_string(),
    }
}

/// The meta of the thread `number`, with further fields as JSON text.
pub(crate) fn meta(number: u8, more: &str) -> Sample {
    let more = if more.is_empty() {
        String::new()
    } else {
        format!(",{more}")
    };
    let id = id(number);
    let payload = format!(
        "{{\"id\":\"{id}\",\"timestamp\":\"2026-02-20T09:14:59.5Z\",\"cwd\":\"/home/user\",\
         \"source\":\"cli\",\"model_provider\":\"openai\"{more}}}"
    );
    record("session_meta", payload)
}

/// An event with further fields as JSON text.
pub(crate) fn event(kind: &str, more: &str) -> Sample {
    let comma = if more.is_empty() { "" } else { "," };
    record("event_msg", format!("{{\"type\":\"{kind}\"{comma}{more}}}"))
}

pub(crate) fn user(text: &str) -> Sample {
    let text = serde_json::to_string(text).unwrap();
    event("user_message", &format!("\"message\":{text}"))
}

pub(crate) fn started(turn: &str) -> Sample {
    event("task_started", &format!("\"turn_id\":\"{turn}\""))
}

pub(crate) fn completed(turn: &str) -> Sample {
    event(
        "task_complete",
        &format!("\"turn_id\":\"{turn}\",\"duration_ms\":12"),
    )
}

pub(crate) fn rolled_back(turns: u32) -> Sample {
    event("thread_rolled_back", &format!("\"num_turns\":{turns}"))
}

pub(crate) fn response(text: &str) -> Sample {
    record("response_item", format!("{{\"text\":{text:?}}}"))
}

/// A turn of three records.
pub(crate) fn turn(name: &str) -> Vec<Sample> {
    vec![started(name), user(name), completed(name)]
}

/// The line of a record, `millis` after the samples begin, with its newline.
pub(crate) fn line(millis: i64, sample: &Sample, ordinal: Option<u64>) -> String {
    let ordinal = ordinal.map_or_else(String::new, |ordinal| format!(",\"ordinal\":{ordinal}"));
    format!(
        "{{\"timestamp\":\"{}\"{ordinal},\"type\":\"{}\",\"payload\":{}}}\n",
        moment(millis).to_line_text(),
        sample.record_type,
        sample.payload
    )
}

/// Records a millisecond apart, as JSON lines.
pub(crate) fn lines(samples: &[Sample]) -> Vec<u8> {
    (1..)
        .zip(samples)
        .flat_map(|(millis, sample)| line(millis, sample, None).into_bytes())
        .collect()
}

/// Batches of records a millisecond apart, as a native log of the thread `number`.
pub(crate) fn native(number: u8, batches: &[Vec<Sample>]) -> Vec<u8> {
    native_segment(number, (0, 0), batches)
}

/// The same as a segment of this number, with this first ordinal.
pub(crate) fn native_segment(
    number: u8,
    (segment, first_ordinal): (u32, u64),
    batches: &[Vec<Sample>],
) -> Vec<u8> {
    let header = SegmentHeader {
        thread_id: id(number),
        segment: SegmentNumber::new(segment),
        first_ordinal: Ordinal::new(first_ordinal),
    };
    let mut bytes = header.encode().to_vec();
    let mut ordinal = header.first_ordinal;
    for batch in batches {
        let mut records: Vec<_> = batch
            .iter()
            .map(|sample| {
                let item = Item::json(sample.record_type, sample.payload.clone()).unwrap();
                let millis = i64::try_from(ordinal.get()).unwrap() + 1;
                let record = item.into_record(ordinal, moment(millis), BatchPosition::WHOLE);
                ordinal = ordinal.next();
                record
            })
            .collect();
        encode_batch(header.seed(), &mut records, &mut bytes).unwrap();
    }
    bytes
}

/// Any record of the kinds that the engine looks at, of a thread whose own id is `id(1)`.
pub(crate) fn any_sample() -> impl Strategy<Value = Sample> {
    let turn = || prop::sample::select(vec!["a", "b", "c"]);
    prop_oneof![
        2 => turn().prop_map(started),
        2 => turn().prop_map(completed),
        1 => turn().prop_map(|turn| event("turn_aborted", &format!(
            "\"turn_id\":\"{turn}\",\"reason\":\"interrupted\""
        ))),
        1 => Just(event("turn_failed", "\"error\":{\"message\":\"out of luck\"}")),
        2 => (0u8..9).prop_map(|word| user(&format!("word {word}"))),
        1 => Just(user("  ")),
        1 => (0u8..9).prop_map(|word| event("item_completed", &format!(
            "\"item\":{{\"type\":\"UserMessage\",\"content\":[{{\"type\":\"text\",\"text\":\"{word}\"}}]}}"
        ))),
        2 => (0u32..4).prop_map(rolled_back),
        1 => prop::sample::select(vec!["", "\"memory_mode\":\"disabled\"", "\"git\":{\"branch\":\"b\"}"])
            .prop_flat_map(|more| (1u8..3).prop_map(move |number| meta(number, more))),
        1 => turn().prop_map(|turn| record("turn_context", format!(
            "{{\"turn_id\":\"{turn}\",\"model\":\"m{turn}\",\"effort\":null,\"approval_policy\":\"never\"}}"
        ))),
        1 => (0u64..99).prop_map(|tokens| event("token_count", &format!(
            "\"info\":{{\"total_token_usage\":{{\"total_tokens\":{tokens}}}}}"
        ))),
        1 => prop::sample::select(vec!["null", "\"named\""]).prop_map(|name| event(
            "thread_name_updated", &format!("\"thread_name\":{name}")
        )),
        1 => prop::sample::select(vec!["null", "\"patched\""]).prop_map(|value| record(
            "metadata_patch", format!("{{\"name\":{value},\"preview\":{value},\"git_sha\":{value}}}")
        )),
        1 => Just(response("r")),
        1 => prop::sample::select(vec!["null", "[]", "[{}]"]).prop_map(|history| record(
            "compacted", format!("{{\"message\":\"m\",\"replacement_history\":{history}}}")
        )),
        1 => Just(event("agent_message", "\"message\":\"said\"")),
        1 => Just(event("user_message", "\"message\":17")),
        1 => Just(record("event_msg", "null")),
    ]
}

/// Records a millisecond apart, as a reader of their JSON lines gives them.
pub(crate) fn records(samples: &[Sample]) -> Vec<Record> {
    let scan = selvedge_codec::jsonl::scan(lines(samples).into(), LineScanStart::default());
    scan.filter_map(|event| match event {
        LineEvent::Record { record, .. } => Some(record),
        LineEvent::BadLine { .. } => None,
    })
    .collect()
}

/// A text as a JSON string, each character spelled as `choices` say.
pub(crate) fn spelled(text: &str, choices: &[u8]) -> String {
    let mut json = String::from("\"");
    for (letter, choice) in text.chars().zip(choices.iter().cycle()) {
        let usual = serde_json::to_string(&letter.to_string()).unwrap();
        match choice % 4 {
            0 => json.push_str(&usual[1..usual.len() - 1]),
            1 if letter == '/' => json.push_str("\\/"),
            1 => json.push_str(&usual[1..usual.len() - 1]),
            choice => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    json.push_str(&match choice {
                        2 => format!("\\u{unit:04x}"),
                        _ => format!("\\u{unit:04X}"),
                    });
                }
            }
        }
    }
    json + "\""
}
