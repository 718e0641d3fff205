//! Importing JSON-lines logs of other places.

use std::fs;

use super::home::{TestHome, WAIT, id, ids, line, meta, said, thread};
use crate::disk::RealDisk;
use crate::home::LogFormat;
use crate::listing::{ListQuery, SortKey};
use crate::log::{ThreadLog, load_history};
use crate::store::{ImportOutcome, Imported, Store, import_sources};
use crate::{ConflictReason, Error, InvalidRequest};
use selvedge_codec::jsonl::render_line;

/// Imports all that a home holds.
fn import(store: &Store, from: &TestHome) -> Vec<Imported> {
    import_sources(&RealDisk, from.root())
        .unwrap()
        .iter()
        .map(|source| store.import(source).unwrap())
        .collect()
}

fn outcomes(imported: &[Imported]) -> Vec<(ImportOutcome, u64)> {
    imported
        .iter()
        .map(|imported| (imported.outcome, imported.added))
        .collect()
}

/// The lines of a thread's log.
fn lines(store: &Store, thread: u64) -> String {
    let found = store.find(id(thread)).unwrap();
    assert_eq!(found.format, LogFormat::Native);
    let file = store.log_context().home.log_file(&found.path);
    let mut lines = Vec::new();
    for record in load_history(&RealDisk, &file, found.format)
        .unwrap()
        .records
    {
        render_line(&record, &mut lines).unwrap();
        lines.push(b'\n');
    }
    String::from_utf8(lines).unwrap()
}

#[test]
fn an_import_that_was_cut_short_goes_on_where_it_ended() {
    let whole = thread(1, 100) + &said(200, "and more") + &line(300, "x", "{ \"a\": 1.0 }");
    let ends = whole.match_indices('\n').map(|(at, _)| at + 1);
    for end in ends {
        let (from, to) = (TestHome::new(), TestHome::new());
        let store = to.store();
        from.put("archived_sessions/a.jsonl", &whole[..end]);
        assert_eq!(import(&store, &from)[0].outcome, ImportOutcome::Imported);
        from.put("archived_sessions/a.jsonl", &whole);
        let missing = whole[end..].matches('\n').count() as u64;
        let expected = match missing {
            0 => ImportOutcome::Present,
            _ => ImportOutcome::Continued,
        };
        assert_eq!(outcomes(&import(&store, &from)), [(expected, missing)]);
        assert_eq!(lines(&store, 1), whole);
        assert!(store.find(id(1)).unwrap().path.is_archived());
    }
}

#[test]
fn two_logs_of_one_thread_are_one_thread() {
    let (from, to) = (TestHome::new(), TestHome::new());
    let text = thread(1, 100);
    let packed = zstd::encode_all(text.as_bytes(), 3).unwrap();
    from.put("sessions/2026/a.jsonl.zst", packed);
    from.put("sessions/2026/a.jsonl", text.clone() + &said(200, "newer"));
    let store = to.store();
    assert_eq!(
        outcomes(&import(&store, &from)),
        [(ImportOutcome::Imported, 3), (ImportOutcome::Differs, 0)]
    );
    assert_eq!(lines(&store, 1), text + &said(200, "newer"));
}

#[test]
fn what_is_no_record_is_reported_with_its_place() {
    let (from, to) = (TestHome::new(), TestHome::new());
    let (first, second) = (meta(1, "/w", 100), said(101, "hi"));
    from.put("a.jsonl", format!("{first}half a li\n\n{second}{{\"timest"));
    from.put("session_index.jsonl", "{\"id\":\"x\"}\n");
    let imported = import(&to.store(), &from);
    let damage: Vec<_> = imported[0]
        .damage
        .iter()
        .map(|damage| (damage.offset.get(), damage.length.get()))
        .collect();
    let bad = first.len() as u64;
    let torn = bad + 11 + second.len() as u64;
    assert_eq!(damage, [(bad, 9), (torn, 8)]);
    assert_eq!(imported[0].added, 2);
}

#[test]
fn a_thread_with_another_history_is_left_alone() {
    let (from, to) = (TestHome::new(), TestHome::new());
    from.put("sessions/1.jsonl", thread(1, 100));
    from.put("sessions/2.jsonl", thread(2, 100));
    from.put("sessions/3.jsonl", thread(3, 100) + &said(200, "more"));
    to.put("sessions/two.jsonl", thread(2, 100));
    to.put("sessions/three.jsonl", thread(3, 100));
    let before = fs::read(to.file("sessions/three.jsonl")).unwrap();
    let store = to.store();
    let expected = [
        (ImportOutcome::Imported, 2),
        (ImportOutcome::Present, 0),
        (ImportOutcome::Differs, 0),
    ];
    assert_eq!(outcomes(&import(&store, &from)), expected);
    from.put(
        "sessions/1.jsonl",
        meta(1, "/work", 100) + &said(101, "other"),
    );
    assert_eq!(import(&store, &from)[0].outcome, ImportOutcome::Differs);
    assert_eq!(lines(&store, 1), thread(1, 100));
    assert_eq!(to.scan(&ListQuery::default()).threads.len(), 3);
    assert_eq!(fs::read(to.file("sessions/three.jsonl")).unwrap(), before);
}

