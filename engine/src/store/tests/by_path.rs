use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::home::{TestHome, id, thread};
use crate::listing::ListQuery;
use crate::store::{IndexUse, Store, StoreOptions};
use crate::{Error, InvalidRequest};

const LOG: &str = "sessions/2026/03/04/a.jsonl";

fn stores(home: &TestHome) -> [Store; 2] {
    let without = StoreOptions {
        index: IndexUse::None,
        ..home.options()
    };
    [home.filled(), Store::open(without).unwrap()]
}

fn refused(store: &Store, path: &Path) {
    match store.read_thread_by_path(path) {
        Err(Error::InvalidRequest(InvalidRequest::NotALogOfTheHome(told))) => {
            assert_eq!(told, path);
        }
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn a_thread_is_read_by_its_log_s_path_however_it_is_spelled() {
    let home = TestHome::new();
    home.put(LOG, thread(1, 100));
    home.put("archived_sessions/b.jsonl", thread(2, 200));
    let beside = tempfile::tempdir().unwrap();
    let alias = beside.path().join("alias");
    std::os::unix::fs::symlink(home.root(), &alias).unwrap();
    for store in stores(&home) {
        let expected = store.read_thread(id(1)).unwrap();
        let spellings = [
            PathBuf::from(LOG),
            home.file(LOG),
            home.file("./sessions//2026/../2026/03/04/a.jsonl"),
            alias.join(LOG),
        ];
        for path in spellings {
            assert_eq!(
                store.read_thread_by_path(&path).unwrap(),
                expected,
                "{path:?}"
            );
        }
        let archived = Path::new("archived_sessions/b.jsonl");
        let archived = store.read_thread_by_path(archived).unwrap();
        assert_eq!(archived.thread_id, id(2));
    }
}

#[test]
fn a_path_that_leads_to_no_log_of_the_home_is_refused() {
    let home = TestHome::new();
    home.put(LOG, thread(1, 100));
    home.put("elsewhere/c.jsonl", thread(3, 300));
    home.put("sessions/.hidden/c.jsonl", thread(3, 300));
    home.put("sessions/notes.txt", "");
    home.put("sessions/1/2/3/4/5/6/7/8/9/c.jsonl", thread(3, 300));
    home.put("sessions/dir.jsonl/notes.txt", "");
    let link = |to: &str, at: &str| {
        std::os::unix::fs::symlink(home.file(to), home.file(at)).unwrap();
    };
    link("elsewhere/c.jsonl", "sessions/c.jsonl");
    link("elsewhere", "sessions/linked");
    for store in stores(&home) {
        for path in [
            "",
            "/",
            ".",
            "..",
            "sessions",
            "sessions/absent.jsonl",
            "sessions/2026/03/04/a.jsonl/b.jsonl",
            "elsewhere/c.jsonl",
            "sessions/../elsewhere/c.jsonl",
            "../sessions/2026/03/04/a.jsonl",
            "sessions/.hidden/c.jsonl",
            "sessions/notes.txt",
            "sessions/1/2/3/4/5/6/7/8/9/c.jsonl",
            "sessions/dir.jsonl",
            "sessions/c.jsonl",
            "sessions/linked/c.jsonl",
            "/etc/passwd",
            "sessions/nul\0.jsonl",
        ] {
            refused(&store, Path::new(path));
        }
        refused(&store, home.root());
        refused(
            &store,
            Path::new(&format!("sessions/{}.jsonl", "a".repeat(5000))),
        );
        refused(&store, Path::new(OsStr::from_bytes(b"sessions/\xff.jsonl")));
        // And none of these is a thread of the home.
        let page = store.list(&ListQuery::default()).unwrap();
        assert_eq!(super::home::ids(&page), [id(1)]);
    }
}

#[test]
fn a_log_that_says_nowhere_whose_it_is_is_told_as_damaged() {
    let home = TestHome::new();
    home.put("sessions/a.jsonl", "no record\n");
    for store in stores(&home) {
        let path = Path::new("sessions/a.jsonl");
        assert!(matches!(
            store.read_thread_by_path(path),
            Err(Error::Corrupt { .. })
        ));
    }
}
