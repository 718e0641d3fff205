//! A home in which links lead elsewhere, and what anybody else may see of a home's files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use selvedge_codec::{Item, UtcMicros};

use super::home::{TestHome, WAIT, id, said, thread};
use crate::disk::RealDisk;
use crate::home::{Home, LogFormat, LogPath};
use crate::listing::{ListQuery, ThreadFilter};
use crate::log::{NewThread, ThreadLog};
use crate::store::{ForkSource, IndexUse, RepairOptions, Store, StoreOptions, import_sources};
use crate::thread::ForkPoint;

const STARTED: &str = "2026-03-04T00:01:40Z";

fn new(number: u64) -> NewThread {
    let payload = format!("{{\"id\":\"{}\",\"cwd\":\"/w\"}}", id(number));
    NewThread {
        thread_id: id(number),
        created_at: UtcMicros::parse(STARTED).unwrap(),
        meta: Item::json("session_meta", payload).unwrap(),
    }
}

fn words() -> Vec<Vec<Item>> {
    let payload = r#"{"type":"user_message","message":"hello"}"#;
    vec![vec![Item::json("event_msg", payload).unwrap()]]
}

fn start(store: &Store, number: u64) -> crate::Result<()> {
    let mut log = ThreadLog::create(store.log_context().clone(), new(number));
    log.append(words())?;
    log.sync()?;
    log.close()
}

fn fork(store: &Store, parent: u64, number: u64) -> crate::Result<()> {
    let source = ForkSource {
        thread_id: id(parent),
        upto: None,
        is_durable: false,
    };
    let mut log = store.fork(&source, &ForkPoint::Whole, new(number))?;
    log.append(words())?;
    log.sync()?;
    log.close()
}

fn resume(store: &Store, number: u64) -> crate::Result<()> {
    let path = LogPath::new(store.read_thread(id(number))?.rollout_path).unwrap();
    let (mut log, _) = ThreadLog::open(store.log_context().clone(), id(number), &path)?;
    log.append(words())?;
    log.sync()?;
    log.close()
}

fn rename(store: &Store, number: u64) -> crate::Result<()> {
    let patch = selvedge_codec::view::MetadataPatch {
        name: selvedge_codec::view::Change::Set("named".into()),
        ..Default::default()
    };
    let change = store.prepare_metadata(id(number), &patch)?;
    store.finish_metadata(id(number), &change)
}

fn native_log(number: u64) -> LogPath {
    let started = UtcMicros::parse(STARTED).unwrap();
    Home::new_log_path(id(number), started, LogFormat::Native)
}

/// Everything at and below a path, by its place below that: bytes, where a link leads, or `None`
/// for a folder. `None` where nothing is.
fn contents(root: &Path) -> Option<BTreeMap<PathBuf, Option<Vec<u8>>>> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let kind = fs::symlink_metadata(&path).ok()?;
        let bytes = if kind.is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            None
        } else if kind.is_symlink() {
            Some(
                fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes(),
            )
        } else {
            Some(fs::read(&path).unwrap())
        };
        found.insert(path.strip_prefix(root).unwrap().to_owned(), bytes);
    }
    Some(found)
}

fn put(root: &Path, held: BTreeMap<PathBuf, Option<Vec<u8>>>) {
    for (path, bytes) in held {
        let path = match path.as_os_str().is_empty() {
            true => root.to_owned(),
            false => root.join(path),
        };
        match bytes {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => fs::create_dir(path).unwrap(),
        }
    }
}

fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(kind) if kind.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// A home with a thread of each kind: 1 native, 2 in JSON lines, 3 compressed, 4 archived, 5 a fork
/// of the first, 6 native with a torn tail, 8 with damage.
fn full_home() -> TestHome {
    let home = TestHome::new();
    let named =
        |number, ending: &str| format!("rollout-2026-03-04T00-01-40-{}{ending}", id(number));
    let day = "sessions/2026/03/04";
    home.put(&format!("{day}/{}", named(2, ".jsonl")), thread(2, 100));
    let packed = zstd::encode_all(thread(3, 100).as_bytes(), 1).unwrap();
    home.put(&format!("{day}/{}", named(3, ".jsonl.zst")), packed);
    home.put(
        &format!("archived_sessions/{}", named(4, ".jsonl")),
        thread(4, 100),
    );
    let name = format!("{{\"id\":\"{}\",\"thread_name\":\"n\"}}\n", id(2));
    home.put("session_index.jsonl", name);
    let store = home.filled();
    start(&store, 1).unwrap();
    fork(&store, 1, 5).unwrap();
    start(&store, 6).unwrap();
    home.append(native_log(6).as_str(), "half a frame");
    start(&store, 8).unwrap();
    let damaged = home.file(native_log(8).as_str());
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[100] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    store.backfill(WAIT, &|_| ()).unwrap();
    store.close().unwrap();
    home
}