#[test]
fn a_thread_that_is_being_written_is_a_conflict() {
    let (from, to) = (TestHome::new(), TestHome::new());
    from.put("sessions/1.jsonl", thread(1, 100));
    let store = to.store();
    let place = import(&store, &from).remove(0).path;
    let writer = to.store();
    let (log, _) = ThreadLog::open(writer.log_context().clone(), id(1), &place).unwrap();
    from.append("sessions/1.jsonl", &said(200, "more"));
    let sources = import_sources(&RealDisk, from.root()).unwrap();
    let refused = store.import(&sources[0]);
    assert!(matches!(
        refused,
        Err(Error::Conflict {
            reason: ConflictReason::Writer { .. },
            ..
        })
    ));
    drop(log);
    assert_eq!(store.import(&sources[0]).unwrap().added, 1);
}

#[test]
fn names_that_lie_beside_the_source_come_along() {
    let (from, to) = (TestHome::new(), TestHome::new());
    from.put("sessions/1.jsonl", thread(1, 100));
    from.put("sessions/2.jsonl", thread(2, 100));
    let name = format!("{{\"id\":\"{}\",\"thread_name\":\"größer 🚀\"}}", id(2));
    from.put("session_index.jsonl", name);
    // A line that its writer has not ended.
    to.put("session_index.jsonl", "{\"id\":");
    let store = to.store();
    import(&store, &from);
    let page = to.scan(&ListQuery::default());
    let names: Vec<_> = page.threads.iter().map(|t| t.name.as_deref()).collect();
    assert_eq!(names, [Some("größer 🚀"), None]);
    let before = fs::read(to.file("session_index.jsonl")).unwrap();
    import(&store, &from);
    assert_eq!(fs::read(to.file("session_index.jsonl")).unwrap(), before);
}

#[test]
fn only_json_lines_are_sources() {
    let from = TestHome::new();
    from.put("deep/er/a.jsonl", thread(1, 100));
    from.put("deep/b.rlog", "native");
    from.put("deep/notes.txt", "x");
    let files: Vec<_> = import_sources(&RealDisk, from.root())
        .unwrap()
        .iter()
        .map(|source| source.file())
        .collect();
    assert_eq!(files, [from.file("deep/er/a.jsonl")]);
    assert!(matches!(
        import_sources(&RealDisk, &from.file("deep/b.rlog")),
        Err(Error::InvalidRequest(InvalidRequest::NotImportable(_)))
    ));
    assert!(matches!(
        import_sources(&RealDisk, &from.file("missing.jsonl")),
        Err(Error::Io { .. })
    ));
    let alone = import_sources(&RealDisk, &from.file("deep/er/a.jsonl")).unwrap();
    let to = TestHome::new();
    let imported = to.store().import(&alone[0]).unwrap();
    assert_eq!(imported.outcome, ImportOutcome::Imported);
    assert_eq!(imported.path.parent(), "sessions/2026/03/04");
}

/// A fork begins with its own meta, and then with the meta that it copied from its parent. When
/// its first line was damaged, the import took the copied meta for the fork's own, and so brought
/// the fork in as its parent, under the parent's id.
#[test]
fn a_fork_whose_first_line_is_damaged_is_not_imported_as_its_parent() {
    let (from, to) = (TestHome::new(), TestHome::new());
    let text = "{\"timestamp\":\"2026-01-01T00:00:0\n".to_owned() + &thread(1, 100);
    let name = format!("sessions/2026/rollout-2026-01-01T00-00-00-{}.jsonl", id(2));
    from.put(&name, text);
    let store = to.store();
    let imported = import(&store, &from);
    assert_eq!(imported[0].thread_id, id(2));
    assert_eq!(imported[0].damage.len(), 1);
    assert!(matches!(
        store.find(id(1)),
        Err(Error::ThreadNotFound { .. })
    ));
}

/// A process died right after it had continued a thread by an import. Its mark had been taken back when
/// the log was closed, before the index had caught up: nobody looked at the log again, and listings went
/// on in the order of before.
#[test]
fn what_was_imported_is_looked_at_when_its_importer_died_before_the_index_had_it() {
    let (from, to) = (TestHome::new(), TestHome::new());
    from.put("sessions/1.jsonl", thread(1, 100));
    from.put("sessions/2.jsonl", thread(2, 1000));
    from.put("sessions/3.jsonl", thread(3, 2000));
    let days = [
        "sessions/2026/03/04",
        "sessions/2026/03",
        "sessions/2026",
        "sessions",
    ];
    let fill = |store: &Store, imported: Vec<Imported>| {
        let logs = imported.into_iter().map(|done| (done.thread_id, done.path));
        store.catch_up(&logs.collect::<Vec<_>>()).unwrap();
        days.iter().for_each(|day| to.age(day));
        store.backfill(WAIT, &|_| ()).unwrap();
    };
    let by_update = ListQuery {
        sort: SortKey::Updated,
        limit: 1,
        ..ListQuery::default()
    };
    let listed = |store: &Store| ids(&store.list(&by_update).unwrap());
    let store = to.filled();
    let imported = import(&store, &from);
    fill(&store, imported);
    assert_eq!(listed(&store), [id(3)]);
    store.close().unwrap();
    assert_eq!(marks_of(&to), 0, "what the index has is marked no longer");

    let (witness, store) = (to.filled(), to.filled());
    assert_eq!(listed(&witness), [id(3)]);
    from.append("sessions/1.jsonl", &said(3000, "more"));
    assert_eq!(import(&store, &from)[0].outcome, ImportOutcome::Continued);
    drop(store);
    assert_eq!(listed(&witness), [id(1)]);
    assert_eq!(listed(&witness), ids(&to.scan(&by_update)));
    assert_eq!(marks_of(&to), 0);
}

/// How many files of open marks the home has.
fn marks_of(home: &TestHome) -> usize {
    let dir = home.file(".selvedge/open");
    fs::read_dir(dir).map_or(0, Iterator::count)
}
