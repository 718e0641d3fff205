use super::*;
use crate::clock::ManualClock;
use crate::disk::{Disk, DiskFile, OpenMode, read_range};
use selvedge_codec::{ByteLength, ByteOffset, UtcMicros};

fn disk(seed: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed, Arc::new(ManualClock::new(UtcMicros::new(1_000))));
    disk.make_dirs(Path::new("/home"));
    disk
}

fn at(name: &str) -> PathBuf {
    Path::new("/home").join(name)
}

fn make(process: &SimulatedProcess, name: &str, bytes: &[u8]) -> Box<dyn DiskFile> {
    let file = process.open(&at(name), OpenMode::CreateOrOpen).unwrap();
    file.set_len(ByteLength::ZERO).unwrap();
    file.write_all_at(bytes, ByteOffset::ZERO).unwrap();
    file
}

fn bytes_of(file: &dyn DiskFile) -> Vec<u8> {
    read_range(file, ByteOffset::ZERO, ByteLength::new(1 << 16)).unwrap()
}

fn names(disk: &SimulatedDisk) -> Vec<String> {
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    disk.files().into_iter().map(name).collect()
}

#[test]
fn what_was_synced_survives_every_power_loss_and_the_rest_any_way() {
    let (mut with, mut without, mut torn) = (0, 0, 0);
    for seed in 0..300 {
        let disk = disk(seed);
        let process = disk.process();
        let file = make(&process, "log", b"synced");
        file.sync_data().unwrap();
        process.sync_dir(&at("")).unwrap();
        file.append_all(b"+more").unwrap();
        drop(make(&process, "other", b"unsynced"));
        disk.lose_power();
        let left = disk.read_file(&at("log")).unwrap();
        assert!(left.starts_with(b"synced"), "{left:?}");
        assert!(left.len() <= 11);
        match left.as_slice() {
            b"synced" => without += 1,
            b"synced+more" => with += 1,
            _ => torn += 1,
        }
        assert!(file.sync_data().is_err() && process.stat(&at("log")).is_err());
    }
    assert!(
        with > 10 && without > 10 && torn > 10,
        "{with} {without} {torn}"
    );
}

#[test]
fn a_name_survives_once_its_directory_was_synced() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..100 {
        let disk = disk(seed);
        let process = disk.process();
        make(&process, "named", b"x").sync_data().unwrap();
        process.sync_dir(&at("")).unwrap();
        make(&process, "unnamed", b"x").sync_data().unwrap();
        disk.lose_power();
        let names = names(&disk);
        assert!(names.contains(&"named".to_owned()));
        match names.len() {
            1 => lost += 1,
            _ => kept += 1,
        }
    }
    assert!(lost > 10 && kept > 10, "{lost} {kept}");
}

#[test]
fn a_rename_is_whole_or_did_not_happen() {
    let mut moved = 0;
    for seed in 0..200 {
        let disk = disk(seed);
        let process = disk.process();
        for (name, bytes) in [("old", b"new".as_slice()), ("target", b"old".as_slice())] {
            make(&process, name, bytes).sync_data().unwrap();
        }
        process.create_dir(&at("dir")).unwrap();
        process.sync_dir(&at("")).unwrap();
        process.rename(&at("old"), &at("target")).unwrap();
        // Two moves in a row: the second does not come true without the first.
        process.rename(&at("target"), &at("dir/target")).unwrap();
        if seed % 2 == 0 {
            process.sync_dir(&at("dir")).unwrap();
        }
        disk.lose_power();
        let target = disk.read_file(&at("target"));
        match (
            disk.read_file(&at("old")),
            disk.read_file(&at("dir/target")),
        ) {
            (Some(_), None) => assert_eq!(target.unwrap(), b"old"),
            (None, None) => assert_eq!(target.unwrap(), b"new"),
            (None, Some(new)) => {
                assert_eq!((new, target), (b"new".to_vec(), None));
                moved += 1;
            }
            both => panic!("seed {seed}: {both:?} {target:?}"),
        }
    }
    assert!(moved > 20, "{moved}");
}