/// Whatever can be done with a home, well or not.
fn do_all(home: &TestHome, store: &Store) -> Vec<String> {
    let mut seen = Vec::new();
    let mut see = |what: crate::Result<String>| match what {
        Ok(text) => seen.push(text),
        Err(error) => seen.push(error.to_string()),
    };
    let done = |_: ()| String::new();
    for archived in [false, true] {
        let query = ListQuery {
            filter: ThreadFilter {
                archived,
                include_empty: true,
                ..ThreadFilter::default()
            },
            ..ListQuery::default()
        };
        see(store.list(&query).map(|page| format!("{:?}", page.threads)));
    }
    for number in 1..=6 {
        see(store
            .history(id(number))
            .map(|history| format!("{:?}", history.records)));
        see(resume(store, number).map(done));
        see(rename(store, number).map(done));
        see(fork(store, number, number + 20).map(done));
        see(store.archive(id(number)).map(|thread| thread.rollout_path));
        see(store
            .unarchive(id(number))
            .map(|thread| thread.rollout_path));
    }
    see(start(store, 10).map(done));
    let source = home.file("elsewhere.jsonl");
    fs::write(&source, thread(11, 5) + &said(9, "more")).unwrap();
    for source in import_sources(&RealDisk, &source).unwrap() {
        see(store
            .import(&source)
            .map(|imported| imported.path.to_string()));
    }
    see(store.verify().map(|report| format!("{report:?}")));
    let options = RepairOptions::default();
    see(store.repair(options).map(|report| format!("{report:?}")));
    for number in 1..=30 {
        see(store.delete(id(number)).map(done));
    }
    see(store
        .rebuild(WAIT, &|_| ())
        .map(|report| format!("{report:?}")));
    see(store.close().map(done));
    seen
}

/// A home came from elsewhere, and `archived_sessions` in it was a link to another directory.
/// Archiving a thread moved its log there, and deleting one removed a file there; a linked
/// `.selvedge` had locks and marks made in the other directory, and a linked folder of a day gave
/// new logs away.
#[test]
fn nothing_is_reached_through_a_link_in_the_home() {
    let places = [
        "sessions",
        "sessions/2026",
        "sessions/2026/03/04",
        "archived_sessions",
        "inherited",
        "damaged",
        &Home::inherited_dir(id(5)),
        ".selvedge",
        ".selvedge/locks",
        ".selvedge/open",
        "session_index.jsonl",
        "index.redb",
        native_log(1).as_str(),
    ]
    .map(str::to_owned);
    for place in places {
        // Without an index only the folders of logs are reached in another way.
        let ways = match place.starts_with("sessions") {
            true => &[IndexUse::Use, IndexUse::None][..],
            false => &[IndexUse::Use][..],
        };
        for index in ways.iter().copied() {
            let home = full_home();
            let outside = tempfile::tempdir().unwrap();
            let secret = outside.path().join("secret");
            fs::create_dir_all(home.file(&place).parent().unwrap()).unwrap();
            // Copied: what a fork inherits is the same file as the log that goes on.
            match contents(&home.file(&place)) {
                Some(held) => put(&secret, held),
                None => fs::create_dir(&secret).unwrap(),
            }
            remove(&home.file(&place));
            symlink(&secret, home.file(&place)).unwrap();
            let before = contents(outside.path());
            let link = home.file(&place);
            let store = Store::open(StoreOptions {
                index,
                ..home.options()
            });
            if let Ok(store) = store {
                do_all(&home, &store);
            }
            assert_eq!(contents(outside.path()), before, "{place} {index:?}");
            // It may be replaced or removed as what it is, and leads nowhere else.
            if let Ok(target) = fs::read_link(&link) {
                assert_eq!(target, secret, "{place}");
            }
        }
    }
}

