//! Repairing a home while threads of it are live, and while others follow them.

use std::path::{Path, PathBuf};

use selvedge_actors::Selvedge;
use selvedge_codec::{ByteLength, ByteOffset, Ordinal, ThreadId};
use selvedge_engine::disk::{Disk, OpenMode, RealDisk, read_range};
use selvedge_engine::store::{LeftKind, RepairOptions, RepairOutcome};
use selvedge_engine::{ConflictReason, CorruptReason, Error};

use crate::subscriptions::{ordinals, thread_of};
use crate::{TestHome, says};

const FOR_REAL: RepairOptions = RepairOptions { dry_run: false };

async fn log_of(home: &TestHome, store: &Selvedge, id: ThreadId) -> PathBuf {
    let found = store.find_thread(id).await.unwrap();
    home.dir.path().join(found.path.as_str())
}

fn read(file: &Path) -> Vec<u8> {
    let file = RealDisk.open(file, OpenMode::Read).unwrap();
    read_range(&*file, ByteOffset::ZERO, ByteLength::new(1 << 20)).unwrap()
}

/// Puts another file in a log's place.
fn replace(file: &Path, bytes: &[u8]) {
    let aside = file.with_extension("aside");
    let new = RealDisk.open(&aside, OpenMode::CreateNew).unwrap();
    new.write_all_at(bytes, ByteOffset::ZERO).unwrap();
    RealDisk.rename(&aside, file).unwrap();
}

/// Flips a bit in the middle of a log.
fn harm(file: &Path) {
    let bytes = read(file);
    let at = bytes.len() / 2;
    let open = RealDisk.open(file, OpenMode::Write).unwrap();
    open.write_all_at(&[bytes[at] ^ 1], ByteOffset::new(at as u64))
        .unwrap();
}

/// A subscriber went on in the new file where it had come to in the old one: in the middle of a frame,
/// from where it told damage that was none, or beyond the end, where its subscription failed.
#[tokio::test]
async fn a_subscription_goes_on_in_the_log_that_took_the_damaged_one_s_place() {
    let home = TestHome::new();
    let (reader, writer) = (home.open().await, home.open().await);
    let thread = thread_of(&writer, 8).await;
    let id = thread.thread_id();
    let mut all = reader.subscribe(id, Ordinal::ZERO).await.unwrap();
    let mut new = reader.subscribe(id, Ordinal::new(8)).await.unwrap();
    assert_eq!(ordinals(&mut all, 8).await, (0..8).collect::<Vec<_>>());
    thread.append(vec![says("b")]).await.unwrap();
    for subscription in [&mut all, &mut new] {
        assert_eq!(ordinals(subscription, 1).await, [8]);
    }
    thread.shutdown().await.unwrap();
    let file = log_of(&home, &writer, id).await;
    harm(&file);
    let report = writer.repair(FOR_REAL).await.unwrap();
    assert_eq!(report.logs[0].outcome, RepairOutcome::Repaired);
    assert!(report.ok && report.logs[0].records_lost == 1, "{report:?}");

    let again = writer.resume_thread(id).await.unwrap();
    let ack = again.append(vec![says("c"), says("d")]).await.unwrap();
    assert_eq!(ack.first_ordinal, Ordinal::new(9));
    for subscription in [&mut all, &mut new] {
        assert_eq!(ordinals(subscription, 2).await, [9, 10]);
    }
    let history = reader.load_history(id).await.unwrap();
    assert_eq!(history.records.len(), 11);
    assert_eq!(reader.read_thread(id).await.unwrap().damaged_count, 0);
}

#[tokio::test]
async fn a_subscription_tells_when_a_file_took_the_log_s_place_that_lacks_what_it_gave() {
    let home = TestHome::new();
    let (reader, writer) = (home.open().await, home.open().await);
    let thread = thread_of(&writer, 4).await;
    let id = thread.thread_id();
    thread.flush().await.unwrap();
    let file = log_of(&home, &writer, id).await;
    let older = read(&file);
    thread.append(vec![says("b")]).await.unwrap();
    thread.shutdown().await.unwrap();
    let mut all = reader.subscribe(id, Ordinal::ZERO).await.unwrap();
    assert_eq!(ordinals(&mut all, 5).await, [0, 1, 2, 3, 4]);
    replace(&file, &older);
    let lost = all.next().await;
    assert!(
        matches!(
            lost,
            Err(Error::Corrupt {
                why: CorruptReason::Lost,
                ..
            })
        ),
        "{lost:?}"
    );
    assert_eq!(all.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_live_thread_is_left_as_it_is_until_it_is_shut_down() {
    let home = TestHome::new();
    let (here, elsewhere) = (home.open().await, home.open().await);
    let thread = thread_of(&here, 8).await;
    thread.flush().await.unwrap();
    let file = log_of(&home, &here, thread.thread_id()).await;
    harm(&file);
    let harmed = read(&file);
    for store in [&here, &elsewhere] {
        let report = store.repair(FOR_REAL).await.unwrap();
        let left = report.logs[0].left.as_ref().unwrap();
        assert_eq!(left.kind, LeftKind::Conflict);
        let holder = format!("process {}", std::process::id());
        let reason = ConflictReason::Writer { holder };
        assert_eq!(left.why, reason.to_string());
        assert!(!report.ok);
    }
    assert_eq!(read(&file), harmed);
    // It is not disturbed by having been looked at.
    thread.append(vec![says("b")]).await.unwrap();
    thread.shutdown().await.unwrap();
    let report = here.repair(FOR_REAL).await.unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!(report.logs[0].records_kept, 8);
}