#[test]
fn a_rename_is_durable_once_both_directories_are_synced() {
    for seed in 0..50 {
        let disk = disk(seed);
        let process = disk.process();
        process.create_dir(&at("a")).unwrap();
        process.create_dir(&at("b")).unwrap();
        make(&process, "a/file", b"x").sync_data().unwrap();
        process.rename(&at("a/file"), &at("b/file")).unwrap();
        for dir in ["a", "b", ""] {
            process.sync_dir(&at(dir)).unwrap();
        }
        disk.lose_power();
        assert_eq!(disk.files(), [at("b/file")]);
    }
}

#[test]
fn dropped_pages_are_written_by_no_later_sync_but_when_written_again() {
    let mut was_read = 0;
    for seed in 0..100 {
        let disk = disk(seed);
        let process = disk.process();
        let file = make(&process, "log", b"first");
        file.sync_data().unwrap();
        process.sync_dir(&at("")).unwrap();
        file.append_all(b"DROPPED").unwrap();
        disk.plan(Fault::once(Operations::Sync, FaultKind::DroppedPages));
        assert_eq!(
            file.sync_data().unwrap_err().raw_os_error(),
            Some(faults::EIO)
        );
        was_read += usize::from(bytes_of(&*file) == b"firstDROPPED");
        file.sync_data().unwrap();
        if seed % 2 == 0 {
            file.write_all_at(b"dropped", ByteOffset::new(5)).unwrap();
            file.sync_data().unwrap();
        }
        disk.lose_power();
        let left = disk.read_file(&at("log")).unwrap();
        if seed % 2 == 0 {
            assert_eq!(left, b"firstdropped");
        } else {
            assert!(left.iter().skip(5).all(|byte| *byte == 0), "{left:?}");
        }
    }
    assert!((10..90).contains(&was_read), "{was_read}");
}

#[test]
fn entries_dropped_by_a_failed_sync_are_not_durable_after_a_later_one() {
    let disk = disk(1);
    let process = disk.process();
    drop(make(&process, "dropped", b"x"));
    disk.plan(Fault::once(Operations::SyncDir, FaultKind::DroppedPages));
    process.sync_dir(&at("")).unwrap_err();
    process.sync_dir(&at("")).unwrap();
    assert_eq!(names(&disk), ["dropped"]);
    disk.lose_power();
    assert_eq!(disk.files(), Vec::<PathBuf>::new());
}

/// A process had removed a file and not synced that; the tester put another one in its place, and the
/// power loss carried the removal out on that one.
#[test]
fn what_the_tester_makes_stays_whatever_was_done_under_its_name_before() {
    for seed in 0..100 {
        let disk = disk(seed);
        let process = disk.process();
        make(&process, "log", b"old").sync_data().unwrap();
        process.create_dir(&at("dir")).unwrap();
        process.sync_dir(&at("")).unwrap();
        process.remove(&at("log")).unwrap();
        process.remove_dir(&at("dir")).unwrap();
        disk.write_file(&at("log"), b"new");
        disk.write_file(&at("dir/below"), b"new");
        make(&process, "gone", b"x").sync_data().unwrap();
        disk.remove_file(&at("gone"));
        disk.lose_power();
        assert_eq!(disk.read_file(&at("log")).unwrap(), b"new", "seed {seed}");
        assert_eq!(disk.read_file(&at("dir/below")).unwrap(), b"new");
        assert_eq!(disk.read_file(&at("gone")), None);
    }
}

#[test]
fn short_and_interrupted_calls_are_not_seen_above() {
    let disk = disk(1);
    let process = disk.process();
    for kind in [FaultKind::Short, FaultKind::Interrupted] {
        disk.plan(Fault::always(Operations::Any, kind));
        let before = disk.counts();
        let file = make(&process, "log", b"all of these bytes");
        file.append_all(b" and these").unwrap();
        file.sync_data().unwrap();
        process.sync_dir(&at("")).unwrap();
        assert_eq!(bytes_of(&*file), b"all of these bytes and these");
        let after = disk.counts();
        assert!(after.writes > before.writes + 2 && after.reads > before.reads + 1);
        disk.heal();
    }
}

#[test]
fn beyond_the_capacity_there_is_no_space_until_something_goes() {
    let disk = disk(1);
    let process = disk.process();
    disk.set_capacity(Some(10));
    let file = make(&process, "log", b"1234567");
    let error = file.append_all(b"89ABC").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(bytes_of(&*file), b"123456789A");
    assert!(process.open(&at("more"), OpenMode::CreateNew).is_err());
    process.remove(&at("log")).unwrap();
    assert_eq!(disk.used(), 10, "its handle keeps it");
    drop(file);
    assert_eq!(disk.used(), 0);
    drop(make(&process, "more", b"12345"));
}