/// What lies behind a link is no part of the home, with an index or without one.
#[test]
fn a_thread_behind_a_link_is_none_of_the_home_s() {
    let home = full_home();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    let store = home.filled();
    fs::rename(home.file("sessions"), &secret).unwrap();
    symlink(&secret, home.file("sessions")).unwrap();
    for number in [1, 2, 3, 5, 6] {
        assert!(store.history(id(number)).is_err(), "{number}");
    }
    let query = ListQuery::default();
    assert_eq!(
        store.list(&query).unwrap().threads,
        home.scan(&query).threads
    );
    assert_eq!(store.list(&query).unwrap().threads, []);
}

/// The home's own path is up to whoever names it.
#[test]
fn a_home_may_itself_be_a_link() {
    let home = full_home();
    let outside = tempfile::tempdir().unwrap();
    let link = outside.path().join("link");
    symlink(home.root(), &link).unwrap();
    let store = Store::open(StoreOptions::new(&link)).unwrap();
    store.backfill(WAIT, &|_| ()).unwrap();
    start(&store, 10).unwrap();
    fork(&store, 10, 12).unwrap();
    store.archive(id(10)).unwrap();
    assert_eq!(store.history(id(12)).unwrap().records.len(), 4);
}

fn modes(dir: &Path) -> Vec<(PathBuf, u32)> {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let all = contents(dir).unwrap().into_keys();
    all.map(|path| (path.clone(), mode(&dir.join(path))))
        .collect()
}

/// Every file that is made is its owner's alone, whatever other tools' files are, and whatever the
/// process lets others read of what it makes.
#[test]
fn what_is_made_in_a_home_is_its_owner_s_alone() {
    // Of the whole process: no other test of this crate looks at modes that would be changed by it.
    let before = nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    let home = TestHome::new();
    let root = home.file("made/home");
    let store = Store::open(StoreOptions {
        create_home: true,
        ..StoreOptions::new(&root)
    })
    .unwrap();
    store.backfill(WAIT, &|_| ()).unwrap();
    start(&store, 1).unwrap();
    fork(&store, 1, 2).unwrap();
    rename(&store, 1).unwrap();
    store.archive(id(1)).unwrap();
    start(&store, 6).unwrap();
    let torn = root.join(native_log(6).as_str());
    let mut bytes = fs::read(&torn).unwrap();
    bytes.extend(b"half a frame");
    fs::write(&torn, bytes).unwrap();
    resume(&store, 6).unwrap();
    // Of other tools, which let others read it: what is made of it is private all the same.
    let packed = zstd::encode_all(thread(3, 100).as_bytes(), 1).unwrap();
    let name = format!("sessions/2026/03/04/rollout-2026-03-04T00-01-40-{}", id(3));
    fs::write(root.join(format!("{name}.jsonl.zst")), packed).unwrap();
    resume(&store, 3).unwrap();
    fork(&store, 3, 5).unwrap();
    rename(&store, 3).unwrap();
    home.put("elsewhere.jsonl", thread(4, 5));
    for source in import_sources(&RealDisk, &home.file("elsewhere.jsonl")).unwrap() {
        store.import(&source).unwrap();
    }
    store.delete(id(4)).unwrap();
    // Damaged, and repaired.
    let mut bytes = fs::read(&torn).unwrap();
    let at = bytes.len() - 60;
    bytes[at] ^= 1;
    fs::write(&torn, bytes).unwrap();
    store.repair(RepairOptions::default()).unwrap();
    // With somebody at it, locks and marks are there too.
    let mut live = ThreadLog::create(store.log_context().clone(), new(7));
    live.append(words()).unwrap();
    let modes = modes(&home.file("made"));
    drop(live);
    nix::sys::stat::umask(before);
    let has = |part: &str| {
        modes
            .iter()
            .any(|(path, _)| path.to_str().unwrap().contains(part))
    };
    for part in [
        "index.redb",
        ".rlog",
        ".jsonl",
        ".torn-",
        "inherited/",
        ".selvedge/",
        "session_index",
        "archived_sessions/",
        "damaged/",
        ".marks",
    ] {
        assert!(has(part), "{part} is missing in {modes:?}");
    }
    for (path, mode) in modes {
        let expected = if home.file("made").join(&path).is_dir() {
            0o700
        } else {
            0o600
        };
        assert_eq!(mode, expected, "{}", path.display());
    }
}
