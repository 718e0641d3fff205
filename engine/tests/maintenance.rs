//! Logs come in and go out without losing a byte, and a check finds what is damaged.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests prepare and compare plain files"
)]

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use selvedge_codec::ThreadId;
use selvedge_engine::clock::SystemClock;
use selvedge_engine::disk::RealDisk;
use selvedge_engine::home::{Home, LogFormat};
use selvedge_engine::listing::find_log;
use selvedge_engine::log::LogContext;
use selvedge_engine::maintenance::{
    FindingKind, ImportOutcome, export_lines, find_sources, import_log, import_names, verify_home,
};

const ID: &str = "019c7a54-be6b-7e31-86dd-b589bd944286";

/// Lines of every spelling: canonical, with spaces, other key orders, an ordinal, extra keys.
const LINES: [&str; 6] = [
    r#"{"timestamp":"2026-02-20T09:15:00.076Z","type":"session_meta","payload":{"id":"019c7a54-be6b-7e31-86dd-b589bd944286","cwd":"/w"}}"#,
    r#"{"timestamp":"2026-02-20T09:15:01.000Z","type":"event_msg","payload":{"type":"user_message","message":"höllo 👋🏽"}}"#,
    r#"{ "timestamp": "2026-02-20T09:15:02Z", "type": "response_item", "payload": {"a": 1e3,  "b":[ ]} }"#,
    r#"{"type":"odd","payload":"\u00e9","timestamp":"2026-02-20T11:15:03.000000001+02:00"}"#,
    r#"{"timestamp":"2026-02-20T09:15:04.000Z","ordinal":4,"type":"event_msg","payload":{"type":"x"}}"#,
    r#"{"timestamp":"2026-02-20T09:15:05.000Z","type":"t","payload":null,"extra":[1,2]}"#,
];

fn context(home: &Path) -> LogContext {
    LogContext::new(Arc::new(RealDisk), Arc::new(SystemClock), Home::at(home))
}

fn import_all(context: &LogContext, from: &Path) -> Vec<ImportOutcome> {
    let exists = |id: ThreadId| match find_log(&*context.disk, &context.home, id) {
        Ok(_) => Ok(true),
        Err(selvedge_engine::Error::ThreadNotFound { .. }) => Ok(false),
        Err(other) => Err(other),
    };
    let sources = find_sources(&*context.disk, from).unwrap();
    sources
        .iter()
        .map(|source| import_log(context, source, &exists).unwrap())
        .collect()
}

fn export(context: &LogContext, id: &str) -> String {
    let found = find_log(&*context.disk, &context.home, id.parse().unwrap()).unwrap();
    assert_eq!(found.format, LogFormat::Native);
    let mut lines = Vec::new();
    let path = context.home.log_file(&found.path);
    let damage = export_lines(&RealDisk, (&path, found.format), &mut |chunk| {
        lines.extend_from_slice(chunk);
        Ok(())
    });
    assert!(damage.unwrap().is_empty());
    String::from_utf8(lines).unwrap()
}

#[test]
fn what_was_imported_is_exported_line_for_line() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir_all(from.join("archived_sessions")).unwrap();
    fs::create_dir_all(&to).unwrap();
    let text = LINES.join("\n") + "\n";
    let damaged = format!("\n{}\nnot a line\n{}\n{{\"half", LINES[1], LINES[2]);
    let other = "019c7a54-be6b-7e31-86dd-b589bd944287";
    let day = from.join("sessions/2026/02/20");
    fs::create_dir_all(&day).unwrap();
    fs::write(
        day.join(format!("rollout-2026-02-20T09-15-00-{ID}.jsonl")),
        &text,
    )
    .unwrap();
    let archived = format!("archived_sessions/rollout-2026-02-20T09-15-00-{other}.jsonl");
    fs::write(from.join(&archived), damaged).unwrap();
    let name = format!("{{\"id\":\"{ID}\",\"thread_name\":\"Ann\"}}\n");
    fs::write(from.join("session_index.jsonl"), name).unwrap();

    let context = context(&to);
    let outcomes = import_all(&context, &from);
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().any(|outcome| matches!(outcome,
        ImportOutcome::Imported { records: 6, damage, .. } if damage.is_empty())));
    assert!(outcomes.iter().any(|outcome| matches!(outcome,
        ImportOutcome::Imported { records: 2, damage, .. } if damage.len() == 2)));
    assert_eq!(export(&context, ID), text);
    assert_eq!(
        export(&context, other),
        format!("{}\n{}\n", LINES[1], LINES[2])
    );
    assert!(
        to.join(archived.replace(".jsonl", ".rlog")).exists(),
        "archived threads stay archived"
    );
    assert_eq!(
        import_names(&context, &from, &[ID.parse().unwrap()]).unwrap(),
        1
    );
    assert_eq!(
        import_names(&context, &from, &[ID.parse().unwrap()]).unwrap(),
        0
    );

    let again = import_all(&context, &from);
    assert!(
        again
            .iter()
            .all(|outcome| matches!(outcome, ImportOutcome::Skipped { .. }))
    );
    let report = verify_home((&RealDisk, &context.home), None, &HashSet::new()).unwrap();
    assert!(report.ok, "{:?}", report.findings);
    assert_eq!((report.logs, report.records), (2, 8));
}

#[test]
fn a_check_finds_a_flipped_bit_and_a_torn_tail() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder
        .path()
        .join(format!("rollout-2026-02-20T09-15-00-{ID}.jsonl"));
    fs::write(&source, LINES.join("\n")).unwrap();
    let to = folder.path().join("to");
    fs::create_dir_all(&to).unwrap();
    let context = context(&to);
    import_all(&context, &source);
    let found = find_log(&RealDisk, &context.home, ID.parse().unwrap()).unwrap();
    let path = context.home.log_file(&found.path);
    let good = fs::read(&path).unwrap();

    let mut flipped = good.clone();
    flipped[300] ^= 4;
    fs::write(&path, &flipped).unwrap();
    let report = verify_home((&RealDisk, &context.home), None, &HashSet::new()).unwrap();
    assert!(!report.ok);
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].kind, FindingKind::Damage);
    assert!(report.findings[0].next_ordinal > report.findings[0].first_ordinal);

    fs::write(&path, &good[..good.len() - 3]).unwrap();
    let report = verify_home((&RealDisk, &context.home), None, &HashSet::new()).unwrap();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].kind, FindingKind::TornTail);
    let writing = HashSet::from([ID.parse().unwrap()]);
    assert!(
        verify_home((&RealDisk, &context.home), None, &writing)
            .unwrap()
            .ok
    );

    fs::write(&path, b"no log").unwrap();
    let report = verify_home((&RealDisk, &context.home), None, &HashSet::new()).unwrap();
    assert_eq!(report.findings[0].kind, FindingKind::Unreadable);
}