#[test]
fn a_read_only_disk_can_be_read() {
    let disk = disk(1);
    let process = disk.process();
    let file = make(&process, "log", b"x");
    disk.set_read_only(true);
    let refused = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::ReadOnlyFilesystem);
    refused(file.append_all(b"y").unwrap_err());
    refused(file.sync_data().unwrap_err());
    refused(
        process
            .open(&at("log"), OpenMode::Write)
            .map(drop)
            .unwrap_err(),
    );
    refused(process.remove(&at("log")).unwrap_err());
    refused(process.create_dir(&at("dir")).map(drop).unwrap_err());
    assert!(!process.create_dir(&at("")).unwrap());
    assert_eq!(bytes_of(&*file), b"x");
    disk.heal();
    file.sync_data().unwrap();
}

#[test]
fn each_process_has_so_many_handles() {
    let disk = disk(1);
    let (one, other) = (disk.process(), disk.process());
    disk.set_max_handles(Some(2));
    let held = [make(&one, "a", b""), make(&one, "b", b"")];
    let many = |error: io::Error| assert_eq!(error.raw_os_error(), Some(faults::EMFILE));
    many(one.open(&at("a"), OpenMode::Read).map(drop).unwrap_err());
    many(one.list(&at("")).map(drop).unwrap_err());
    many(one.sync_dir(&at("")).unwrap_err());
    other.sync_dir(&at("")).unwrap();
    drop(held);
    assert_eq!(one.list(&at("")).unwrap().len(), 2);
}

#[test]
fn handles_lead_to_one_inode_whatever_its_names() {
    let disk = disk(1);
    let process = disk.process();
    let one = make(&process, "log", b"one");
    let other = process.open(&at("log"), OpenMode::Read).unwrap();
    one.append_all(b" two").unwrap();
    assert_eq!(bytes_of(&*other), b"one two");
    process.link(&at("log"), &at("link")).unwrap();
    process.remove(&at("log")).unwrap();
    one.append_all(b" three").unwrap();
    assert_eq!(disk.read_file(&at("link")).unwrap(), b"one two three");
    process.remove(&at("link")).unwrap();
    assert_eq!(bytes_of(&*other), b"one two three");
    assert!(other.append_all(b"x").is_err(), "opened for reading");
}

#[test]
fn errors_are_those_of_the_operating_system() {
    let disk = disk(1);
    let process = disk.process();
    drop(make(&process, "file", b"x"));
    process.create_dir(&at("dir/.")).unwrap();
    drop(make(&process, "dir/file", b"x"));
    let number = |done: io::Result<()>| done.unwrap_err().raw_os_error().unwrap();
    let open = |name: &str, mode| number(process.open(&at(name), mode).map(drop));
    assert_eq!(open("none", OpenMode::Read), faults::ENOENT);
    assert_eq!(open("file", OpenMode::CreateNew), faults::EEXIST);
    assert_eq!(open("dir", OpenMode::Write), faults::EISDIR);
    assert_eq!(open("dir", OpenMode::CreateOrOpen), faults::EISDIR);
    assert_eq!(open("file/below", OpenMode::Read), faults::ENOTDIR);
    assert_eq!(open("none/below", OpenMode::CreateNew), faults::ENOENT);
    assert_eq!(
        open(&"n".repeat(256), OpenMode::CreateNew),
        faults::ENAMETOOLONG
    );
    assert_eq!(
        number(process.stat(&at("file/.")).map(drop)),
        faults::ENOTDIR
    );
    assert_eq!(number(process.remove(&at("dir"))), faults::EISDIR);
    assert_eq!(number(process.remove_dir(&at("dir"))), faults::ENOTEMPTY);
    assert_eq!(number(process.remove_dir(&at("file"))), faults::ENOTDIR);
    assert_eq!(
        number(process.rename(&at("file"), &at("dir"))),
        faults::EISDIR
    );
    assert_eq!(
        number(process.rename(&at("dir"), &at("dir/in"))),
        faults::EINVAL
    );
    assert_eq!(number(process.link(&at("dir"), &at("link"))), faults::EPERM);
    assert_eq!(
        number(process.create_dir(&at("file")).map(drop)),
        faults::EEXIST
    );
    assert!(!process.create_dir(&at("dir")).unwrap());
    assert!(process.stat(Path::new("/")).is_ok() && process.list(&at(".")).is_ok());
}

