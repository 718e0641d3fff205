//! What workers put into records, so that each of them tells where it belongs.

use selvedge::{Item, Record, RecordType, ThreadId};
use serde_json::{Value, json};

/// What a record says of where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The meta of a thread, with the thread that it was forked from.
    Meta(Option<ThreadId>),
    /// A record of a batch.
    Batch {
        /// The thread that it was appended to.
        thread: ThreadId,
        /// The operation that appended it.
        mark: String,
        /// Which record of the batch it is.
        position: u32,
        /// How many the batch has.
        of: u32,
    },
    /// A change of metadata by an operation.
    Patch(&'static str, String),
    /// A rollback.
    RollBack,
    /// Nothing of a worker.
    Nothing,
}

/// The items of a batch; `words` is roughly how many bytes of text each has.
pub fn batch(rng: &mut fastrand::Rng, thread: ThreadId, mark: &str, turn: Turn) -> Vec<Item> {
    let records = match turn {
        Turn::Whole => 4,
        Turn::Said(records) => records,
    };
    let at = |position: u32, fields: Value| {
        let Value::Object(mut fields) = fields else {
            unreachable!("an object")
        };
        fields.insert("thread".into(), thread.to_string().into());
        fields.insert("mark".into(), mark.into());
        fields.insert("position".into(), position.into());
        fields.insert("of".into(), records.into());
        Value::Object(fields).to_string()
    };
    let id = format!("turn-{mark}");
    let event = |body: String| Item::json("event_msg", body).unwrap();
    let mut said = |position| {
        let words = text(rng);
        match position % 3 {
            0 => event(at(
                position,
                json!({"type": "user_message", "message": words}),
            )),
            1 => Item::json(
                "response_item",
                at(
                    position,
                    json!({"type": "message", "role": "assistant", "content": words}),
                ),
            )
            .unwrap(),
            _ => event(at(
                position,
                json!({"type": "agent_message", "message": words}),
            )),
        }
    };
    match turn {
        Turn::Said(records) => (0..records).map(said).collect(),
        Turn::Whole => {
            let (question, answer) = (said(0), said(1));
            let question = with_position(question, 1);
            let answer = with_position(answer, 2);
            vec![
                event(at(0, json!({"type": "task_started", "turn_id": id}))),
                question,
                answer,
                event(at(3, json!({"type": "task_complete", "turn_id": id}))),
            ]
        }
    }
}

/// What a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A turn from its start to its end.
    Whole,
    /// This many things said.
    Said(u32),
}

fn with_position(item: Item, position: u32) -> Item {
    let mut fields: Value = serde_json::from_slice(&item.body).unwrap();
    fields["position"] = position.into();
    Item::json(item.record_type.as_str(), fields.to_string()).unwrap()
}

/// Mostly some words, now and then so many that a kill may come in the midst of the write.
fn text(rng: &mut fastrand::Rng) -> String {
    let length = match rng.u32(0..100) {
        0 => rng.usize(100_000..400_000),
        1..5 => rng.usize(4_000..40_000),
        _ => rng.usize(0..300),
    };
    "words and more ".chars().cycle().take(length).collect()
}

/// What a record says.
pub fn told(record: &Record) -> Told {
    let payload = record.payload_json().unwrap();
    let value: Value = serde_json::from_str(payload.get()).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(mark) = text(&value["mark"]) {
        let number = |field: &str| u32::try_from(value[field].as_u64().unwrap()).unwrap();
        return Told::Batch {
            thread: value["thread"].as_str().unwrap().parse().unwrap(),
            mark,
            position: number("position"),
            of: number("of"),
        };
    }
    match (&record.record_type, value["type"].as_str()) {
        (RecordType::SessionMeta, _) => match text(&value["git"]["branch"]) {
            Some(mark) => Told::Patch("git_branch", mark),
            None => Told::Meta(
                value["forked_from_id"]
                    .as_str()
                    .map(|id| id.parse().unwrap()),
            ),
        },
        (RecordType::MetadataPatch, _) => ["name", "title", "git_branch"]
            .into_iter()
            .find_map(|field| Some(Told::Patch(field, text(&value[field])?)))
            .unwrap_or(Told::Nothing),
        (RecordType::EventMsg, Some("thread_name_updated")) => {
            text(&value["thread_name"]).map_or(Told::Nothing, |mark| Told::Patch("name", mark))
        }
        (RecordType::EventMsg, Some("thread_rolled_back")) => Told::RollBack,
        _ => Told::Nothing,
    }
}

/// A JSON-lines log as another tool may have written it: a meta, a question, an answer.
pub fn prepared_lines(thread: ThreadId, number: usize) -> String {
    let stamp = |second: usize| format!("2026-03-{:02}T10:00:{second:02}.000Z", number % 28 + 1);
    let line = |second: usize, kind: &str, payload: Value| {
        json!({"timestamp": stamp(second), "type": kind, "payload": payload}).to_string() + "\n"
    };
    let meta = json!({
        "id": thread.to_string(), "timestamp": stamp(0), "cwd": format!("/work/{}", number % 5),
        "originator": "another tool", "cli_version": "1.2.3", "source": "cli",
        "model_provider": "some",
    });
    let message = format!("prepared question {number}");
    [
        line(0, "session_meta", meta),
        line(
            1,
            "event_msg",
            json!({"type": "task_started", "turn_id": "first"}),
        ),
        line(
            2,
            "event_msg",
            json!({"type": "user_message", "message": message}),
        ),
        line(
            3,
            "response_item",
            json!({"type": "message", "role": "assistant", "content": "an answer"}),
        ),
        line(
            4,
            "event_msg",
            json!({"type": "task_complete", "turn_id": "first"}),
        ),
    ]
    .concat()
}
