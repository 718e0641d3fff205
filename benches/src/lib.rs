//! What the benchmarks share: homes of a known size, items of a known length, raw baselines.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    reason = "a benchmark stops at the first surprise, and measures raw files beside the engine"
)]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use selvedge::{Item, OpenOptions, Selvedge, StartThread};
use serde_json::json;

/// How often the contenders take turns within one run: the machine's speed drifts.
pub const ROUNDS: usize = 3;

/// A payload of `bytes` bytes of JSON, as an agent's message would be.
#[must_use]
pub fn payload(bytes: usize) -> String {
    let shell = json!({"type": "message", "role": "assistant", "content": ""}).to_string();
    let text = "a line of output, \\\"quoted\\\", then more of it; ";
    let mut filler = text.repeat(bytes.saturating_sub(shell.len()) / text.len() + 1);
    let mut end = bytes.saturating_sub(shell.len()).min(filler.len());
    while end > 0 && filler.as_bytes().get(end - 1) == Some(&b'\\') {
        end -= 1;
    }
    filler.truncate(end);
    format!(r#"{{"type":"message","role":"assistant","content":"{filler}"}}"#)
}

/// One item with a payload of about `bytes` bytes.
#[must_use]
pub fn item(bytes: usize) -> Item {
    Item::json("response_item", payload(bytes)).unwrap()
}

/// What a user says first, so that the thread is listed.
#[must_use]
pub fn user_message(text: &str) -> Item {
    let said = json!({"type": "user_message", "message": text});
    Item::json("event_msg", said.to_string()).unwrap()
}

/// Writes one JSON-lines log of about `bytes` bytes, and gives its path.
#[must_use]
pub fn json_lines_log(home: &Path, number: usize, bytes: usize) -> PathBuf {
    let day = format!(
        "sessions/2026/{:02}/{:02}",
        number / 28 % 12 + 1,
        number % 28 + 1
    );
    let folder = home.join(day);
    fs::create_dir_all(&folder).unwrap();
    let id = uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number as u128);
    let path = folder.join(format!("rollout-2026-01-01T00-00-00-{id}.jsonl"));
    let mut file = BufWriter::new(File::create(&path).unwrap());
    let stamp = format!(
        "2026-{:02}-{:02}T10:{:02}:{:02}.{:03}Z",
        number / 28 % 12 + 1,
        number % 28 + 1,
        number / 60 % 60,
        number % 60,
        number % 1000
    );
    let mut line = |kind: &str, payload: &str| {
        writeln!(
            file,
            r#"{{"timestamp":"{stamp}","type":"{kind}","payload":{payload}}}"#
        )
        .unwrap();
    };
    line(
        "session_meta",
        &json!({"id": id, "timestamp": stamp, "cwd": format!("/work/{}", number % 20),
        "originator": "bench", "cli_version": "1", "source": "cli", "model_provider": "openai"})
        .to_string(),
    );
    let body = payload(1000);
    let mut written = 400;
    let mut turn = 0;
    while written < bytes {
        line(
            "event_msg",
            &format!(r#"{{"type":"task_started","turn_id":"turn-{turn}"}}"#),
        );
        line(
            "event_msg",
            &format!(r#"{{"type":"user_message","message":"please do thing {number}.{turn}"}}"#),
        );
        for _ in 0..8 {
            line("response_item", &body);
        }
        line(
            "event_msg",
            &format!(r#"{{"type":"task_complete","turn_id":"turn-{turn}"}}"#),
        );
        written += 8 * (body.len() + 80) + 400;
        turn += 1;
    }
    drop(file);
    path
}

/// A home of `threads` JSON-lines logs of about `bytes` bytes each.
#[must_use]
pub fn json_lines_home(threads: usize, bytes: usize) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for number in 0..threads {
        let _ = json_lines_log(home.path(), number, bytes);
    }
    home
}

/// A home of `threads` native logs in which a user has said something.
pub async fn native_home(threads: usize) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let selvedge = Selvedge::open(OpenOptions::new(home.path()).create(true))
        .await
        .unwrap();
    for number in 0..threads {
        let start = StartThread {
            cwd: format!("/work/{}", number % 20),
            model_provider: Some("openai".into()),
            ..StartThread::default()
        };
        let thread = selvedge.start_thread(start).await.unwrap();
        thread
            .append(vec![user_message(&format!("please do thing {number}"))])
            .await
            .unwrap();
        thread.shutdown().await.unwrap();
    }
    selvedge.shutdown().await.unwrap();
    home
}

/// A runtime as an agent would run it on this machine.
#[must_use]
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}