#[test]
fn a_killed_process_s_handles_are_dead_and_its_locks_free() {
    let disk = disk(1);
    let (one, other) = (disk.process(), disk.process());
    let mine = make(&one, "lock", b"kept");
    let theirs = other.open(&at("lock"), OpenMode::Write).unwrap();
    assert!(mine.try_lock_range(0..10, false).unwrap());
    assert!(!theirs.try_lock_range(9..11, true).unwrap());
    assert!(theirs.is_locked_elsewhere(0..u64::MAX).unwrap());
    mine.unlock_range(3..6).unwrap();
    assert!(theirs.try_lock_range(3..6, false).unwrap());
    one.kill();
    assert!(theirs.try_lock_range(0..u64::MAX, false).unwrap());
    assert!(mine.read_at(&mut [0], ByteOffset::ZERO).is_err() && one.list(&at("")).is_err());
    drop(mine);
    assert_eq!(bytes_of(&*theirs), b"kept");
    assert!(theirs.try_lock_range(0..5, true).unwrap());
    let third = other.open(&at("lock"), OpenMode::Read).unwrap();
    assert!(third.try_lock_range(0..5, true).unwrap());
    assert!(!third.try_lock_range(5..6, true).unwrap());
}

#[test]
fn processes_and_boots_are_told_apart() {
    use crate::process::{ProcessIdentity, boot_id};
    let disk = disk(1);
    let (one, other) = (disk.process(), disk.process());
    let [first, second] = [&one, &other].map(|process| ProcessIdentity::current(process));
    assert_eq!(first.pid, one.pid());
    assert_ne!(
        (first.pid, first.start_ticks),
        (second.pid, second.start_ticks)
    );
    assert!(first.is_alive(&other) && second.is_alive(&one));
    one.kill();
    assert!(!first.is_alive(&other));
    disk.lose_power();
    let after = disk.process();
    assert!(!second.is_alive(&after));
    assert_ne!(boot_id(&after), second.boot_id);
}

#[test]
fn an_inode_number_is_used_again_when_its_file_is_gone_everywhere() {
    let disk = disk(1);
    let process = disk.process();
    let kept = make(&process, "kept", b"").stat().unwrap().inode;
    let mut seen = std::collections::BTreeSet::new();
    let mut used_again = 0;
    for _ in 0..200 {
        let file = make(&process, "file", b"x");
        let inode = file.stat().unwrap().inode;
        assert_ne!(inode, kept);
        used_again += usize::from(!seen.insert(inode));
        process.remove(&at("file")).unwrap();
        process.sync_dir(&at("")).unwrap();
    }
    assert!(used_again > 20, "{used_again}");
}

#[test]
fn one_seed_does_the_same_again() {
    let run = |seed| {
        let disk = disk(seed);
        let process = disk.process();
        for round in 0..20_u8 {
            let file = make(&process, &format!("f{}", round % 7), &[round; 300]);
            if round % 3 == 0 {
                file.sync_data().unwrap();
                process.sync_dir(&at("")).unwrap();
            }
        }
        let listed = process.list(&at("")).unwrap();
        disk.lose_power();
        let bytes: Vec<_> = disk
            .files()
            .iter()
            .map(|path| disk.read_file(path))
            .collect();
        let inode = disk.process().stat(&at("f0")).map(|stat| stat.inode).ok();
        (listed, disk.files(), bytes, inode, disk.trace())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_planned_panic_leaves_the_disk_as_it_was() {
    let disk = disk(1);
    let process = disk.process();
    disk.plan(Fault::once(Operations::Rename, FaultKind::Panic).on_path("/new"));
    drop(make(&process, "old", b"x"));
    let rename = || process.rename(&at("old"), &at("new"));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(rename));
    assert!(panic.is_err());
    assert_eq!(names(&disk), ["old"]);
    rename().unwrap();
    assert!(disk.trace().iter().any(|line| line.contains("met Panic")));
}
